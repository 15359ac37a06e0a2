//! From the store to the registry: replay, fit, evaluate, register, gate.

use super::evaluation::{Evaluated, Incumbent, TrainingOptions, fit_and_evaluate, points};
use super::post_deployment::{ChallengerReview, DeploymentCheck, Live};
use super::register::Registering;
use super::replay::ReplayCache;
use super::run_record::{DataRecord, RunRecord, drift};
use super::telemetry;
use super::tracker::ExperimentTracker;
use crate::clock::Clock;
use crate::dataset::{Dataset, DatasetBuilder, FoldOptions, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Record;
use crate::execution::{ExecutionContext, Steps};
use crate::features::FeatureEngineer;
use crate::models::open_artefact;
use crate::models::{
    Adopt, ComplexityTrainer, ExternalModel, Importer, Predictor, QualityTrainer, SuccessTrainer,
    TimeTrainer, Trainer,
};
use crate::registry::{ModelRegistry, ModelVersion, NewVersion, envelope};
use crate::store::{EventStore, EventStoreExt, ScanOrder};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Result of a training run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainingReport {
    /// The registered version, promoted or not.
    pub version: ModelVersion,
    /// True if it is now in production.
    pub promoted: bool,
    /// True if it is now on trial beside the model in production.
    pub on_trial: bool,
    /// Why, or why not.
    pub reasons: Vec<String>,
    /// All that is kept of the run.
    pub record: RunRecord,
}

/// Result of a training cycle of one model.
#[derive(Debug)]
#[non_exhaustive]
pub struct NightlyReport {
    /// Post-deployment check of the model in production, with any rollback.
    pub watched: Option<DeploymentCheck>,
    /// What became of the challenger on trial.
    pub reviewed: Option<ChallengerReview>,
    /// Result of training.
    pub trained: Result<TrainingReport>,
}

/// Training on a store, into a registry.
///
/// Fitting takes the calling thread for seconds: run it on the host's blocking pool (for tokio
/// `spawn_blocking` with `Handle::block_on`). A run that is cancelled or fails has registered nothing.
///
/// ```
/// # futures_executor::block_on(async {
/// use devmatrix_ml::clock::SystemClock;
/// use devmatrix_ml::features::FeatureEngineer;
/// use devmatrix_ml::models::SuccessTrainer;
/// use devmatrix_ml::registry::MemoryRegistry;
/// use devmatrix_ml::store::MemoryStore;
/// use devmatrix_ml::training::{JsonlTracker, Training};
/// use devmatrix_ml::execution::{CancellationToken, ExecutionContext};
/// # let folder = tempfile::tempdir().unwrap();
/// let (store, registry) = (MemoryStore::new(), MemoryRegistry::new());
/// let (engineer, tracker) = (FeatureEngineer::default(), JsonlTracker::new(folder.path().join("runs.jsonl")));
/// let stop = CancellationToken::new(); // for the host's other threads
/// let work = ExecutionContext::new().with_cancel(&stop).with_threads(2)?.with_progress(|p| println!("{}", p.stage));
/// let training = Training::new(&store, &registry, &engineer, &SystemClock).with_tracker(&tracker).with_execution(work);
/// let error = training.run(&SuccessTrainer::default()).await.unwrap_err();
/// assert!(error.to_string().contains("0 labelled generations"));
/// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Training<'a> {
    store: &'a dyn EventStore,
    registry: &'a dyn ModelRegistry,
    engineer: &'a FeatureEngineer,
    clock: &'a dyn Clock,
    options: TrainingOptions,
    tracker: Option<&'a dyn ExperimentTracker>,
    replay: Option<&'a ReplayCache>,
    work: ExecutionContext,
    notes: BTreeMap<String, Value>,
}

impl<'a> Training<'a> {
    /// Training with default options.
    pub fn new(
        store: &'a dyn EventStore,
        registry: &'a dyn ModelRegistry,
        engineer: &'a FeatureEngineer,
        clock: &'a dyn Clock,
    ) -> Self {
        let (options, work, notes) = (TrainingOptions::default(), ExecutionContext::new(), BTreeMap::new());
        Self { store, registry, engineer, clock, options, tracker: None, replay: None, work, notes }
    }

    /// Sets the training options.
    #[must_use]
    pub fn with_options(self, options: TrainingOptions) -> Self {
        Self { options, ..self }
    }

    /// The same, telling `tracker` of every run.
    #[must_use]
    pub fn with_tracker(self, tracker: &'a dyn ExperimentTracker) -> Self {
        Self { tracker: Some(tracker), ..self }
    }

    /// The same, reading only what is new since `replay` was last read.
    #[must_use]
    pub fn with_replay(self, replay: &'a ReplayCache) -> Self {
        Self { replay: Some(replay), ..self }
    }

    /// The same, stopped, watched and bounded by `work`.
    #[must_use]
    pub fn with_execution(self, work: ExecutionContext) -> Self {
        Self { work, ..self }
    }

    /// Adds a note to every run's record, such as the result of a hyperparameter search.
    #[must_use]
    pub fn with_note(mut self, name: impl Into<String>, note: Value) -> Self {
        self.notes.insert(name.into(), note);
        self
    }

    /// Trains on all that the store knows, registers the model, and promotes it, puts it on trial or
    /// refuses it, as the gate says.
    ///
    /// # Errors
    /// `NotEnoughData` and `Cancelled` (then nothing is registered); those of the store and the registry.
    pub async fn run<T: Trainer>(&self, trainer: &T) -> Result<TrainingReport> {
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let builder = self.read(now, &mut steps).await?;
        Box::pin(self.train(trainer, &self.rows(trainer, &builder, now), now, &mut steps)).await
    }

    /// Registers a model that was trained elsewhere, and promotes it, puts it on trial or refuses it, as the
    /// gate says. It is calibrated and judged on what the store knows of generations that started since it
    /// was trained: on the newest of them beside the model in production.
    ///
    /// # Errors
    /// `NotEnoughData` where too few started since (then nothing is registered); those of [`run`](Self::run).
    pub async fn import(&self, external: &ExternalModel) -> Result<TrainingReport> {
        match external.target() {
            Target::Success => self.import_as(SuccessTrainer::default(), external).await,
            Target::Complexity => self.import_as(ComplexityTrainer::default(), external).await,
            Target::Time => self.import_as(TimeTrainer::default(), external).await,
            Target::Quality => self.import_as(QualityTrainer::default(), external).await,
            Target::Tokens => Err(Error::internal("a model of tokens was read")),
        }
    }

    async fn import_as<T: Adopt>(&self, usual: T, external: &ExternalModel) -> Result<TrainingReport> {
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let builder = self.read(now, &mut steps).await?;
        let trainer = Importer::new(usual, external);
        let until = external.trained_until();
        let unseen = self.rows(&trainer, &builder, now).filter(|_, e| e.started_at >= until);
        Box::pin(self.train(&trainer, &unseen, now, &mut steps)).await
    }

    /// Trains the success, complexity, time and quality models from one reading of the store, and returns the
    /// result of each. If one model has too little data, the others are trained nevertheless.
    ///
    /// # Errors
    /// Those of reading the store; `Cancelled`.
    pub async fn run_all(&self) -> Result<Vec<(Target, Result<TrainingReport>)>> {
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let builder = self.read(now, &mut steps).await?;
        steps.part(0.0, 0.25);
        let success = self.usual::<SuccessTrainer>(&builder, now, &mut steps).await;
        steps.part(0.25, 0.5);
        let complexity = self.usual::<ComplexityTrainer>(&builder, now, &mut steps).await;
        steps.part(0.5, 0.75);
        let time = self.usual::<TimeTrainer>(&builder, now, &mut steps).await;
        steps.part(0.75, 1.0);
        let quality = self.usual::<QualityTrainer>(&builder, now, &mut steps).await;
        self.work.check()?;
        Ok(vec![
            (Target::Success, success),
            (Target::Complexity, complexity),
            (Target::Time, time),
            (Target::Quality, quality),
        ])
    }

    /// Runs a training cycle from one reading of the store: [`watch`](Self::watch) the model in production,
    /// [`review`](Self::review) the challenger on trial, then train a new model.
    ///
    /// # Errors
    /// Those of watching and reviewing; training errors are returned in the report.
    pub async fn nightly<T: Trainer>(&self, trainer: &T) -> Result<NightlyReport> {
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let builder = self.read(now, &mut steps).await?;
        let data = self.rows(trainer, &builder, now);
        let live = self.live(trainer, &data, now);
        let watched = Box::pin(live.watch()).await?;
        let reviewed = Box::pin(live.review()).await?;
        let trained = Box::pin(self.train(trainer, &data, now, &mut steps)).await;
        Ok(NightlyReport { watched, reviewed, trained })
    }

    /// Compares what the model in production says of generations since it was trained with what its
    /// evidence promised, and puts the version before it back where the record has fallen below that and
    /// the other does better. `None` where nothing is in production.
    ///
    /// # Errors
    /// Those of the store and the registry.
    pub async fn watch<T: Trainer>(&self, trainer: &T) -> Result<Option<DeploymentCheck>> {
        let now = self.clock.now();
        let builder = self.read(now, &mut self.work.begin()).await?;
        Box::pin(self.live(trainer, &self.rows(trainer, &builder, now), now).watch()).await
    }

    /// Compares the challenger on trial with the model in production on generations since both were
    /// trained, and promotes it, gives it up or lets it go on. `None` where none is on trial.
    ///
    /// # Errors
    /// Those of the store and the registry.
    pub async fn review<T: Trainer>(&self, trainer: &T) -> Result<Option<ChallengerReview>> {
        let now = self.clock.now();
        let builder = self.read(now, &mut self.work.begin()).await?;
        Box::pin(self.live(trainer, &self.rows(trainer, &builder, now), now).review()).await
    }

    fn live<'b, T: Trainer>(&'b self, trainer: &'b T, data: &'b Dataset, now: DateTime<Utc>) -> Live<'b, T> {
        Live { trainer, registry: self.registry, data, options: &self.options, work: &self.work, now }
    }

    fn rows<T: Trainer>(&self, trainer: &T, builder: &DatasetBuilder, now: DateTime<Utc>) -> Dataset {
        builder.rows(trainer.target(), now, self.options.max_rows)
    }

    async fn read(&self, now: DateTime<Utc>, steps: &mut Steps) -> Result<Arc<DatasetBuilder>> {
        self.options.verify()?;
        steps.at("reading", 0.0);
        match self.replay {
            Some(replay) => replay.read(self.store, self.engineer, now, &self.work).await,
            None => read_all(self.store, self.engineer, now, &self.work).await.map(Arc::new),
        }
    }

    async fn usual<T: Trainer + Default>(
        &self,
        builder: &DatasetBuilder,
        now: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<TrainingReport> {
        let trainer = T::default();
        Box::pin(self.train(&trainer, &self.rows(&trainer, builder, now), now, steps)).await
    }

    async fn train<T: Trainer>(
        &self,
        trainer: &T,
        data: &Dataset,
        now: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<TrainingReport> {
        telemetry::trained(trainer.name(), Box::pin(self.fit_and_register(trainer, data, now, steps))).await
    }

    async fn fit_and_register<T: Trainer>(
        &self,
        trainer: &T,
        data: &Dataset,
        now: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<TrainingReport> {
        self.work.check()?;
        let champion = self.registry.production(trainer.name()).await?;
        let holdout_model = match &champion {
            Some(version) => load_twin(trainer, self.registry, version).await?,
            None => None,
        };
        let before = champion.as_ref().and_then(|version| RunRecord::of(version).ok().flatten());
        let trained_until = before.as_ref().and_then(|run| run.evaluation.trained_until);
        let incumbent = holdout_model.as_ref().filter(|m| m.schema() == data.schema);
        let incumbent = incumbent.map(|holdout_model| Incumbent { holdout_model, trained_until });
        steps.at(&format!("fitting {}", trainer.name()), 0.2);
        let begun = Instant::now();
        let evaluated = self.work.run(|| fit_and_evaluate(trainer, data, incumbent, &self.options))?;
        let fitting = begun.elapsed().as_secs_f64();
        steps.at("scoring folds", 0.8);
        let (begun, folds) = (Instant::now(), self.options.folds.as_ref());
        let folds = folds.map(|folds| self.work.run(|| score_folds(trainer, data, folds))).transpose()?;
        let seconds = [("fitting", fitting), ("folds", begun.elapsed().as_secs_f64())];
        let importance = evaluated.model.gains();
        let earlier = before.map(|run| run.importance).unwrap_or_default();
        let data_record = DataRecord::of(data);
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
            verdict: evaluated.verdict.clone(),
            seconds: seconds.map(|(name, s)| (name.to_owned(), s)).into(),
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            notes: self.notes.clone(),
        };
        let version = new_version(trainer, &evaluated, &record)?;
        self.work.check()?;
        steps.at("registering", 0.95);
        let registering = Registering { registry: self.registry, tracker: self.tracker, now };
        let done = registering.register(version, record, champion.as_ref()).await?;
        steps.at("done", 1.0);
        Ok(done)
    }
}

/// [`Training::run`] with nothing but options.
///
/// # Errors
/// `NotEnoughData` (then nothing is registered); those of the store and the registry.
pub async fn train<T: Trainer>(
    trainer: &T,
    store: &dyn EventStore,
    registry: &dyn ModelRegistry,
    engineer: &FeatureEngineer,
    clock: &dyn Clock,
    options: &TrainingOptions,
) -> Result<TrainingReport> {
    Training::new(store, registry, engineer, clock).with_options(options.clone()).run(trainer).await
}

/// [`Training::run_all`] with nothing but options.
///
/// # Errors
/// Those of reading the store.
pub async fn train_all(
    store: &dyn EventStore,
    registry: &dyn ModelRegistry,
    engineer: &FeatureEngineer,
    clock: &dyn Clock,
    options: &TrainingOptions,
) -> Result<Vec<(Target, Result<TrainingReport>)>> {
    Training::new(store, registry, engineer, clock).with_options(options.clone()).run_all().await
}

/// The rows for `target` of all that `store` knew at `now`.
///
/// # Errors
/// Those of reading the store.
pub async fn replay(
    store: &dyn EventStore,
    engineer: &FeatureEngineer,
    target: Target,
    now: DateTime<Utc>,
    max_rows: usize,
) -> Result<Dataset> {
    Ok(read_all(store, engineer, now, &ExecutionContext::new()).await?.rows(target, now, max_rows))
}

/// The model that a version serves with.
pub(super) async fn load<T: Trainer>(
    trainer: &T,
    registry: &dyn ModelRegistry,
    version: &ModelVersion,
) -> Result<T::Model> {
    let bytes = registry.artefact(trainer.name(), version.version).await?;
    open_artefact(trainer, &bytes)
}

async fn read_all(
    store: &dyn EventStore,
    engineer: &FeatureEngineer,
    now: DateTime<Utc>,
    work: &ExecutionContext,
) -> Result<DatasetBuilder> {
    let mut builder = DatasetBuilder::new(engineer.clone());
    let mut each = |record: Record| {
        if record.known_at() <= now {
            builder.apply(&record);
        }
        work.check()
    };
    store.for_each(ScanOrder::Known, &mut each).await?;
    Ok(builder)
}

pub(super) fn seal<T: Trainer>(trainer: &T, model: &T::Model) -> Result<Vec<u8>> {
    envelope::seal(trainer.name(), &model.to_bytes()?)
}

/// Returns the champion's holdout model; `None` if its artefact is missing, corrupt or of an older format, which
/// does not stop training.
async fn load_twin<T: Trainer>(
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
            tracing::warn!(version = version.version, %error, "the model in production cannot be compared with");
            Ok(None)
        }
    }
}

fn score_folds<T: Trainer>(
    trainer: &T,
    data: &Dataset,
    options: &FoldOptions,
) -> Result<Vec<BTreeMap<String, f64>>> {
    let score = |fold: crate::dataset::Fold| {
        let model = trainer.fit(&fold.earlier)?;
        let labels: Vec<_> = fold.later.iter().map(|e| e.label).collect();
        trainer.scores(&points(&model, &fold.later)?, &labels)
    };
    data.folds(options)?.into_iter().map(score).collect()
}

/// Equal for equal runs.
pub(super) fn run_id(model: &str, now: DateTime<Utc>, data: &DataRecord) -> String {
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
