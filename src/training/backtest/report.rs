//! What a backtest found.

use crate::dataset::Example;
use crate::error::Result;
use crate::models::{Status, Trainer};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a backtest found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BacktestReport {
    /// What was predicted.
    pub target: String,
    /// How it was split.
    pub split: String,
    /// Events that could be judged or were still open.
    pub n_events: usize,
    /// Labelled events that the first model was trained on.
    pub n_train: usize,
    /// Events predicted and judged.
    pub n_test: usize,
    /// The start of the first predicted event, of a split by time.
    pub cut: Option<DateTime<Utc>>,
    /// How good the predictions were.
    pub metrics: BTreeMap<String, f64>,
    /// How good the simplest predictors were on the same events.
    pub baselines: BTreeMap<String, BTreeMap<String, f64>>,
    /// How long it took.
    pub timing: BacktestTiming,
    /// Every model trained, in order.
    pub models: Vec<NightlyModel>,
    /// Predictions by what they rested on.
    pub status_counts: BTreeMap<String, usize>,
}

/// How long the parts took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BacktestTiming {
    /// Microseconds an event for features and history.
    pub features_us_per_event: f64,
    /// Seconds of the longest training run, evaluation included.
    pub fit_s: f64,
    /// Microseconds of one prediction from the task's text, median.
    pub predict_us_p50: f64,
    /// The same, 99th percentile.
    pub predict_us_p99: f64,
}

/// A model that was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NightlyModel {
    /// Its number.
    pub version: u64,
    /// When it would have been trained.
    pub trained_at: DateTime<Utc>,
    /// Whether it would have gone live.
    pub promoted: bool,
    /// Why, or why not.
    pub reasons: Vec<String>,
}

/// One prediction with what happened.
pub(super) struct Scored {
    pub(super) point: f64,
    pub(super) label: f64,
    pub(super) status: Status,
    pub(super) intervals: Option<[(f64, f64); 2]>,
    pub(super) example: Example,
}

/// The scores of all predictions, and how well their intervals held where all had one.
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

impl BacktestTiming {
    pub(super) fn new(features_s: f64, events: usize, fit_s: f64, mut predict_us: Vec<f64>) -> Self {
        predict_us.sort_by(f64::total_cmp);
        let at = |q: f64| predict_us.get((predict_us.len() as f64 * q) as usize).copied().unwrap_or(0.0);
        Self {
            features_us_per_event: features_s * 1e6 / events.max(1) as f64,
            fit_s,
            predict_us_p50: at(0.5),
            predict_us_p99: at(0.99),
        }
    }
}

/// The mean of several reports' scores and baselines.
impl BacktestReport {
    /// Scores averaged over `reports`, by name.
    pub fn mean(reports: &[Self]) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::<String, (f64, f64)>::new();
        for report in reports {
            for (name, value) in report.metrics.clone() {
                let sum = sums.entry(name).or_default();
                *sum = (sum.0 + value, sum.1 + 1.0);
            }
        }
        sums.into_iter().map(|(name, (sum, n))| (name, sum / n)).collect()
    }
}
