//! `LinUCB`: the candidate that may be best, were one lucky.

use super::linear_bandit::{Draw, Exploration, LinearBandit, LinearPolicy};
use super::logistic_regression::{Margins, OnlineParams};
use super::{above_floor, all_on};
use crate::error::{Error, Result};
use crate::stats::sigmoid;
use crate::verify::Verify;
use serde::{Deserialize, Serialize};

/// `LinUCB` (Li, Chu, Langford and Schapire 2010) on a Bayesian logistic regression. The policy itself
/// is deterministic; a share of all choices is made at random, so that every propensity is above 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LinUcb(LinearBandit<UcbParams>);

/// Parameters of [`LinUcb`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct UcbParams {
    /// Standard deviations of the log-odds that are added to the mean, 0 to 100.
    pub(super) alpha: f64,
    /// Share that is chosen at random, 0 to 1.
    pub(super) floor: f64,
    /// Parameters of the online logistic regression.
    pub(super) online: OnlineParams,
}

impl Default for UcbParams {
    fn default() -> Self {
        Self { alpha: 0.2, floor: 0.02, online: OnlineParams::default() }
    }
}

impl LinUcb {
    /// Creates a policy that has learned nothing yet.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub(super) fn new(params: UcbParams) -> Result<Self> {
        LinearBandit::new(params).map(Self)
    }
}

impl LinearPolicy for LinUcb {
    const NAME: &'static str = "linucb 1";
    type Exploration = UcbParams;

    fn bandit(&self) -> &LinearBandit<UcbParams> {
        &self.0
    }

    fn bandit_mut(&mut self) -> &mut LinearBandit<UcbParams> {
        &mut self.0
    }
}

impl Exploration for UcbParams {
    fn online(&self) -> &OnlineParams {
        &self.online
    }

    fn propensities(&self, margins: Margins, draw: &Draw<'_>) -> Vec<f64> {
        let bound = |(at, mean): (usize, &f64)| {
            sigmoid(mean + self.alpha * margins.covariance[at][at].max(0.0).sqrt())
        };
        let bounds: Vec<_> = margins.mean.iter().enumerate().map(bound).collect();
        above_floor(all_on(draw.objective.best(draw.arms, &bounds), draw.arms.len()), self.floor)
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
