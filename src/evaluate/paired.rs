//! Two predictors on the same rows: is the difference more than chance?

use crate::error::{Error, Result};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

const RESAMPLES: usize = 2_000;

/// The mean difference of two predictors' losses over the same rows, with its chance variation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PairedComparison {
    /// Mean loss of the first minus that of the second: below 0 the first is better.
    pub difference: f64,
    /// Lower end of the 90 % interval (so each end is a one-sided test at 5 %).
    pub lower: f64,
    /// Upper end of the 90 % interval.
    pub upper: f64,
    /// Rows compared.
    pub rows: usize,
}

impl PairedComparison {
    /// Whether the first is worse than the second by more than chance (one-sided, 5 %).
    pub fn is_worse(&self) -> bool {
        self.lower > 0.0
    }

    /// Whether the first is better than the second by more than chance (one-sided, 5 %).
    pub fn is_better(&self) -> bool {
        self.upper < 0.0
    }
}

/// Compares the losses of two predictors row by row with a paired bootstrap over `clusters`
/// (Efron and Tibshirani 1993): rows of one cluster (a project, a task) are drawn together, since
/// they rise and fall together.
///
/// # Errors
/// `InvalidInput` when the slices differ in length, are empty, or a loss is not finite.
pub fn compare_paired(
    first: &[f64],
    second: &[f64],
    clusters: &[u64],
    seed: u64,
) -> Result<PairedComparison> {
    let rows = first.len();
    if rows == 0 || second.len() != rows || clusters.len() != rows {
        return Err(Error::invalid(format!(
            "paired losses: {rows} against {} in {} clusters: give as many, and at least one",
            second.len(),
            clusters.len()
        )));
    }
    if first.iter().chain(second).any(|loss| !loss.is_finite()) {
        return Err(Error::invalid("paired losses: every loss must be finite"));
    }
    let groups = sums_by_cluster(first, second, clusters);
    let mut means = resample(&groups, seed);
    means.sort_by(f64::total_cmp);
    let total: f64 = groups.iter().map(|(sum, _)| sum).sum();
    Ok(PairedComparison {
        difference: total / rows as f64,
        lower: means[RESAMPLES / 20],
        upper: means[RESAMPLES - 1 - RESAMPLES / 20],
        rows,
    })
}

/// The sum of differences and the number of rows of each cluster, in the order of the clusters.
fn sums_by_cluster(first: &[f64], second: &[f64], clusters: &[u64]) -> Vec<(f64, f64)> {
    let mut groups = std::collections::BTreeMap::<u64, (f64, f64)>::new();
    for ((a, b), cluster) in first.iter().zip(second).zip(clusters) {
        let group = groups.entry(*cluster).or_default();
        group.0 += a - b;
        group.1 += 1.0;
    }
    groups.into_values().collect()
}

fn resample(groups: &[(f64, f64)], seed: u64) -> Vec<f64> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let draw = |rng: &mut Pcg64Mcg| {
        let (mut sum, mut n) = (0.0, 0.0);
        for _ in groups {
            let (s, k) = groups[rng.random_range(0..groups.len())];
            sum += s;
            n += k;
        }
        sum / n
    };
    (0..RESAMPLES).map(|_| draw(&mut rng)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_difference_is_found_and_none_is_not() {
        let rows: Vec<u64> = (0..400).collect();
        let noise = |i: u64, salt: u64| {
            f64::from((i.wrapping_mul(2_654_435_761).wrapping_add(salt * 97) % 1000) as u32) / 1000.0
        };
        let a: Vec<_> = rows.iter().map(|i| noise(*i, 1)).collect();
        let worse: Vec<_> = a.iter().map(|x| x + 0.1).collect();
        let found = compare_paired(&worse, &a, &rows, 7).unwrap();
        assert!(found.is_worse() && !found.is_better());
        assert!((found.difference - 0.1).abs() < 1e-12);
        let same = compare_paired(&a, &a, &rows, 7).unwrap();
        assert!(!same.is_worse() && !same.is_better());
    }

    #[test]
    fn rows_that_move_together_count_once() {
        let differences: Vec<_> = (0..100).map(|i| if i < 60 { 1.0 } else { -1.0 }).collect();
        let zero = vec![0.0; 100];
        let apart = compare_paired(&differences, &zero, &(0..100).collect::<Vec<_>>(), 1).unwrap();
        let together: Vec<u64> = (0..100).map(|i| u64::from(i >= 60)).collect();
        let together = compare_paired(&differences, &zero, &together, 1).unwrap();
        assert!(apart.is_worse() && !together.is_worse());
    }

    #[test]
    fn losses_that_cannot_be_compared_are_refused() {
        assert!(compare_paired(&[], &[], &[], 0).is_err());
        assert!(compare_paired(&[1.0], &[f64::NAN], &[0], 0).is_err());
    }
}
