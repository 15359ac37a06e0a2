//! Decides whether a training cycle trains a model again, or too little is new since the last time.

use super::gate::GateDecision;
use super::options::TrainingOptions;
use super::post_deployment::{DeploymentCheck, cooling_down};
use super::run_record::RunRecord;
use crate::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::{ModelVersion, Stage};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// Age from which a model is trained again however little is new: a week, less half a day because no cycle
/// begins exactly a week after another.
const LONGEST: TimeDelta = TimeDelta::hours(7 * 24 - 12);

/// Rows of a model, as a training cycle reads them from the store.
#[derive(Debug)]
pub(super) struct TrainingRows {
    pub(super) data: Dataset,
    /// Erasures of the store before it was read.
    pub(super) erasures: u64,
}

/// Inputs of the decision.
pub(super) struct Retraining<'a> {
    pub(super) rows: &'a TrainingRows,
    pub(super) parameters: Value,
    pub(super) options: &'a TrainingOptions,
    /// `None` where nothing is in production.
    pub(super) watched: Option<&'a DeploymentCheck>,
    pub(super) now: DateTime<Utc>,
}

impl Retraining<'_> {
    /// Checks that the model is to be trained: none is in production, so many of its labels are new since the last of
    /// `versions` was trained, a week passed, facts were erased, features, parameters, options or the quality in production
    /// changed, the one in production is of other features, or the cool-down that kept a better version from being promoted
    /// is over.
    ///
    /// # Errors
    /// `NotEnoughData` with the new labels and the number that is needed.
    pub(super) fn check(&self, versions: &[ModelVersion]) -> Result<()> {
        let Self { rows: TrainingRows { data, .. }, parameters, options, watched, now } = self;
        // A record that cannot be read is none, nor is that of a version that its process did not live to judge: training
        // once more does no harm.
        let last = versions.last().filter(|version| !version.verdicts.is_empty());
        let Some((last, run)) = last.and_then(|version| Some((version, run_of(version)?))) else {
            return Ok(());
        };
        let champion = versions.iter().find(|version| version.stage == Stage::Production);
        let schema = self.rows.data.schema;
        let changed = run.data.schema != schema
            || run.data.erasures != self.rows.erasures
            || champion.and_then(run_of).is_some_and(|run| run.data.schema != schema)
            || run.parameters != *parameters
            || run.options != **options
            || self.is_freed(versions, last, &run);
        let is_recent = (TimeDelta::zero()..LONGEST).contains(&(*now - run.as_of));
        if changed || !is_recent || watched.is_none_or(DeploymentCheck::is_degraded) {
            return Ok(());
        }
        let since = data.certain().filter(|row| row.known_at > Some(run.as_of)).count();
        let have = since.max(data.certain().count().saturating_sub(run.data.certain));
        let need = (options.retrain_growth * run.data.certain as f64).ceil() as usize;
        if have >= need {
            return Ok(());
        }
        let text = format!(
            "{have} new labels since version {} learned from {}: trained again from {need} on (retrain_growth), \
             or a week after {}",
            run.version.unwrap_or_default(),
            run.data.certain,
            run.as_of.format("%Y-%m-%d %H:%M UTC")
        );
        Err(Error::new(ErrorKind::NotEnoughData { have, need }, text))
    }

    /// Returns whether `last` passed the gate in the cool-down after a rollback, which is over.
    fn is_freed(&self, versions: &[ModelVersion], last: &ModelVersion, run: &RunRecord) -> bool {
        let cooling = |at| cooling_down(versions, self.options, at).is_some();
        run.verdict.decision == GateDecision::Promote
            && !last.verdicts.iter().any(|verdict| verdict.promoted)
            && cooling(run.as_of)
            && !cooling(self.now)
    }
}

fn run_of(version: &ModelVersion) -> Option<RunRecord> {
    RunRecord::of(version).ok().flatten()
}
