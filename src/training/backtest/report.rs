//! Report of a backtest.

use crate::dataset::Example;
use crate::error::Result;
use crate::models::{Status, Trainer};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Report of a backtest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BacktestReport {
    /// Prediction target.
    pub target: String,
    /// Split into training and test events.
    pub split: String,
    /// Number of events, labelled or still open.
    pub n_events: usize,
    /// Numbers of events that were left out, put together or renamed, by what was done and why.
    #[serde(default)]
    pub remarks: BTreeMap<String, usize>,
    /// Number of labelled events that the first model was trained on.
    pub n_train: usize,
    /// Number of test events, predicted and labelled.
    pub n_test: usize,
    /// Start of the first test event, for a split by time.
    pub cut: Option<DateTime<Utc>>,
    /// Scores of the predictions.
    pub metrics: BTreeMap<String, f64>,
    /// Scores of the baselines on the same events.
    pub baselines: BTreeMap<String, BTreeMap<String, f64>>,
    /// Scores of the model (`model`) and of the baselines by name on new tasks (`new`) and on those seen before (`seen`),
    /// where there are both.
    #[serde(default)]
    pub by_task: BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>>,
    /// Durations: `features_us_per_event`, microseconds per event for features and history; `fit_s`, seconds of the
    /// longest training run with its evaluation; `predict_us_p50` and `predict_us_p99`, microseconds of one
    /// prediction from the task's text.
    pub timing: BTreeMap<String, f64>,
    /// All trained models in order.
    pub models: Vec<NightlyModel>,
    /// Number of predictions by status.
    pub status_counts: BTreeMap<String, usize>,
}

/// A model that was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NightlyModel {
    /// Version number.
    pub version: u64,
    /// Simulated time of training.
    pub trained_at: DateTime<Utc>,
    /// True if it would have been promoted.
    pub promoted: bool,
    /// Reasons of the verdict.
    pub reasons: Vec<String>,
}

/// A prediction and its outcome.
pub(super) struct Scored {
    pub(super) point: f64,
    pub(super) label: f64,
    pub(super) status: Status,
    pub(super) intervals: Option<[(f64, f64); 2]>,
    pub(super) example: Example,
}

/// Returns the scores of all predictions, and the empirical coverage and width of their intervals if all have
/// them.
pub(super) fn scores<T: Trainer>(trainer: &T, scored: &[Scored]) -> Result<BTreeMap<String, f64>> {
    let points: Vec<_> = scored.iter().map(|s| s.point).collect();
    let labels: Vec<_> = scored.iter().map(|s| s.label).collect();
    let mut scores = trainer.scores(&points, &labels)?;
    for (level, place) in [("80", 0), ("90", 1)] {
        let bands: Option<Vec<_>> = scored.iter().map(|s| Some(s.intervals?[place])).collect();
        if let Some(bands) = bands {
            let n = bands.len() as f64;
            let hits =
                bands.iter().zip(&labels).filter(|((low, high), y)| (*low..=*high).contains(*y)).count();
            scores.insert(format!("coverage_{level}"), hits as f64 / n);
            scores.insert(
                format!("width_{level}"),
                bands.iter().map(|(low, high)| high - low).sum::<f64>() / n,
            );
        }
    }
    Ok(scores)
}

impl Scored {
    pub(super) fn status_name(&self) -> String {
        let name = serde_json::to_value(self.status).ok();
        name.as_ref().and_then(|v| v.as_str()).unwrap_or_default().to_owned()
    }
}
