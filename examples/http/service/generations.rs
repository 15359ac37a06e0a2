//! What happens: a generation starts, ends, is judged.

use super::body::{Body, strict};
use super::host::Host;
use super::problem::Problem;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use devmatrix_ml::event::{Completion, Decision, EventId, Feedback, Metadata, Started};
use devmatrix_ml::serve::Predictions;
use devmatrix_ml::store::EventStoreExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    task: Value,
    /// The caller's own id: a repeated call with it records one start.
    id: Option<EventId>,
    decision: Option<Decision>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Serialize)]
pub(crate) struct StartedAs {
    id: EventId,
    predictions: Predictions,
}

/// Predicts, and records the start with what was predicted.
pub(crate) async fn start(
    State(host): State<Arc<Host>>,
    Body(start): Body<Start>,
) -> Result<(StatusCode, Json<StartedAs>), Problem> {
    let path = "/api/ml/generations";
    let task = strict(start.task, "task", path)?;
    let begin = async {
        host.count_start();
        let predictions = host.predict(&task, false)?;
        let mut started = Started::from(task);
        started.predictions = predictions.shown();
        (started.decision, started.metadata) = (start.decision, start.metadata);
        let id = match start.id {
            Some(id) => host.collector.start_as(id, started).await?,
            None => host.collector.start(started).await?,
        };
        Ok(StartedAs { id, predictions })
    };
    let started = begin.await.map_err(|error| Problem::of(&error, path))?;
    Ok((StatusCode::CREATED, Json(started)))
}

/// Records the end of a generation.
pub(crate) async fn complete(
    State(host): State<Arc<Host>>,
    id: Result<Path<String>, PathRejection>,
    Body(completion): Body<Value>,
) -> Result<StatusCode, Problem> {
    let path = "/api/ml/generations/{id}/completion";
    let Path(id) = id.map_err(|e| Problem::new(400, e.body_text(), path, "mend the id"))?;
    let completion: Completion = strict(completion, "completion", path)?;
    let record = async {
        let id = EventId::new(id)?;
        host.store.event(&id).await?;
        host.collector.complete(&id, completion).await
    };
    record.await.map(|()| StatusCode::NO_CONTENT).map_err(|error| Problem::of(&error, path))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judgement {
    event_id: EventId,
    feedback: Value,
}

/// Records what a person said.
pub(crate) async fn feedback(
    State(host): State<Arc<Host>>,
    Body(judgement): Body<Judgement>,
) -> Result<StatusCode, Problem> {
    let path = "/api/ml/feedback";
    let feedback: Feedback = strict(judgement.feedback, "feedback", path)?;
    let record = async {
        host.store.event(&judgement.event_id).await?;
        host.collector.feedback(&judgement.event_id, feedback).await
    };
    record.await.map(|()| StatusCode::NO_CONTENT).map_err(|error| Problem::of(&error, path))
}
