//! Feedback on a generation.

use super::check::{self, Checked};
use super::decision::Decision;
use super::id::{FeedbackId, UserId};
use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The user's action on the generated code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserAction {
    /// Took it as it is.
    Approve,
    /// Took it after changes.
    Modify,
    /// Did not take it.
    Reject,
}

/// One feedback; a later one revises an earlier one, and all are kept.
///
/// ```
/// use devmatrix_ml::event::{Feedback, UserAction};
/// let mut feedback = Feedback::new(UserAction::Modify);
/// feedback.user_feedback = Some("use the existing helper".into());
/// feedback.final_quality_score = Some(7.0);
/// assert!(!feedback.succeeded());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Feedback {
    /// Makes a repeated delivery recognisable; the collector gives one where the host has none.
    #[serde(default)]
    pub feedback_id: Option<FeedbackId>,
    /// When the person acted, where it differs from when the host learned of it.
    #[serde(default)]
    pub given_at: Option<DateTime<Utc>>,
    /// The person who judged; without it, the one that the task named as its reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer_id: Option<UserId>,
    /// The user's action.
    pub user_action: UserAction,
    /// The person's words.
    #[serde(default)]
    pub user_feedback: Option<String>,
    /// The changes asked for.
    #[serde(default)]
    pub modifications_requested: Option<String>,
    /// The person's score, 0 to 10.
    #[serde(default)]
    pub final_quality_score: Option<f64>,
    /// Success where the host defines it otherwise than "approved without modification".
    #[serde(default)]
    pub success: Option<bool>,
    /// Eventual approval where the host defines it otherwise than "not rejected".
    #[serde(default)]
    pub approved: Option<bool>,
    /// Decision about the next action, where this feedback called for one: `retry`, `stop`, …, with
    /// its propensity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<Decision>,
}

impl Feedback {
    /// Creates feedback without words or score.
    pub fn new(user_action: UserAction) -> Self {
        Self {
            feedback_id: None,
            given_at: None,
            reviewer_id: None,
            user_action,
            user_feedback: None,
            modifications_requested: None,
            final_quality_score: None,
            success: None,
            approved: None,
            next_step: None,
        }
    }

    /// Returns whether the code was approved without modification.
    pub fn succeeded(&self) -> bool {
        self.success.unwrap_or(self.user_action == UserAction::Approve)
    }

    /// Returns whether the code was taken in the end.
    pub(crate) fn was_approved(&self) -> bool {
        self.approved.unwrap_or(self.user_action != UserAction::Reject)
    }

    /// Returns a digest of what it says, as every store keeps it; its id is no part of that.
    pub(crate) fn digest(&self) -> Result<String> {
        let mut said = Self { feedback_id: None, ..self.clone() };
        said.clean()?;
        let bytes = serde_json::to_vec(&said)
            .map_err(|e| Error::internal("feedback could not be encoded").with_source(e))?;
        Ok(Sha256::digest(&bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Returns the id of feedback that has none: the moment, its number among those of this moment (the later
    /// counts, and the order of ids decides), and a digest of what it says, so that two never have the same.
    pub(crate) fn id_at(known_at: DateTime<Utc>, number: usize, digest: &str) -> Result<FeedbackId> {
        FeedbackId::new(format!("at-{}-{number:04}-{digest}", known_at.timestamp_micros()))
    }

    /// Checks every number's range.
    ///
    /// # Errors
    /// `InvalidInput` naming the field and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        check::time("given_at", self.given_at)?;
        self.next_step.as_ref().map_or(Ok(()), Decision::validate)?;
        check::range("final_quality_score", self.final_quality_score, 0.0, 10.0)
    }
}

impl Checked for Feedback {
    fn validate(&self) -> Result<()> {
        Self::validate(self)
    }

    fn clean(&mut self) -> Result<()> {
        self.given_at = self.given_at.map(check::to_micros);
        check::clean_option(&mut self.user_feedback);
        check::clean_option(&mut self.modifications_requested);
        self.next_step.iter_mut().for_each(Decision::clean);
        Ok(())
    }
}
