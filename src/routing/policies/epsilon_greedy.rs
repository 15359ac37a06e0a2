//! ε-greedy: the best by what is known, and now and then any.

use super::online::{Margins, Online, OnlineParams};
use super::{
    Arm, Objective, Policy, Posterior, TaskOutcome, Verify, above_floor, all_on, load, store, verified,
};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// ε-greedy (Watkins 1989) on a Bayesian logistic regression, of which only the mean is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpsilonGreedy {
    #[serde(deserialize_with = "verified")]
    params: EpsilonParams,
    #[serde(deserialize_with = "verified")]
    model: Online,
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

impl Default for EpsilonGreedy {
    fn default() -> Self {
        let params = EpsilonParams::default();
        Self { model: Online::new(params.online.clone()), params, outcomes: 0 }
    }
}

impl EpsilonGreedy {
    /// A policy that knows nothing yet.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub fn new(params: EpsilonParams) -> Result<Self> {
        params.verify()?;
        Ok(Self { model: Online::new(params.online.clone()), params, outcomes: 0 })
    }

    fn margins(&self, arms: &[Arm]) -> Margins {
        self.model.margins(arms, |_| 0.0)
    }

    fn epsilon(&self) -> f64 {
        let EpsilonParams { first, last, half_life, .. } = self.params;
        last + (first - last) * 0.5_f64.powf(self.outcomes as f64 / half_life)
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

impl Policy for EpsilonGreedy {
    fn name(&self) -> &'static str {
        "epsilon-greedy 1"
    }

    fn propensities(&self, arms: &[Arm], objective: &Objective, _seed: u64) -> Vec<f64> {
        let means: Vec<_> = self.posteriors(arms).iter().map(|posterior| posterior.success).collect();
        above_floor(all_on(objective.best(arms, &means), arms.len()), self.epsilon())
    }

    fn posteriors(&self, arms: &[Arm]) -> Vec<Posterior> {
        self.margins(arms).posteriors()
    }

    fn beats(&self, pair: &[Arm; 2], objective: &Objective, seed: u64) -> f64 {
        self.margins(pair).shares_best(pair, objective, super::COMPARISONS, seed)[0]
    }

    fn learn(&mut self, arm: &Arm, outcome: &TaskOutcome) {
        self.model.learn(arm, 0.0, outcome.success);
        self.outcomes = self.outcomes.saturating_add(1);
    }

    fn save(&self) -> Result<Vec<u8>> {
        store(self)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        *self = load(bytes)?;
        Ok(())
    }
}
