//! State of one generation in the history: enough to take back its contribution.

use super::aggregates::{Aggregates, LEAST_COST, LEAST_TOKENS, fixed};
use super::group_key::{self, GroupKey, Key, SCOPES};
use crate::event::{Completion, Fact, Feedback, FeedbackId, Fold, Folded, Record, Started, is_recordable};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The facts of one generation that the sums are made from.
pub(super) type Generation = Fold<Start, End, Verdict>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    known_at: i64,
    pub(super) day: i32,
    keys: [Option<Key>; SCOPES],
    complexity: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct End {
    known_at: i64,
    success: Option<bool>,
    quality: Option<f64>,
    seconds: Option<f64>,
    tokens: Option<u64>,
    cost: Option<f64>,
    lines: Option<u32>,
    cyclomatic: Option<f64>,
    regenerations: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Verdict {
    known_at: i64,
    id: Option<FeedbackId>,
    /// The group of what the person who judged has judged.
    reviewer: Option<Key>,
    success: bool,
    quality: Option<f64>,
}

/// Result of a generation, each part with the moment since which it is known
/// (microseconds since 1970).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct GenerationResult {
    /// `true` if it succeeded.
    pub(crate) success: Option<(i64, bool)>,
    /// Quality, 0 to 10.
    pub(crate) quality: Option<(i64, f64)>,
    /// Seconds.
    pub(crate) seconds: Option<(i64, f64)>,
    /// Tokens.
    pub(crate) tokens: Option<(i64, f64)>,
    /// US dollars.
    pub(crate) cost: Option<(i64, f64)>,
    /// Complexity as the host labelled it, 0 to 10.
    pub(crate) complexity: Option<(i64, f64)>,
    /// Lines of code.
    pub(crate) lines: Option<(i64, f64)>,
    /// Cyclomatic complexity.
    pub(crate) cyclomatic: Option<(i64, f64)>,
    /// Regenerations that the host counted.
    pub(crate) regenerations: Option<(i64, f64)>,
}

/// What changes in each group of a generation.
#[derive(Debug, Default)]
pub(super) struct Change {
    days: [(i32, Aggregates); DAYS],
    used: usize,
    /// Starts without an outcome that come and go, by their hour.
    pub(super) open: [Option<(i32, i32)>; 2],
    /// Outcomes that come and go: the day of the start, the hours to the outcome, whether it succeeded, and the sign.
    pub(super) taken: [Option<(i32, i32, bool, i64)>; 2],
}

/// Days at most: four on which a generation counted something before, and four on which it does now.
const DAYS: usize = 8;

impl Change {
    /// Returns what differs by day.
    pub(super) fn days(&self) -> impl Iterator<Item = &(i32, Aggregates)> {
        self.days[..self.used].iter().filter(|(_, tally)| *tally != Aggregates::default())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.days().next().is_none() && self.open == [None; 2] && self.taken == [None; 2]
    }

    fn add(&mut self, day: i32, tally: &Aggregates, sign: i64) {
        let place = self.days[..self.used].iter().position(|(other, _)| *other == day).unwrap_or(self.used);
        if let Some((at, sum)) = self.days.get_mut(place) {
            *at = day;
            sum.add(tally, sign);
            self.used = self.used.max(place + 1);
        }
    }

    /// Adds a generation's contribution to its groups, or takes it back; none while its start, and so its groups, are
    /// unknown.
    pub(super) fn contribute(&mut self, generation: &Generation, sign: i64) {
        let Some(start) = &generation.start else { return };
        let success = generation.success();
        if let Some((known_at, success)) = success {
            let tally = Aggregates { judged: 1, successes: i64::from(success), ..Aggregates::default() };
            self.add(day(known_at), &tally, sign);
        }
        if let Some((known_at, quality)) = generation.scored() {
            let tally = Aggregates { scored: 1, quality: fixed(quality), ..Aggregates::default() };
            self.add(day(known_at), &tally, sign);
        }
        if let Some(end) = &generation.completion {
            self.add(day(end.known_at), &end.tally(), sign);
        }
        if let Some(complexity) = start.complexity {
            let complexity = fixed((10.0 * complexity).ln_1p());
            self.add(start.day, &Aggregates { rated: 1, complexity, ..Aggregates::default() }, sign);
        }
        let open = success.is_none().then(|| (hour(start.known_at), sign as i32));
        let taken = success.map(|(at, success)| (start.day, hour(at - start.known_at).max(0), success, sign));
        put(&mut self.open, open, |(at, sign)| (at, -sign));
        put(&mut self.taken, taken, |(day, hours, success, sign)| (day, hours, success, -sign));
    }
}

/// Adds what comes or goes; what undoes what is there takes that away.
fn put<T: Copy + PartialEq>(all: &mut [Option<T>; 2], new: Option<T>, undone: impl Fn(T) -> T) {
    let Some(new) = new else { return };
    match all {
        [Some(old), None] if *old == undone(new) => *all = [None; 2],
        [None, _] => all[0] = Some(new),
        _ => all[1] = Some(new),
    }
}

impl Generation {
    /// Takes a fact in; the result depends on the set of facts alone.
    pub(super) fn learn(&mut self, record: &Record) {
        let known_at = record.known_at();
        match record.fact() {
            Fact::Started(s) => self.add_start(Start::new(s, known_at)),
            Fact::Completed(c) => self.add_completion(End::new(c, known_at)),
            Fact::Feedback(f) => self.add_feedback(Verdict::new(f, known_at)),
        }
    }

    /// Returns its groups, once its start is known: of reviewers that of the one who judged, and until somebody has, of the
    /// one that the task names.
    pub(super) fn keys(&self) -> Option<[Option<Key>; SCOPES]> {
        let mut keys = self.start.as_ref()?.keys;
        if let Some(judge) = self.feedback.as_ref().and_then(|feedback| feedback.reviewer) {
            keys[GroupKey::Reviewer as usize] = Some(judge);
        }
        Some(keys)
    }

    /// Whether records can have made it: sums over what was read back must not overflow.
    pub(super) fn is_sound(&self) -> bool {
        let time = |micros| DateTime::from_timestamp_micros(micros).is_some_and(is_recordable);
        let within = |v: Option<f64>, high: f64| v.is_none_or(|v| (0.0..=high).contains(&v));
        let end = |c: &End| {
            let fits = within(c.quality, 10.0)
                && within(c.seconds, 1e9)
                && within(c.cost, 1e9)
                && within(c.cyclomatic, 1e9);
            time(c.known_at) && fits
        };
        let start = |s: &Start| time(s.known_at) && s.day == day(s.known_at) && within(s.complexity, 10.0);
        self.start.as_ref().is_none_or(start)
            && self.completion.as_ref().is_none_or(end)
            && self.feedback.as_ref().is_none_or(|f| time(f.known_at) && within(f.quality, 10.0))
    }

    /// Returns when its facts became known, as far as they are kept.
    pub(super) fn moments(&self) -> impl Iterator<Item = i64> {
        let (start, end) = (self.start.as_ref(), self.completion.as_ref());
        let of =
            [start.map(|s| s.known_at), end.map(|e| e.known_at), self.feedback.as_ref().map(|f| f.known_at)];
        of.into_iter().flatten()
    }

    /// Returns since when success or failure is known, and which it is.
    fn success(&self) -> Option<(i64, bool)> {
        self.resolve(|f| Some((f.known_at, f.success)), |c| c.success.map(|s| (c.known_at, s)))
    }

    /// Returns since when the quality is known, and the quality.
    fn scored(&self) -> Option<(i64, f64)> {
        self.resolve(|f| f.quality.map(|q| (f.known_at, q)), |c| c.quality.map(|q| (c.known_at, q)))
    }

    pub(super) fn result(&self) -> GenerationResult {
        GenerationResult {
            success: self.success(),
            quality: self.scored(),
            seconds: self.ended(|end| end.seconds),
            tokens: self.ended(|end| end.tokens.map(|t| t as f64)),
            cost: self.ended(|end| end.cost),
            complexity: self.start.as_ref().and_then(|s| Some((s.known_at, s.complexity?))),
            lines: self.ended(|end| end.lines.map(f64::from)),
            cyclomatic: self.ended(|end| end.cyclomatic),
            regenerations: self.ended(|end| end.regenerations.map(f64::from)),
        }
    }

    fn ended(&self, read: fn(&End) -> Option<f64>) -> Option<(i64, f64)> {
        self.completion.as_ref().and_then(|end| Some((end.known_at, read(end)?)))
    }

    /// How good an example it makes, 0 to 10: its quality, else all or nothing by its success.
    pub(super) fn example_quality(&self) -> Option<f64> {
        self.scored().map(|(_, q)| q).or_else(|| self.success().map(|(_, s)| if s { 10.0 } else { 0.0 }))
    }
}

impl Folded for Start {
    type Order<'a> = (i64, [Option<Key>; SCOPES], Option<u64>);

    fn order(&self) -> Self::Order<'_> {
        (self.known_at, self.keys, self.complexity.map(f64::to_bits))
    }
}

impl Folded for End {
    type Order<'a> = i64;

    fn order(&self) -> i64 {
        self.known_at
    }
}

impl Folded for Verdict {
    type Order<'a> = (i64, Option<&'a FeedbackId>, Option<Key>);

    fn order(&self) -> Self::Order<'_> {
        (self.known_at, self.id.as_ref(), self.reviewer)
    }
}

impl Start {
    fn new(started: &Started, known_at: DateTime<Utc>) -> Self {
        let known_at = known_at.timestamp_micros();
        let keys = group_key::keys(&started.context);
        Self { known_at, day: day(known_at), keys, complexity: started.complexity_label }
    }
}

impl End {
    fn new(completion: &Completion, known_at: DateTime<Utc>) -> Self {
        Self {
            known_at: known_at.timestamp_micros(),
            success: completion.success,
            quality: completion.final_quality_score,
            seconds: completion.generation_time_seconds,
            tokens: completion.tokens(),
            cost: completion.cost_usd,
            lines: completion.lines_of_code,
            cyclomatic: completion.cyclomatic_complexity,
            regenerations: completion.num_regenerations,
        }
    }

    fn tally(&self) -> Aggregates {
        Aggregates {
            timed: i64::from(self.seconds.is_some()),
            log_seconds: self.seconds.map_or(0, |s| fixed(s.ln_1p())),
            metered: i64::from(self.tokens.is_some()),
            tokens: self.tokens.map_or(0, i128::from),
            log_tokens: self.tokens.map_or(0, |t| fixed((t as f64).max(LEAST_TOKENS).ln())),
            priced: i64::from(self.cost.is_some()),
            log_cost: self.cost.map_or(0, |usd| fixed(usd.max(LEAST_COST).ln())),
            ..Aggregates::default()
        }
    }
}

impl Verdict {
    fn new(feedback: &Feedback, known_at: DateTime<Utc>) -> Self {
        Self {
            known_at: known_at.timestamp_micros(),
            id: feedback.feedback_id.clone(),
            reviewer: feedback.reviewer_id.as_ref().map(group_key::reviewer_key),
            success: feedback.succeeded(),
            quality: feedback.final_quality_score,
        }
    }
}

/// The whole hours since 1970.
pub(super) fn hour(micros: i64) -> i32 {
    micros.div_euclid(3_600_000_000) as i32
}

/// The UTC day of a moment.
pub(super) fn day(micros: i64) -> i32 {
    micros.div_euclid(86_400_000_000) as i32
}
