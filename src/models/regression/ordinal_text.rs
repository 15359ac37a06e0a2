//! The distribution of a number with few distinct values, from a description's text.

use super::component::ROUNDING;
use crate::error::{Error, Result};
use crate::ml::{OrdinalRegression, SparseRow};
use serde::{Deserialize, Serialize};

/// A mixture of the distribution of past labels and of an ordinal regression over n-grams. Its median is the answer
/// that errs least in absolute terms.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OrdinalText {
    /// Ascending labels that stand for all.
    values: Vec<f64>,
    /// Share of the past labels that are at most each, recent ones counting most.
    past: Vec<f64>,
    regression: OrdinalRegression,
    /// Share of the past labels in the mixture, 0 to 1.
    past_share: f64,
}

/// Labels to learn from.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrdinalRows<'a> {
    pub(super) texts: &'a [SparseRow],
    /// The oldest first.
    pub(super) labels: &'a [f64],
    pub(super) weights: &'a [f64],
    /// Number of n-grams.
    pub(super) width: usize,
}

/// Rows after which a row counts half as much; the one that errs less on forward folds is taken. Chosen on forward folds
/// of the training rows of 14 projects' story points among 50, 100, 150, 500 and none: the two that were best in some.
pub(super) const HALF_LIVES: [f64; 2] = [500.0, f64::INFINITY];

/// Labels that are told apart; of more distinct ones so many quantiles.
const MOST_VALUES: usize = 64;

impl OrdinalText {
    /// Fits the distribution of past labels and the regression, in both of which rows count by `half_life`.
    ///
    /// # Errors
    /// `Cancelled`; `InvalidInput` without a row.
    pub(super) fn fit(rows: OrdinalRows<'_>, half_life: f64, past_share: f64, l2: f64) -> Result<Self> {
        if rows.labels.is_empty() {
            return Err(Error::invalid("ordinal regression: no row to learn from"));
        }
        let values = steps(rows.labels);
        let classes: Vec<_> = rows.labels.iter().map(|label| nearest(&values, *label)).collect();
        let weights = faded(rows.weights, half_life);
        let mut past = vec![0.0; values.len()];
        weights.iter().zip(&classes).for_each(|(weight, class)| past[*class] += weight);
        let total: f64 = past.iter().sum();
        let mut below = 0.0;
        for share in &mut past {
            below += *share / total;
            *share = below;
        }
        let size = [rows.width, values.len()];
        let regression = OrdinalRegression::fit(rows.texts, &classes, &weights, size, l2)?;
        Ok(Self { values, past, regression, past_share })
    }

    /// Sets the share of the past labels in the mixture, 0 to 1.
    pub(super) fn with_past_share(self, past_share: f64) -> Self {
        Self { past_share, ..self }
    }

    /// Returns the distribution of a text's label.
    pub(super) fn distribution(&self, text: &SparseRow) -> Distribution<'_> {
        let texts = self.regression.cumulative(text);
        let mixed = |(past, text): (&f64, f64)| self.past_share * past + (1.0 - self.past_share) * text;
        Distribution { values: &self.values, cumulative: self.past.iter().zip(texts).map(mixed).collect() }
    }

    /// Checks what was read and makes it ready; `width` is the number of n-grams.
    pub(super) fn prepare(&mut self, width: usize) -> Result<()> {
        let n = self.values.len();
        let fits = (1..=MOST_VALUES).contains(&n)
            && [self.past.len(), self.regression.n_classes()] == [n; 2]
            && self.values.iter().all(|value| value.abs() <= 1e9)
            && self.values.is_sorted()
            && self.past.is_sorted()
            && self.past.iter().all(|share| (0.0..=1.0 + ROUNDING).contains(share))
            && (0.0..=1.0).contains(&self.past_share);
        if !fits {
            return Err(Error::corrupt("ordinal regression: its parts do not fit together"));
        }
        self.regression.prepare(width)
    }
}

/// Probabilities that a label is at most each of the values.
#[derive(Debug)]
pub(super) struct Distribution<'a> {
    values: &'a [f64],
    cumulative: Vec<f64>,
}

impl Distribution<'_> {
    pub(super) fn median(&self) -> f64 {
        self.values[self.at_least(0.5)]
    }

    /// Returns the ends of the narrowest interval of at least this probability, narrow by `unit` of its ends; of equal
    /// ones the likeliest.
    pub(super) fn narrowest(&self, probability: f64, unit: impl Fn(f64) -> f64) -> (f64, f64) {
        let ends: Vec<_> = self.values.iter().map(|value| unit(*value)).collect();
        let last = self.values.len() - 1;
        let mut best = (0, last);
        let mut best_is = (ends[last] - ends[0], 0.0);
        let mut below = 0.0;
        let mut high = 0;
        for low in 0..=last {
            high = high.max(low);
            while high < last && self.cumulative[high] - below < probability - ROUNDING {
                high += 1;
            }
            let held = self.cumulative[high] - below;
            let width = ends[high] - ends[low];
            let narrower = width < best_is.0 - ROUNDING || width < best_is.0 + ROUNDING && held > best_is.1;
            if held >= probability - ROUNDING && narrower {
                (best, best_is) = ((low, high), (width, held));
            }
            below = self.cumulative[low];
        }
        (self.values[best.0], self.values[best.1])
    }

    /// Returns the index of the first value at which the probability reaches `level`.
    fn at_least(&self, level: f64) -> usize {
        self.cumulative.partition_point(|p| *p < level - ROUNDING).min(self.values.len() - 1)
    }
}

/// Returns the weights, each halved for every `half_life` rows that follow.
fn faded(weights: &[f64], half_life: f64) -> Vec<f64> {
    let newest = weights.len() as f64 - 1.0;
    let fade = |(i, weight): (usize, &f64)| weight * (-(newest - i as f64) / half_life).exp2();
    weights.iter().enumerate().map(fade).collect()
}

/// Returns the distinct labels, or as many quantiles of them as are told apart, ascending.
fn steps(labels: &[f64]) -> Vec<f64> {
    let mut sorted = labels.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    if distinct.len() > MOST_VALUES {
        let at = |k: usize| sorted[(2 * k + 1) * sorted.len() / (2 * MOST_VALUES)];
        distinct = (0..MOST_VALUES).map(at).collect();
        distinct.dedup();
    }
    distinct
}

/// Returns the index of the value that is nearest.
fn nearest(values: &[f64], label: f64) -> usize {
    let after = values.partition_point(|value| *value < label);
    let closer_before =
        |after: usize| values.get(after).is_none_or(|value| label - values[after - 1] < value - label);
    if after > 0 && closer_before(after) { after - 1 } else { after }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(values: &'static [f64], cumulative: &[f64]) -> Distribution<'static> {
        Distribution { values, cumulative: cumulative.to_vec() }
    }

    #[test]
    fn the_narrowest_interval_of_a_skewed_distribution_leaves_out_its_tail() {
        let skewed = distribution(&[1.0, 2.0, 3.0, 8.0, 20.0], &[0.4, 0.7, 0.85, 0.95, 1.0]);
        assert_eq!(skewed.median(), 2.0);
        assert_eq!(skewed.narrowest(0.8, |v| v), (1.0, 3.0));
        assert_eq!(skewed.narrowest(0.95, |v| v), (1.0, 8.0));
        assert_eq!(skewed.narrowest(1.0, |v| v), (1.0, 20.0));
        assert_eq!(skewed.narrowest(0.3, |v| v), (1.0, 1.0));
        assert_eq!(distribution(&[5.0], &[1.0]).narrowest(0.9, |v| v), (5.0, 5.0));
    }

    #[test]
    fn texts_move_the_distribution_and_unknown_ones_leave_the_past() {
        let texts: Vec<SparseRow> = (0..300).map(|i| (vec![u32::from(i % 3 == 0)], vec![1.0])).collect();
        let labels: Vec<_> = (0..300).map(|i| if i % 3 == 0 { 8.0 } else { f64::from(1 + i % 2) }).collect();
        let rows = OrdinalRows { texts: &texts, labels: &labels, weights: &[1.0; 300], width: 2 };
        let fitted = OrdinalText::fit(rows, f64::INFINITY, 0.0, 0.1).unwrap();
        let median = |text: &SparseRow| fitted.distribution(text).median();
        assert_eq!(median(&(vec![1], vec![1.0])), 8.0);
        assert!(median(&(vec![0], vec![1.0])) <= 2.0);
        let past = fitted.clone().with_past_share(1.0);
        assert_eq!(
            past.distribution(&(vec![1], vec![1.0])).median(),
            past.distribution(&(vec![0], vec![1.0])).median()
        );
        let bytes = postcard::to_stdvec(&fitted).unwrap();
        let mut back: OrdinalText = postcard::from_bytes(&bytes).unwrap();
        back.prepare(2).unwrap();
        assert_eq!(back.distribution(&texts[0]).cumulative, fitted.distribution(&texts[0]).cumulative);
    }

    #[test]
    fn many_distinct_labels_become_quantiles() {
        let labels: Vec<_> = (0..1000).map(f64::from).collect();
        let values = steps(&labels);
        assert_eq!(values.len(), MOST_VALUES);
        assert!(labels.iter().all(|label| (values[nearest(&values, *label)] - label).abs() <= 16.0));
        assert_eq!(
            (nearest(&[1.0, 2.0], 1.4), nearest(&[1.0, 2.0], 1.5), nearest(&[1.0, 2.0], 9.0)),
            (0, 1, 1)
        );
    }
}
