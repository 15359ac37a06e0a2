//! What a training cycle did.

use crate::error::{ErrorKind, Result};
use crate::serving::ModelChange;
use crate::training::{Due, NightlyReport};
use std::fmt;

/// Summary of a training cycle; its `Display` form is a report of a few lines.
#[derive(Debug)]
#[non_exhaustive]
pub struct NightlySummary {
    /// Why the cycle was due; `None` where it was not run.
    pub due: Option<Due>,
    /// Why the cycle was not run; `None` where it was.
    pub skipped: Option<String>,
    /// What happened to each model.
    pub models: Vec<TrainedModel>,
    /// The models that serve now and did not before.
    pub changes: Vec<ModelChange>,
}

/// Result of a training cycle for one model.
#[derive(Debug)]
#[non_exhaustive]
pub struct TrainedModel {
    /// The model's name.
    pub model: &'static str,
    /// The check of the version in production, the review of the challenger, the training.
    pub report: NightlyReport,
}

impl TrainedModel {
    /// The report of one model.
    ///
    /// # Errors
    /// What ends the cycle: it was cancelled, or the storage is gone.
    pub(super) fn new(model: &'static str, report: NightlyReport) -> Result<Self> {
        match report.trained {
            Err(e) if matches!(e.kind(), ErrorKind::Cancelled | ErrorKind::Unavailable) => Err(e),
            _ => Ok(Self { model, report }),
        }
    }
}

impl NightlySummary {
    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self { due: None, skipped: Some(why.into()), models: Vec::new(), changes: Vec::new() }
    }

    /// Returns what happened to one model.
    pub fn of(&self, model: &str) -> Option<&TrainedModel> {
        self.models.iter().find(|trained| trained.model == model)
    }
}

impl fmt::Display for NightlySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(skipped) = &self.skipped {
            return write!(f, "no training cycle: {skipped}");
        }
        write!(f, "training cycle")?;
        match self.due {
            Some(Due::Since(since)) => write!(f, ", due since {}", since.format("%Y-%m-%d %H:%M UTC"))?,
            Some(Due::Outcomes(new)) => write!(f, ", due after {new} new outcomes")?,
            Some(Due::Drift) => write!(f, ", due because of drift")?,
            None => {}
        }
        for model in &self.models {
            write!(f, "\n{model}")?;
        }
        for change in &self.changes {
            write!(
                f,
                "\nserving {} {}, before {}",
                change.model,
                version(change.now),
                version(change.before)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for TrainedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, report } = self;
        match &report.trained {
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
        if let Some(review) = &report.reviewed {
            let state = if review.promoted { "promoted" } else { "not promoted" };
            write!(
                f,
                "\n  challenger version {} {state} after {} outcomes: {}",
                review.version,
                review.outcomes,
                review.verdict.reasons.join("; ")
            )?;
        }
        if let Some(check) = &report.watched {
            write!(f, "\n  version {} in production: {}", check.version, check.reasons.join("; "))?;
        }
        Ok(())
    }
}

fn version(version: Option<u64>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| format!("version {version}"))
}
