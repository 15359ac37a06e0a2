//! What a training run did, to be kept with its version and beside it.

use super::evaluation::{Evaluation, TrainingOptions};
use super::gate::GateVerdict;
use crate::dataset::{Dataset, SourceKind};
use crate::error::{Error, Result};
use crate::registry::{ModelVersion, sha256_hex};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A training run: from what, how, how long, how good, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunRecord {
    /// The model, the moment and the data: equal for equal runs.
    pub run_id: String,
    /// The model's name.
    pub model: String,
    /// The version that it registered; `None` while it is not yet.
    pub version: Option<u64>,
    /// The moment as of which everything was looked at.
    pub as_of: DateTime<Utc>,
    /// What it learned from.
    pub data: DataRecord,
    /// The trainer's parameters, its seeds among them.
    pub parameters: Value,
    /// How it went.
    pub options: TrainingOptions,
    /// How good it was on rows that it had not seen.
    pub evaluation: Evaluation,
    /// Scores of each fold in the order of time, where [`TrainingOptions::folds`] asks for them.
    pub folds: Vec<BTreeMap<String, f64>>,
    /// How much each feature's splits lessened the loss in training, as shares.
    pub importance: Vec<(String, f64)>,
    /// By how much those shares differ from the ones of the model in production, the largest change
    /// first.
    pub importance_drift: Vec<(String, f64)>,
    /// What the gate said.
    pub verdict: GateVerdict,
    /// Seconds by stage.
    pub seconds: BTreeMap<String, f64>,
    /// The version of this crate.
    pub library_version: String,
    /// What else is to be kept, such as what a search or a selection found.
    pub notes: BTreeMap<String, Value>,
}

/// What a run learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DataRecord {
    /// When the first generation started.
    pub from: Option<DateTime<Utc>>,
    /// When the last generation started.
    pub until: Option<DateTime<Utc>>,
    /// Generations.
    pub rows: usize,
    /// Those whose outcome is known.
    pub certain: usize,
    /// Fingerprint of the features' table.
    pub schema: u64,
    /// SHA-256 of every row: [`Dataset::fingerprint`].
    pub sha256: String,
}

impl DataRecord {
    pub(super) fn of(data: &Dataset) -> Self {
        Self {
            from: data.examples.first().map(|e| e.started_at),
            until: data.examples.last().map(|e| e.started_at),
            rows: data.examples.len(),
            certain: data.certain().count(),
            schema: data.schema,
            sha256: data.fingerprint(),
        }
    }
}

impl RunRecord {
    /// The record that a version was registered with; `None` where it has none.
    ///
    /// # Errors
    /// `Incompatible` when it was written by another version of this crate and cannot be read.
    pub fn of(version: &ModelVersion) -> Result<Option<Self>> {
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

    /// The same with a number in place of each person's name.
    pub(super) fn without_names(&self) -> Self {
        let mut record = self.clone();
        for suspect in &mut record.evaluation.anomalous_labelers {
            if suspect.source.kind == SourceKind::User {
                suspect.source.name = format!("#{}", &sha256_hex(suspect.source.name.as_bytes())[..12]);
            }
        }
        record
    }

    pub(super) fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self)
            .map_err(|e| Error::internal("the training record cannot be written").with_source(e))
    }
}

/// By how much the shares of features differ, the largest change first.
pub(super) fn drift(now: &[(String, f64)], before: &[(String, f64)]) -> Vec<(String, f64)> {
    let mut changes: BTreeMap<&str, f64> = now.iter().map(|(name, share)| (name.as_str(), *share)).collect();
    before.iter().for_each(|(name, share)| *changes.entry(name.as_str()).or_default() -= share);
    let mut changes: Vec<_> = changes.into_iter().map(|(name, by)| (name.to_owned(), by)).collect();
    changes.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    changes
}
