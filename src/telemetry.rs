//! Counters, histograms and spans, for whatever the host watches its processes with.
//!
//! The numbers go through the [`metrics`] facade and the spans through `tracing`: the host installs a
//! recorder and a subscriber of its choice, or none, and then they cost nothing that can be measured
//! (`cargo bench --bench telemetry` in `examples/http`). Labels have few values: never a user, a task or a
//! text.
//!
//! | Name | Kind | Labels | What |
//! |---|---|---|---|
//! | `devmatrix_ml_predict_seconds` | histogram | `call`: `success`, `all`, `candidates`, `custom`, `code`, `templates` | seconds that a prediction took |
//! | `devmatrix_ml_predict_errors_total` | counter | `call` | predictions that ended in an error: the task was out of range |
//! | `devmatrix_ml_answers_total` | counter | `model`: `success`, `complexity`, `time`, `quality`, `cost`, `tokens`; `status`: `calibrated`, `cold_start`, `insufficient_evidence` | answers by what they rest on |
//! | `devmatrix_ml_unseen_values_total` | counter | `model`; `kind`: `clipped`, `missing` | values of predictions beyond the training data, or missing as never there |
//! | `devmatrix_ml_decide_seconds` | histogram | | seconds that a router's choice took |
//! | `devmatrix_ml_decisions_total` | counter | `outcome`: `chosen`, `abstained`, or the error's kind | choices of a router |
//! | `devmatrix_ml_collect_seconds` | histogram | `kind`: `start`, `complete`, `feedback` | seconds until a fact was durable, or refused |
//! | `devmatrix_ml_records_total` | counter | `kind`; `outcome`: `recorded`, or the error's kind | facts given to the collector |
//! | `devmatrix_ml_clock_doubts_total` | counter | | facts recorded while the host's clock was not believed |
//! | `devmatrix_ml_feature_vectors_total` | counter | | feature vectors written |
//! | `devmatrix_ml_costs_total` | counter | `from`: `host`, `prices`, `nothing` | ends of generations by what their cost comes from; `nothing`: neither a cost nor tokens with a price |
//! | `devmatrix_ml_train_seconds` | histogram | `model` | seconds that a training took, without reading the store |
//! | `devmatrix_ml_trainings_total` | counter | `model`; `outcome`: `promoted`, `on_trial`, `not_promoted`, or the error's kind | trainings |
//! | `devmatrix_ml_rollbacks_total` | counter | `model` | models taken out of production because they broke their promise |
//! | `devmatrix_ml_model_version` | gauge | `model` | the version that serves, 0 for none |
//!
//! Spans: `predict` (`call`), `decide` and `collect` (`kind`) at debug, `train` (`model`) at info.

use crate::error::{Error, ErrorKind};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) const PREDICT_SECONDS: &str = "devmatrix_ml_predict_seconds";
pub(crate) const PREDICT_ERRORS: &str = "devmatrix_ml_predict_errors_total";
pub(crate) const ANSWERS: &str = "devmatrix_ml_answers_total";
pub(crate) const UNSEEN: &str = "devmatrix_ml_unseen_values_total";
pub(crate) const DECIDE_SECONDS: &str = "devmatrix_ml_decide_seconds";
pub(crate) const DECISIONS: &str = "devmatrix_ml_decisions_total";
pub(crate) const COLLECT_SECONDS: &str = "devmatrix_ml_collect_seconds";
pub(crate) const RECORDS: &str = "devmatrix_ml_records_total";
pub(crate) const CLOCK_DOUBTS: &str = "devmatrix_ml_clock_doubts_total";
pub(crate) const FEATURE_VECTORS: &str = "devmatrix_ml_feature_vectors_total";
pub(crate) const COSTS: &str = "devmatrix_ml_costs_total";
pub(crate) const TRAIN_SECONDS: &str = "devmatrix_ml_train_seconds";
pub(crate) const TRAININGS: &str = "devmatrix_ml_trainings_total";
pub(crate) const ROLLBACKS: &str = "devmatrix_ml_rollbacks_total";
pub(crate) const MODEL_VERSION: &str = "devmatrix_ml_model_version";

/// Tells the installed recorder what the metrics mean and their units; a host calls it once, after it has
/// installed one.
pub fn describe() {
    describe_histogram!(PREDICT_SECONDS, Unit::Seconds, "Seconds that a prediction took.");
    describe_counter!(PREDICT_ERRORS, "Predictions that ended in an error.");
    describe_counter!(ANSWERS, "Answers by what they rest on.");
    describe_counter!(UNSEEN, "Values of predictions that are unlike all of the training data.");
    describe_histogram!(DECIDE_SECONDS, Unit::Seconds, "Seconds that a router's choice took.");
    describe_counter!(DECISIONS, "Choices of a router by outcome.");
    describe_histogram!(COLLECT_SECONDS, Unit::Seconds, "Seconds until a fact was durable, or refused.");
    describe_counter!(RECORDS, "Facts given to the collector.");
    describe_counter!(CLOCK_DOUBTS, "Facts recorded while the host's clock was not believed.");
    describe_counter!(FEATURE_VECTORS, "Feature vectors written.");
    describe_counter!(COSTS, "Ends of generations by what their cost comes from.");
    describe_histogram!(TRAIN_SECONDS, Unit::Seconds, "Seconds that a training took.");
    describe_counter!(TRAININGS, "Trainings by result.");
    describe_counter!(ROLLBACKS, "Models taken out of production because they broke their promise.");
    describe_gauge!(MODEL_VERSION, "The version that serves, 0 for none.");
}

/// Returns the kind of an error as a label.
pub(crate) fn error_label(error: &Error) -> &'static str {
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
        let names: Vec<_> =
            code.lines().filter(|l| l.starts_with("pub(crate) const ")).filter_map(named).collect();
        assert!(names.len() > 10 && names.iter().all(|name| name.starts_with("devmatrix_ml_")));
        for name in &names {
            assert_eq!(docs.matches(&format!("| `{name}` |")).count(), 1, "{name}");
        }
        assert_eq!(docs.matches("//! | `devmatrix_ml_").count(), names.len());
    }
}
