//! Logging of training runs to MLflow.

use super::Mlflow;
use crate::error::{Error, ErrorKind, Result};
use crate::training::RunRecord;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// Tag that identifies a run, so that none is created twice.
const KEY: &str = "devmatrix.run";

/// Limits of the server per request.
const MAX_METRICS: usize = 500;
const MAX_PARAMETERS: usize = 100;
const MAX_PARAMETER_CHARS: usize = 6_000;
const MAX_TAG_CHARS: usize = 5_000;

/// A run in MLflow.
pub(super) struct Place {
    pub(super) run_id: String,
    /// MLflow's name of the folder of its files.
    pub(super) files: String,
}

impl Mlflow {
    /// Logs a run's whole record, idempotently.
    pub(super) fn log_run(&self, run: &RunRecord) -> Result<Place> {
        let place = self.place(&key(run), &run.run_id, run.as_of)?;
        let mut parameters = Vec::new();
        flatten("", &run.parameters, &mut parameters);
        parameters.truncate(MAX_PARAMETERS);
        let given = json!({ "run_id": place.run_id, "params": parameters, "tags": tags(run) });
        self.client.post("runs/log-batch", &given).map_err(Error::from)?;
        for metrics in metrics(run).chunks(MAX_METRICS) {
            let given = json!({ "run_id": place.run_id, "metrics": metrics });
            self.client.post("runs/log-batch", &given).map_err(Error::from)?;
        }
        let write = |value: serde_json::Result<Vec<u8>>| {
            value.map_err(|e| Error::internal("a training run cannot be written as JSON").with_source(e))
        };
        self.file(&place, "run.json", &write(serde_json::to_vec_pretty(run))?)?;
        self.file(&place, "importance.json", &write(serde_json::to_vec_pretty(&run.importance))?)?;
        Ok(place)
    }

    pub(super) fn file(&self, place: &Place, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(self.client.put(&place.files, name, bytes)?)
    }

    /// Returns the run with this key, created if it is missing.
    pub(super) fn place(&self, key: &str, name: &str, started: DateTime<Utc>) -> Result<Place> {
        let experiment = self.experiment()?;
        // The key is this crate's own but for the model's name, which has no quotes.
        let search = json!({ "experiment_ids": [experiment], "filter": format!("tags.`{KEY}` = '{key}'"), "max_results": 1 });
        let found = self.client.post("runs/search", &search).map_err(Error::from)?;
        if let Some(place) = Place::read(&found["runs"][0]) {
            return Ok(place);
        }
        let run = json!({
            "experiment_id": experiment,
            "run_name": name,
            "start_time": started.timestamp_millis(),
            "tags": [{ "key": KEY, "value": key }],
        });
        let made = self.client.post_once("runs/create", &run).map_err(Error::from)?;
        Place::read(&made["run"]).ok_or_else(|| unexpected("runs/create"))
    }

    fn experiment(&self) -> Result<String> {
        let name = &self.options.experiment;
        let found = match self.client.get("experiments/get-by-name", &[("experiment_name", name)]) {
            Err(fault) if fault.says("RESOURCE_DOES_NOT_EXIST") => {
                match self.client.post_once("experiments/create", &json!({ "name": name })) {
                    Ok(made) => return id(&made["experiment_id"]),
                    // Another host created it first.
                    Err(fault) if fault.says("RESOURCE_ALREADY_EXISTS") => {
                        self.client.get("experiments/get-by-name", &[("experiment_name", name)])
                    }
                    Err(fault) => Err(fault),
                }
            }
            found => found,
        };
        let found = found.map_err(Error::from)?;
        if found["experiment"]["lifecycle_stage"] == "deleted" {
            let why = format!("MLflow: experiment {name} is deleted: restore it, or name another");
            return Err(Error::new(ErrorKind::Conflict, why));
        }
        id(&found["experiment"]["experiment_id"])
    }
}

fn id(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| unexpected("experiments"))
}

impl Place {
    fn read(run: &Value) -> Option<Self> {
        let info = &run["info"];
        Some(Self {
            run_id: info["run_id"].as_str()?.to_owned(),
            files: info["artifact_uri"].as_str()?.to_owned(),
        })
    }
}

pub(super) fn key(run: &RunRecord) -> String {
    format!("{}#{}", run.run_id, run.version.unwrap_or(0))
}

pub(super) fn unexpected(path: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("MLflow: its answer to {path} is not as documented: see its version"),
    )
}

fn tags(run: &RunRecord) -> Vec<Value> {
    let reasons = run.verdict.reasons.join("; ");
    [
        ("devmatrix.model", run.model.clone()),
        ("devmatrix.version", run.version.unwrap_or(0).to_string()),
        ("devmatrix.verdict", run.verdict.decision.to_string()),
        ("devmatrix.reasons", cut(&reasons, MAX_TAG_CHARS)),
        ("devmatrix.rows_sha256", run.data.sha256.clone()),
        ("devmatrix.features", format!("{:016x}", run.data.schema)),
        ("devmatrix.library", run.library_version.clone()),
    ]
    .into_iter()
    .map(|(key, value)| json!({ "key": key, "value": value }))
    .collect()
}

fn metrics(run: &RunRecord) -> Vec<Value> {
    let timestamp = run.as_of.timestamp_millis();
    let point = |name: &str, value: f64, step: usize| json!({ "key": plain(name), "value": number(value), "timestamp": timestamp, "step": step });
    let mut points =
        vec![point("rows", run.data.rows as f64, 0), point("certain", run.data.certain as f64, 0)];
    points.extend(run.evaluation.metrics.iter().map(|(name, value)| point(name, *value, 0)));
    for (baseline, scores) in &run.evaluation.baselines {
        points.extend(scores.iter().map(|(name, value)| point(&format!("{baseline}.{name}"), *value, 0)));
    }
    for (step, fold) in run.folds.iter().enumerate() {
        points.extend(fold.iter().map(|(name, value)| point(&format!("fold.{name}"), *value, step)));
    }
    points.extend(run.seconds.iter().map(|(name, value)| point(&format!("seconds.{name}"), *value, 0)));
    points
}

/// Converts a number to JSON; MLflow accepts non-finite numbers as text.
fn number(value: f64) -> Value {
    if value.is_finite() {
        return value.into();
    }
    let name = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    name.into()
}

/// A name in the letters that MLflow takes.
fn plain(name: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || "_-. /".contains(c);
    name.chars().map(|c| if good(c) { c } else { '_' }).take(250).collect()
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// Parameters by their paths.
fn flatten(path: &str, value: &Value, into: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, into);
            }
        }
        value => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            into.push(json!({ "key": plain(path), "value": cut(&text, MAX_PARAMETER_CHARS) }));
        }
    }
}
