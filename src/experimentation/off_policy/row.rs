//! One logged choice, beside the odds of another policy.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// One choice as it was logged, what came of it, and what a target policy would have done.
///
/// Candidates are numbered; everything that is one value a candidate is in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedChoice {
    /// The candidate that was chosen.
    pub chosen: usize,
    /// The odds with which it was chosen, 1e-12 to 1.
    pub propensity: f64,
    /// The odds of every candidate when it was chosen, together at most 1; empty where only those of the
    /// chosen one are known. A candidate with 0 could not have been chosen.
    pub logged: Vec<f64>,
    /// The odds with which the target policy would choose each candidate; they add up to 1.
    pub target: Vec<f64>,
    /// What came of the choice.
    pub reward: f64,
    /// What a model that has not seen this row expects of each candidate; empty where there is none.
    pub predicted: Vec<f64>,
    /// Rows of one cluster (a session, a task) rise and fall together.
    pub cluster: u64,
    /// How many rows it stands for: above 1 where such rows are seldom known. 1 else.
    pub weight: f64,
}

/// Odds add up to 1 but for rounding.
pub(super) const ROUNDING: f64 = 1e-6;

impl LoggedChoice {
    /// A choice of `chosen` with the odds `propensity`, which came to `reward`, beside the `target`
    /// policy's odds.
    pub fn new(chosen: usize, propensity: f64, target: Vec<f64>, reward: f64, cluster: u64) -> Self {
        let (logged, predicted) = (Vec::new(), Vec::new());
        Self { chosen, propensity, logged, target, reward, predicted, cluster, weight: 1.0 }
    }

    /// How much likelier the target policy is to choose so.
    pub fn importance(&self) -> f64 {
        self.target.get(self.chosen).map_or(0.0, |target| target / self.propensity)
    }

    /// Refuses what cannot be weighed; `place` names the row.
    pub(super) fn verify(&self, place: usize) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid(format!("logged choice {place}: {what}")));
        let (n, is_odds) = (self.target.len(), |p: &f64| (0.0..=1.0).contains(p));
        if self.chosen >= n {
            return refuse(format!("chosen is {}, but there are {n} candidates", self.chosen));
        }
        if !(SMALLEST..=1.0).contains(&self.propensity) {
            let p = self.propensity;
            return refuse(format!("propensity is {p:?}, expected {SMALLEST:e} to 1: leave such rows out"));
        }
        let sum: f64 = self.target.iter().sum();
        if !(self.target.iter().all(is_odds) && (sum - 1.0).abs() <= ROUNDING) {
            return refuse(format!("target odds must be 0 to 1 and add up to 1, they add up to {sum}"));
        }
        let sum: f64 = self.logged.iter().sum();
        if !(self.logged.iter().all(is_odds) && sum <= 1.0 + 10.0 * ROUNDING) {
            return refuse(format!(
                "logged odds must be 0 to 1 and at most 1 together, they add up to {sum}"
            ));
        }
        for (name, values) in [("logged", &self.logged), ("predicted", &self.predicted)] {
            if !values.is_empty() && values.len() != n {
                return refuse(format!("{} {name} values for {n} candidates", values.len()));
            }
        }
        if self.logged.get(self.chosen).is_some_and(|p| (p - self.propensity).abs() > ROUNDING) {
            return refuse("propensity is not the logged odds of the chosen candidate".into());
        }
        // Written so that NaN fails.
        if !self.predicted.iter().chain([&self.reward]).all(|v| v.abs() <= LARGEST) {
            return refuse(format!("reward and predicted values must lie within ±{LARGEST:e}"));
        }
        if !(SMALLEST..=LARGEST).contains(&self.weight) {
            let weight = self.weight;
            return refuse(format!("weight is {weight:?}, expected {SMALLEST:e} to {LARGEST:e}"));
        }
        Ok(())
    }
}

/// Sums of squares must stay finite.
const LARGEST: f64 = 1e12;
/// Odds and weights below this are as good as none, and their inverse has no place in a sum.
const SMALLEST: f64 = 1e-12;
