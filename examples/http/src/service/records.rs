//! What is recorded, as a whole: `GET /api/ml/export` and `POST /api/ml/erase`.

use super::body::Body;
use super::host::Host;
use super::problem::Problem;
use axum::Json;
use axum::body::{Body as Answer, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use devmatrix_ml::Error;
use devmatrix_ml::event::{EventId, Fact, ProjectId, UserId};
use devmatrix_ml::store::{Cursor, EventStore, ScanOrder, Subject};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Facts that are read at a time.
const PAGE: usize = 500;

/// Returns all generations in the order in which they became known, one JSON object a line, some at a time.
pub(crate) async fn export(State(host): State<Arc<Host>>) -> impl IntoResponse {
    let lines = stream::unfold(Some(None), move |from| {
        let host = host.clone();
        async move {
            let after: Option<Cursor> = from?;
            match page(host.store.as_ref(), after.as_ref()).await {
                Ok((lines, next)) => Some((Ok(lines), next.map(Some))),
                // The answer is cut off, so that nobody takes it for whole.
                Err(error) => Some((Err(error), None)),
            }
        }
    });
    ([(CONTENT_TYPE, "application/jsonl")], Answer::from_stream(lines))
}

/// Returns the lines of the generations that start in a page of facts, and where to go on.
async fn page(store: &dyn EventStore, after: Option<&Cursor>) -> Result<(Bytes, Option<Cursor>), Error> {
    let page = store.scan(ScanOrder::Known, after, PAGE).await?;
    let next = page.next.filter(|_| page.records.len() == PAGE);
    let starts = page.records.iter().filter(|record| matches!(record.fact(), Fact::Started(_)));
    let ids: Vec<EventId> = starts.map(|record| record.event_id().clone()).collect();
    let mut lines = Vec::new();
    for event in store.get(&ids).await?.into_iter().flatten() {
        serde_json::to_writer(&mut lines, &event).map_err(|error| {
            Error::new(devmatrix_ml::ErrorKind::Internal, "an event cannot be written").with_source(error)
        })?;
        lines.push(b'\n');
    }
    Ok((lines.into(), next))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Erase {
    user_id: Option<UserId>,
    project_id: Option<ProjectId>,
}

/// Erases a person's or a project's generations.
pub(crate) async fn erase(
    State(host): State<Arc<Host>>,
    Body(erase): Body<Erase>,
) -> Result<Json<Value>, Problem> {
    let path = "/api/ml/erase";
    let subject = match (erase.user_id, erase.project_id) {
        (Some(user), None) => Subject::User(user),
        (None, Some(project)) => Subject::Project(project),
        _ => {
            return Err(Problem::new(422, "expected a user_id or a project_id", path, "give one of the two"));
        }
    };
    let erased = host.collector.erase(&subject).await.map_err(|error| Problem::of(&error, path))?;
    Ok(Json(json!({ "events": erased.events })))
}
