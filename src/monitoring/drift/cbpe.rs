//! Confidence-based performance estimation (CBPE).

use super::finding::CbpeEstimate;
use crate::monitoring::aggregates::{Bin, SuccessCell, area};
use crate::stats::{logit, sigmoid};
use chrono::NaiveDate;

/// As many earlier outcomes weigh as much as the predictions themselves.
const PRIOR: f64 = 100.0;
/// Predictions count as at least this far from 0 and 1.
const EDGE: f64 = 0.001;
/// Newton's steps; they stand still after a handful.
const STEPS: usize = 20;

const CAVEAT: &str = "Rests on predictions alone: it detects that tasks are harder to rank, not that the same task now \
                      has another outcome (concept drift), which only feedback shows.";

/// The estimate for predictions counted by bin in `shown`, calibrated by the outcomes of `earlier` ones;
/// `labelled` are those of them with a label.
pub(in crate::monitoring) fn estimate(
    (from, until): (NaiveDate, NaiveDate),
    shown: &[Bin],
    earlier: Option<&SuccessCell>,
    labelled: Option<&SuccessCell>,
) -> Option<CbpeEstimate> {
    let n: i64 = shown.iter().map(|bin| bin.n).sum();
    if n <= 0 {
        return None;
    }
    let chances = chances(shown, earlier);
    let rows = || shown.iter().zip(&chances).map(|(bin, chance)| (bin.n as f64, *chance));
    let n = n as f64;
    let right = |(bin, chance): (&Bin, &f64)| {
        bin.n as f64 * if bin.predicted() >= 0.5 { *chance } else { 1.0 - chance }
    };
    Some(CbpeEstimate {
        from,
        until,
        predictions: n as u64,
        corrected_by: earlier.map_or(0, |cell| cell.brier.n as u64),
        auc: area(rows().map(|(n, chance)| (n * chance, n * (1.0 - chance)))),
        accuracy: shown.iter().zip(&chances).map(right).sum::<f64>() / n,
        success_rate: rows().map(|(n, chance)| n * chance).sum::<f64>() / n,
        labelled: labelled.map_or(0, |cell| cell.brier.n as u64),
        auc_of_labelled: labelled.and_then(|cell| {
            area(cell.bins().iter().map(|bin| (bin.successes as f64, (bin.n - bin.successes) as f64)))
        }),
        caveat: CAVEAT.to_owned(),
    })
}

/// The chance of success of each bin: that predicted, corrected in its log-odds by a line through earlier
/// outcomes (Cox 1958; Platt 1999). A line learns how much too sure predictions are from few outcomes; a
/// correction bin by bin would add more noise to the area than it takes away.
fn chances(shown: &[Bin], earlier: Option<&SuccessCell>) -> Vec<f64> {
    let width = 1.0 / shown.len() as f64;
    let margin = |i: usize, bin: &Bin| {
        let p = if bin.n > 0 { bin.predicted() } else { (i as f64 + 0.5) * width };
        logit(p.clamp(EDGE, 1.0 - EDGE))
    };
    let total = shown.iter().map(|bin| bin.n).sum::<i64>().max(1) as f64;
    let own = shown.iter().enumerate().map(|(i, bin)| {
        let weight = PRIOR * bin.n as f64 / total;
        (margin(i, bin), weight, weight * bin.predicted())
    });
    let past = earlier.into_iter().flat_map(SuccessCell::bins).enumerate();
    let past = past.map(|(i, bin)| (margin(i, bin), bin.n as f64, bin.successes as f64));
    let rows: Vec<_> = own.chain(past).filter(|(_, n, _)| *n > 0.0).collect();
    let (level, slope) = line(&rows);
    shown.iter().enumerate().map(|(i, bin)| sigmoid(level + slope * margin(i, bin))).collect()
}

/// Level and slope of the log-odds of (margin, outcomes, successes); the slope never points down.
fn line(rows: &[(f64, f64, f64)]) -> (f64, f64) {
    let (mut level, mut slope) = (0.0, 1.0);
    for _ in 0..STEPS {
        // Slope and curvature of the log-likelihood; a grain of the latter, for where all margins are one.
        let (mut d, mut h) = ([0.0; 2], [1e-6, 0.0, 1e-6]);
        for (x, n, successes) in rows {
            let p = sigmoid(level + slope * x);
            let (rest, bend) = (successes - n * p, n * p * (1.0 - p));
            d = [d[0] + rest, d[1] + rest * x];
            h = [h[0] + bend, h[1] + bend * x, h[2] + bend * x * x];
        }
        let determinant = (h[0] * h[2] - h[1] * h[1]).max(1e-12);
        level += ((h[2] * d[0] - h[1] * d[1]) / determinant).clamp(-1.0, 1.0);
        slope = (slope + ((h[0] * d[1] - h[1] * d[0]) / determinant).clamp(-1.0, 1.0)).max(0.0);
    }
    (level, slope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitoring::aggregates::{Scored, bin_of};

    #[test]
    fn an_overconfident_past_is_corrected() {
        let mut past = SuccessCell::default();
        // Predicted 0.9 and 0.1, observed 0.7 and 0.3.
        for i in 0..1000 {
            past.add(&Scored::of(0.9, i % 10 < 7), 1);
            past.add(&Scored::of(0.1, i % 10 < 3), 1);
        }
        let mut shown = SuccessCell::default();
        (0..100).for_each(|i| shown.add(&Scored::of(if i % 2 == 0 { 0.9 } else { 0.1 }, true), 1));
        let day = NaiveDate::from_ymd_opt(2025, 3, 1).unwrap();
        let found = estimate((day, day), shown.bins(), Some(&past), None).unwrap();
        assert!((found.success_rate - 0.5).abs() < 0.01 && (found.accuracy - 0.7).abs() < 0.01);
        assert!((found.auc.unwrap() - 0.7).abs() < 0.01, "{found:?}");
        let alone = estimate((day, day), shown.bins(), None, None).unwrap();
        assert!((alone.auc.unwrap() - 0.9).abs() < 0.01, "{alone:?}");
        assert!(bin_of(1.0) == shown.bins().len() - 1);
    }
}
