//! `LinUCB`: the candidate that may be best, were one lucky.

use super::online::{Margins, Online, OnlineParams};
use super::{
    Arm, Objective, Policy, Posterior, TaskOutcome, Verify, above_floor, all_on, load, store, verified,
};
use crate::error::{Error, Result};
use crate::stats::sigmoid;
use serde::{Deserialize, Serialize};

/// `LinUCB` (Li, Chu, Langford and Schapire 2010) on a Bayesian logistic regression. The policy itself
/// is deterministic; a share of all choices is made at random, so that every propensity is above 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinUcb {
    #[serde(deserialize_with = "verified")]
    params: UcbParams,
    #[serde(deserialize_with = "verified")]
    model: Online,
}

/// Parameters of [`LinUcb`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct UcbParams {
    /// Standard deviations of the log-odds that are added to the mean, 0 to 100.
    pub alpha: f64,
    /// Share that is chosen at random, 0 to 1.
    pub floor: f64,
    /// Parameters of the online logistic regression.
    pub online: OnlineParams,
}

impl Default for UcbParams {
    fn default() -> Self {
        Self { alpha: 0.2, floor: 0.02, online: OnlineParams::default() }
    }
}

impl Default for LinUcb {
    fn default() -> Self {
        let params = UcbParams::default();
        Self { model: Online::new(params.online.clone()), params }
    }
}

impl LinUcb {
    /// A policy that knows nothing yet.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub fn new(params: UcbParams) -> Result<Self> {
        params.verify()?;
        Ok(Self { model: Online::new(params.online.clone()), params })
    }

    fn margins(&self, arms: &[Arm]) -> Margins {
        self.model.margins(arms, |_| 0.0)
    }
}

impl Verify for UcbParams {
    fn verify(&self) -> Result<()> {
        self.online.verify()?;
        if !(0.0..=100.0).contains(&self.alpha) || !(0.0..=1.0).contains(&self.floor) {
            return Err(Error::invalid(format!(
                "LinUCB: alpha is {}, expected 0 to 100; floor is {}, expected 0 to 1",
                self.alpha, self.floor
            )));
        }
        Ok(())
    }
}

impl Policy for LinUcb {
    fn name(&self) -> &'static str {
        "linucb 1"
    }

    fn propensities(&self, arms: &[Arm], objective: &Objective, _seed: u64) -> Vec<f64> {
        let margins = self.margins(arms);
        let bound = |(at, mean): (usize, &f64)| {
            sigmoid(mean + self.params.alpha * margins.covariance[at][at].max(0.0).sqrt())
        };
        let bounds: Vec<_> = margins.mean.iter().enumerate().map(bound).collect();
        above_floor(all_on(objective.best(arms, &bounds), arms.len()), self.params.floor)
    }

    fn posteriors(&self, arms: &[Arm]) -> Vec<Posterior> {
        self.margins(arms).posteriors()
    }

    fn beats(&self, pair: &[Arm; 2], objective: &Objective, seed: u64) -> f64 {
        self.margins(pair).shares_best(pair, objective, super::COMPARISONS, seed)[0]
    }

    fn learn(&mut self, arm: &Arm, outcome: &TaskOutcome) {
        self.model.learn(arm, 0.0, outcome.success);
    }

    fn save(&self) -> Result<Vec<u8>> {
        store(self)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        *self = load(bytes)?;
        Ok(())
    }
}
