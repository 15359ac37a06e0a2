//! For whom predictions are good, and where they are off.

use super::delong::{Z_95, auc_with_error};
use crate::dataset::Example;
use crate::learn::wilson;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How good predictions were for some of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Slice {
    /// What they have in common: `agent`, `language`, `task_type`.
    pub by: String,
    /// Its value.
    pub value: String,
    /// How many there are.
    pub rows: usize,
    /// Mean prediction.
    pub predicted: f64,
    /// Mean of what happened.
    pub actual: f64,
    /// Mean loss.
    pub loss: f64,
    /// 90 % interval of the mean loss.
    pub loss_interval: (f64, f64),
    /// Area under the ROC curve with its 90 % interval, where outcomes are yes or no and both occur.
    pub auc: Option<(f64, f64, f64)>,
}

/// What happened to rows that were predicted alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CalibrationBin {
    /// Rows.
    pub rows: usize,
    /// Mean predicted probability.
    pub predicted: f64,
    /// Share of successes.
    pub actual: f64,
    /// 90 % interval of that share (Wilson 1927).
    pub interval: (f64, f64),
}

impl CalibrationBin {
    /// `rows` predicted `predicted` on average, of which the share `actual` succeeded.
    pub(crate) fn new(rows: usize, predicted: f64, actual: f64) -> Self {
        Self { rows, predicted, actual, interval: wilson(actual, rows as f64) }
    }
}

/// Fewer rows than this say nothing of a slice.
const FEWEST_ROWS: usize = 20;

/// Rows by agent, language and task type, the most first; those with too few rows are left out.
pub(crate) fn slices(rows: &[Example], points: &[f64], losses: &[f64], yes_or_no: bool) -> Vec<Slice> {
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
            let (points, losses) = (of(points), of(losses));
            let (loss, error) = mean(&losses);
            let outcomes: Vec<_> = labels.iter().map(|y| *y >= 0.5).collect();
            let auc = auc_with_error(&points, &outcomes).filter(|_| yes_or_no);
            Slice {
                by: by.to_owned(),
                value: value.to_owned(),
                rows: members.len(),
                predicted: mean(&points).0,
                actual: mean(&labels).0,
                loss,
                loss_interval: (loss - Z_95 * error, loss + Z_95 * error),
                auc: auc.map(|(auc, e)| (auc, (auc - Z_95 * e).max(0.0), (auc + Z_95 * e).min(1.0))),
            }
        })
        .collect();
    found.sort_by(|a, b| a.by.cmp(&b.by).then(b.rows.cmp(&a.rows)));
    found
}

/// Rows in ten groups of equal size by what was predicted.
pub(crate) fn calibration_table(probabilities: &[f64], outcomes: &[bool]) -> Vec<CalibrationBin> {
    let mut order: Vec<_> = (0..probabilities.len().min(outcomes.len())).collect();
    order.sort_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
    let size = order.len().div_ceil(10).max(FEWEST_ROWS);
    let bin = |rows: &[usize]| {
        let n = rows.len();
        let hits = rows.iter().filter(|row| outcomes[**row]).count() as f64;
        let predicted = rows.iter().map(|row| probabilities[*row]).sum::<f64>() / n as f64;
        CalibrationBin::new(n, predicted, hits / n as f64)
    };
    order.chunks(size).map(bin).collect()
}

/// The mean with its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    (mean, (square / (n - 1.0).max(1.0) / n).sqrt())
}
