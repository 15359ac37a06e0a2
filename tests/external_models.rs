//! External models: the same predictions as in their library, or rejected.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, Utc};
use devmatrix_ml::ErrorKind;
use devmatrix_ml::dataset::{DatasetBuilder, Target};
use devmatrix_ml::features::{FEATURES, FeatureEngineer};
use devmatrix_ml::ml::{BoostParams, FitRequest, Matrix, Objective, Sample, Trees};
use devmatrix_ml::models::{ExternalModel, ExternalModelOptions};
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

fn sigmoid(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

#[test]
fn predictions_equal_those_of_the_training_library() {
    let rows = rows();
    let places = NAMES.map(|name| FEATURES.iter().position(|feature| feature.name == name).unwrap());
    let mut models = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("exported") || !["json", "ubj", "txt"].iter().any(|e| name.ends_with(e)) {
            continue;
        }
        // The file's name tells its objective, and so what is predicted and what its margin is.
        let target = if name.contains("logistic") { Target::Success } else { Target::Time };
        let bytes = fs::read(&path).unwrap();
        let found = ExternalModel::read(&bytes, target, long_ago(), &named(NAMES)).unwrap();
        let theirs = numbers(path.with_file_name(format!("{name}.f64")));
        assert_eq!(theirs.len(), rows.len() / WIDTH);
        let mut row = DatasetBuilder::new(FeatureEngineer::default()).look(&common::task("t"), long_ago());
        let off = rows.chunks(WIDTH).zip(&theirs).map(|(values, theirs)| {
            places.iter().zip(values).for_each(|(place, value)| row.values[*place] = *value);
            let margin = found.margin(&row);
            let ours = match name.as_str() {
                name if name.contains("logistic") => sigmoid(margin),
                name if name.contains("logged") => margin.exp(),
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
        let request = FitRequest::new(objective, sample);
        let trees = Trees::fit(&BoostParams::default(), &request).unwrap();
        let link = |margin: f64| if objective == Objective::Logistic { sigmoid(margin) } else { margin };
        let ours: Vec<_> = values.chunks(WIDTH).map(|row| link(trees.margin(row).unwrap())).collect();
        let bytes = trees.to_bytes().unwrap();
        export(name, &bytes, &ours);
        let back = Trees::from_bytes(&bytes).unwrap();
        assert!(values.chunks(WIDTH).zip(&ours).all(|(row, y)| link(back.margin(row).unwrap()) == *y));
    }
}

/// Trees with splits by sets of categories are XGBoost's: read and written again they are still. `.ci/with_foreign_models`
/// compares these too.
#[test]
fn splits_by_categories_are_exported_in_xgboosts_format() {
    let values = rows();
    for name in ["logistic", "squared"] {
        let theirs = fs::read(folder().join(format!("xgboost-{name}.ubj"))).unwrap();
        let trees = Trees::from_bytes(&theirs).unwrap();
        let link = |margin: f64| if name == "logistic" { sigmoid(margin) } else { margin };
        let ours: Vec<_> = values.chunks(WIDTH).map(|row| link(trees.margin(row).unwrap())).collect();
        let known = numbers(folder().join(format!("xgboost-{name}.ubj.f64")));
        assert!(ours.iter().zip(&known).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0)), "{name}");
        export(&format!("categories-{name}"), &trees.to_bytes().unwrap(), &ours);
    }
}

/// Leaves trees with their predictions where XGBoost's own are compared with them.
fn export(name: &str, trees: &[u8], ours: &[f64]) {
    if std::env::var_os("DEVMATRIX_FOREIGN_MODELS").is_some() {
        let ours: Vec<u8> = ours.iter().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(folder().join(format!("exported-{name}.ubj")), trees).unwrap();
        fs::write(folder().join(format!("exported-{name}.f64")), ours).unwrap();
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
    for target in [Target::Time, Target::Quality, Target::Complexity, Target::Cost, Target::Tokens] {
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
    assert_eq!(refusal(&text, Target::Template, &usual).0, ErrorKind::InvalidInput);
    let ranker =
        String::from_utf8(text).unwrap().replace("objective=binary sigmoid:1", "objective=lambdarank");
    assert!(refusal(ranker.as_bytes(), Target::Success, &usual).1.contains("the model ranks"));
}
