//! Pairs and triples of attributes and words whose outcomes are not what their parts let expect.

use crate::monitoring::dimension::FIRST;
use crate::monitoring::recent::Evaluated;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Attributes and words that are combined, at most: the most frequent.
const MOST_ITEMS: usize = 256;
/// Fewer rows than this are no pattern.
const FEWEST: f64 = 40.0;
/// A combination makes up at least this share of all rows.
const LEAST_SHARE: f64 = 0.01;
/// A suspicion is at least this many standard errors from what was expected.
const LEAST_Z: f64 = 3.0;

/// An attribute's value, or a word: its kind in the upper half, its number in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Item(u32);

/// The kind of words, after those of the attributes.
pub(super) const WORD: u32 = 100;

/// Attributes and words that rows have in common: one to three.
pub(super) type Items = Vec<Item>;

impl Item {
    fn new(kind: usize, number: u16) -> Self {
        Self(((kind as u32) << 16) | u32::from(number))
    }

    /// Its kind and number.
    pub(super) fn parts(self) -> (u32, u16) {
        (self.0 >> 16, self.0 as u16)
    }

    pub(super) fn is_in(self, row: &Evaluated) -> bool {
        match self.parts() {
            (WORD, number) => row.words.contains(&number),
            (kind, number) => row.values[kind as usize] == number,
        }
    }
}

/// All that a row has.
fn items(row: &Evaluated) -> impl Iterator<Item = Item> {
    let attributes = row.values.iter().enumerate().filter(|(_, value)| **value >= FIRST);
    let words = row.words.iter().take_while(|word| **word > 0);
    attributes
        .map(|(kind, value)| Item::new(kind, *value))
        .chain(words.map(|word| Item::new(WORD as usize, *word)))
}

/// Returns true if a row has all the items.
pub(super) fn holds(items: &[Item], row: &Evaluated) -> bool {
    items.iter().all(|item| item.is_in(row))
}

/// Outcomes against what was expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Surprise {
    pub(super) n: f64,
    pub(super) successes: f64,
    pub(super) expected: f64,
    variance: f64,
}

impl Surprise {
    pub(super) fn add(&mut self, success: bool, expected: f64) {
        self.n += 1.0;
        self.successes += f64::from(u8::from(success));
        self.expected += expected;
        self.variance += expected * (1.0 - expected);
    }

    fn minus(&self, other: &Self) -> Self {
        Self {
            n: self.n - other.n,
            successes: self.successes - other.successes,
            expected: self.expected - other.expected,
            variance: self.variance - other.variance,
        }
    }

    /// In standard errors.
    pub(super) fn z(&self) -> f64 {
        (self.successes - self.expected) / self.variance.max(1e-9).sqrt()
    }

    /// Of the mean outcome.
    pub(super) fn error(&self) -> f64 {
        self.variance.sqrt() / self.n.max(1.0)
    }

    /// Mean outcome less what was expected.
    pub(super) fn difference(&self) -> f64 {
        (self.successes - self.expected) / self.n.max(1.0)
    }
}

/// The outcomes of the rows that have all of `of`, against what was expected.
pub(super) fn surprise(rows: &[Evaluated], expected: &[f64], of: &[Item]) -> Surprise {
    let mut sum = Surprise::default();
    for (row, expected) in rows.iter().zip(expected).filter(|(row, _)| holds(of, row)) {
        sum.add(row.success, *expected);
    }
    sum
}

/// Shifts the expected rates in the rows of a known subgroup to the observed rate, so that overlapping
/// combinations, which cover many of the same rows, are not reported again.
pub(super) fn take_for_granted(rows: &[Evaluated], expected: &mut [f64], known: &[Item]) {
    let by = surprise(rows, expected, known).difference();
    for (_, expected) in rows.iter().zip(expected).filter(|(row, _)| holds(known, row)) {
        *expected = (*expected + by).clamp(0.02, 0.98);
    }
}

/// The most surprising combination, if any is surprising enough to be looked at further.
pub(super) fn most_surprising(rows: &[Evaluated], expected: &[f64]) -> Option<Items> {
    let least = (LEAST_SHARE * rows.len() as f64).max(FEWEST);
    let frequent = frequent(rows, least);
    let pairs = pairs(rows, expected, &frequent);
    let width = frequent.len();
    let mut best: Option<(usize, usize)> = None;
    for i in 0..width {
        for j in i..width {
            // One attribute alone is what the model of expectations is made of.
            let alone = i == j && frequent[i].parts().0 != WORD;
            let found = &pairs[i * width + j];
            let z = found.z().abs();
            if !alone
                && found.n >= least
                && z >= best.map_or(LEAST_Z, |(i, j)| pairs[i * width + j].z().abs())
            {
                best = Some((i, j));
            }
        }
    }
    let (i, j) = best?;
    let mut found = vec![frequent[i], frequent[j]];
    found.dedup();
    let whole = pairs[i * width + j];
    Some(narrower(rows, expected, &frequent, &found, &whole, least).unwrap_or(found))
}

/// Items of at least so many rows, the most frequent first.
fn frequent(rows: &[Evaluated], least: f64) -> Items {
    let mut counts: HashMap<Item, u32> = HashMap::new();
    rows.iter().flat_map(items).for_each(|item| *counts.entry(item).or_default() += 1);
    let mut frequent: Vec<_> = counts.into_iter().filter(|(_, n)| f64::from(*n) >= least).collect();
    frequent.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    frequent.truncate(MOST_ITEMS);
    frequent.into_iter().map(|(item, _)| item).collect()
}

/// The surprise of each pair, the first of two in the order of `frequent` first.
fn pairs(rows: &[Evaluated], expected: &[f64], frequent: &[Item]) -> Vec<Surprise> {
    let places: HashMap<Item, usize> = frequent.iter().enumerate().map(|(at, item)| (*item, at)).collect();
    let mut pairs = vec![Surprise::default(); frequent.len() * frequent.len()];
    let mut present = Vec::new();
    for (row, expected) in rows.iter().zip(expected) {
        present.clear();
        present.extend(items(row).filter_map(|item| places.get(&item).copied()));
        present.sort_unstable();
        for (k, i) in present.iter().enumerate() {
            for j in &present[k..] {
                pairs[i * frequent.len() + j].add(row.success, *expected);
            }
        }
    }
    pairs
}

/// A part of the combination that holds all of its surprise.
fn narrower(
    rows: &[Evaluated],
    expected: &[f64],
    frequent: &[Item],
    found: &[Item],
    whole: &Surprise,
    least: f64,
) -> Option<Items> {
    let mut parts: HashMap<Item, Surprise> = HashMap::new();
    for (row, expected) in rows.iter().zip(expected).filter(|(row, _)| holds(found, row)) {
        items(row).for_each(|item| parts.entry(item).or_default().add(row.success, *expected));
    }
    let mut best: Option<(Item, f64)> = None;
    for item in frequent.iter().filter(|item| !found.contains(item)) {
        let Some(part) = parts.get(item).filter(|part| part.n >= least) else { continue };
        let rest = whole.minus(part);
        let clearer = part.z().abs() - whole.z().abs();
        if rest.n >= 20.0 && rest.z().abs() < 1.5 && clearer > best.map_or(1.0, |(_, clearer)| clearer) {
            best = Some((*item, clearer));
        }
    }
    best.map(|(item, _)| found.iter().copied().chain([item]).collect())
}
