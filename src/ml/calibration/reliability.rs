//! How often similar predictions came true.

use serde::{Deserialize, Serialize};

/// Tells how sure a predicted probability is, by how often similar predictions came true on rows that
/// the model had not seen.
///
/// The 90 % interval is for the success rate of tasks predicted like this one, not for one task's
/// outcome. It lies around the prediction, as wide as a rate seen in as many outcomes as there are
/// similar held-out rows (Wilson 1927). Where their own rate is further from the prediction than chance
/// explains, it is wider in that proportion (Birge 1932), so that it reaches as far as they do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reliability {
    /// Predictions, ascending.
    predicted: Vec<f32>,
    /// Successes among the rows up to each.
    successes: Vec<u32>,
    /// How much a row counts: less than 1 where rows rise and fall together.
    weight: f64,
}

/// Rows looked up around a prediction: wide enough to tell 70 % from 80 %, narrow enough that they were
/// predicted alike. Checked by `tests/one_probability.rs`, which prints the empirical coverage.
const NEIGHBORS: usize = 100;

impl Reliability {
    /// Remembers held-out predictions with their outcomes, of which each counts as `weight` rows.
    pub(crate) fn new(predicted: &[f64], labels: &[bool], weight: f64) -> Self {
        let mut rows: Vec<_> = predicted.iter().copied().zip(labels.iter().copied()).collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let successes = rows.iter().scan(0, |sum, (_, y)| {
            *sum += u32::from(*y);
            Some(*sum)
        });
        let successes = successes.collect();
        Self { successes, predicted: rows.iter().map(|(p, _)| *p as f32).collect(), weight }
    }

    /// Returns the 90 % interval of the success rate of tasks predicted like `p`; `p` lies within.
    pub(crate) fn interval(&self, p: f64) -> (f64, f64) {
        if self.predicted.is_empty() {
            return wilson(p, 0.0);
        }
        let (rate, rows) = self.similar(p);
        let n = (rows * self.weight).max(1.0);
        let chance = (p * (1.0 - p) / n).max(f64::MIN_POSITIVE);
        let excess = (rate - p).powi(2) / chance;
        wilson(p, n / excess.max(1.0))
    }

    /// Returns the success rate of the rows predicted closest to `p`, and their number: at least all that
    /// were predicted exactly so, which are in no order.
    fn similar(&self, p: f64) -> (f64, f64) {
        // Both were rounded when they were remembered.
        let (from, to) = self.equal(p as f32);
        let n = self.predicted.len();
        let width = NEIGHBORS.max(to - from).min(n);
        let from = (usize::midpoint(from, to)).saturating_sub(width / 2).min(n - width);
        let hits = self.successes_before(from + width) - self.successes_before(from);
        (hits / width as f64, width as f64)
    }

    /// Returns the first row that was predicted as `p`, and the first after these.
    fn equal(&self, p: f32) -> (usize, usize) {
        (self.predicted.partition_point(|q| *q < p), self.predicted.partition_point(|q| *q <= p))
    }

    /// Returns the successes among the first `end` rows, where rows predicted the same share theirs
    /// evenly.
    fn successes_before(&self, end: usize) -> f64 {
        let Some(next) = self.predicted.get(end) else { return self.count(end) };
        let (from, to) = self.equal(*next);
        let share = (end - from) as f64 / (to - from) as f64;
        self.count(from) + share * (self.count(to) - self.count(from))
    }

    fn count(&self, end: usize) -> f64 {
        end.checked_sub(1).and_then(|i| self.successes.get(i)).copied().map_or(0.0, f64::from)
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.predicted.len() == self.successes.len()
            && (0.0..=1.0).contains(&self.weight)
            && self.predicted.is_sorted()
            && self.predicted.iter().all(|p| (0.0..=1.0).contains(p))
            && self.successes.first().is_none_or(|first| *first <= 1)
            && self.successes.is_sorted_by(|a, b| *a == *b || a.checked_add(1) == Some(*b))
    }
}

/// The 90 % interval of a success rate (kept in [0, 1]) seen in `n` outcomes (Wilson 1927).
pub(crate) fn wilson(rate: f64, n: f64) -> (f64, f64) {
    const Z: f64 = 1.644_853_626_951_472_2;
    let rate = if rate.is_nan() { 0.5 } else { rate.clamp(0.0, 1.0) };
    let n = n.max(1.0);
    let z2 = Z * Z;
    let centre = (rate + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).clamp(0.0, rate), (centre + half).clamp(rate, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rows_leave_all_open() {
        let (low, high) = Reliability::default().interval(0.4);
        assert!(low < 0.1 && high > 0.8);
    }

    #[test]
    fn the_interval_follows_what_came_true() {
        let predicted: Vec<_> = (0..1000).map(|i| f64::from(i) / 1000.0).collect();
        // Everything above one half comes true, nothing below.
        let labels: Vec<_> = predicted.iter().map(|p| *p > 0.5).collect();
        let seen = Reliability::new(&predicted, &labels, 1.0);
        assert!(seen.is_sound());
        // At .9 all come true: the interval reaches further than chance over 100 rows explains.
        assert!(seen.interval(0.9).1 > 0.97 && seen.interval(0.1).0 < 0.03);
        assert!(wilson(0.9, 100.0).1 < 0.95);
        for p in [0.0, 0.3, 0.5, 0.7, 1.0] {
            let (low, high) = seen.interval(p);
            assert!((0.0..=p).contains(&low) && (p..=1.0).contains(&high));
        }
        // Where half of the rows predicted .5 come true, the interval is as wide as the rows are few.
        let even: Vec<_> = (0..1000).map(|i| i % 2 == 0).collect();
        let [all, tenth] =
            [1.0, 0.1].map(|weight| Reliability::new(&[0.5; 1000], &even, weight).interval(0.5));
        assert!(tenth.0 < all.0 && all.0 < 0.5 && 0.5 < all.1 && all.1 < tenth.1, "{all:?} {tenth:?}");
    }

    #[test]
    fn rows_predicted_the_same_are_in_no_order() {
        // Two values only, as of a tree with one split: 70 of 100 and 20 of 100 came true.
        let predicted: Vec<_> = (0..200).map(|i| if i < 100 { 0.7 } else { 0.2 }).collect();
        let labels: Vec<_> = (0..200).map(|i| i % 100 < if i < 100 { 70 } else { 20 }).collect();
        let seen = Reliability::new(&predicted, &labels, 1.0);
        for p in [0.7, 0.2] {
            assert_eq!(seen.similar(p), (p, 100.0));
            assert_eq!(seen.interval(p), wilson(p, 100.0));
        }
        // As many of either.
        let (rate, n) = seen.similar(0.4);
        assert!((rate - 0.45).abs() < 1e-12 && n == 100.0, "{rate} of {n}");
    }

    #[test]
    fn the_interval_reaches_as_far_as_the_rows_disagree() {
        let labels: Vec<_> = (0..100).map(|i| i < 80).collect();
        let (low, high) = Reliability::new(&[0.5; 100], &labels, 1.0).interval(0.5);
        assert!(low < 0.25 && high > 0.8, "{low} {high}");
    }

    /// `scipy.stats.binomtest(15, 50).proportion_ci(0.9, "wilson")` of `SciPy` 1.17.
    #[test]
    fn wilson_interval_equals_the_formula() {
        let (low, high) = wilson(0.3, 50.0);
        assert!((low - 0.205_9).abs() < 1e-3 && (high - 0.414_6).abs() < 1e-3, "{low} {high}");
    }
}
