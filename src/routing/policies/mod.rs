//! Policies: from what is known of each candidate to its odds.

mod boosted;
mod epsilon_greedy;
mod lin_ucb;
mod online;
mod thompson;

pub use boosted::Boosted;
pub use epsilon_greedy::{EpsilonGreedy, EpsilonParams};
pub use lin_ucb::{LinUcb, UcbParams};
pub use online::OnlineParams;
pub use thompson::{Thompson, ThompsonParams};

use super::objective::Objective;
use crate::error::{Error, Result};
use crate::verify::{Verify, verified};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a policy sees of one candidate for one task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Arm {
    /// The candidate's name.
    pub name: String,
    /// What is known of task and plan: hashed names with their values, ascending.
    pub features: Vec<(u64, f64)>,
    /// Success as the model in production predicts it, where it was asked.
    pub predicted: Option<Posterior>,
    /// Expected US dollars.
    pub cost_usd: f64,
    /// Expected seconds.
    pub seconds: f64,
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

/// What became of a task that was done one way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskOutcome {
    /// Whether it was approved as it was.
    pub success: bool,
}

/// A way of choosing that learns, and that can always say its odds.
///
/// It does not draw: [`draw`] does, from the odds that were stated, so that what is recorded is what
/// was drawn from.
pub trait Policy: fmt::Debug + Send + Sync {
    /// Its name and version, as decisions record it.
    fn name(&self) -> &str;

    /// The odds of each of `arms`, 0 to 1, together 1. `seed` stands for all that is random in them;
    /// the same arms, state and seed give the same odds.
    fn propensities(&self, arms: &[Arm], objective: &Objective, seed: u64) -> Vec<f64>;

    /// What it believes of each of `arms`.
    fn posteriors(&self, arms: &[Arm]) -> Vec<Posterior>;

    /// How likely the first of two arms is the better one, 0 to 1. `seed` as in [`Policy::propensities`].
    fn beats(&self, pair: &[Arm; 2], objective: &Objective, seed: u64) -> f64;

    /// Learns what became of a task that was done as `arm` says, however long ago that was.
    fn learn(&mut self, arm: &Arm, outcome: &TaskOutcome);

    /// All that it has learned.
    ///
    /// # Errors
    /// `Internal` when it cannot be written.
    fn save(&self) -> Result<Vec<u8>>;

    /// Takes up what [`Policy::save`] wrote.
    ///
    /// # Errors
    /// `Corrupt` when it cannot be read.
    fn restore(&mut self, bytes: &[u8]) -> Result<()>;
}

/// Draws from what is believed to compare two arms.
const COMPARISONS: u32 = 100;

/// Odds that leave no choice among `count`.
pub(super) fn all_on(at: usize, count: usize) -> Vec<f64> {
    (0..count).map(|index| if index == at { 1.0 } else { 0.0 }).collect()
}

/// These odds, with a share of `floor` given to all alike.
fn above_floor(propensities: Vec<f64>, floor: f64) -> Vec<f64> {
    let even = floor / propensities.len() as f64;
    propensities.into_iter().map(|p| (1.0 - floor) * p + even).collect()
}

fn store(policy: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_stdvec(policy).map_err(|e| Error::internal("the policy cannot be written").with_source(e))
}

fn load<P: DeserializeOwned>(bytes: &[u8]) -> Result<P> {
    let (read, left) = postcard::take_from_bytes(bytes)
        .map_err(|e| Error::corrupt("the policy's state cannot be read").with_source(e))?;
    if left.is_empty() { Ok(read) } else { Err(Error::corrupt("the policy's state is longer than it says")) }
}

impl Posterior {
    /// A probability with its 90 % interval.
    pub fn new(success: f64, (low, high): (f64, f64)) -> Self {
        Self { success, low, high }
    }
}

impl TaskOutcome {
    /// An outcome.
    pub fn new(success: bool) -> Self {
        Self { success }
    }
}

/// The candidate in whose share of the odds `at` falls, 0 to 1.
///
/// # Errors
/// `InvalidInput` when the odds are not from 0 to 1 or do not add up to 1, or `at` is not in [0, 1).
pub fn draw(propensities: &[f64], at: f64) -> Result<usize> {
    let sum: f64 = propensities.iter().sum();
    if !propensities.iter().all(|p| (0.0..=1.0).contains(p)) || !(1.0 - 1e-6..=1.0 + 1e-6).contains(&sum) {
        return Err(Error::invalid(format!("odds must be from 0 to 1 and add up to 1, here to {sum}")));
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
