//! Two areas under the ROC curve on the same rows: is the difference more than chance?

use super::binary::roc_auc;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Two areas under the ROC curve with what chance does to their difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub(crate) struct AucComparison {
    /// The area of the first.
    pub(crate) first: f64,
    /// The area of the second.
    pub(crate) second: f64,
    /// Standard error of the difference.
    pub(crate) standard_error: f64,
}

impl AucComparison {
    /// Returns the difference in standard errors: above 0 the first is better; 0 if both rank alike.
    pub(crate) fn z(&self) -> f64 {
        let difference = self.first - self.second;
        if difference == 0.0 { 0.0 } else { difference / self.standard_error.max(f64::MIN_POSITIVE) }
    }

    /// Returns true if the first ranks significantly worse than the second (one-sided, 5 %).
    pub(crate) fn is_worse(&self) -> bool {
        self.z() < -Z_95
    }
}

/// The 95 % quantile of the normal distribution.
pub(crate) const Z_95: f64 = 1.644_853_626_951_472_2;

/// Compares the areas under the ROC curves of two predictors on the same rows (`DeLong`, `DeLong` and
/// Clarke-Pearson 1988) by midranks (Sun and Xu 2014); `None` when all outcomes are the same.
///
/// # Errors
/// `InvalidInput` when the slices differ in length or a score is NaN.
pub(crate) fn compare_auc(first: &[f64], second: &[f64], outcomes: &[bool]) -> Result<Option<AucComparison>> {
    let n = outcomes.len();
    if first.len() != n || second.len() != n {
        return Err(Error::invalid(format!(
            "areas: {} and {} scores against {n} outcomes: give as many",
            first.len(),
            second.len()
        )));
    }
    if first.iter().chain(second).any(|score| score.is_nan()) {
        return Err(Error::invalid("areas: a score is NaN"));
    }
    let (Some(a), Some(b)) = (roc_auc(first, outcomes), roc_auc(second, outcomes)) else { return Ok(None) };
    let (mine, theirs) = (placements(first, outcomes), placements(second, outcomes));
    let variance = |side: bool| {
        let rows = (0..n).filter(|row| outcomes[*row] == side);
        let differences: Vec<_> = rows.map(|row| mine[row] - theirs[row]).collect();
        mean_variance(&differences)
    };
    Ok(Some(AucComparison { first: a, second: b, standard_error: (variance(true) + variance(false)).sqrt() }))
}

/// The area under the ROC curve with its standard error (`DeLong` 1988); `None` when all outcomes are
/// the same.
pub(crate) fn auc_with_error(scores: &[f64], outcomes: &[bool]) -> Option<(f64, f64)> {
    let auc = roc_auc(scores, outcomes)?;
    let found = placements(scores, outcomes);
    let variance = |side: bool| {
        let rows = (0..outcomes.len()).filter(|row| outcomes[*row] == side);
        mean_variance(&rows.map(|row| found[row]).collect::<Vec<_>>())
    };
    Some((auc, (variance(true) + variance(false)).sqrt()))
}

/// The share of the other side's rows that each row stands on the right side of, ties counting half.
fn placements(scores: &[f64], outcomes: &[bool]) -> Vec<f64> {
    let all = midranks(scores, &(0..scores.len()).collect::<Vec<_>>());
    let mut placed = vec![0.0; scores.len()];
    for side in [true, false] {
        let rows: Vec<_> = (0..scores.len()).filter(|row| outcomes[*row] == side).collect();
        let others = (scores.len() - rows.len()) as f64;
        for (row, within) in rows.iter().zip(midranks(scores, &rows)) {
            let below = (all[*row] - within) / others;
            placed[*row] = if side { below } else { 1.0 - below };
        }
    }
    placed
}

/// The rank of each of `rows` among them, ties sharing the mean of theirs.
fn midranks(scores: &[f64], rows: &[usize]) -> Vec<f64> {
    let mut order: Vec<_> = (0..rows.len()).collect();
    let score = |at: &usize| scores[rows[*at]];
    order.sort_by(|a, b| score(a).total_cmp(&score(b)));
    let (mut ranks, mut before) = (vec![0.0; rows.len()], 0.0);
    for tie in order.chunk_by(|a, b| score(a) == score(b)) {
        tie.iter().for_each(|at| ranks[*at] = before + 0.5 * (tie.len() as f64 + 1.0));
        before += tie.len() as f64;
    }
    ranks
}

/// The variance of the mean of `values`.
fn mean_variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: [f64; 4] = [0.8125, 0.6875, 0.204_124_145_231_931_5, 0.169_250_800_096_582_5];

    /// Values by the definition's double sum over all pairs, in Python (numpy 2.3).
    #[test]
    fn the_error_equals_the_reference() {
        let a = [0.1, 0.4, 0.35, 0.8, 0.65, 0.5, 0.9, 0.3];
        let b = [0.2, 0.3, 0.6, 0.7, 0.75, 0.35, 0.6, 0.4];
        let y = [false, false, true, true, false, true, true, false];
        let found = compare_auc(&a, &b, &y).unwrap().unwrap();
        assert!((found.first - GOLDEN[0]).abs() < 1e-12, "{found:?}");
        assert!((found.second - GOLDEN[1]).abs() < 1e-12, "{found:?}");
        assert!((found.standard_error - GOLDEN[2]).abs() < 1e-12, "{found:?}");
        let (auc, error) = auc_with_error(&a, &y).unwrap();
        assert!((auc - GOLDEN[0]).abs() < 1e-12 && (error - GOLDEN[3]).abs() < 1e-12, "{error}");
    }

    #[test]
    fn the_same_order_has_no_difference_and_bad_input_is_refused() {
        let scores = [0.1, 0.9, 0.4, 0.6];
        let y = [false, true, true, false];
        let same = compare_auc(&scores, &scores.map(|s| s * 2.0), &y).unwrap().unwrap();
        assert!(same.z() == 0.0 && !same.is_worse());
        assert_eq!(compare_auc(&scores, &scores, &[true; 4]).unwrap(), None);
        assert!(compare_auc(&scores, &scores[1..], &y).is_err());
        assert!(compare_auc(&[f64::NAN; 4], &scores, &y).is_err());
    }
}
