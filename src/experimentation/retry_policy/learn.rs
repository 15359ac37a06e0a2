//! Learning a retry policy on one half of the trajectories, evaluating it on the other.

use super::action::RetryPolicy;
use super::baseline_policy::BaselinePolicy;
use super::evaluation::{assign_folds, compare, evaluate_all, fit_q_function, verify};
use super::learned_policy::LearnedRetryPolicy;
use super::report::{RetryReport, RetryVerdict};
use super::reward::TrajectoryReward;
use super::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::experimentation::off_policy::OffPolicyOptions;
use crate::ml::ForestParams;
use serde::{Deserialize, Serialize};

/// Options of learning a retry policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryLearningOptions {
    /// The reward of a trajectory.
    pub reward: TrajectoryReward,
    /// Hyperparameters of the random forests.
    pub forest: ForestParams,
    /// Exploration rate: the share of actions drawn evenly from those tried often enough, 0 to 0.5. More teaches faster
    /// and costs more failed attempts.
    pub explore: f64,
    /// How often an action must have been taken after as many failed attempts to be considered, from 1.
    pub min_steps: u32,
    /// Options of the off-policy estimate; its objective is not used.
    pub off_policy: OffPolicyOptions,
}

impl Default for RetryLearningOptions {
    fn default() -> Self {
        // Every split may choose from all columns: most of them encode the action. Few trees of this depth are enough
        // for some thousand trajectories; `cargo test --lib retry_policy` checks that the rule is beaten.
        let forest =
            ForestParams { trees: 60, max_depth: 8, min_rows: 10, colsample: 1.0, ..Default::default() };
        Self {
            reward: TrajectoryReward::default(),
            forest,
            explore: 0.05,
            min_steps: 30,
            off_policy: OffPolicyOptions::default(),
        }
    }
}

impl RetryLearningOptions {
    /// Checks every range.
    pub(crate) fn validate(&self) -> Result<()> {
        if !(0.0..=0.5).contains(&self.explore) {
            return Err(Error::invalid(format!("explore is {}, expected 0 to 0.5", self.explore)));
        }
        if self.min_steps == 0 {
            return Err(Error::invalid("min_steps is 0, expected at least 1"));
        }
        self.reward.validate()?;
        self.forest.validate()?;
        self.off_policy.validate()
    }
}

/// A learned policy with its evaluation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetryLearning {
    /// The policy that was learned.
    pub policy: LearnedRetryPolicy,
    /// Its evaluation.
    pub report: RetryReport,
    rule: BaselinePolicy,
}

impl RetryLearning {
    /// Returns the policy to use: the learned one where it is significantly better, else the rule.
    pub fn active(&self) -> &dyn RetryPolicy {
        match self.report.verdict {
            RetryVerdict::Adopt => &self.policy,
            RetryVerdict::Keep => &self.rule,
        }
    }
}

/// Learns a policy from half of the trajectories (by whole clusters) and compares it with the `rule` in use on the other
/// half. The same trajectories and options give the same bytes.
///
/// ```
/// # #[cfg(feature = "simulate")] {
/// use devmatrix_ml::experimentation::retry_policy::{BaselinePolicy, RetryLearningOptions, RetryState, choose_action, learn_retry_policy};
/// use devmatrix_ml::simulate::{RetryWorld, RetryWorldOptions};
/// let world = RetryWorld::new(RetryWorldOptions::default());
/// let rule = BaselinePolicy::retry_up_to(4)?;
/// // Most of the actions were drawn evenly, so that there is something to learn from.
/// let logged = world.trajectories(&rule.clone().exploring(0.7)?, 0..2000)?;
/// let learning = learn_retry_policy(&logged.trajectories, &rule, &RetryLearningOptions::default())?;
/// println!("{}", learning.report); // adopt learned retry policy …, or keep retry rule 1 …, with the reason
/// let (action, decision) = choose_action(learning.active(), &RetryState::default(), 0.5)?;
/// println!("{action}: {}", decision.reason.unwrap()); // ask_human after 1 failed attempt: expected value 0.30 $, …
/// # }
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for an option out of range, no trajectory, or invalid propensities; `NotEnoughData` for fewer than two
/// clusters, or where every action was to stop; `Cancelled`.
pub fn learn_retry_policy(
    trajectories: &[Trajectory],
    rule: &BaselinePolicy,
    options: &RetryLearningOptions,
) -> Result<RetryLearning> {
    options.validate()?;
    verify(trajectories)?;
    let halves = assign_folds(trajectories, 2);
    let half = |of: u32| {
        let with = trajectories.iter().zip(&halves).filter(move |(_, half)| **half == of);
        with.map(|(trajectory, _)| trajectory).collect::<Vec<_>>()
    };
    let (learned, test_set) = (half(0), half(1));
    if test_set.is_empty() {
        let kind = ErrorKind::NotEnoughData { have: 1, need: 2 };
        return Err(Error::new(
            kind,
            "all trajectories are of one cluster: 2 are needed to learn and to evaluate",
        ));
    }
    let policy = LearnedRetryPolicy::fit(&learned, rule, options)?;
    let evaluate = |policy: &dyn RetryPolicy| {
        let q_function = fit_q_function(policy, &learned, options)?;
        evaluate_all(&test_set, policy, &q_function, &options.reward)
    };
    let (of_policy, of_rule) = (evaluate(&policy)?, evaluate(rule)?);
    let report = compare([&policy, rule], &of_policy, &of_rule, options);
    let report = RetryReport { learned_from: learned.len(), ..report };
    Ok(RetryLearning { policy, report, rule: rule.clone() })
}
