//! A host that is killed while it trains or promotes.
//!
//! The children are this test program again: it runs its own ignored test.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping
#![cfg(all(feature = "sqlite", unix))]

mod common;

use common::world::store_of;
use devmatrix_ml::clock::SystemClock;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::open_artefact;
use devmatrix_ml::models::{SuccessModel, SuccessParams, SuccessTrainer};
use devmatrix_ml::registry::{DiskRegistry, ModelRegistry, Stage};
use devmatrix_ml::store::{EventStore, ScanOrder, SqliteStore};
use devmatrix_ml::training::{JsonlTracker, Training, TrainingOptions};
use futures_executor::block_on;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const FOLDER: &str = "DEVMATRIX_TEST_TRAINING";
const CHILD: &str = "child_trains_and_promotes_until_killed";
const KILLS: u64 = 200;

/// Creates a trainer that fits quickly, so that the other stages get their share of the kills.
fn quick() -> SuccessTrainer {
    let mut params = SuccessParams::default();
    params.boost.rounds = 3;
    SuccessTrainer::new(params).unwrap()
}

/// Returns options that promote every model.
fn open_gate() -> TrainingOptions {
    let mut options = TrainingOptions::default();
    (options.gate.champion, options.gate.baselines, options.max_rows) = (false, false, 200);
    options.retrain_growth = 0.0;
    options
}

/// Runs a training cycle; returns the promoted version.
fn training_cycle(folder: &Path) -> u64 {
    let store = SqliteStore::open(folder.join("events.db")).unwrap();
    let registry = DiskRegistry::open(folder.join("models")).unwrap();
    let (engineer, tracker) = (FeatureEngineer::default(), JsonlTracker::new(folder.join("runs.jsonl")));
    let training = Training::new(&store, &registry, &engineer, &SystemClock);
    let training = training.with_options(open_gate()).with_tracker(&tracker);
    let trained = block_on(training.nightly(&quick())).unwrap().trained.unwrap();
    assert!(trained.promoted, "{:?}", trained.reasons);
    trained.version.version
}

#[test]
#[ignore = "the child of `killed_at_any_moment_the_old_or_the_new_model_serves`"]
fn child_trains_and_promotes_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut log = OpenOptions::new().append(true).open(Path::new(&folder).join("log")).unwrap();
    loop {
        let version = training_cycle(Path::new(&folder));
        // In one write, so that being killed cannot tear a line.
        log.write_all(format!("{version}\n").as_bytes()).unwrap();
    }
}

fn child(folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", CHILD, "--ignored", "--nocapture"]).env(FOLDER, folder);
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Returns the version in production; asserts that it is readable and has its run record.
fn champion(registry: &DiskRegistry) -> Option<u64> {
    let version = block_on(registry.production("success")).unwrap()?;
    let bytes = block_on(registry.artefact("success", version.version)).unwrap();
    let _: SuccessModel = open_artefact(&quick(), &bytes).unwrap();
    let holdout_model = block_on(registry.evaluation_artefact("success", version.version)).unwrap().unwrap();
    let _: SuccessModel = open_artefact(&quick(), &holdout_model).unwrap();
    assert!(version.report["data"]["rows"].as_u64() > Some(0));
    Some(version.version)
}

fn acknowledged(folder: &Path) -> u64 {
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    log.lines().last().map_or(0, |line| line.parse().unwrap())
}

#[test]
fn killed_at_any_moment_the_old_or_the_new_model_serves() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (memory, _) = store_of(8, 30.0, 5);
    let records = block_on(memory.scan(ScanOrder::Known, None, usize::MAX)).unwrap().records;
    let events = SqliteStore::open(folder.join("events.db")).unwrap();
    let count = records.len();
    block_on(events.append(records)).unwrap();
    std::fs::write(folder.join("log"), "").unwrap();
    let registry = DiskRegistry::open(folder.join("models")).unwrap();
    assert_eq!(training_cycle(folder), 1);

    let once = Instant::now();
    let (mut before, mut moved, mut unacknowledged) = (training_cycle(folder), 0, 0);
    let (one_night, timer) = (once.elapsed(), Instant::now());
    for kill in 0..KILLS {
        let mut victim = child(folder);
        // From its start to its second promotion.
        thread::sleep(
            one_night.mul_f64((kill * 7_919 % 197) as f64 / 197.0 * 2.0) + Duration::from_millis(5),
        );
        victim.kill().unwrap();
        victim.wait().unwrap();
        let now = champion(&registry).unwrap();
        assert!(now >= before && now >= acknowledged(folder), "version {before} was live, now {now}");
        let versions = block_on(registry.versions("success")).unwrap();
        assert!(versions.iter().map(|v| v.version).eq(1..=versions.len() as u64));
        assert!(versions.iter().all(|v| (v.version == now) == (v.stage == Stage::Production)));
        (moved, unacknowledged) =
            (moved + u64::from(now > before), unacknowledged + u64::from(now > acknowledged(folder)));
        before = now;
    }
    let trained = block_on(registry.versions("success")).unwrap().len() as u64;
    let recorded = JsonlTracker::new(folder.join("runs.jsonl")).runs().unwrap().len();
    println!(
        "{KILLS} kills in {:.1?}: {trained} versions, the champion moved {moved} times, {unacknowledged} times unacknowledged, \
         {recorded} runs in the tracker",
        timer.elapsed()
    );
    assert!(moved > KILLS / 10, "the children did too little: {moved}");
    // The training set is intact, and the next training cycle works.
    let kept = block_on(events.scan(ScanOrder::Known, None, usize::MAX)).unwrap().records.len();
    assert_eq!(kept, count);
    assert_eq!(training_cycle(folder), trained + 1);
}
