//! The record of a training run, stored with the version that it registered.

use super::evaluation::Evaluation;
use super::gate::GateVerdict;
use super::options::TrainingOptions;
use crate::dataset::{Dataset, SourceKind};
use crate::error::{Error, Result};
use crate::features::HostColumns;
use crate::models::Surrogate;
use crate::registry::{ModelVersion, sha256_hex};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A training run: data, parameters, options, duration, evaluation and verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunRecord {
    /// Identifier made of the model, the time and the data: equal for equal runs.
    pub run_id: String,
    /// The model's name.
    pub model: String,
    /// The version that it registered; `None` before registration.
    pub version: Option<u64>,
    /// Point in time as of which the store was read.
    pub as_of: DateTime<Utc>,
    /// Training data.
    pub(crate) data: DataRecord,
    /// The trainer's parameters, its seeds among them.
    pub parameters: Value,
    /// Training options.
    pub(crate) options: TrainingOptions,
    /// Evaluation on the test set.
    pub evaluation: Evaluation,
    /// Scores of each time-ordered fold, if [`TrainingOptions::folds`] is set.
    pub folds: Vec<BTreeMap<String, f64>>,
    /// Gain importance of each feature, normalised to sum to 1.
    pub importance: Vec<(String, f64)>,
    /// Change of the importance against the model in production, the largest change first.
    pub importance_drift: Vec<(String, f64)>,
    /// The model in rules, where the feature `linfa` is on and its rows are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) surrogate: Option<Surrogate>,
    /// Verdict of the gate.
    pub(crate) verdict: GateVerdict,
    /// Seconds by stage.
    pub seconds: BTreeMap<String, f64>,
    /// The version of this crate.
    pub(crate) library_version: String,
    /// Further notes, such as the result of a hyperparameter search or a feature selection.
    pub notes: BTreeMap<String, Value>,
}

/// Training data of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataRecord {
    /// Start of the first generation.
    pub(crate) from: Option<DateTime<Utc>>,
    /// Start of the last generation.
    pub(crate) until: Option<DateTime<Utc>>,
    /// Number of generations.
    pub(crate) rows: usize,
    /// Number of generations whose outcome is known.
    pub(crate) certain: usize,
    /// Fingerprint of the feature schema.
    pub(crate) schema: u64,
    /// SHA-256 of all rows.
    pub(crate) sha256: String,
    /// Erasures of the store before it was read.
    #[serde(default)]
    pub(crate) erasures: u64,
    /// The host's own columns as they were declared.
    #[serde(default, skip_serializing_if = "HostColumns::is_empty")]
    pub(crate) columns: HostColumns,
}

impl DataRecord {
    pub(super) fn of(data: &Dataset, erasures: u64) -> Self {
        Self {
            from: data.examples.first().map(|e| e.started_at),
            until: data.examples.last().map(|e| e.started_at),
            rows: data.examples.len(),
            certain: data.certain().count(),
            schema: data.schema,
            sha256: data.fingerprint(),
            erasures,
            columns: data.examples.first().map(|e| e.features.own.declared.clone()).unwrap_or_default(),
        }
    }
}

impl RunRecord {
    /// Returns the record that a version was registered with; `None` if it has none.
    ///
    /// # Errors
    /// `Incompatible` when it was written by another version of this crate and cannot be read.
    pub(crate) fn of(version: &ModelVersion) -> Result<Option<Self>> {
        if version.report.is_null() {
            return Ok(None);
        }
        let mut record: Self = serde_json::from_value(version.report.clone()).map_err(|e| {
            let of = format!("{} version {}", version.model, version.version);
            Error::incompatible(format!("{of}: its training record cannot be read")).with_source(e)
        })?;
        record.version = Some(version.version);
        Ok(Some(record))
    }

    /// Returns the record with each user's name replaced by a hash.
    pub(super) fn without_names(&self) -> Self {
        let mut record = self.clone();
        for labeler in &mut record.evaluation.anomalous_labelers {
            if labeler.source.kind == SourceKind::User {
                labeler.source.name = format!("#{}", &sha256_hex(labeler.source.name.as_bytes())[..12]);
            }
        }
        record
    }

    pub(super) fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self)
            .map_err(|e| Error::internal("the training record cannot be written").with_source(e))
    }
}

/// Returns the change of each feature's importance, the largest change first.
pub(super) fn drift(now: &[(String, f64)], before: &[(String, f64)]) -> Vec<(String, f64)> {
    let mut changes: BTreeMap<&str, f64> = now.iter().map(|(name, share)| (name.as_str(), *share)).collect();
    before.iter().for_each(|(name, share)| *changes.entry(name.as_str()).or_default() -= share);
    let mut changes: Vec<_> = changes.into_iter().map(|(name, by)| (name.to_owned(), by)).collect();
    changes.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    changes
}
