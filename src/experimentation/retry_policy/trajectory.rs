//! States and actions of a task after its first failed attempt.

use super::action::RetryAction;
use super::reward::TrajectoryReward;
use super::state::RetryState;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// States and actions of one task from its first failed attempt to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trajectory {
    /// At least one.
    pub(super) steps: Vec<TrajectoryStep>,
    pub(super) ending: Ending,
    /// Trajectories of one cluster (a user, a project) are correlated.
    pub(super) cluster: u64,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TrajectoryStep {
    #[serde(alias = "situation")]
    pub(super) state: RetryState,
    #[serde(alias = "step")]
    pub(super) action: RetryAction,
    /// Of all actions, in the order of [`RetryAction::ALL`]; together 1.
    #[serde(alias = "od\u{64}s")]
    pub(super) propensities: [f64; 4],
    /// US dollars of the attempt that followed; `None` where none followed or it is not known.
    pub(super) cost_usd: Option<f64>,
    /// Seconds of the attempt that followed; `None` where none followed or they are not known.
    pub(super) seconds: Option<f64>,
}

/// The outcome of a task.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Ending {
    /// Approved without modification.
    pub(super) success: bool,
    /// Approved in the end.
    pub(super) approved: bool,
    /// The quality of the latest attempt, 0 to 10.
    pub(super) quality: Option<f64>,
}

/// Actions of a trajectory at most.
pub(super) const MOST_STEPS: usize = 64;

impl Trajectory {
    /// Returns the reward of each action in US dollars; their sum is the return of the trajectory.
    pub(super) fn rewards(&self, by: &TrajectoryReward) -> Vec<f64> {
        let of = |(index, step): (usize, &TrajectoryStep)| {
            let question = if step.action == RetryAction::AskHuman { by.usd_per_question } else { 0.0 };
            let ending = if index + 1 == self.steps.len() { by.of_ending(&self.ending) } else { 0.0 };
            by.of_try(step.cost_usd, step.seconds) - question + ending
        };
        self.steps.iter().enumerate().map(of).collect()
    }

    /// Checks what estimates rely on; `index` names the trajectory in errors.
    pub(super) fn verify(&self, index: usize) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid(format!("trajectory {index}: {what}")));
        if !(1..=MOST_STEPS).contains(&self.steps.len()) {
            return refuse(format!("{} steps, expected 1 to {MOST_STEPS}", self.steps.len()));
        }
        for step in &self.steps {
            let sum: f64 = step.propensities.iter().sum();
            if !(step.propensities.iter().all(|p| (0.0..=1.0).contains(p)) && (sum - 1.0).abs() <= 1e-6) {
                return refuse(format!("propensities must be 0 to 1 and add up to 1, they add up to {sum}"));
            }
            if step.propensities[step.action.index()] <= 0.0 {
                return refuse(format!("{} was taken, but its propensity is 0", step.action));
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
