//! One training run: fit, evaluate, record, register.

use super::Training;
use super::evaluation::{Evaluated, Incumbent, fit_and_evaluate};
use super::losses::points;
use super::register::Registering;
use super::report::TrainingReport;
use super::retrain::TrainingRows;
use super::run_record::{DataRecord, RunRecord, drift};
#[cfg(feature = "linfa")]
use crate::dataset::Target;
use crate::dataset::{Dataset, Fold, FoldOptions};
use crate::error::{ErrorKind, Result};
use crate::execution::Steps;
use crate::models::{Predictor, Surrogate, Trainer, open_artefact};
use crate::registry::{ModelRegistry, ModelVersion, NewVersion, envelope};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::time::Instant;

impl Training<'_> {
    /// Fits a model, evaluates it, and registers it with its record.
    ///
    /// # Errors
    /// Those of [`Training::run`].
    pub(super) async fn fit_and_register<T: Trainer>(
        &self,
        trainer: &T,
        TrainingRows { data, erasures }: &TrainingRows,
        now: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<TrainingReport> {
        self.work.check()?;
        self.renew_lease().await?;
        let champion = self.registry.production(trainer.name()).await?;
        let holdout_model = match &champion {
            Some(version) => load_holdout_model(trainer, self.registry, version).await?,
            None => None,
        };
        let before = champion.as_ref().and_then(|version| RunRecord::of(version).ok().flatten());
        let trained_until = before.as_ref().and_then(|run| run.evaluation.trained_until);
        let incumbent = holdout_model.as_ref().filter(|m| m.schema() == data.schema);
        let incumbent = incumbent.map(|holdout_model| Incumbent { holdout_model, trained_until });
        steps.at(&format!("fitting {}", trainer.name()), 0.2);
        let begun = Instant::now();
        let evaluated = self.computing(|| fit_and_evaluate(trainer, data, incumbent, &self.options))?;
        let fitting = begun.elapsed().as_secs_f64();
        steps.at("scoring folds", 0.8);
        let (begun, folds) = (Instant::now(), self.options.folds.as_ref());
        let folds = folds.map(|folds| self.computing(|| score_folds(trainer, data, folds))).transpose()?;
        let seconds = [("fitting", fitting), ("folds", begun.elapsed().as_secs_f64())];
        let importance = evaluated.model.gains();
        let surrogate = self.computing(|| surrogate(&evaluated.model, data));
        let earlier = before.map(|run| run.importance).unwrap_or_default();
        let data_record = DataRecord::of(data, *erasures);
        let record = RunRecord {
            run_id: run_id(trainer.name(), now, &data_record),
            model: trainer.name().to_owned(),
            version: None,
            as_of: now,
            data: data_record,
            parameters: trainer.parameters(),
            options: self.options.clone(),
            evaluation: evaluated.evaluation.clone(),
            folds: folds.unwrap_or_default(),
            importance_drift: if earlier.is_empty() { Vec::new() } else { drift(&importance, &earlier) },
            importance,
            surrogate,
            verdict: evaluated.verdict.clone(),
            seconds: seconds.map(|(name, s)| (name.to_owned(), s)).into(),
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            notes: self.notes.clone(),
        };
        let version = new_version(trainer, &evaluated, &record)?;
        self.work.check()?;
        self.renew_lease().await?;
        steps.at("registering", 0.95);
        let registering = Registering { registry: self.registry, tracker: self.tracker, now };
        let mut done = registering.register(version, record, champion.as_ref()).await?;
        let labelers = done.record.evaluation.anomalous_labelers.iter();
        done.reasons.extend(labelers.map(|labeler| format!("label noise: {labeler}")));
        done.reasons.extend(done.record.evaluation.column_warnings.iter().cloned());
        steps.at("done", 1.0);
        Ok(done)
    }

    async fn renew_lease(&self) -> Result<()> {
        match &self.lease {
            Some(lease) => lease.renew().await,
            None => Ok(()),
        }
    }

    fn computing<O>(&self, computation: impl FnOnce() -> O) -> O {
        match &self.lease {
            Some(lease) => lease.during(|| self.work.run(computation)),
            None => self.work.run(computation),
        }
    }
}

pub(super) fn seal<T: Trainer>(trainer: &T, model: &T::Model) -> Result<Vec<u8>> {
    envelope::seal(trainer.name(), &model.to_bytes()?)
}

/// Returns the champion's holdout model; `None` if its artefact is missing, corrupt or of an older format, which
/// does not stop training.
async fn load_holdout_model<T: Trainer>(
    trainer: &T,
    registry: &dyn ModelRegistry,
    version: &ModelVersion,
) -> Result<Option<T::Model>> {
    let bytes = match registry.evaluation_artefact(trainer.name(), version.version).await {
        Err(e) if e.kind() == ErrorKind::Corrupt => Err(e),
        found => Ok(found?),
    };
    match bytes.and_then(|bytes| bytes.map(|b| open_artefact(trainer, &b)).transpose()) {
        Ok(model) => Ok(model),
        Err(error) => {
            tracing::warn!(version = version.version, error = %format_args!("{error:#}"), "the model in production cannot be compared with");
            Ok(None)
        }
    }
}

/// The model in rules; `None` where it has too few rows or predicts all alike.
#[cfg(feature = "linfa")]
fn surrogate<P: Predictor>(model: &P, data: &Dataset) -> Option<Surrogate> {
    let explains = data.target != Target::Template;
    explains.then(|| model.surrogate(data).ok()).flatten()
}

#[cfg(not(feature = "linfa"))]
fn surrogate<P: Predictor>(_model: &P, _data: &Dataset) -> Option<Surrogate> {
    None
}

fn score_folds<T: Trainer>(
    trainer: &T,
    data: &Dataset,
    options: &FoldOptions,
) -> Result<Vec<BTreeMap<String, f64>>> {
    let score = |fold: Fold| {
        let model = trainer.fit(&fold.earlier)?;
        trainer.scores_of_rows(&points(&model, &fold.later)?, &fold.later, None)
    };
    data.folds(options)?.into_iter().map(score).collect()
}

/// Returns an identifier that is equal for equal runs.
fn run_id(model: &str, now: DateTime<Utc>, data: &DataRecord) -> String {
    format!("{model}-{}-{}", now.format("%Y%m%dT%H%M%S%.6fZ"), &data.sha256[..12])
}

fn new_version<T: Trainer>(
    trainer: &T,
    evaluated: &Evaluated<T::Model>,
    record: &RunRecord,
) -> Result<NewVersion> {
    let mut version = NewVersion::new(trainer.name(), seal(trainer, &evaluated.model)?);
    version.evaluation_artefact = Some(seal(trainer, &evaluated.holdout_model)?);
    Ok(version.described_by(record))
}
