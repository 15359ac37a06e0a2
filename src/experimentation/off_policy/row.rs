//! One logged choice with the probabilities of a target policy.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A logged choice with its reward and the probabilities of a target policy.
///
/// Candidates are numbered; everything that is one value a candidate is in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LoggedChoice {
    /// The candidate that was chosen.
    pub(super) chosen: usize,
    /// The propensity of the choice, 1e-12 to 1.
    pub(super) propensity: f64,
    /// The propensities of all candidates, together at most 1; empty where only that of the chosen one is known. A
    /// candidate with 0 could not have been chosen.
    pub(super) logged: Vec<f64>,
    /// The probability of each candidate under the target policy; they add up to 1.
    pub(super) target: Vec<f64>,
    pub(super) reward: f64,
    /// Reward of each candidate by a model fitted without this row; empty where there is none.
    pub(super) predicted: Vec<f64>,
    /// Rows of one cluster (a session, a task) are correlated.
    pub(super) cluster: u64,
    /// How many rows it stands for: above 1 where such rows are seldom known, else 1.
    pub(super) weight: f64,
}

/// Probabilities add up to 1 up to this.
pub(super) const ROUNDING: f64 = 1e-6;

impl LoggedChoice {
    /// Creates a row without logged probabilities and predictions.
    pub(super) fn new(chosen: usize, propensity: f64, target: Vec<f64>, reward: f64, cluster: u64) -> Self {
        let (logged, predicted) = (Vec::new(), Vec::new());
        Self { chosen, propensity, logged, target, reward, predicted, cluster, weight: 1.0 }
    }

    /// Returns the importance weight.
    pub(super) fn importance(&self) -> f64 {
        self.target.get(self.chosen).map_or(0.0, |target| target / self.propensity)
    }

    /// Checks every value; `index` names the row in errors.
    pub(super) fn verify(&self, index: usize) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid(format!("logged choice {index}: {what}")));
        let (n, is_probability) = (self.target.len(), |p: &f64| (0.0..=1.0).contains(p));
        if self.chosen >= n {
            return refuse(format!("chosen is {}, but there are {n} candidates", self.chosen));
        }
        if !(SMALLEST..=1.0).contains(&self.propensity) {
            let p = self.propensity;
            return refuse(format!("propensity is {p:?}, expected {SMALLEST:e} to 1: leave such rows out"));
        }
        let sum: f64 = self.target.iter().sum();
        if !(self.target.iter().all(is_probability) && (sum - 1.0).abs() <= ROUNDING) {
            return refuse(format!(
                "target probabilities must be 0 to 1 and add up to 1, they add up to {sum}"
            ));
        }
        let sum: f64 = self.logged.iter().sum();
        if !(self.logged.iter().all(is_probability) && sum <= 1.0 + 10.0 * ROUNDING) {
            return refuse(format!(
                "logged propensities must be 0 to 1 and at most 1 together, they add up to {sum}"
            ));
        }
        for (name, values) in [("logged", &self.logged), ("predicted", &self.predicted)] {
            if !values.is_empty() && values.len() != n {
                return refuse(format!("{} {name} values for {n} candidates", values.len()));
            }
        }
        if self.logged.get(self.chosen).is_some_and(|p| (p - self.propensity).abs() > ROUNDING) {
            return refuse("propensity is not the logged propensity of the chosen candidate".into());
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
/// Smaller propensities and weights are refused: their inverse would dominate every sum.
const SMALLEST: f64 = 1e-12;
