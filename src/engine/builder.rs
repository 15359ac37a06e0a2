//! An engine's parts, each with a default that works.

use super::learner::Learner;
use super::{Engine, Inner};
use crate::clock::{Clock, SystemClock};
use crate::collect::{CollectorOptions, DataCollector};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Prices;
use crate::features::{FeatureEngineer, FeatureOptions};
use crate::models::{AnyTrainer, TemplateCatalogue, TemplateTrainer, Trainer};
use crate::monitoring::{AlertRule, AlertSink, Alerts, MonitorOptions};
use crate::registry::ModelRegistry;
use crate::routing::{Boosted, Policy, RiskPolicy, Router, RouterOptions};
use crate::serving::PredictionService;
use crate::store::EventStore;
use crate::training::{ExperimentTracker, RunRecord, TrainingOptions, TrainingSchedule};
use crate::zones::ZoneRules;
use async_trait::async_trait;
use chrono_tz::Tz;
use std::sync::{Arc, Mutex};

/// Makes an [`Engine`]: a store and a registry are needed, all else has a default.
///
/// Options are data: read them from the host's own configuration by [`config::from_json`](crate::config::from_json),
/// which names a misspelt key and the nearest right one.
///
/// ```
/// # futures_executor::block_on(async {
/// use devmatrix_ml::features::FeatureOptions;
/// use devmatrix_ml::monitoring::{Alert, AlertRule, AlertSink};
/// use devmatrix_ml::registry::MemoryRegistry;
/// use devmatrix_ml::routing::EpsilonGreedy;
/// use devmatrix_ml::store::MemoryStore;
/// use devmatrix_ml::{Engine, config};
/// use std::sync::Arc;
///
/// #[derive(Debug)]
/// struct Pager;
/// impl AlertSink for Pager {
///     fn send(&self, alert: &Alert) {
///         println!("{alert}");
///     }
/// }
///
/// let engine = Engine::builder()
///     .with_store(Arc::new(MemoryStore::new()))
///     .with_registry(Arc::new(MemoryRegistry::new()))
///     .with_features(FeatureOptions::default())
///     .with_schedule(config::from_json(r#"{"at": "03:30:00", "after_outcomes": 500}"#)?)
///     .with_zone(chrono_tz::Europe::Madrid) // of features and schedule
///     .with_router(config::from_json(r#"{"sticky_sessions": true}"#)?)
///     .with_policy(Box::new(EpsilonGreedy::default()))
///     .with_usd_per_day(20.0)
///     .with_training(config::from_json(r#"{"promotion": "trial", "gate": {"confidence": 0.99}}"#)?)
///     .with_monitor(config::from_json(r#"{"kpi_days": 14}"#)?)
///     .with_alerts(AlertRule::defaults())
///     .with_alert_sink(Arc::new(Pager))
///     .open()
///     .await?;
/// # engine.close().await
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "call `open`"]
pub struct EngineBuilder {
    store: Option<Arc<dyn EventStore>>,
    registry: Option<Arc<dyn ModelRegistry>>,
    features: FeatureOptions,
    catalogue: Option<TemplateCatalogue>,
    models: Vec<AnyTrainer>,
    router: RouterOptions,
    policy: Box<dyn Policy>,
    risk: Option<RiskPolicy>,
    default: Option<String>,
    monitor: MonitorOptions,
    alerts: Vec<AlertRule>,
    sinks: Vec<Arc<dyn AlertSink>>,
    clock: Arc<dyn Clock>,
    training: TrainingOptions,
    schedule: TrainingSchedule,
    trackers: Vec<Arc<dyn ExperimentTracker>>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            store: None,
            registry: None,
            features: FeatureOptions::default(),
            catalogue: None,
            models: Vec::new(),
            router: RouterOptions::default(),
            policy: Box::new(Boosted::default()),
            risk: None,
            default: None,
            monitor: MonitorOptions::default(),
            alerts: AlertRule::defaults(),
            sinks: Vec::new(),
            clock: Arc::new(SystemClock),
            training: TrainingOptions::default(),
            schedule: TrainingSchedule::default(),
            trackers: Vec::new(),
        }
    }
}

impl EngineBuilder {
    /// Keeps events in `path/events.db` and models in `path/models`, and makes what is missing.
    ///
    /// # Errors
    /// `Unavailable` when the folder cannot be made or the file not opened.
    #[cfg(feature = "sqlite")]
    pub fn with_path(self, path: impl AsRef<std::path::Path>) -> Result<Self> {
        use crate::{error::ErrorKind, registry::DiskRegistry, store::SqliteStore};
        let path = path.as_ref();
        std::fs::create_dir_all(path).map_err(|e| {
            Error::new(ErrorKind::Unavailable, format!("{}: the folder cannot be made", path.display()))
                .with_source(e)
        })?;
        let store = Arc::new(SqliteStore::open(path.join("events.db"))?);
        Ok(self.with_store(store).with_registry(Arc::new(DiskRegistry::open(path.join("models"))?)))
    }

    /// Keeps events in `store`.
    pub fn with_store(self, store: Arc<dyn EventStore>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Keeps models in `registry`.
    pub fn with_registry(self, registry: Arc<dyn ModelRegistry>) -> Self {
        Self { registry: Some(registry), ..self }
    }

    /// Makes features by these options: the zone of hour and weekday, terms, frameworks.
    pub fn with_features(self, features: FeatureOptions) -> Self {
        Self { features, ..self }
    }

    /// Sets the host's zone: that of hour and weekday in features, of the time of training, and of the budget's day.
    pub fn with_zone(mut self, zone: Tz) -> Self {
        (self.features.zone, self.schedule.zone, self.router.zone) = (zone, zone, zone);
        self
    }

    /// Ranks the templates of `catalogue` too.
    pub fn with_templates(self, catalogue: TemplateCatalogue) -> Self {
        Self { catalogue: Some(catalogue), ..self }
    }

    /// Adds a host's own model: trained, tried and promoted each night as the others are, and served under its
    /// trainer's name in [`Predictions::others`](crate::serving::Predictions::others).
    pub fn with_model<T: Trainer<Model: 'static> + 'static>(mut self, trainer: T) -> Self {
        self.models.push(AnyTrainer::new(trainer));
        self
    }

    /// Chooses by these options: objective, budget, safety; prices and the zone that were given before stay where these have
    /// none.
    pub fn with_router(self, mut router: RouterOptions) -> Self {
        if router.zone == Tz::UTC {
            router.zone = self.router.zone;
        }
        if router.prices.is_empty() {
            router.prices = self.router.prices;
        }
        Self { router, ..self }
    }

    /// Chooses by `policy`; Thompson sampling on the predictions ([`Boosted`]) by default.
    pub fn with_policy(self, policy: Box<dyn Policy>) -> Self {
        Self { policy, ..self }
    }

    /// Spends at most so many US dollars a day, of the host's zone, on what [`Engine::choose`] chooses, tries in flight among
    /// them; all engines on one store share it. Beyond it a candidate named by
    /// [`with_default_candidate`](Self::with_default_candidate) is chosen still, unless
    /// [`hard_usd_per_day`](crate::routing::Objective::hard_usd_per_day) says where that ends.
    pub fn with_usd_per_day(mut self, usd: f64) -> Self {
        self.router.objective.usd_per_day = Some(usd);
        self
    }

    /// Prices tokens by this table: a generation that ends with tokens and without `cost_usd` gets its cost, on which budget,
    /// cost model, history and monitoring rest.
    pub fn with_prices(mut self, prices: Prices) -> Self {
        self.router.prices = prices;
        self
    }

    /// Chooses the candidate of this name where evidence separates none; the cheapest by default.
    pub fn with_default_candidate(self, name: impl Into<String>) -> Self {
        Self { default: Some(name.into()), ..self }
    }

    /// Sets other settings where success is unlikely; none by default.
    pub fn with_risk_policy(self, risk: RiskPolicy) -> Self {
        Self { risk: Some(risk), ..self }
    }

    /// Monitors by these options.
    pub fn with_monitor(self, monitor: MonitorOptions) -> Self {
        Self { monitor, ..self }
    }

    /// Alerts by these rules; by the crate's default rules where none are given.
    pub fn with_alerts(self, alerts: Vec<AlertRule>) -> Self {
        Self { alerts, ..self }
    }

    /// Sends alerts to `sink` too, beside the log.
    pub fn with_alert_sink(mut self, sink: Arc<dyn AlertSink>) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Takes the time from `clock`.
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Trains by these options: evaluation, gate, trial. By default a model is promoted that is significantly
    /// better than the one in production; [`Gate::floors`](crate::training::Gate) asks for absolute scores
    /// besides.
    pub fn with_training(self, training: TrainingOptions) -> Self {
        Self { training, ..self }
    }

    /// Trains when `schedule` says; daily at 02:00 by default.
    pub fn with_schedule(self, schedule: TrainingSchedule) -> Self {
        Self { schedule, ..self }
    }

    /// Tells `tracker` of every training run, beside those given before.
    pub fn with_tracker(mut self, tracker: Arc<dyn ExperimentTracker>) -> Self {
        self.trackers.push(tracker);
        self
    }

    /// Opens the engine: reads what the store knows since the last checkpoint, and loads the models in
    /// production.
    ///
    /// # Errors
    /// `InvalidInput` without a store or a registry, for two models of one name, or naming the option that is out
    /// of range; those of
    /// reading the store and the registry; `Incompatible` or `Corrupt` for models in production that this
    /// release cannot serve.
    pub async fn open(self) -> Result<Engine> {
        let missing = |what: &str| {
            Error::invalid(format!("the engine has no {what}: give it one, or a folder by `with_path`"))
        };
        let store = self.store.ok_or_else(|| missing("store"))?;
        let registry = self.registry.ok_or_else(|| missing("registry"))?;
        self.training.validate()?;
        let (engineer, clock) = (FeatureEngineer::new(self.features), self.clock);
        let lexicon = engineer.lexicon().clone();
        let router = Router::new(self.policy, RouterOptions { lexicon, ..self.router })?;
        let options =
            CollectorOptions { prices: router.options().prices.clone(), ..CollectorOptions::default() };
        let collector = DataCollector::open_with(store.clone(), engineer.clone(), clock, options).await?;
        // All go by the time that facts are stamped with.
        let clock = collector.clock();
        let alerts = Alerts::new(self.alerts, clock.clone(), self.sinks)?;
        let mut service = PredictionService::new(collector.history(), engineer.clone(), clock.clone());
        let mut trainers = self.models;
        for trainer in &trainers {
            service = service.with_trainer(trainer.clone())?;
        }
        if let Some(catalogue) = self.catalogue {
            service = service.with_templates(catalogue.clone());
            trainers.push(AnyTrainer::new(TemplateTrainer::default().with_catalogue(catalogue)));
        }
        if let Err(error) = service.reload(registry.as_ref()).await {
            // Made from other features, a zone or terms changed: priors answer until the next cycle has trained anew.
            if error.kind() != ErrorKind::Incompatible {
                return Err(error);
            }
            tracing::warn!(error = %format_args!("{error:#}"), "a model in production cannot be served: training makes it anew");
        }
        let (zones, service) = (ZoneRules::in_use(), Arc::new(service));
        tracing::info!(version = zones.version, source = zones.source, "rules of time zones");
        let learner = Learner::open(store.as_ref(), service.clone(), router, self.monitor).await?;
        let trackers = (!self.trackers.is_empty()).then(|| Arc::new(Trackers(self.trackers)) as Arc<_>);
        Ok(Engine(Arc::new(Inner {
            store,
            registry,
            clock,
            engineer,
            collector,
            service,
            learner,
            trainers,
            risk: self.risk,
            default: self.default,
            training: self.training,
            schedule: self.schedule,
            trackers,
            alerts: Mutex::new(alerts),
            latencies: Mutex::default(),
            unseen: Mutex::default(),
            running: Mutex::default(),
        })))
    }
}

/// Several trackers as one.
#[derive(Debug)]
struct Trackers(Vec<Arc<dyn ExperimentTracker>>);

#[async_trait]
impl ExperimentTracker for Trackers {
    /// Tells all of them, also after one has failed; the first error is returned.
    async fn record(&self, run: &RunRecord) -> Result<()> {
        let mut told = Ok(());
        for tracker in &self.0 {
            told = told.and(tracker.record(run).await);
        }
        told
    }
}
