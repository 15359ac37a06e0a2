//! What to do with predictions: which LLM, agent, template and settings a task gets.
//!
//! A [`Candidate`] is a way to do a task; [`Plan::apply`] puts it into the task. A [`Policy`] gives
//! each candidate its odds, from which one is drawn: what cannot tell its odds does not fit the trait.
//! The [`Decision`](crate::event::Decision) with all odds is stored with the event, so that any other
//! policy can be judged on it afterwards ([`offpolicy`]), as arms are by [`experiments`]; [`review`] says
//! whom to ask what came of it.
//!
//! ```
//! # use devmatrix_ml::{clock::{Clock, SystemClock}, collect::DataCollector, error::Result, serve::PredictionService};
//! # use devmatrix_ml::{event::{Completion, Feedback, TaskContext}, store::{EventStore, EventStoreExt}};
//! use devmatrix_ml::decide::{Candidate, Request, Router};
//!
//! # async fn generate(_: &TaskContext) -> Completion { Completion::default() }
//! # async fn ask_the_user() -> Feedback { Feedback::new(devmatrix_ml::event::UserAction::Approve) }
//! async fn host(router: &mut Router, service: &PredictionService, collector: &DataCollector,
//!               store: &dyn EventStore, task: TaskContext) -> Result<()> {
//!     let candidates = ["claude-sonnet-4.5", "gpt-4.1-mini"].map(Candidate::by_llm);
//!     let request = Request::new(&task, &candidates, SystemClock.now());
//!     let choice = router.choose_predicted(service, &request)?;
//!     let event = collector.start(choice.started()).await?;
//!     let done = generate(&choice.task).await;
//!     router.completed(&choice.task, &done, SystemClock.now());
//!     collector.complete(&event, done).await?;
//!     collector.feedback(&event, ask_the_user().await).await?; // minutes or days later
//!     router.judged(&store.event(&event).await?);
//!     Ok(())
//! }
//! ```

mod budget;
mod candidates;
mod choice;
mod day;
pub mod episodes;
pub mod experiments;
mod features;
mod hash;
mod meter;
mod objective;
pub mod offpolicy;
mod options;
mod past;
mod policy;
mod request;
mod resume;
pub mod review;
mod routing;
mod safety;
mod sessions;
mod strategy;
pub mod templates;
mod unit;
mod weights;

pub use candidates::{Candidate, Plan};
pub use choice::Choice;
pub use objective::{Goal, Objective};
pub use options::RouterOptions;
pub use policy::{
    Arm, Belief, Boosted, EpsilonGreedy, EpsilonParams, LinUcb, OnlineParams, Policy, TaskOutcome, Thompson,
    ThompsonParams, UcbParams, draw,
};
pub use request::Request;
pub use routing::Router;
pub use safety::Safety;
pub use strategy::{Adjustment, Strategy, StrategyRule};
pub use unit::Unit;
pub use weights::ModelWeight;
