//! Learned on one half of the past, judged on the other.

use super::action::RetryPolicy;
use super::baseline_policy::BaselinePolicy;
use super::evaluation::{conclude, deal, judge_all, verify, worth_of};
use super::learned_policy::LearnedRetryPolicy;
use super::report::{RetryReport, RetryVerdict};
use super::reward::TrajectoryReward;
use super::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::experimentation::off_policy::OffPolicyOptions;
use crate::ml::ForestParams;
use serde::{Deserialize, Serialize};

/// What can be set of learning which step to take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RetryLearningOptions {
    /// What an episode is worth.
    pub reward: TrajectoryReward,
    /// How the forests are grown.
    pub forest: ForestParams,
    /// The share of steps that are drawn from all steps tried often enough, 0 to 0.5.
    pub explore: f64,
    /// How often a step must have been taken after as many failed tries to be thought of, from 1.
    pub min_steps: u32,
    /// What an off-policy estimate must rest on; its objective is not used.
    pub off_policy: OffPolicyOptions,
}

impl Default for RetryLearningOptions {
    fn default() -> Self {
        // Every split may choose from all columns: most of them say what was done.
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
    ///
    /// # Errors
    /// `InvalidInput` naming the option and its value.
    pub fn verify(&self) -> Result<()> {
        if !(0.0..=0.5).contains(&self.explore) {
            return Err(Error::invalid(format!("explore is {}, expected 0 to 0.5", self.explore)));
        }
        if self.min_steps == 0 {
            return Err(Error::invalid("min_steps is 0, expected at least 1"));
        }
        self.reward.verify()?;
        self.forest.verify()?;
        self.off_policy.verify()
    }
}

/// What was learned, and whether it may act.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetryLearning {
    /// The policy that was learned.
    pub policy: LearnedRetryPolicy,
    /// How it was judged.
    pub report: RetryReport,
    rule: BaselinePolicy,
}

impl RetryLearning {
    /// The policy that is to act: the learned one where it was found better beyond chance, else the rule.
    pub fn baseline(&self) -> &dyn RetryPolicy {
        match self.report.verdict {
            RetryVerdict::Adopt => &self.policy,
            RetryVerdict::Keep => &self.rule,
        }
    }
}

/// Learns which step to take from half of the episodes (by whole clusters), and judges it beside the
/// `rule` in force on the other half. The same episodes and options give the same bytes.
///
/// ```
/// # #[cfg(feature = "simulate")] {
/// use devmatrix_ml::experimentation::retry_policy::{RetryLearningOptions, BaselinePolicy, choose_action, learn_retry_policy};
/// use devmatrix_ml::simulate::{RetryWorld, RetryWorldOptions};
/// let world = RetryWorld::new(RetryWorldOptions::default());
/// let rule = BaselinePolicy::retry_up_to(4)?;
/// // Most of the steps were drawn evenly, so that there is something to learn from.
/// let past = world.trajectories(&rule.clone().exploring(0.7)?, 0..2000)?;
/// let learning = learn_retry_policy(&past.trajectories, &rule, &RetryLearningOptions::default())?;
/// println!("{}", learning.report); // adopt learned steps …, or keep step rule 1 …, and why
/// let now = &past.trajectories[0].steps[0].state;
/// let (step, decision) = choose_action(learning.baseline(), now, 0.5)?;
/// println!("{step}: {}", decision.reason.unwrap()); // ask_human after 1 failed try: q_function 0.30 $, …
/// # }
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for an option out of range, no episode, or odds that are none; `NotEnoughData` for
/// fewer than two clusters, or where nothing but stopping was done; `Cancelled`.
pub fn learn_retry_policy(
    trajectories: &[Trajectory],
    rule: &BaselinePolicy,
    options: &RetryLearningOptions,
) -> Result<RetryLearning> {
    options.verify()?;
    verify(trajectories)?;
    let halves = deal(trajectories, 2);
    let half = |of: u32| {
        let with = trajectories.iter().zip(&halves).filter(move |(_, half)| **half == of);
        with.map(|(trajectory, _)| trajectory).collect::<Vec<_>>()
    };
    let (learned, judged) = (half(0), half(1));
    if judged.is_empty() {
        let kind = ErrorKind::NotEnoughData { have: 1, need: 2 };
        return Err(Error::new(kind, "all episodes are of one cluster: 2 are needed to learn and to judge"));
    }
    let policy = LearnedRetryPolicy::fit(&learned, rule, options)?;
    let judge = |policy: &dyn RetryPolicy| {
        let q_function = worth_of(policy, &learned, options)?;
        judge_all(&judged, policy, &q_function, &options.reward)
    };
    let (of_policy, of_rule) = (judge(&policy)?, judge(rule)?);
    let report = conclude([&policy, rule], &of_policy, &of_rule, options);
    let report = RetryReport { learned_from: learned.len(), ..report };
    Ok(RetryLearning { policy, report, rule: rule.clone() })
}
