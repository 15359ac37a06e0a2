//! The training cycle: claim, check, review, train, serve.

use super::report::NightlySummary;
use super::{Engine, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::execution::{CancellationToken, ExecutionContext, block_on};
use crate::models::{SuccessTrainer, Trainer};
use crate::monitoring::Severity;
use crate::training::{NightlyReport, ReplayCache, Training, TrainingSignals};
use chrono::TimeDelta;
use futures_channel::oneshot::{self, Receiver, Sender};
use std::thread;

/// Clocks of hosts differ by less.
const CLOCK_STEP: TimeDelta = TimeDelta::days(1);

/// The name under which cycles are claimed.
const CYCLE: &str = "engine";

/// A training cycle that runs in this process.
#[derive(Debug)]
pub(super) struct Running {
    cancel: CancellationToken,
    ended: Option<Receiver<()>>,
}

impl Running {
    /// Cancels the cycle; what it returns resolves when the cycle has ended.
    pub(super) fn cancel(&mut self) -> Option<Receiver<()>> {
        self.cancel.cancel();
        self.ended.take()
    }
}

/// Marks the cycle as running until it is dropped, also by a panic.
struct Turn {
    engine: Engine,
    _ended: Sender<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        *lock(&self.engine.0.running) = None;
    }
}

/// Cancels a cycle whose future is dropped.
struct CancelOnDrop(Option<CancellationToken>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.cancel();
        }
    }
}

impl Engine {
    /// Runs a training cycle if one is due and no other host is at it: checks the models in production
    /// since they were trained and rolls back the ones that fell below their evidence, reviews challengers
    /// on trial, trains the models of which [enough](crate::training::TrainingOptions::retrain_growth) is new, promotes what
    /// the gate lets pass, serves it, and stores what was learned. Called by the host's own scheduler, at 02:00 or every few minutes, on every host.
    ///
    /// Fitting takes seconds to minutes. It runs on a thread that is started for it and ends with it; the
    /// executor goes on meanwhile. A cycle whose future is dropped is cancelled and gives its claim back,
    /// as one that is cancelled by [`close`](Engine::close) does.
    ///
    /// # Errors
    /// `Cancelled`; those of the store and the registry. A model that cannot be trained is reported in
    /// the summary.
    pub async fn run_nightly(&self) -> Result<NightlySummary> {
        self.run_nightly_with(ExecutionContext::new()).await
    }

    /// Runs a training cycle within `execution`, which limits its threads, receives its progress and can
    /// cancel it.
    ///
    /// # Errors
    /// Those of [`run_nightly`](Self::run_nightly).
    pub async fn run_nightly_with(&self, execution: ExecutionContext) -> Result<NightlySummary> {
        let Some(turn) = self.turn(&execution) else { return Ok(elsewhere()) };
        let (tell, told) = oneshot::channel();
        let mut cancel = CancelOnDrop(Some(execution.cancellation().clone()));
        let cycle = move || {
            let summary = block_on(turn.engine.cycle(&execution));
            // Before it is told, so that who hears of the end may begin another.
            drop(turn);
            drop(tell.send(summary));
        };
        thread::Builder::new().name("devmatrix-nightly".to_owned()).spawn(cycle).map_err(|e| {
            Error::new(ErrorKind::Unavailable, "no thread can be started for training").with_source(e)
        })?;
        let summary = told.await;
        cancel.0 = None;
        summary.unwrap_or_else(|_| Err(Error::internal("the thread of the training cycle broke off")))
    }

    fn turn(&self, execution: &ExecutionContext) -> Option<Turn> {
        let mut running = lock(&self.0.running);
        if running.is_some() {
            return None;
        }
        let (sender, ended) = oneshot::channel();
        *running = Some(Running { cancel: execution.cancellation().clone(), ended: Some(ended) });
        Some(Turn { engine: self.clone(), _ended: sender })
    }

    async fn cycle(&self, execution: &ExecutionContext) -> Result<NightlySummary> {
        let inner = &self.0;
        let (registry, clock) = (inner.registry.as_ref(), inner.clock.as_ref());
        self.catch_up().await?;
        let (outcomes, drift) = (inner.learner.outcomes(), self.has_drifted().await?);
        let signals = TrainingSignals { outcomes, drift };
        // Read once for all models, and let go of with the cycle.
        let replay = ReplayCache::default();
        let training = self.training(execution).with_replay(&replay);
        let Some(claim) = inner.schedule.claim(&training, CYCLE, signals).await? else {
            let next = inner.schedule.next(clock.now()).format("%Y-%m-%d %H:%M UTC");
            return Ok(NightlySummary::skipped(format!(
                "not due, or another host is at it; the next cycle is due at {next}"
            )));
        };
        let due = claim.due;
        let trained = train(&training.with_claim(&claim)).await;
        let concluded = claim.conclude(&trained).await;
        let models = trained?;
        concluded?;
        let changes = inner.service.reload(registry).await?;
        self.checkpoint().await?;
        Ok(NightlySummary { due: Some(due), skipped: None, models, changes })
    }

    /// Whether critical drift was found since the last training.
    async fn has_drifted(&self) -> Result<bool> {
        let versions = self.0.registry.versions(SuccessTrainer::default().name()).await?;
        let now = self.0.clock.now();
        // A version of a host whose clock is ahead says nothing of when it was trained.
        let trained =
            versions.iter().rev().map(|version| version.created_at).find(|at| *at <= now + CLOCK_STEP);
        Ok(self.0.learner.monitor(|monitor| {
            let mut critical = monitor.findings().iter().filter(|f| f.severity == Severity::Critical);
            critical.any(|finding| Some(finding.found_at) > trained)
        }))
    }

    fn training(&self, execution: &ExecutionContext) -> Training<'_> {
        let inner = &self.0;
        let (store, registry) = (inner.store.as_ref(), inner.registry.as_ref());
        let training = Training::new(store, registry, &inner.engineer, inner.clock.as_ref())
            .with_options(inner.training.clone())
            .with_execution(execution.clone());
        let training = match &inner.trackers {
            Some(trackers) => training.with_tracker(trackers.as_ref()),
            None => training,
        };
        inner.trainers.iter().cloned().fold(training, Training::with_trainer)
    }
}

/// Trains all models. A model that cannot be trained is reported; that the cycle was cancelled, or the storage is
/// gone, ends it.
async fn train(training: &Training<'_>) -> Result<Vec<NightlyReport>> {
    let cycles = Box::pin(training.run_nightly()).await?;
    let report = |report: Result<NightlyReport>| match report? {
        NightlyReport { trained: Err(e), .. }
            if matches!(e.kind(), ErrorKind::Cancelled | ErrorKind::Unavailable) =>
        {
            Err(e)
        }
        report => Ok(report),
    };
    cycles.into_iter().map(|(_, cycle)| report(cycle)).collect()
}

fn elsewhere() -> NightlySummary {
    NightlySummary::skipped("another one is running in this process")
}
