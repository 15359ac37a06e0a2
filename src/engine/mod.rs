//! The one object that a host holds: it records, predicts, chooses, learns and reports.
//!
//! The parts behind it stay public for hosts that want to wire them otherwise: a
//! [`DataCollector`], a [`PredictionService`], a [`Router`](crate::routing::Router),
//! [`Training`](crate::training::Training) and a [`Monitor`](crate::monitoring::Monitor).

mod builder;
mod generations;
mod learner;
mod nightly;
mod outliers;
mod report;

pub use builder::EngineBuilder;
pub use report::NightlySummary;

use crate::clock::Clock;
use crate::collect::DataCollector;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Completion, Decision, EventId, Feedback, Started, TaskContext};
use crate::features::FeatureEngineer;
use crate::models::{AnyTrainer, SimilarOutcomes, TemplateRanking};
use crate::monitoring::{Alerts, Analytics, HostFacts, ModelFacts, UnseenCounts};
use crate::registry::ModelRegistry;
use crate::routing::{Candidate, Choice, FrozenPolicy, LeaderboardEntry, Request, RiskPolicy};
use crate::serving::{PredictionService, Predictions};
use crate::stats::fnv;
use crate::store::{Erasure, EventStore, EventStoreExt, Subject};
use crate::text::TaskText;
use crate::training::{ExperimentTracker, TrainingOptions, TrainingSchedule};
use learner::Learner;
use nightly::Running;
#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Records generations, predicts what will come of them, chooses how they are done, and learns.
///
/// Each fact is told once, to [`start`](Self::start), [`complete`](Self::complete) or
/// [`feedback`](Self::feedback); history, router, budget, cost model, adaptive intervals and monitor all
/// learn of it, also of those that other processes record in the same store. All of that is a function of
/// what the store holds: after a restart, also after a kill, it is as if the process had gone on.
///
/// Clones are the same engine. [`predict`](Self::predict) and [`choose`](Self::choose) do no I/O; what is
/// `async` reads and writes the store, and works under any runtime or none. Nothing blocks an executor for
/// longer than a page of facts takes, but [`analytics`](Self::analytics) and
/// [`dashboard`](Self::dashboard), which compute for some tens of milliseconds.
///
/// ```
/// # futures_executor::block_on(async {
/// use devmatrix_ml::{Candidate, Completion, Engine, Feedback, TaskContext, UserAction};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path();
/// let engine = Engine::open(path).await?; // events in path/events.db, models in path/models
/// let task = TaskContext::of("TASK-7")?;
/// let candidates = ["claude-sonnet-4.5", "gpt-4.1-mini"].map(Candidate::by_llm);
/// let choice = engine.choose(&task, &candidates)?;
/// let event = engine.start(&choice).await?;
/// engine.complete(&event, Completion::default()).await?; // the host's agent has generated
/// engine.feedback(&event, Feedback::new(UserAction::Approve)).await?;
/// println!("{}", engine.run_nightly().await?); // from the host's own scheduler
/// engine.close().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn EventStore>,
    registry: Arc<dyn ModelRegistry>,
    clock: Arc<dyn Clock>,
    engineer: FeatureEngineer,
    collector: DataCollector,
    service: Arc<PredictionService>,
    learner: Learner,
    /// The host's own models and the ranking of its templates, trained beside the usual models.
    trainers: Vec<AnyTrainer>,
    risk: Option<RiskPolicy>,
    default: Option<String>,
    training: TrainingOptions,
    schedule: TrainingSchedule,
    trackers: Option<Arc<dyn ExperimentTracker>>,
    alerts: Mutex<Alerts>,
    /// How long predictions took since the last report.
    latencies: Mutex<Vec<Duration>>,
    /// Values of predictions that are unlike all that their models were trained on.
    unseen: Mutex<UnseenCounts>,
    running: Mutex<Option<Running>>,
}

/// Latencies that are noted between two reports at most.
const MOST_LATENCIES: usize = 100_000;

impl Engine {
    /// Opens an engine on the folder `path`: events in `events.db`, models in `models`, both made where
    /// they are missing, and all else by default.
    ///
    /// # Errors
    /// `Unavailable` when the folder cannot be made or read; `Incompatible` or `Corrupt` for models in
    /// production that this release cannot serve.
    #[cfg(feature = "sqlite")]
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().with_path(path)?.open().await
    }

    /// Begins an engine that is not all by default.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Predicts success, complexity, time, quality, cost and tokens of `task`, and which template fits where there are
    /// any, with explanations and similar past tasks. Before there is a model the history answers, and says
    /// so. Some hundred microseconds, without I/O.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict(&self, task: &TaskContext) -> Result<Predictions> {
        self.timed(|| self.0.service.predict_all(task))
    }

    /// Records how long `predict` takes, and what its models had never seen.
    fn timed(&self, predict: impl FnOnce() -> Result<Predictions>) -> Result<Predictions> {
        let begun = Instant::now();
        let predictions = predict()?;
        let mut latencies = lock(&self.0.latencies);
        if latencies.len() < MOST_LATENCIES {
            latencies.push(begun.elapsed());
        }
        let unseen = predictions.unseen();
        if !unseen.is_empty() {
            lock(&self.0.unseen).add(&unseen, self.0.clock.now());
        }
        Ok(predictions)
    }

    /// Chooses how `task` is done, by what is predicted of each candidate, what it costs and what is left
    /// of the budget. The choice carries its propensity, its reason and all predictions; give it to
    /// [`start`](Self::start), so that they are stored. Without I/O.
    ///
    /// # Errors
    /// `InvalidInput` for a task or candidate out of range, no candidate or two of one name; `Unavailable` when the day's budget
    /// is used up, there is no default to fall back on, and no candidate is free.
    pub fn choose(&self, task: &TaskContext, candidates: &[Candidate]) -> Result<Choice> {
        let mut request = Request::new(task, candidates, self.0.clock.now());
        request.default = self.0.default.as_deref().filter(|name| candidates.iter().any(|c| c.name == *name));
        self.choose_by(request)
    }

    /// Chooses by a request that says more: a default candidate, or that nothing may be tried.
    ///
    /// # Errors
    /// Those of [`choose`](Self::choose).
    pub fn choose_by(&self, request: Request<'_>) -> Result<Choice> {
        request.validate()?;
        let inner = &self.0;
        let tasks: Vec<_> = request.candidates.iter().map(|one| one.plan.apply(request.task)).collect();
        let text = inner.service.read(request.task);
        let predictions = inner.service.predict_candidates(&tasks, &text)?;
        let request = request.with_predictions(&predictions).with_text(&text.facts);
        // Two choices from one state are drawn apart; those of a session are not.
        let unit = request.task.session_id.as_ref().map_or(request.task.task_id.as_str(), |id| id.as_str());
        let draw = fnv::hash(unit.as_bytes());
        let mut choice = inner.learner.router(|router| {
            let choice = router.propose(&request, Some(draw))?;
            // Reserved before the next choice is made, whichever thread makes it.
            router.hold(&choice.decision, request.now);
            Result::Ok(choice)
        })?;
        let finished = self.finish(&request, &mut choice, &text);
        if finished.is_err() {
            inner.learner.router(|router| router.release(&choice.decision));
        }
        finished.map(|()| choice)
    }

    /// Adjusts what was chosen to its risk, and predicts it.
    fn finish(&self, request: &Request<'_>, choice: &mut Choice, text: &TaskText) -> Result<()> {
        let inner = &self.0;
        let predict = |task: &TaskContext| self.timed(|| inner.service.predict_read(task, text));
        let mut predicted = predict(&choice.task)?;
        if let Some(risk) = &inner.risk {
            let (plan, adjustments) = risk.adjust(&choice.plan, &predicted.success)?;
            if !adjustments.is_empty() {
                choice.task = plan.apply(request.task);
                inner.learner.router(|r| r.hold_more(&mut choice.decision, &choice.task, request.now));
                predicted = predict(&choice.task)?;
            }
            (choice.plan, choice.adjustments) = (plan, adjustments);
        }
        choice.predictions = predicted.shown();
        choice.predicted = Some(Box::new(predicted));
        Ok(())
    }

    /// Records that a generation starts, durably: a [`Choice`] with its decision and predictions, a
    /// [`TaskContext`], or a [`Started`] with more of the host's own. What comes without predictions is
    /// predicted now, so that monitoring can compare them with what happens. The id names it from here on.
    ///
    /// # Errors
    /// `InvalidInput` naming the field that is out of range; those of writing the store.
    pub async fn start(&self, started: impl Into<Started> + Send) -> Result<EventId> {
        let started = self.with_predictions(started.into())?;
        let decision = started.decision.clone();
        let id = Box::pin(self.0.collector.start(started)).await?;
        self.learn_start(decision).await;
        Ok(id)
    }

    /// Records a start under the host's own id; a repeated call records it once.
    ///
    /// # Errors
    /// `InvalidInput`; `Conflict` when another start is recorded under `id`; those of writing the store.
    pub async fn start_as(&self, id: EventId, started: impl Into<Started> + Send) -> Result<EventId> {
        let started = self.with_predictions(started.into())?;
        let decision = started.decision.clone();
        let id = Box::pin(self.0.collector.start_as(id, started)).await?;
        self.learn_start(decision).await;
        Ok(id)
    }

    /// Records the next try at the task of `previous`.
    ///
    /// # Errors
    /// `NotFound` when `previous` was never started; those of [`start`](Self::start).
    pub async fn regenerate(
        &self,
        previous: &EventId,
        started: impl Into<Started> + Send,
    ) -> Result<EventId> {
        let started = self.with_predictions(started.into())?;
        let decision = started.decision.clone();
        let id = Box::pin(self.0.collector.regenerate(previous, started)).await?;
        self.learn_start(decision).await;
        Ok(id)
    }

    /// Records that a generation has ended, with its code, its cost and its seconds, durably.
    ///
    /// # Errors
    /// `NotFound` when no generation was started under `id`; `InvalidInput`; `Conflict` when it has ended
    /// otherwise before; those of the store.
    pub async fn complete(&self, id: &EventId, completion: Completion) -> Result<()> {
        self.has_started(id).await?;
        self.0.collector.complete(id, completion).await?;
        self.learn().await;
        Ok(())
    }

    /// Records what the user said, durably: late, repeated, revised, and before the end too.
    ///
    /// # Errors
    /// `NotFound` when no generation was started under `id`; `InvalidInput`; `Conflict` when other feedback
    /// is recorded under its id; those of the store.
    pub async fn feedback(&self, id: &EventId, feedback: Feedback) -> Result<()> {
        self.has_started(id).await?;
        self.0.collector.feedback(id, feedback).await?;
        self.learn().await;
        Ok(())
    }

    /// Finds the `most` past tasks that are most similar to `task`, with their outcomes.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn similar_tasks(&self, task: &TaskContext, most: usize) -> Result<SimilarOutcomes> {
        self.0.service.similar_tasks(task, most)
    }

    /// Ranks the host's templates for `task`, the one that fits best first.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range, or when the engine has no
    /// templates ([`EngineBuilder::with_templates`]).
    #[doc(alias = "TemplateSelector")]
    pub fn rank_templates(&self, task: &TaskContext) -> Result<TemplateRanking> {
        self.0.service.rank_templates(task)
    }

    /// Learns what other processes have recorded in the same store, and serves the models that they have
    /// promoted; once a minute or so, where there are any.
    ///
    /// # Errors
    /// Those of reading the store and the registry.
    pub async fn catch_up(&self) -> Result<()> {
        self.0.collector.catch_up().await?;
        self.0.learner.catch_up(self.0.store.as_ref()).await?;
        self.0.service.reload(self.0.registry.as_ref()).await.map(drop)
    }

    /// Puts together all that there is to see: KPIs, calibration, drift, subgroups, models, open alerts.
    /// Computes for some tens of milliseconds.
    ///
    /// # Errors
    /// Those of reading the store and the registry.
    pub async fn analytics(&self) -> Result<Analytics> {
        self.0.learner.catch_up(self.0.store.as_ref()).await?;
        let models = ModelFacts::read(self.0.registry.as_ref()).await?;
        let (now, took) = (self.0.clock.now(), std::mem::take(&mut *lock(&self.0.latencies)));
        let mut seen = self.0.learner.monitor(|monitor| {
            took.into_iter().for_each(|took| monitor.note_latency(now, took));
            monitor.review(now);
            monitor.analytics(now, &models)
        });
        seen.drift.splice(0..0, lock(&self.0.unseen).findings(now));
        seen.drift.extend(self.0.learner.outliers(|outliers| outliers.findings(now)));
        lock(&self.0.alerts).check(&mut seen, &HostFacts::default());
        Ok(seen)
    }

    /// Renders the [`analytics`](Self::analytics) as one self-contained HTML page.
    ///
    /// # Errors
    /// Those of reading the store and the registry.
    #[cfg(feature = "dashboard")]
    pub async fn dashboard(&self) -> Result<String> {
        Ok(crate::monitoring::dashboard::render(&self.analytics().await?, &[]))
    }

    /// Switches exploration of [`choose`](Self::choose) off or on again, until the engine is opened anew: off, the greedy choice
    /// has probability 1, also within sessions that began before.
    pub fn set_exploration(&self, on: bool) {
        self.0.learner.router(|router| router.set_exploration(on));
    }

    /// Returns which LLM does how well at which type of task, the one to rely on most first.
    pub fn leaderboard(&self) -> Vec<LeaderboardEntry> {
        self.0.learner.router(|router| router.leaderboard())
    }

    /// Removes a user's or a project's events and all that was learned from them here; models trained on
    /// them serve until the next training.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn erase(&self, subject: &Subject) -> Result<Erasure> {
        let erasure = self.0.collector.erase(subject).await?;
        self.0.learner.catch_up(self.0.store.as_ref()).await?;
        Ok(erasure)
    }

    /// Stores what was learned, so that the next [`open`](Self::open) need not read all events; every
    /// training cycle ends with it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn checkpoint(&self) -> Result<()> {
        self.0.collector.flush().await?;
        self.0.collector.checkpoint().await?;
        self.0.learner.catch_up(self.0.store.as_ref()).await?;
        self.0.learner.checkpoint(self.0.store.as_ref()).await
    }

    /// Cancels a training cycle that is running here, waits until it has given its claim back, and stores
    /// what was learned. What was recorded is durable without it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn close(&self) -> Result<()> {
        let running = lock(&self.0.running).as_mut().and_then(Running::cancel);
        if let Some(ended) = running {
            // Its sender says nothing; it is dropped at the end.
            let _ = ended.await;
        }
        self.checkpoint().await
    }

    /// The service that answers, for what the engine does not offer itself.
    pub fn service(&self) -> &PredictionService {
        &self.0.service
    }

    fn with_predictions(&self, mut started: Started) -> Result<Started> {
        if started.predictions.is_empty() {
            started.predictions = self.0.service.predict(&started.context, false)?.shown();
        }
        Ok(started)
    }

    async fn has_started(&self, id: &EventId) -> Result<()> {
        if self.0.learner.remembers(id) {
            return Ok(());
        }
        let found = self.0.store.event(id).await.map(drop);
        found.map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::new(
                ErrorKind::NotFound,
                format!("{id}: no generation was started under this id: call `start` first and keep the id that it returns"),
            ),
            _ => e,
        })
    }

    /// Learns from what was just recorded. It is durable: where reading it back fails, it is learned with
    /// the next fact.
    async fn learn(&self) -> bool {
        let learned = self.0.learner.catch_up(self.0.store.as_ref()).await;
        if let Err(error) = &learned {
            tracing::warn!(error = %format_args!("{error:#}"), "what was recorded will be learned with the next fact");
        }
        learned.is_ok()
    }

    /// Learns from a start. Its reservation is read back from the store with it, so what was held for the choice is given back.
    async fn learn_start(&self, decision: Option<Decision>) {
        if self.learn().await
            && let Some(decision) = decision
        {
            self.0.learner.router(|router| router.release(&decision));
        }
    }
}

impl From<&Engine> for FrozenPolicy {
    fn from(engine: &Engine) -> Self {
        engine.0.learner.router(|router| Self::from(&*router))
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
