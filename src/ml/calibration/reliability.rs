//! How often similar predictions came true.

use serde::{Deserialize, Serialize};

/// How often similar predictions came true on rows that the model had not seen.
///
/// Of the held-out rows, the ones predicted closest to a probability are looked up, and their
/// success rate gives the interval (Wilson 1927, 90 %).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Predictions, ascending.
    predicted: Vec<f32>,
    /// Successes among the rows up to each.
    successes: Vec<u32>,
    /// How much a row counts: less than 1 where rows rise and fall together.
    weight: f64,
}

/// Rows looked up around a prediction.
const NEIGHBOURS: usize = 100;

impl Reliability {
    /// Remembers held-out predictions with their outcomes, of which each counts as `weight` rows.
    pub fn new(predicted: &[f64], labels: &[bool], weight: f64) -> Self {
        let mut rows: Vec<_> = predicted.iter().copied().zip(labels.iter().copied()).collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let successes = rows.iter().scan(0, |sum, (_, y)| {
            *sum += u32::from(*y);
            Some(*sum)
        });
        let successes = successes.collect();
        Self { successes, predicted: rows.iter().map(|(p, _)| *p as f32).collect(), weight }
    }

    /// The 90 % interval of the success rate of predictions like `p`, which it holds.
    pub fn interval(&self, p: f64) -> (f64, f64) {
        let n = self.predicted.len();
        if n == 0 {
            return wilson(p, 0.0);
        }
        let width = NEIGHBOURS.min(n);
        let middle = self.predicted.partition_point(|q| f64::from(*q) < p);
        let from = middle.saturating_sub(width / 2).min(n - width);
        let until = |end: usize| end.checked_sub(1).and_then(|i| self.successes.get(i)).copied().unwrap_or(0);
        let hits = until(from + width).saturating_sub(until(from));
        let (low, high) = wilson(f64::from(hits) / width as f64, width as f64 * self.weight);
        (low.min(p), high.max(p))
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
pub fn wilson(rate: f64, n: f64) -> (f64, f64) {
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
        let fewer = Reliability::new(&predicted, &labels, 0.1);
        assert!(fewer.interval(0.9).0 < seen.interval(0.9).0);
        assert!(seen.is_sound());
        assert!(seen.interval(0.9).1 > 0.99 && seen.interval(0.1).0 < 0.01);
        for p in [0.0, 0.3, 0.5, 0.7, 1.0] {
            let (low, high) = seen.interval(p);
            assert!((0.0..=p).contains(&low) && (p..=1.0).contains(&high));
        }
    }

    /// `scipy.stats.binomtest(15, 50).proportion_ci(0.9, "wilson")` of `SciPy` 1.17.
    #[test]
    fn wilson_interval_equals_the_formula() {
        let (low, high) = wilson(0.3, 50.0);
        assert!((low - 0.205_9).abs() < 1e-3 && (high - 0.414_6).abs() < 1e-3, "{low} {high}");
    }
}
