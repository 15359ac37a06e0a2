//! Start, completion and feedback of generations.

use super::body::{Body, named};
use super::host::Host;
use super::problem::Problem;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use devmatrix_ml::event::{
    Completion, Decision, EventId, Fact, Feedback, Metadata, Record, Started, TaskContext,
};
use devmatrix_ml::serving::Predictions;
use devmatrix_ml::store::EventStoreExt;
use devmatrix_ml::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    #[serde(deserialize_with = "named::task")]
    task: TaskContext,
    /// The caller's id: repeated calls with it record one start.
    #[serde(alias = "event_id")]
    id: Option<EventId>,
    #[serde(default, deserialize_with = "named::decision")]
    decision: Option<Decision>,
    metadata: Option<Metadata>,
}

#[derive(Serialize)]
pub(crate) struct StartedAs {
    id: EventId,
    event_id: EventId,
    predictions: Predictions,
}

/// Predicts, and records the start with the predictions.
pub(crate) async fn start(
    State(host): State<Arc<Host>>,
    Body(start): Body<Start>,
) -> Result<(StatusCode, Json<StartedAs>), Problem> {
    let begin = async {
        host.count_start();
        let predictions = host.predict(&start.task, false)?;
        let mut started = Started::from(start.task);
        started.predictions = predictions.shown();
        (started.decision, started.metadata) = (start.decision, start.metadata.unwrap_or_default());
        let mut status = StatusCode::CREATED;
        let id = match start.id {
            None => host.collector.start(started).await?,
            Some(id) => match host.collector.start_as(id.clone(), started.clone()).await {
                Err(error) if error.kind() == ErrorKind::Conflict && again(&host, &id, started).await? => {
                    status = StatusCode::OK;
                    id
                }
                recorded => recorded?,
            },
        };
        Ok((status, Json(StartedAs { event_id: id.clone(), id, predictions })))
    };
    Box::pin(begin).await.map_err(|error| Problem::of(&error, "/api/ml/generations"))
}

/// Returns whether the start under `id` is this one as a store keeps it, so that the call is a retry. The first
/// predictions stay and are the ones evaluated.
async fn again(host: &Host, id: &EventId, asked: Started) -> Result<bool, Error> {
    let stored = host.store.event(id).await?.started;
    let asked = Record::new(id.clone(), stored.known_at, Fact::Started(Box::new(asked)))?;
    let Fact::Started(asked) = asked.fact() else { return Ok(false) };
    let mut asked = asked.as_ref().clone();
    asked.predictions.clone_from(&stored.value.predictions);
    asked.context.started_at = asked.context.started_at.or(stored.value.context.started_at);
    Ok(stored.value == asked)
}

/// Records the end of a generation.
pub(crate) async fn complete(
    State(host): State<Arc<Host>>,
    uri: Uri,
    id: Result<Path<String>, PathRejection>,
    Body(completion): Body<Completion>,
) -> Result<StatusCode, Problem> {
    let path = uri.path();
    let Path(id) = id.map_err(|e| Problem::new(400, e.body_text(), path, "correct the id"))?;
    let record = async {
        let id = EventId::new(id)?;
        let task = host.store.event(&id).await?.started.value.context;
        let given = completion.clone();
        host.collector.complete(&id, completion).await?;
        host.learn_end(&task, &given);
        Ok(())
    };
    record.await.map(|()| StatusCode::NO_CONTENT).map_err(|error| Problem::of(&error, path))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judgement {
    #[serde(alias = "id")]
    event_id: EventId,
    #[serde(deserialize_with = "named::feedback")]
    feedback: Feedback,
}

/// Records feedback.
pub(crate) async fn feedback(
    State(host): State<Arc<Host>>,
    Body(judgement): Body<Judgement>,
) -> Result<StatusCode, Problem> {
    let path = "/api/ml/feedback";
    let record = async {
        host.store.event(&judgement.event_id).await?;
        host.collector.feedback(&judgement.event_id, judgement.feedback).await?;
        host.learn_feedback(&judgement.event_id).await
    };
    record.await.map(|()| StatusCode::NO_CONTENT).map_err(|error| Problem::of(&error, path))
}
