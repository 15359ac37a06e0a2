//! State of the service: the library's parts, and background work.

use super::retrain::Runs;
use devmatrix_ml::clock::Clock;
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::event::TaskContext;
use devmatrix_ml::execution::ExecutionContext;
use devmatrix_ml::features::{FeatureEngineer, FeatureOptions};
use devmatrix_ml::monitoring::{
    AlertRule, Alerts, Analytics, HostFacts, ModelFacts, MonitorOptions, SharedMonitor,
};
use devmatrix_ml::registry::ModelRegistry;
use devmatrix_ml::routing::{Router, RouterOptions, Thompson};
use devmatrix_ml::serving::{PredictionService, Predictions};
use devmatrix_ml::store::EventStore;
use devmatrix_ml::{Error, ErrorKind, Result, telemetry};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;

/// State shared by all requests.
pub struct Host {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) registry: Arc<dyn ModelRegistry>,
    pub(crate) engineer: FeatureEngineer,
    pub(crate) collector: DataCollector,
    pub(crate) predictions: PredictionService,
    pub(crate) runs: Runs,
    pub(super) router: Mutex<Router>,
    pub(crate) prometheus: PrometheusHandle,
    monitor: SharedMonitor,
    alerts: Mutex<Alerts>,
    noted: Mutex<Noted>,
    learning: AtomicBool,
    stopping: AtomicBool,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("learning", &self.is_learning())
            .field("stopping", &self.is_stopping())
            .finish_non_exhaustive()
    }
}

/// Held while the service learns from its first history, which is a training: no other begins.
pub(crate) struct Learning {
    host: Arc<Host>,
    _turn: OwnedMutexGuard<()>,
}

impl Drop for Learning {
    fn drop(&mut self) {
        self.host.learning.store(false, Ordering::Relaxed);
    }
}

/// Latencies for the monitor, handed over with the next report so that requests do not wait for one.
#[derive(Default)]
struct Noted {
    starts: u64,
    latencies: Vec<Duration>,
}

/// Largest number of latencies buffered between two reports.
const MOST_LATENCIES: usize = 100_000;

impl Host {
    /// Opens the service's state from `store` and `registry`, with the host's own columns among the `features`.
    ///
    /// # Errors
    /// Those of reading the store and the registry.
    pub async fn open(
        store: Arc<dyn EventStore>,
        registry: Arc<dyn ModelRegistry>,
        clock: Arc<dyn Clock>,
        features: FeatureOptions,
    ) -> Result<Arc<Self>> {
        let prometheus = recorder();
        let engineer = FeatureEngineer::new(features);
        let collector = DataCollector::open(store.clone(), engineer.clone(), clock.clone()).await?;
        let predictions = PredictionService::new(collector.history(), engineer.clone(), clock.clone());
        predictions.reload(registry.as_ref()).await?;
        let monitor = SharedMonitor::open(store.as_ref(), MonitorOptions::default()).await?;
        let alerts = Mutex::new(Alerts::new(AlertRule::defaults(), clock.clone(), [])?);
        let router =
            Router::open(Box::new(Thompson::default()), RouterOptions::default(), store.as_ref()).await?;
        let (runs, noted, router) = (Runs::default(), Mutex::default(), Mutex::new(router));
        let host = Self {
            clock,
            store,
            registry,
            engineer,
            collector,
            predictions,
            runs,
            router,
            prometheus,
            monitor,
            alerts,
            noted,
            learning: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        };
        Ok(Arc::new(host))
    }

    /// Predicts `task` with all models; the latency is buffered for the monitor.
    pub(crate) fn predict(&self, task: &TaskContext, reasons: bool) -> Result<Predictions> {
        let timer = Instant::now();
        let predictions = if reasons {
            self.predictions.predict_all(task)
        } else {
            self.predictions.without_explanations().predict_all(task)
        };
        let mut noted = lock(&self.noted);
        if noted.latencies.len() < MOST_LATENCIES {
            noted.latencies.push(timer.elapsed());
        }
        predictions
    }

    /// Reads facts and promotions that other hosts wrote.
    pub(crate) async fn catch_up(&self) -> Result<()> {
        self.collector.checkpoint().await?;
        self.predictions.reload(self.registry.as_ref()).await.map(drop)
    }

    /// Returns the execution context of a training: it is cancelled when the service stops, and uses one
    /// thread, since the others answer requests.
    pub(crate) fn execution(&self) -> Result<ExecutionContext> {
        ExecutionContext::new().with_cancel(self.runs.cancelled_by()).with_threads(1)
    }

    /// Marks the service as learning until the guard is dropped; `None` while a training runs.
    pub(crate) fn begin_learning(self: &Arc<Self>) -> Option<Learning> {
        let turn = self.runs.take_turn()?;
        self.learning.store(true, Ordering::Relaxed);
        Some(Learning { host: Arc::clone(self), _turn: turn })
    }

    pub(crate) fn is_learning(&self) -> bool {
        self.learning.load(Ordering::Relaxed)
    }

    /// Counts a start for the monitor, whether or not it can be recorded.
    pub(crate) fn count_start(&self) {
        lock(&self.noted).starts += 1;
    }

    /// Computes the analytics on a blocking thread.
    pub(crate) async fn analytics(self: &Arc<Self>) -> Result<Analytics> {
        self.monitor.catch_up(self.store.as_ref()).await?;
        let models = ModelFacts::read(self.registry.as_ref()).await?;
        let host = Arc::clone(self);
        let seen = tokio::task::spawn_blocking(move || host.report(&models)).await;
        seen.map_err(|error| {
            Error::new(ErrorKind::Internal, "computing the report failed").with_source(error)
        })
    }

    fn report(&self, models: &ModelFacts) -> Analytics {
        let (now, noted) = (self.clock.now(), std::mem::take(&mut *lock(&self.noted)));
        self.monitor.with(|monitor| {
            monitor.host_started(now, noted.starts);
            noted.latencies.into_iter().for_each(|took| monitor.note_latency(now, took));
        });
        let mut seen = self.monitor.analytics(now, models);
        lock(&self.alerts).check(&mut seen, &HostFacts::default());
        seen
    }

    /// Writes waiting feature vectors and compacts metric samples, once a minute.
    pub(crate) async fn tidy(&self) {
        self.prometheus.run_upkeep();
        if let Err(error) = self.collector.flush_if_due().await {
            eprintln!("feature vectors could not be written: {error:#}");
        }
    }

    /// Marks the service as stopping, and stops background work.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.runs.cancel();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Stores checkpoints, so that the next start need not recompute them; acknowledged facts are durable already.
    pub(crate) async fn close(&self) -> Result<()> {
        self.runs.ended().await;
        self.collector.flush().await?;
        self.collector.checkpoint().await?;
        self.monitor.checkpoint(self.store.as_ref()).await
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the process's metrics recorder, of which there can be only one.
fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let begin = || {
        let builder = PrometheusBuilder::new();
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let bounds = [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0, 10.0, 100.0];
        let builder =
            builder.set_buckets_for_metric(seconds, &bounds).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_ok() {
            telemetry::describe();
        }
        handle
    };
    RECORDER.get_or_init(begin).clone()
}
