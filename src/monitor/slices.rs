//! For whom predictions are worst.

use super::analytics::Rate;
use super::dimension::SliceKey;
use super::drift::normal_above;
use super::moments::Moments;
use super::tally::{Cell, SuccessCell};
use serde::{Deserialize, Serialize};

/// A slice with the error of its predictions.
///
/// The order is that of the lower end of `excess`, whose interval is widened for the number of slices
/// looked at (Bonferroni): so a slice of ten unlucky outcomes does not stand before one that is
/// certainly bad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorstSlice {
    /// Which.
    pub slice: SliceKey,
    /// Predictions that met their outcome.
    pub n: u64,
    /// Mean squared error of its probabilities (Brier 1950).
    pub brier: f64,
    /// By how much that is more than in all other slices of its dimension together.
    pub excess: f64,
    /// 90 % interval of `excess`, widened for the number of slices.
    pub excess_interval: (f64, f64),
    /// Mean prediction.
    pub predicted: f64,
    /// Share of successes.
    pub actual: Rate,
    /// Whether the excess is beyond chance, whichever slice was picked.
    pub significant: bool,
    /// All that in a sentence.
    pub text: String,
}

/// Fewer predictions than this say nothing of a slice.
const FEWEST: i64 = 20;
/// How many are told of.
const MOST: usize = 20;

/// The slices with the largest certain excess of error, the worst first.
pub(super) fn worst_slices(slices: &[(SliceKey, Cell)], total: Option<&SuccessCell>) -> Vec<WorstSlice> {
    let Some(total) = total else { return Vec::new() };
    let judged = |cell: &Cell| cell.success.clone().filter(|success| success.brier.n >= FEWEST);
    let judged: Vec<_> = slices.iter().filter_map(|(key, cell)| Some((key, judged(cell)?))).collect();
    // As many standard errors as let one of all slices stand out by chance once in ten times.
    let widened = normal_quantile_above(0.05 / judged.len().max(1) as f64);
    let mut found: Vec<_> = judged
        .iter()
        .map(|(key, cell)| {
            let rest = total.without(cell);
            let (own, others) = (cell.brier.mean().unwrap_or(0.0), rest.mean().unwrap_or(0.0));
            let error = |m: &Moments| m.variance() / m.n.max(1) as f64;
            let (excess, half) =
                (own - others, widened * (error(&cell.brier) + error(&rest)).sqrt());
            let (predicted, actual) = (cell.predicted(), cell.actual());
            let text = format!(
                "{key}: squared error {own:.3}, {excess:+.3} beside the others ({:+.3} to {:+.3}); said {:.0} %, \
                 came {:.0} % of {}.",
                excess - half,
                excess + half,
                predicted * 100.0,
                actual.value.unwrap_or(0.0) * 100.0,
                actual.n
            );
            WorstSlice {
                slice: (*key).clone(),
                n: cell.brier.n as u64,
                brier: own,
                excess,
                excess_interval: (excess - half, excess + half),
                predicted,
                actual,
                significant: excess > half && rest.n > 0,
                text,
            }
        })
        .collect();
    found.sort_by(|a, b| b.excess_interval.0.total_cmp(&a.excess_interval.0));
    found.truncate(MOST);
    found
}

/// The standard normal value above which `share` lies, by bisection.
pub(super) fn normal_quantile_above(share: f64) -> f64 {
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal_above(middle) > share { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Dimension;
    use crate::monitor::tally::Scored;

    #[test]
    fn a_certain_error_stands_before_a_few_unlucky_outcomes() {
        let cell = |n: u32, hits: u32| {
            let mut cell = Cell::default();
            (0..n).for_each(|i| cell.success.get_or_insert_default().add(&Scored::of(0.8, i % 10 < hits), 1));
            cell
        };
        let key = |name: &str| SliceKey::new(Dimension::Agent, name);
        let slices =
            [(key("good"), cell(3000, 8)), (key("bad"), cell(800, 6)), (key("unlucky"), cell(20, 6))];
        let mut total = SuccessCell::default();
        slices.iter().for_each(|(_, cell)| total.merge(cell.success.as_ref().unwrap()));
        let found = worst_slices(&slices, Some(&total));
        assert_eq!(found[0].slice.value, "bad");
        let told: Vec<_> = found.iter().filter(|slice| slice.significant).collect();
        assert_eq!(told.len(), 1);
        assert!(told[0].text.starts_with("agent bad: squared error 0.28"), "{}", told[0].text);
        assert!((normal_quantile_above(0.05) - 1.644_85).abs() < 1e-4);
    }
}
