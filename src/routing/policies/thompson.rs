//! Thompson sampling: each candidate is chosen as often as it may be the best.

use super::above_floor;
use super::linear_bandit::{Draw, Exploration, LinearBandit, LinearPolicy};
use super::logistic_regression::{Margins, OnlineParams};
use crate::error::{Error, Result};
use crate::verify::Verify;
use serde::{Deserialize, Serialize};

/// Thompson sampling (Thompson 1933; Agrawal and Goyal 2013) from a Bayesian logistic regression.
///
/// The stated propensities are exact: the policy first takes [`samples`](ThompsonParams::samples) draws
/// from the posterior, determined by the seed; each candidate's propensity is the share of draws in which
/// it is the best, raised by a floor. The choice is then sampled from these propensities, so given the
/// draws they are the true propensities of the choice, not an estimate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Thompson(LinearBandit<ThompsonParams>);

/// Parameters of [`Thompson`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ThompsonParams {
    /// Draws from the posterior, 1 to 100,000; by default 100.
    pub samples: u32,
    /// Initial factor on the posterior's standard deviation, above 0 and at most 10; by default 1, which is
    /// plain Thompson sampling. A smaller factor explores less.
    #[serde(alias = "spread")]
    pub exploration_scale: f64,
    /// Final exploration scale, above 0 and at most 10; by default 0.1. Tasks differ, so that exploration
    /// would never end; in the long run it no longer pays (Chapelle and Li 2011).
    #[serde(alias = "settled_spread")]
    pub final_exploration_scale: f64,
    /// Outcomes after which the scale is halfway from its initial to its final value, above 0; by default 4,000.
    #[serde(alias = "settl\u{69}ng")]
    pub annealing: f64,
    /// Probability that is spread evenly over the candidates, 0 to 1: an action with propensity 0 cannot be
    /// evaluated off-policy. By default 0.002, which costs little; evaluating policies that differ strongly
    /// from this one needs 0.1 to 0.3 for a while.
    pub floor: f64,
    /// Parameters of the online logistic regression.
    pub online: OnlineParams,
}

impl Default for ThompsonParams {
    fn default() -> Self {
        Self {
            samples: 100,
            exploration_scale: 1.0,
            final_exploration_scale: 0.1,
            annealing: 4000.0,
            floor: 0.002,
            online: OnlineParams::default(),
        }
    }
}

impl Thompson {
    /// Creates a policy that has learned nothing yet.
    ///
    /// ```
    /// use devmatrix_ml::routing::{Thompson, ThompsonParams};
    /// let mut params = ThompsonParams::default();
    /// params.samples = 200;
    /// let policy = Thompson::new(params)?;
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub fn new(params: ThompsonParams) -> Result<Self> {
        LinearBandit::new(params).map(Self)
    }
}

impl LinearPolicy for Thompson {
    const NAME: &'static str = "thompson 2";
    type Exploration = ThompsonParams;

    fn bandit(&self) -> &LinearBandit<ThompsonParams> {
        &self.0
    }

    fn bandit_mut(&mut self) -> &mut LinearBandit<ThompsonParams> {
        &mut self.0
    }
}

impl Exploration for ThompsonParams {
    fn online(&self) -> &OnlineParams {
        &self.online
    }

    fn propensities(&self, margins: Margins, draw: &Draw<'_>) -> Vec<f64> {
        let margins = margins.spread_by(self.spread_after(draw.outcomes));
        above_floor(margins.shares_best(draw.arms, draw.objective, self.samples, draw.seed), self.floor)
    }
}

impl ThompsonParams {
    /// Returns the exploration scale after this many outcomes.
    fn spread_after(&self, outcomes: u64) -> f64 {
        let left = 1.0 / (1.0 + outcomes as f64 / self.annealing);
        self.final_exploration_scale + (self.exploration_scale - self.final_exploration_scale) * left
    }
}

impl Verify for ThompsonParams {
    fn verify(&self) -> Result<()> {
        self.online.verify()?;
        let Self { samples, exploration_scale, final_exploration_scale, annealing, floor, .. } = *self;
        let is_spread = |exploration_scale: f64| (f64::MIN_POSITIVE..=10.0).contains(&exploration_scale);
        if !(1..=100_000).contains(&samples)
            || !is_spread(exploration_scale)
            || !is_spread(final_exploration_scale)
            || !(f64::MIN_POSITIVE..=f64::MAX).contains(&annealing)
            || !(0.0..=1.0).contains(&floor)
        {
            return Err(Error::invalid(format!(
                "Thompson: samples is {samples}, expected 1 to 100000; exploration_scale is {exploration_scale} and final_exploration_scale \
                 {final_exploration_scale}, expected above 0 and at most 10; annealing is {annealing}, expected above 0; \
                 floor is {floor}, expected 0 to 1"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_explores_less_the_more_it_knows() {
        let params = ThompsonParams::default();
        let spreads = [0, 4000, 36_000, u64::MAX].map(|n| params.spread_after(n));
        assert!((spreads[1] - 0.55).abs() < 1e-12 && (spreads[2] - 0.19).abs() < 1e-12, "{spreads:?}");
        assert!(spreads[0] == 1.0 && (spreads[3] - 0.1).abs() < 1e-9, "{spreads:?}");
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let wrong = |change: fn(&mut ThompsonParams)| {
            let mut params = ThompsonParams::default();
            change(&mut params);
            Thompson::new(params).unwrap_err().to_string()
        };
        assert!(wrong(|p| p.final_exploration_scale = 0.0).contains("final_exploration_scale 0"));
        assert!(wrong(|p| p.annealing = f64::NAN).contains("annealing is NaN"));
    }
}
