//! The router and the prediction service tell one probability, and intervals mean what they say.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, TimeDelta, Utc};
use common::{anything, small};
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::dataset::{Dataset, DatasetBuilder, Target};
use devmatrix_ml::event::{Completion, Feedback, Record, TaskContext, TaskId, UserAction};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{
    ComplexityTrainer, Estimate, Predictor, QualityTrainer, SuccessPrediction, SuccessTrainer, TimeTrainer,
    Trainer,
};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry};
use devmatrix_ml::routing::{Boosted, Candidate, Choice, Posterior, Request, Router, RouterOptions};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStore, EventStoreExt, MemoryStore};
use devmatrix_ml::training::{Gate, Training, TrainingOptions};
use futures_executor::block_on;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

const KINDS: [&str; 3] = ["documentation", "backend", "database"];

/// The true probability that the user approves: database work is rarely taken as it is, unless the
/// stronger LLM does it.
fn truth(task: &TaskContext) -> f64 {
    let stronger = task.model_used.as_deref() == Some("claude-opus-5");
    match task.task_type.as_deref() {
        Some("documentation") => 0.9,
        Some("backend") => 0.7,
        _ if stronger => 0.8,
        _ => 0.2,
    }
}

fn task(i: u64) -> TaskContext {
    let kind = KINDS[(i % 3) as usize];
    let mut task = TaskContext::new(TaskId::new(format!("TASK-{i}")).unwrap());
    task.task_type = Some(kind.into());
    task.task_description = format!("Write the {kind} part of feature {}", i % 17);
    task.language = Some("python".into());
    task.agent_type = Some("implementation".into());
    task.temperature = Some(0.1);
    task
}

/// A host that routes by the boosted policy, records, and trains when it is told.
struct Host {
    collector: DataCollector,
    service: PredictionService,
    store: Arc<dyn EventStore>,
    registry: MemoryRegistry,
    router: Router,
    candidates: Vec<Candidate>,
    clock: ManualClock,
    done: u64,
    /// By kind of task and candidate, how often it was chosen.
    chosen: BTreeMap<(String, usize), u32>,
}

impl Host {
    fn new() -> Self {
        let clock = ManualClock::at("2025-03-03T09:00:00Z".parse().unwrap());
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let collector =
            block_on(DataCollector::open(store.clone(), FeatureEngineer::default(), time.clone())).unwrap();
        let service = PredictionService::new(collector.history(), FeatureEngineer::default(), time);
        let router = Router::new(Box::new(Boosted::default()), RouterOptions::default()).unwrap();
        let llms = [("claude-sonnet-4.5", 0.009), ("claude-opus-5", 0.020), ("gpt-4.1-mini", 0.002)];
        let candidates = llms.map(|(llm, price)| Candidate::by_llm(llm).with_price(price)).into();
        let registry = MemoryRegistry::new();
        Self {
            collector,
            service,
            store,
            registry,
            router,
            candidates,
            clock,
            done: 0,
            chosen: BTreeMap::new(),
        }
    }

    fn choose(&mut self) -> Choice {
        let task = task(self.done);
        let mut request = Request::new(&task, &self.candidates, self.clock.now());
        request.default = Some("claude-sonnet-4.5");
        self.router.choose_predicted(&self.service, &request).unwrap()
    }

    /// Chooses, records, and lets the router learn what the user said.
    fn live(&mut self, generations: u64) {
        for _ in 0..generations {
            let choice = self.choose();
            let event = block_on(self.collector.start(choice.started())).unwrap();
            self.clock.advance(TimeDelta::minutes(10));
            block_on(self.collector.complete(&event, Completion::default())).unwrap();
            self.clock.advance(TimeDelta::minutes(20));
            let at = choice.arms.iter().position(|arm| arm.name == choice.decision.chosen).unwrap();
            *self.chosen.entry((choice.task.task_type.clone().unwrap(), at)).or_default() += 1;
            let lucky = luck(self.done) < truth(&choice.task);
            let said = Feedback::new(if lucky { UserAction::Approve } else { UserAction::Reject });
            block_on(self.collector.feedback(&event, said)).unwrap();
            self.router.feedback(&block_on(self.store.event(&event)).unwrap());
            self.done += 1;
        }
    }

    /// Trains, and serves what was trained, whatever the gate says of it.
    fn train(&self) {
        let options = TrainingOptions::default();
        let (trainer, engineer) = (SuccessTrainer::default(), FeatureEngineer::default());
        let training =
            Training::new(self.store.as_ref(), &self.registry, &engineer, &self.clock).with_options(options);
        let trained = training.run(&trainer);
        let (version, before) = (block_on(trained).unwrap().version.version, self.production());
        if before != Some(version) {
            block_on(self.registry.promote("success", version, before)).unwrap();
        }
        block_on(self.service.reload(&self.registry)).unwrap();
    }

    fn production(&self) -> Option<u64> {
        block_on(self.registry.production("success")).unwrap().map(|version| version.version)
    }

    /// What the router believes of what it chose most for such a task, what the service predicts of it, and
    /// the truth.
    fn compare(&mut self) -> (Posterior, SuccessPrediction, f64) {
        let choice = self.choose();
        let kind = choice.task.task_type.clone().unwrap();
        let most = (0..3).max_by_key(|at| self.chosen.get(&(kind.clone(), *at))).unwrap();
        let task = self.candidates[most].plan.apply(&choice.task);
        let posterior = self.router.policy().posteriors(&choice.arms[most..=most])[0];
        (posterior, self.service.predict_success(&task).unwrap(), truth(&task))
    }
}

/// A number in [0, 1) for each task; of each kind, every tenth of the range comes equally often, in an order that neither
/// the hour nor the number of the feature gives away.
fn luck(i: u64) -> f64 {
    let (kind, nth) = (i % 3, i / 3);
    let mut tenths: Vec<u32> = (0..10).collect();
    tenths.shuffle(&mut Pcg64Mcg::seed_from_u64((kind << 32) | (nth / 10)));
    f64::from(tenths[(nth % 10) as usize]) / 10.0 + 0.05
}

/// Directly after the first model went live, after it has met outcomes, and after newer versions did.
#[test]
fn router_and_service_agree_within_their_intervals() {
    let mut host = Host::new();
    for (round, generations) in [400, 60, 300, 300].into_iter().enumerate() {
        host.live(generations);
        if round != 1 {
            host.train();
        }
        for _ in 0..3 {
            let (belief, predicted, truth) = host.compare();
            host.done += 1;
            let (p, (low, high)) = (predicted.success_probability, predicted.interval);
            let what = format!("round {round}: {belief:?}, predicted {p} in {low} to {high}, true {truth}");
            println!("{what}");
            assert!(predicted.model_version > 0);
            assert!((low..=high).contains(&belief.success), "outside of the service's interval: {what}");
            assert!((belief.low..=belief.high).contains(&p), "outside of the router's interval: {what}");
            assert!((belief.success - truth).abs() < 0.15 && (p - truth).abs() < 0.15, "{what}");
        }
    }
}

/// What the router learned is carried over a restart, from bytes and from the store alone.
#[test]
fn a_router_taken_up_again_is_equal_to_the_byte() {
    let mut host = Host::new();
    host.live(200);
    host.train();
    host.live(100);
    host.train();
    host.live(50);
    let saved = host.router.save().unwrap();
    let fresh = || Router::new(Box::new(Boosted::default()), RouterOptions::default()).unwrap();
    let mut restored = fresh();
    restored.restore(&saved).unwrap();
    assert_eq!(restored.save().unwrap(), saved);
    let policy = Box::new(Boosted::default());
    let opened = block_on(Router::open(policy, RouterOptions::default(), host.store.as_ref())).unwrap();
    assert_eq!(opened.policy().save().unwrap(), host.router.policy().save().unwrap());
}

/// A simulated past, and what comes after it with the truth.
struct World {
    builder: DatasetBuilder,
    now: DateTime<Utc>,
    coming: Vec<Generation>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut options = SimulatorOptions::default();
        (options.days, options.per_day, options.seed) = (120, 30.0, seed);
        (options.drift_day, options.new_model_day) = (None, None);
        let now = options.start + TimeDelta::days(90);
        let started = |g: &Generation| g.context.started_at.unwrap();
        let (past, coming): (Vec<_>, Vec<_>) =
            Simulator::new(options).unwrap().partition(|g| started(g) < now);
        let mut records: Vec<Record> = past.into_iter().flat_map(|g| g.into_records().unwrap()).collect();
        records.retain(|record| record.known_at() <= now);
        records.sort_by_cached_key(|r| (r.known_at(), r.key()));
        let mut builder = DatasetBuilder::new(FeatureEngineer::default());
        records.iter().for_each(|r| builder.apply(r));
        Self { builder, now, coming }
    }

    fn data(&self, target: Target) -> Dataset {
        self.builder.rows(target, self.now, 10_000)
    }
}

/// Tasks that count as predicted alike.
const ALIKE: usize = 150;

/// The interval is for the true success rate of tasks predicted alike: that rate is known here.
#[test]
fn the_interval_covers_the_true_rate_of_tasks_predicted_alike() {
    let (mut covered, mut own, mut rows, mut ends) = (0, 0, 0, 0);
    for seed in 1..=4 {
        let world = World::new(seed);
        let model = SuccessTrainer::default().fit(&world.data(Target::Success)).unwrap();
        let mut found: Vec<_> = world
            .coming
            .iter()
            .map(|g| (model.predict(&world.builder.look(&g.context, world.now)), g.probability))
            .collect();
        found.sort_by(|a, b| a.0.success_probability.total_cmp(&b.0.success_probability));
        for (at, (predicted, truth)) in found.iter().enumerate() {
            let from = at.saturating_sub(ALIKE / 2).min(found.len() - ALIKE);
            let rate = found[from..from + ALIKE].iter().map(|(_, truth)| truth).sum::<f64>() / ALIKE as f64;
            let (low, high) = predicted.interval;
            covered += u32::from((low..=high).contains(&rate));
            own += u32::from((low..=high).contains(truth));
            ends += u32::from([low, high].contains(&predicted.success_probability));
            rows += 1;
        }
    }
    let share = |n: u32| f64::from(n) / f64::from(rows);
    println!("covered {:.3}, a task's own probability {:.3}, of {rows}", share(covered), share(own));
    assert!((0.85..=0.995).contains(&share(covered)), "{}", share(covered));
    assert_eq!(ends, 0, "the probability is an end of its interval");
}

static WORLD: LazyLock<World> = LazyLock::new(|| World::new(7));

/// Every point lies in its intervals, the narrower in the wider.
fn nested(estimate: &Estimate) -> Result<(), TestCaseError> {
    let (value, (low, high), (lowest, highest)) =
        (estimate.value, estimate.interval_80, estimate.interval_90);
    prop_assert!(lowest <= low && low <= value && value <= high && high <= highest, "{estimate:?}");
    Ok(())
}

fn within(found: &SuccessPrediction) -> Result<(), TestCaseError> {
    let p = found.success_probability;
    for (low, high) in std::iter::once(found.interval).chain(found.venn_abers) {
        prop_assert!((0.0..=p).contains(&low) && (p..=1.0).contains(&high), "{found:?}");
    }
    Ok(())
}

/// A service that knows as much of the past as `world`, with its models or without.
fn service(trained: bool) -> PredictionService {
    let history = devmatrix_ml::history::SharedHistory::new();
    let store = MemoryStore::new();
    let mut records: Vec<Record> =
        small::events(60, 20.0, 5).into_iter().flat_map(|event| event.into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    history.apply(&records);
    let clock = ManualClock::at(records.last().unwrap().known_at() + TimeDelta::hours(1));
    block_on(store.append(records)).unwrap();
    let service =
        PredictionService::new(Arc::new(history), FeatureEngineer::default(), Arc::new(clock.clone()));
    if trained {
        let (registry, engineer) = (MemoryRegistry::new(), FeatureEngineer::default());
        let mut options = TrainingOptions::default();
        options.gate = Gate::refreshing();
        let training = Training::new(&store, &registry, &engineer, &clock).with_options(options);
        block_on(training.run(&SuccessTrainer::default())).unwrap();
        block_on(training.run(&ComplexityTrainer::default())).unwrap();
        block_on(training.run(&TimeTrainer::default())).unwrap();
        block_on(training.run(&QualityTrainer::default())).unwrap();
        block_on(service.reload(&registry)).unwrap();
    }
    service
}

static SERVICES: LazyLock<[PredictionService; 2]> = LazyLock::new(|| [service(false), service(true)]);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_point_lies_in_its_intervals(task in anything::context(), own in any::<bool>(), at in 0_usize..500) {
        let task = if own { WORLD.coming[at].context.clone() } else { task };
        for service in SERVICES.iter() {
            let found = service.without_explanations().predict_all(&task).unwrap();
            within(&found.success)?;
            nested(&found.complexity.estimate)?;
            nested(&found.time.estimate)?;
            nested(&found.quality.estimate)?;
        }
    }
}
