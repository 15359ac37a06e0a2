//! From the store to the registry: replay, fit, evaluate, register, gate.

use super::evaluation::{Evaluated, Incumbent, TrainingOptions, fit_and_evaluate, points};
use super::lease::Lease;
use super::post_deployment::{ChallengerReview, DeploymentCheck, Live};
use super::register::Registering;
use super::replay::ReplayCache;
use super::run_record::{DataRecord, RunRecord, drift};
use super::schedule::TrainingClaim;
use super::telemetry;
use super::tracker::ExperimentTracker;
use crate::clock::Clock;
use crate::dataset::{Dataset, DatasetBuilder, FoldOptions, LabelKind, RowBuilder, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Record;
use crate::execution::{ExecutionContext, Steps};
use crate::features::FeatureEngineer;
use crate::models::open_artefact;
use crate::models::{
    AnyTrainer, ExternalModel, Predictor, TemplateCatalogue, TemplateTrainer, Trainer, targets,
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
    pub(crate) reviewed: Option<ChallengerReview>,
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
    pub(super) store: &'a dyn EventStore,
    pub(super) registry: &'a dyn ModelRegistry,
    engineer: &'a FeatureEngineer,
    pub(super) clock: &'a dyn Clock,
    /// Renewed while it trains.
    lease: Option<Lease<'a>>,
    options: TrainingOptions,
    tracker: Option<&'a dyn ExperimentTracker>,
    replay: Option<&'a ReplayCache>,
    work: ExecutionContext,
    notes: BTreeMap<String, Value>,
    /// Of the models that are trained together.
    trainers: Vec<AnyTrainer>,
}

impl<'a> Training<'a> {
    /// Creates a training with default options.
    pub fn new(
        store: &'a dyn EventStore,
        registry: &'a dyn ModelRegistry,
        engineer: &'a FeatureEngineer,
        clock: &'a dyn Clock,
    ) -> Self {
        let (options, work, notes) = (TrainingOptions::default(), ExecutionContext::new(), BTreeMap::new());
        // A ranking needs the host's templates.
        let served = targets::SERVED.iter().filter(|served| served.target.kind() != LabelKind::Ranking);
        let trainers = served.map(|served| (served.trainer)()).collect();
        let (lease, tracker, replay) = (None, None, None);
        Self { store, registry, engineer, clock, lease, options, tracker, replay, work, notes, trainers }
    }

    /// Sets the training options.
    #[must_use]
    pub fn with_options(self, options: TrainingOptions) -> Self {
        Self { options, ..self }
    }

    /// Sets the tracker that records every run.
    #[must_use]
    pub fn with_tracker(self, tracker: &'a dyn ExperimentTracker) -> Self {
        Self { tracker: Some(tracker), ..self }
    }

    /// Sets a cache of the replayed store, so that only facts since its last use are read.
    #[must_use]
    pub fn with_replay(self, replay: &'a ReplayCache) -> Self {
        Self { replay: Some(replay), ..self }
    }

    /// Sets the execution context: cancellation, progress and threads.
    #[must_use]
    pub fn with_execution(self, work: ExecutionContext) -> Self {
        Self { work, ..self }
    }

    /// Sets the claim that this training runs under: its lease is renewed while models are fitted, and a run
    /// whose lease another host has taken meanwhile registers nothing.
    #[must_use]
    pub fn with_claim(self, claim: &TrainingClaim<'a>) -> Self {
        Self { lease: Some(claim.lease.clone()), ..self }
    }

    /// Adds a note to every run's record, such as the result of a hyperparameter search.
    #[must_use]
    pub fn with_note(mut self, name: impl Into<String>, note: Value) -> Self {
        self.notes.insert(name.into(), note);
        self
    }

    /// Sets the templates whose ranking [`run_all`](Self::run_all) and [`run_nightly`](Self::run_nightly) train too.
    #[must_use]
    pub fn with_templates(self, catalogue: TemplateCatalogue) -> Self {
        self.with_model(TemplateTrainer::default().with_catalogue(catalogue))
    }

    /// Sets a trainer for [`run_all`](Self::run_all) and [`run_nightly`](Self::run_nightly): a host's own, or in
    /// place of the usual one of its name.
    #[must_use]
    pub fn with_model<T: Trainer<Model: 'static> + 'static>(mut self, trainer: T) -> Self {
        self.trainers.retain(|other| other.name() != trainer.name());
        self.trainers.push(AnyTrainer::new(trainer));
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
        let facts = self.read([trainer], now, &mut steps).await?;
        Box::pin(self.train(trainer, &self.rows(trainer, &facts, now), now, &mut steps)).await
    }

    /// Registers a model that was trained elsewhere, and promotes it, puts it on trial or refuses it, as the
    /// gate says. It is calibrated and judged on what the store knows of generations that started since it
    /// was trained: on the newest of them beside the model in production.
    ///
    /// # Errors
    /// `NotEnoughData` where too few started since (then nothing is registered); those of [`run`](Self::run).
    pub async fn import(&self, external: &ExternalModel) -> Result<TrainingReport> {
        let target = external.target();
        let import = targets::of(target).and_then(|served| served.import);
        let trainer =
            import.ok_or_else(|| Error::internal(format!("a model of {target} was read")))?(external);
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let facts = self.read([&trainer], now, &mut steps).await?;
        let until = external.trained_until();
        let unseen = self.rows(&trainer, &facts, now).filter(|_, e| e.started_at >= until);
        Box::pin(self.train(&trainer, &unseen, now, &mut steps)).await
    }

    /// Trains all models from one reading of the store: success, complexity, time and quality, the ranking where
    /// there are [templates](Self::with_templates), and the host's [own](Self::with_model). A model that has too
    /// little to learn from is no reason not to train the others.
    ///
    /// # Errors
    /// Those of reading the store; `Cancelled`.
    pub async fn run_all(&self) -> Result<Vec<(&'static str, Result<TrainingReport>)>> {
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let facts = self.read(&self.trainers, now, &mut steps).await?;
        let mut reports = Vec::new();
        for (number, trainer) in self.trainers.iter().enumerate() {
            let share = |number: usize| number as f64 / self.trainers.len() as f64;
            steps.part(share(number), share(number + 1));
            let data = self.rows(trainer, &facts, now);
            reports.push((trainer.name(), Box::pin(self.train(trainer, &data, now, &mut steps)).await));
        }
        self.work.check()?;
        Ok(reports)
    }

    /// Runs a training cycle from one reading of the store: [`watch`](Self::watch) the model in production,
    /// [`review`](Self::review) the challenger on trial, then train a new model.
    ///
    /// # Errors
    /// Those of watching and reviewing; `Cancelled`, and `Conflict` where the claim was lost. Other training
    /// errors are returned in the report.
    pub async fn nightly<T: Trainer>(&self, trainer: &T) -> Result<NightlyReport> {
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let facts = self.read([trainer], now, &mut steps).await?;
        self.cycle(trainer, &self.rows(trainer, &facts, now), now, &mut steps).await
    }

    /// Runs a training cycle of all models, as [`run_all`](Self::run_all) has them, from one reading of the store.
    ///
    /// # Errors
    /// Those of reading the store; `Cancelled`. Each model has its own result.
    pub async fn run_nightly(&self) -> Result<Vec<(&'static str, Result<NightlyReport>)>> {
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let facts = self.read(&self.trainers, now, &mut steps).await?;
        let mut reports = Vec::new();
        for (number, trainer) in self.trainers.iter().enumerate() {
            let share = |number: usize| number as f64 / self.trainers.len() as f64;
            steps.part(share(number), share(number + 1));
            let data = self.rows(trainer, &facts, now);
            reports.push((trainer.name(), Box::pin(self.cycle(trainer, &data, now, &mut steps)).await));
        }
        self.work.check()?;
        Ok(reports)
    }

    /// Compares what the model in production says of generations since it was trained with what its
    /// evidence promised, and puts the version before it back where the record has fallen below that and
    /// the other does better. `None` where nothing is in production.
    ///
    /// # Errors
    /// Those of the store and the registry.
    pub async fn watch<T: Trainer>(&self, trainer: &T) -> Result<Option<DeploymentCheck>> {
        let now = self.clock.now();
        let facts = self.read([trainer], now, &mut self.work.begin()).await?;
        Box::pin(self.live(trainer, &self.rows(trainer, &facts, now), now).watch()).await
    }

    /// Compares the challenger on trial with the model in production on generations since both were
    /// trained, and promotes it, gives it up or lets it go on. `None` where none is on trial.
    ///
    /// # Errors
    /// Those of the store and the registry.
    pub async fn review<T: Trainer>(&self, trainer: &T) -> Result<Option<ChallengerReview>> {
        let now = self.clock.now();
        let facts = self.read([trainer], now, &mut self.work.begin()).await?;
        Box::pin(self.live(trainer, &self.rows(trainer, &facts, now), now).review()).await
    }

    fn live<'b, T: Trainer>(&'b self, trainer: &'b T, data: &'b Dataset, now: DateTime<Utc>) -> Live<'b, T> {
        Live { trainer, registry: self.registry, data, options: &self.options, work: &self.work, now }
    }

    async fn cycle<T: Trainer>(
        &self,
        trainer: &T,
        data: &Dataset,
        now: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<NightlyReport> {
        let live = self.live(trainer, data, now);
        let watched = Box::pin(live.watch()).await?;
        let reviewed = Box::pin(live.review()).await?;
        let trained = match Box::pin(self.train(trainer, data, now, steps)).await {
            // Then the cycle is to be repeated.
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Conflict) => {
                return Err(error);
            }
            trained => trained,
        };
        Ok(NightlyReport { watched, reviewed, trained })
    }

    fn rows<T: Trainer>(&self, trainer: &T, facts: &TrainingFacts, now: DateTime<Utc>) -> Dataset {
        facts.rows(trainer, now, self.options.max_rows)
    }

    async fn read<'t, T: Trainer + 't>(
        &self,
        trainers: impl IntoIterator<Item = &'t T>,
        now: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<TrainingFacts> {
        self.options.verify()?;
        steps.at("reading", 0.0);
        TrainingFacts::read(trainers, self.store, self.engineer, self.replay, now, &self.work).await
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
        self.renew_lease().await?;
        steps.at("registering", 0.95);
        let registering = Registering { registry: self.registry, tracker: self.tracker, now };
        let done = registering.register(version, record, champion.as_ref()).await?;
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

/// Reads the rows for `target` from all that `store` knew at `now`.
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
    let mut builder = DatasetBuilder::new(engineer.clone());
    let mut each = |record: Record| {
        if record.known_at() <= now {
            builder.apply(&record);
        }
        Ok(())
    };
    store.for_each(ScanOrder::Known, &mut each).await?;
    Ok(builder.rows(target, now, max_rows))
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

/// The facts of a store, as the training rows of some models are made from them.
#[derive(Debug)]
pub(super) struct TrainingFacts {
    /// Of the models that have no rows of their own; `None` where all have.
    shared: Option<Arc<DatasetBuilder>>,
    /// By the models' names.
    own: BTreeMap<&'static str, Box<dyn RowBuilder>>,
}

impl TrainingFacts {
    /// Reads all that `store` knew at `now`.
    pub(super) async fn read<'t, T: Trainer + 't>(
        trainers: impl IntoIterator<Item = &'t T>,
        store: &dyn EventStore,
        engineer: &FeatureEngineer,
        replay: Option<&ReplayCache>,
        now: DateTime<Utc>,
        work: &ExecutionContext,
    ) -> Result<Self> {
        let (mut shared, mut own) = (None, BTreeMap::new());
        for trainer in trainers {
            match trainer.row_builder() {
                Some(builder) => drop(own.insert(trainer.name(), builder)),
                None => shared = Some(DatasetBuilder::new(engineer.clone())),
            }
        }
        let cached = match replay.filter(|_| shared.is_some()) {
            Some(replay) => Some(replay.read(store, engineer, now, work).await?),
            None => None,
        };
        if cached.is_some() && own.is_empty() {
            return Ok(Self { shared: cached, own });
        }
        let mut shared = shared.filter(|_| cached.is_none());
        let mut each = |record: Record| {
            if record.known_at() <= now {
                shared.iter_mut().for_each(|builder| builder.apply(&record));
                own.values_mut().for_each(|builder| builder.apply(&record));
            }
            work.check()
        };
        store.for_each(ScanOrder::Known, &mut each).await?;
        Ok(Self { shared: cached.or(shared.map(Arc::new)), own })
    }

    pub(super) fn rows<T: Trainer>(&self, trainer: &T, now: DateTime<Utc>, most: usize) -> Dataset {
        match (self.own.get(trainer.name()), &self.shared) {
            (Some(own), _) => own.rows(now, most),
            (None, Some(shared)) => shared.rows(trainer.target(), now, most),
            (None, None) => DatasetBuilder::new(FeatureEngineer::default()).rows(trainer.target(), now, most),
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

fn score_folds<T: Trainer>(
    trainer: &T,
    data: &Dataset,
    options: &FoldOptions,
) -> Result<Vec<BTreeMap<String, f64>>> {
    let score = |fold: crate::dataset::Fold| {
        let model = trainer.fit(&fold.earlier)?;
        trainer.scores_of_rows(&points(&model, &fold.later)?, &fold.later, None)
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
