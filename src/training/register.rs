//! Registration of an evaluated version, and its promotion or trial.

use super::gate::{GateDecision, GateVerdict};
use super::options::{Promotion, TrainingOptions};
use super::post_deployment::cooling_down;
use super::report::TrainingReport;
use super::run_record::RunRecord;
use super::tracker::ExperimentTracker;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::{ModelRegistry, ModelVersion, NewVersion, Stage, Verdict};
use chrono::{DateTime, Utc};

/// Registers evaluated versions.
pub(super) struct Registering<'a> {
    pub(super) registry: &'a dyn ModelRegistry,
    pub(super) tracker: Option<&'a dyn ExperimentTracker>,
    pub(super) now: DateTime<Utc>,
}

impl Registering<'_> {
    /// Registers a version with its record, and applies the record's verdict.
    pub(super) async fn register(
        &self,
        mut version: NewVersion,
        mut record: RunRecord,
        champion: Option<&ModelVersion>,
    ) -> Result<TrainingReport> {
        let verdict = record.verdict.clone();
        version.about.parent = champion.map(|v| v.version);
        // Names of persons stay with the caller: what is stored outlives an erasure.
        let stored = record.without_names();
        version.about.report = stored.to_value()?;
        if verdict.decision == GateDecision::Reject {
            version.about.verdicts.push(self.verdict(false, verdict.reasons.clone(), champion));
        }
        let version = self.registry.register(version).await?;
        record.version = Some(version.version);
        let (promoted, on_trial, reasons) = match verdict.decision {
            GateDecision::Reject => (false, false, verdict.reasons),
            _ => self.place(&version, verdict, champion, &record.options).await?,
        };
        if let Some(tracker) = self.tracker
            && let Err(error) = tracker.record(&RunRecord { version: record.version, ..stored }).await
        {
            tracing::warn!(run = record.run_id, error = %format_args!("{error:#}"), "the tracker did not take the run's record");
        }
        let version = self.registry.version(&version.model, version.version).await?;
        tracing::info!(model = version.model, version = version.version, promoted, ?reasons, "trained");
        Ok(TrainingReport { version, promoted, on_trial, reasons, record })
    }

    /// Promotes a version that was not rejected, starts its trial, or leaves its stage unchanged.
    async fn place(
        &self,
        version: &ModelVersion,
        verdict: GateVerdict,
        champion: Option<&ModelVersion>,
        options: &TrainingOptions,
    ) -> Result<(bool, bool, Vec<String>)> {
        let GateVerdict { decision, mut reasons, .. } = verdict;
        let versions = self.registry.versions(&version.model).await?;
        let (mut promoted, mut on_trial) = (false, false);
        if let Some(until) = cooling_down(&versions, options, self.now) {
            reasons.push(format!("not promoted: cool-down after a rollback until {until}"));
        } else if options.promotion == Promotion::Trial && champion.is_some() {
            if let Some(other) = versions.iter().find(|v| v.stage == Stage::Staging) {
                reasons.push(format!("not put on trial: version {} is on trial", other.version));
            } else {
                self.registry.set_stage(&version.model, version.version, Stage::Staging).await?;
                reasons.push("on trial beside the model in production from now on".to_owned());
                on_trial = true;
            }
        } else if decision == GateDecision::Promote {
            match self.registry.promote(&version.model, version.version, champion.map(|v| v.version)).await {
                Ok(()) => promoted = true,
                Err(e) if e.kind() == ErrorKind::Conflict => {
                    reasons.push(format!("not promoted: another version was promoted meanwhile ({e:#})"));
                }
                Err(e) => return Err(Error::context(e, "promotion")),
            }
        }
        let verdict = self.verdict(promoted, reasons.clone(), champion);
        self.registry.note_verdict(&version.model, version.version, verdict).await?;
        Ok((promoted, on_trial, reasons))
    }

    fn verdict(&self, promoted: bool, reasons: Vec<String>, champion: Option<&ModelVersion>) -> Verdict {
        let mut verdict = Verdict::new(self.now, promoted, reasons);
        verdict.compared_with = champion.map(|v| v.version);
        verdict
    }
}

impl NewVersion {
    /// Returns the version with parameters, schema, data range and metrics of a run's record.
    pub(super) fn described_by(mut self, record: &RunRecord) -> Self {
        let about = &mut self.about;
        about.parameters = serde_json::json!({ "model": record.parameters, "training": record.options });
        about.feature_schema = record.data.schema;
        (about.data_from, about.data_until) = (record.data.from, Some(record.as_of));
        about.rows = record.data.rows;
        about.metrics.clone_from(&record.evaluation.metrics);
        for (name, scores) in &record.evaluation.baselines {
            let named = scores.iter().map(|(score, value)| (format!("{name}.{score}"), *value));
            about.metrics.extend(named);
        }
        self
    }
}
