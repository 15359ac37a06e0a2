//! Several hosts on one PostgreSQL: two that record, one that predicts, one that trains, and one of them
//! killed again and again.
//!
//! The hosts are this test program again: it runs its own ignored tests as children.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::server::{options, url};
use common::world::store_of;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::dataset::Target;
use devmatrix_ml::event::{Fact, Record, TaskContext};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::models::open_artefact;
use devmatrix_ml::models::{SuccessParams, SuccessTrainer};
use devmatrix_ml::postgres::Postgres;
use devmatrix_ml::registry::{ModelRegistry, PostgresRegistry};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::store::{Appended, EventStore, MemoryStore, PostgresStore, ScanOrder};
use devmatrix_ml::training::{Training, TrainingOptions, TrainingSchedule, TrainingSignals, replay};
use devmatrix_ml::{ErrorKind, event::EventId};
use futures_executor::block_on;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const SCHEMA: &str = "DEVMATRIX_TEST_SCHEMA";
const KILLS: u64 = 50;

/// Simulates the facts of all hosts; the clock stands after them.
fn world() -> (Vec<Record>, ManualClock) {
    let (memory, clock) = store_of(20, 40.0, 5);
    (block_on(memory.scan(ScanOrder::Known, None, usize::MAX)).unwrap().records, clock)
}

fn connect(schema: String) -> Postgres {
    let mut options = options();
    options.schema = schema;
    block_on(Postgres::connect(&url().unwrap(), options)).unwrap()
}

/// Connects to the database of the parent; `None` where the test is not run as a child.
fn given() -> Option<Postgres> {
    std::env::var(SCHEMA).ok().map(connect)
}

/// Appends `records` in batches; facts that others wrote meanwhile are duplicates.
fn record(store: &PostgresStore, records: &[Record], batch: usize) {
    for records in records.chunks(batch) {
        let appended = block_on(store.append(records.to_vec())).unwrap();
        assert!(appended.iter().all(|a| matches!(a, Appended::New | Appended::Duplicate)), "{appended:?}");
    }
}

#[test]
#[ignore = "a child of `killed_hosts_leave_the_state_of_a_single_host`"]
fn child_records_the_first_part() {
    let Some(database) = given() else { return };
    let (records, _) = world();
    record(&PostgresStore::new(&database), &records[..records.len() * 2 / 3], 7);
}

#[test]
#[ignore = "a child of `killed_hosts_leave_the_state_of_a_single_host`"]
fn child_records_the_last_part_backwards() {
    let Some(database) = given() else { return };
    let (mut records, _) = world();
    records.reverse();
    record(&PostgresStore::new(&database), &records[..records.len() * 2 / 3], 11);
}

#[test]
#[ignore = "a child of `killed_hosts_leave_the_state_of_a_single_host`"]
fn child_predicts_until_killed() {
    let Some(database) = given() else { return };
    let (store, registry) = (PostgresStore::new(&database), PostgresRegistry::new(&database));
    let (records, clock) = world();
    let history = Arc::new(block_on(SharedHistory::open(&store)).unwrap());
    let service = PredictionService::new(history.clone(), FeatureEngineer::default(), Arc::new(clock));
    for task in tasks(&records).iter().cycle() {
        block_on(store.news(Duration::from_millis(20)));
        block_on(history.catch_up(&store)).unwrap();
        block_on(service.reload(&registry)).unwrap();
        let prediction = service.predict_success(task).unwrap();
        assert!((0.0..=1.0).contains(&prediction.success_probability));
        block_on(history.checkpoint(&store)).unwrap();
    }
}

#[test]
#[ignore = "a child of `killed_hosts_leave_the_state_of_a_single_host`"]
fn child_trains_until_killed() {
    let Some(database) = given() else { return };
    let (store, registry) = (PostgresStore::new(&database), PostgresRegistry::new(&database));
    let (_, clock) = world();
    let engineer = FeatureEngineer::default();
    let mut options = TrainingOptions::default();
    (options.gate.champion, options.gate.baselines) = (false, false);
    let trainer = quick();
    let mut schedule = TrainingSchedule::default();
    schedule.lease_minutes = 1;
    loop {
        // Due every time, and the lease of a host that was killed has run out by then.
        clock.advance(chrono::TimeDelta::days(1));
        let training = Training::new(&store, &registry, &engineer, &clock).with_options(options.clone());
        let claim = schedule.claim(&training, "success", TrainingSignals::default());
        let Some(claim) = block_on(claim).unwrap() else { continue };
        match block_on(training.with_claim(&claim).run(&trainer)) {
            Ok(report) => assert!(report.promoted, "{:?}", report.reasons),
            Err(e) => assert!(matches!(e.kind(), ErrorKind::NotEnoughData { .. }), "{e}"),
        }
        block_on(claim.conclude(&Ok(()))).unwrap();
    }
}

fn quick() -> SuccessTrainer {
    let mut params = SuccessParams::default();
    params.boost.rounds = 3;
    SuccessTrainer::new(params).unwrap()
}

fn tasks(records: &[Record]) -> Vec<TaskContext> {
    let started = records.iter().filter_map(|r| match r.fact() {
        Fact::Started(started) => Some(started.context.clone()),
        _ => None,
    });
    started.collect()
}

const CHILDREN: [&str; 4] = [
    "child_records_the_first_part",
    "child_records_the_last_part_backwards",
    "child_predicts_until_killed",
    "child_trains_until_killed",
];

fn child(name: &str, schema: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture"]).env(SCHEMA, schema);
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Returns whether the child still runs; asserts that it did not fail.
fn is_running(child: &mut Child) -> bool {
    child.try_wait().unwrap().inspect(|end| assert!(end.success(), "a host failed: {end}")).is_none()
}

#[test]
fn killed_hosts_leave_the_state_of_a_single_host() {
    let Some(_) = url() else { return };
    let schema = options().schema;
    let database = connect(schema.clone());
    let mut children = CHILDREN.map(|name| child(name, &schema));
    for kill in 0..KILLS {
        thread::sleep(Duration::from_millis(30 + kill * 7_919 % 170));
        for child in &mut children {
            is_running(child);
        }
        let victim = (kill * 7 % 4) as usize;
        // A child that has ended restarts too: repeated facts are stored once.
        let _ = children[victim].kill();
        children[victim].wait().unwrap();
        children[victim] = child(CHILDREN[victim], &schema);
    }
    let [first, last, predicts, trains] = &mut children;
    while is_running(first) | is_running(last) {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    for endless in [predicts, trains] {
        assert!(is_running(endless));
        endless.kill().unwrap();
        endless.wait().unwrap();
    }
    assert_equal_to_a_single_host(&database);
}

fn assert_equal_to_a_single_host(database: &Postgres) {
    let (store, registry) = (PostgresStore::new(database), PostgresRegistry::new(database));
    let (records, clock) = world();
    let serial = MemoryStore::new();
    block_on(serial.append(records.clone())).unwrap();
    let all = |store: &dyn EventStore, order| block_on(store.scan(order, None, usize::MAX)).unwrap().records;
    assert_eq!(all(&store, ScanOrder::Known), records);
    assert_eq!(all(&store, ScanOrder::Arrival).len(), records.len());
    let (engineer, now) = (FeatureEngineer::default(), clock.now());
    let rows = |store: &dyn EventStore| {
        block_on(replay(store, &engineer, Target::Success, now, usize::MAX)).unwrap()
    };
    assert_eq!(rows(&store).fingerprint(), rows(&serial).fingerprint());

    // The models are intact and one serves, whichever host was killed.
    let versions = block_on(registry.versions("success")).unwrap();
    assert!(versions.iter().map(|v| v.version).eq(1..=versions.len() as u64));
    let serving = block_on(registry.production("success")).unwrap().unwrap();
    let bytes = block_on(registry.artefact("success", serving.version)).unwrap();
    open_artefact(&quick(), &bytes).unwrap();
    println!(
        "{KILLS} kills: {} records, {} versions, {} serves",
        records.len(),
        versions.len(),
        serving.version
    );

    // A host that starts from a checkpoint, one that reads everything, and a single host.
    let from_checkpoint = Arc::new(block_on(SharedHistory::open(&store)).unwrap());
    let from_all = Arc::new(SharedHistory::new());
    block_on(from_all.catch_up(&store)).unwrap();
    let alone = Arc::new(block_on(SharedHistory::open(&serial)).unwrap());
    let hosts = [from_checkpoint, from_all, alone].map(|history| {
        let service = PredictionService::new(history, engineer.clone(), Arc::new(clock.clone()));
        block_on(service.reload(&registry)).unwrap();
        service
    });
    for task in tasks(&records).iter().step_by(50) {
        let predictions = hosts.each_ref().map(|host| host.predict_success(task).unwrap());
        assert_eq!(predictions[0], predictions[1]);
        assert_eq!(predictions[0], predictions[2]);
    }
    let ids: Vec<EventId> = records.iter().map(|r| r.event_id().clone()).collect();
    assert_eq!(block_on(store.get(&ids)).unwrap(), block_on(serial.get(&ids)).unwrap());
}
