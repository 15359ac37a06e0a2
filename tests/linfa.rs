//! Estimators of `linfa` are trained, evaluated and served as the built-in models are; rules explain models.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::TimeDelta;
use common::small::{model, world};
use common::world::store_of;
use devmatrix_ml::clock::Clock;
use devmatrix_ml::dataset::{Dataset, DatasetBuilder, Target};
use devmatrix_ml::event::{ColumnValue, Record};
use devmatrix_ml::features::{FEATURES, FeatureEngineer, FeatureOptions, HostColumn, HostColumns, Kind};
use devmatrix_ml::models::{LinfaTrainer, Predictor, Status, Surrogate, Trainer, conformance};
use devmatrix_ml::monitoring::{ModelFacts, Monitor, MonitorOptions, dashboard};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry};
use devmatrix_ml::training::{BacktestOptions, TrainingOptions, backtest_with, model_card};
use devmatrix_ml::{Completion, Engine, ErrorKind, Feedback, TaskContext, UserAction};
use futures_executor::block_on;
use linfa::prelude::*;
use linfa_bayes::{GaussianNb, NaiveBayes};
use linfa_elasticnet::ElasticNet;
use linfa_logistic::{FittedLogisticRegression, LogisticRegression};
use linfa_svm::Svm;
use linfa_trees::DecisionTree;
use ndarray::{Array1, Array2, Axis, Ix1};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

type Rows = linfa::Dataset<f64, f64, Ix1>;

fn succeeded(rows: Rows) -> linfa::Dataset<f64, bool, Ix1> {
    rows.map_targets(|label| *label > 0.5)
}

fn logistic() -> LinfaTrainer<FittedLogisticRegression<f64, bool>> {
    LinfaTrainer::new(
        "success_logistic",
        Target::Success,
        |rows| LogisticRegression::default().alpha(20.0).fit(&succeeded(rows)),
        |model: &FittedLogisticRegression<f64, bool>, rows| model.predict_probabilities(rows),
    )
}

/// Both outcomes weigh alike: linfa-trees joins leaves of one class, so that of a tree which says success everywhere nothing
/// is left.
fn balanced(rows: Rows) -> linfa::Dataset<f64, bool, Ix1> {
    let rate = rows.targets().mean().unwrap();
    let weights =
        rows.targets().mapv(|label| (if label > 0.5 { 1.0 / rate } else { 1.0 / (1.0 - rate) }) as f32);
    succeeded(rows).with_weights(weights)
}

fn tree() -> LinfaTrainer<DecisionTree<f64, bool>> {
    LinfaTrainer::new(
        "success_tree",
        Target::Success,
        |rows| DecisionTree::params().max_depth(Some(3)).min_weight_leaf(30.0).fit(&balanced(rows)),
        |model: &DecisionTree<f64, bool>, rows| model.predict(rows).mapv(|yes| f64::from(u8::from(yes))),
    )
}

fn bayes() -> LinfaTrainer<GaussianNb<f64, usize>> {
    LinfaTrainer::new(
        "success_bayes",
        Target::Success,
        |rows| {
            GaussianNb::params().var_smoothing(0.1).fit(&rows.map_targets(|label| usize::from(*label > 0.5)))
        },
        |model: &GaussianNb<f64, usize>, rows| {
            let (probabilities, classes) = model.predict_proba(rows.view());
            let success = classes.iter().position(|class| **class == 1).unwrap();
            probabilities.column(success).to_owned()
        },
    )
}

fn svm() -> LinfaTrainer<Svm<f64, bool>> {
    LinfaTrainer::new(
        "success_svm",
        Target::Success,
        |rows| Svm::<f64, bool>::params().pos_neg_weights(0.1, 0.1).linear_kernel().fit(&succeeded(rows)),
        |model: &Svm<f64, bool>, rows| {
            rows.axis_iter(Axis(0)).map(|row| model.weighted_sum(&row) - model.rho).collect()
        },
    )
}

fn elastic_net() -> LinfaTrainer<ElasticNet<f64>> {
    LinfaTrainer::new(
        "seconds",
        Target::Time,
        |rows| {
            ElasticNet::params().penalty(0.05).l1_ratio(0.5).fit(&rows.map_targets(|seconds| seconds.ln_1p()))
        },
        |model: &ElasticNet<f64>, rows| model.predict(rows).mapv(f64::exp_m1),
    )
}

fn rows(target: Target, most: usize) -> Dataset {
    let (builder, now) = world();
    builder.rows(target, now, most)
}

/// Those of a world with more to learn.
fn many(target: Target) -> Dataset {
    let events = common::small::events(40, 40.0, 5).into_iter();
    let mut records: Vec<Record> = events.flat_map(|event| event.into_records().unwrap()).collect();
    records.sort_by_cached_key(|record| (record.known_at(), record.key()));
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    records.iter().for_each(|record| builder.apply(record));
    builder.rows(target, records.last().unwrap().known_at(), 2_000)
}

#[test]
fn five_estimators_keep_to_what_every_model_must() {
    let success = rows(Target::Success, 400);
    conformance::check(&logistic(), &success);
    conformance::check(&tree(), &success);
    conformance::check(&bayes(), &success);
    conformance::check(&svm(), &success);
    conformance::check(&elastic_net(), &rows(Target::Time, 400));
}

#[test]
fn estimators_learn_what_there_is_to_learn() {
    let data = many(Target::Success);
    let (train, test) = data.split_by_time(0.3).unwrap();
    let labels: Vec<_> = test.iter().map(|e| e.label).collect();
    fn points<T: Trainer>(trainer: &T, train: &Dataset, test: &[devmatrix_ml::dataset::Example]) -> Vec<f64> {
        let model = trainer.fit(train).unwrap();
        test.iter().map(|e| model.point(&e.features)).collect()
    }
    for (name, points) in [
        ("logistic", points(&logistic(), &train, &test)),
        ("tree", points(&tree(), &train, &test)),
        ("bayes", points(&bayes(), &train, &test)),
        ("svm", points(&svm(), &train, &test)),
    ] {
        assert!(points.iter().all(|p| (0.0..=1.0).contains(p)), "{name}");
        let auc = logistic().scores(&points, &labels).unwrap()["auc"];
        println!("{name}: {auc}");
        assert!(auc > 0.55, "{name}: {auc}");
    }
    let data = many(Target::Time);
    let (train, test) = data.split_by_time(0.3).unwrap();
    let model = elastic_net().fit(&train).unwrap();
    let inside = test.iter().filter(|e| {
        let [(low, high), _] = model.intervals(&e.features).unwrap();
        (low..=high).contains(&e.label)
    });
    let coverage = inside.count() as f64 / test.len() as f64;
    assert!((0.7..0.9).contains(&coverage), "{coverage}");
}

#[test]
fn an_engine_trains_and_serves_them_and_reads_them_again() {
    let (store, clock) = store_of(30, 40.0, 5);
    let registry = Arc::new(MemoryRegistry::new());
    let open = || {
        let mut options = TrainingOptions::default();
        options.gate.baselines = false;
        let builder = Engine::builder().with_store(store.clone()).with_registry(registry.clone());
        let builder = builder.with_clock(Arc::new(clock.clone())).with_training(options);
        block_on(builder.with_model(logistic()).with_model(tree()).with_model(elastic_net()).open()).unwrap()
    };
    let engine = open();
    let task = TaskContext::of("TASK-1").unwrap();
    let before = engine.predict(&task).unwrap().others;
    assert!(before.values().all(|estimate| estimate.model_version == 0), "{before:?}");
    let summary = block_on(engine.run_nightly()).unwrap();
    let served = engine.predict(&task).unwrap().others;
    for name in ["success_logistic", "success_tree", "seconds"] {
        let estimate = &served[name];
        assert_eq!((estimate.model_version, estimate.status), (1, Status::Calibrated), "{name}: {summary}");
        assert!(estimate.interval_80.0 <= estimate.value && estimate.value <= estimate.interval_80.1);
    }
    let typed = engine.service().predict_with(&logistic(), &task).unwrap();
    assert_eq!(typed, Some(served["success_logistic"].value));
    block_on(engine.close()).unwrap();
    let again = open();
    assert_eq!(again.predict(&task).unwrap().others["seconds"].value, served["seconds"].value);

    let version = block_on(registry.production("success")).unwrap().unwrap();
    let card = model_card(&version).unwrap();
    assert!(card.contains("## In rules") && card.contains("| predicts | of tasks | where |"), "{card}");
    let now = clock.now();
    let facts = block_on(ModelFacts::read(registry.as_ref())).unwrap();
    let report = Monitor::new(MonitorOptions::default()).unwrap().analytics(now, &facts);
    let page = dashboard::render(&report, &[]);
    assert!(page.contains("data-surrogate-r2"));
    block_on(again.close()).unwrap();
}

#[test]
fn a_backtest_evaluates_them() {
    let events = common::small::events(20, 40.0, 3);
    let report = backtest_with(elastic_net(), events, &BacktestOptions::default()).unwrap();
    assert!(report.metrics["mae"] < report.baselines["constant"]["mae"] * 1.2, "{:?}", report.metrics);
}

/// An estimator that fails in one of the ways in which estimators do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Failing {
    Panics,
    GivesNaN,
    GivesTooFew,
}

fn failing(how: Failing) -> LinfaTrainer<Failing> {
    let fit = move |_: Rows| Ok::<_, linfa::Error>(how);
    LinfaTrainer::new("failing", Target::Success, fit, |how: &Failing, rows: &Array2<f64>| match how {
        Failing::Panics => panic!("no"),
        Failing::GivesNaN => Array1::from_elem(rows.nrows(), f64::NAN),
        Failing::GivesTooFew => Array1::zeros(0),
    })
}

#[test]
fn what_cannot_be_fitted_is_an_error_that_says_why() {
    let data = rows(Target::Success, 200);
    for how in [Failing::Panics, Failing::GivesNaN, Failing::GivesTooFew] {
        let error = failing(how).fit(&data).unwrap_err();
        assert!(error.to_string().contains("does not give one finite number a row"), "{error:#}");
    }
    let error = logistic().fit(&data.filter(|i, _| i < 20)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotEnoughData { need: 50, .. }), "{error:#}");
    let error = logistic().fit(&data.filter(|_, e| e.label == 1.0)).unwrap_err();
    assert!(error.to_string().contains("are successes: record both"), "{error:#}");
    assert!(model(&data).surrogate(&data.filter(|i, _| i < 20)).is_err());
}

#[test]
fn damaged_and_hostile_models_are_refused() {
    let bytes = tree().fit(&rows(Target::Success, 300)).unwrap().to_bytes().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let refused = |text: &str| tree().read(text.as_bytes()).unwrap_err().kind();
    assert_eq!(refused(&text.replace("\"linfa_model\":1", "\"linfa_model\":2")), ErrorKind::Incompatible);
    assert_eq!(refused(&text.replace("\"known\":[", "\"known\":[9999999,")), ErrorKind::Corrupt);
    assert_eq!(refused(&text.replace("\"feature_idx\":", "\"feature_idx\":99")), ErrorKind::Corrupt);
    assert_eq!(refused(&"{\"estimator\":".repeat(100_000)), ErrorKind::Corrupt);
}

/// Rows whose success depends on a category of the host alone, which some tasks lack.
fn with_columns() -> Dataset {
    let columns =
        HostColumns::new([HostColumn::category("team"), HostColumn::number("coverage").unit("%")]).unwrap();
    let engineer = FeatureEngineer::new(FeatureOptions::default().with_columns(columns));
    let mut builder = DatasetBuilder::new(engineer);
    let mut now = "2025-03-03T09:00:00Z".parse().unwrap();
    for i in 0..300_u32 {
        let id = format!("e{i}");
        let mut task = TaskContext::of(format!("TASK-{i}")).unwrap();
        let good = i.is_multiple_of(2);
        task.columns.insert("team".into(), ColumnValue::from(["red", "blue"][usize::from(good)]));
        if i % 3 > 0 {
            task.columns.insert("coverage".into(), f64::from(i % 7).into());
        }
        let action = if good { UserAction::Approve } else { UserAction::Reject };
        let mut event =
            devmatrix_ml::event::GenerationEvent::new(devmatrix_ml::EventId::new(&id).unwrap(), now, task);
        now += TimeDelta::minutes(5);
        event.completion = Some(devmatrix_ml::event::Known { value: Completion::default(), known_at: now });
        event.feedback.push(devmatrix_ml::event::Known { value: Feedback::new(action), known_at: now });
        event.into_records().unwrap().iter().for_each(|record: &Record| builder.apply(record));
    }
    builder.rows(Target::Success, now, 1_000)
}

#[test]
fn records_have_names_kinds_and_sparse_texts_and_the_hosts_columns() {
    let data = with_columns();
    let records = data.records();
    assert_eq!(records.values.dim(), (300, FEATURES.len() + 2));
    assert_eq!(records.columns[FEATURES.len()], ("team".to_owned(), Kind::Category));
    assert_eq!(records.columns[FEATURES.len() + 1], ("coverage".to_owned(), Kind::Number));
    let coverage = records.values.column(FEATURES.len() + 1);
    assert!(coverage[0].is_nan() && coverage[1] == 1.0);
    let simulated = rows(Target::Success, 50).records();
    assert_eq!((simulated.ngrams.rows(), simulated.ngrams.cols()), (50, 1 << 20));
    assert!(simulated.ngrams.nnz() > 50);
}

#[test]
fn rows_for_linfa_miss_nothing_and_take_no_code_for_a_number() {
    let rows = with_columns().to_linfa().unwrap();
    let names = rows.feature_names();
    assert!(rows.records().iter().all(|value| value.is_finite() && value.abs() <= 3.0));
    assert!(names.iter().any(|name| name == "coverage is known"), "{names:?}");
    assert!(!names.iter().any(|name| name == "project_encoded"), "{names:?}");
    let team = rows.records().column(names.iter().position(|name| name == "team").unwrap()).to_owned();
    let distinct: std::collections::BTreeSet<_> = team.iter().map(|v| (v * 10.0).round() as i64).collect();
    assert!(distinct.len() <= 4, "a category is the mean of its labels: {distinct:?}");
    let model = logistic().fit(&with_columns()).unwrap();
    let data = with_columns();
    let points: Vec<_> = data.examples.iter().map(|e| model.point(&e.features)).collect();
    assert!(points[200] > 0.8 && points[201] < 0.2, "{points:?}");
}

#[test]
fn rules_say_what_a_model_predicts() {
    let data = many(Target::Success);
    let fitted = model(&data);
    let rules: Surrogate = fitted.surrogate(&data).unwrap();
    assert!(rules.r2 > 0.3 && rules.concordance > 0.65, "{rules}");
    assert_eq!(rules, fitted.surrogate(&data).unwrap());
    let text = rules.to_string();
    assert!(text.contains(" % of tasks): ") && !text.contains('{') && !text.contains('_'), "{text}");
    let own = logistic().fit(&with_columns()).unwrap().surrogate(&with_columns()).unwrap();
    assert!(own.r2 <= 1.0, "{own}");
}
