//! Several hosts on one store and one registry.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{TimeDelta, Utc};
use common::world::store_of;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::event::Record;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::SuccessTrainer;
use devmatrix_ml::registry::{DiskRegistry, ModelRegistry};
use devmatrix_ml::store::{EventStore, MemoryStore, ScanOrder, SqliteStore};
use devmatrix_ml::training::{Due, Gate, Training, TrainingOptions, TrainingSchedule, TrainingSignals};
use futures_executor::block_on;
use std::path::Path;
use std::sync::{Arc, Barrier};

const NIGHTS: i64 = 30;

/// One host: at the beginning of every hour, with the other, it asks, and trains if it is told to. How
/// often it trained and promoted.
fn host(name: &str, folder: &Path, start: chrono::DateTime<Utc>, together: &Barrier) -> (Vec<String>, usize) {
    let clock = ManualClock::at(start);
    let store = SqliteStore::open(folder.join("events.db")).unwrap();
    let registry = DiskRegistry::open(folder.join("models")).unwrap().with_clock(Arc::new(clock.clone()));
    let (schedule, engineer) = (TrainingSchedule::default(), FeatureEngineer::default());
    let (mut nights, mut promoted) = (Vec::new(), 0);
    // Every fourth hour is enough to have a look at each night.
    for _ in 0..NIGHTS * 6 {
        together.wait();
        let signals = TrainingSignals::default();
        let claim = block_on(schedule.claim("success", name, &store, &registry, &clock, signals)).unwrap();
        if let Some(claim) = claim {
            let Due::Since(since) = claim.due else { panic!("{:?}", claim.due) };
            nights.push(since.to_string());
            let mut options = TrainingOptions::default();
            options.gate = Gate::refreshing();
            let training = Training::new(&store, &registry, &engineer, &clock).with_options(options);
            match block_on(training.run(&SuccessTrainer::default())) {
                Ok(report) => promoted += usize::from(report.promoted),
                Err(e) => assert!(matches!(e.kind(), ErrorKind::NotEnoughData { .. }), "{e}"),
            }
            block_on(claim.finish(&store, &clock)).unwrap();
        }
        together.wait();
        clock.advance(TimeDelta::hours(4));
    }
    (nights, promoted)
}

#[test]
fn two_hosts_train_each_night_once_and_lose_no_promotion() {
    let folder = tempfile::tempdir().unwrap();
    let (memory, _) = store_of(NIGHTS as u32, 12.0, 5);
    let records: Vec<Record> = block_on(memory.scan(ScanOrder::Known, None, usize::MAX)).unwrap().records;
    let start = records[0].known_at();
    block_on(SqliteStore::open(folder.path().join("events.db")).unwrap().append(records)).unwrap();
    let together = Barrier::new(2);
    let (mut all, promoted) = std::thread::scope(|scope| {
        let run = |name: &'static str| {
            let (folder, together) = (folder.path(), &together);
            scope.spawn(move || host(name, folder, start, together))
        };
        let (a, b) = (run("a"), run("b"));
        let ((mut nights, promoted), (more, others)) = (a.join().unwrap(), b.join().unwrap());
        nights.extend(more);
        (nights, promoted + others)
    });
    all.sort();
    let trained = all.len();
    all.dedup();
    assert_eq!(trained, all.len(), "a night was trained twice");
    assert!((NIGHTS as usize..=NIGHTS as usize + 1).contains(&trained), "{trained}");
    let registry = DiskRegistry::open(folder.path().join("models")).unwrap();
    let versions = block_on(registry.versions("success")).unwrap();
    let noted = versions.iter().flat_map(|v| &v.verdicts).filter(|v| v.promoted).count();
    assert_eq!(noted, promoted, "every promotion that was told is kept");
    let served = versions.iter().filter(|v| v.verdicts.iter().any(|v| v.promoted)).map(|v| v.version).max();
    assert_eq!(block_on(registry.production("success")).unwrap().map(|v| v.version), served);
    println!("{trained} nights, {} versions, {promoted} promotions", versions.len());
    assert!(promoted > 0);
}

#[test]
fn a_host_that_died_while_training_is_stood_in_for() {
    let (store, registry) = (MemoryStore::new(), devmatrix_ml::registry::MemoryRegistry::new());
    let clock = ManualClock::at("2025-05-05T02:00:00Z".parse().unwrap());
    let schedule = TrainingSchedule::default();
    let claim = |name: &'static str| {
        block_on(schedule.claim("success", name, &store, &registry, &clock, TrainingSignals::default()))
            .unwrap()
    };
    drop(claim("dies").unwrap());
    assert!(claim("other").is_none());
    clock.advance(TimeDelta::minutes(i64::from(schedule.lease_minutes)));
    let other = claim("other").unwrap();
    block_on(other.finish(&store, &clock)).unwrap();
    assert!(claim("dies").is_none() && claim("other").is_none());
    // Given back without having trained, it is anybody's at once.
    clock.advance(TimeDelta::days(1));
    block_on(claim("other").unwrap().release(&store, &clock)).unwrap();
    assert!(claim("dies").is_some());
    // Many new outcomes make it due again before the night; a version registered by hand counts too.
    let mut eager = TrainingSchedule::default();
    eager.after_outcomes = Some(50);
    clock.advance(TimeDelta::hours(3));
    let asked = |outcomes| {
        let signals = TrainingSignals::new(outcomes, false);
        block_on(eager.claim("quality", "a", &store, &registry, &clock, signals)).unwrap()
    };
    block_on(asked(1000).unwrap().finish(&store, &clock)).unwrap();
    clock.advance(TimeDelta::hours(2));
    assert!(asked(1049).is_none());
    assert_eq!(asked(1050).unwrap().due, Due::Outcomes(50));
    let _ = clock.now();
}
