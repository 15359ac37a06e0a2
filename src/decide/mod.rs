//! What to do with predictions: which LLM, agent, template and settings a task gets.
//!
//! A [`Candidate`] is a way to do a task; [`Plan::apply`] puts it into the task. A [`Policy`] gives
//! each candidate its odds, from which one is drawn: what cannot tell its odds does not fit the trait.
//! The [`Decision`](crate::event::Decision) with all odds is stored with the event, so that any other
//! policy can be judged on it afterwards.

mod budget;
mod candidates;
mod choice;
pub mod experiments;
mod features;
mod hash;
mod meter;
mod objective;
pub mod offpolicy;
mod past;
mod policy;
pub mod review;
mod routing;
mod safety;
mod sessions;
mod strategy;
mod unit;
mod weights;

pub use candidates::{Candidate, Plan};
pub use choice::Choice;
pub use objective::{Goal, Objective};
pub use policy::{
    Arm, Belief, Boosted, EpsilonGreedy, EpsilonParams, LinUcb, OnlineParams, Policy, TaskOutcome, Thompson,
    ThompsonParams, UcbParams, draw,
};
pub use routing::{Request, Router, RouterOptions};
pub use safety::Safety;
pub use strategy::{Adjustment, Strategy, StrategyRule};
pub use unit::Unit;
pub use weights::ModelWeight;
