//! Decides whether a training cycle trains a model again, or too little is new since the last time.

use super::options::TrainingOptions;
use super::post_deployment::DeploymentCheck;
use super::run_record::RunRecord;
use crate::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::ModelVersion;
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
    /// Checks that the model is to be trained: none is in production, so many of its labels are new since `last` was
    /// trained, a week passed, facts were erased, or features, parameters, options or the quality in production changed.
    ///
    /// # Errors
    /// `NotEnoughData` with the new labels and the number that is needed.
    pub(super) fn check(&self, last: Option<&ModelVersion>) -> Result<()> {
        let Self { rows: TrainingRows { data, erasures }, parameters, options, watched, now } = self;
        // A record that cannot be read is none, nor is that of a version that its process did not live to judge: training once more does no harm.
        let judged = last.filter(|version| !version.verdicts.is_empty());
        let Some(run) = judged.and_then(|version| RunRecord::of(version).ok().flatten()) else {
            return Ok(());
        };
        let changed = run.data.schema != data.schema
            || run.data.erasures != *erasures
            || run.parameters != *parameters
            || run.options != **options;
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
}
