//! For whom predictions are worst.

use super::aggregates::{Bin, Cell, SuccessCell};
use super::analytics::Rate;
use super::dimension::SliceKey;
use super::drift::normal_above;
use serde::{Deserialize, Serialize};

/// A slice with how far off its predictions are.
///
/// Far off is what happened less what was predicted, not the squared error: that is larger wherever outcomes
/// are open, however true the probabilities are. The order is that of the end of `gap_interval` nearer
/// to zero, which is widened for the number of slices looked at (Bonferroni): so a slice of ten unlucky
/// outcomes does not stand before one that is certainly bad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorstSlice {
    /// Which.
    pub slice: SliceKey,
    /// Predictions that met their outcome.
    pub n: u64,
    /// Mean squared error of its probabilities (Brier 1950).
    pub brier: f64,
    /// Mean prediction.
    pub predicted: f64,
    /// Share of successes.
    pub actual: Rate,
    /// Share of successes less mean prediction.
    pub gap: f64,
    /// 90 % interval of `gap`, widened for the number of slices.
    pub gap_interval: (f64, f64),
    /// Whether the gap is beyond chance, whichever slice was picked.
    pub significant: bool,
    /// All that in a sentence.
    pub text: String,
}

/// Fewer predictions than this say nothing of a slice.
const FEWEST: i64 = 20;
/// How many are told of.
const MOST: usize = 20;

/// The slices whose predictions are certainly furthest off, the worst first.
pub(super) fn worst_slices(slices: &[(SliceKey, Cell)]) -> Vec<WorstSlice> {
    let judged = |cell: &Cell| cell.success.clone().filter(|success| success.brier.n >= FEWEST);
    let judged: Vec<_> = slices.iter().filter_map(|(key, cell)| Some((key, judged(cell)?))).collect();
    // As many standard errors as let one of all slices stand out by chance once in ten times.
    let widened = normal_quantile_above(0.05 / judged.len().max(1) as f64);
    let mut found: Vec<_> = judged.iter().map(|(key, cell)| WorstSlice::of(key, cell, widened)).collect();
    found.sort_by(|a, b| b.certain().total_cmp(&a.certain()));
    found.truncate(MOST);
    found
}

impl WorstSlice {
    fn of(slice: &SliceKey, cell: &SuccessCell, widened: f64) -> Self {
        let (n, brier) = (cell.brier.n as f64, cell.brier.mean().unwrap_or(0.0));
        let (predicted, actual) = (cell.predicted(), cell.actual());
        let came = actual.value.unwrap_or(0.0);
        let gap = came - predicted;
        // A few outcomes that are all alike do not vary; what was predicted says how much they might have.
        let variance = (brier - gap * gap).max(expected_variance(cell));
        let half = widened * (variance / n).sqrt();
        let text = format!(
            "{slice}: said {:.0} %, came {:.0} % of {} ({:+.0} points, {:+.0} to {:+.0}); squared error {brier:.3}.",
            predicted * 100.0,
            came * 100.0,
            actual.n,
            gap * 100.0,
            (gap - half) * 100.0,
            (gap + half) * 100.0
        );
        Self {
            slice: slice.clone(),
            n: cell.brier.n as u64,
            brier,
            predicted,
            actual,
            gap,
            gap_interval: (gap - half, gap + half),
            significant: gap.abs() > half,
            text,
        }
    }

    /// How far off it is at least; below zero where it may be right.
    fn certain(&self) -> f64 {
        self.gap_interval.0.max(-self.gap_interval.1)
    }
}

/// The variance of outcomes, were all predictions true.
fn expected_variance(cell: &SuccessCell) -> f64 {
    let of = |bin: &Bin| bin.n as f64 * bin.predicted() * (1.0 - bin.predicted());
    cell.bins().iter().map(of).sum::<f64>() / cell.brier.n.max(1) as f64
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
    use crate::monitoring::Dimension;
    use crate::monitoring::aggregates::Scored;

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
        let found = worst_slices(&slices);
        assert_eq!(found[0].slice.value, "bad");
        let told: Vec<_> = found.iter().filter(|slice| slice.significant).collect();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].text.starts_with("agent bad: said 80 %, came 60 % of 800 (-20 points"),
            "{}",
            told[0].text
        );
        assert!((normal_quantile_above(0.05) - 1.644_85).abs() < 1e-4);
    }
    #[test]
    fn open_outcomes_are_no_fault_of_what_says_so() {
        let mut open = Cell::default();
        (0..2000).for_each(|i| open.success.get_or_insert_default().add(&Scored::of(0.5, i % 2 < 1), 1));
        let mut alike = Cell::default();
        (0..20).for_each(|_| alike.success.get_or_insert_default().add(&Scored::of(0.9, true), 1));
        let slices = [("open", open), ("alike", alike)]
            .map(|(name, cell)| (SliceKey::new(Dimension::Agent, name), cell));
        let found = worst_slices(&slices);
        assert!(found.iter().all(|slice| !slice.significant), "{found:?}");
    }
}
