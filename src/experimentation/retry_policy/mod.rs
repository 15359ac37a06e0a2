//! What to do after a failed try: retry, switch the model, ask the human, or stop?
//!
//! A sequential problem: what is done now decides what is known and left to do later. An [`Episode`] is
//! what was done for one task from its first failed try on. Each [`NextStep`] is drawn from the odds of
//! a [`StepPolicy`] by [`choose_step`] and stored with the judgement that called for it
//! ([`Feedback::next_step`](crate::event::Feedback::next_step), or
//! [`Completion::next_step`](crate::event::Completion::next_step) where a machine judged).
//! [`learn_steps`] learns from the stored episodes what each step is worth by fitted Q iteration (Ernst,
//! Geurts and Wehenkel 2005) over forests; what it is worth is [`EpisodeReward`]: the worth of the code
//! in the end, less cost and time on the way.
//!
//! Nothing learnt acts before it was judged on episodes that it was not learnt from, by importance
//! sampling per decision and by a doubly robust estimate (Jiang and Li 2016): unless it is better than
//! the rule in force beyond chance, the rule stays ([`StepLearning::in_force`]).

mod episode;
mod judge;
mod learn;
mod policy;
mod read;
mod report;
mod reward;
mod rule;
mod situation;
mod step;
mod worth;

pub use episode::{Ending, Episode, EpisodeStep};
pub use judge::{StepEstimate, compare_step_policies};
pub use learn::{StepLearning, StepOptions, learn_steps};
pub use policy::LearntSteps;
pub use read::{EpisodeOptions, Episodes, SkippedEpisodes};
pub use report::{StepReport, StepVerdict};
pub use reward::EpisodeReward;
pub use rule::StepRule;
pub use situation::Situation;
pub use step::{NextStep, StepPolicy, choose_step};
