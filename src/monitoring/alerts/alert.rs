//! Alerts.

use crate::monitoring::drift::Severity;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An open or resolved alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// The name of its rule.
    pub rule: String,
    /// Its subject: a KPI, a slice, a feature.
    pub subject: String,
    /// Its severity.
    pub severity: Severity,
    /// Its state.
    pub state: AlertState,
    /// When it opened.
    pub since: DateTime<Utc>,
    /// When it was sent.
    pub at: DateTime<Utc>,
    /// The value of the signal, if it has one.
    pub value: Option<f64>,
    /// The threshold that it crossed.
    pub limit: Option<f64>,
    /// The alert in a sentence.
    pub text: String,
    /// Advice.
    pub advice: String,
}

/// The state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// It is open.
    Open,
    /// It is resolved.
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
