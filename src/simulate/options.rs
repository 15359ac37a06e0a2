//! What can be set of a simulation.

use crate::error::{Error, Result};
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

/// What can be set of a simulation; verified by [`Simulator::new`](super::Simulator::new).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SimulatorOptions {
    /// The same seed gives the same generations.
    pub seed: u64,
    /// The first day.
    pub start: DateTime<Utc>,
    /// Days, 1 to 3,650.
    pub days: u32,
    /// Generations a working day, on average, above 0.
    pub per_day: f64,
    /// Projects, 1 to 10,000.
    pub projects: u32,
    /// Users, 1 to 10,000.
    pub users: u32,
    /// Share of generations that a person judges, 0 to 1.
    pub feedback_share: f64,
    /// The day on which the backend agent gets worse; `None` for never.
    pub drift_day: Option<u32>,
    /// The day on which a better LLM arrives; `None` for never.
    pub new_model_day: Option<u32>,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self {
            seed: 7,
            start: DateTime::from_timestamp(1_736_121_600, 0).unwrap_or_default(),
            days: 60,
            per_day: 60.0,
            projects: 12,
            users: 20,
            feedback_share: 0.9,
            drift_day: Some(35),
            new_model_day: Some(21),
        }
    }
}

impl SimulatorOptions {
    pub(super) fn verify(&self) -> Result<()> {
        let check = |name: &str, v: f64, low: f64, high: f64| {
            if (low..=high).contains(&v) {
                Ok(())
            } else {
                Err(Error::invalid(format!("{name} is {v}, expected {low} to {high}")))
            }
        };
        check("start's year", f64::from(self.start.year()), 1900.0, 9900.0)?;
        check("days", f64::from(self.days), 1.0, 3650.0)?;
        check("per_day", self.per_day, 1e-3, 1e5)?;
        check("projects", f64::from(self.projects), 1.0, 1e4)?;
        check("users", f64::from(self.users), 1.0, 1e4)?;
        check("feedback_share", self.feedback_share, 0.0, 1.0)
    }
}
