//! Results of training runs and training cycles.

use super::post_deployment::{ChallengerReview, DeploymentCheck};
use super::run_record::RunRecord;
use crate::error::Result;
use crate::registry::ModelVersion;
use std::fmt;

/// Result of a training run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainingReport {
    /// The registered version, promoted or not.
    pub version: ModelVersion,
    /// True if it is now in production.
    pub promoted: bool,
    /// True if it is now on trial beside the model in production.
    pub on_trial: bool,
    /// Why, or why not; and whose labels look wrong, by name, which are stored without it.
    pub reasons: Vec<String>,
    /// All that is kept of the run.
    pub record: RunRecord,
}

/// Result of a training cycle of one model; its `Display` form is a line for each step.
#[derive(Debug)]
#[non_exhaustive]
pub struct NightlyReport {
    /// The model's name.
    pub model: &'static str,
    /// Post-deployment check of the model in production, with any rollback.
    pub watched: Option<DeploymentCheck>,
    /// What became of the challenger on trial.
    pub(crate) reviewed: Option<ChallengerReview>,
    /// Result of training.
    pub trained: Result<TrainingReport>,
}

impl fmt::Display for NightlyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, watched, reviewed, trained } = self;
        match trained {
            Ok(trained) => {
                let state = match (trained.promoted, trained.on_trial) {
                    (true, _) => "promoted",
                    (_, true) => "on trial",
                    _ => "not promoted",
                };
                write!(
                    f,
                    "{model}: version {} {state}: {}",
                    trained.version.version,
                    trained.reasons.join("; ")
                )?;
            }
            Err(error) => write!(f, "{model}: not trained: {error:#}")?,
        }
        if let Some(review) = reviewed {
            let state = if review.promoted { "promoted" } else { "not promoted" };
            write!(
                f,
                "\n  challenger version {} {state} after {} outcomes: {}",
                review.version,
                review.outcomes,
                review.verdict.reasons.join("; ")
            )?;
        }
        if let Some(check) = watched {
            write!(f, "\n  version {} in production: {}", check.version, check.reasons.join("; "))?;
        }
        Ok(())
    }
}
