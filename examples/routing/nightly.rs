//! The success model, retrained regularly, for the policy that uses its predictions.

use super::scenarios::PER_DAY;
use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::models::SuccessTrainer;
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::routing::Choice;
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::simulate::Generation;
use devmatrix_ml::store::{EventStoreExt, MemoryStore};
use devmatrix_ml::training::{Gate, Training, TrainingOptions};
use futures_executor::block_on;
use std::sync::Arc;

/// Generations between two training runs.
const INTERVAL: f64 = 2000.0;

pub(crate) struct Nightly {
    pub(crate) service: PredictionService,
    store: MemoryStore,
    registry: MemoryRegistry,
    history: Arc<SharedHistory>,
    clock: ManualClock,
    due: Option<DateTime<Utc>>,
}

impl Nightly {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let clock = ManualClock::at("2025-01-06T00:00:00Z".parse()?);
        let history = Arc::new(SharedHistory::new());
        let service =
            PredictionService::new(history.clone(), FeatureEngineer::default(), Arc::new(clock.clone()));
        let (store, registry) = (MemoryStore::new(), MemoryRegistry::new());
        Ok(Self { service, store, registry, history, clock, due: None })
    }

    /// Sets the clock, and trains where a run is due.
    pub(crate) fn train_if_due(&mut self, now: DateTime<Utc>) -> anyhow::Result<()> {
        self.clock.set(now);
        let interval = TimeDelta::minutes((INTERVAL / PER_DAY * 1440.0) as i64);
        let due = *self.due.get_or_insert(now + interval / 2);
        if now < due {
            return Ok(());
        }
        self.due = Some(now + interval);
        let mut options = TrainingOptions::default();
        options.gate = Gate::refreshing();
        let (trainer, engineer) = (SuccessTrainer::default(), FeatureEngineer::default());
        let training =
            Training::new(&self.store, &self.registry, &engineer, &self.clock).with_options(options);
        if let Err(error) = block_on(training.run(&trainer)) {
            eprintln!("not trained: {error:#}");
        }
        block_on(self.service.reload(&self.registry))?;
        Ok(())
    }

    pub(crate) fn started(&self, generation: &Generation, choice: &Choice) -> anyhow::Result<()> {
        let mut event = generation.clone().into_event();
        event.started.value = choice.started();
        self.take(event.into_records()?.into_iter().take(1).collect())
    }

    pub(crate) fn known(&self, generation: &Generation, ended: bool) -> anyhow::Result<()> {
        let mut records = generation.clone().into_records()?.into_iter().skip(if ended { 1 } else { 2 });
        self.take(records.next().into_iter().collect())
    }

    fn take(&self, records: Vec<devmatrix_ml::event::Record>) -> anyhow::Result<()> {
        self.history.apply(&records);
        block_on(self.store.append_all(records))?;
        Ok(())
    }
}
