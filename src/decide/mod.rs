//! What to do with predictions: which LLM, agent, template and settings a task gets.
//!
//! A [`Candidate`] is a way to do a task; [`Plan::apply`] puts it into the task. A [`Policy`] gives
//! each candidate its odds, from which one is drawn: what cannot tell its odds does not fit the trait.
//! The [`Decision`](crate::event::Decision) with all odds is stored with the event, so that any other
//! policy can be judged on it afterwards.

mod candidates;
pub mod experiments;
mod hash;
mod objective;
pub mod offpolicy;
mod past;
mod policy;
pub mod review;
mod unit;

pub use candidates::{Candidate, Plan};
pub use objective::{Goal, Objective};
pub use policy::{Arm, Belief, Policy, TaskOutcome, draw};
pub use unit::Unit;
