//! A retry policy learned offline from logged trajectories, used only where it is significantly better than the rule.
//!
//! `cargo run --release --features simulate --example retry_policy`

#[path = "common/out.rs"]
#[macro_use]
mod out;

use devmatrix_ml::Result;
use devmatrix_ml::experimentation::retry_policy::{
    BaselinePolicy, RetryAction, RetryLearning, RetryLearningOptions, RetryPolicy, RetryState, Trajectory,
    choose_action, compare_retry_policies, learn_retry_policy,
};
use devmatrix_ml::simulate::{RetryWorld, RetryWorldOptions};

fn main() -> Result<()> {
    // The rule in use: retry up to four attempts; most actions are drawn evenly, so that there is something to learn.
    let world = RetryWorld::new(RetryWorldOptions::default());
    let rule = BaselinePolicy::retry_up_to(4)?;
    let exploring = rule.clone().exploring(0.7)?;
    let logged = world.trajectories(&exploring, 0..4000)?;
    let trajectories: &[Trajectory] = &logged.trajectories;
    println!("{} trajectories, {} tasks without a label", trajectories.len(), logged.skipped.unlabelled);

    let options = RetryLearningOptions::default();
    let learning: RetryLearning = learn_retry_policy(trajectories, &rule, &options)?;
    println!("{}", learning.report);

    // In production: the state after a failed attempt, an action, and its propensity stored with the feedback.
    let mut state = RetryState::default();
    (state.task_type, state.quality) = (Some("database".to_owned()), Some(4.0));
    let (action, decision) = choose_action(learning.active(), &state, 0.5)?;
    println!("{action}: {}", decision.reason.unwrap_or_default());

    // Any fixed policy can be compared on the same log.
    let ask_first = BaselinePolicy::new([RetryAction::AskHuman, RetryAction::SwitchModel])?;
    println!("{}", compare_retry_policies(trajectories, &ask_first, &rule, &options)?);

    // The simulated world knows the truth.
    let value = |policy: &dyn RetryPolicy| world.value(policy, &options.reward, 10_000..10_400);
    println!(
        "true value: rule {:.3} $, active policy {:.3} $ a task",
        value(&rule),
        value(learning.active())
    );
    Ok(())
}
