//! Start, completion and feedback of generations.

use super::body::{Body, strict};
use super::host::Host;
use super::problem::Problem;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use devmatrix_ml::event::{Completion, Decision, EventId, Feedback, Metadata, Started, TaskContext};
use devmatrix_ml::serving::Predictions;
use devmatrix_ml::store::EventStoreExt;
use devmatrix_ml::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    task: Value,
    /// The caller's id: repeated calls with it record one start.
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

/// Predicts, and records the start with the predictions.
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
        let (mut status, asked) = (StatusCode::CREATED, started.context.clone());
        let id = match start.id {
            None => host.collector.start(started).await?,
            Some(id) => match host.collector.start_as(id.clone(), started).await {
                Err(error) if error.kind() == ErrorKind::Conflict && again(&host, &id, asked).await? => {
                    status = StatusCode::OK;
                    id
                }
                recorded => recorded?,
            },
        };
        Ok((status, Json(StartedAs { id, predictions })))
    };
    Box::pin(begin).await.map_err(|error| Problem::of(&error, path))
}

/// Returns whether the task under `id` is the same, so that the call is a retry. The first predictions stay
/// and are the ones evaluated.
async fn again(host: &Host, id: &EventId, mut asked: TaskContext) -> Result<bool, Error> {
    let stored = host.store.event(id).await?.started.value.context;
    asked.started_at = asked.started_at.or(stored.started_at);
    Ok(stored == asked)
}

/// Records the end of a generation.
pub(crate) async fn complete(
    State(host): State<Arc<Host>>,
    uri: Uri,
    id: Result<Path<String>, PathRejection>,
    Body(completion): Body<Value>,
) -> Result<StatusCode, Problem> {
    let path = uri.path();
    let Path(id) = id.map_err(|e| Problem::new(400, e.body_text(), path, "correct the id"))?;
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

/// Records feedback.
pub(crate) async fn feedback(
    State(host): State<Arc<Host>>,
    Body(label_fact): Body<Judgement>,
) -> Result<StatusCode, Problem> {
    let path = "/api/ml/feedback";
    let feedback: Feedback = strict(label_fact.feedback, "feedback", path)?;
    let record = async {
        host.store.event(&label_fact.event_id).await?;
        host.collector.feedback(&label_fact.event_id, feedback).await
    };
    record.await.map(|()| StatusCode::NO_CONTENT).map_err(|error| Problem::of(&error, path))
}
