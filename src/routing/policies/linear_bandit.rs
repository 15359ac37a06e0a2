//! The linear bandit that all policies are built on: a Bayesian logistic regression of the outcomes, and parameters that
//! turn its posterior into propensities.

use super::logistic_regression::{LogisticRegression, Margins, OnlineParams};
use super::{Arm, Objective, Policy, Posterior};
use crate::error::{Error, Result};
use crate::stats::sigmoid;
use crate::verify::{Verify, verified};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Draws from the posterior to compare two arms.
const COMPARISONS: u32 = 100;

/// Arms at most whose joint posterior is drawn from, those that may be the best: a draw takes the square of their number, its
/// preparation the cube (`cargo bench --bench decide`).
const MOST_DRAWN: usize = 64;

/// Standard deviations by which an arm may be better than its mean when those to be drawn from are chosen.
const OPTIMISM: f64 = 2.0;

/// Parameters that turn a posterior into propensities.
pub(super) trait Exploration: Verify + Default + Serialize + DeserializeOwned {
    /// Returns the parameters of the regression.
    fn online(&self) -> &OnlineParams;

    /// Returns the propensities of the arms of `draw`, given the posterior `margins` of their log-odds.
    fn propensities(&self, margins: Margins, draw: &Draw<'_>) -> Vec<f64>;
}

/// Arms to be drawn from.
pub(super) struct Draw<'a> {
    pub(super) arms: &'a [Arm],
    pub(super) objective: &'a Objective,
    /// Outcomes learned so far.
    pub(super) outcomes: u64,
    /// All randomness comes from it.
    pub(super) seed: u64,
}

/// The state of a linear bandit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "E: Exploration")]
pub(super) struct LinearBandit<E> {
    #[serde(rename = "params", deserialize_with = "verified")]
    pub(super) exploration: E,
    #[serde(rename = "model", deserialize_with = "verified")]
    pub(super) regression: LogisticRegression,
}

impl<E: Exploration> LinearBandit<E> {
    /// Creates a bandit that has learned nothing yet.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub(super) fn new(exploration: E) -> Result<Self> {
        exploration.verify()?;
        Ok(Self { regression: LogisticRegression::new(exploration.online().clone()), exploration })
    }
}

impl<E: Exploration> Default for LinearBandit<E> {
    fn default() -> Self {
        let exploration = E::default();
        Self { regression: LogisticRegression::new(exploration.online().clone()), exploration }
    }
}

/// A policy that is a linear bandit. Stored with postcard, which writes fields in order and no names: the bandit is the
/// first field of each.
pub(super) trait LinearPolicy: fmt::Debug + Send + Sync + Serialize + DeserializeOwned {
    /// Its name and version, as decisions record it.
    const NAME: &'static str;
    type Exploration: Exploration;

    fn bandit(&self) -> &LinearBandit<Self::Exploration>;

    fn bandit_mut(&mut self) -> &mut LinearBandit<Self::Exploration>;

    /// Returns the log-odds that the regression of `arm` starts from.
    fn offset(&self, _arm: &Arm) -> f64 {
        0.0
    }

    /// Returns the variance of the offset.
    fn offset_variance(&self, _arm: &Arm) -> f64 {
        0.0
    }

    /// Returns the joint posterior of the log-odds of `arms`.
    fn margins(&self, arms: &[Arm]) -> Margins {
        let mut margins = self.bandit().regression.margins(arms, |arm| self.offset(arm) + arm.shift);
        for (at, arm) in arms.iter().enumerate() {
            margins.covariance[at][at] += self.offset_variance(arm);
        }
        margins
    }

    /// Returns mean and variance of the log-odds of each of `arms`.
    fn marginals(&self, arms: &[Arm]) -> Vec<(f64, f64)> {
        let marginal = |arm: &Arm| {
            let (mean, variance) = self.bandit().regression.marginal(arm);
            (mean + self.offset(arm) + arm.shift, variance + self.offset_variance(arm))
        };
        arms.iter().map(marginal).collect()
    }

    /// Returns the indices of the arms that may be the best, ascending.
    fn contenders(&self, arms: &[Arm], objective: &Objective) -> Vec<usize> {
        if arms.len() <= MOST_DRAWN {
            return (0..arms.len()).collect();
        }
        let marginals = self.marginals(arms);
        let optimistic = |(mean, variance): &(f64, f64)| sigmoid(mean + OPTIMISM * variance.max(0.0).sqrt());
        let mut order = objective.ranked(arms, &marginals.iter().map(optimistic).collect::<Vec<_>>());
        order.truncate(MOST_DRAWN);
        order.sort_unstable();
        order
    }

    /// Prepares for an outcome of `arm`.
    fn prepare(&mut self, _arm: &Arm) {}

    /// Checks a state that was read, beyond the bandit itself.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl<P: LinearPolicy> Policy for P {
    fn name(&self) -> &str {
        P::NAME
    }

    fn propensities(&self, arms: &[Arm], objective: &Objective, seed: u64) -> Vec<f64> {
        let LinearBandit { exploration, regression } = self.bandit();
        let contenders = self.contenders(arms, objective);
        let drawn: Vec<_> = contenders.iter().map(|at| arms[*at].clone()).collect();
        let draw = Draw { arms: &drawn, objective, outcomes: regression.outcomes(), seed };
        let mut all = vec![0.0; arms.len()];
        let propensities = exploration.propensities(self.margins(&drawn), &draw);
        contenders.into_iter().zip(propensities).for_each(|(at, p)| all[at] = p);
        all
    }

    fn posteriors(&self, arms: &[Arm]) -> Vec<Posterior> {
        self.marginals(arms).into_iter().map(|(mean, variance)| Posterior::normal(mean, variance)).collect()
    }

    fn beats(&self, pair: &[Arm; 2], objective: &Objective, seed: u64) -> f64 {
        self.margins(pair).shares_best(pair, objective, COMPARISONS, seed)[0]
    }

    fn learn(&mut self, arm: &Arm, success: bool) {
        self.prepare(arm);
        let offset = self.offset(arm) + arm.shift;
        self.bandit_mut().regression.learn(arm, offset, success);
    }

    fn save(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self).map_err(|e| Error::internal("the policy cannot be written").with_source(e))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let (read, left): (P, _) = postcard::take_from_bytes(bytes)
            .map_err(|e| Error::corrupt("the policy's state cannot be read").with_source(e))?;
        if !left.is_empty() {
            return Err(Error::corrupt("the policy's state is longer than it says"));
        }
        read.check()?;
        *self = read;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Boosted, EpsilonGreedy, LinUcb, Thompson};
    use super::*;

    /// States that were stored before the policies shared a bandit: parameters, regression, what else a policy keeps.
    #[test]
    fn a_state_is_its_parameters_its_regression_and_what_follows() {
        fn check<P: LinearPolicy + Default + PartialEq>(rest: impl Serialize) {
            let mut policy = P::default();
            let arm = Arm { features: vec![(1, 1.0), (9, 0.5)], ..Arm::default() };
            (0..3).for_each(|i| policy.learn(&arm, i > 0));
            let LinearBandit { exploration, regression } = policy.bandit();
            let stored = postcard::to_stdvec(&(exploration, regression, rest)).unwrap();
            assert_eq!(policy.save().unwrap(), stored);
            let mut restored = P::default();
            restored.restore(&stored).unwrap();
            assert_eq!(restored, policy);
            let longer = [&stored[..], &[0]].concat();
            assert!(restored.restore(&longer).unwrap_err().to_string().contains("longer than it says"));
        }
        check::<Thompson>(());
        check::<LinUcb>(());
        check::<EpsilonGreedy>(3_u64);
        check::<Boosted>((Vec::<f64>::new(), None::<u64>));
    }
}
