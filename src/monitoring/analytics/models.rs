//! The models in production: what their training found, and how good they have been since.

use super::accuracy::{NumberScores, SuccessScores};
use crate::error::Result;
use crate::models::{Surrogate, targets};
use crate::registry::{ModelRegistry, Stage, Verdict};
use crate::training::RunRecord;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How good a model was in training, and how good it has been since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelPerformance {
    /// The model's name.
    pub(crate) model: String,
    /// The version.
    pub(crate) version: u64,
    /// True if this version is in production.
    pub(crate) in_production: bool,
    /// When it was registered; `None` where the registry was not asked.
    pub(crate) created_at: Option<DateTime<Utc>>,
    /// Metrics measured in training, on held-out rows.
    pub(crate) training: BTreeMap<String, f64>,
    /// How good its predictions of success have been.
    pub(crate) success: Option<SuccessScores>,
    /// How good its predictions of a number have been.
    pub(crate) number: Option<NumberScores>,
}

/// Feature importance of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelImportance {
    /// The model's name.
    pub(crate) model: String,
    /// The version in production.
    pub(crate) version: u64,
    /// Features with how much their splits lessened the loss in training, as shares, the largest first.
    pub(crate) features: Vec<(String, f64)>,
    /// By how much those shares differ from the version before, the largest change first.
    pub(crate) changes: Vec<(String, f64)>,
    /// The model in rules, where training made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) surrogate: Option<Surrogate>,
}

/// A version of a model as the registry has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VersionSummary {
    /// The model's name.
    pub(crate) model: String,
    /// The version.
    pub(crate) version: u64,
    /// Where it stands.
    pub(crate) stage: Stage,
    /// When it was registered.
    pub(crate) created_at: DateTime<Utc>,
    /// Metrics measured in training, on held-out rows.
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Every verdict on it, in order.
    pub(crate) verdicts: Vec<Verdict>,
}

/// The registry's facts about the models, read once in advance so that building a report does no I/O.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelFacts {
    pub(super) importance: Vec<ModelImportance>,
    pub(super) versions: Vec<VersionSummary>,
    pub(super) damaged: Vec<DamagedVersion>,
}

/// A version whose record is damaged: it is set aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DamagedVersion {
    pub(crate) model: String,
    pub(crate) version: u64,
    pub(crate) error: String,
}

impl ModelFacts {
    /// Reads the versions of the served models, the newest 30 of each.
    ///
    /// # Errors
    /// Those of reading the registry; `Incompatible` when the record of a version in production was
    /// written by another version of this crate.
    pub async fn read(registry: &dyn ModelRegistry) -> Result<Self> {
        let mut facts = Self::default();
        for model in targets::SERVED.iter().map(|served| served.target.name()) {
            let versions = registry.versions(model).await?;
            let damaged = registry.damaged(model).await?.into_iter();
            facts.damaged.extend(damaged.map(|(version, error)| DamagedVersion {
                model: model.to_owned(),
                version,
                error: format!("{error:#}"),
            }));
            for version in versions.iter().filter(|version| version.stage == Stage::Production) {
                if let Some(record) = RunRecord::of(version)? {
                    facts.importance.push(ModelImportance {
                        model: model.to_owned(),
                        version: version.version,
                        features: record.importance,
                        changes: record.importance_drift,
                        surrogate: record.surrogate,
                    });
                }
            }
            let newest = versions.into_iter().rev().take(Self::MOST);
            facts.versions.extend(newest.map(|version| VersionSummary {
                model: version.model,
                version: version.version,
                stage: version.stage,
                created_at: version.created_at,
                metrics: version.metrics,
                verdicts: version.verdicts,
            }));
        }
        Ok(facts)
    }

    /// The largest number of versions reported for a model.
    pub(super) const MOST: usize = 30;
}
