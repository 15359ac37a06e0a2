//! What an episode is worth.

use super::state::RetryState;
use super::trajectory::Ending;
use crate::error::{Error, Result};
use crate::routing::Objective;
use serde::{Deserialize, Serialize};

/// What an episode is worth: satisfaction and quality of the code in the end, less cost and time of
/// every further try, in US dollars.
///
/// With both shares 0 it is routing's own utility ([`Objective::utility`]) summed over the tries.
///
/// ```
/// use devmatrix_ml::experimentation::retry_policy::TrajectoryReward;
/// let mut reward = TrajectoryReward::default();
/// reward.objective.usd_per_success = 3.0;
/// reward.usd_per_question = 0.5; // what it costs to interrupt somebody
/// reward.verify()?;
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TrajectoryReward {
    /// What a success and an hour are worth; its goal and limits are routing's alone.
    pub objective: Objective,
    /// What code that was taken after changes is worth, as a share of a success, 0 to 1.
    pub modified_share: f64,
    /// The share of the worth that goes by the quality score (10 is all of it), 0 to 1; the rest goes by
    /// whether the code was taken.
    pub quality_share: f64,
    /// What a question to the human costs beside the try that follows, in US dollars, 0 to 1e9.
    pub usd_per_question: f64,
}

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
    ///
    /// # Errors
    /// `InvalidInput` naming the field and its value.
    pub fn verify(&self) -> Result<()> {
        let check = |name: &str, v: f64, high: f64| {
            if (0.0..=high).contains(&v) {
                Ok(())
            } else {
                Err(Error::invalid(format!("the episode reward's {name} is {v}, expected 0 to {high}")))
            }
        };
        check("modified_share", self.modified_share, 1.0)?;
        check("quality_share", self.quality_share, 1.0)?;
        check("usd_per_question", self.usd_per_question, 1e9)?;
        self.objective.verify()
    }

    /// What the code that was left in the end is worth.
    pub(super) fn of_ending(&self, ending: &Ending) -> f64 {
        let satisfaction = match ending {
            Ending { success: true, .. } => 1.0,
            Ending { approved: true, .. } => self.modified_share,
            Ending { .. } => return 0.0,
        };
        // A score that nobody gave says neither more nor less than that it was taken.
        let quality = ending.quality.map_or(satisfaction, |score| score / 10.0);
        let share = self.quality_share;
        self.objective.usd_per_success * ((1.0 - share) * satisfaction + share * quality)
    }

    /// What a success with this quality score, 0 to 10, is worth.
    pub fn of_success(&self, quality: Option<f64>) -> f64 {
        self.of_ending(&Ending { success: true, approved: true, quality })
    }

    /// What is left where one stops now: code that was taken after changes is.
    pub fn of_stopping(&self, now: &RetryState) -> f64 {
        self.of_ending(&Ending { success: false, approved: now.modified, quality: now.quality })
    }

    /// What a try costs; what is not known of it costs nothing.
    pub(super) fn of_try(&self, cost_usd: Option<f64>, seconds: Option<f64>) -> f64 {
        self.objective.utility(0.0, cost_usd.unwrap_or(0.0), seconds.unwrap_or(0.0))
    }
}
