//! Routing: which LLM, agent, template and settings a task gets (a contextual bandit).
//!
//! A [`Candidate`] is a way to do a task; [`Plan::apply`] puts it into the task. A [`Policy`] gives each candidate a
//! propensity, from which one is drawn. The [`Decision`](crate::event::Decision) with all propensities is stored with the
//! event, so that any other policy can be evaluated on it afterwards
//! ([`off_policy`](crate::experimentation::off_policy)).
//!
//! ```
//! # use devmatrix_ml::{clock::{Clock, SystemClock}, collect::DataCollector, error::Result, serving::PredictionService};
//! # use devmatrix_ml::{event::{Completion, Feedback, TaskContext}, store::{EventStore, EventStoreExt}};
//! use devmatrix_ml::routing::{Candidate, Request, Router};
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
//!     router.feedback(&store.event(&event).await?);
//!     Ok(())
//! }
//! ```

mod budget;
mod candidates;
mod choice;
mod cost_model;
mod features;
mod frozen;
mod guard;
mod leaderboard;
pub(crate) mod logged;
mod objective;
mod options;
mod policies;
mod request;
mod resume;
mod risk_policy;
mod router;
mod safety;
mod session_cache;
mod sessions;
mod state;
mod task_memory;
mod telemetry;
mod until_success;

pub use candidates::{Candidate, Plan};
pub use choice::Choice;
pub(crate) use cost_model::Outlier;
pub use frozen::FrozenPolicy;
pub use leaderboard::LeaderboardEntry;
pub use objective::{Goal, Objective};
pub use options::RouterOptions;
pub use policies::{
    Arm, Boosted, EpsilonGreedy, EpsilonParams, OnlineParams, POLICIES, Policy, Posterior, Thompson,
    ThompsonParams, draw,
};
pub use request::Request;
pub use risk_policy::{Adjustment, RiskPolicy, RiskRule};
pub use router::Router;
pub use safety::Safety;

#[cfg(all(test, feature = "simulate"))]
mod tests;
