//! `POST /api/ml/predict`.

use super::body::{Body, named};
use super::host::Host;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use devmatrix_ml::event::TaskContext;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

const PATH: &str = "/api/ml/predict";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    #[serde(default, deserialize_with = "named::some_task")]
    task: Option<TaskContext>,
    /// Features by their names, in place of a task.
    features: Option<BTreeMap<String, Option<f64>>>,
    /// Whether to include explanations, which takes four times as long.
    reasons: Option<bool>,
}

/// Predicts a task that has not started, with all models, or success from features. It is computed inline, in a tenth of
/// a millisecond: a blocking thread would take as long.
pub(crate) async fn predict(
    State(host): State<Arc<Host>>,
    Body(question): Body<Question>,
) -> Result<Response, Problem> {
    let refused = |error: devmatrix_ml::Error| Problem::of(&error, PATH);
    match (question.task, question.features) {
        (Some(task), None) => {
            let predictions = host.predict(&task, question.reasons.unwrap_or(false)).map_err(refused)?;
            Ok(Json(predictions).into_response())
        }
        (None, Some(features)) => {
            let known = features.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let prediction = host.predictions.predict_features(&known).map_err(refused)?;
            Ok(Json(prediction).into_response())
        }
        _ => Err(Problem::new(422, "expected a task or features", PATH, "give one of the two")),
    }
}
