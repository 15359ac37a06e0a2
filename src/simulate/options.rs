//! Options of a simulation.

use super::world::AGENTS;
use crate::error::{Result, in_range};
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

/// Options of a simulation, verified by [`Simulator::new`](super::Simulator::new).
///
/// ```
/// use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
/// let mut options = SimulatorOptions::default();
/// options.per_day = f64::NAN;
/// let error = Simulator::new(options).unwrap_err();
/// assert!(error.to_string().contains("per_day is NaN"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SimulatorOptions {
    /// Random seed; a seed determines all generations.
    pub seed: u64,
    /// The first day, of a year from 1900 to 9000.
    pub start: DateTime<Utc>,
    /// Days, 1 to 3,650.
    pub days: u32,
    /// Generations a day on average over a week, 0.001 to 100,000; working hours see most of them.
    pub per_day: f64,
    /// Projects, 1 to 10,000.
    pub projects: u32,
    /// Users, 1 to 10,000.
    pub users: u32,
    /// Agents, 1 to 8.
    pub agents: u32,
    /// Fraction of generations with spontaneous user feedback, 0 to 1.
    pub feedback_share: f64,
    /// Feedback fraction of failed generations, if the response propensity depends on the outcome; `None` for no
    /// difference.
    pub failed_feedback_share: Option<f64>,
    /// Fraction of generations sampled for an audit, all of which are then labelled, 0 to 1.
    pub audit_share: f64,
    /// Fraction of the rejected generations that are retried, 0 to 1.
    pub retry_share: f64,
    /// The day on which the backend agent gets worse; `None` for never.
    pub drift_day: Option<u32>,
    /// The day on which a better LLM arrives; `None` for never.
    pub new_model_day: Option<u32>,
    /// Share of generations that the new LLM takes from then on, 0.001 to 0.999.
    pub new_model_share: f64,
    /// How much it matters whether a template is at home in the language and framework, 0 to 10: the
    /// log-odds between the best and the worst of both. The default is not at all.
    pub template_fit: f64,
    /// How much it matters which LLM suits which type of task and language, 0 to 10: the log-odds
    /// between the best and the worst at both. The default is not at all: one LLM is best at all.
    pub llm_fit: f64,
    /// The day on which `claude-sonnet-4.5` loses 2 in log-odds; `None`, the default, for never.
    pub degraded_llm_day: Option<u32>,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self {
            seed: 7,
            // Monday, 6 January 2025.
            start: DateTime::from_timestamp(1_736_121_600, 0).unwrap_or_default(),
            days: 60,
            per_day: 60.0,
            projects: 12,
            users: 20,
            agents: 4,
            feedback_share: 0.9,
            failed_feedback_share: None,
            audit_share: 0.0,
            retry_share: 0.6,
            drift_day: Some(35),
            new_model_day: Some(21),
            new_model_share: 0.3,
            template_fit: 0.0,
            llm_fit: 0.0,
            degraded_llm_day: None,
        }
    }
}

impl SimulatorOptions {
    /// Ranges are written positively, so that NaN is in none.
    pub(super) fn validate(&self) -> Result<()> {
        // The last feedback must still be in a year that every store keeps.
        in_range("start's year", f64::from(self.start.year()), 1900.0, 9000.0)?;
        in_range("days", f64::from(self.days), 1.0, 3650.0)?;
        in_range("per_day", self.per_day, 1e-3, 1e5)?;
        in_range("projects", f64::from(self.projects), 1.0, 1e4)?;
        in_range("users", f64::from(self.users), 1.0, 1e4)?;
        in_range("agents", f64::from(self.agents), 1.0, AGENTS.len() as f64)?;
        in_range("feedback_share", self.feedback_share, 0.0, 1.0)?;
        in_range("failed_feedback_share", self.failed_feedback_share.unwrap_or(0.0), 0.0, 1.0)?;
        in_range("audit_share", self.audit_share, 0.0, 1.0)?;
        in_range("retry_share", self.retry_share, 0.0, 1.0)?;
        in_range("template_fit", self.template_fit, 0.0, 10.0)?;
        in_range("llm_fit", self.llm_fit, 0.0, 10.0)?;
        // A decision's propensity may be neither 0 nor rounded to it.
        in_range("new_model_share", self.new_model_share, 0.001, 0.999)
    }
}
