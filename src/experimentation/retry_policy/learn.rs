//! Learnt on one half of the past, judged on the other.

use super::episode::Episode;
use super::judge::{conclude, deal, judge_all, verify, worth_of};
use super::policy::LearntSteps;
use super::report::{StepReport, StepVerdict};
use super::reward::EpisodeReward;
use super::rule::StepRule;
use super::step::StepPolicy;
use crate::decide::offpolicy::OffPolicyOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::learn::ForestParams;
use serde::{Deserialize, Serialize};

/// What can be set of learning which step to take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StepOptions {
    /// What an episode is worth.
    pub reward: EpisodeReward,
    /// How the forests are grown.
    pub forest: ForestParams,
    /// The share of steps that are drawn from all steps tried often enough, 0 to 0.5.
    pub explore: f64,
    /// How often a step must have been taken after as many failed tries to be thought of, from 1.
    pub min_steps: u32,
    /// What an off-policy estimate must rest on; its objective is not used.
    pub off_policy: OffPolicyOptions,
}

impl Default for StepOptions {
    fn default() -> Self {
        // Every split may choose from all columns: most of them say what was done.
        let forest =
            ForestParams { trees: 60, max_depth: 8, min_rows: 10, colsample: 1.0, ..Default::default() };
        Self {
            reward: EpisodeReward::default(),
            forest,
            explore: 0.05,
            min_steps: 30,
            off_policy: OffPolicyOptions::default(),
        }
    }
}

impl StepOptions {
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

/// What was learnt, and whether it may act.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepLearning {
    /// The policy that was learnt.
    pub policy: LearntSteps,
    /// How it was judged.
    pub report: StepReport,
    rule: StepRule,
}

impl StepLearning {
    /// The policy that is to act: the learnt one where it was found better beyond chance, else the rule.
    pub fn in_force(&self) -> &dyn StepPolicy {
        match self.report.verdict {
            StepVerdict::Adopt => &self.policy,
            StepVerdict::Keep => &self.rule,
        }
    }
}

/// Learns which step to take from half of the episodes (by whole clusters), and judges it beside the
/// `rule` in force on the other half. The same episodes and options give the same bytes.
///
/// ```
/// # #[cfg(feature = "simulate")] {
/// use devmatrix_ml::decide::episodes::{StepOptions, StepRule, choose_step, learn_steps};
/// use devmatrix_ml::simulate::{RetryWorld, RetryWorldOptions};
/// let world = RetryWorld::new(RetryWorldOptions::default());
/// let rule = StepRule::retry_up_to(4)?;
/// // Most of the steps were drawn evenly, so that there is something to learn from.
/// let past = world.episodes(&rule.clone().exploring(0.7)?, 0..2000)?;
/// let learning = learn_steps(&past.episodes, &rule, &StepOptions::default())?;
/// println!("{}", learning.report); // adopt learnt steps …, or keep step rule 1 …, and why
/// let now = &past.episodes[0].steps[0].situation;
/// let (step, decision) = choose_step(learning.in_force(), now, 0.5)?;
/// println!("{step}: {}", decision.reason.unwrap()); // ask_human after 1 failed try: worth 0.30 $, …
/// # }
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for an option out of range, no episode, or odds that are none; `NotEnoughData` for
/// fewer than two clusters, or where nothing but stopping was done; `Cancelled`.
pub fn learn_steps(episodes: &[Episode], rule: &StepRule, options: &StepOptions) -> Result<StepLearning> {
    options.verify()?;
    verify(episodes)?;
    let halves = deal(episodes, 2);
    let half = |of: u32| {
        let with = episodes.iter().zip(&halves).filter(move |(_, half)| **half == of);
        with.map(|(episode, _)| episode).collect::<Vec<_>>()
    };
    let (learnt, judged) = (half(0), half(1));
    if judged.is_empty() {
        let kind = ErrorKind::NotEnoughData { have: 1, need: 2 };
        return Err(Error::new(kind, "all episodes are of one cluster: 2 are needed to learn and to judge"));
    }
    let policy = LearntSteps::fit(&learnt, rule, options)?;
    let judge = |policy: &dyn StepPolicy| {
        let worth = worth_of(policy, &learnt, options)?;
        judge_all(&judged, policy, &worth, &options.reward)
    };
    let (of_policy, of_rule) = (judge(&policy)?, judge(rule)?);
    let report = conclude([&policy, rule], &of_policy, &of_rule, options);
    let report = StepReport { learnt_from: learnt.len(), ..report };
    Ok(StepLearning { policy, report, rule: rule.clone() })
}
