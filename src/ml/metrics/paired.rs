//! Two predictors on the same rows: is the difference more than chance?

use crate::error::{Error, ErrorKind, Result};
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
    /// Lower end: the difference is above it with the confidence asked for.
    pub lower: f64,
    /// Upper end: the difference is below it with the confidence asked for.
    pub upper: f64,
    /// Standard error of the difference.
    pub standard_error: f64,
    /// Rows compared.
    pub rows: usize,
    /// Clusters that they fall into.
    pub(crate) clusters: usize,
}

impl PairedComparison {
    /// Returns true if the first is significantly worse than the second.
    pub(crate) fn is_worse(&self) -> bool {
        self.lower > 0.0
    }

    /// Returns true if the first is significantly better than the second.
    pub(crate) fn is_better(&self) -> bool {
        self.is_better_by(0.0)
    }

    /// Returns true if the first is better than the second by significantly more than `margin`.
    pub(crate) fn is_better_by(&self, margin: f64) -> bool {
        self.upper < -margin
    }

    /// Returns the approximate number of further rows for 80 % power to find the first better by `margin` at
    /// the observed difference; `None` if the observed difference is not better than that.
    pub(crate) fn rows_to_decide(&self, margin: f64) -> Option<usize> {
        let beyond = -self.difference - margin;
        if beyond <= 0.0 || self.is_better_by(margin) {
            return None;
        }
        // The distance from the end to the difference is what chance does at these many rows.
        let chance = (self.upper - self.difference) + Z_80 * self.standard_error;
        let rows = self.rows as f64 * (chance / beyond).powi(2);
        (rows < 1e9).then(|| (rows.ceil() as usize).saturating_sub(self.rows).max(1))
    }
}

/// The 80 % quantile of the normal distribution.
const Z_80: f64 = 0.841_621_233_572_914_3;

/// Compares the losses of two predictors row by row with a studentised paired bootstrap over
/// `clusters` (Efron and Tibshirani 1993, chapter 12): rows of one cluster (a project, a task) are
/// drawn together, since they rise and fall together. Each end of the interval is a one-sided test
/// at 1 - `confidence`.
///
/// # Errors
/// `InvalidInput` when the slices differ in length, are empty, or a loss is not finite, and when
/// `confidence` is not within 0.5 to 0.999; `NotEnoughData` for fewer than two clusters.
pub fn compare_paired(
    first: &[f64],
    second: &[f64],
    clusters: &[u64],
    confidence: f64,
    seed: u64,
) -> Result<PairedComparison> {
    let groups = sums_by_cluster(first, second, clusters, confidence)?;
    several(&groups)?;
    let Ratio { value, lower, upper, standard_error } = studentised(&groups, confidence, seed);
    let (rows, clusters) = (first.len(), groups.len());
    Ok(PairedComparison { difference: value, lower, upper, standard_error, rows, clusters })
}

/// A ratio of two sums over clusters, with its chance variation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) value: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) standard_error: f64,
}

/// The ratio of the sums of the clusters' parts, each end of its interval at `confidence`, by a
/// studentised bootstrap over the clusters.
pub(crate) fn studentised(groups: &[(f64, f64)], confidence: f64, seed: u64) -> Ratio {
    let all = Moments::of(groups);
    let mut studentised = resample(groups, all, seed);
    studentised.sort_by(f64::total_cmp);
    let last = RESAMPLES - 1;
    let above = ((last as f64) * confidence).round() as usize;
    let end = |t: f64| all.mean - t * all.error;
    Ratio {
        value: all.mean,
        lower: end(studentised[above]).min(all.mean),
        upper: end(studentised[last - above]).max(all.mean),
        standard_error: all.error,
    }
}

/// Checks the losses; the sum of differences and the number of rows of each cluster, in the order of
/// the clusters.
pub(super) fn sums_by_cluster(
    first: &[f64],
    second: &[f64],
    clusters: &[u64],
    confidence: f64,
) -> Result<Vec<(f64, f64)>> {
    let rows = first.len();
    if rows == 0 || second.len() != rows || clusters.len() != rows {
        return Err(Error::invalid(format!(
            "paired losses: {rows} against {} in {} clusters: give as many, and at least one",
            second.len(),
            clusters.len()
        )));
    }
    if first.iter().chain(second).any(|loss| !loss.is_finite())
        || first.iter().zip(second).any(|(a, b)| !(a - b).is_finite())
    {
        return Err(Error::invalid("paired losses: every loss must be finite"));
    }
    if !(0.5..=0.999).contains(&confidence) {
        return Err(Error::invalid(format!("confidence is {confidence}, expected 0.5 to 0.999")));
    }
    let mut groups = std::collections::BTreeMap::<u64, (f64, f64)>::new();
    for ((a, b), cluster) in first.iter().zip(second).zip(clusters) {
        let group = groups.entry(*cluster).or_default();
        group.0 += a - b;
        group.1 += 1.0;
    }
    Ok(groups.into_values().collect())
}

/// Rejects a single cluster, from which the variance between clusters cannot be estimated.
pub(super) fn several(groups: &[(f64, f64)]) -> Result<()> {
    if groups.len() < 2 {
        let kind = ErrorKind::NotEnoughData { have: groups.len(), need: 2 };
        return Err(Error::new(
            kind,
            "paired losses: all of 1 cluster, 2 are needed to tell chance from more",
        ));
    }
    Ok(())
}

/// The mean over rows of clusters, and its standard error.
#[derive(Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    pub(crate) error: f64,
}

impl Moments {
    pub(crate) fn of(groups: &[(f64, f64)]) -> Self {
        Self::of_drawn(groups.iter())
    }

    fn of_drawn<'a>(groups: impl Iterator<Item = &'a (f64, f64)>) -> Self {
        // Sums of s, n, ss, sn, nn: the residuals s - mean n need the mean first.
        let mut sums = [0.0; 6];
        for (s, n) in groups {
            for (sum, value) in sums.iter_mut().zip([*s, *n, s * s, s * n, n * n, 1.0]) {
                *sum += value;
            }
        }
        let [s, n, ss, sn, nn, count] = sums;
        let mean = s / n;
        let squares = (ss - 2.0 * mean * sn + mean * mean * nn).max(0.0);
        Self { mean, error: (squares * count / (count - 1.0).max(1.0)).sqrt() / n }
    }
}

/// By how many of its own standard errors the mean of each resample is off.
fn resample(groups: &[(f64, f64)], all: Moments, seed: u64) -> Vec<f64> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    // Where a resample has no spread of its own, that of all stands in.
    let least = 1e-3 * all.error;
    let draw = |rng: &mut Pcg64Mcg| {
        let drawn: Vec<_> = groups.iter().map(|_| &groups[rng.random_range(0..groups.len())]).collect();
        let Moments { mean, error } = Moments::of_drawn(drawn.into_iter());
        if all.error > 0.0 { (mean - all.mean) / error.max(least) } else { 0.0 }
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
        let found = compare_paired(&worse, &a, &rows, 0.95, 7).unwrap();
        assert!(found.is_worse() && !found.is_better());
        assert!((found.difference - 0.1).abs() < 1e-12);
        let same = compare_paired(&a, &a, &rows, 0.95, 7).unwrap();
        assert!(!same.is_worse() && !same.is_better());
    }

    #[test]
    fn rows_that_move_together_count_once() {
        let differences: Vec<_> = (0..100).map(|i| if i < 60 { 1.0 } else { -1.0 }).collect();
        let zero = vec![0.0; 100];
        let apart = compare_paired(&differences, &zero, &(0..100).collect::<Vec<_>>(), 0.95, 1).unwrap();
        let together: Vec<u64> = (0..100).map(|i| u64::from(i >= 60)).collect();
        let together = compare_paired(&differences, &zero, &together, 0.95, 1).unwrap();
        assert!(apart.is_worse() && !together.is_worse());
    }

    #[test]
    fn what_is_undecided_says_how_much_more_it_takes() {
        // Sides of one and two, so that the mean is small beside the spread.
        let first: Vec<_> = (0..400).map(|i| f64::from(i % 2) * 0.5).collect();
        let second: Vec<_> = (0..400).map(|i| f64::from((i + 1) % 2) * 0.5 + 0.02).collect();
        let rows: Vec<u64> = (0..400).collect();
        let found = compare_paired(&first, &second, &rows, 0.95, 1).unwrap();
        assert!(!found.is_better() && found.difference < 0.0);
        let more = found.rows_to_decide(0.0).unwrap();
        // Deviation 0.5, difference 0.02: ((1.645 + 0.842) 0.5 / 0.02)^2 = 3,865 rows in all.
        assert!((3_000..4_000).contains(&more), "{more}");
        assert_eq!(found.rows_to_decide(0.03), None, "it does not seem better by that much");
    }

    #[test]
    fn losses_that_cannot_be_compared_are_refused() {
        assert!(compare_paired(&[], &[], &[], 0.95, 0).is_err());
        assert!(compare_paired(&[1.0], &[f64::NAN], &[0], 0.95, 0).is_err());
        assert!(compare_paired(&[1.0], &[1.0], &[0], f64::NAN, 0).is_err());
    }
}
