//! How good predictions are likely to turn out, before the feedback comes.

use super::finding::LabelFreeEstimate;
use crate::monitor::tally::{Bin, SuccessCell, area};
use chrono::NaiveDate;

/// Weight of a prediction itself beside the outcomes of earlier ones like it.
const PRIOR: f64 = 20.0;

const CAVEAT: &str = "Rests on predictions alone: it sees that tasks have become harder to tell apart, not that \
                      the same task now ends otherwise (concept drift), which only feedback shows.";

/// The estimate for predictions counted by bin in `shown`, corrected by what became of `earlier` ones;
/// `judged` are those of them that have an outcome.
pub(in crate::monitor) fn estimate(
    (from, until): (NaiveDate, NaiveDate),
    shown: &[Bin],
    earlier: Option<&SuccessCell>,
    judged: Option<&SuccessCell>,
) -> Option<LabelFreeEstimate> {
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
    Some(LabelFreeEstimate {
        from,
        until,
        predictions: n as u64,
        corrected_by: earlier.map_or(0, |cell| cell.brier.n as u64),
        auc: area(rows().map(|(n, chance)| (n * chance, n * (1.0 - chance)))),
        accuracy: shown.iter().zip(&chances).map(right).sum::<f64>() / n,
        success_rate: rows().map(|(n, chance)| n * chance).sum::<f64>() / n,
        judged: judged.map_or(0, |cell| cell.brier.n as u64),
        auc_of_judged: judged.and_then(|cell| {
            area(cell.bins().iter().map(|bin| (bin.successes as f64, (bin.n - bin.successes) as f64)))
        }),
        caveat: CAVEAT.to_owned(),
    })
}

/// The chance of success of each bin: that predicted, corrected by earlier outcomes, never falling from
/// bin to bin (isotonic, by pooling adjacent violators).
fn chances(shown: &[Bin], earlier: Option<&SuccessCell>) -> Vec<f64> {
    let width = 1.0 / shown.len() as f64;
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (i, bin) in shown.iter().enumerate() {
        let predicted = if bin.n > 0 { bin.predicted() } else { (i as f64 + 0.5) * width };
        let (n, successes) = earlier.map_or((0.0, 0.0), |cell| {
            let bin = cell.bins()[i];
            (bin.n as f64, bin.successes as f64)
        });
        // A bin that nothing was predicted in must not pull at its neighbours.
        let weight = if bin.n > 0 { PRIOR } else { 1e-9 };
        pools.push((n + weight, successes + weight * predicted, 1));
        while let [.., a, b] = pools[..]
            && a.1 / a.0 > b.1 / b.0
        {
            pools.truncate(pools.len() - 2);
            pools.push((a.0 + b.0, a.1 + b.1, a.2 + b.2));
        }
    }
    pools.into_iter().flat_map(|(n, sum, bins)| std::iter::repeat_n(sum / n, bins)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::tally::{Scored, bin_of};

    #[test]
    fn an_overconfident_past_is_corrected() {
        let mut past = SuccessCell::default();
        // Said 0.9 and 0.1, happened 0.7 and 0.3.
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
