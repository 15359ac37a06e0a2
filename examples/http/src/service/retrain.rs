//! `POST /api/ml/retrain`: starts a training on a blocking thread and returns the run to poll.

use super::host::Host;
use super::problem::Problem;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use devmatrix_ml::Error;
use devmatrix_ml::execution::{CancellationToken, Progress};
use devmatrix_ml::training::{Gate, Training, TrainingOptions, TrainingReport};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Number of runs kept.
const KEPT: u64 = 100;

/// Runs since the service started, of which one at a time is running.
#[derive(Default)]
pub(crate) struct Runs {
    turn: Arc<Turn<()>>,
    by_number: Mutex<(u64, BTreeMap<u64, Run>)>,
    cancel: CancellationToken,
}

/// Status of a run.
#[derive(Clone, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Run {
    Running { stage: String, fraction: f64 },
    Done { models: BTreeMap<String, Outcome> },
    Failed { error: String },
}

/// Result for one model.
#[derive(Clone, Serialize)]
struct Outcome {
    version: Option<u64>,
    promoted: bool,
    reasons: Vec<String>,
}

impl Runs {
    /// Cancels the current run.
    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Returns the token that cancels runs.
    pub(crate) fn cancelled_by(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Claims the training slot; `None` while it is taken.
    pub(crate) fn take_turn(&self) -> Option<OwnedMutexGuard<()>> {
        self.turn.clone().try_lock_owned().ok()
    }

    /// Waits until no run is running.
    pub(crate) async fn ended(&self) {
        drop(self.turn.lock().await);
    }

    fn set(&self, number: u64, run: Run) {
        self.lock().1.insert(number, run);
    }

    fn next(&self) -> u64 {
        let mut runs = self.lock();
        runs.0 += 1;
        let number = runs.0;
        runs.1.retain(|old, _| *old + KEPT > number);
        runs.1.insert(number, Run::Running { stage: "waiting".to_owned(), fraction: 0.0 });
        number
    }

    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Run>)> {
        self.by_number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a run: 202 with its number, or 409 while one is running.
pub(crate) async fn begin(State(host): State<Arc<Host>>) -> Result<Response, Problem> {
    let path = "/api/ml/retrain";
    if host.is_stopping() {
        return Err(Problem::new(503, "the service is stopping", path, "try again later"));
    }
    let Some(turn) = host.runs.take_turn() else {
        return Err(Problem::new(409, "a training is running", path, "wait until it is done"));
    };
    let number = host.runs.next();
    let url = format!("{path}/{number}");
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(train(&host, number, turn)));
    let body = json!({ "run": number, "ask": url });
    Ok((StatusCode::ACCEPTED, [(LOCATION, url)], Json(body)).into_response())
}

/// Returns the progress or the result of a run.
pub(crate) async fn show(
    State(host): State<Arc<Host>>,
    uri: Uri,
    run: Result<Path<u64>, PathRejection>,
) -> Result<Response, Problem> {
    let run = run.ok().and_then(|Path(number)| host.runs.lock().1.get(&number).cloned());
    let run = run.ok_or_else(|| {
        let hint = "use the number of a run that POST /api/ml/retrain of this process returned";
        Problem::new(404, "no such run", uri.path(), hint)
    })?;
    Ok(Json(run).into_response())
}

/// Trains all models and serves what was promoted.
async fn train(host: &Arc<Host>, number: u64, turn: OwnedMutexGuard<()>) {
    let watched = Arc::clone(host);
    let tell = move |p: &Progress| {
        watched.runs.set(number, Run::Running { stage: p.stage.clone(), fraction: p.fraction });
    };
    let mut options = TrainingOptions::default();
    options.gate = Gate::refreshing();
    let (store, registry) = (host.store.as_ref(), host.registry.as_ref());
    let training = Training::new(store, registry, &host.engineer, host.clock.as_ref()).with_options(options);
    let ended = async {
        let models = training.with_execution(host.execution()?.with_progress(tell)).run_all().await?;
        host.catch_up().await?;
        Ok::<_, Error>(models)
    };
    let run = match ended.await {
        Ok(models) => {
            let models = models.into_iter().map(|(target, report)| (target.to_string(), outcome(report)));
            Run::Done { models: models.collect() }
        }
        Err(error) => Run::Failed { error: format!("{error:#}") },
    };
    host.runs.set(number, run);
    drop(turn);
}

fn outcome(report: Result<TrainingReport, Error>) -> Outcome {
    match report {
        Ok(report) => {
            let version = Some(report.version.version);
            Outcome { version, promoted: report.promoted, reasons: report.reasons }
        }
        Err(error) => Outcome { version: None, promoted: false, reasons: vec![format!("{error:#}")] },
    }
}
