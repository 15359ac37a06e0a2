//! External models: the same predictions as in their library, registered with a verdict, or rejected.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, Utc};
use common::world::store_of;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::dataset::{Dataset, Target};
use devmatrix_ml::features::{FEATURES, FeatureEngineer, Kind, KnownWhen, index_of};
use devmatrix_ml::ml::{
    BoostParams, ExternalTrees, FitRequest, Margin, Matrix, Objective, Sample, Trees, sigmoid,
};
use devmatrix_ml::models::open_artefact;
use devmatrix_ml::models::{ExternalModel, ExternalModelOptions, Predictor, Status, SuccessTrainer, Trainer};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry, Stage};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::store::MemoryStore;
use devmatrix_ml::training::{Gate, Training, TrainingOptions, replay};
use devmatrix_ml::{ErrorKind, Result};
use futures_executor::block_on;
use std::fs;
use std::path::PathBuf;

/// Returns the folder of models with rows and predictions of the libraries that trained them: those of the
/// repository, or those that `.ci/with_foreign_models` trained.
fn folder() -> PathBuf {
    let carried = || concat!(env!("CARGO_MANIFEST_DIR"), "/tests/external").to_owned();
    std::env::var("DEVMATRIX_FOREIGN_MODELS").unwrap_or_else(|_| carried()).into()
}

fn carried(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/external")).join(name)).unwrap()
}

fn rows() -> Vec<f32> {
    let bytes = fs::read(folder().join("rows.f32")).unwrap();
    bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn numbers(path: PathBuf) -> Vec<f64> {
    fs::read(path).unwrap().chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

const WIDTH: usize = 6;

#[test]
fn predictions_equal_those_of_the_training_library() {
    let rows = rows();
    let mut models = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("exported") || !["json", "ubj", "txt"].iter().any(|e| name.ends_with(e)) {
            continue;
        }
        let found = ExternalTrees::read(&fs::read(&path).unwrap()).unwrap();
        let theirs = numbers(path.with_file_name(format!("{name}.f64")));
        assert_eq!(theirs.len(), rows.len() / WIDTH);
        let off = rows.chunks(WIDTH).zip(&theirs).map(|(row, theirs)| {
            let margin = found.trees.margin(row).unwrap();
            let ours = match found.margin {
                Margin::LogOdds => sigmoid(margin),
                Margin::LogValue => margin.exp(),
                _ => margin,
            };
            (ours - theirs).abs() / theirs.abs().max(1.0)
        });
        let farthest = off.fold(0.0, f64::max);
        println!("{name}: {} rows, largest difference {farthest:.2e}", theirs.len());
        assert!(farthest <= 1e-6, "{name}: {farthest:e}");
        models += 1;
    }
    assert!(models >= 6, "{models}");
}

/// `.ci/with_foreign_models` compares these with XGBoost's own predictions.
#[test]
fn trees_of_this_crate_are_exported_in_xgboosts_format() {
    let values = rows();
    let learned = &values[..values.len().min(5000 * WIDTH)];
    let score =
        |row: &[f32]| row.iter().map(|v| if v.is_nan() { 0.3 } else { f64::from(v % 7.0) }).sum::<f64>();
    let scores: Vec<_> = learned.chunks(WIDTH).map(score).collect();
    let yes: Vec<_> = scores.iter().map(|s| f64::from(u8::from(*s % 3.0 > 1.5))).collect();
    for (name, objective, labels) in [
        ("logistic", Objective::Logistic, &yes),
        ("squared", Objective::SquaredError, &scores),
        ("absolute", Objective::AbsoluteError, &scores),
        ("quantile", Objective::Quantile(0.9), &scores),
    ] {
        let sample = Sample::new(Matrix { values: learned, width: WIDTH }, labels);
        let request = FitRequest::new(objective, sample).with_categories(&[4, 5]);
        let trees = Trees::fit(&BoostParams::regression(), &request).unwrap();
        let link = |margin: f64| if objective == Objective::Logistic { sigmoid(margin) } else { margin };
        let ours: Vec<_> = values.chunks(WIDTH).map(|row| link(trees.margin(row).unwrap())).collect();
        let bytes = trees.to_bytes().unwrap();
        if std::env::var_os("DEVMATRIX_FOREIGN_MODELS").is_some() {
            let ours: Vec<u8> = ours.iter().flat_map(|v| v.to_le_bytes()).collect();
            fs::write(folder().join(format!("exported-{name}.ubj")), &bytes).unwrap();
            fs::write(folder().join(format!("exported-{name}.f64")), ours).unwrap();
        }
        let back = Trees::from_bytes(&bytes).unwrap();
        assert!(values.chunks(WIDTH).zip(&ours).all(|(row, y)| link(back.margin(row).unwrap()) == *y));
    }
}

fn long_ago() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn refusal(bytes: &[u8], target: Target, options: &ExternalModelOptions) -> (ErrorKind, String) {
    let error = ExternalModel::read(bytes, target, long_ago(), options).unwrap_err();
    (error.kind(), format!("{error:#}"))
}

fn named<const N: usize>(names: [&str; N]) -> ExternalModelOptions {
    let mut options = ExternalModelOptions::default();
    options.names = Some(names.map(str::to_owned).to_vec());
    options
}

const NAMES: [&str; WIDTH] = [
    "agent_past_performance",
    "task_description_length",
    "temperature",
    "num_technical_terms",
    "agent_type_encoded",
    "model_used_encoded",
];

#[test]
fn incompatible_models_are_rejected_with_the_reason() {
    let usual = ExternalModelOptions::default();
    let text = carried("lightgbm-logistic.txt");
    let says = |names: [&str; WIDTH]| refusal(&text, Target::Success, &named(names)).1;
    let with = |index: usize, name| {
        let mut names = NAMES;
        names[index] = name;
        names
    };
    assert!(says(with(0, "agent_past_performence")).contains("the nearest is \"agent_past_performance\""));
    assert!(says(with(1, NAMES[0])).contains("named twice"));
    assert!(says(with(1, "lines_of_code")).contains("known once the generation has ended"));
    assert!(says(with(4, "num_entities")).contains("takes num_entities for a category"));
    assert!(refusal(&text, Target::Success, &named(["temperature"])).1.contains("1 names are given"));
    assert!(ExternalModel::read(&text, Target::Success, long_ago(), &named(NAMES)).is_ok());
    let nameless = String::from_utf8(text.clone()).unwrap();
    let nameless =
        nameless.replace(&NAMES.join(" "), "Column_0 Column_1 Column_2 Column_3 Column_4 Column_5");
    assert!(refusal(nameless.as_bytes(), Target::Success, &usual).1.contains("does not name its 6 features"));
    for target in [Target::Time, Target::Quality, Target::Complexity] {
        let (kind, message) = refusal(&text, target, &usual);
        assert!(
            kind == ErrorKind::Incompatible && message.contains("squared or absolute error"),
            "{message}"
        );
    }
    let (kind, message) = refusal(&carried("xgboost-squared.ubj"), Target::Success, &usual);
    assert!(kind == ErrorKind::Incompatible && message.contains("binary:logistic"), "{message}");
    let mut logged = ExternalModelOptions::default();
    logged.log_label = true;
    assert_eq!(refusal(&text, Target::Success, &logged).0, ErrorKind::InvalidInput);
    assert_eq!(refusal(&text, Target::Tokens, &usual).0, ErrorKind::InvalidInput);
    let ranker =
        String::from_utf8(text).unwrap().replace("objective=binary sigmoid:1", "objective=lambdarank");
    assert!(refusal(ranker.as_bytes(), Target::Success, &usual).1.contains("the model ranks"));
}

/// Trains trees in XGBoost's format on some features of a host's past rows.
fn trained_elsewhere(data: &Dataset, names: &[&str], log_label: bool) -> Vec<u8> {
    let places: Vec<_> = names.iter().map(|name| index_of(name).unwrap()).collect();
    let values: Vec<f32> =
        data.certain().flat_map(|e| places.iter().map(|p| e.features.values[*p])).collect();
    let labels: Vec<_> = data.certain().map(|e| if log_label { e.label.ln_1p() } else { e.label }).collect();
    let objective =
        if data.target == Target::Success { Objective::Logistic } else { Objective::AbsoluteError };
    let mut params = BoostParams::regression();
    (params.rounds, params.max_leaves) = (60, 8);
    let sample = Sample::new(Matrix { values: &values, width: places.len() }, &labels);
    Trees::fit(&params, &FitRequest::new(objective, sample)).unwrap().to_bytes().unwrap()
}

/// Returns the numeric features that are known before a generation.
fn before() -> Vec<&'static str> {
    let known = FEATURES.iter().filter(|f| f.known == KnownWhen::Before && f.kind != Kind::Category);
    known.map(|f| f.name).collect()
}

struct Host {
    store: std::sync::Arc<MemoryStore>,
    registry: MemoryRegistry,
    engineer: FeatureEngineer,
    clock: ManualClock,
}

impl Host {
    fn new(per_day: f64, seed: u64) -> Self {
        let (store, clock) = store_of(20, per_day, seed);
        Self { store, registry: MemoryRegistry::new(), engineer: FeatureEngineer::default(), clock }
    }

    fn rows(&self, target: Target) -> Dataset {
        block_on(replay(self.store.as_ref(), &self.engineer, target, self.clock.now(), 50_000)).unwrap()
    }

    /// Returns past rows, and the time at which they ended.
    fn past(&self, target: Target) -> (Dataset, DateTime<Utc>) {
        let all = self.rows(target);
        let until = all.examples[all.examples.len() * 3 / 5].started_at;
        (all.until(until), until)
    }

    fn import(&self, model: &ExternalModel) -> Result<devmatrix_ml::training::TrainingReport> {
        let mut options = TrainingOptions::default();
        options.gate = Gate::relative();
        let training = Training::new(self.store.as_ref(), &self.registry, &self.engineer, &self.clock);
        block_on(training.with_options(options).import(model))
    }
}

fn options_for(names: &[&str], log_label: bool) -> ExternalModelOptions {
    let mut options = ExternalModelOptions::default();
    options.names = Some(names.iter().map(|name| (*name).to_owned()).collect());
    options.log_label = log_label;
    options
}

#[test]
fn an_external_model_is_promoted_on_evidence_and_explains_its_predictions() {
    let host = Host::new(400.0, 11);
    let names = before();
    let (past, until) = host.past(Target::Success);
    let bytes = trained_elsewhere(&past, &names, false);
    let model = ExternalModel::read(&bytes, Target::Success, until, &options_for(&names, false)).unwrap();
    let report = host.import(&model).unwrap();
    assert!(report.promoted, "{:?}", report.reasons);
    let version = block_on(host.registry.production("success")).unwrap().unwrap();
    assert!(version.metrics["auc"] > 0.55 && version.metrics.contains_key("agent_prior.logloss"));
    assert_eq!(version.parameters["model"]["imported"]["format"], "XGBoost (UBJSON)");
    assert_eq!(version.parameters["model"]["imported"]["sha256"].as_str().unwrap().len(), 64);
    assert!(version.data_from.unwrap() >= until, "only rows that it was not trained on");

    let artefact = block_on(host.registry.artefact("success", version.version)).unwrap();
    let served = open_artefact(&SuccessTrainer::default(), &artefact).unwrap();
    for example in host.rows(Target::Success).examples.iter().take(200) {
        let row = &example.features;
        assert_eq!(served.margin(row), model.margin(row));
        let (base, features, wording) = served.contributions(row);
        let sum = base + features.iter().sum::<f64>() + wording;
        assert!((sum - served.margin(row)).abs() < 1e-4, "{sum} {}", served.margin(row));
        let found = served.predict(row);
        let (p, (low, high), pair) = (found.success_probability, found.interval, found.venn_abers.unwrap());
        assert!(found.status == Status::Calibrated && low <= p && p <= high, "{found:?}");
        assert!(pair.0 <= p && p <= pair.1, "{found:?}");
    }
    assert!(served.gains().iter().map(|(_, share)| share).sum::<f64>() > 0.99);
    assert!(open_artefact(&SuccessTrainer::default(), &artefact[..artefact.len() - 1]).is_err());
    let payload = served.to_bytes().unwrap();
    for end in (0..payload.len()).step_by(997) {
        assert!(SuccessTrainer::default().read(&payload[..end]).is_err(), "cut at {end}");
    }

    let history = std::sync::Arc::new(devmatrix_ml::history::SharedHistory::new());
    let service =
        PredictionService::new(history, host.engineer.clone(), std::sync::Arc::new(host.clock.clone()));
    block_on(service.reload(&host.registry)).unwrap();
    let prediction = service.predict_success(&common::task("TASK-9")).unwrap();
    assert_eq!((prediction.model_version, prediction.status), (version.version, Status::Calibrated));
}

#[test]
fn external_regression_models_get_calibrated_intervals() {
    let host = Host::new(100.0, 12);
    let names = before();
    for (target, log_label) in [(Target::Time, true), (Target::Quality, false), (Target::Complexity, false)] {
        let (past, until) = host.past(target);
        let bytes = trained_elsewhere(&past, &names, log_label);
        let model = ExternalModel::read(&bytes, target, until, &options_for(&names, log_label)).unwrap();
        let report = host.import(&model).unwrap();
        assert_eq!(report.version.model, target.name());
        assert!(!report.reasons.is_empty() && report.version.metrics.contains_key("mae"), "{target}");
        let artefact = block_on(host.registry.artefact(target.name(), report.version.version)).unwrap();
        let holdout_model =
            block_on(host.registry.evaluation_artefact(target.name(), report.version.version));
        assert!(
            holdout_model.unwrap().is_some_and(|holdout_model| holdout_model != artefact),
            "evaluated on rows that it was not calibrated on"
        );
    }
    let model = devmatrix_ml::models::TimeTrainer::default();
    let holdout_model = block_on(host.registry.evaluation_artefact("time", 1)).unwrap().unwrap();
    let holdout_model = open_artefact(&model, &holdout_model).unwrap();
    let (_, newest) = host.rows(Target::Time).split_by_time(0.08).unwrap();
    let covered = newest.iter().filter(|e| {
        let [_, (low, high)] = holdout_model.intervals(&e.features).unwrap();
        (low..=high).contains(&e.label)
    });
    let share = covered.count() as f64 / newest.len() as f64;
    assert!((0.8..=0.99).contains(&share), "{share} of {} within nine in ten", newest.len());
}

#[test]
fn a_worse_external_model_and_one_without_test_rows_are_not_promoted() {
    let host = Host::new(60.0, 13);
    let mut options = TrainingOptions::default();
    options.gate = Gate::relative();
    let training = Training::new(host.store.as_ref(), &host.registry, &host.engineer, &host.clock);
    block_on(training.with_options(options).run(&SuccessTrainer::default())).unwrap();
    // A model trained on inverted labels.
    let (past, until) = host.past(Target::Success);
    let mut upside_down = past.clone();
    upside_down.examples.iter_mut().for_each(|e| e.label = 1.0 - e.label);
    let names = ["agent_past_performance", "temperature"];
    let read = |data: &Dataset, until| {
        let bytes = trained_elsewhere(data, &names, false);
        ExternalModel::read(&bytes, Target::Success, until, &options_for(&names, false)).unwrap()
    };
    let report = host.import(&read(&upside_down, until)).unwrap();
    assert!(!report.promoted && !report.reasons.is_empty());
    assert_eq!(report.version.stage, Stage::None);
    assert_eq!(report.version.parent, Some(1));
    let before = block_on(host.registry.versions("success")).unwrap().len();
    let error = host.import(&read(&past, host.clock.now())).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotEnoughData { have: 0, .. }), "{error}");
    assert_eq!(block_on(host.registry.versions("success")).unwrap().len(), before);
}
