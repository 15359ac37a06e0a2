//! Label noise: feedback flipped by one user or for one agent, its cost in AUC, and whether it is reported.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::dataset::{DatasetBuilder, Example, Target};
use devmatrix_ml::event::{EventId, GenerationEvent, Record, UserAction};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::ml::metrics::BinaryScores;
use devmatrix_ml::models::open_artefact;
use devmatrix_ml::models::{Predictor, SuccessModel, SuccessTrainer};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry};
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStore, MemoryStore};
use devmatrix_ml::training::{Training, TrainingReport};
use futures_executor::block_on;
use std::collections::{HashMap, HashSet};

/// A person who gives feedback, or an agent that is given it.
#[derive(Debug, Clone, Copy)]
enum SourceKind {
    User,
    Agent,
}

/// Share of all feedback that is flipped.
const POISON: f64 = 0.10;

/// Generations of a world with their true probabilities.
struct World {
    events: Vec<GenerationEvent>,
    probabilities: HashMap<EventId, f64>,
}

fn world(seed: u64) -> World {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.users, options.seed) = (70, 60.0, 10, seed);
    (options.drift_day, options.new_model_day) = (None, None);
    let mut probabilities = HashMap::new();
    let events = Simulator::new(options)
        .unwrap()
        .map(|generation| {
            let truth = generation.probability;
            let event = generation.into_event();
            probabilities.insert(event.event_id.clone(), truth);
            event
        })
        .collect();
    World { events, probabilities }
}

fn name_of(event: &GenerationEvent, kind: SourceKind) -> Option<String> {
    let context = &event.started.value.context;
    match kind {
        SourceKind::User => context.user_id.as_ref().map(|id| id.as_str().to_owned()),
        SourceKind::Agent => context.agent_type.clone(),
    }
}

/// Swaps approvals and rejections of the source with the most feedback, until a tenth of all feedback is flipped.
/// Returns the name of that source.
fn poison(events: &mut [GenerationEvent], kind: SourceKind) -> String {
    let mut counts = HashMap::<String, usize>::new();
    for event in events.iter().filter(|e| !e.feedback.is_empty()) {
        *counts.entry(name_of(event, kind).unwrap()).or_default() += 1;
    }
    let (name, own) = counts.iter().max_by_key(|(name, n)| (**n, *name)).unwrap();
    let all = counts.values().sum::<usize>() as f64;
    let every = (*own as f64 / (POISON * all)).max(1.0);
    let mut due = 0.0;
    for event in events.iter_mut().filter(|e| !e.feedback.is_empty()) {
        if name_of(event, kind).as_ref() != Some(name) {
            continue;
        }
        due += 1.0;
        if due < every {
            continue;
        }
        due -= every;
        for feedback in &mut event.feedback {
            let action = &mut feedback.value.user_action;
            *action = if *action == UserAction::Approve { UserAction::Reject } else { UserAction::Approve };
        }
    }
    name.clone()
}

fn records(events: &[GenerationEvent]) -> Vec<Record> {
    let mut records: Vec<_> = events.iter().flat_map(|e| e.clone().into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    records
}

/// Expected AUC of a model: on all generations, and on those of other sources.
struct Auc {
    all: f64,
    others: f64,
}

/// Trains on the first four fifths of `events`, and scores on the rest.
fn trained(world: &World, events: &[GenerationEvent], source: &str) -> (TrainingReport, Auc) {
    let cut = events.len() * 4 / 5;
    let train = records(&events[..cut]);
    let clock = ManualClock::at(train.last().unwrap().known_at());
    let (store, registry) = (MemoryStore::new(), MemoryRegistry::new());
    let engineer = FeatureEngineer::default();
    let mut builder = DatasetBuilder::new(engineer.clone());
    records(events).iter().for_each(|record| builder.apply(record));
    block_on(store.append(train)).unwrap();
    let training = Training::new(&store, &registry, &engineer, &clock);
    let trainer = SuccessTrainer::default();
    let report = block_on(training.run(&trainer)).unwrap();
    let bytes = block_on(registry.artefact("success", report.version.version)).unwrap();
    let model = open_artefact(&trainer, &bytes).unwrap();
    let rows = builder.rows(Target::Success, "2030-01-01T00:00:00Z".parse().unwrap(), usize::MAX);
    let first = world.events[cut..].iter().map(|e| e.started.known_at).min().unwrap();
    let later = || rows.examples.iter().filter(|e| e.started_at >= first);
    let is_theirs = |e: &&GenerationEvent| {
        [SourceKind::User, SourceKind::Agent].iter().any(|kind| name_of(e, *kind).as_deref() == Some(source))
    };
    let theirs: HashSet<_> = world.events.iter().filter(is_theirs).map(|e| &e.event_id).collect();
    let own = |e: &&Example| theirs.contains(&e.event_id);
    let auc = |examples: &mut dyn Iterator<Item = &Example>| expected_auc(world, &model, examples);
    let all = auc(&mut later());
    (report, Auc { all, others: auc(&mut later().filter(|e| !own(e))) })
}

/// Returns what a training reports of sources whose labels contradict the others'.
fn label_noise(report: &TrainingReport) -> Vec<&String> {
    report.reasons.iter().filter(|reason| reason.starts_with("label noise: ")).collect()
}

fn named(kind: SourceKind, name: &str) -> String {
    format!("label noise: {} {name}: ", format!("{kind:?}").to_lowercase())
}

/// Returns the AUC with outcomes drawn from the true probabilities.
fn expected_auc(world: &World, model: &SuccessModel, examples: &mut dyn Iterator<Item = &Example>) -> f64 {
    let (mut points, mut outcomes, mut state) = (Vec::new(), Vec::new(), 1_u64);
    for example in examples {
        let point = model.point(&example.features);
        for _ in 0..20 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let uniform = (state >> 11) as f64 / (1_u64 << 53) as f64;
            points.push(point);
            outcomes.push(uniform < world.probabilities[&example.event_id]);
        }
    }
    BinaryScores::of(&points, &outcomes).unwrap().auc.unwrap()
}

/// Returns the mean loss of AUC in four worlds. Asserts that the source is reported in each, and nobody without
/// flipped feedback.
fn cost(kind: SourceKind) -> Auc {
    let mut cost = Auc { all: 0.0, others: 0.0 };
    for seed in 1..=4 {
        let world = world(seed);
        let mut events = world.events.clone();
        let source = poison(&mut events, kind);
        let (clean, before) = trained(&world, &world.events, &source);
        let (poisoned, after) = trained(&world, &events, &source);
        println!(
            "{kind:?} {source}: AUC {:.4} -> {:.4}, of others {:.4} -> {:.4}; {}",
            before.all,
            after.all,
            before.others,
            after.others,
            label_noise(&poisoned)[0]
        );
        assert_eq!(label_noise(&clean), [] as [&String; 0]);
        let found = label_noise(&poisoned)[0];
        assert!(found.starts_with(&named(kind, &source)), "{found}");
        cost.all += (before.all - after.all) / 4.0;
        cost.others += (before.others - after.others) / 4.0;
    }
    println!("{kind:?}: {:.4} on all, {:.4} on those of others", cost.all, cost.others);
    cost
}

#[test]
fn flipped_feedback_of_one_user_costs_little_auc_and_is_reported() {
    let cost = cost(SourceKind::User);
    assert!(cost.all <= 0.01 && cost.others <= 0.01);
}

/// An agent's outcomes are defined by its feedback: with a third of it flipped, the model predicts the flipped
/// labels. Other agents must not be affected.
#[test]
fn flipped_feedback_of_one_agent_costs_others_little_auc_and_is_reported() {
    assert!(cost(SourceKind::Agent).others <= 0.01);
}

/// The stored report outlives the user's erasure, so it has no name.
#[test]
fn the_name_of_an_anomalous_labeler_is_reported_but_not_stored() {
    let world = world(1);
    let mut events = world.events.clone();
    let source = poison(&mut events, SourceKind::User);
    let (report, _) = trained(&world, &events, &source);
    let reported = label_noise(&report)[0];
    assert!(reported.starts_with(&named(SourceKind::User, &source)), "{reported}");
    assert!(!report.version.report.to_string().contains(&source));
}
