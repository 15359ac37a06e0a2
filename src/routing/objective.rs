//! The objective of a choice.

use super::policies::{Arm, Posterior};
use super::until_success::{self, Try};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The objective of a choice and its constraints.
///
/// ```
/// use devmatrix_ml::routing::{Goal, Objective};
/// let mut objective = Objective::default(); // one US dollar a success, minus the cost
/// objective.goal = Goal::Cheapest;
/// objective.min_success = Some(0.85);
/// objective.max_seconds = Some(60.0);
/// objective.max_cost_usd = Some(0.05);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Objective {
    /// The quantity to optimize.
    pub goal: Goal,
    /// The value of a success in US dollars, 0 to 1e9.
    pub usd_per_success: f64,
    /// The cost of an hour of generating beside the LLM's price, in US dollars, 0 to 1e9.
    pub usd_per_hour: f64,
    /// The least probability of success, 0 to 1; where no candidate reaches it, the most probable one is best.
    pub min_success: Option<f64>,
    /// Expected seconds at most, from 1e-9; where no candidate is within it, the fastest is allowed.
    pub max_seconds: Option<f64>,
    /// Expected US dollars of one generation at most; where no candidate is within it, the cheapest is allowed.
    pub max_cost_usd: Option<f64>,
    /// The cost of a person's look at the result of a try, in US dollars, 0 to 1e9: part of the cost until success.
    pub usd_per_review: f64,
    /// The budget: US dollars for all generations of a day. Spending is paced so that it lasts the day. A try is chosen where
    /// what it may cost fits, beside what was spent and is reserved for tries in flight; where none fits, the request's default
    /// is, if it names one; what costs nothing always is.
    pub usd_per_day: Option<f64>,
    /// US dollars of a day beyond which not even the default is chosen, but what costs nothing; without it, the default always
    /// is.
    pub hard_usd_per_day: Option<f64>,
}

/// The quantity to optimize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Probability of success times its value, minus cost and time.
    #[default]
    Utility,
    /// The least cost.
    Cheapest,
    /// The least time.
    Fastest,
    /// The least cost until success: of tries, of the retries that the plan allows, and then of the most promising candidate,
    /// each with its seconds and its review.
    UntilSuccess,
}

impl Default for Objective {
    fn default() -> Self {
        Self {
            goal: Goal::Utility,
            usd_per_success: 1.0,
            usd_per_hour: 0.0,
            min_success: None,
            max_seconds: None,
            max_cost_usd: None,
            usd_per_review: 0.0,
            usd_per_day: None,
            hard_usd_per_day: None,
        }
    }
}

impl Objective {
    /// Checks every range.
    pub(crate) fn validate(&self) -> Result<()> {
        let check = |name: &str, value: Option<f64>, low: f64, high: f64| match value {
            Some(v) if !(low..=high).contains(&v) => {
                Err(Error::invalid(format!("the objective's {name} is {v}, expected {low} to {high}")))
            }
            _ => Ok(()),
        };
        check("usd_per_success", Some(self.usd_per_success), 0.0, 1e9)?;
        check("usd_per_hour", Some(self.usd_per_hour), 0.0, 1e9)?;
        check("min_success", self.min_success, 0.0, 1.0)?;
        check("max_seconds", self.max_seconds, 1e-9, 1e9)?;
        check("max_cost_usd", self.max_cost_usd, 0.0, 1e9)?;
        check("usd_per_review", Some(self.usd_per_review), 0.0, 1e9)?;
        check("usd_per_day", self.usd_per_day, 0.0, 1e9)?;
        check("hard_usd_per_day", self.hard_usd_per_day, 0.0, 1e9)?;
        match (self.usd_per_day, self.hard_usd_per_day) {
            (Some(soft), Some(hard)) if hard < soft => Err(Error::invalid(format!(
                "the objective's hard_usd_per_day is {hard}, below its usd_per_day of {soft}: raise it"
            ))),
            _ => Ok(()),
        }
    }

    /// Returns the expected utility of a generation in US dollars.
    pub fn utility(&self, success: f64, cost_usd: f64, seconds: f64) -> f64 {
        self.usd_per_success * success - cost_usd - self.usd_per_hour / 3600.0 * seconds
    }

    /// Returns the index of the best of `arms` with these probabilities of success; the first of equals; 0 where there are
    /// none.
    pub(crate) fn best(&self, arms: &[Arm], success: &[f64]) -> usize {
        let scores = self.scores(arms, success);
        let mut best = (0, (false, f64::NEG_INFINITY));
        for (at, score) in scores.into_iter().enumerate() {
            if score > best.1 {
                best = (at, score);
            }
        }
        best.0
    }

    /// Returns the indices of `arms` with these probabilities of success, the best first.
    pub(super) fn ranked(&self, arms: &[Arm], success: &[f64]) -> Vec<usize> {
        let scores = self.scores(arms, success);
        let mut order: Vec<_> = (0..arms.len()).collect();
        order.sort_by(|a, b| {
            let ((a_above, a), (b_above, b)) = (scores[*a], scores[*b]);
            b_above.cmp(&a_above).then(b.total_cmp(&a))
        });
        order
    }

    /// Returns whether an arm is below another by utility even with the upper end of its success and the lower of the other's.
    pub(super) fn is_below(
        &self,
        (arm, p): (&Arm, &Posterior),
        (other, of_other): (&Arm, &Posterior),
    ) -> bool {
        self.goal == Goal::Utility
            && self.utility(p.high, arm.cost_usd, arm.seconds)
                < self.utility(of_other.low, other.cost_usd, other.seconds)
    }

    fn scores(&self, arms: &[Arm], success: &[f64]) -> Vec<(bool, f64)> {
        let floor = self.min_success.unwrap_or(0.0);
        let until =
            if self.goal == Goal::UntilSuccess { self.until_success(arms, success) } else { Vec::new() };
        let score = |(at, (arm, p)): (usize, (&Arm, &f64))| {
            let value = match self.goal {
                Goal::Utility => self.utility(*p, arm.cost_usd, arm.seconds),
                Goal::Cheapest => -arm.cost_usd,
                Goal::Fastest => -arm.seconds,
                Goal::UntilSuccess => -until[at],
            };
            // Arms below the floor come after all others, the most probable first.
            if *p >= floor { (true, value) } else { (false, *p) }
        };
        arms.iter().zip(success).enumerate().map(score).collect()
    }

    /// Returns the cost until success of each arm, with its seconds and its reviews.
    fn until_success(&self, arms: &[Arm], success: &[f64]) -> Vec<f64> {
        let cost = |arm: &Arm| arm.cost_usd + self.usd_per_hour / 3600.0 * arm.seconds + self.usd_per_review;
        let tries =
            arms.iter().zip(success).map(|(arm, p)| Try { usd: cost(arm), success: *p, tries: arm.tries });
        until_success::expected(&tries.collect::<Vec<_>>())
    }

    /// Returns whether the first arm cannot be worth its cost: even if it succeeded, the other were better if it failed.
    pub(super) fn is_hopeless(&self, arm: &Arm, other: &Arm) -> bool {
        self.goal == Goal::Utility
            && self.utility(1.0, arm.cost_usd, arm.seconds) < self.utility(0.0, other.cost_usd, other.seconds)
    }
}
