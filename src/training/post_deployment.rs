//! Post-deployment checks of registered models on generations that started after their training: challenger
//! review and degradation of the model in production.

use super::gate::{AgainstChampion, GateDecision, GateVerdict, decide};
use super::losses::{UnitLosses, clusters, points};
use super::options::TrainingOptions;
use super::run_record::RunRecord;
use super::telemetry;
use crate::dataset::{Dataset, Example};
use crate::error::{ErrorKind, Result};
use crate::execution::ExecutionContext;
use crate::ml::metrics::{PairedComparison, compare_anytime_valid};
use crate::models::{Predictor, Trainer, open_artefact};
use crate::registry::{ModelRegistry, ModelVersion, Stage, Verdict};
use chrono::{DateTime, Utc};

/// Result of a review of the challenger on trial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChallengerReview {
    /// The challenger.
    pub(crate) version: u64,
    /// Number of outcomes that neither it nor the model in production was trained on.
    pub(crate) outcomes: usize,
    /// Decision and its reasons.
    pub(crate) verdict: GateVerdict,
    /// True if it is now in production.
    pub(crate) promoted: bool,
}

/// Result of a post-deployment check of the model in production.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeploymentCheck {
    /// The model that was in production.
    pub version: u64,
    /// Outcomes since it was trained.
    pub(crate) outcomes: usize,
    /// Mean loss on them minus the upper confidence bound at evaluation, with an anytime-valid confidence
    /// interval; above 0 the model has degraded. `None` for too few outcomes.
    pub(crate) against_evidence: Option<PairedComparison>,
    /// The version restored to production by a rollback; `None` without one.
    pub rolled_back_to: Option<u64>,
    /// Findings and actions as text.
    pub reasons: Vec<String>,
}

impl DeploymentCheck {
    /// Returns true if the model in production was found to have degraded.
    pub(super) fn is_degraded(&self) -> bool {
        self.rolled_back_to.is_some() || self.against_evidence.is_some_and(|compared| compared.is_worse())
    }
}

/// Inputs of the checks on rows since models were trained.
pub(super) struct Live<'a, T> {
    pub(super) trainer: &'a T,
    pub(super) registry: &'a dyn ModelRegistry,
    pub(super) data: &'a Dataset,
    pub(super) options: &'a TrainingOptions,
    pub(super) work: &'a ExecutionContext,
    pub(super) now: DateTime<Utc>,
}

impl<T: Trainer> Live<'_, T> {
    /// Compares the challenger on trial, if any, with the model in production, and promotes it,
    /// archives it, or lets it go on.
    pub(super) async fn review(&self) -> Result<Option<ChallengerReview>> {
        let name = self.trainer.name();
        let Some(champion) = self.registry.production(name).await? else { return Ok(None) };
        let versions = self.registry.versions(name).await?;
        let Some(challenger) = versions.iter().rev().find(|v| v.stage == Stage::Staging) else {
            return Ok(None);
        };
        let served = load(self.trainer, self.registry, &champion).await;
        let tried = load(self.trainer, self.registry, challenger).await;
        let (served, tried) = match (served, tried) {
            (Ok(served), Ok(tried)) if tried.schema() == self.data.schema => (served, tried),
            (_, Err(e)) if is_unavailable(&e) => return Err(e),
            (Err(e), _) => return Err(e),
            (Ok(_), other) => {
                let why = other.map_or_else(
                    |e| format!("{e:#}"),
                    |_| "it was trained on another feature schema".to_owned(),
                );
                return self
                    .reject(challenger, 0, format!("rejected: the trial cannot continue: {why}"))
                    .await;
            }
        };
        let rows = self.since([&champion, challenger].into_iter());
        if rows.is_empty() {
            return Ok(Some(inconclusive(challenger.version, 0, "inconclusive: no outcomes yet")));
        }
        let theirs = self.losses(&served, &rows)?.losses;
        let own = self.losses(&tried, &rows)?;
        let clusters = own.select(&clusters(&rows));
        let gate = &self.options.gate;
        let compared = AgainstChampion::anytime(&own.losses, &theirs, &clusters, gate.confidence)?;
        let Some(compared) = compared else {
            let why = format!("inconclusive: only {} outcomes since it was trained", rows.len());
            return Ok(Some(inconclusive(challenger.version, rows.len(), &why)));
        };
        let mut verdict = decide(gate.against_champion(&compared));
        if rows.len() >= self.options.trial_outcomes && verdict.decision == GateDecision::Inconclusive {
            verdict.decision = GateDecision::Reject;
            verdict
                .reasons
                .push(format!("rejected: not significantly better after {} outcomes on trial", rows.len()));
        }
        match verdict.decision {
            GateDecision::Inconclusive => Ok(Some(ChallengerReview {
                version: challenger.version,
                outcomes: rows.len(),
                verdict,
                promoted: false,
            })),
            GateDecision::Reject => {
                let reasons = verdict.reasons.join("; ");
                self.reject(challenger, rows.len(), reasons).await
            }
            GateDecision::Promote => self.promote(challenger, &champion, rows.len(), verdict).await,
        }
    }

    /// Compares the loss of the model in production since its training with its evaluation, and rolls back
    /// to the previous model if the loss is significantly higher and the previous model does better.
    pub(super) async fn watch(&self) -> Result<Option<DeploymentCheck>> {
        let name = self.trainer.name();
        let Some(champion) = self.registry.production(name).await? else { return Ok(None) };
        let mut watch = DeploymentCheck {
            version: champion.version,
            outcomes: 0,
            against_evidence: None,
            rolled_back_to: None,
            reasons: Vec::new(),
        };
        let Some(evidence) = RunRecord::of(&champion)?.map(|run| run.evaluation) else {
            watch.reasons.push("it was registered without an evaluation".to_owned());
            return Ok(Some(watch));
        };
        let served = load(self.trainer, self.registry, &champion).await?;
        let rows = self.since(std::iter::once(&champion));
        watch.outcomes = rows.len();
        if rows.is_empty() || served.schema() != self.data.schema {
            watch.reasons.push("no outcomes since it was trained can be compared".to_owned());
            return Ok(Some(watch));
        }
        let own = self.losses(&served, &rows)?;
        let (clusters, own) = (own.select(&clusters(&rows)), own.losses);
        let expected = evidence.loss.1;
        let confidence = self.options.gate.confidence;
        watch.against_evidence =
            compare_anytime_valid(&own, &vec![expected; own.len()], &clusters, confidence)?;
        let Some(degradation) = watch.against_evidence else {
            watch.reasons.push(format!("only {} outcomes since it was trained", rows.len()));
            return Ok(Some(watch));
        };
        let figures = format!(
            "loss {:.4} (lower bound {:.4}) on {} outcomes, upper bound at evaluation {expected:.4}",
            degradation.difference + expected,
            degradation.lower + expected,
            degradation.rows
        );
        if !degradation.is_worse() {
            watch.reasons.push(format!("no significant degradation: {figures}"));
            return Ok(Some(watch));
        }
        watch.reasons.push(format!("degraded since evaluation: {figures}"));
        self.roll_back(&champion, &rows, &own, &mut watch).await?;
        Ok(Some(watch))
    }

    /// Rolls back to the version before `champion` if that one does better on `rows`.
    async fn roll_back(
        &self,
        champion: &ModelVersion,
        rows: &[Example],
        own: &[f64],
        watch: &mut DeploymentCheck,
    ) -> Result<()> {
        let name = self.trainer.name();
        let versions = self.registry.versions(name).await?;
        if let Some(until) = cooling_down(&versions, self.options, self.now) {
            watch.reasons.push(format!("not rolled back: cool-down after a rollback until {until}"));
            return Ok(());
        }
        let promotion = champion.verdicts.iter().rev().find(|v| v.promoted);
        let before = promotion.and_then(|v| v.compared_with);
        let Some(before) = before.and_then(|number| versions.iter().find(|v| v.version == number)) else {
            watch.reasons.push("not rolled back: none was in production before: retrain".to_owned());
            return Ok(());
        };
        let model = match load(self.trainer, self.registry, before).await {
            Ok(model) if model.schema() == self.data.schema => model,
            Err(e) if is_unavailable(&e) => return Err(e),
            _ => {
                watch.reasons.push("not rolled back: the version before cannot be read: retrain".to_owned());
                return Ok(());
            }
        };
        let theirs = self.losses(&model, rows)?.losses;
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let figures = format!(
            "on the same outcomes version {} has loss {:.4}, the model in production {:.4}",
            before.version,
            mean(&theirs),
            mean(own)
        );
        if mean(&theirs) >= mean(own) {
            watch.reasons.push(format!("not rolled back: {figures}: retrain"));
            return Ok(());
        }
        match self.registry.promote(name, before.version, Some(champion.version)).await {
            Err(e) if e.kind() == ErrorKind::Conflict => {
                watch.reasons.push(format!("not rolled back: another version was promoted meanwhile ({e})"));
                return Ok(());
            }
            done => done?,
        }
        watch.reasons.push(format!("rolled back: {figures}"));
        watch.rolled_back_to = Some(before.version);
        let mut verdict = Verdict::new(self.now, false, watch.reasons.clone());
        verdict.rolled_back = true;
        verdict.compared_with = Some(before.version);
        tracing::warn!(model = name, from = champion.version, to = before.version, "rolled back");
        telemetry::rolled_back(name);
        self.registry.note_verdict(name, champion.version, verdict).await
    }

    fn losses(&self, model: &T::Model, rows: &[Example]) -> Result<UnitLosses> {
        self.work.run(|| UnitLosses::of(self.trainer, &points(model, rows)?, rows))
    }

    /// Returns the outcomes, older than the attribution window, of generations that started after all of
    /// `versions` were trained, in the order in which they became available.
    fn since<'v>(&self, versions: impl Iterator<Item = &'v ModelVersion>) -> Vec<Example> {
        let after = versions.filter_map(|v| v.data_until).max();
        let wait = self.data.wait();
        let mut rows: Vec<_> =
            self.data.matured().into_iter().filter(|e| Some(e.started_at) > after).cloned().collect();
        rows.sort_by_key(|e| (e.known_at.max(e.started_at.checked_add_signed(wait)), e.started_at));
        rows
    }

    async fn promote(
        &self,
        challenger: &ModelVersion,
        champion: &ModelVersion,
        outcomes: usize,
        mut verdict: GateVerdict,
    ) -> Result<Option<ChallengerReview>> {
        let name = self.trainer.name();
        let done = self.registry.promote(name, challenger.version, Some(champion.version)).await;
        let promoted = match done {
            Ok(()) => true,
            Err(e) if e.kind() == ErrorKind::Conflict => {
                verdict.reasons.push(format!("not promoted: another version was promoted meanwhile ({e})"));
                verdict.decision = GateDecision::Inconclusive;
                false
            }
            Err(e) => return Err(e.context("promotion after a trial")),
        };
        let mut noted = Verdict::new(self.now, promoted, verdict.reasons.clone());
        noted.compared_with = Some(champion.version);
        self.registry.note_verdict(name, challenger.version, noted).await?;
        Ok(Some(ChallengerReview { version: challenger.version, outcomes, verdict, promoted }))
    }

    async fn reject(
        &self,
        challenger: &ModelVersion,
        outcomes: usize,
        reason: String,
    ) -> Result<Option<ChallengerReview>> {
        let name = self.trainer.name();
        self.registry.set_stage(name, challenger.version, Stage::Archived).await?;
        let noted = Verdict::new(self.now, false, [reason.clone()]);
        self.registry.note_verdict(name, challenger.version, noted).await?;
        let verdict =
            GateVerdict { decision: GateDecision::Reject, reasons: vec![reason], more_outcomes: None };
        Ok(Some(ChallengerReview { version: challenger.version, outcomes, verdict, promoted: false }))
    }
}

/// Returns the end of the cool-down after the latest rollback; `None` if none is in effect.
pub(super) fn cooling_down(
    versions: &[ModelVersion],
    options: &TrainingOptions,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let rollbacks = versions.iter().flat_map(|v| &v.verdicts).filter(|v| v.rolled_back && v.at <= now);
    let last = rollbacks.map(|v| v.at).max()?;
    let days = i64::from(options.cool_down_days);
    last.checked_add_signed(chrono::TimeDelta::days(days)).filter(|until| *until > now)
}

fn inconclusive(version: u64, outcomes: usize, why: &str) -> ChallengerReview {
    let verdict = GateVerdict {
        decision: GateDecision::Inconclusive,
        reasons: vec![why.to_owned()],
        more_outcomes: None,
    };
    ChallengerReview { version, outcomes, verdict, promoted: false }
}

/// Returns the model that a version serves with.
async fn load<T: Trainer>(
    trainer: &T,
    registry: &dyn ModelRegistry,
    version: &ModelVersion,
) -> Result<T::Model> {
    let bytes = registry.artefact(trainer.name(), version.version).await?;
    open_artefact(trainer, &bytes)
}

fn is_unavailable(error: &crate::Error) -> bool {
    error.kind() == ErrorKind::Unavailable
}
