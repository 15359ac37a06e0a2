//! Aggregated outcomes of generations, by the day of their start and by slice.

use super::aggregates::{Bin, Cell, SuccessCell, bin_of};
use super::dimension::{DIMENSIONS, Dimension, Values};
use super::generation::{Parts, Terms};
use super::histogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Pairs of policy and choice that are told apart on a day.
const CHOICES: usize = 64;

/// One day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Day {
    pub(super) all: Cell,
    /// By dimension and value.
    pub(super) slices: [Vec<Cell>; DIMENSIONS],
    /// All predictions of success that were shown, whatever has become of them.
    pub(super) shown: Vec<Bin>,
    /// Choices by policy and what was chosen: how many, and the sum of their propensities in millionths.
    pub(super) choices: BTreeMap<(String, String), (u64, u64)>,
    /// Seconds from start to approval.
    pub(super) approval: Histogram,
    /// Milliseconds that predictions took.
    pub(super) latency: Histogram,
    /// Generations that the host says it started.
    pub(super) host_started: u64,
}

/// Days since 1970, the newest so many.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Days {
    by_day: BTreeMap<i32, Day>,
    /// First tries and regenerations of the first days ever seen.
    baseline: BTreeMap<i32, (i64, i64)>,
}

/// First days that are kept for the baseline: those of the longest one, and some before of which a few starts alone are known.
const BASELINE_DAYS: usize = 365 + 64;

impl Days {
    /// Returns the day, unless it is before the first that is kept, or too many lie ahead of the bulk of the records.
    pub(super) fn day(&mut self, day: i32, (first, end): (i32, i32)) -> Option<&mut Day> {
        if day < first {
            return None;
        }
        while self.by_day.first_key_value().is_some_and(|(oldest, _)| *oldest < first) {
            self.by_day.pop_first();
        }
        let is_new = day > end && !self.by_day.contains_key(&day);
        if is_new && self.by_day.range(end.saturating_add(1)..).count() >= super::AHEAD {
            return None;
        }
        Some(self.by_day.entry(day).or_default())
    }

    /// Adds what a generation shows, or takes it back.
    pub(super) fn add(&mut self, day: i32, values: &Values, parts: &Parts, sign: i64, kept: (i32, i32)) {
        let Some(day) = self.day(day, kept) else { return };
        let terms = parts.terms();
        add(&mut day.all, &terms, sign);
        if let Some(seconds) = parts.outcome.and_then(|outcome| outcome.seconds_to_approval) {
            if sign > 0 { day.approval.add(seconds) } else { day.approval.take_back(seconds) }
        }
        for (cells, value) in day.slices.iter_mut().zip(values) {
            let at = usize::from(*value);
            if cells.len() <= at {
                cells.resize_with(at + 1, Cell::default);
            }
            add(&mut cells[at], &terms, sign);
        }
    }

    /// Counts a start towards what is usual without predictions.
    pub(super) fn note_baseline(&mut self, day: i32, regeneration: bool) {
        let sum = self.baseline.entry(day).or_default();
        *(if regeneration { &mut sum.1 } else { &mut sum.0 }) += 1;
        if self.baseline.len() > BASELINE_DAYS {
            self.baseline.pop_last();
        }
    }

    /// Returns regenerations for each first try in the first days, where the last one counted is before `until`, and that
    /// day; `None` until they are over. The first day is one that others follow soon: not that of a clock set to 1970.
    pub(super) fn baseline(&self, baseline_days: u32, until: i32) -> Option<(f64, i32)> {
        let starts = |days: std::ops::Range<i32>| -> i64 {
            self.baseline.range(days).map(|(_, (first, again))| first + again).sum()
        };
        let enough = (starts(i32::MIN..i32::MAX) / 2).min(8);
        let first = *self.baseline.keys().find(|day| starts(**day..day.saturating_add(31)) >= enough)?;
        let last = first.saturating_add(baseline_days as i32 - 1);
        if self.by_day.range(..=until).next_back().is_none_or(|(day, _)| *day <= last) {
            return None;
        }
        let of_days = self.baseline.range(first..=last);
        let (tries, again) = of_days.fold((0, 0), |sum, (_, day)| (sum.0 + day.0, sum.1 + day.1));
        (tries > 0).then(|| (again as f64 / tries as f64, last))
    }

    pub(super) fn first(&self) -> Option<i32> {
        self.by_day.first_key_value().map(|(day, _)| *day)
    }

    /// Returns the days that are not after `until`, the oldest first.
    pub(super) fn past(&self, until: i32) -> impl DoubleEndedIterator<Item = (i32, &Day)> {
        self.by_day.range(..=until).map(|(day, sums)| (*day, sums))
    }

    /// Returns the last day that is not after `until`.
    pub(super) fn last(&self, until: i32) -> Option<i32> {
        self.past(until).next_back().map(|(day, _)| day)
    }

    /// The days from `from` to `until`, the oldest first.
    pub(super) fn between(&self, from: i32, until: i32) -> impl DoubleEndedIterator<Item = (i32, &Day)> {
        let until = until.max(from.saturating_sub(1));
        self.by_day
            .range(from..=until.max(from))
            .map(|(day, sums)| (*day, sums))
            .filter(move |(d, _)| *d <= until)
    }

    /// All days, also those of stamps that lie ahead.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = (i32, &Day)> {
        self.by_day.iter().map(|(day, sums)| (*day, sums))
    }

    /// The sum over days.
    pub(super) fn sum(&self, from: i32, until: i32) -> Cell {
        self.between(from, until).fold(Cell::default(), |mut sum, (_, day)| {
            sum.merge(&day.all);
            sum
        })
    }

    /// The sums over all days of each value of a dimension, by its number.
    pub(super) fn slices(&self, dimension: Dimension) -> Vec<Cell> {
        let mut sums: Vec<Cell> = Vec::new();
        for day in self.by_day.values() {
            let cells = &day.slices[dimension as usize];
            sums.resize_with(sums.len().max(cells.len()), Cell::default);
            sums.iter_mut().zip(cells).for_each(|(sum, cell)| sum.merge(cell));
        }
        sums
    }
}

impl Day {
    pub(super) fn show(&mut self, predicted: f64) {
        self.shown.resize(super::analytics::SuccessScores::BINS, Bin::default());
        self.shown[bin_of(predicted)].add(predicted, 1);
    }

    pub(super) fn choose(&mut self, policy: &str, chosen: &str, propensity: f64) {
        let mut key = (super::dimension::shown(policy), super::dimension::shown(chosen));
        if self.choices.len() >= CHOICES && !self.choices.contains_key(&key) {
            super::dimension::SliceKey::OTHER.clone_into(&mut key.1);
            if self.choices.len() >= 2 * CHOICES {
                super::dimension::SliceKey::OTHER.clone_into(&mut key.0);
            }
        }
        let sum = self.choices.entry(key).or_default();
        *sum = (sum.0 + 1, sum.1 + (propensity * 1e6) as u64);
    }

    pub(super) fn success(&self) -> Option<&SuccessCell> {
        self.all.success.as_deref()
    }
}

fn add(cell: &mut Cell, terms: &Terms, sign: i64) {
    terms.start.into_iter().for_each(|part| cell.add_start(part, sign));
    terms.end.iter().for_each(|end| cell.add_end(end, sign));
    terms.outcome.iter().for_each(|outcome| cell.add_outcome(outcome, sign));
    for (which, number) in terms.numbers.iter().enumerate() {
        number.iter().for_each(|number| cell.add_number(which, number, sign));
    }
}
