//! The training of models: from the store to the registry, through the gate.

use super::facts::{Reading, TrainingFacts};
use super::lease::Lease;
use super::options::TrainingOptions;
use super::post_deployment::{DeploymentCheck, Live};
use super::replay::ReplayCache;
use super::report::{NightlyReport, TrainingReport};
use super::retrain::{Retraining, TrainingRows};
use super::schedule::TrainingClaim;
use super::telemetry;
use super::tracker::ExperimentTracker;
use crate::clock::Clock;
use crate::dataset::{Dataset, LabelKind};
use crate::error::{Error, ErrorKind, Result};
use crate::execution::{ExecutionContext, Steps};
use crate::features::FeatureEngineer;
use crate::models::{AnyTrainer, ExternalModel, Trainer, targets};
use crate::registry::ModelRegistry;
use crate::store::EventStore;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;

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
/// assert!(error.to_string().contains("has a label for success: record user_action"), "{error}");
/// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Training<'a> {
    pub(super) store: &'a dyn EventStore,
    pub(super) registry: &'a dyn ModelRegistry,
    engineer: &'a FeatureEngineer,
    pub(super) clock: &'a dyn Clock,
    /// Renewed while it trains.
    pub(super) lease: Option<Lease<'a>>,
    /// Whether models are trained however little is new.
    urgent: bool,
    pub(super) options: TrainingOptions,
    pub(super) tracker: Option<&'a dyn ExperimentTracker>,
    replay: Option<&'a ReplayCache>,
    pub(super) work: ExecutionContext,
    pub(super) notes: BTreeMap<String, Value>,
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
        let urgent = false;
        Self {
            store,
            registry,
            engineer,
            clock,
            lease,
            urgent,
            options,
            tracker,
            replay,
            work,
            notes,
            trainers,
        }
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
        Self { lease: Some(claim.lease.clone()), urgent: claim.urgent, ..self }
    }

    /// Adds a note to every run's record, such as the result of a hyperparameter search.
    #[must_use]
    pub fn with_note(mut self, name: impl Into<String>, note: Value) -> Self {
        self.notes.insert(name.into(), note);
        self
    }

    /// Sets a trainer for [`run_all`](Self::run_all): a host's own, or in place of the usual one of its name. The
    /// ranking of a host's templates is trained by a
    /// [`TemplateTrainer`](crate::models::TemplateTrainer::with_catalogue).
    #[must_use]
    pub fn with_model<T: Trainer<Model: 'static> + 'static>(self, trainer: T) -> Self {
        self.with_trainer(AnyTrainer::new(trainer))
    }

    pub(crate) fn with_trainer(mut self, trainer: AnyTrainer) -> Self {
        self.trainers.retain(|other| other.name() != trainer.name());
        self.trainers.push(trainer);
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
        Box::pin(self.train(trainer, &self.counted_rows(trainer, &facts, now), now, &mut steps)).await
    }

    /// Registers a model that was trained elsewhere, and promotes it, puts it on trial or refuses it, as the
    /// gate says. It is calibrated and judged on what the store knows of generations that started since it
    /// was trained: on the newest of them beside the model in production.
    ///
    /// # Errors
    /// `NotEnoughData` where too few started since (then nothing is registered); those of [`run`](Self::run).
    ///
    /// ```
    /// use chrono::{DateTime, Utc};
    /// use devmatrix_ml::dataset::Target;
    /// use devmatrix_ml::models::{ExternalModel, ExternalModelOptions};
    /// use devmatrix_ml::training::Training;
    /// async fn import(training: &Training<'_>, bytes: &[u8], until: DateTime<Utc>) -> devmatrix_ml::Result<bool> {
    ///     let options = ExternalModelOptions::default();
    ///     let model = ExternalModel::read(bytes, Target::Success, until, &options)?;
    ///     Ok(training.import(&model).await?.promoted)
    /// }
    /// ```
    pub async fn import(&self, external: &ExternalModel) -> Result<TrainingReport> {
        let target = external.target();
        let import = targets::of(target).and_then(|served| served.import);
        let trainer =
            import.ok_or_else(|| Error::internal(format!("a model of {target} was read")))?(external);
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let facts = self.read([&trainer], now, &mut steps).await?;
        let until = external.trained_until();
        let mut unseen = self.counted_rows(&trainer, &facts, now);
        unseen.data = unseen.data.filter(|_, e| e.started_at >= until);
        Box::pin(self.train(&trainer, &unseen, now, &mut steps)).await
    }

    /// Trains all models from one reading of the store: success, complexity, time, quality, cost and tokens, the ranking where
    /// there are templates, and the host's [own](Self::with_model). A model that has too
    /// little to learn from is no reason not to train the others.
    ///
    /// # Errors
    /// Those of reading the store; `Cancelled`.
    pub async fn run_all(&self) -> Result<Vec<(&'static str, Result<TrainingReport>)>> {
        let reports = self.each(false).await?;
        let trained = |report: Result<NightlyReport>| report.and_then(|report| report.trained);
        Ok(reports.into_iter().map(|(name, report)| (name, trained(report))).collect())
    }

    /// Runs a training cycle of all models, as [`run_all`](Self::run_all) has them, from one reading of the store.
    ///
    /// # Errors
    /// Those of reading the store; `Cancelled`. Each model has its own result.
    pub(crate) async fn run_nightly(&self) -> Result<Vec<(&'static str, Result<NightlyReport>)>> {
        self.each(true).await
    }

    /// Runs a training cycle from one reading of the store: [`watch`](Self::watch) the model in production,
    /// review the challenger on trial, then train a new model, unless [too
    /// little](TrainingOptions::retrain_growth) is new since the last one: that is `NotEnoughData` in the report.
    ///
    /// # Errors
    /// Those of watching and reviewing; `Cancelled`, and `Conflict` where the claim was lost. Other training
    /// errors are returned in the report.
    pub async fn nightly<T: Trainer>(&self, trainer: &T) -> Result<NightlyReport> {
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let facts = self.read([trainer], now, &mut steps).await?;
        self.cycle(trainer, &self.counted_rows(trainer, &facts, now), now, &mut steps, true).await
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

    pub(super) fn live<'b, T: Trainer>(
        &'b self,
        trainer: &'b T,
        data: &'b Dataset,
        now: DateTime<Utc>,
    ) -> Live<'b, T> {
        Live { trainer, registry: self.registry, data, options: &self.options, work: &self.work, now }
    }

    /// Trains all models from one reading of the store, where `nightly` with what a training cycle does before.
    async fn each(&self, nightly: bool) -> Result<Vec<(&'static str, Result<NightlyReport>)>> {
        let now = self.clock.now();
        let mut steps = self.work.begin();
        let facts = self.read(&self.trainers, now, &mut steps).await?;
        let mut reports = Vec::new();
        for (number, trainer) in self.trainers.iter().enumerate() {
            let share = |number: usize| number as f64 / self.trainers.len() as f64;
            steps.part(share(number), share(number + 1));
            let rows = self.counted_rows(trainer, &facts, now);
            let report = Box::pin(self.cycle(trainer, &rows, now, &mut steps, nightly)).await;
            reports.push((trainer.name(), report));
        }
        self.work.check()?;
        Ok(reports)
    }

    async fn cycle<T: Trainer>(
        &self,
        trainer: &T,
        rows: &TrainingRows,
        now: DateTime<Utc>,
        steps: &mut Steps,
        nightly: bool,
    ) -> Result<NightlyReport> {
        let (mut watched, mut reviewed) = (None, None);
        if nightly {
            let live = self.live(trainer, &rows.data, now);
            watched = Box::pin(live.watch()).await?;
            reviewed = Box::pin(live.review()).await?;
        }
        if nightly && !self.urgent {
            let (parameters, options) = (trainer.parameters(), &self.options);
            let retraining = Retraining { rows, parameters, options, watched: watched.as_ref(), now };
            let versions = self.registry.versions(trainer.name()).await?;
            if let Err(error) = retraining.check(&versions) {
                return Ok(NightlyReport { model: trainer.name(), watched, reviewed, trained: Err(error) });
            }
        }
        let trained = match Box::pin(self.train(trainer, rows, now, steps)).await {
            // Then the cycle is to be repeated.
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Conflict) => {
                return Err(error);
            }
            trained => trained,
        };
        Ok(NightlyReport { model: trainer.name(), watched, reviewed, trained })
    }

    pub(super) fn rows<T: Trainer>(&self, trainer: &T, facts: &TrainingFacts, now: DateTime<Utc>) -> Dataset {
        facts.rows(trainer, now, self.options.max_rows)
    }

    fn counted_rows<T: Trainer>(
        &self,
        trainer: &T,
        facts: &TrainingFacts,
        now: DateTime<Utc>,
    ) -> TrainingRows {
        TrainingRows { data: self.rows(trainer, facts, now), erasures: facts.erasures }
    }

    pub(super) async fn read<'t, T: Trainer + 't>(
        &self,
        trainers: impl IntoIterator<Item = &'t T>,
        now: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<TrainingFacts> {
        self.options.validate()?;
        steps.at("reading", 0.0);
        let reading = Reading {
            store: self.store,
            engineer: self.engineer,
            now,
            work: &self.work,
            lease: self.lease.as_ref(),
        };
        TrainingFacts::read(trainers, reading, self.replay).await
    }

    async fn train<T: Trainer>(
        &self,
        trainer: &T,
        rows: &TrainingRows,
        now: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<TrainingReport> {
        telemetry::trained(trainer.name(), Box::pin(self.fit_and_register(trainer, rows, now, steps))).await
    }
}
