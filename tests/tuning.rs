//! Hyperparameter search and feature selection: deterministic, and without false gains.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::world::store_of;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::Clock;
use devmatrix_ml::dataset::{Dataset, Target};
use devmatrix_ml::execution::{CancellationToken, ExecutionContext};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{Predictor, SuccessParams, SuccessTrainer, TimeTrainer, Trainer};
use devmatrix_ml::training::{
    Hyperparameter, Range, Selection, SelectionOptions, Study, Tunable, TuningOptions, replay,
    select_features, tune,
};
use futures_executor::block_on;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

fn dataset(days: u32, target: Target) -> Dataset {
    let (store, clock) = store_of(days, 40.0, 3);
    block_on(replay(store.as_ref(), &FeatureEngineer::default(), target, clock.now(), 50_000)).unwrap()
}

fn few(trials: usize) -> TuningOptions {
    let mut options = TuningOptions::default();
    (options.trials, options.folds.folds) = (trials, 2);
    options
}

fn json(data: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(data).unwrap()
}

/// Returns the search without its duration.
fn timeless(study: &Study) -> serde_json::Value {
    let mut study = json(study);
    study.as_object_mut().unwrap().remove("seconds").unwrap();
    study
}

/// Returns whether the best trial was significantly better than the defaults.
fn is_better(study: &Study) -> bool {
    json(study)["against_defaults"]["upper"].as_f64().is_some_and(|upper| upper < 0.0)
}

fn bytes<T: Trainer>(trainer: &T, data: &Dataset) -> Vec<u8> {
    trainer.fit(data).unwrap().to_bytes().unwrap()
}

/// Creates a trainer with poor hyperparameters.
fn poor() -> SuccessTrainer {
    let mut params = SuccessParams::default();
    (params.l2, params.blend) = (1e-4, 1.0);
    (params.boost.learning_rate, params.boost.rounds, params.boost.l2) = (0.9, 200, 0.0);
    params.boost.max_bins = 256;
    SuccessTrainer::new(params).unwrap()
}

#[test]
fn a_search_is_deterministic_on_one_and_two_threads() {
    let data = dataset(30, Target::Success);
    let on = |threads: usize| {
        let work = ExecutionContext::new().with_threads(threads).unwrap();
        work.run(|| {
            let (trainer, study) = tune(poor(), &data, &few(8)).unwrap();
            (bytes(&trainer, &data), study)
        })
    };
    let (one, two) = (on(1), on(2));
    assert_eq!(timeless(&one.1), timeless(&two.1));
    assert!(one.0 == two.0, "the artefacts differ");
    assert!(one.1.taken, "{}", one.1);
    assert!(is_better(&one.1));
}

#[test]
fn a_search_for_a_regression_model_is_deterministic() {
    let data = dataset(12, Target::Time);
    let (trainer, study) = tune(TimeTrainer::default(), &data, &few(3)).unwrap();
    assert_eq!(json(&study)["trials"].as_array().unwrap().len(), 3);
    assert!(study.to_string().starts_with("3 trials in "), "{study}");
    assert!(trainer.fit(&data).is_ok());
}

#[test]
fn a_search_without_a_gain_keeps_the_defaults() {
    let data = dataset(15, Target::Success);
    let (trainer, study) = tune(SuccessTrainer::default(), &data, &few(1)).unwrap();
    assert!(!study.taken && json(&study)["best"] == 0 && json(&study)["against_defaults"].is_null());
    assert_eq!(trainer.parameters(), SuccessTrainer::default().parameters());
    // A worse setting may win on the folds by chance, but must not be taken.
    let (_, study) = tune(SuccessTrainer::default(), &data, &few(6)).unwrap();
    assert_eq!(study.taken, is_better(&study), "{study}");
}

#[test]
fn an_interrupted_search_resumes_from_its_trial_log() {
    let data = dataset(15, Target::Success);
    let folder = tempfile::tempdir().unwrap();
    let mut options = few(6);
    let whole = tune(poor(), &data, &options).unwrap().1;
    options.journal = Some(folder.path().join("trials.jsonl"));
    // Cancelled when the fourth trial begins.
    let cancel = CancellationToken::new();
    let (stop, trials_started) = (cancel.clone(), AtomicUsize::new(0));
    let work = ExecutionContext::new().with_cancel(&cancel).with_progress(move |_| {
        if trials_started.fetch_add(1, Ordering::Relaxed) == 3 {
            stop.cancel();
        }
    });
    let error = work.run(|| tune(poor(), &data, &options)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let journal = std::fs::read_to_string(options.journal.as_ref().unwrap()).unwrap();
    assert_eq!(journal.lines().count(), 1 + 3, "a head and three trials");
    // A crash may truncate the line being written.
    std::fs::write(options.journal.as_ref().unwrap(), format!("{journal}{{\"numb")).unwrap();
    let resumed = tune(poor(), &data, &options).unwrap().1;
    assert_eq!(timeless(&resumed), timeless(&whole));
    // The log of another search is rejected.
    options.seed += 1;
    let error = tune(poor(), &data, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(format!("{error:#}").contains("another search"), "{error}");
}

#[test]
fn progress_is_reported_and_the_time_limit_ends_a_search() {
    let data = dataset(12, Target::Success);
    let mut options = few(1000);
    options.seconds = Some(0.2);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let kept = reports.clone();
    let work = ExecutionContext::new().with_progress(move |p| kept.lock().unwrap().push(p.clone()));
    let (_, study) = work.run(|| tune(SuccessTrainer::default(), &data, &options)).unwrap();
    assert!(json(&study)["trials"].as_array().unwrap().len() < 1000);
    assert!(study.to_string().contains("the time was up"), "{study}");
    let reports = reports.lock().unwrap();
    assert!(reports.iter().any(|p| p.stage.starts_with("trial ")));
    assert!(reports.is_sorted_by(|a, b| a.fraction <= b.fraction));
}

#[test]
fn options_and_search_spaces_out_of_range_are_rejected() {
    let data = dataset(8, Target::Success);
    let rejection = |change: fn(&mut TuningOptions)| {
        let mut options = few(2);
        change(&mut options);
        tune(SuccessTrainer::default(), &data, &options).unwrap_err().to_string()
    };
    assert!(rejection(|o| o.trials = 0).contains("trials is 0"));
    assert!(rejection(|o| o.seconds = Some(f64::NAN)).contains("seconds is NaN"));
    assert!(rejection(|o| o.validation_fraction = 1.0).contains("validation_fraction is 1"));
    assert!(rejection(|o| o.folds.folds = 0).contains("folds is 0"));
    let trainer = SuccessTrainer::default();
    let unknown = trainer.without(&BTreeSet::from(["colour".to_owned()])).unwrap_err();
    assert!(format!("{unknown:#}").contains("colour"), "{unknown}");
    let mut parameters = trainer.parameters();
    parameters["blend"] = 7.into();
    assert!(trainer.with_parameters(&parameters).unwrap_err().to_string().contains("blend is 7"));
    let paths: Vec<_> = trainer.space().into_iter().map(|parameter: Hyperparameter| parameter.path).collect();
    assert!(paths.iter().all(|path| trainer.parameters().pointer(path).is_some()), "{paths:?}");
    assert!(trainer.space().iter().any(|parameter| matches!(&parameter.range, Range::OneOf(_))));
}

#[test]
fn features_that_show_no_gain_are_dropped_and_the_verdict_says_which() {
    let data = dataset(40, Target::Success);
    let options = SelectionOptions::default();
    let (trainer, selection) = select_features(SuccessTrainer::default(), &data, &options).unwrap();
    println!("{}", selection.reason);
    let features = json(&selection)["features"].as_array().unwrap().clone();
    let gains = |name: &str| features.iter().find(|f| f["feature"] == name).unwrap()["gains"] == true;
    assert!(gains("agent_past_performance") || gains("agent_model_success_rate"));
    assert!(features.iter().any(|f| f["gains"] == false), "a feature without gain exists");
    assert!(!selection.dropped.is_empty(), "{}", selection.reason);
    assert!(selection.dropped.iter().all(|name| !gains(name)));
    let model = trainer.fit(&data).unwrap();
    assert!(model.gains().iter().all(|(name, _)| !selection.dropped.contains(name)));
    let again: Selection = select_features(SuccessTrainer::default(), &data, &options).unwrap().1;
    assert_eq!(selection, again, "it depends on the seed alone");
    let mut wrong = options;
    wrong.tolerance = f64::NAN;
    assert!(select_features(SuccessTrainer::default(), &data, &wrong).is_err());
}
