//! What can be set of a router.

use super::objective::Objective;
use super::safety::Safety;
use crate::error::{Result, in_range};
use serde::{Deserialize, Serialize};

/// What can be set of a [`Router`](super::Router).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RouterOptions {
    /// What is wanted.
    pub objective: Objective,
    /// How far exploring may go.
    pub safety: Safety,
    /// Whether all tasks of a session are done as its first one was drawn; by default not.
    pub sticky_sessions: bool,
    /// Whether tasks come again so often that it is worth learning how each candidate does at each;
    /// by default not.
    pub by_task: bool,
    /// How sure it must be that the best beats the default, 0.5 to 1; else it abstains, and the default
    /// (without one: the cheapest) takes the place of the best. By default 0.7.
    pub certainty: f64,
    /// Share of the odds that LLMs without a record get together, 0 to 1; by default 0.05.
    #[serde(alias = "newcomer_share")]
    pub cold_start_share: f64,
    /// Outcomes that make a record; by default 30.
    #[serde(alias = "newcomer_outcomes")]
    pub cold_start_outcomes: u64,
    /// The same seed and the same calls give the same choices.
    pub seed: u64,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            safety: Safety::default(),
            sticky_sessions: false,
            by_task: false,
            certainty: 0.7,
            cold_start_share: 0.05,
            cold_start_outcomes: 30,
            seed: 7,
        }
    }
}

impl RouterOptions {
    pub(super) fn verify(&self) -> Result<()> {
        self.objective.verify()?;
        self.safety.verify()?;
        in_range("certainty", self.certainty, 0.5, 1.0)?;
        in_range("newcomer_share", self.cold_start_share, 0.0, 1.0)
    }
}
