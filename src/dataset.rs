//! Rows to learn from: each generation's features as they were when it started, with what came of
//! it.

use crate::error::Result;
use crate::event::{EventId, Fact, ProjectId, Record, TaskContext};
use crate::features::{FeatureEngineer, FeatureRow};
use crate::history::{Delay, History, HistoryView, Scope};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;

/// One generation to learn from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Example {
    /// The generation.
    pub event_id: EventId,
    /// The project, as a number.
    pub project: u64,
    /// The task, as a number.
    pub task: u64,
    /// When it became known that it had started.
    pub started_at: DateTime<Utc>,
    /// From when on the label was certain; `None` while it is a guess.
    pub known_at: Option<DateTime<Utc>>,
    /// The features as they were at the start.
    pub features: Arc<FeatureRow>,
    /// What is to be learnt; of an open generation, how it is expected to end.
    pub label: f64,
    /// What the simplest predictors would have said at the start.
    pub priors: Priors,
}

/// Baseline predictions at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Priors {
    /// The success rate of all generations so far.
    pub constant: f64,
    /// That of the agent, drawn to the constant with the weight of five outcomes.
    pub agent: f64,
    /// That of the project, drawn likewise.
    pub project: f64,
}

/// Examples in the order of their start.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The examples.
    pub examples: Vec<Example>,
    /// Fingerprint of the features.
    pub schema: u64,
    delay: Delay,
}

/// Replays facts, in the order in which they became known, into examples.
#[derive(Debug)]
pub struct DatasetBuilder {
    engineer: FeatureEngineer,
    history: History,
    examples: Vec<Example>,
}

const PRIOR_STRENGTH: f64 = 5.0;

impl Priors {
    /// What the past shows in `view`.
    pub fn of(view: &HistoryView) -> Self {
        let constant = view.get(Scope::Global).all.rate(0.5, PRIOR_STRENGTH);
        let drawn = |scope| view.get(scope).all.rate(constant, PRIOR_STRENGTH);
        Self { constant, agent: drawn(Scope::Agent), project: drawn(Scope::Project) }
    }
}

impl DatasetBuilder {
    /// A builder that has seen nothing yet.
    pub fn new(engineer: FeatureEngineer) -> Self {
        Self { engineer, history: History::new(), examples: Vec::new() }
    }

    /// Takes in the next fact; facts must come in the order in which they became known.
    pub fn apply(&mut self, record: &Record) {
        if let Fact::Started(started) = record.fact() {
            let (features, priors) = self.look(&started.context, record.known_at());
            self.examples.push(Example {
                event_id: record.event_id().clone(),
                project: number(started.context.project_id.as_ref().map(ProjectId::as_str)),
                task: number(Some(started.context.task_id.as_str())),
                started_at: record.known_at(),
                known_at: None,
                features: Arc::new(features),
                label: 0.5,
                priors,
            });
        }
        self.history.apply(record);
    }

    /// The features of `task` at `now`, and what the simplest predictors say.
    pub fn look(&self, task: &TaskContext, now: DateTime<Utc>) -> (FeatureRow, Priors) {
        let view = self.history.view(task, now);
        (self.engineer.row(task, &view), Priors::of(&view))
    }

    /// Takes out the example of the fact just applied, where it was a start.
    pub(crate) fn take_last(&mut self) -> Option<Example> {
        self.examples.pop()
    }

    /// Generations seen to start.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether none was seen.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// The generations started before `now` that succeeded or failed, and those still open young
    /// enough to be answered, labelled by how such generations end. Of more than `most` the
    /// newest.
    pub fn success_rows(&self, now: DateTime<Utc>, most: usize) -> Dataset {
        let delay = self.history.delay(now);
        let labelled = self.examples.iter().rev().filter_map(|example| {
            let success = self.history.result(&example.event_id).success;
            label(
                example,
                success.and_then(|(at, y)| Some((DateTime::from_timestamp_micros(at)?, y))),
                now,
                &delay,
            )
        });
        let mut examples: Vec<_> = labelled.take(most).collect();
        examples.reverse();
        Dataset { examples, schema: self.engineer.fingerprint(), delay }
    }
}

impl Dataset {
    /// Examples whose label is certain.
    pub fn certain(&self) -> impl Iterator<Item = &Example> {
        self.examples.iter().filter(|e| e.known_at.is_some())
    }

    /// What was known of these examples at `moment`.
    #[must_use]
    pub fn until(&self, moment: DateTime<Utc>) -> Self {
        let earlier = self.examples.iter().take_while(|e| e.started_at < moment);
        let examples = earlier.filter_map(|e| {
            let known = e.known_at.map(|at| (at, e.label >= 0.5));
            label(e, known, moment, &self.delay)
        });
        Self { examples: examples.collect(), schema: self.schema, delay: self.delay.clone() }
    }

    /// Only the examples that `keep` says.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(usize, &Example) -> bool) -> Self {
        let examples = self.examples.iter().enumerate().filter(|(i, e)| keep(*i, e)).map(|(_, e)| e.clone());
        Self { examples: examples.collect(), schema: self.schema, delay: self.delay.clone() }
    }

    /// Splits off the newest `fraction` of the certain examples that have had time to be answered:
    /// what was known when the first of them started, and they.
    ///
    /// "Had time" means older than nine tenths of all answers took: among younger examples the
    /// quick answers, and so the approvals, would be too many.
    ///
    /// # Errors
    /// `NotEnoughData` when nothing is left on one side.
    pub fn split_by_time(&self, fraction: f64) -> Result<(Self, Vec<Example>)> {
        let matured = self.matured();
        let test_rows = ((matured.len() as f64 * fraction).ceil() as usize).min(matured.len());
        let test: Vec<_> = matured[matured.len() - test_rows..].iter().map(|e| (*e).clone()).collect();
        let train = test.first().map(|first| self.until(first.started_at));
        match train {
            Some(train) if train.certain().next().is_some() => Ok((train, test)),
            _ => Err(not_enough(matured.len())),
        }
    }

    fn matured(&self) -> Vec<&Example> {
        let certain: Vec<_> = self.certain().collect();
        let mut took: Vec<_> = certain.iter().filter_map(|e| Some(e.known_at? - e.started_at)).collect();
        took.sort_unstable();
        let wait = took.get(took.len() * 9 / 10).copied().unwrap_or(TimeDelta::zero());
        let newest = self.examples.last().map_or(DateTime::UNIX_EPOCH, |e| e.started_at);
        let latest = newest.checked_sub_signed(wait).unwrap_or(newest);
        certain.into_iter().filter(|e| e.started_at <= latest).collect()
    }
}

fn label(
    example: &Example,
    known: Option<(DateTime<Utc>, bool)>,
    now: DateTime<Utc>,
    delay: &Delay,
) -> Option<Example> {
    let (known_at, label) = match known.filter(|(at, _)| *at <= now) {
        Some((at, success)) => (Some(at), f64::from(u8::from(success))),
        None => (None, delay.success_of_open(example.started_at, now)?),
    };
    Some(Example { known_at, label, ..example.clone() })
}

fn number(name: Option<&str>) -> u64 {
    crate::history::category(name).unwrap_or(0)
}

pub(crate) fn not_enough(have: usize) -> crate::Error {
    crate::Error::new(
        crate::ErrorKind::NotEnoughData { have, need: have + 1 },
        format!("{have} labelled generations old enough to be judged cannot be split: record more"),
    )
}
