//! What the monitor remembers of a generation while feedback may still come or change.

use super::aggregates::{
    EndPart, EndTerms, NUMBERS, NumberPart, NumberTerms, OutcomePart, OutcomeTerms, StartPart,
};
use super::dimension::Values;
use super::vocabulary::WordSet;
use crate::dataset::Target;
use crate::event::{Completion, Feedback, FeedbackId, Fold, Folded, ShownPrediction, Started};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The facts of one generation that the aggregates are made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Generation {
    facts: Fold<Start, End, Verdict>,
    /// Its index among the recent outcomes, once it has one.
    pub(super) place: Option<u64>,
}

/// Its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    /// Microseconds since 1970.
    pub(super) known_at: i64,
    started_at: i64,
    pub(super) values: Values,
    pub(super) words: WordSet,
    regeneration: bool,
    /// The predicted probability of success, and the version that predicted it.
    pub(super) success: Option<(f64, u64)>,
    numbers: Option<Box<[Option<Predicted>; NUMBERS.len()]>>,
    /// The host's own complexity.
    complexity: Option<f64>,
}

/// A predicted number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Predicted {
    value: f64,
    /// The intervals that are to hold 80 % and 90 %.
    intervals: [Option<(f64, f64)>; 2],
    version: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct End {
    known_at: i64,
    success: Option<bool>,
    approved: Option<bool>,
    quality: Option<f64>,
    seconds: Option<f64>,
    tokens: Option<f64>,
    cost: Option<f64>,
    /// Those of [`NUMBERS`] that have no field of their own.
    further: [Option<f64>; NUMBERS.len() - OWN_FIELDS],
}

/// The first of [`NUMBERS`] have fields of their own: time, quality, complexity and tokens.
pub(super) const OWN_FIELDS: usize = 4;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Verdict {
    known_at: i64,
    id: Option<FeedbackId>,
    success: bool,
    approved: bool,
    approved_at: i64,
    quality: Option<f64>,
}

/// Contributions of a generation to its aggregates.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Parts {
    pub(super) start: Option<StartPart>,
    pub(super) end: Option<EndPart>,
    pub(super) outcome: Option<OutcomePart>,
    pub(super) numbers: [Option<NumberPart>; NUMBERS.len()],
}

/// Contributions of a generation in the form in which they are summed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) start: Option<StartPart>,
    pub(super) end: Option<EndTerms>,
    pub(super) outcome: Option<OutcomeTerms>,
    pub(super) numbers: [Option<NumberTerms>; NUMBERS.len()],
}

impl Parts {
    pub(super) fn terms(&self) -> Terms {
        Terms {
            start: self.start,
            end: self.end.as_ref().map(EndPart::terms),
            outcome: self.outcome.as_ref().map(OutcomePart::terms),
            numbers: self.numbers.map(|number| number.as_ref().map(NumberPart::terms)),
        }
    }
}

impl Generation {
    pub(super) fn start(&self) -> Option<&Start> {
        self.facts.start.as_ref()
    }

    pub(super) fn join_start(&mut self, new: Start) {
        self.facts.add_start(new);
    }

    pub(super) fn join_end(&mut self, end: &Completion, known_at: DateTime<Utc>) {
        self.facts.add_completion(End::new(end, known_at));
    }

    pub(super) fn join_verdict(&mut self, feedback: &Feedback, known_at: DateTime<Utc>) {
        self.facts.add_feedback(Verdict::new(feedback, known_at));
    }

    /// Returns when its end became known.
    pub(super) fn ended_at(&self) -> Option<i64> {
        self.facts.completion.as_ref().map(|end| end.known_at)
    }

    /// Returns whether it succeeded, as far as that is known.
    pub(super) fn success(&self) -> Option<bool> {
        self.facts.resolve(|verdict| Some(verdict.success), |end| end.success)
    }

    /// Returns its contributions; they are empty until its start is known.
    pub(super) fn parts(&self) -> Parts {
        let Some(start) = self.start() else { return Parts::default() };
        let end = self.facts.completion.as_ref();
        let quality = self.quality();
        let own: [_; OWN_FIELDS] =
            [end.and_then(|e| e.seconds), quality, start.complexity, end.and_then(|e| e.tokens)];
        let actual = own.into_iter().chain(end.iter().flat_map(|end| end.further));
        let mut numbers = [None; NUMBERS.len()];
        if let Some(predicted) = &start.numbers {
            for ((number, predicted), actual) in numbers.iter_mut().zip(predicted.iter()).zip(actual) {
                *number = predicted.zip(actual).map(|(predicted, actual)| predicted.against(actual));
            }
        }
        Parts {
            start: Some(StartPart { regeneration: start.regeneration }),
            end: end.map(|e| EndPart { cost: e.cost, seconds: e.seconds, tokens: e.tokens }),
            outcome: self.outcome(start, quality),
            numbers,
        }
    }

    /// The versions that predicted its numbers.
    pub(super) fn versions(&self) -> [Option<u64>; NUMBERS.len()] {
        let numbers = self.start().and_then(|start| start.numbers.as_deref());
        numbers.map_or([None; NUMBERS.len()], |numbers| numbers.map(|n| n.map(|n| n.version)))
    }

    fn quality(&self) -> Option<f64> {
        self.facts.resolve(|verdict| verdict.quality, |end| end.quality)
    }

    fn outcome(&self, start: &Start, quality: Option<f64>) -> Option<OutcomePart> {
        let success = self.success();
        let approved = self.facts.resolve(
            |verdict| Some((verdict.approved, verdict.approved_at)),
            |end| end.approved.or(end.success).map(|approved| (approved, end.known_at)),
        );
        if success.is_none() && approved.is_none() && quality.is_none() {
            return None;
        }
        let seconds = |at: i64| (at - start.started_at) as f64 / 1e6;
        Some(OutcomePart {
            success,
            approved: approved.map(|(approved, _)| approved),
            quality,
            seconds_to_approval: approved
                .and_then(|(approved, at)| approved.then(|| seconds(at)))
                .filter(|seconds| *seconds >= 0.0),
            cost: self.facts.completion.as_ref().and_then(|end| end.cost),
            predicted: start.success.map(|(predicted, _)| predicted),
        })
    }
}

impl Folded for Start {
    type Order<'a> = (i64, Values, i64);

    fn order(&self) -> Self::Order<'_> {
        (self.known_at, self.values, self.started_at)
    }
}

impl Folded for End {
    type Order<'a> = i64;

    fn order(&self) -> i64 {
        self.known_at
    }
}

impl Folded for Verdict {
    type Order<'a> = (i64, Option<&'a FeedbackId>);

    fn order(&self) -> Self::Order<'_> {
        (self.known_at, self.id.as_ref())
    }
}

impl Start {
    pub(super) fn new(started: &Started, known_at: DateTime<Utc>, values: Values, words: WordSet) -> Self {
        let task = &started.context;
        Self {
            known_at: known_at.timestamp_micros(),
            started_at: task.started_at.unwrap_or(known_at).timestamp_micros(),
            values,
            words,
            regeneration: task.attempt > 0 || task.regeneration_of.is_some(),
            success: success(&started.predictions),
            numbers: numbers(&started.predictions),
            complexity: started.complexity_label,
        }
    }
}

/// The shown probability of success; the last one counts.
fn success(shown: &[ShownPrediction]) -> Option<(f64, u64)> {
    let shown = shown.iter().rev().find(|shown| shown.target == Target::Success.name())?;
    (0.0..=1.0).contains(&shown.value).then_some((shown.value, shown.model_version))
}

/// The shown numbers; an interval of 80 % is shown as a prediction of `time@80` and the like.
fn numbers(shown: &[ShownPrediction]) -> Option<Box<[Option<Predicted>; NUMBERS.len()]>> {
    let mut found: Option<Box<[Option<Predicted>; NUMBERS.len()]>> = None;
    for shown in shown {
        let (name, level) = match shown.target.split_once('@') {
            Some((name, "80")) => (name, 0),
            None => (shown.target.as_str(), 1),
            Some(_) => continue,
        };
        let Some(which) = NUMBERS.iter().position(|target| target.name() == name) else { continue };
        let numbers = found.get_or_insert_default();
        let predicted = numbers[which].get_or_insert(Predicted {
            value: shown.value,
            intervals: [None; 2],
            version: shown.model_version,
        });
        predicted.intervals[level] = Some((shown.lower, shown.upper));
    }
    found
}

impl Predicted {
    fn against(&self, actual: f64) -> NumberPart {
        let [held_80, held_90] = self.intervals.map(|i| i.map(|(low, high)| (low..=high).contains(&actual)));
        NumberPart { predicted: self.value, actual, held_80, held_90 }
    }
}

impl End {
    fn new(end: &Completion, known_at: DateTime<Utc>) -> Self {
        Self {
            known_at: known_at.timestamp_micros(),
            success: end.success,
            approved: end.approved,
            quality: end.final_quality_score,
            seconds: end.generation_time_seconds,
            tokens: end.tokens_used.map(|tokens| tokens as f64),
            cost: end.cost_usd,
            further: std::array::from_fn(|at| NUMBERS[OWN_FIELDS + at].at_end(end)),
        }
    }
}

impl Verdict {
    fn new(feedback: &Feedback, known_at: DateTime<Utc>) -> Self {
        Self {
            known_at: known_at.timestamp_micros(),
            id: feedback.feedback_id.clone(),
            success: feedback.succeeded(),
            approved: feedback.was_approved(),
            approved_at: feedback.given_at.unwrap_or(known_at).timestamp_micros(),
            quality: feedback.final_quality_score,
        }
    }
}
