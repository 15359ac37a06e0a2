//! From the store to the registry: training, rejection and registration.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::world::store_of;
use devmatrix_ml::clock::Clock;
use devmatrix_ml::dataset::{Dataset, Target};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{Predictor, SuccessParams, SuccessTrainer, Trainer, conformance};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry, Stage};
use devmatrix_ml::store::MemoryStore;
use devmatrix_ml::training::{Split, Training, TrainingOptions, TrainingReport, replay};
use devmatrix_ml::{ErrorKind, Result};
use futures_executor::block_on;

fn with_floors() -> TrainingOptions {
    let mut options = TrainingOptions::default();
    options.gate.floors = [("accuracy".to_owned(), 0.75), ("auc".to_owned(), 0.8)].into();
    options
}

fn dataset(days: u32, seed: u64) -> Dataset {
    let (store, clock) = store_of(days, 60.0, seed);
    block_on(replay(store.as_ref(), &FeatureEngineer::default(), Target::Success, clock.now(), 50_000))
        .unwrap()
}

fn run(
    store: &MemoryStore,
    registry: &MemoryRegistry,
    clock: &dyn Clock,
    options: &TrainingOptions,
) -> Result<TrainingReport> {
    block_on(
        Training::new(store, registry, &FeatureEngineer::default(), clock)
            .with_options(options.clone())
            .run(&SuccessTrainer::default()),
    )
}

#[test]
fn the_success_model_conforms() {
    conformance::check(&SuccessTrainer::default(), &dataset(12, 1));
}

#[test]
fn the_artefact_is_the_same_on_any_number_of_threads() {
    let data = dataset(12, 2);
    let bytes = |threads| {
        let mut params = SuccessParams::default();
        params.boost.threads = threads;
        SuccessTrainer::new(params).unwrap().fit(&data).unwrap().to_bytes().unwrap()
    };
    assert!(bytes(1) == bytes(2));
}

#[test]
fn too_few_labels_are_a_typed_error_without_a_registration() {
    let (store, clock) = store_of(1, 60.0, 3);
    let registry = MemoryRegistry::new();
    let error = run(&store, &registry, &clock, &TrainingOptions::default()).unwrap_err();
    let ErrorKind::NotEnoughData { have, need } = error.kind() else { panic!("{error}") };
    assert!(have < 100 && need == 100, "{error}");
    assert!(format!("{error:#}").contains(&have.to_string()));
    assert!(block_on(registry.versions("success")).unwrap().is_empty());
}

#[test]
fn a_run_registers_its_evaluation() {
    let (store, clock) = store_of(15, 60.0, 4);
    let registry = MemoryRegistry::new();
    let report = run(&store, &registry, &clock, &TrainingOptions::default()).unwrap();
    assert!(report.promoted, "{:?}", report.reasons);
    let version = block_on(registry.production("success")).unwrap().unwrap();
    assert_eq!((version.version, version.stage), (1, Stage::Production));
    assert!(version.metrics["auc"] > 0.6 && version.metrics.contains_key("constant.logloss"));
    for score in ["accuracy", "f1", "auc", "logloss", "brier", "ece"] {
        assert!(version.metrics.contains_key(score), "{score}");
    }
    assert_eq!(version.feature_schema, dataset(1, 4).schema);
    assert_eq!(version.data_until, Some(clock.now()));
    assert_eq!(version.verdicts.len(), 1);
    assert_eq!(version.verdicts[0].reasons, report.reasons);
    assert!(version.parameters["model"]["l2"].is_number());
}

#[test]
fn the_designs_floors_reject_with_a_reason() {
    let (store, clock) = store_of(15, 60.0, 5);
    let registry = MemoryRegistry::new();
    let report = run(&store, &registry, &clock, &with_floors()).unwrap();
    assert!(!report.promoted);
    assert!(
        report.reasons.iter().any(|r| r.contains("auc") && r.contains("not above its floor of 0.800")),
        "{:?}",
        report.reasons
    );
    assert!(block_on(registry.production("success")).unwrap().is_none());
    let kept = block_on(registry.version("success", 1)).unwrap();
    assert!(!kept.verdicts[0].promoted && !kept.verdicts[0].reasons.is_empty());
}

#[test]
fn a_second_run_is_compared_with_the_first() {
    let (store, clock) = store_of(20, 60.0, 6);
    let registry = MemoryRegistry::new();
    run(&store, &registry, &clock, &TrainingOptions::default()).unwrap();
    let second = run(&store, &registry, &clock, &TrainingOptions::default()).unwrap();
    assert!(second.version.report["evaluation"]["against_champion"].is_object());
    assert!(
        second
            .reasons
            .iter()
            .any(|r| r.contains("inconclusive: not significantly better than the model in production")),
        "{:?}",
        second.reasons
    );
    assert!(!second.promoted, "it is the same model");
    assert_eq!(second.version.parent, Some(1));
}

#[test]
fn a_random_split_is_stratified() {
    let (store, clock) = store_of(15, 60.0, 7);
    let mut options = TrainingOptions::default();
    options.split = Split::StratifiedRandom;
    let report = run(&store, &MemoryRegistry::new(), &clock, &options).unwrap();
    let rows = &report.version.report["evaluation"]["rows"];
    let (train_rows, test_rows) = (rows[0].as_f64().unwrap(), rows[1].as_f64().unwrap());
    let share = test_rows / (train_rows + test_rows);
    assert!((0.12..0.25).contains(&share), "{share}");
}

#[test]
fn options_out_of_range_are_rejected() {
    let (store, clock) = store_of(2, 60.0, 8);
    let mut options = TrainingOptions::default();
    options.test_fraction = f64::NAN;
    let error = run(&store, &MemoryRegistry::new(), &clock, &options).unwrap_err();
    assert!(format!("{error:#}").contains("test_fraction is NaN"), "{error}");
    let mut params = SuccessParams::default();
    params.l2 = -1.0;
    assert!(SuccessTrainer::new(params).unwrap_err().to_string().contains("l2 is -1"));
}
