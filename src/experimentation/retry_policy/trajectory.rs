//! What was done for a task after its first try failed.

use super::action::RetryAction;
use super::reward::TrajectoryReward;
use super::state::RetryState;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The steps of one task from its first failed try to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trajectory {
    /// Its steps, at least one.
    pub steps: Vec<TrajectoryStep>,
    /// How it ended.
    pub ending: Ending,
    /// Episodes of one cluster (a user, a project) rise and fall together.
    pub cluster: u64,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrajectoryStep {
    /// What was known.
    #[serde(alias = "situation")]
    pub state: RetryState,
    /// What was done.
    pub step: RetryAction,
    /// The odds with which it was drawn among [`RetryAction::ALL`], together 1.
    pub propensities: [f64; 4],
    /// US dollars of the try that followed; `None` where none followed or it is not known.
    pub cost_usd: Option<f64>,
    /// Seconds of the try that followed; `None` where none followed or they are not known.
    pub seconds: Option<f64>,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ending {
    /// Approved without modification.
    pub success: bool,
    /// Taken in the end.
    pub approved: bool,
    /// The quality of the latest try, 0 to 10.
    pub quality: Option<f64>,
}

/// The most steps of an episode.
pub(super) const MOST_STEPS: usize = 64;

impl Trajectory {
    /// What came of each step, in US dollars: their sum is what the episode was worth.
    pub fn rewards(&self, by: &TrajectoryReward) -> Vec<f64> {
        let of = |(place, step): (usize, &TrajectoryStep)| {
            let question = if step.step == RetryAction::AskHuman { by.usd_per_question } else { 0.0 };
            let ending = if place + 1 == self.steps.len() { by.of_ending(&self.ending) } else { 0.0 };
            by.of_try(step.cost_usd, step.seconds) - question + ending
        };
        self.steps.iter().enumerate().map(of).collect()
    }

    /// Checks what estimates rely on; `place` names the episode.
    pub(super) fn verify(&self, place: usize) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid(format!("episode {place}: {what}")));
        if !(1..=MOST_STEPS).contains(&self.steps.len()) {
            return refuse(format!("{} steps, expected 1 to {MOST_STEPS}", self.steps.len()));
        }
        for step in &self.steps {
            let sum: f64 = step.propensities.iter().sum();
            if !(step.propensities.iter().all(|p| (0.0..=1.0).contains(p)) && (sum - 1.0).abs() <= 1e-6) {
                return refuse(format!("odds must be 0 to 1 and add up to 1, they add up to {sum}"));
            }
            if step.propensities[step.step.place()] <= 0.0 {
                return refuse(format!("{} was done, but its odds are 0", step.step));
            }
            let amounts = [step.cost_usd, step.seconds].into_iter().flatten();
            if !amounts.chain([step.state.cost_usd]).all(|v| (0.0..=1e9).contains(&v)) {
                return refuse("costs and seconds must be 0 to 1e9".into());
            }
        }
        let scores = self.steps.iter().map(|step| step.state.quality).chain([self.ending.quality]);
        if !scores.flatten().all(|score| (0.0..=10.0).contains(&score)) {
            return refuse("quality must be 0 to 10".into());
        }
        Ok(())
    }
}
