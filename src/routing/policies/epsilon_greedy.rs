//! ε-greedy: the best by what is known, and now and then any.

use super::linear_bandit::{Draw, Exploration, LinearBandit, LinearPolicy};
use super::logistic_regression::{Margins, OnlineParams};
use super::{Arm, above_floor, all_on};
use crate::error::{Error, Result};
use crate::verify::Verify;
use serde::{Deserialize, Serialize};

/// ε-greedy (Watkins 1989) on a Bayesian logistic regression, of which only the mean is looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EpsilonGreedy {
    bandit: LinearBandit<EpsilonParams>,
    /// Those of the regression again: stored states have them here as well.
    outcomes: u64,
}

/// Parameters of [`EpsilonGreedy`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EpsilonParams {
    /// Share that is chosen at random in the beginning, 0 to 1.
    pub first: f64,
    /// Share that is chosen at random in the long run, 0 to 1.
    pub last: f64,
    /// Outcomes after which the difference between the two has halved, above 0.
    pub half_life: f64,
    /// Parameters of the online logistic regression.
    pub online: OnlineParams,
}

impl Default for EpsilonParams {
    fn default() -> Self {
        Self { first: 0.3, last: 0.02, half_life: 600.0, online: OnlineParams::default() }
    }
}

impl EpsilonGreedy {
    /// Creates a policy that has learned nothing yet.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub fn new(params: EpsilonParams) -> Result<Self> {
        Ok(Self { bandit: LinearBandit::new(params)?, outcomes: 0 })
    }
}

impl LinearPolicy for EpsilonGreedy {
    const NAME: &'static str = "epsilon-greedy 1";
    type Exploration = EpsilonParams;

    fn bandit(&self) -> &LinearBandit<EpsilonParams> {
        &self.bandit
    }

    fn bandit_mut(&mut self) -> &mut LinearBandit<EpsilonParams> {
        &mut self.bandit
    }

    fn prepare(&mut self, _arm: &Arm) {
        self.outcomes = self.outcomes.saturating_add(1);
    }
}

impl Exploration for EpsilonParams {
    fn online(&self) -> &OnlineParams {
        &self.online
    }

    fn propensities(&self, margins: Margins, draw: &Draw<'_>) -> Vec<f64> {
        let means: Vec<_> = margins.posteriors().iter().map(|posterior| posterior.success).collect();
        above_floor(
            all_on(draw.objective.best(draw.arms, &means), draw.arms.len()),
            self.epsilon(draw.outcomes),
        )
    }
}

impl EpsilonParams {
    /// Returns the share that is chosen at random after this many outcomes.
    fn epsilon(&self, outcomes: u64) -> f64 {
        self.last + (self.first - self.last) * 0.5_f64.powf(outcomes as f64 / self.half_life)
    }
}

impl Verify for EpsilonParams {
    fn verify(&self) -> Result<()> {
        self.online.verify()?;
        let Self { first, last, half_life, .. } = *self;
        if !(0.0..=1.0).contains(&first)
            || !(0.0..=1.0).contains(&last)
            || !(f64::MIN_POSITIVE..=1e12).contains(&half_life)
        {
            return Err(Error::invalid(format!(
                "epsilon-greedy: first is {first} and last is {last}, expected 0 to 1; half_life is \
                 {half_life}, expected above 0 and at most 1e12"
            )));
        }
        Ok(())
    }
}
