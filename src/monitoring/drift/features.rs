//! Features watched window by window: is this window as those before?

use super::distance::{of_categories, of_numbers};
use super::finding::{ChangeSize, DriftKind, Finding, Severity};
use super::since_words;
use super::slice_sums::Places;
use crate::event::{Completion, Started};
use crate::monitoring::dimension::{DIMENSIONS, Dimension, FIRST, Names, UNKNOWN, Values};
use crate::monitoring::histogram::Histogram;
use crate::monitoring::options::MonitorOptions;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Numbers known at the start, in the order of [`at_start`].
pub(in crate::monitoring) const START_NUMBERS: [&str; 13] = [
    "description_length",
    "temperature",
    "max_tokens",
    "rag_examples_count",
    "rag_avg_similarity",
    "rag_avg_quality",
    "num_files_to_generate",
    "estimated_lines_of_code",
    "num_dependencies",
    "current_queue_size",
    "system_load",
    "attempt",
    "predicted_success",
];

/// Numbers known at the end, in the order of [`at_end`].
pub(in crate::monitoring) const END_NUMBERS: [&str; 6] =
    ["seconds", "tokens", "cost_usd", "lines_of_code", "cyclomatic_complexity", "self_review_score"];

/// A window is closed no sooner than this, so that night is not compared with day.
pub(super) const LEAST_MICROS: i64 = 86_400_000_000;
/// Windows that tell what is usual before one is compared with them.
pub(super) const LEAST_WINDOWS: u64 = 2;
/// Windows after which those before fade.
pub(super) const MEMORY_WINDOWS: u64 = 20;
/// A new value is reported once it makes up this share of a window.
const NEW_SHARE: f64 = 0.01;

/// The numbers and categories of one kind of record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::monitoring) struct FeatureWatch {
    numbers: Vec<Pair<Histogram>>,
    categories: Vec<Pair<Vec<u32>>>,
    places: Pair<Places>,
    /// Events in the window.
    events: u32,
    /// When its first became known.
    from: i64,
    /// Windows that tell what is usual.
    windows: u64,
    /// Numbers of all closed windows by week (days since 1970 of its Monday).
    weeks: Vec<(i32, Vec<Histogram>)>,
}

/// The reference distribution and the current window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pair<T> {
    pub(super) usual: T,
    pub(super) window: T,
}

/// Returns the numeric features of a start.
pub(in crate::monitoring) fn at_start(
    started: &Started,
    predicted: Option<f64>,
) -> [f64; START_NUMBERS.len()] {
    let task = &started.context;
    let whole = |v: Option<u32>| v.map_or(f64::NAN, f64::from);
    let real = |v: Option<f64>| v.unwrap_or(f64::NAN);
    [
        task.task_description.len() as f64,
        real(task.temperature),
        whole(task.max_tokens),
        whole(task.rag_examples_count),
        real(task.rag_avg_similarity),
        real(task.rag_avg_quality),
        whole(task.num_files_to_generate),
        whole(task.estimated_lines_of_code),
        whole(task.num_dependencies),
        whole(task.current_queue_size),
        real(task.system_load),
        f64::from(task.attempt),
        real(predicted),
    ]
}

/// Returns the numeric features of an end.
pub(in crate::monitoring) fn at_end(end: &Completion) -> [f64; END_NUMBERS.len()] {
    let real = |v: Option<f64>| v.unwrap_or(f64::NAN);
    [
        real(end.generation_time_seconds),
        end.tokens_used.map_or(f64::NAN, |tokens| tokens as f64),
        real(end.cost_usd),
        end.lines_of_code.map_or(f64::NAN, f64::from),
        real(end.cyclomatic_complexity),
        real(end.self_review_score),
    ]
}

impl FeatureWatch {
    /// Takes in the numbers of an event, and the slices in which it is; whether its window is full.
    pub(in crate::monitoring) fn add<const N: usize>(
        &mut self,
        numbers: &[f64; N],
        values: Option<&Values>,
        known_at: i64,
        window: u32,
    ) -> bool {
        if self.events == 0 {
            self.from = known_at;
        }
        self.events += 1;
        self.numbers.resize_with(numbers.len(), Pair::default);
        self.numbers.iter_mut().zip(numbers).for_each(|(pair, value)| pair.window.add(*value));
        values.into_iter().for_each(|values| self.places.window.add(numbers, values));
        self.events >= window && known_at - self.from >= LEAST_MICROS
    }

    /// Takes in the categories of an event, before its numbers.
    pub(in crate::monitoring) fn count(&mut self, values: &Values) {
        self.categories.resize_with(DIMENSIONS, Pair::default);
        for (pair, value) in self.categories.iter_mut().zip(values) {
            let at = usize::from(*value);
            if pair.window.len() <= at {
                pair.window.resize(at + 1, 0);
            }
            pair.window[at] += 1;
        }
    }

    /// Closes the window: what has changed in it beyond chance.
    pub(in crate::monitoring) fn close(
        &mut self,
        named: &[&'static str],
        names: &Names,
        options: &MonitorOptions,
        now: DateTime<Utc>,
    ) -> Vec<Finding> {
        let since = DateTime::from_timestamp_micros(self.from).unwrap_or(now);
        let mut found = Vec::new();
        let mut changed = vec![false; named.len() + DIMENSIONS];
        if self.windows >= LEAST_WINDOWS {
            let context = Context { since, now, events: u64::from(self.events) };
            let mut tests = self.number_tests(named, names, &context);
            tests.extend(self.category_tests(named.len(), names, &context));
            // All tests of a window together err as seldom as the windows of starts and of ends may.
            let level = options.false_alarms * f64::from(self.events) / 10_000.0 / 2.0;
            for (which, finding) in benjamini_hochberg(tests, level.min(0.2)) {
                if finding.size.psi.is_some_and(|psi| psi >= options.least_psi) {
                    changed[which] = true;
                    found.push(finding);
                }
            }
            found.extend(self.arrivals(names, &context));
        }
        self.keep(&changed, now);
        found
    }

    fn number_tests(
        &self,
        named: &[&'static str],
        names: &Names,
        context: &Context,
    ) -> Vec<(usize, Finding)> {
        let pairs = self.numbers.iter().zip(named).enumerate();
        pairs
            .filter_map(|(which, (pair, name))| {
                let distance = of_numbers(&pair.usual, &pair.window)?;
                let size = ChangeSize {
                    psi: Some(distance.psi),
                    ks: Some(distance.ks),
                    wasserstein: Some(distance.wasserstein),
                    p_value: Some(distance.p_value),
                    ..ChangeSize::default()
                };
                let middle = |h: &Histogram| h.quantile(0.5).unwrap_or(0.0);
                let (before, after) = (middle(&pair.usual), middle(&pair.window));
                let place = self.places.window.moved(&self.places.usual, which);
                let slice = place.and_then(|(dimension, value)| names.key(dimension, value));
                let here = slice.as_ref().map_or_else(String::new, |key| format!("; it sits with {key}"));
                let text = format!(
                    "{name} is distributed otherwise: median {before:.3} before, {after:.3} since {} (PSI {:.2}){here}.",
                    since_words(context.since),
                    distance.psi
                );
                let finding = context.finding(DriftKind::Feature, name, (before, after), size, text);
                Some((which, Finding { slice, ..finding }))
            })
            .collect()
    }

    fn category_tests(&self, first: usize, names: &Names, context: &Context) -> Vec<(usize, Finding)> {
        let pairs = Dimension::ALL.into_iter().zip(&self.categories);
        pairs
            .filter_map(|(dimension, pair)| {
                let distance = of_categories(&pair.usual, &pair.window)?;
                let size = ChangeSize {
                    psi: Some(distance.psi),
                    jensen_shannon: Some(distance.jensen_shannon),
                    p_value: Some(distance.p_value),
                    ..ChangeSize::default()
                };
                let (value, before, after) = most_moved(&pair.usual, &pair.window);
                let key = names.key(dimension, value);
                let value = key.map_or_else(|| "unknown".to_owned(), |key| key.value);
                let text = format!(
                    "The mix of {}s has changed: {value} was {:.0} %, is {:.0} % since {} (Jensen-Shannon {:.2} bits).",
                    dimension.name(),
                    before * 100.0,
                    after * 100.0,
                    since_words(context.since),
                    distance.jensen_shannon
                );
                let finding =
                    context.finding(DriftKind::Feature, dimension.name(), (before, after), size, text);
                Some((first + dimension as usize, finding))
            })
            .collect()
    }

    /// Values that were not there before.
    fn arrivals(&self, names: &Names, context: &Context) -> Vec<Finding> {
        let mut found = Vec::new();
        for (dimension, pair) in Dimension::ALL.into_iter().zip(&self.categories) {
            let usual = |at: usize| pair.usual.get(at).copied().unwrap_or(0);
            for (at, n) in pair.window.iter().enumerate().skip(usize::from(FIRST)) {
                let share = f64::from(*n) / context.events.max(1) as f64;
                let Some(key) = names.key(dimension, at as u16) else { continue };
                if usual(at) == 0 && share >= NEW_SHARE && *n >= 5 {
                    let text = format!(
                        "{key} is new: {:.0} % of tasks since {}.",
                        share * 100.0,
                        since_words(context.since)
                    );
                    let mut finding = context.finding(
                        DriftKind::NewCategory,
                        &key.value,
                        (0.0, share),
                        ChangeSize::default(),
                        text,
                    );
                    finding.severity = Severity::Info;
                    finding.slice = Some(key);
                    finding.advice =
                        "Its predictions rest on what is known of others until outcomes come in: look at them, \
                         and retrain after some hundred."
                            .into();
                    found.push(finding);
                }
            }
        }
        found
    }

    /// The window becomes a part of what is usual; where it differs, all of it.
    fn keep(&mut self, changed: &[bool], now: DateTime<Utc>) {
        let week = monday(now);
        if !self.weeks.iter().any(|(known, _)| *known == week) {
            self.weeks.push((week, vec![Histogram::default(); self.numbers.len()]));
        }
        let fade = self.windows >= MEMORY_WINDOWS;
        let of_week = self.weeks.iter_mut().filter(|(known, _)| *known == week);
        let mut sums = of_week.flat_map(|(_, sums)| sums);
        for (which, (pair, changed)) in self.numbers.iter_mut().zip(changed).enumerate() {
            let window = std::mem::take(&mut pair.window);
            if let Some(sum) = sums.next() {
                sum.merge(&window);
            }
            if *changed {
                pair.usual = window;
                self.places.usual.forget(which);
                continue;
            }
            if fade {
                pair.usual.halve();
                self.places.usual.halve(which);
            }
            pair.usual.merge(&window);
        }
        self.places.usual.merge(&std::mem::take(&mut self.places.window));
        for (pair, changed) in self.categories.iter_mut().zip(&changed[self.numbers.len()..]) {
            let window = std::mem::take(&mut pair.window);
            if *changed {
                pair.usual = window;
                continue;
            }
            pair.usual.resize(pair.usual.len().max(window.len()), 0);
            for (at, usual) in pair.usual.iter_mut().enumerate() {
                // What has been there is not new again once it has faded.
                let left = if fade { usual.div_ceil(2) } else { *usual };
                *usual = left + window.get(at).copied().unwrap_or(0);
            }
        }
        self.windows = if fade { MEMORY_WINDOWS / 2 } else { self.windows } + 1;
        self.events = 0;
    }

    /// Forgets weeks before the day.
    pub(in crate::monitoring) fn prune(&mut self, first_day: i32) {
        self.weeks.retain(|(week, _)| week + 6 >= first_day);
    }

    /// All numbers that are kept, put together.
    pub(in crate::monitoring) fn totals(&self) -> Vec<Histogram> {
        let mut sums: Vec<_> = self.numbers.iter().map(|pair| pair.window.clone()).collect();
        for (_, week) in &self.weeks {
            sums.iter_mut().zip(week).for_each(|(sum, one)| sum.merge(one));
        }
        sums
    }
}

pub(super) struct Context {
    pub(super) since: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
    pub(super) events: u64,
}

impl Context {
    pub(super) fn finding(
        &self,
        kind: DriftKind,
        subject: &str,
        (before, after): (f64, f64),
        size: ChangeSize,
        text: String,
    ) -> Finding {
        let much = size.psi.is_some_and(|psi| psi > 0.25);
        Finding {
            kind,
            subject: subject.to_owned(),
            slice: None,
            within: None,
            since: self.since,
            found_at: self.now,
            events: self.events,
            before,
            after,
            size,
            severity: if much { Severity::Warning } else { Severity::Info },
            text,
            advice: "See whether the host records it otherwise now; if tasks have changed, retrain.".into(),
        }
    }
}

/// The value whose share moved most, with its shares before and now.
pub(super) fn most_moved(before: &[u32], now: &[u32]) -> (u16, f64, f64) {
    let sum = |counts: &[u32]| counts.iter().map(|c| f64::from(*c)).sum::<f64>().max(1.0);
    let (n, m) = (sum(before), sum(now));
    let share = |counts: &[u32], at: usize, n: f64| counts.get(at).map_or(0.0, |c| f64::from(*c)) / n;
    let moved =
        (0..before.len().max(now.len())).map(|at| (at as u16, share(before, at, n), share(now, at, m)));
    moved.max_by(|a, b| (a.1 - a.2).abs().total_cmp(&(b.1 - b.2).abs())).unwrap_or((UNKNOWN, 0.0, 0.0))
}

/// Those of the findings that stand when all are looked at together (Benjamini and Hochberg 1995).
pub(super) fn benjamini_hochberg(mut tests: Vec<(usize, Finding)>, level: f64) -> Vec<(usize, Finding)> {
    let p = |finding: &Finding| finding.size.p_value.unwrap_or(1.0);
    tests.sort_by(|a, b| p(&a.1).total_cmp(&p(&b.1)));
    let m = tests.len() as f64;
    let last = tests.iter().enumerate().rposition(|(i, (_, f))| p(f) <= level * (i + 1) as f64 / m);
    tests.truncate(last.map_or(0, |last| last + 1));
    tests
}

/// The Monday of a moment's week, in days since 1970 (which began on a Thursday).
fn monday(now: DateTime<Utc>) -> i32 {
    let day = now.timestamp().div_euclid(86_400) as i32;
    day - (day + 3).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_its_monday() {
        let at = |text: &str| monday(text.parse().unwrap());
        assert_eq!(at("2025-03-09T23:59:59Z"), at("2025-03-03T00:00:00Z"));
        assert_eq!(at("2025-03-10T00:00:00Z") - at("2025-03-09T00:00:00Z"), 7);
    }

    #[test]
    fn of_many_tests_few_stand() {
        let context = Context { since: DateTime::UNIX_EPOCH, now: DateTime::UNIX_EPOCH, events: 1 };
        let test = |p: f64| {
            let size = ChangeSize { p_value: Some(p), ..ChangeSize::default() };
            (0, context.finding(DriftKind::Feature, "x", (0.0, 0.0), size, String::new()))
        };
        let stand = |p: &[f64]| benjamini_hochberg(p.iter().map(|p| test(*p)).collect(), 0.05).len();
        // The example of Benjamini and Hochberg (1995), section 3.2: of 15, four stand.
        let published = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        assert_eq!(stand(&published), 4);
        assert_eq!(stand(&[0.2, 0.9]), 0);
    }
}
