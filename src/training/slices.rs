//! Evaluation by slice, and the calibration table.

use crate::dataset::Example;
use crate::ml::metrics::{Z_95, auc_with_error};
use crate::ml::wilson;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Scores on a slice of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// Dimension of the slice: `agent`, `language`, `task_type`.
    pub(crate) by: String,
    /// Value of the dimension.
    pub(crate) value: String,
    /// Number of rows.
    pub(crate) rows: usize,
    /// Mean prediction; like the other means, weighted by inverse response propensity.
    pub(crate) predicted: f64,
    /// Mean outcome.
    pub(crate) actual: f64,
    /// Mean loss.
    pub(crate) loss: f64,
    /// 90 % interval of the mean loss.
    pub(crate) loss_interval: (f64, f64),
    /// ROC AUC with its 90 % interval, for binary outcomes if both classes occur. It is unweighted: it compares
    /// successes with failures, so a response propensity that depends on the outcome alone does not change it.
    pub(crate) auc: Option<(f64, f64, f64)>,
}

/// Outcomes of rows with similar predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct CalibrationBin {
    /// Number of rows.
    pub(crate) rows: usize,
    /// Mean predicted probability, weighted by inverse response propensity.
    pub(crate) predicted: f64,
    /// Observed success rate.
    pub(crate) actual: f64,
    /// 90 % interval of the success rate (Wilson 1927).
    pub(crate) interval: (f64, f64),
}

impl CalibrationBin {
    /// Creates a bin of `rows` rows with mean prediction `predicted` and success rate `actual`.
    pub(crate) fn new(rows: usize, predicted: f64, actual: f64) -> Self {
        Self { rows, predicted, actual, interval: wilson(actual, rows as f64) }
    }

    /// Creates a bin of weighted rows; its interval uses the effective sample size (Kish 1965).
    fn weighted(points: &[f64], outcomes: &[f64], weights: &[f64]) -> Self {
        let (predicted, actual) = (mean(points, weights).0, mean(outcomes, weights).0);
        let (sum, squares) = weights.iter().fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
        Self { rows: points.len(), predicted, actual, interval: wilson(actual, sum * sum / squares) }
    }
}

/// Fewest rows of a slice.
const FEWEST_ROWS: usize = 20;

/// Returns the slices by agent, language and task type, the largest first; slices with too few rows are left out.
pub(crate) fn slices(
    rows: &[Example],
    points: &[f64],
    losses: &[f64],
    weights: &[f64],
    yes_or_no: bool,
) -> Vec<Slice> {
    let mut groups = BTreeMap::<(&str, &str), Vec<usize>>::new();
    for (row, example) in rows.iter().enumerate() {
        let about = &example.about;
        for (by, value) in
            [("agent", &about.agent), ("language", &about.language), ("task_type", &about.task_type)]
        {
            if let Some(value) = value {
                groups.entry((by, value.as_ref())).or_default().push(row);
            }
        }
    }
    let mut found: Vec<_> = groups
        .into_iter()
        .filter(|(_, members)| members.len() >= FEWEST_ROWS)
        .map(|((by, value), members)| {
            let of = |values: &[f64]| -> Vec<f64> { members.iter().map(|row| values[*row]).collect() };
            let labels: Vec<_> = members.iter().map(|row| rows[*row].label).collect();
            let (points, losses, weights) = (of(points), of(losses), of(weights));
            let (loss, error) = mean(&losses, &weights);
            let outcomes: Vec<_> = labels.iter().map(|y| *y >= 0.5).collect();
            let auc = auc_with_error(&points, &outcomes).filter(|_| yes_or_no);
            Slice {
                by: by.to_owned(),
                value: value.to_owned(),
                rows: members.len(),
                predicted: mean(&points, &weights).0,
                actual: mean(&labels, &weights).0,
                loss,
                loss_interval: (loss - Z_95 * error, loss + Z_95 * error),
                auc: auc.map(|(auc, e)| (auc, (auc - Z_95 * e).max(0.0), (auc + Z_95 * e).min(1.0))),
            }
        })
        .collect();
    found.sort_by(|a, b| a.by.cmp(&b.by).then(b.rows.cmp(&a.rows)));
    found
}

/// Returns ten bins of equal size in the order of the predictions.
pub(crate) fn calibration_table(points: &[f64], labels: &[f64], weights: &[f64]) -> Vec<CalibrationBin> {
    let mut order: Vec<_> = (0..points.len().min(labels.len())).collect();
    order.sort_by(|a, b| points[*a].total_cmp(&points[*b]));
    let size = order.len().div_ceil(10).max(FEWEST_ROWS);
    let bin = |rows: &[usize]| {
        let of = |values: &[f64]| -> Vec<f64> { rows.iter().map(|row| values[*row]).collect() };
        CalibrationBin::weighted(&of(points), &of(labels), &of(weights))
    };
    order.chunks(size).map(bin).collect()
}

/// Returns the weighted mean and its standard error.
fn mean(values: &[f64], weights: &[f64]) -> (f64, f64) {
    let (n, sum) = (values.len() as f64, weights.iter().sum::<f64>());
    let pairs = || values.iter().zip(weights);
    let mean = pairs().map(|(v, w)| w * v).sum::<f64>() / sum;
    let square = pairs().map(|(v, w)| (w * (v - mean)).powi(2)).sum::<f64>();
    (mean, (square * n / (n - 1.0).max(1.0)).sqrt() / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_weight_two_counts_as_two_rows() {
        let (points, labels) = ([0.1, 0.2, 0.9], [0.0, 1.0, 1.0]);
        let table = calibration_table(&points, &labels, &[2.0, 1.0, 1.0]);
        let doubled = calibration_table(&[0.1, 0.1, 0.2, 0.9], &[0.0, 0.0, 1.0, 1.0], &[1.0; 4]);
        let [bin, twice] = [table[0], doubled[0]];
        assert_eq!((bin.rows, twice.rows), (3, 4));
        assert!((bin.predicted - twice.predicted).abs() < 1e-12 && (bin.actual - 0.5).abs() < 1e-12);
        // Three rows of unequal weight have a smaller effective sample size than four of equal weight.
        assert!(bin.interval.0 < twice.interval.0 && twice.interval.1 < bin.interval.1);
    }

    #[test]
    fn the_error_of_a_mean_is_that_of_equal_rows() {
        let (found, error) = mean(&[1.0, 2.0, 3.0, 4.0], &[1.0; 4]);
        // Sample deviation 1.291 over the root of four.
        assert!((found - 2.5).abs() < 1e-12 && (error - 0.645_497).abs() < 1e-6);
    }
}
