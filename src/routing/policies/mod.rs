//! Policies: bandit algorithms that map the features of each candidate to its propensity.

mod boosted;
mod epsilon_greedy;
mod lin_ucb;
mod linear_bandit;
mod logistic_regression;
mod thompson;

pub use boosted::Boosted;
pub use epsilon_greedy::{EpsilonGreedy, EpsilonParams};
use lin_ucb::{LinUcb, UcbParams};
pub use logistic_regression::OnlineParams;
pub use thompson::{Thompson, ThompsonParams};

use super::objective::Objective;
use crate::error::{Error, Result};
use crate::models::Estimate;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Every policy by the name that a command line or a configuration gives it, with the parameters of its regression.
///
/// ```
/// use devmatrix_ml::routing::{OnlineParams, POLICIES};
/// let (_, create) = POLICIES.iter().find(|(name, _)| *name == "linucb").unwrap();
/// assert_eq!(create(OnlineParams::default())?.name(), "linucb 1");
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
pub static POLICIES: &[(&str, CreatePolicy)] = &[
    ("thompson", |online| boxed(Thompson::new(ThompsonParams { online, ..ThompsonParams::default() }))),
    ("linucb", |online| boxed(LinUcb::new(UcbParams { online, ..UcbParams::default() }))),
    ("epsilon", |online| boxed(EpsilonGreedy::new(EpsilonParams { online, ..EpsilonParams::default() }))),
    ("boosted", |online| boxed(Boosted::new(ThompsonParams { online, ..ThompsonParams::default() }))),
];

/// Creates a policy that has learned nothing yet.
type CreatePolicy = fn(OnlineParams) -> Result<Box<dyn Policy>>;

fn boxed(policy: Result<impl Policy + 'static>) -> Result<Box<dyn Policy>> {
    policy.map(|policy| Box::new(policy) as Box<dyn Policy>)
}

/// Input of a policy for one candidate and one task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Arm {
    /// The candidate's name.
    pub name: String,
    /// Features of the task and the plan: hashed names with their values, ascending.
    pub features: Vec<(u64, f64)>,
    /// Success as the model in production predicts it, where it was asked.
    pub predicted: Option<Posterior>,
    /// The version of the model that predicted it, 0 where it is not known.
    pub model_version: u64,
    /// Expected US dollars: as the model in production predicts them, else by the running means of its LLM; with what
    /// leaving a warm cache costs.
    pub cost_usd: f64,
    /// The range of US dollars of a generation, as the service predicts it before the run; `None` where it was not asked.
    pub cost: Option<Estimate>,
    /// The range of tokens, likewise.
    pub tokens: Option<Estimate>,
    /// The part of `cost_usd` that comes from switching the LLM within a session whose cache is warm.
    pub switch_usd: f64,
    /// Expected US dollars until success: this candidate and its retries, then the most promising one, until that succeeds
    /// or twenty tries are done. `None` where the candidate was not permitted.
    pub usd_until_success: Option<f64>,
    /// Expected seconds.
    pub seconds: f64,
    /// An upper bound of the expected US dollars, which a budget reserves.
    pub(crate) reserve_usd: f64,
    /// How often its plan is tried at most before another takes over.
    pub(crate) tries: u32,
    /// A hash of the arm's settings, whatever the task.
    pub(crate) key: u64,
    /// What earlier outcomes of this very task add to the log-odds of success.
    pub(crate) shift: f64,
}

/// A probability of success with its 90 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Posterior {
    /// The probability.
    pub success: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A learning policy that states the propensity of every candidate.
///
/// It does not choose by itself: [`draw`] samples from the stated propensities, so that the recorded
/// propensities are exactly those of the choice.
pub trait Policy: fmt::Debug + Send + Sync {
    /// Returns its name and version, as decisions record it.
    fn name(&self) -> &str;

    /// Returns the propensity of each of `arms`, 0 to 1, together 1. All randomness comes from `seed`:
    /// the same arms, state and seed give the same propensities.
    fn propensities(&self, arms: &[Arm], objective: &Objective, seed: u64) -> Vec<f64>;

    /// Returns the posterior of the success probability of each of `arms`.
    fn posteriors(&self, arms: &[Arm]) -> Vec<Posterior>;

    /// Returns the probability that the first of two arms is the better one, 0 to 1. `seed` as in
    /// [`Policy::propensities`].
    fn beats(&self, pair: &[Arm; 2], objective: &Objective, seed: u64) -> f64;

    /// Learns the outcome of a task that was done as `arm` says, however long ago that was: a `success` was approved without
    /// modification.
    fn learn(&mut self, arm: &Arm, success: bool);

    /// Returns its state as bytes.
    ///
    /// # Errors
    /// `Internal` when it cannot be written.
    fn save(&self) -> Result<Vec<u8>>;

    /// Restores the state that [`Policy::save`] returned.
    ///
    /// # Errors
    /// `Corrupt` when it cannot be read.
    fn restore(&mut self, bytes: &[u8]) -> Result<()>;
}

/// Returns propensities that put all probability on the arm `at` of `count`.
pub(super) fn all_on(at: usize, count: usize) -> Vec<f64> {
    (0..count).map(|index| if index == at { 1.0 } else { 0.0 }).collect()
}

/// Mixes the propensities with a uniform distribution of weight `floor`.
fn above_floor(propensities: Vec<f64>, floor: f64) -> Vec<f64> {
    let even = floor / propensities.len() as f64;
    propensities.into_iter().map(|p| (1.0 - floor) * p + even).collect()
}

impl Posterior {
    /// Creates a probability with its 90 % interval.
    pub fn new(success: f64, (low, high): (f64, f64)) -> Self {
        Self { success, low, high }
    }
}

/// Returns the index of the candidate whose interval of the cumulative propensities contains `at`.
///
/// # Errors
/// `InvalidInput` when the propensities are not from 0 to 1 or do not add up to 1, or `at` is not in [0, 1).
pub fn draw(propensities: &[f64], at: f64) -> Result<usize> {
    let sum: f64 = propensities.iter().sum();
    if !propensities.iter().all(|p| (0.0..=1.0).contains(p)) || !(1.0 - 1e-6..=1.0 + 1e-6).contains(&sum) {
        return Err(Error::invalid(format!(
            "propensities must be 0 to 1 and add up to 1, they add up to {sum}"
        )));
    }
    if !(0.0..1.0).contains(&at) {
        return Err(Error::invalid(format!("a draw is at {at}, expected 0 to below 1")));
    }
    let mut left = at * sum;
    let mut last = 0;
    for (index, p) in propensities.iter().enumerate().filter(|(_, p)| **p > 0.0) {
        if left < *p {
            return Ok(index);
        }
        left -= p;
        last = index;
    }
    Ok(last)
}
