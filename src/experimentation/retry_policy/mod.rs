//! What to do after a failed try: retry, switch the model, ask the human, or stop?
//!
//! A sequential problem: what is done now decides what is known and left to do later. An [`Trajectory`] is
//! what was done for one task from its first failed try on. Each [`RetryAction`] is drawn from the odds of
//! a [`RetryPolicy`] by [`choose_action`] and stored with the judgement that called for it
//! ([`Feedback::next_step`](crate::event::Feedback::next_step), or
//! [`Completion::next_step`](crate::event::Completion::next_step) where a machine judged).
//! [`learn_retry_policy`] learns from the stored episodes what each step is worth by fitted Q iteration (Ernst,
//! Geurts and Wehenkel 2005) over forests; what it is worth is [`TrajectoryReward`]: the worth of the code
//! in the end, less cost and time on the way.
//!
//! Nothing learned acts before it was judged on episodes that it was not learned from, by importance
//! sampling per decision and by a doubly robust estimate (Jiang and Li 2016): unless it is better than
//! the rule in force beyond chance, the rule stays ([`RetryLearning::baseline`]).

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
pub use evaluation::{RetryEstimate, compare_retry_policies};
pub use learn::{RetryLearning, RetryLearningOptions, learn_retry_policy};
pub use learned_policy::LearnedRetryPolicy;
pub use read::{SkippedTrajectories, Trajectories, TrajectoryOptions};
pub use report::{RetryReport, RetryVerdict};
pub use reward::TrajectoryReward;
pub use state::RetryState;
pub use trajectory::{Ending, Trajectory, TrajectoryStep};
