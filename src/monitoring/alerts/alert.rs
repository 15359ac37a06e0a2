//! What an operator is told.

use crate::monitoring::drift::Severity;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Something that an operator should know, or that has passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// The name of the rule that gave it.
    pub rule: String,
    /// What it is about: a figure, a slice, a feature.
    pub subject: String,
    /// How much it matters.
    pub severity: Severity,
    /// Whether it is open or has passed.
    pub state: AlertState,
    /// Since when it has been open.
    pub since: DateTime<Utc>,
    /// When this was said.
    pub at: DateTime<Utc>,
    /// The figure, where it is about one.
    pub value: Option<f64>,
    /// The limit that it crossed.
    pub limit: Option<f64>,
    /// All that in a sentence.
    pub text: String,
    /// What to do about it.
    pub advice: String,
}

/// Whether an alert is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// It is open.
    Open,
    /// It has passed.
    Passed,
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        };
        let state = if self.state == AlertState::Passed { " (passed)" } else { "" };
        write!(f, "{severity}{state}: {} {}", self.text, self.advice)
    }
}
