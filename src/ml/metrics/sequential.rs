//! Two predictors compared again and again while rows come in.

use super::paired::{Moments, PairedComparison, several, sums_by_cluster};
use crate::error::Result;

/// Fewer rows than this are not compared: the limit theorem below needs some.
const FEWEST_ROWS: usize = 100;

/// The number of rows for which the sequence is at its tightest.
const TUNED_FOR: f64 = 1_000.0;

/// Compares the losses of two predictors on the rows that have come in so far, in such a way that
/// looking after every row errs no more often than a single look: with the probability `confidence`
/// the true difference is above `lower` at *all* looks, and likewise below `upper`. `None` for fewer
/// than 100 rows.
///
/// An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024,
/// "Time-uniform central limit theory and asymptotic confidence sequences"), one-sided at each end.
/// Rows of one cluster rise and fall together: where that makes the mean less certain, the sequence
/// is as much wider.
///
/// # Errors
/// `InvalidInput` when the slices differ in length, are empty, or a loss is not finite, and when
/// `confidence` is not within 0.5 to 0.999; `NotEnoughData` for fewer than two clusters.
pub(crate) fn compare_anytime_valid(
    first: &[f64],
    second: &[f64],
    clusters: &[u64],
    confidence: f64,
) -> Result<Option<PairedComparison>> {
    let groups = sums_by_cluster(first, second, clusters, confidence)?;
    if first.len() < FEWEST_ROWS {
        return Ok(None);
    }
    several(&groups)?;
    let by_row: Vec<_> = first.iter().zip(second).map(|(a, b)| (a - b, 1.0)).collect();
    let (alone, together) = (Moments::of(&by_row), Moments::of(&groups));
    let (n, alpha) = (first.len() as f64, 1.0 - confidence);
    let error = alone.error.max(together.error);
    let rho2 = (-2.0 * alpha.ln() + (1.0 - 2.0 * alpha.ln()).ln()) / TUNED_FOR;
    let grown = n * rho2 + 1.0;
    let radius = error * (2.0 * grown / (n * rho2) * (grown.sqrt() / (2.0 * alpha)).ln_1p()).sqrt();
    Ok(Some(PairedComparison {
        difference: alone.mean,
        lower: alone.mean - radius,
        upper: alone.mean + radius,
        standard_error: error,
        rows: first.len(),
        clusters: groups.len(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ml::metrics::compare_paired;

    #[test]
    fn looking_again_and_again_costs_width() {
        let first: Vec<_> = (0..1000).map(|i| f64::from(i * 7919 % 1000) / 1000.0).collect();
        let second: Vec<_> = (0..1000).map(|i| f64::from(i * 104_729 % 1000) / 1000.0).collect();
        let rows: Vec<u64> = (0..1000).collect();
        let once = compare_paired(&first, &second, &rows, 0.95, 1).unwrap();
        let always = compare_anytime_valid(&first, &second, &rows, 0.95).unwrap().unwrap();
        assert!(always.lower < once.lower && always.upper > once.upper);
        assert!(always.upper - always.lower < 2.5 * (once.upper - once.lower), "{always:?} {once:?}");
        assert!(compare_anytime_valid(&first[..99], &second[..99], &rows[..99], 0.95).unwrap().is_none());
        assert!(compare_anytime_valid(&first, &second[..9], &rows, 0.95).is_err());
    }

    #[test]
    fn rows_that_move_together_make_it_wider() {
        let first: Vec<_> = (0..200).map(|i| f64::from(u32::from(i < 120))).collect();
        let (second, apart) = (vec![0.5; 200], (0..200).collect::<Vec<u64>>());
        let together: Vec<u64> = (0..200).map(|i| i / 20).collect();
        let width = |clusters: &[u64]| {
            let c = compare_anytime_valid(&first, &second, clusters, 0.95).unwrap().unwrap();
            c.upper - c.lower
        };
        assert!(width(&together) > 3.0 * width(&apart));
    }

    #[test]
    fn a_clear_difference_is_found() {
        let (better, worse) = (vec![0.4; 500], (0..500).map(|i| 0.5 + f64::from(i % 3) / 10.0));
        let rows: Vec<u64> = (0..500).collect();
        let found = compare_anytime_valid(&better, &worse.collect::<Vec<_>>(), &rows, 0.95).unwrap();
        assert!(found.is_some_and(|c| c.is_better()));
    }
}
