//! Training on degenerate data and with invalid options: a result or an error with advice, never a panic or a
//! partial registration.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use common::task;
use common::world::store_of;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::dataset::{FoldOptions, Target};
use devmatrix_ml::event::{EventId, Fact, Feedback, Record, UserAction};
use devmatrix_ml::execution::{CancellationToken, ExecutionContext};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{SuccessTrainer, TimeTrainer};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry, NewVersion, Stage};
use devmatrix_ml::store::{EventStore, MemoryStore};
use devmatrix_ml::training::{
    Promotion, SelectionOptions, Split, Training, TrainingOptions, TrainingSchedule, TrainingSignals,
    TuningOptions, model_card, replay, reproduce, select_features, tune,
};
use futures_executor::block_on;

struct Host {
    store: MemoryStore,
    registry: MemoryRegistry,
    engineer: FeatureEngineer,
    clock: ManualClock,
}

impl Host {
    /// Creates `count` generations, `step` apart, with the feedback that `label` returns.
    fn of<R: Into<Option<UserAction>>>(count: usize, step: TimeDelta, label: impl Fn(usize) -> R) -> Self {
        let start: DateTime<Utc> = "2025-03-03T09:00:00Z".parse().unwrap();
        let mut records = Vec::new();
        for i in 0..count {
            let at = start + step * i as i32;
            let id = EventId::new(format!("e{i}")).unwrap();
            let mut task = task(&format!("t{i}"));
            // Names that would break a table or be read as markup.
            task.agent_type =
                Some(["a|b\n| c |", "<script>alert(1)</script>", "# *x* `y` [z](http://e)"][i % 3].into());
            records.push(Record::new(id.clone(), at, Fact::Started(Box::new(task.into()))).unwrap());
            if let Some(action) = label(i).into() {
                let feedback = Fact::Feedback(Box::new(Feedback::new(action)));
                records.push(Record::new(id, at + TimeDelta::seconds(1), feedback).unwrap());
            }
        }
        let store = MemoryStore::new();
        block_on(store.append(records)).unwrap();
        let clock = ManualClock::at(start + step * count as i32 + TimeDelta::days(1));
        Self { store, registry: MemoryRegistry::new(), engineer: FeatureEngineer::default(), clock }
    }

    fn training(&self, options: TrainingOptions) -> Training<'_> {
        Training::new(&self.store, &self.registry, &self.engineer, &self.clock).with_options(options)
    }
}

fn alternating(i: usize) -> UserAction {
    if i.is_multiple_of(2) { UserAction::Approve } else { UserAction::Reject }
}

#[test]
fn degenerate_data_gets_a_reason() {
    let hour = TimeDelta::hours(1);
    let always = |_| UserAction::Approve;
    for (what, host) in [
        ("nothing", Host::of(0, hour, always)),
        ("one", Host::of(1, hour, always)),
        ("no labels", Host::of(300, hour, |_| None::<UserAction>)),
        ("one class", Host::of(300, hour, always)),
        ("one moment", Host::of(300, TimeDelta::zero(), alternating)),
        (
            "one failure, the last",
            Host::of(300, hour, |i| if i == 299 { UserAction::Reject } else { UserAction::Approve }),
        ),
        ("in turns", Host::of(300, hour, alternating)),
    ] {
        for split in [Split::Time, Split::StratifiedRandom] {
            let mut options = TrainingOptions::default();
            (options.split, options.folds) = (split, Some(FoldOptions::default()));
            match block_on(host.training(options).nightly(&SuccessTrainer::default())).unwrap().trained {
                Ok(report) => {
                    assert!(!report.reasons.is_empty(), "{what}");
                    assert!(report.record.evaluation.metrics.values().all(|v| v.is_finite()), "{what}");
                    let card = model_card(&report.version).unwrap();
                    assert!(!card.contains("NaN") && !card.contains("<script>"), "{what}: {card}");
                    let cells = card
                        .lines()
                        .filter(|l| l.starts_with("| agent "))
                        .map(|l| l.replace("\\|", "").matches('|').count());
                    assert!(cells.collect::<std::collections::BTreeSet<_>>().len() <= 1, "{what}: {card}");
                }
                Err(e) => assert!(matches!(e.kind(), ErrorKind::NotEnoughData { .. }), "{what}: {e}"),
            }
        }
        let data =
            block_on(replay(&host.store, &host.engineer, Target::Success, host.clock.now(), 1_000)).unwrap();
        let mut few = TuningOptions::default();
        few.trials = 2;
        let error = |e: devmatrix_ml::Error| {
            assert!(matches!(e.kind(), ErrorKind::NotEnoughData { .. }), "{what}: {e}");
        };
        tune(SuccessTrainer::default(), &data, &few).map_or_else(error, drop);
        let selection = SelectionOptions::default();
        select_features(SuccessTrainer::default(), &data, &selection).map_or_else(error, drop);
        block_on(host.training(TrainingOptions::default()).run(&TimeTrainer::default()))
            .map_or_else(error, drop);
    }
}

#[test]
fn options_out_of_range_are_named() {
    let host = Host::of(10, TimeDelta::hours(1), alternating);
    let rejection = |change: &dyn Fn(&mut TrainingOptions)| {
        let mut options = TrainingOptions::default();
        change(&mut options);
        let error = block_on(host.training(options).run(&SuccessTrainer::default())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        format!("{error:#}")
    };
    for value in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1.0, 2.0] {
        assert!(rejection(&|o| o.test_fraction = value).contains("test_fraction"));
        assert!(
            rejection(&|o| o.gate.confidence = if value == 0.0 { 1.0 } else { value }).contains("confidence")
        );
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(rejection(&|o| o.gate.margin = value).contains("margin"));
        assert!(rejection(&|o| o.gate.floors = [("auc".to_owned(), value)].into()).contains("auc"));
    }
    assert!(rejection(&|o| o.max_rows = 0).contains("max_rows"));
    assert!(rejection(&|o| o.cool_down_days = u32::MAX).contains("cool_down_days"));
    assert!(block_on(host.registry.versions("success")).unwrap().is_empty());
}

#[test]
fn a_schedule_works_at_any_time_of_the_calendar() {
    let mut schedule = TrainingSchedule::default();
    let moments = [DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC];
    for zone in
        [chrono_tz::UTC, chrono_tz::Europe::Madrid, chrono_tz::Pacific::Apia, chrono_tz::Asia::Kathmandu]
    {
        for at in [NaiveTime::MIN, NaiveTime::from_hms_opt(23, 59, 59).unwrap()] {
            (schedule.zone, schedule.at) = (zone, at);
            for now in moments {
                assert!(schedule.next(now) >= now);
            }
        }
    }
    let host = Host::of(0, TimeDelta::hours(1), alternating);
    (schedule.lease_minutes, schedule.pause_minutes) = (u32::MAX, u32::MAX);
    let none = TrainingSignals::default();
    for now in moments {
        host.clock.set(now);
        if let Some(claim) =
            block_on(schedule.claim(&host.training(TrainingOptions::default()), "success", none)).unwrap()
        {
            block_on(claim.conclude(&Ok(()))).unwrap();
        }
    }
    schedule.lease_minutes = 0;
    let error =
        block_on(schedule.claim(&host.training(TrainingOptions::default()), "success", none)).unwrap_err();
    assert!(format!("{error:#}").contains("lease_minutes is 0"), "{error}");
}

/// Versions of a host, an older release or an unknown writer, in production and on trial.
#[test]
fn external_versions_do_not_stop_training() {
    let external = || NewVersion::new("success", b"by hand".to_vec());
    let mut with_report = external();
    with_report.about.report = serde_json::json!({ "run_id": 7 });
    for version in [external(), with_report] {
        for stage in [Stage::Production, Stage::Staging] {
            let host = Host::of(300, TimeDelta::hours(1), alternating);
            let own =
                block_on(host.training(TrainingOptions::default()).run(&SuccessTrainer::default())).unwrap();
            let number = block_on(host.registry.register(version.clone())).unwrap().version;
            if stage == Stage::Production {
                block_on(host.registry.promote("success", number, own.promoted.then_some(1))).unwrap();
            } else {
                block_on(host.registry.promote("success", 1, own.promoted.then_some(1))).unwrap();
                block_on(host.registry.set_stage("success", number, Stage::Staging)).unwrap();
            }
            host.clock.advance(TimeDelta::days(1));
            let mut options = TrainingOptions::default();
            options.promotion = Promotion::Trial;
            let trained = block_on(host.training(options.clone()).run(&SuccessTrainer::default())).unwrap();
            assert!(!trained.reasons.is_empty());
            for done in [
                block_on(host.training(options.clone()).watch(&SuccessTrainer::default()))
                    .map(|w| format!("{w:?}")),
                block_on(host.training(options).nightly(&SuccessTrainer::default())).map(|r| r.to_string()),
            ] {
                match done {
                    Ok(text) => println!("{stage:?}: {text}"),
                    Err(e) => {
                        assert!(matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible), "{e}");
                    }
                }
            }
            let version = block_on(host.registry.version("success", number)).unwrap();
            let made = block_on(reproduce(&SuccessTrainer::default(), &host.store, &host.engineer, &version));
            assert!(matches!(made.unwrap_err().kind(), ErrorKind::NotFound | ErrorKind::Incompatible));
            assert!(model_card(&version).is_err());
        }
    }
}

#[test]
fn a_panicking_listener_and_a_clock_set_back_leave_no_partial_registration() {
    let host = Host::of(300, TimeDelta::hours(1), alternating);
    let work =
        ExecutionContext::new().with_progress(|p| assert!(p.stage != "registering", "a fault of the host"));
    let run = || {
        block_on(
            host.training(TrainingOptions::default())
                .with_execution(work.clone())
                .run(&SuccessTrainer::default()),
        )
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    assert!(block_on(host.registry.versions("success")).unwrap().is_empty());
    block_on(host.training(TrainingOptions::default()).run(&SuccessTrainer::default())).unwrap();
    host.clock.set("2025-03-04T00:00:00Z".parse().unwrap());
    let earlier =
        block_on(host.training(TrainingOptions::default()).nightly(&SuccessTrainer::default())).unwrap();
    assert!(matches!(earlier.trained.unwrap_err().kind(), ErrorKind::NotEnoughData { .. }));
    assert_eq!(block_on(host.registry.versions("success")).unwrap().len(), 1);
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let work = ExecutionContext::new().with_cancel(&cancelled);
    let error = block_on(
        host.training(TrainingOptions::default()).with_execution(work).run(&SuccessTrainer::default()),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn an_invalid_trial_log_is_rejected() {
    let (store, clock) = store_of(12, 40.0, 3);
    let engineer = FeatureEngineer::default();
    let data = block_on(replay(store.as_ref(), &engineer, Target::Success, clock.now(), 5_000)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut options = TuningOptions::default();
    (options.trials, options.journal) = (2, Some(path.clone()));
    for bytes in [&b"hello\n"[..], b"\xff\xfe\n", b"{}\n{}\n"] {
        std::fs::write(&path, bytes).unwrap();
        let error = tune(SuccessTrainer::default(), &data, &options).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Incompatible | ErrorKind::Unavailable | ErrorKind::Corrupt),
            "{error}"
        );
        assert!(format!("{error:#}").contains("journal"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "it was overwritten");
    }
    options.journal = Some(folder.path().to_owned());
    assert!(tune(SuccessTrainer::default(), &data, &options).is_err());
}
