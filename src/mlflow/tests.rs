//! Python predicts with exported models as the crate does: loaded from a folder, and from a real MLflow.
//!
//! Needs a Python with mlflow and xgboost, which `DEVMATRIX_TEST_PYTHON` names (`.ci/with_mlflow` does).

#[cfg(test)]
use crate::clock::ManualClock;
use crate::code_metrics::CodeOptions;
use crate::collect::measure;
use crate::common::abilities;
use crate::dataset::{Dataset, DatasetBuilder, Target};
use crate::event::{Record, TaskId};
use crate::features::{FEATURES, FeatureEngineer, FeatureOptions, FeatureRow};
use crate::history::History;
use crate::ml::{Calibrator, Method, Trees};
use crate::mlflow::{Mlflow, MlflowOptions, pyfunc_row, write_pyfunc};
use crate::models::tests::template_worlds;
use crate::models::{
    ComplexityTrainer, CostTrainer, Estimate, Predictor, QualityTrainer, RegressionModel, RegressionTarget,
    SuccessModel, SuccessTrainer, TEMPLATE_FEATURES, TemplateTrainer, TimeTrainer, TokensTrainer, Trainer,
    open_artefact,
};
use crate::registry::{MemoryRegistry, ModelRegistry, ModelVersion, NewVersion, envelope};
use crate::simulate::{Simulator, SimulatorOptions};
use crate::stats::sigmoid;
use crate::store::MemoryStore;
use chrono::{DateTime, TimeDelta, Utc};
use futures_executor::block_on;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// A promoted model, and its predictions for rows.
struct Case {
    model: &'static str,
    /// World of the model, where several have one name.
    world: &'static str,
    registry: MemoryRegistry,
    /// Components that the model must have, so that the test covers them.
    parts: &'static [&'static str],
    expected: Vec<Vec<f64>>,
}

struct Cases {
    /// Rows by their world, as Python reads them.
    rows: BTreeMap<&'static str, Vec<Value>>,
    models: Vec<Case>,
    /// Time at which all this is known.
    now: DateTime<Utc>,
}

static CASES: LazyLock<Cases> = LazyLock::new(|| {
    let (builder, rows, now) = simulated();
    let fit = |target| builder.rows(target, now, 10_000);
    let mut cases = vec![
        success("simulated", &fit(Target::Success), &rows, &["/model/new_task", "/model/seen_task"]),
        number(&ComplexityTrainer::default(), &fit(Target::Complexity), &rows, &["/model/before/untried"]),
        number(
            &TimeTrainer::default(),
            &fit(Target::Time),
            &rows,
            &["/model/before/tried", "/model/before/untried/widenings"],
        ),
        number(
            &QualityTrainer::default(),
            &fit(Target::Quality),
            &rows,
            &["/model/before/untried", "/model/after/untried"],
        ),
        number(&CostTrainer::default(), &fit(Target::Cost), &rows, &["/model/before/untried"]),
        number(&TokensTrainer::default(), &fit(Target::Tokens), &rows, &["/model/before/untried"]),
    ];
    let (able, able_rows) = with_abilities();
    cases.push(success("abilities", &able(Target::Success), &able_rows, &["/model/new_task/ability"]));
    let solvers = &["/model/before/untried/wording/Solvers"];
    let costs = number(&CostTrainer::default(), &able(Target::Cost), &able_rows, solvers);
    cases.push(Case { world: "abilities", ..costs });
    let (template, template_rows) = template();
    cases.push(template);
    let written = |rows: &[FeatureRow]| rows.iter().map(pyfunc_row).collect::<Vec<_>>();
    let rows =
        [("simulated", written(&rows)), ("abilities", written(&able_rows)), ("templates", template_rows)];
    Cases { rows: rows.into(), models: cases, now }
});

/// Simulates six weeks, and rows of every kind: seen and new tasks, with and without code, with unknown categories,
/// with missing values, without history.
fn simulated() -> (DatasetBuilder, Vec<FeatureRow>, DateTime<Utc>) {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (42, 20.0);
    let mut generations: Vec<_> = Simulator::new(options).unwrap().collect();
    for g in &mut generations {
        measure(&mut g.completion, g.context.language.as_deref(), &CodeOptions::default());
    }
    let mut records: Vec<Record> =
        generations.iter().flat_map(|g| g.clone().into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    let engineer = FeatureEngineer::default();
    let mut builder = DatasetBuilder::new(engineer.clone());
    records.iter().for_each(|record| builder.apply(record));
    let now = records.last().unwrap().known_at() + TimeDelta::hours(1);

    let (mut rng, mut rows) = (Pcg64Mcg::seed_from_u64(3), Vec::new());
    for (number, g) in generations.iter().enumerate() {
        let mut task = g.context.clone();
        rows.push(builder.look(&task, now));
        task.task_id = TaskId::new(format!("new-{number}")).unwrap();
        let mut row = builder.look(&task, now);
        if number % 2 == 0 {
            engineer.add_completion(&mut row, &g.completion);
        }
        rows.push(row);
        (task.agent_type, task.model_used) = (Some(format!("agent {number}")), Some("unheard of".into()));
        (task.language, task.framework) = (Some("cobol".into()), Some("none".into()));
        if number % 3 == 0 {
            task.task_description.clear();
        }
        rows.push(builder.look(&task, now));
        rows.push(engineer.row(&task, &History::new().view(&task, now)));
        let mut holed = rows[rows.len() - 4].clone();
        holed.values.iter_mut().for_each(|v| *v = if rng.random_bool(0.3) { f32::NAN } else { *v });
        rows.push(holed);
    }
    assert!(rows.len() >= 2_000);
    (builder, rows, now)
}

/// Creates a world in which agents share tasks, and rows of new tasks: of known agents, with an LLM that is new to
/// them, and of unknown agents.
fn with_abilities() -> (impl Fn(Target) -> Dataset, Vec<FeatureRow>) {
    let records = abilities::records();
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    records.iter().for_each(|r| builder.apply(r));
    let now = records.last().unwrap().known_at() + TimeDelta::hours(1);
    let mut rows = Vec::new();
    for task in 30..400 {
        for agent in 0..abilities::AGENTS.len() {
            let mut task = abilities::context(task, agent);
            match agent {
                0 => task.model_used = Some("new".into()),
                1 => task.agent_type = Some("unknown".into()),
                _ => {}
            }
            rows.push(builder.look(&task, now));
        }
    }
    assert!(rows.len() >= 2_000);
    (move |target| builder.rows(target, now, 10_000), rows)
}

fn success(world: &'static str, data: &Dataset, rows: &[FeatureRow], parts: &'static [&'static str]) -> Case {
    let registry = promoted(&SuccessTrainer::default(), data);
    let model: SuccessModel = in_production(&SuccessTrainer::default(), &registry);
    let prediction = |row| {
        let found = model.predict(row);
        vec![found.success_probability, found.interval.0, found.interval.1]
    };
    Case { model: "success", world, registry, parts, expected: rows.iter().map(prediction).collect() }
}

fn number<Q: RegressionTarget, T: Trainer<Model = RegressionModel<Q>>>(
    trainer: &T,
    data: &Dataset,
    rows: &[FeatureRow],
    parts: &'static [&'static str],
) -> Case {
    let registry = promoted(trainer, data);
    let fitted = in_production(trainer, &registry);
    let prediction = |row| {
        let Estimate { value, interval_80, interval_90, .. } = fitted.predict(row);
        vec![value, interval_80.0, interval_80.1, interval_90.0, interval_90.1]
    };
    Case {
        model: trainer.name(),
        world: "simulated",
        registry,
        parts,
        expected: rows.iter().map(prediction).collect(),
    }
}

fn template() -> (Case, Vec<Value>) {
    let replay = template_worlds::learned();
    let ranker = TemplateTrainer::default().fit(&replay.data).unwrap();
    let registry = registered("template", &ranker.to_bytes().unwrap());
    let rows = replay.data.examples.iter().map(|row| &row.features);
    let expected = rows.clone().map(|row| vec![sigmoid(ranker.point(row))]).collect();
    let written = rows.map(|row| {
        let named = TEMPLATE_FEATURES.iter().zip(&row.values);
        named
            .map(|(f, v)| (f.name.to_owned(), json!(f64::from(*v))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    });
    let parts = &["/model/correction"];
    (Case { model: "template", world: "templates", registry, parts, expected }, written.collect())
}

fn promoted<T: Trainer>(trainer: &T, data: &Dataset) -> MemoryRegistry {
    registered(trainer.name(), &trainer.fit(data).unwrap().to_bytes().unwrap())
}

fn registered(name: &str, model: &[u8]) -> MemoryRegistry {
    let registry = MemoryRegistry::new();
    let version = NewVersion::new(name, envelope::seal(name, model).unwrap());
    let version = block_on(registry.register(version)).unwrap();
    block_on(registry.promote(name, version.version, None)).unwrap();
    registry
}

fn in_production<T: Trainer>(trainer: &T, registry: &MemoryRegistry) -> T::Model {
    open_artefact(trainer, &artefact(registry, trainer.name()).1).unwrap()
}

fn artefact(registry: &MemoryRegistry, name: &str) -> (ModelVersion, Vec<u8>) {
    let version = block_on(registry.production(name)).unwrap().unwrap();
    let bytes = block_on(registry.artefact(name, version.version)).unwrap();
    (version, bytes)
}

/// Returns the margins of every file of trees, by the crate's own reader.
fn trees(case: &Case, folder: &Path) -> Vec<Value> {
    let spec: Value = serde_json::from_slice(&fs::read(folder.join("data/model.json")).unwrap()).unwrap();
    let mut found = Vec::new();
    each_trees(&spec["model"], &mut |file, features| {
        let path = folder.join("data").join(file);
        let trees = Trees::from_bytes(&fs::read(&path).unwrap()).unwrap();
        // The past's log-odds are a column after those of the features; here they are missing.
        let mut features = features;
        features.resize(trees.width(), "past_log_odds".to_owned());
        let margin = |row: &Value| {
            let value = |name: &String| row[name].as_f64().map_or(f32::NAN, |v| v as f32);
            trees.margin(&features.iter().map(value).collect::<Vec<_>>()).unwrap()
        };
        let expected: Vec<_> = CASES.rows[case.world].iter().map(margin).collect();
        let name = format!("{} {}", case.world, case.model);
        found.push(json!({ "name": name, "file": path, "features": features, "rows": rows_of(case), "expected": expected }));
    });
    println!(
        "{} {}: {} files of trees, {} bytes of JSON",
        case.world,
        case.model,
        found.len(),
        spec.to_string().len()
    );
    for part in case.parts {
        assert!(spec.pointer(part).is_some_and(|p| !p.is_null()), "{} has no {part}", case.model);
    }
    found
}

fn each_trees(spec: &Value, found: &mut impl FnMut(&str, Vec<String>)) {
    match spec {
        Value::Object(part) if part.contains_key("file") => {
            let features = part["features"].as_array().unwrap().iter();
            found(part["file"].as_str().unwrap(), features.map(|f| f.as_str().unwrap().to_owned()).collect());
        }
        Value::Object(part) => part.values().for_each(|part| each_trees(part, found)),
        Value::Array(parts) => parts.iter().for_each(|part| each_trees(part, found)),
        _ => {}
    }
}

/// Returns every kind of calibration, also those that the models above do not use.
fn calibrations() -> Vec<Value> {
    let margins: Vec<_> = (-60..60).map(|i| f64::from(i) / 10.0).collect();
    let labels: Vec<_> = (-60..60).map(|i: i32| i + 23 * (i % 3) > 4).collect();
    let asked: Vec<_> = (-200..200).map(|i| f64::from(i) * 0.037).collect();
    let case = |method| {
        let calibrator = Calibrator::fit(method, &margins, &labels, &[1.0; 120]).unwrap();
        let expected: Vec<_> = asked.iter().map(|m| calibrator.probability(*m)).collect();
        json!({ "calibrator": calibrator, "margins": asked, "expected": expected })
    };
    Method::ALL.map(case).into()
}

fn rows_of(case: &Case) -> String {
    format!("{}.jsonl", case.world)
}

fn python() -> Option<String> {
    let python = std::env::var("DEVMATRIX_TEST_PYTHON").ok();
    if python.is_none() {
        eprintln!("skipped: DEVMATRIX_TEST_PYTHON names no Python with mlflow and xgboost");
    }
    python
}

/// Compares the cases at these URIs in Python.
fn compare(python: &str, folder: &Path, uris: &[String], trees: &[Value], server: Option<&str>) {
    for (world, rows) in &CASES.rows {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(folder.join(format!("{world}.jsonl")), lines).unwrap();
    }
    let models = CASES.models.iter().zip(uris).map(|(case, uri)| {
        let name = format!("{} {}", case.world, case.model);
        json!({ "name": name, "uri": uri, "rows": rows_of(case), "expected": case.expected })
    });
    let cases =
        json!({ "models": models.collect::<Vec<_>>(), "trees": trees, "calibrations": calibrations() });
    let path = folder.join("cases.json");
    fs::write(&path, cases.to_string()).unwrap();
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/check_pyfunc.py")).arg(&path);
    command.env("MLFLOW_DISABLE_TELEMETRY", "true");
    if let Some(server) = server {
        command.env("MLFLOW_TRACKING_URI", server);
    }
    let done = command.output().unwrap();
    println!("{}", String::from_utf8_lossy(&done.stdout));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn python_predicts_the_same_from_a_folder() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut uris, mut all_trees) = (Vec::new(), Vec::new());
    for case in &CASES.models {
        let (version, bytes) = artefact(&case.registry, case.model);
        let own = folder.path().join(format!("{}-{}", case.world, case.model));
        write_pyfunc(&version, &bytes, &FeatureOptions::default(), &own).unwrap();
        all_trees.extend(trees(case, &own));
        uris.push(own.to_str().unwrap().to_owned());
    }
    compare(&python, folder.path(), &uris, &all_trees, None);
}

#[test]
fn python_predicts_the_same_with_the_champion() {
    let Some(python) = python() else { return };
    let Ok(url) = std::env::var("DEVMATRIX_TEST_MLFLOW_URL") else {
        eprintln!("skipped: DEVMATRIX_TEST_MLFLOW_URL names no server");
        return;
    };
    let mut uris = Vec::new();
    for case in &CASES.models {
        let mut options = MlflowOptions::default();
        let own = format!("python-{}-{}", std::process::id(), case.world);
        (options.prefix, options.experiment) = (format!("{own}-"), own);
        uris.push(format!("models:/{}{}@champion", options.prefix, case.model));
        let mlflow = Mlflow::new(&url, options).unwrap();
        let (store, clock) = (MemoryStore::new(), ManualClock::at(CASES.now));
        let sent = block_on(mlflow.mirror(&case.registry, &store, &clock, case.model)).unwrap();
        assert_eq!(sent.sent, [1]);
    }
    let folder = tempfile::tempdir().unwrap();
    compare(&python, folder.path(), &uris, &[], Some(&url));
}

#[test]
fn every_feature_is_a_column() {
    let (_, rows, _) = simulated();
    let row = pyfunc_row(&rows[0]);
    for (feature, value) in FEATURES.iter().zip(&rows[0].values) {
        assert_eq!(row[feature.name].as_f64().map(|v| v as f32), Some(*value).filter(|v| !v.is_nan()));
    }
    assert_eq!(row["ngram_buckets"].as_array().unwrap().len(), rows[0].text.len());
    assert_eq!(row["ngram_weights"].as_array().unwrap().len(), rows[0].text.len());
    assert_eq!(row.as_object().unwrap().len(), FEATURES.len() + 2);
}
