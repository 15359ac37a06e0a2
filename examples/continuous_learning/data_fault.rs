//! A data fault: for ten days approvals and rejections are swapped, and a model trained on them is deployed
//! without the gate. The post-deployment check rolls it back; the gate rejects the next one.

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::event::{GenerationEvent, Record, UserAction};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::SuccessTrainer;
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStore, MemoryStore};
use devmatrix_ml::training::{Gate, ReplayCache, Training, TrainingOptions};
use std::sync::Arc;

const FAULT: std::ops::Range<i64> = 20..30;
const LAST_DAY: i64 = 50;

/// Runs the scenario and prints each decision.
pub(crate) async fn show(seed: u64) -> anyhow::Result<()> {
    let mut world = World::new(seed)?;
    println!(
        "\nA data fault: from day {} to day {} approvals and rejections are swapped.",
        FAULT.start, FAULT.end
    );
    world.advance_to(FAULT.start).await?;
    world.train("trained through the gate", usual()).await?;
    world.advance_to(FAULT.end).await?;
    world.train("trained on the faulty days, deployed without the gate", without_gate()).await?;
    for day in FAULT.end + 1..=LAST_DAY {
        world.advance_to(day).await?;
        if world.watch().await? {
            let mut again = without_gate();
            again.gate = usual().gate;
            return world.train("trained on the faulty days again, through the gate", again).await;
        }
    }
    Ok(())
}

fn usual() -> TrainingOptions {
    let mut options = TrainingOptions::default();
    options.gate = Gate::refreshing();
    options
}

/// Trains on about the last week, without comparing to the champion or the baselines.
fn without_gate() -> TrainingOptions {
    let mut options = usual();
    (options.max_rows, options.gate.champion, options.gate.baselines) = (450, false, false);
    options
}

struct World {
    start: DateTime<Utc>,
    clock: ManualClock,
    store: MemoryStore,
    registry: MemoryRegistry,
    engineer: FeatureEngineer,
    replay: ReplayCache,
    records: std::iter::Peekable<std::vec::IntoIter<Record>>,
}

impl World {
    fn new(seed: u64) -> anyhow::Result<Self> {
        let mut options = SimulatorOptions::default();
        (options.days, options.per_day, options.seed) = (LAST_DAY as u32, 60.0, seed);
        (options.drift_day, options.new_model_day) = (None, None);
        let (start, clock) = (options.start, ManualClock::at(options.start));
        let mut records = Vec::new();
        for event in Simulator::new(options)?.map(Generation::into_event) {
            records.extend(with_fault(event, start).into_records()?);
        }
        records.sort_by_cached_key(|r| (r.known_at(), r.key()));
        let registry = MemoryRegistry::new().with_clock(Arc::new(clock.clone()));
        let (store, engineer, replay) =
            (MemoryStore::new(), FeatureEngineer::default(), ReplayCache::default());
        Ok(Self { start, clock, store, registry, engineer, replay, records: records.into_iter().peekable() })
    }

    async fn advance_to(&mut self, day: i64) -> devmatrix_ml::Result<()> {
        self.clock.set(self.start + TimeDelta::days(day));
        let now = self.clock.now();
        let known: Vec<_> = std::iter::from_fn(|| self.records.next_if(|r| r.known_at() <= now)).collect();
        self.store.append(known).await.map(drop)
    }

    fn training(&self, options: TrainingOptions) -> Training<'_> {
        let training = Training::new(&self.store, &self.registry, &self.engineer, &self.clock);
        training.with_options(options).with_replay(&self.replay)
    }

    async fn train(&self, how: &str, options: TrainingOptions) -> anyhow::Result<()> {
        let done = self.training(options).run(&SuccessTrainer::default()).await?;
        let outcome = if done.promoted { "promoted" } else { "not promoted" };
        println!("  day {}: version {} {how}: {outcome}", self.day(), done.version.version);
        done.reasons.iter().for_each(|reason| println!("    {reason}"));
        Ok(())
    }

    /// Checks the version in production; returns true where it was rolled back.
    async fn watch(&self) -> anyhow::Result<bool> {
        let check = self.training(usual()).watch(&SuccessTrainer::default()).await?;
        let Some((check, to)) = check.and_then(|check| check.rolled_back_to.map(|to| (check, to))) else {
            return Ok(false);
        };
        println!("  day {}: version {} rolled back to version {to}", self.day(), check.version);
        check.reasons.iter().for_each(|reason| println!("    {reason}"));
        Ok(true)
    }

    fn day(&self) -> i64 {
        (self.clock.now() - self.start).num_days()
    }
}

/// Swaps approval and rejection in feedback of events that start during the fault.
fn with_fault(mut event: GenerationEvent, start: DateTime<Utc>) -> GenerationEvent {
    if FAULT.contains(&(event.started.known_at - start).num_days()) {
        for feedback in &mut event.feedback {
            let action = &mut feedback.value.user_action;
            *action = if *action == UserAction::Approve { UserAction::Reject } else { UserAction::Approve };
        }
    }
    event
}
