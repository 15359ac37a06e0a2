//! Records of training runs: reproducible, readable, and absent for cancelled runs.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::TimeDelta;
use common::world::store_of;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::dataset::FoldOptions;
use devmatrix_ml::event::UserId;
use devmatrix_ml::execution::{CancellationToken, ExecutionContext, Progress};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{QualityTrainer, SuccessTrainer, TimeTrainer};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry, ModelVersion};
use devmatrix_ml::store::{EventStore, MemoryStore, Subject};
use devmatrix_ml::training::{
    ExperimentTracker, JsonlTracker, RunRecord, Training, TrainingOptions, TrainingReport, Tunable,
    model_card, reproduce,
};
use futures_executor::block_on;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

struct Host {
    store: Arc<MemoryStore>,
    clock: ManualClock,
    registry: MemoryRegistry,
    engineer: FeatureEngineer,
}

impl Host {
    fn new() -> Self {
        let (store, clock) = store_of(20, 40.0, 3);
        Self { store, clock, registry: MemoryRegistry::new(), engineer: FeatureEngineer::default() }
    }

    fn training(&self) -> Training<'_> {
        let mut options = TrainingOptions::default();
        (options.gate.champion, options.gate.baselines) = (false, false);
        options.folds = Some(FoldOptions::default());
        Training::new(self.store.as_ref(), &self.registry, &self.engineer, &self.clock).with_options(options)
    }

    fn train(&self) -> TrainingReport {
        block_on(self.training().run(&SuccessTrainer::default())).unwrap()
    }

    fn again<T: Tunable>(&self, trainer: &T, version: &ModelVersion) -> bool {
        block_on(reproduce(trainer, self.store.as_ref(), &self.engineer, version)).unwrap()
    }
}

#[test]
fn a_past_run_is_reproduced_bit_for_bit() {
    let host = Host::new();
    let whole = host.clock.now();
    // As of ten days ago: later facts must not leak into it.
    host.clock.set(whole - TimeDelta::days(10));
    let success = host.train().version;
    let time = block_on(host.training().run(&TimeTrainer::default())).unwrap().version;
    host.clock.set(whole);
    assert!(host.again(&SuccessTrainer::default(), &success));
    assert!(host.again(&TimeTrainer::default(), &time));
    // Erasure of a user takes precedence, and is detected.
    let user = UserId::new("user-1").unwrap();
    let erased = block_on(host.store.erase(&Subject::User(user))).unwrap();
    assert!(erased.events > 0, "{erased:?}");
    assert!(!host.again(&SuccessTrainer::default(), &success));
    // It cannot be reproduced with other features, nor for a version that a host registered by hand.
    let by_hand = devmatrix_ml::registry::NewVersion::new("success", b"by hand".to_vec());
    let by_hand = block_on(host.registry.register(by_hand)).unwrap();
    let trainer = SuccessTrainer::default();
    let made = block_on(reproduce(&trainer, host.store.as_ref(), &host.engineer, &by_hand));
    assert_eq!(made.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_run_record_is_complete() {
    let host = Host::new();
    let noted = host.training().with_note("search", serde_json::json!({ "trials": 7 }));
    let report = block_on(noted.run(&SuccessTrainer::default())).unwrap();
    let (record, version) = (&report.record, &report.version);
    assert_eq!(record.version, Some(1));
    let data = &version.report["data"];
    assert_eq!(data["sha256"].as_str().unwrap().len(), 64);
    assert!(data["certain"].as_u64() <= data["rows"].as_u64());
    assert!(data["from"].as_str().unwrap() < data["until"].as_str().unwrap());
    assert_eq!(record.as_of, host.clock.now());
    assert_eq!(record.folds.len(), FoldOptions::default().folds);
    assert!(record.folds.iter().all(|fold| (0.5..1.0).contains(&fold["auc"])), "{:?}", record.folds);
    assert!(record.seconds["fitting"] > 0.0 && record.seconds["folds"] > 0.0);
    assert_eq!(record.notes["search"]["trials"], 7);
    let sum: f64 = record.importance.iter().map(|(_, share)| share).sum();
    assert!((sum - 1.0).abs() < 1e-9 && record.importance_drift.is_empty());
    let kept: RunRecord = serde_json::from_value(version.report.clone()).unwrap();
    assert_eq!(
        (&kept.evaluation.metrics, &kept.parameters),
        (&record.evaluation.metrics, &record.parameters)
    );
    // The next one records how its importances differ from this one's.
    host.clock.advance(TimeDelta::days(1));
    let next = host.train().record;
    assert_ne!(next.run_id, record.run_id);
    assert!(!next.importance_drift.is_empty());
    assert!(next.importance_drift.windows(2).all(|two| two[0].1.abs() >= two[1].1.abs()));
}

#[test]
fn a_tracker_in_a_file_outlives_a_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.jsonl");
    let (host, tracker) = (Host::new(), JsonlTracker::new(&path));
    let train = || {
        host.clock.advance(TimeDelta::hours(1));
        block_on(host.training().with_tracker(&tracker).run(&SuccessTrainer::default())).unwrap().record
    };
    let first = train();
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&serde_json::to_vec(&first).unwrap()[..1000]).unwrap();
    let runs = tracker.runs().unwrap();
    assert_eq!((runs.len(), runs[0].version), (1, Some(1)));
    let second = train();
    let ids: Vec<_> = tracker.runs().unwrap().into_iter().map(|run| run.run_id).collect();
    assert_eq!(ids, [first.run_id, second.run_id.clone()]);
    file.write_all(b"{\"run_id\": 7}\n").unwrap();
    let error = tracker.runs().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(format!("{error:#}").contains("line 4"), "{error}");
    // A failing tracker does not undo a run.
    let nowhere = JsonlTracker::new(folder.path().join("no/such/folder/runs.jsonl"));
    assert!(block_on(nowhere.record(&second)).is_err());
    let kept = block_on(host.training().with_tracker(&nowhere).run(&SuccessTrainer::default())).unwrap();
    assert!(kept.promoted);
}

#[test]
fn a_model_card_has_metrics_slices_calibration_and_limits() {
    let host = Host::new();
    let version = host.train().version;
    let text = model_card(&version).unwrap();
    println!("{text}");
    for part in [
        "# success version 1",
        "## How good",
        "## For whom",
        "## Is the probability true",
        "## Limits",
        "| this model |",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let slices = version.report["evaluation"]["slices"].as_array().unwrap();
    assert!(slices.iter().any(|slice| slice["by"] == "agent"), "{slices:?}");
    assert!(slices.iter().all(|slice| slice["rows"].as_u64() > Some(0)), "{slices:?}");
    assert!(text.contains("promoted\n  - nothing to compare with"), "a promotion without a reason");
    let of_time = block_on(host.training().run(&TimeTrainer::default())).unwrap().version;
    let of_time = model_card(&of_time).unwrap();
    assert!(of_time.contains("seconds") && !of_time.contains("## Is the probability true"), "{of_time}");
    let of_quality = block_on(host.training().run(&QualityTrainer::default())).unwrap().version;
    assert!(model_card(&of_quality).unwrap().contains("The final quality of a generation"));
}

#[test]
fn progress_is_monotone_and_a_cancelled_run_registers_nothing() {
    let host = Host::new();
    let reports = Arc::new(Mutex::new(Vec::<Progress>::new()));
    let kept = reports.clone();
    let work = ExecutionContext::new().with_progress(move |p| kept.lock().unwrap().push(p.clone()));
    block_on(host.training().with_execution(work).run(&SuccessTrainer::default())).unwrap();
    let reports = reports.lock().unwrap();
    assert!(reports.is_sorted_by(|a, b| a.fraction <= b.fraction), "{reports:?}");
    let stages: Vec<_> = reports.iter().map(|p| p.stage.as_str()).collect();
    assert!(stages.first() == Some(&"reading") && stages.last() == Some(&"done"), "{stages:?}");
    assert!(reports.last().unwrap().remaining.is_some());

    // At each stage, and within them.
    for stage in ["reading", "fitting success", "scoring folds", "registering"] {
        let cancel = CancellationToken::new();
        let switch = cancel.clone();
        let work = ExecutionContext::new().with_cancel(&cancel).with_progress(move |p| {
            if p.stage == stage {
                switch.cancel();
            }
        });
        let run = host.training().with_execution(work);
        let done = block_on(run.run(&SuccessTrainer::default()));
        // Once registration has started it completes.
        assert_eq!(done.is_ok(), stage == "registering");
        assert!(done.err().is_none_or(|e| e.kind() == ErrorKind::Cancelled));
    }
    let mut slowest = Duration::ZERO;
    for moment in (5..400).step_by(40) {
        let cancel = CancellationToken::new();
        let work = ExecutionContext::new().with_cancel(&cancel);
        let switch = cancel.clone();
        let waker = thread::spawn(move || {
            thread::sleep(Duration::from_millis(moment));
            switch.cancel();
            Instant::now()
        });
        let done = block_on(host.training().with_execution(work).run(&SuccessTrainer::default()));
        let ended = Instant::now();
        let cancelled = waker.join().unwrap();
        if let Err(e) = done {
            assert_eq!(e.kind(), ErrorKind::Cancelled);
            slowest = slowest.max(ended.saturating_duration_since(cancelled));
        }
    }
    println!("the slowest cancellation took {slowest:?}");
    let versions = block_on(host.registry.versions("success")).unwrap();
    assert!(versions.iter().all(|v| !v.verdicts.is_empty()), "half registered");
}

#[test]
fn artefacts_are_the_same_on_one_and_two_threads() {
    let made = |threads: usize| {
        let host = Host::new();
        let work = ExecutionContext::new().with_threads(threads).unwrap();
        let mut options = TrainingOptions::default();
        options.folds = None;
        let training = host.training().with_options(options).with_execution(work);
        let trained = [
            block_on(training.run(&SuccessTrainer::default())).unwrap().record,
            block_on(training.run(&TimeTrainer::default())).unwrap().record,
        ];
        let artefacts = ["success", "time"].map(|model| {
            let served = block_on(host.registry.artefact(model, 1)).unwrap();
            (served, block_on(host.registry.evaluation_artefact(model, 1)).unwrap().unwrap())
        });
        let records = trained.map(|record| {
            let mut record = serde_json::to_value(&record).unwrap();
            record.as_object_mut().unwrap().remove("seconds").unwrap();
            record
        });
        (artefacts, records)
    };
    let (one, two) = (made(1), made(2));
    assert!(one.0 == two.0, "the artefacts differ");
    assert_eq!(one.1, two.1);
}
