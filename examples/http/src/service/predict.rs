//! `POST /api/ml/predict`.

use super::body::{Body, strict};
use super::host::Host;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use devmatrix_ml::serving::Predictions;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

const PATH: &str = "/api/ml/predict";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    task: Value,
    /// Whether to include explanations, which takes four times as long.
    #[serde(default)]
    reasons: bool,
}

/// Predicts a task that has not started, with all models. It is computed inline, in a tenth of a millisecond:
/// a blocking thread would take as long.
pub(crate) async fn predict(
    State(host): State<Arc<Host>>,
    Body(question): Body<Question>,
) -> Result<Json<Predictions>, Problem> {
    let task = strict(question.task, "task", PATH)?;
    let predictions = host.predict(&task, question.reasons);
    predictions.map(Json).map_err(|error| Problem::of(&error, PATH))
}
