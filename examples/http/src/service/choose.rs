//! `POST /api/ml/choose`: chooses an LLM, a template and the like for a task.

use super::body::{Body, named};
use super::host::Host;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use devmatrix_ml::Error;
use devmatrix_ml::event::{Completion, Decision, EventId, Metadata, ShownPrediction, TaskContext};
use devmatrix_ml::routing::{Candidate, Plan, Request, Router};
use devmatrix_ml::store::EventStoreExt;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const PATH: &str = "/api/ml/choose";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alternatives {
    #[serde(deserialize_with = "named::task")]
    task: TaskContext,
    candidates: Vec<Named>,
    /// True where nothing may be tried out.
    critical: Option<bool>,
}

/// A candidate: the name of an LLM, or a plan with a name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Llm(String),
    Candidate(Box<Candidate>),
}

/// The choice: `task`, `decision` and `metadata` are to be given to `POST /api/ml/generations`.
#[derive(Serialize)]
pub(crate) struct Chosen {
    task: TaskContext,
    decision: Decision,
    metadata: Metadata,
    plan: Plan,
    predictions: Vec<ShownPrediction>,
}

/// Chooses a candidate by its predictions and by what the policy has learned.
pub(crate) async fn choose(
    State(host): State<Arc<Host>>,
    Body(given): Body<Alternatives>,
) -> Result<Json<Chosen>, Problem> {
    let candidates: Vec<_> = given.candidates.into_iter().map(Candidate::from).collect();
    let mut request = Request::new(&given.task, &candidates, host.clock.now());
    request.critical = given.critical.unwrap_or(false);
    let choice = host.router(|router| router.choose_predicted(&host.predictions, &request));
    let choice = choice.map_err(|error| Problem::of(&error, PATH))?;
    let metadata = choice.started().metadata;
    let (task, decision, plan, predictions) = (choice.task, choice.decision, choice.plan, choice.predictions);
    Ok(Json(Chosen { task, decision, metadata, plan, predictions }))
}

impl From<Named> for Candidate {
    fn from(named: Named) -> Self {
        match named {
            Named::Llm(name) => Self::by_llm(name),
            Named::Candidate(candidate) => *candidate,
        }
    }
}

impl Host {
    /// Runs `with` on the router.
    fn router<T>(&self, with: impl FnOnce(&mut Router) -> T) -> T {
        with(&mut self.router.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Tells the router what the end of a generation cost.
    pub(crate) fn learn_end(&self, task: &TaskContext, completion: &Completion) {
        self.router(|router| router.completed(task, completion, self.clock.now()));
    }

    /// Tells the router the outcome of a generation whose model it chose.
    pub(crate) async fn learn_feedback(&self, id: &EventId) -> Result<(), Error> {
        let event = self.store.event(id).await?;
        self.router(|router| router.feedback(&event));
        Ok(())
    }
}
