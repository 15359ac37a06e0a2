//! Retry policy (offline reinforcement learning): retry, switch the LLM, ask the human, or stop after a failed attempt.
//!
//! A sequential decision problem. A [`Trajectory`] holds states and actions of one task from its first failed attempt
//! on. Each [`RetryAction`] is drawn from the propensities of a [`RetryPolicy`] by [`choose_action`] and stored with the
//! feedback on the failed attempt ([`Feedback::next_step`](crate::event::Feedback::next_step), or
//! [`Completion::next_step`](crate::event::Completion::next_step) where a machine checked it). [`learn_retry_policy`]
//! learns a Q-function from stored trajectories by fitted Q iteration (Ernst, Geurts and Wehenkel 2005) over forests;
//! [`TrajectoryReward`] is the value of the code in the end, less cost and time on the way.
//!
//! A learned policy is evaluated on trajectories that it was not learned from, by importance sampling per decision and
//! by a doubly robust estimate (Jiang and Li 2016): unless it is significantly better than the rule in use, the rule
//! stays ([`RetryLearning::active`]).

mod action;
mod baseline_policy;
mod evaluation;
mod learn;
mod learned_policy;
mod q_function;
mod read;
mod report;
mod reward;
mod state;
mod trajectory;

pub use action::{RetryAction, RetryPolicy, choose_action};
pub use baseline_policy::BaselinePolicy;
pub use evaluation::compare_retry_policies;
pub use learn::{RetryLearning, RetryLearningOptions, learn_retry_policy};
pub use learned_policy::LearnedRetryPolicy;
pub use read::{SkippedTrajectories, Trajectories, TrajectoryOptions};
pub use report::{RetryReport, RetryVerdict};
pub use reward::TrajectoryReward;
pub use state::RetryState;
pub use trajectory::Trajectory;

#[cfg(all(test, feature = "simulate"))]
mod tests;
