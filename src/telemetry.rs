//! Counters, histograms and spans, for whatever the host watches its processes with.
//!
//! The numbers go through the [`metrics`] facade and the spans through `tracing`: the host installs a
//! recorder and a subscriber of its choice, or none, and then they cost nothing that can be measured
//! (`cargo bench --bench telemetry`). Labels have few values: never a user, a task or a text.
//!
//! | Name | Kind | Labels | What |
//! |---|---|---|---|
//! | `devmatrix_ml_predict_seconds` | histogram | `call`: `success`, `all`, `what_if`, `code`, `templates` | seconds that a prediction took |
//! | `devmatrix_ml_predict_errors_total` | counter | `call` | predictions that ended in an error: the task was out of range |
//! | `devmatrix_ml_answers_total` | counter | `model`: `success`, `complexity`, `time`, `quality`; `status`: `calibrated`, `cold_start`, `insufficient_evidence` | answers by what they rest on |
//! | `devmatrix_ml_decide_seconds` | histogram | | seconds that a router's choice took |
//! | `devmatrix_ml_decisions_total` | counter | `outcome`: `chosen`, `abstained`, or the error's kind | choices of a router |
//! | `devmatrix_ml_collect_seconds` | histogram | `kind`: `start`, `complete`, `feedback` | seconds until a fact was durable, or refused |
//! | `devmatrix_ml_records_total` | counter | `kind`; `outcome`: `recorded`, or the error's kind | facts given to the collector |
//! | `devmatrix_ml_feature_vectors_total` | counter | | feature vectors written |
//! | `devmatrix_ml_train_seconds` | histogram | `model` | seconds that a training took, without reading the store |
//! | `devmatrix_ml_trainings_total` | counter | `model`; `outcome`: `promoted`, `on_trial`, `not_promoted`, or the error's kind | trainings |
//! | `devmatrix_ml_rollbacks_total` | counter | `model` | models taken out of production because they broke their promise |
//! | `devmatrix_ml_model_version` | gauge | `model` | the version that serves, 0 for none |
//!
//! Spans: `predict` (`call`), `decide` and `collect` (`kind`) at debug, `train` (`model`) at info.

use crate::decide::Choice;
use crate::error::{Error, ErrorKind, Result};
use crate::models::Status;
use crate::serve::{ModelChange, Outlook, Predictions};
use crate::train::TrainingReport;
use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Instant;
use tracing::Instrument;

const PREDICT_SECONDS: &str = "devmatrix_ml_predict_seconds";
const PREDICT_ERRORS: &str = "devmatrix_ml_predict_errors_total";
const ANSWERS: &str = "devmatrix_ml_answers_total";
const DECIDE_SECONDS: &str = "devmatrix_ml_decide_seconds";
const DECISIONS: &str = "devmatrix_ml_decisions_total";
const COLLECT_SECONDS: &str = "devmatrix_ml_collect_seconds";
const RECORDS: &str = "devmatrix_ml_records_total";
const FEATURE_VECTORS: &str = "devmatrix_ml_feature_vectors_total";
const TRAIN_SECONDS: &str = "devmatrix_ml_train_seconds";
const TRAININGS: &str = "devmatrix_ml_trainings_total";
const ROLLBACKS: &str = "devmatrix_ml_rollbacks_total";
const MODEL_VERSION: &str = "devmatrix_ml_model_version";

/// Tells the installed recorder what the metrics mean and their units; a host calls it once, after it has
/// installed one.
pub fn describe() {
    describe_histogram!(PREDICT_SECONDS, Unit::Seconds, "Seconds that a prediction took.");
    describe_counter!(PREDICT_ERRORS, "Predictions that ended in an error.");
    describe_counter!(ANSWERS, "Answers by what they rest on.");
    describe_histogram!(DECIDE_SECONDS, Unit::Seconds, "Seconds that a router's choice took.");
    describe_counter!(DECISIONS, "Choices of a router by what came of them.");
    describe_histogram!(COLLECT_SECONDS, Unit::Seconds, "Seconds until a fact was durable, or refused.");
    describe_counter!(RECORDS, "Facts given to the collector.");
    describe_counter!(FEATURE_VECTORS, "Feature vectors written.");
    describe_histogram!(TRAIN_SECONDS, Unit::Seconds, "Seconds that a training took.");
    describe_counter!(TRAININGS, "Trainings by what came of them.");
    describe_counter!(ROLLBACKS, "Models taken out of production because they broke their promise.");
    describe_gauge!(MODEL_VERSION, "The version that serves, 0 for none.");
}

/// Which prediction was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    Success,
    All,
    WhatIf,
    Code,
    Templates,
}

/// Names a metric with a label known when compiled: making its key then allocates nothing, so that
/// predictions stay as they are where no recorder is installed.
macro_rules! by_call {
    ($metric:ident, $name:expr, $call:expr) => {
        match $call {
            Call::Success => $metric!($name, "call" => "success"),
            Call::All => $metric!($name, "call" => "all"),
            Call::WhatIf => $metric!($name, "call" => "what_if"),
            Call::Code => $metric!($name, "call" => "code"),
            Call::Templates => $metric!($name, "call" => "templates"),
        }
    };
}

macro_rules! answered {
    ($model:literal, $status:expr) => {
        match $status {
            Status::Calibrated => counter!(ANSWERS, "model" => $model, "status" => "calibrated"),
            Status::ColdStart => counter!(ANSWERS, "model" => $model, "status" => "cold_start"),
            Status::InsufficientEvidence => {
                counter!(ANSWERS, "model" => $model, "status" => "insufficient_evidence")
            }
        }
        .increment(1)
    };
}

/// What a prediction counts as.
pub(crate) trait Answer {
    fn count(&self);
}

impl Answer for crate::models::SuccessPrediction {
    fn count(&self) {
        answered!("success", self.status);
    }
}

impl Answer for Predictions {
    fn count(&self) {
        self.success.count();
        answered!("complexity", self.complexity.estimate.status);
        answered!("time", self.time.estimate.status);
        self.quality.count();
    }
}

impl Answer for Outlook {
    fn count(&self) {
        self.success.count();
        answered!("time", self.time.estimate.status);
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn count(&self) {
        self.iter().for_each(Answer::count);
    }
}

impl Answer for crate::models::QualityPrediction {
    fn count(&self) {
        answered!("quality", self.estimate.status);
    }
}

impl Answer for crate::models::TemplateRanking {
    fn count(&self) {}
}

/// Makes a prediction within its span, and counts it.
pub(crate) fn predicted<T: Answer>(call: Call, predict: impl FnOnce() -> Result<T>) -> Result<T> {
    let _span = tracing::debug_span!("predict", ?call).entered();
    let begun = Instant::now();
    let answer = predict();
    by_call!(histogram, PREDICT_SECONDS, call).record(begun.elapsed());
    match &answer {
        Ok(answer) => answer.count(),
        Err(_) => by_call!(counter, PREDICT_ERRORS, call).increment(1),
    }
    answer
}

/// Makes a router's choice within its span, and counts it.
pub(crate) fn decided(choose: impl FnOnce() -> Result<Choice>) -> Result<Choice> {
    let _span = tracing::debug_span!("decide").entered();
    let begun = Instant::now();
    let choice = choose();
    histogram!(DECIDE_SECONDS).record(begun.elapsed());
    let outcome = match &choice {
        Ok(choice) if choice.abstained.is_some() => "abstained",
        Ok(_) => "chosen",
        Err(error) => named(error),
    };
    counter!(DECISIONS, vec![Label::from_static_parts("outcome", outcome)]).increment(1);
    choice
}

/// Records a fact within its span, and counts it.
pub(crate) async fn collected<T>(
    kind: &'static str,
    record: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let begun = Instant::now();
    let done = record.instrument(tracing::debug_span!("collect", kind)).await;
    let kind = Label::from_static_parts("kind", kind);
    histogram!(COLLECT_SECONDS, vec![kind.clone()]).record(begun.elapsed());
    let outcome = done.as_ref().map_or_else(named, |_| "recorded");
    counter!(RECORDS, vec![kind, Label::from_static_parts("outcome", outcome)]).increment(1);
    done
}

pub(crate) fn vectors_written(n: usize) {
    counter!(FEATURE_VECTORS).increment(n as u64);
}

/// Trains within a span, and counts it.
pub(crate) async fn trained(
    model: &'static str,
    train: impl Future<Output = Result<TrainingReport>>,
) -> Result<TrainingReport> {
    let begun = Instant::now();
    let done = train.instrument(tracing::info_span!("train", model)).await;
    let label = Label::from_static_parts("model", model);
    histogram!(TRAIN_SECONDS, vec![label.clone()]).record(begun.elapsed());
    let outcome = match &done {
        Ok(report) if report.promoted => "promoted",
        Ok(report) if report.on_trial => "on_trial",
        Ok(_) => "not_promoted",
        Err(error) => named(error),
    };
    counter!(TRAININGS, vec![label, Label::from_static_parts("outcome", outcome)]).increment(1);
    done
}

pub(crate) fn rolled_back(model: &'static str) {
    counter!(ROLLBACKS, vec![Label::from_static_parts("model", model)]).increment(1);
}

pub(crate) fn serves(change: &ModelChange) {
    let labels = vec![Label::from_static_parts("model", change.model)];
    gauge!(MODEL_VERSION, labels).set(change.now.unwrap_or(0) as f64);
}

/// The kind of an error as a label.
fn named(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidInput => "invalid_input",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::NotEnoughData { .. } => "not_enough_data",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Incompatible => "incompatible",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_names_every_metric() {
        let (docs, code) = include_str!("telemetry.rs").split_once("\nuse ").unwrap();
        let code = code.split_once("#[cfg(test)]").unwrap().0;
        let named = |line: &str| line.split('"').nth(1).map(str::to_owned);
        let names: Vec<_> = code.lines().filter(|l| l.starts_with("const ")).filter_map(named).collect();
        assert!(names.len() > 10 && names.iter().all(|name| name.starts_with("devmatrix_ml_")));
        for name in &names {
            assert_eq!(docs.matches(&format!("| `{name}` |")).count(), 1, "{name}");
        }
        assert_eq!(docs.matches("//! | `devmatrix_ml_").count(), names.len());
    }
}
