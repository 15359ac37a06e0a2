//! A generation as a whole: its facts put together, and what came of it.

use super::completion::Completion;
use super::feedback::{Feedback, UserAction};
use super::id::{EventId, FeedbackId};
use super::record::{Fact, Known, Record, Started};
use crate::error::Result;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Everything known of one generation.
///
/// Its JSON form is the flat one of the collection schema: one object with `event_id`, `task_id`,
/// `started_at`, `task_description`, …, `user_action`, `success`, `metadata`. Fields that are
/// absent or `null` are unknown; fields that the schema does not have go into `metadata`.
///
/// ```
/// use devmatrix_ml::event::GenerationEvent;
/// let event = GenerationEvent::from_json(
///     r#"{"event_id":"e1","task_id":"t1","started_at":"2025-03-01T10:00:00Z","task_description":"x",
///         "completed_at":"2025-03-01T10:01:00Z","user_action":"approve","repo_stars":12}"#,
/// )?;
/// assert_eq!(event.outcome().unwrap().success, Some(true));
/// assert_eq!(event.started.value.metadata["repo_stars"], 12);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "super::flat::Flat", into = "super::flat::Flat")]
#[non_exhaustive]
pub struct GenerationEvent {
    /// The generation.
    pub event_id: EventId,
    /// What was known at the start.
    pub started: Known<Started>,
    /// Its end, once known.
    pub completion: Option<Known<Completion>>,
    /// Every judgement, in the order in which they became known.
    pub feedback: Vec<Known<Feedback>>,
}

/// What came of a generation, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// From when on the latest part of it was known.
    pub known_at: DateTime<Utc>,
    /// Approved without modification.
    pub success: Option<bool>,
    /// Approved in the end.
    pub approved: Option<bool>,
    /// When it was approved.
    pub approved_at: Option<DateTime<Utc>>,
    /// What the person did, where a person judged.
    pub user_action: Option<UserAction>,
    /// Quality, 0 to 10.
    pub final_quality_score: Option<f64>,
}

impl GenerationEvent {
    /// A generation that has just started.
    pub fn new(event_id: EventId, known_at: DateTime<Utc>, started: impl Into<Started>) -> Self {
        let started = Known { known_at, value: started.into() };
        Self { event_id, started, completion: None, feedback: Vec::new() }
    }

    /// Reads the flat JSON form; lone surrogate escapes become U+FFFD.
    ///
    /// # Errors
    /// `InvalidInput` with the field, or the column where the JSON is broken.
    pub fn from_json(json: &str) -> Result<Self> {
        let flat = super::flat::Flat::parse(json)?;
        Self::try_from(flat)
    }

    /// Puts the facts of one generation together; `None` while its start is unknown.
    pub fn from_records(records: impl IntoIterator<Item = Record>) -> Option<Self> {
        let (mut event, mut completion, mut feedback) = (None, None, Vec::new());
        for record in records {
            let (event_id, known_at, fact) = record.into_parts();
            match fact {
                Fact::Started(value) => event = Some(Self::new(event_id, known_at, *value)),
                Fact::Completed(value) => completion = Some(Known { known_at, value: *value }),
                Fact::Feedback(value) => feedback.push(Known { known_at, value: *value }),
            }
        }
        feedback.sort_by(|a, b| order(a).cmp(&order(b)));
        event.map(|event: Self| Self { completion, feedback, ..event })
    }

    /// The facts that it is made of, start first.
    ///
    /// # Errors
    /// `InvalidInput` naming the field that is out of range.
    pub fn into_records(self) -> Result<Vec<Record>> {
        let id = self.event_id;
        let started =
            Record::new(id.clone(), self.started.known_at, Fact::Started(Box::new(self.started.value)));
        let completed =
            self.completion.map(|c| Record::new(id.clone(), c.known_at, Fact::Completed(Box::new(c.value))));
        let feedback = self
            .feedback
            .into_iter()
            .map(|f| Record::new(id.clone(), f.known_at, Fact::Feedback(Box::new(f.value))));
        std::iter::once(started).chain(completed).chain(feedback).collect()
    }

    /// What came of it; `None` while nobody and nothing has judged it.
    pub fn outcome(&self) -> Option<Outcome> {
        Outcome::of(self.completion.as_ref(), self.feedback.iter().max_by(|a, b| order(a).cmp(&order(b))))
    }
}

impl Outcome {
    /// The latest feedback decides; where there is none, what the completion itself says.
    pub(crate) fn of(
        completion: Option<&Known<Completion>>,
        latest: Option<&Known<Feedback>>,
    ) -> Option<Self> {
        let own = completion.map(|c| &c.value);
        let quality = own.and_then(|c| c.final_quality_score);
        if let Some(Known { known_at, value }) = latest {
            let approved = value.was_approved();
            return Some(Self {
                known_at: *known_at,
                success: Some(value.succeeded()),
                approved: Some(approved),
                approved_at: approved.then(|| value.given_at.unwrap_or(*known_at)),
                user_action: Some(value.user_action),
                final_quality_score: value.final_quality_score.or(quality),
            });
        }
        let own = own.filter(|c| c.success.is_some() || c.approved.is_some() || quality.is_some())?;
        let known_at = completion?.known_at;
        let approved = own.approved.or(own.success);
        Some(Self {
            known_at,
            success: own.success,
            approved,
            approved_at: (approved == Some(true)).then_some(known_at),
            user_action: None,
            final_quality_score: quality,
        })
    }
}

/// The order in which feedback counts: by knowledge, then by id.
fn order(feedback: &Known<Feedback>) -> (DateTime<Utc>, Option<&FeedbackId>) {
    (feedback.known_at, feedback.value.feedback_id.as_ref())
}
