//! Slices with the worst predictions.

use super::aggregates::{Bin, Cell, SuccessCell};
use super::analytics::Rate;
use super::dimension::SliceKey;
use crate::stats::distributions::normal_quantile_above;
use serde::{Deserialize, Serialize};

/// A slice with the calibration error of its predictions: observed minus predicted success.
///
/// The order is that of the end of `gap_interval` nearer to zero, with a Bonferroni correction for the number of slices:
/// a slice of ten unlucky outcomes does not come before one that is certainly miscalibrated. The Brier score would not
/// do: it is larger wherever outcomes are uncertain, however calibrated the probabilities are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorstSlice {
    /// Which.
    pub(crate) slice: SliceKey,
    /// Predictions that met their outcome.
    pub(crate) n: u64,
    /// Mean squared error of its probabilities (Brier 1950).
    pub(crate) brier: f64,
    /// Mean prediction.
    pub(crate) predicted: f64,
    /// Share of successes.
    pub(crate) actual: Rate,
    /// Share of successes less mean prediction.
    pub(crate) gap: f64,
    /// 90 % interval of `gap`, widened for the number of slices.
    pub(crate) gap_interval: (f64, f64),
    /// True if the gap is statistically significant after correction for the number of slices.
    pub(crate) significant: bool,
    /// All that in a sentence.
    pub(crate) text: String,
}

/// Slices with fewer predictions are left out.
const FEWEST: i64 = 20;
/// Slices that are reported.
const MOST: usize = 20;

/// Returns the slices with the largest certain gaps, the worst first.
pub(super) fn worst_slices(slices: &[(SliceKey, Cell)]) -> Vec<WorstSlice> {
    let labelled = |cell: &Cell| cell.success.clone().filter(|success| success.brier.n >= FEWEST);
    let labelled: Vec<_> = slices.iter().filter_map(|(key, cell)| Some((key, labelled(cell)?))).collect();
    // Bonferroni: the family-wise error rate is 10 %.
    let widened = normal_quantile_above(0.05 / labelled.len().max(1) as f64);
    let mut found: Vec<_> = labelled.iter().map(|(key, cell)| WorstSlice::of(key, cell, widened)).collect();
    found.sort_by(|a, b| b.certain().total_cmp(&a.certain()));
    found.truncate(MOST);
    found
}

impl WorstSlice {
    fn of(slice: &SliceKey, cell: &SuccessCell, widened: f64) -> Self {
        let (n, brier) = (cell.brier.n as f64, cell.brier.mean().unwrap_or(0.0));
        let (predicted, actual) = (cell.predicted(), cell.actual());
        let observed = actual.value.unwrap_or(0.0);
        let gap = observed - predicted;
        // A few equal outcomes have no variance; the predictions tell how much they might have had.
        let variance = (brier - gap * gap).max(expected_variance(cell));
        let half = widened * (variance / n).sqrt();
        let text = format!(
            "{slice}: observed {:.0} % vs predicted {:.0} % over {} generations ({:+.0} pp, 90 % CI {:+.0} to {:+.0}); Brier \
             score {brier:.3}.",
            observed * 100.0,
            predicted * 100.0,
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

    /// Returns the gap that is certain; below zero where there may be none.
    fn certain(&self) -> f64 {
        self.gap_interval.0.max(-self.gap_interval.1)
    }
}

/// Returns the variance of outcomes under the predictions.
fn expected_variance(cell: &SuccessCell) -> f64 {
    let of = |bin: &Bin| bin.n as f64 * bin.predicted() * (1.0 - bin.predicted());
    cell.bins().iter().map(of).sum::<f64>() / cell.brier.n.max(1) as f64
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
        let key = |name: &str| SliceKey { dimension: Dimension::Agent, value: name.into() };
        let slices =
            [(key("good"), cell(3000, 8)), (key("bad"), cell(800, 6)), (key("unlucky"), cell(20, 6))];
        let found = worst_slices(&slices);
        assert_eq!(found[0].slice.value, "bad");
        let significant: Vec<_> = found.iter().filter(|slice| slice.significant).collect();
        assert_eq!(significant.len(), 1);
        assert!(
            significant[0]
                .text
                .starts_with("agent bad: observed 60 % vs predicted 80 % over 800 generations (-20 pp"),
            "{}",
            significant[0].text
        );
        assert!((normal_quantile_above(0.05) - 1.644_85).abs() < 1e-4);
    }
    #[test]
    fn uncertain_outcomes_are_no_calibration_error() {
        let mut open = Cell::default();
        (0..2000).for_each(|i| open.success.get_or_insert_default().add(&Scored::of(0.5, i % 2 < 1), 1));
        let mut alike = Cell::default();
        (0..20).for_each(|_| alike.success.get_or_insert_default().add(&Scored::of(0.9, true), 1));
        let slices = [("open", open), ("alike", alike)]
            .map(|(name, cell)| (SliceKey { dimension: Dimension::Agent, value: name.into() }, cell));
        let found = worst_slices(&slices);
        assert!(found.iter().all(|slice| !slice.significant), "{found:?}");
    }
}
