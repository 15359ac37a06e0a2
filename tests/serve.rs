//! Predictions while models are reloaded.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono_tz::Tz;
use common::world::store_of;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::dataset::Target;
use devmatrix_ml::event::TaskContext;
use devmatrix_ml::features::{FeatureEngineer, FeatureOptions, Topic};
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::models::{
    Attribution, Locale, Predictor, RiskLevel, Status, SuccessModel, SuccessPrediction, SuccessTrainer,
    Trainer,
};
use devmatrix_ml::registry::{DiskRegistry, MemoryRegistry, ModelRegistry, NewVersion, envelope};
use devmatrix_ml::serving::{ModelChange, PredictionService};
use devmatrix_ml::text::{Lexicon, TermRole};
use devmatrix_ml::training::{Training, TrainingOptions, replay};
use futures_executor::block_on;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

struct Served {
    service: PredictionService,
    registry: MemoryRegistry,
    task: TaskContext,
}

/// Creates a service with two registered versions that predict differently, none in production.
fn two_versions() -> Served {
    let (store, clock) = store_of(12, 60.0, 1);
    let engineer = FeatureEngineer::default();
    let registry = MemoryRegistry::new();
    let data = block_on(replay(store.as_ref(), &engineer, Target::Success, clock.now(), 10_000)).unwrap();
    let half = data.examples.len() / 2;
    for model in [&data, &data.filter(|i, _| i < half)].map(|d| SuccessTrainer::default().fit(d).unwrap()) {
        block_on(registry.register(NewVersion::new("success", sealed(&model)))).unwrap();
    }
    let history = Arc::new(block_on(SharedHistory::open(store.as_ref())).unwrap());
    let service = PredictionService::new(history, engineer, Arc::new(clock));
    Served { service, registry, task: common::task("TASK-1") }
}

fn sealed(model: &SuccessModel) -> Vec<u8> {
    envelope::seal("success", &model.to_bytes().unwrap()).unwrap()
}

impl Served {
    fn promote(&self, version: u64) {
        let now = block_on(self.registry.production("success")).unwrap().map(|v| v.version);
        block_on(self.registry.promote("success", version, now)).unwrap();
    }
}

#[test]
fn a_million_predictions_during_a_thousand_reloads_mix_no_versions() {
    const THREADS: u64 = 4;
    const EACH: u64 = 250_000;
    let served = two_versions();
    let quick = served.service.without_explanations();
    let mut expected = HashMap::new();
    for version in [1, 2] {
        served.promote(version);
        block_on(served.service.reload(&served.registry)).unwrap();
        let prediction = quick.predict_success(&served.task).unwrap();
        expected.insert(prediction.model_version, prediction.success_probability.to_bits());
    }
    assert!(expected.len() == 2 && expected[&1] != expected[&2]);
    let (done, mixed) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut reloads = 0;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while count < EACH || !done.load(Ordering::Relaxed) {
                        count += 1;
                        let p = quick.predict_success(&served.task).unwrap();
                        if expected.get(&p.model_version) != Some(&p.success_probability.to_bits()) {
                            mixed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        while reloads < 1000 {
            served.promote(reloads % 2 + 1);
            let swapped = block_on(served.service.reload(&served.registry)).unwrap();
            let change: &ModelChange = &swapped[0];
            assert_eq!((change.model, change.now), ("success", Some(reloads % 2 + 1)));
            reloads += 1;
        }
        done.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|w| w.join().unwrap());
    });
    assert_eq!((reloads, mixed.load(Ordering::Relaxed)), (1000, 0));
}

#[test]
fn an_unreadable_model_keeps_the_previous_one() {
    let served = two_versions();
    served.promote(1);
    block_on(served.service.reload(&served.registry)).unwrap();
    let before = served.service.predict_success(&served.task).unwrap();
    let bad = block_on(served.registry.register(NewVersion::new("success", b"garbage".to_vec()))).unwrap();
    served.promote(bad.version);
    let error = block_on(served.service.reload(&served.registry)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(format!("{error:#}").starts_with("success version 3"), "{error}");
    assert_eq!(served.service.predict_success(&served.task).unwrap(), before);
    block_on(served.registry.roll_back("success")).unwrap();
    assert!(block_on(served.service.reload(&served.registry)).unwrap().is_empty());
    assert_eq!(served.service.versions()[0], ("success", Some(1)));
}

#[test]
fn a_model_of_another_feature_schema_is_rejected() {
    let served = two_versions();
    served.promote(1);
    let lexicon = Lexicon::new([(TermRole::Technical, "kafka")]).unwrap();
    let mut worded = FeatureOptions::default();
    worded.lexicon = lexicon;
    for options in [in_zone(Tz::Asia__Tokyo), worded] {
        let engineer = FeatureEngineer::new(options);
        let clock = Arc::new(ManualClock::at("2025-03-01T00:00:00Z".parse().unwrap()));
        let other = PredictionService::new(Arc::new(SharedHistory::new()), engineer, clock);
        let error = block_on(other.reload(&served.registry)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        assert!(format!("{error:#}").contains("train anew"), "{error}");
        assert_eq!(other.versions()[0], ("success", None));
    }
}

#[test]
fn without_a_model_predictions_are_marked_as_cold_start() {
    let (store, clock) = store_of(12, 60.0, 2);
    let empty = PredictionService::new(
        Arc::new(SharedHistory::new()),
        FeatureEngineer::default(),
        Arc::new(clock.clone()),
    );
    let task = common::task("t");
    let answer = empty.predict_success(&task).unwrap();
    assert_eq!((answer.status, answer.model_version), (Status::InsufficientEvidence, 0));
    assert!(answer.interval.0 < 0.2 && answer.interval.1 > 0.8);
    let history = Arc::new(block_on(SharedHistory::open(store.as_ref())).unwrap());
    let cold = PredictionService::new(history, FeatureEngineer::default(), Arc::new(clock))
        .predict_success(&task)
        .unwrap();
    assert_eq!(cold.status, Status::ColdStart);
    for (level, least) in [(RiskLevel::Low, 0.85), (RiskLevel::Medium, 0.70), (RiskLevel::High, 0.50)] {
        assert_eq!(cold.risk_level <= level, cold.success_probability >= least, "{cold:?}");
    }
}

#[test]
fn a_task_out_of_range_is_rejected_by_field() {
    let served = two_versions();
    let mut task = served.task.clone();
    task.temperature = Some(-3.0);
    let error = served.service.predict_success(&task).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(format!("{error:#}").contains("temperature is -3"), "{error}");
}

/// The whole way over a disk: train, promote, reopen, serve the same.
#[test]
fn a_restarted_service_serves_the_promoted_model() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock) = store_of(12, 60.0, 3);
    let engineer = FeatureEngineer::default();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    let mut options = TrainingOptions::default();
    options.gate.baselines = false; // promotes the model: skill is not tested here
    let trained = block_on(
        Training::new(store.as_ref(), &registry, &engineer, &clock)
            .with_options(options)
            .run(&SuccessTrainer::default()),
    );
    assert!(trained.unwrap().promoted);
    let history = Arc::new(block_on(SharedHistory::open(store.as_ref())).unwrap());
    let task = common::task("t");
    let predictions: Vec<_> = (0..2)
        .map(|_| {
            let registry = DiskRegistry::open(folder.path()).unwrap();
            let service = PredictionService::new(history.clone(), engineer.clone(), Arc::new(clock.clone()));
            assert_eq!(block_on(service.reload(&registry)).unwrap()[0].now, Some(1));
            service.predict_success(&task).unwrap()
        })
        .collect();
    assert_eq!(predictions[0], predictions[1]);
    assert_eq!(predictions[0].status, Status::Calibrated);
}

#[derive(Debug)]
struct Numbered;

impl Locale for Numbered {
    fn sentence(&self, reason: &Attribution) -> String {
        format!("<{}>", reason.feature)
    }

    fn topic(&self, topic: Topic) -> String {
        format!("#{topic:?}")
    }
}

#[test]
fn explanations_are_worded_by_the_locale_and_summed_by_topic() {
    let served = two_versions();
    served.promote(1);
    block_on(served.service.reload(&served.registry)).unwrap();
    let english = served.service.predict_success(&served.task).unwrap();
    let service = served.service.with_locale(Arc::new(Numbered));
    let found = service.predict_success(&served.task).unwrap();
    assert!(!found.risk_factors.is_empty());
    for (theirs, ours) in found.risk_factors.iter().zip(&english.risk_factors) {
        assert_eq!(theirs.text, format!("<{}>", ours.feature));
        assert_eq!((&theirs.fact, theirs.contribution), (&ours.fact, ours.contribution));
    }
    let sum = |p: &SuccessPrediction| p.attributions_by_topic.iter().map(|g| g.contribution).sum::<f64>();
    assert_eq!(sum(&found), sum(&english));
    assert!(found.attributions_by_topic.iter().all(|g| g.text.starts_with(&format!("#{:?}: <", g.topic))));
    assert!(
        service
            .without_explanations()
            .predict_success(&served.task)
            .unwrap()
            .attributions_by_topic
            .is_empty()
    );
}

fn in_zone(zone: chrono_tz::Tz) -> FeatureOptions {
    let mut options = FeatureOptions::default();
    options.zone = zone;
    options
}
