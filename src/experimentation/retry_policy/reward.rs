//! The reward of a trajectory.

use super::state::RetryState;
use super::trajectory::Ending;
use crate::error::{Error, Result};
use crate::routing::Objective;
use serde::{Deserialize, Serialize};

/// The reward of a trajectory: satisfaction and quality of the code in the end, less cost and time of every further
/// attempt, in US dollars.
///
/// With both shares 0 it is the router's utility ([`Objective`]) summed over the attempts.
///
/// ```
/// use devmatrix_ml::experimentation::retry_policy::TrajectoryReward;
/// let mut reward = TrajectoryReward::default();
/// reward.objective.usd_per_success = 3.0;
/// reward.usd_per_question = 0.5; // what it costs to interrupt somebody
/// assert_eq!(reward.modified_share, 0.5);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrajectoryReward {
    /// The value of a success and the cost of an hour; its goal and limits are not used.
    pub objective: Objective,
    /// The value of code approved after modification, as a share of a success, 0 to 1.
    pub modified_share: f64,
    /// The share of the value that depends on the quality score (10 is all of it), 0 to 1; the rest depends on the
    /// approval.
    pub quality_share: f64,
    /// The cost of a question to the human beside the attempt that follows, in US dollars, 0 to 1e9.
    pub usd_per_question: f64,
}

/// The values are conventions, not estimates: a host sets what its people's time is worth.
impl Default for TrajectoryReward {
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            modified_share: 0.5,
            quality_share: 0.2,
            usd_per_question: 0.25,
        }
    }
}

impl TrajectoryReward {
    /// Checks every range.
    pub(crate) fn validate(&self) -> Result<()> {
        let check = |name: &str, v: f64, high: f64| {
            if (0.0..=high).contains(&v) {
                Ok(())
            } else {
                Err(Error::invalid(format!("the trajectory reward's {name} is {v}, expected 0 to {high}")))
            }
        };
        check("modified_share", self.modified_share, 1.0)?;
        check("quality_share", self.quality_share, 1.0)?;
        check("usd_per_question", self.usd_per_question, 1e9)?;
        self.objective.validate()
    }

    /// Returns the value of the code in the end.
    pub(super) fn of_ending(&self, ending: &Ending) -> f64 {
        let satisfaction = match ending {
            Ending { success: true, .. } => 1.0,
            Ending { approved: true, .. } => self.modified_share,
            Ending { .. } => return 0.0,
        };
        // A missing score counts as the approval does.
        let quality = ending.quality.map_or(satisfaction, |score| score / 10.0);
        let share = self.quality_share;
        self.objective.usd_per_success * ((1.0 - share) * satisfaction + share * quality)
    }

    /// Returns the value of a success with this quality score, 0 to 10.
    #[cfg(feature = "simulate")]
    pub(crate) fn of_success(&self, quality: Option<f64>) -> f64 {
        self.of_ending(&Ending { success: true, approved: true, quality })
    }

    /// Returns the value of stopping now: that of code approved after modification, if any.
    pub(crate) fn of_stopping(&self, now: &RetryState) -> f64 {
        self.of_ending(&Ending { success: false, approved: now.modified, quality: now.quality })
    }

    /// Returns the (negative) value of an attempt; unknown amounts cost nothing.
    pub(super) fn of_try(&self, cost_usd: Option<f64>, seconds: Option<f64>) -> f64 {
        self.objective.utility(0.0, cost_usd.unwrap_or(0.0), seconds.unwrap_or(0.0))
    }
}
