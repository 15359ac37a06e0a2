//! Several hosts on one store and one registry.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, TimeDelta, Utc};
use common::world::store_of;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::event::Record;
use devmatrix_ml::execution::{CancellationToken, ExecutionContext, Progress};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::SuccessTrainer;
use devmatrix_ml::registry::{DiskRegistry, MemoryRegistry, ModelRegistry};
use devmatrix_ml::store::{EventStore, MemoryStore, ScanOrder, SqliteStore};
use devmatrix_ml::training::{
    Due, Gate, Training, TrainingClaim, TrainingOptions, TrainingSchedule, TrainingSignals,
};
use devmatrix_ml::{Error, ErrorKind};
use futures_executor::block_on;
use std::path::Path;
use std::sync::{Arc, Barrier};

const DAYS: i64 = 30;

/// Runs one host, which claims every fourth hour at the same time as the other, and trains where it gets the
/// claim; returns the cycles that it trained, and the number of promotions.
fn host(folder: &Path, start: chrono::DateTime<Utc>, together: &Barrier) -> (Vec<String>, usize) {
    let clock = ManualClock::at(start);
    let store = SqliteStore::open(folder.join("events.db")).unwrap();
    let registry = DiskRegistry::open(folder.join("models")).unwrap().with_clock(Arc::new(clock.clone()));
    let (schedule, engineer) = (TrainingSchedule::default(), FeatureEngineer::default());
    let (mut cycles, mut promoted) = (Vec::new(), 0);
    for _ in 0..DAYS * 6 {
        together.wait();
        let mut options = TrainingOptions::default();
        options.gate = Gate::refreshing();
        let training = Training::new(&store, &registry, &engineer, &clock).with_options(options);
        let claim = block_on(schedule.claim(&training, "success", TrainingSignals::default())).unwrap();
        if let Some(claim) = claim {
            let Due::Since(since) = claim.due else { panic!("{:?}", claim.due) };
            cycles.push(since.to_string());
            let result = block_on(training.with_claim(&claim).run(&SuccessTrainer::default()));
            block_on(claim.conclude(&result)).unwrap();
            match result {
                Ok(report) => promoted += usize::from(report.promoted),
                Err(e) => assert!(matches!(e.kind(), ErrorKind::NotEnoughData { .. }), "{e}"),
            }
        }
        together.wait();
        clock.advance(TimeDelta::hours(4));
    }
    (cycles, promoted)
}

#[test]
fn two_hosts_train_each_cycle_once_and_lose_no_promotion() {
    let folder = tempfile::tempdir().unwrap();
    let (memory, _) = store_of(DAYS as u32, 12.0, 5);
    let records: Vec<Record> = block_on(memory.scan(ScanOrder::Known, None, usize::MAX)).unwrap().records;
    let start = records[0].known_at();
    block_on(SqliteStore::open(folder.path().join("events.db")).unwrap().append(records)).unwrap();
    let together = Barrier::new(2);
    let (mut all, promoted) = std::thread::scope(|scope| {
        let run = || {
            let (folder, together) = (folder.path(), &together);
            scope.spawn(move || host(folder, start, together))
        };
        let (a, b) = (run(), run());
        let ((mut cycles, promoted), (more, others)) = (a.join().unwrap(), b.join().unwrap());
        cycles.extend(more);
        (cycles, promoted + others)
    });
    all.sort();
    let trained = all.len();
    all.dedup();
    assert_eq!(trained, all.len(), "a cycle was trained twice");
    assert!((DAYS as usize..=DAYS as usize + 1).contains(&trained), "{trained}");
    let registry = DiskRegistry::open(folder.path().join("models")).unwrap();
    let versions = block_on(registry.versions("success")).unwrap();
    let noted = versions.iter().flat_map(|v| &v.verdicts).filter(|v| v.promoted).count();
    assert_eq!(noted, promoted, "every reported promotion is kept");
    let served = versions.iter().filter(|v| v.verdicts.iter().any(|v| v.promoted)).map(|v| v.version).max();
    assert_eq!(block_on(registry.production("success")).unwrap().map(|v| v.version), served);
    println!("{trained} cycles, {} versions, {promoted} promotions", versions.len());
    assert!(promoted > 0);
}

/// A host with its own store, clock and registry.
struct Host {
    store: MemoryStore,
    registry: MemoryRegistry,
    engineer: FeatureEngineer,
    clock: ManualClock,
}

impl Host {
    fn at(time: &str) -> Self {
        let (store, registry) = (MemoryStore::new(), MemoryRegistry::new());
        let clock = ManualClock::at(time.parse().unwrap());
        Self { store, registry, engineer: FeatureEngineer::default(), clock }
    }

    fn training(&self) -> Training<'_> {
        Training::new(&self.store, &self.registry, &self.engineer, &self.clock)
    }

    fn claim(&self, schedule: &TrainingSchedule) -> Option<TrainingClaim<'_>> {
        block_on(schedule.claim(&self.training(), "success", TrainingSignals::default())).unwrap()
    }
}

#[test]
fn a_killed_training_is_due_again_after_its_lease() {
    let (host, schedule) = (Host::at("2025-05-05T02:00:00Z"), TrainingSchedule::default());
    drop(host.claim(&schedule).unwrap());
    assert!(host.claim(&schedule).is_none());
    host.clock.advance(TimeDelta::minutes(i64::from(schedule.lease_minutes) - 1));
    assert!(host.claim(&schedule).is_none(), "two would train at once");
    host.clock.advance(TimeDelta::minutes(1));
    assert!(
        host.clock.now() < "2025-05-05T03:00:00Z".parse::<DateTime<Utc>>().unwrap(),
        "the night is not lost"
    );
    let other = host.claim(&schedule).unwrap();
    block_on(other.conclude(&Ok(()))).unwrap();
    assert!(host.claim(&schedule).is_none(), "one training a cycle");
    // Released without training, it is due at once.
    host.clock.advance(TimeDelta::days(1));
    let cancelled = Err::<(), _>(Error::new(ErrorKind::Cancelled, "a deploy"));
    block_on(host.claim(&schedule).unwrap().conclude(&cancelled)).unwrap();
    assert!(host.claim(&schedule).is_some());
}

/// A host whose clock is ahead holds nothing and hides no cycle from one whose clock is right.
#[test]
fn a_host_ahead_keeps_no_other_from_its_cycle() {
    for ahead in [TimeDelta::hours(3), TimeDelta::days(2), TimeDelta::days(365), TimeDelta::days(3_653)] {
        for ends in ["trained", "released", "killed"] {
            let (host, schedule) = (Host::at("2025-05-05T02:00:00Z"), TrainingSchedule::default());
            let other = ManualClock::at(host.clock.now() + ahead);
            let training = Training::new(&host.store, &host.registry, &host.engineer, &other);
            let claim =
                block_on(schedule.claim(&training, "success", TrainingSignals::default())).unwrap().unwrap();
            assert!(host.claim(&schedule).is_none(), "{ahead} {ends}: one trains at a time");
            match ends {
                "trained" => block_on(claim.conclude(&Ok(()))).unwrap(),
                "released" => {
                    block_on(claim.conclude(&Err::<(), _>(Error::new(ErrorKind::Cancelled, "a deploy"))))
                        .unwrap();
                    drop(host.claim(&schedule).expect("free at once"));
                    continue;
                }
                _ => drop(claim),
            }
            let begun = host.clock.now();
            while host.claim(&schedule).is_none() {
                host.clock.advance(TimeDelta::minutes(5));
                assert!(
                    host.clock.now() - begun <= TimeDelta::days(1),
                    "{ahead} {ends}: late by more than a cycle"
                );
            }
        }
    }
}

#[test]
fn two_hosts_of_different_times_train_each_day_but_not_all_the_time() {
    let (host, schedule) = (Host::at("2025-05-05T02:00:00Z"), TrainingSchedule::default());
    let other = ManualClock::at(host.clock.now() + TimeDelta::days(3_653));
    let mut trained = 0;
    for _ in 0..10 * 24 * 4 {
        for clock in [&host.clock, &other] {
            let training = Training::new(&host.store, &host.registry, &host.engineer, clock);
            let claim = block_on(schedule.claim(&training, "success", TrainingSignals::default())).unwrap();
            if let Some(claim) = claim {
                block_on(claim.conclude(&Ok(()))).unwrap();
                trained += 1;
            }
            clock.advance(TimeDelta::minutes(15));
        }
    }
    assert!((10..=22).contains(&trained), "{trained} in ten days");
}

#[test]
fn a_cancelled_training_is_due_again_at_once() {
    let (store, clock) = store_of(12, 60.0, 5);
    let (registry, engineer) = (MemoryRegistry::new(), FeatureEngineer::default());
    let (schedule, stop) = (TrainingSchedule::default(), CancellationToken::new());
    let training = || Training::new(store.as_ref(), &registry, &engineer, &clock);
    let claim = || block_on(schedule.claim(&training(), "success", TrainingSignals::default())).unwrap();
    let (first, cancel) = (claim().unwrap(), stop.clone());
    // A deploy stops the host while a model is being fitted.
    let stop_at_fitting = move |progress: &Progress| {
        if progress.stage.starts_with("fitting") {
            cancel.cancel();
        }
    };
    let context = ExecutionContext::new().with_cancel(&stop).with_progress(stop_at_fitting);
    let result =
        block_on(training().with_claim(&first).with_execution(context).nightly(&SuccessTrainer::default()));
    assert_eq!(result.as_ref().unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(claim().is_none(), "the first still holds its claim");
    block_on(first.conclude(&result)).unwrap();
    let second = claim().expect("the cycle of this night is due again");
    let result = block_on(training().with_claim(&second).nightly(&SuccessTrainer::default()));
    assert!(result.as_ref().unwrap().trained.is_ok());
    block_on(second.conclude(&result)).unwrap();
    assert!(claim().is_none());
    assert_eq!(block_on(registry.versions("success")).unwrap().len(), 1, "nothing was registered twice");
}

#[test]
fn a_training_that_lost_its_lease_registers_nothing() {
    let (store, clock) = store_of(12, 60.0, 5);
    let (registry, engineer) = (MemoryRegistry::new(), FeatureEngineer::default());
    let schedule = TrainingSchedule::default();
    let training = || Training::new(store.as_ref(), &registry, &engineer, &clock);
    let claim = || block_on(schedule.claim(&training(), "success", TrainingSignals::default())).unwrap();
    let suspended = claim().unwrap();
    clock.advance(TimeDelta::minutes(i64::from(schedule.lease_minutes)));
    let other = claim().unwrap();
    let error = block_on(training().with_claim(&suspended).run(&SuccessTrainer::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(block_on(registry.versions("success")).unwrap().is_empty());
    block_on(suspended.conclude::<()>(&Err(error))).unwrap();
    assert!(claim().is_none(), "the other's lease stands");
    block_on(other.conclude(&Ok(()))).unwrap();
}

#[test]
fn outcomes_and_drift_make_training_due_before_its_time() {
    let host = Host::at("2025-05-05T05:00:00Z");
    let mut eager = TrainingSchedule::default();
    eager.after_outcomes = Some(50);
    let claim = |outcomes| {
        let signals = TrainingSignals { outcomes, drift: false };
        block_on(eager.claim(&host.training(), "quality", signals)).unwrap()
    };
    block_on(claim(1000).unwrap().conclude(&Ok(()))).unwrap();
    host.clock.advance(TimeDelta::hours(2));
    assert!(claim(1049).is_none());
    assert_eq!(claim(1050).unwrap().due, Due::Outcomes(50));
}

#[test]
fn a_misspelt_option_of_a_schedule_is_an_error() {
    let error = serde_json::from_str::<TrainingSchedule>(r#"{"lease_minute": 5}"#).unwrap_err();
    assert!(error.to_string().contains("lease_minute"), "{error}");
}
