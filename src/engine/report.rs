//! What a training cycle did.

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
    pub models: Vec<NightlyReport>,
    /// The models that serve now and did not before.
    pub changes: Vec<ModelChange>,
}

impl NightlySummary {
    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self { due: None, skipped: Some(why.into()), models: Vec::new(), changes: Vec::new() }
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

fn version(version: Option<u64>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| format!("version {version}"))
}
