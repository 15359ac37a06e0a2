//! Monitoring: KPIs, calibration, drift, subgroups, alerts and the dashboard.
//!
//! A [`Monitor`] reads the records of the store and keeps sums by day and slice: the cost of a report depends on the days
//! and slices kept, not on the number of generations, and memory is bounded. [`Monitor::analytics`] returns the report;
//! [`Alerts`] evaluates rules on it.
//!
//! ```
//! use devmatrix_ml::event::GenerationEvent;
//! use devmatrix_ml::monitoring::{KpiName, ModelFacts, Monitor, MonitorOptions};
//! let mut monitor = Monitor::new(MonitorOptions::default())?;
//! for i in 0..100 {
//!     let event = GenerationEvent::from_json(&format!(
//!         r#"{{"event_id":"e{i}","task_id":"t{i}","agent_type":"backend","started_at":"2025-03-01T10:00:00Z",
//!             "completed_at":"2025-03-01T11:00:00Z","user_action":"{}"}}"#,
//!         if i % 4 == 0 { "reject" } else { "approve" }
//!     ))?;
//!     event.into_records()?.iter().for_each(|record| monitor.observe(record));
//! }
//! let seen = monitor.analytics("2025-03-02T10:00:00Z".parse().unwrap(), &ModelFacts::default());
//! let rate = seen.kpis.iter().find(|kpi| kpi.name == KpiName::SuccessRate).unwrap();
//! assert_eq!((rate.value, rate.n), (Some(0.75), 100));
//! # Ok::<(), devmatrix_ml::Error>(())
//! ```

mod aggregates;
mod alerts;
mod analytics;
mod calibration;
#[cfg(feature = "dashboard")]
pub mod dashboard;
mod days;
mod dimension;
mod drift;
mod generation;
mod histogram;
mod horizon;
mod moments;
mod options;
mod recent;
mod shared;
mod slices;
mod subgroups;
mod vocabulary;

pub use alerts::{Alert, AlertRule, AlertSink, AlertState, Alerts, HostFacts, Signal};
#[cfg(all(test, feature = "simulate"))]
pub(crate) use analytics::Figures;
#[cfg(feature = "dashboard")]
pub(crate) use analytics::Rate;
pub use analytics::{Analytics, Kpi, KpiName, ModelFacts};
#[cfg(feature = "dashboard")]
pub(crate) use analytics::{
    CategoryDistribution, DataDistribution, ModelImportance, ModelPerformance, NumberScores, Period,
    Recording, RoutingShare, SliceAccuracy, SliceFigures, SuccessScores, VersionSummary,
};
#[cfg(feature = "dashboard")]
pub(crate) use calibration::{Calibration, CalibrationWeek, CoverageWeek};
pub use dimension::{Dimension, SliceKey};
#[cfg(feature = "dashboard")]
pub(crate) use drift::CbpeEstimate;
pub(crate) use drift::UnseenCounts;
pub use drift::{DriftKind, Finding, Severity};
pub use options::MonitorOptions;
pub use shared::SharedMonitor;
#[cfg(feature = "dashboard")]
pub(crate) use slices::WorstSlice;
pub use subgroups::{Condition, Subgroup};

#[cfg(all(test, feature = "simulate"))]
mod tests;

use crate::error::{Error, Result};
use crate::event::{CLOCK_DOUBTED, Completion, Fact, Metadata, Record, Started};
use crate::registry::envelope;
use crate::stats::fnv::{self, ByHash};
use crate::verify::verified;
use aggregates::{NUMBERS, NumberCell, Scored, SuccessCell};
use chrono::{DateTime, Utc};
use days::Days;
use dimension::Names;
use drift::{ColumnWatch, Context, Drift, END_NUMBERS, FeatureWatch, START_NUMBERS, at_end, at_start};
use generation::{Generation, OWN_FIELDS, Parts, Start};
use horizon::Horizon;
use recent::{Evaluated, Recent};
use serde::{Deserialize, Serialize};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use subgroups::Patterns;
use vocabulary::Words;

/// The kind of a monitor's bytes, before the names of what was added since.
const KIND: &str = "monitor-5";
/// Drift detectors of that kind.
const DETECTORS: usize = 2;
/// A monitor's bytes are not read beyond this many.
const MAX_BYTES: usize = 1 << 30;
/// Versions of each model whose scores are kept.
const VERSIONS: usize = 32;
/// Hours in which starts are counted: five weeks.
const HOURS: i32 = 35 * 24;
/// Days, and hours, that are kept of records stamped ahead of all others.
const AHEAD: usize = 96;
/// Newest ends whose moments are kept.
const ENDS: usize = 4_096;
/// Days for which it is known when something was last recorded.
const SEEN_DAYS: i32 = 400;
const MICROS_A_DAY: i64 = 86_400_000_000;

/// Sums over generations by day and slice, with the drift detectors; see the [module](self).
///
/// Its figures are a function of the set of records as long as a generation is
/// [remembered](MonitorOptions::remember_days): each is counted once, on the day on which it started, with its latest
/// feedback. Drift and subgroups depend on the order of the outcomes. What is kept follows the bulk of the records: one
/// stamped years ahead is counted, but puts out no day, and its own day is shown once it has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    #[serde(deserialize_with = "verified")]
    options: MonitorOptions,
    names: Names,
    words: Words,
    generations: ByHash<Generation>,
    /// Their ids by the time of their first record.
    order: VecDeque<(i64, u64)>,
    days: Days,
    /// Predictions of success by version.
    success_versions: BTreeMap<u64, SuccessCell>,
    number_versions: [BTreeMap<u64, NumberCell>; NUMBERS.len()],
    recent: Recent,
    drift: Drift,
    starts: FeatureWatch,
    ends: FeatureWatch,
    #[serde(alias = "patterns")]
    subgroups: Patterns,
    flow: Flow,
    horizon: Horizon,
    /// The host's own columns, of starts and of ends; written behind all else.
    #[serde(skip)]
    columns: [ColumnWatch; 2],
}

/// Ingestion health.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Flow {
    records: u64,
    /// Starts by hour since 1970, ascending.
    hours: VecDeque<(i32, u32)>,
    /// By day since 1970.
    seen: BTreeMap<i32, Seen>,
    /// Ends of generations by moment, the newest.
    ends: BTreeMap<i64, u32>,
    /// Generations that were forgotten before their start came.
    lost: u64,
}

/// The last records of a day, in microseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    start: Option<i64>,
    end: Option<i64>,
    outcome: Option<i64>,
    /// Starts and ends recorded while their host's clock was not believed.
    doubted: u64,
}

impl Monitor {
    /// Creates an empty monitor.
    ///
    /// # Errors
    /// `InvalidInput` naming the option that is out of range.
    pub fn new(options: MonitorOptions) -> Result<Self> {
        options.validate()?;
        Ok(Self {
            options,
            names: Names::default(),
            words: Words::default(),
            generations: ByHash::default(),
            order: VecDeque::new(),
            days: Days::default(),
            success_versions: BTreeMap::new(),
            number_versions: Default::default(),
            recent: Recent::default(),
            drift: Drift::default(),
            starts: FeatureWatch::default(),
            ends: FeatureWatch::default(),
            subgroups: Patterns::default(),
            flow: Flow::default(),
            horizon: Horizon::default(),
            columns: Default::default(),
        })
    }

    /// Returns its options.
    pub(crate) fn options(&self) -> &MonitorOptions {
        &self.options
    }

    /// Adds a record, in about a microsecond; adding it again changes no figure.
    pub fn observe(&mut self, record: &Record) {
        let known_at = record.known_at();
        let micros = known_at.timestamp_micros();
        self.flow.records += 1;
        self.horizon.add(micros);
        let seen_at = self.credible(micros);
        let id = fnv::hash(record.event_id().as_str().as_bytes());
        let mut generation = match self.generations.entry(id) {
            Entry::Occupied(mut known) => std::mem::take(known.get_mut()),
            Entry::Vacant(free) => {
                self.order.push_back((seen_at, id));
                std::mem::take(free.insert(Generation::default()))
            }
        };
        let before = At::of(&generation);
        match record.fact() {
            Fact::Started(started) => self.start(&mut generation, started, known_at),
            Fact::Completed(end) => self.end(&mut generation, end, known_at),
            Fact::Feedback(feedback) => {
                generation.join_verdict(feedback, known_at);
                self.flow.see(micros, self.horizon.end(), |seen| &mut seen.outcome);
            }
        }
        let after = At::of(&generation);
        self.recount(&before, &after);
        self.label(&mut generation, seen_at);
        self.generations.insert(id, generation);
        self.forget();
    }

    /// Records the latency of a prediction on the host's side.
    pub fn note_latency(&mut self, at: DateTime<Utc>, took: Duration) {
        if let Some(day) = self.noted_day(at) {
            day.latency.add(took.as_secs_f64() * 1e3);
        }
    }

    /// Records that the host started so many generations, recorded or not, for the share recorded.
    pub fn host_started(&mut self, at: DateTime<Utc>, generations: u64) {
        if let Some(day) = self.noted_day(at) {
            day.host_started = day.host_started.saturating_add(generations);
        }
    }

    /// Searches for subgroups where enough outcomes have come since the last search, in some tens of milliseconds at most.
    /// Call it in the nightly job, or before a report.
    pub fn review(&mut self, now: DateTime<Utc>) {
        self.subgroups.review(&self.recent, &self.names, &self.words, &self.options, now);
    }

    /// Returns the drift findings, the oldest first, as [`Analytics::drift`] has them.
    pub fn findings(&self) -> &[Finding] {
        self.drift.findings()
    }

    /// Returns the report at `now`.
    pub fn analytics(&self, now: DateTime<Utc>, models: &ModelFacts) -> Analytics {
        analytics::report(self, now, models)
    }

    /// Returns the monitor as bytes, so that a start need not read all events.
    ///
    /// # Errors
    /// `Internal` where it cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut payload = postcard::to_stdvec(self).map_err(unwritten)?;
        if self.columns.iter().any(|columns| !columns.is_empty()) {
            payload = postcard::to_extend(&self.columns, payload).map_err(unwritten)?;
        }
        envelope::seal(&kind(), &payload)
    }

    /// Reads a monitor from the bytes of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// `Corrupt` or `Incompatible` for other bytes, `InvalidInput` for options out of range.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let payload = envelope::open(bytes, &kind(), MAX_BYTES)?;
        let unread = |e| Error::corrupt("the monitor's bytes cannot be read").with_source(e);
        let (mut monitor, rest): (Self, _) = postcard::take_from_bytes(payload).map_err(unread)?;
        if !rest.is_empty() {
            monitor.columns = postcard::from_bytes(rest).map_err(unread)?;
        }
        monitor.options.validate()?;
        Ok(monitor)
    }

    /// Returns the day of a host's own counts. A clock far ahead of the records does not push their days out.
    fn noted_day(&mut self, at: DateTime<Utc>) -> Option<&mut days::Day> {
        let (day, most) = (day_of(at.timestamp_micros()), self.options.days);
        let last = (self.flow.records > 0).then(|| day_of(self.horizon.end()));
        if last.is_some_and(|last| day > last.saturating_add(most as i32)) {
            return None;
        }
        self.days.day(day, (self.kept().0, last.unwrap_or(day)))
    }

    /// Returns the first day that is kept, and the last that the bulk of the records reaches.
    fn kept(&self) -> (i32, i32) {
        (self.horizon.first_day(self.options.days), day_of(self.horizon.end()))
    }

    /// Returns the stamp of a record as the detectors may see it.
    fn credible(&self, micros: i64) -> i64 {
        self.horizon.credible(micros, self.options.remember_days)
    }

    fn start(&mut self, generation: &mut Generation, started: &Started, known_at: DateTime<Utc>) {
        let micros = known_at.timestamp_micros();
        let values = self.names.values(&started.context, usize::from(self.options.values));
        let words = self.words.of(&started.context.task_description);
        let start = Start::new(started, known_at, values, words);
        let first = generation.start().is_none();
        let predicted = start.success.map(|(predicted, _)| predicted);
        generation.join_start(start);
        if !first {
            return;
        }
        let (end, seen_at) = (self.horizon.end(), self.credible(micros));
        self.flow.see(micros, end, |seen| &mut seen.start);
        self.flow.note_doubt(micros, &started.metadata);
        self.flow.count_start(micros, end);
        self.days.note_baseline(day_of(micros), started.context.attempt > 0);
        if let Some(day) = self.days.day(day_of(micros), self.kept()) {
            predicted.into_iter().for_each(|predicted| day.show(predicted));
            if let Some(decision) = &started.decision {
                day.choose(&decision.policy, &decision.chosen, decision.propensity);
            }
        }
        let known_at = DateTime::from_timestamp_micros(seen_at).unwrap_or(known_at);
        let found = self.columns[0].add(&started.context.columns, known_at, &self.options);
        self.drift.add(found);
        self.starts.count(&values);
        let numbers = at_start(started, predicted);
        if self.starts.add(&numbers, Some(&values), seen_at, self.options.window) {
            let found = self.starts.close(&START_NUMBERS, &self.names, &self.options, known_at);
            self.drift.add(found);
            let first = self.days.first().unwrap_or(0);
            self.starts.prune(first);
            self.ends.prune(first);
        }
    }

    fn end(&mut self, generation: &mut Generation, end: &Completion, known_at: DateTime<Utc>) {
        let micros = known_at.timestamp_micros();
        let before = generation.ended_at();
        generation.join_end(end, known_at);
        self.flow.count_end(before, generation.ended_at());
        let (until, seen_at) = (self.horizon.end(), self.credible(micros));
        self.flow.see(micros, until, |seen| &mut seen.end);
        if end.success.is_some() {
            self.flow.see(micros, until, |seen| &mut seen.outcome);
        }
        if before.is_some() {
            return;
        }
        self.flow.note_doubt(micros, &end.metadata);
        let known_at = DateTime::from_timestamp_micros(seen_at).unwrap_or(known_at);
        let found = self.columns[1].add(&end.columns, known_at, &self.options);
        self.drift.add(found);
        let values = generation.start().map(|start| start.values);
        if self.ends.add(&at_end(end), values.as_ref(), seen_at, self.options.window) {
            let found = self.ends.close(&END_NUMBERS, &self.names, &self.options, known_at);
            self.drift.add(found);
        }
    }

    /// Subtracts the former contribution of a generation, where it has changed, and adds the new one.
    fn recount(&mut self, before: &At, after: &At) {
        let (mut old, mut new) = (before.parts, after.parts);
        if before.place == after.place {
            leave_out_common(&mut old, &mut new);
        }
        for (at, parts, sign) in [(before, old, -1), (after, new, 1)] {
            let Some((day, values)) = at.place.filter(|_| parts != Parts::default()) else { continue };
            let kept = self.kept();
            self.days.add(day, &values, &parts, sign, kept);
            self.count_versions(at, &parts, sign);
        }
    }

    fn count_versions(&mut self, at: &At, parts: &Parts, sign: i64) {
        if let Some(outcome) = parts.outcome
            && let (Some(predicted), Some(success)) = (outcome.predicted, outcome.success)
            && let Some(version) = at.success_version
        {
            newest(&mut self.success_versions, version).add(&Scored::of(predicted, success), sign);
        }
        for (which, part) in parts.numbers.iter().enumerate() {
            if let (Some(part), Some(version)) = (part, at.number_versions[which]) {
                newest(&mut self.number_versions[which], version).add(&part.terms(), sign);
            }
        }
    }

    /// Passes a first outcome to the drift detectors; a revised one only corrects it.
    fn label(&mut self, generation: &mut Generation, micros: i64) {
        let (Some(start), Some(success)) = (generation.start(), generation.success()) else { return };
        if let Some(place) = generation.place {
            self.recent.revise(place, success);
            return;
        }
        let row = Evaluated {
            known_at: micros,
            values: start.values,
            words: start.words,
            success,
            predicted: start.success.map_or(f32::NAN, |(predicted, _)| predicted as f32),
        };
        generation.place = Some(self.recent.push(row, self.options.recent));
        let context = Context { recent: &self.recent, names: &self.names, options: &self.options };
        self.drift.update(&row, &context);
    }

    /// Drops generations that are too old or too many.
    fn forget(&mut self) {
        let oldest = self.horizon.end() - i64::from(self.options.remember_days) * MICROS_A_DAY;
        while let Some((first_heard, id)) = self.order.front().copied()
            && (first_heard < oldest || self.order.len() > self.options.remember)
        {
            self.order.pop_front();
            let forgotten = self.generations.remove(&id);
            self.flow.lost += u64::from(forgotten.is_some_and(|generation| generation.start().is_none()));
        }
    }
}

/// Returns the kind of a monitor's bytes. A further drift detector or predicted number makes other bytes: named here, they
/// are not mistaken for these.
fn kind() -> String {
    let numbers = NUMBERS.iter().skip(OWN_FIELDS).map(|target| target.name());
    let added = Drift::names().into_iter().skip(DETECTORS).chain(numbers);
    added.fold(KIND.to_owned(), |kind, name| format!("{kind}+{name}"))
}

fn unwritten(error: postcard::Error) -> Error {
    Error::internal("the monitor cannot be written").with_source(error)
}

/// The contribution of a generation, and where it counts.
struct At {
    place: Option<(i32, dimension::Values)>,
    parts: Parts,
    success_version: Option<u64>,
    number_versions: [Option<u64>; NUMBERS.len()],
}

impl At {
    fn of(generation: &Generation) -> Self {
        let start = generation.start();
        Self {
            place: start.map(|start| (day_of(start.known_at), start.values)),
            parts: generation.parts(),
            success_version: start.and_then(|start| start.success).map(|(_, version)| version),
            number_versions: generation.versions(),
        }
    }
}

/// Leaves in both only the parts that differ.
fn leave_out_common(old: &mut Parts, new: &mut Parts) {
    if old.start == new.start {
        (old.start, new.start) = (None, None);
    }
    if old.end == new.end {
        (old.end, new.end) = (None, None);
    }
    if old.outcome == new.outcome {
        (old.outcome, new.outcome) = (None, None);
    }
    for (old, new) in old.numbers.iter_mut().zip(&mut new.numbers) {
        if old == new {
            (*old, *new) = (None, None);
        }
    }
}

/// Returns the sums of a version; of too many versions, the oldest is dropped.
fn newest<T: Default>(versions: &mut BTreeMap<u64, T>, version: u64) -> &mut T {
    if versions.len() >= VERSIONS && !versions.contains_key(&version) {
        versions.pop_first();
    }
    versions.entry(version).or_default()
}

impl Flow {
    /// Notes that something became known at `micros`, where the bulk of the records reaches to `end`.
    fn see(&mut self, micros: i64, end: i64, what: fn(&mut Seen) -> &mut Option<i64>) {
        let last = what(self.seen.entry(day_of(micros)).or_default());
        *last = (*last).max(Some(micros));
        let first = day_of(end).saturating_sub(SEEN_DAYS);
        while self.seen.len() > 1 && self.seen.first_key_value().is_some_and(|(day, _)| *day < first) {
            self.seen.pop_first();
        }
        // The days that lie furthest ahead are those that are least likely to come.
        while self.seen.len() > SEEN_DAYS as usize + AHEAD {
            self.seen.pop_last();
        }
    }

    /// Counts a start or an end whose collector did not believe its clock.
    fn note_doubt(&mut self, micros: i64, metadata: &Metadata) {
        if metadata.contains_key(CLOCK_DOUBTED) {
            self.seen.entry(day_of(micros)).or_default().doubted += 1;
        }
    }

    /// Returns the last moment of a kind that is not after `until`.
    fn last(&self, until: i64, what: fn(&Seen) -> Option<i64>) -> Option<i64> {
        let days = self.seen.range(..=day_of(until)).rev();
        days.filter_map(|(_, seen)| what(seen)).find(|micros| *micros <= until)
    }

    /// Counts the end of a generation, or that it ended at another moment.
    fn count_end(&mut self, before: Option<i64>, after: Option<i64>) {
        if before == after {
            return;
        }
        if let Some(count) = before.and_then(|before| self.ends.get_mut(&before)) {
            *count = count.saturating_sub(1);
        }
        if let Some(after) = after {
            *self.ends.entry(after).or_default() += 1;
        }
        if self.ends.len() > ENDS {
            self.ends.pop_first();
        }
    }

    fn count_start(&mut self, micros: i64, end: i64) {
        let hour = hour_of(micros);
        match self.hours.binary_search_by_key(&hour, |(hour, _)| *hour) {
            Ok(at) => self.hours[at].1 += 1,
            Err(at) => self.hours.insert(at, (hour, 1)),
        }
        let first = hour_of(end) - HOURS;
        while self.hours.len() > 1 && self.hours.front().is_some_and(|(hour, _)| *hour <= first) {
            self.hours.pop_front();
        }
        while self.hours.len() > HOURS as usize + AHEAD {
            self.hours.pop_back();
        }
    }

    /// Starts in the 24 hours up to and with `hour`.
    fn day_until(&self, hour: i32) -> u64 {
        let counted = self.hours.iter().filter(|(at, _)| (hour - 23..=hour).contains(at));
        counted.map(|(_, n)| u64::from(*n)).sum()
    }
}

fn day_of(micros: i64) -> i32 {
    micros.div_euclid(MICROS_A_DAY) as i32
}

fn hour_of(micros: i64) -> i32 {
    micros.div_euclid(MICROS_A_DAY / 24) as i32
}
