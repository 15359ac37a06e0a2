//! A generation as a whole: its facts put together, and its outcome.

use super::check;
use super::completion::Completion;
use super::feedback::{Feedback, UserAction};
use super::fold::{Folded, KnownFacts};
use super::id::{EventId, FeedbackId};
use super::record::{Fact, Known, Record, Started};
use crate::error::Result;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

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
    /// Facts known at the start.
    pub started: Known<Started>,
    /// Its end, once known.
    pub completion: Option<Known<Completion>>,
    /// All feedback, in the order in which it became known.
    pub feedback: Vec<Known<Feedback>>,
}

/// Outcome of a generation, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// Moment at which its latest part became known.
    pub known_at: DateTime<Utc>,
    /// Approved without modification.
    pub success: Option<bool>,
    /// Approved in the end.
    pub approved: Option<bool>,
    /// When it was approved.
    pub(crate) approved_at: Option<DateTime<Utc>>,
    /// Action of the user, where there was feedback.
    pub user_action: Option<UserAction>,
    /// Quality, 0 to 10.
    pub final_quality_score: Option<f64>,
}

impl GenerationEvent {
    /// Creates a generation that has just started.
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

    /// Reads fields of the flat form.
    ///
    /// # Errors
    /// `InvalidInput` with the field.
    pub(crate) fn from_fields(fields: &check::Metadata) -> Result<Self> {
        super::flat::Flat::from_fields(fields)?.try_into()
    }

    /// Creates a generation from its facts, in any order; `None` while its start is unknown.
    pub fn from_records(records: impl IntoIterator<Item = Record>) -> Option<Self> {
        let (mut event, mut completion, mut feedback) = (None::<Self>, None::<Known<_>>, Vec::new());
        for record in records {
            let (event_id, known_at, fact) = record.into_parts();
            match fact {
                Fact::Started(value) => {
                    if event.as_ref().is_none_or(|old| known_at < old.started.known_at) {
                        event = Some(Self::new(event_id, known_at, *value));
                    }
                }
                Fact::Completed(value) => {
                    if completion.as_ref().is_none_or(|old| known_at < old.known_at) {
                        completion = Some(Known { known_at, value: *value });
                    }
                }
                Fact::Feedback(value) => feedback.push(Known { known_at, value: *value }),
            }
        }
        feedback.sort_by(|a, b| a.order().cmp(&b.order()));
        feedback.dedup();
        event.map(|event| Self { completion, feedback, ..event })
    }

    /// Returns the facts that it is made of, start first.
    ///
    /// # Errors
    /// `InvalidInput` naming the field that is out of range.
    pub fn into_records(mut self) -> Result<Vec<Record>> {
        let names = self.feedback_ids().map_err(|e| e.context(&self.event_id))?;
        for (feedback, name) in self.feedback.iter_mut().zip(names) {
            feedback.value.feedback_id = Some(name);
        }
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

    /// Returns the outcome as the latest feedback, or else the completion, tells it; `None` while
    /// there is neither.
    pub fn outcome(&self) -> Option<Outcome> {
        Outcome::of(&self.known_by(DateTime::<Utc>::MAX_UTC))
    }

    /// Folds the facts that were known at `moment`.
    pub(crate) fn known_by(&self, moment: DateTime<Utc>) -> KnownFacts<'_> {
        let mut facts = KnownFacts::default();
        let completion = self.completion.iter().filter(|completion| completion.known_at <= moment);
        completion.for_each(|completion| facts.add_completion(completion));
        facts.feedback = self.latest_feedback(moment);
        facts
    }

    /// Returns the feedback that a store of these facts would call the latest at `moment`.
    fn latest_feedback(&self, moment: DateTime<Utc>) -> Option<&Known<Feedback>> {
        let known = || self.feedback.iter().enumerate().filter(|(_, feedback)| feedback.known_at <= moment);
        let latest = known().map(|(_, feedback)| check::to_micros(feedback.known_at)).max()?;
        let last = || known().filter(|(_, feedback)| check::to_micros(feedback.known_at) == latest);
        if last().nth(1).is_none() {
            return last().next().map(|(_, feedback)| feedback);
        }
        match self.feedback_ids() {
            Ok(ids) => last().max_by(|(a, _), (b, _)| ids[*a].cmp(&ids[*b])),
            // Such an event cannot be recorded.
            Err(_) => last().next_back(),
        }
        .map(|(_, feedback)| feedback)
    }

    /// Returns the id of each feedback: its own, or the one under which it is recorded.
    pub(crate) fn feedback_ids(&self) -> Result<Vec<FeedbackId>> {
        let mut names = FeedbackNames::default();
        self.feedback.iter().map(|feedback| names.name(feedback)).collect()
    }
}

/// Names of a generation's feedback that has no id: by moment, the digests of what was said and their numbers. Equal
/// feedback at one moment is one.
#[derive(Debug, Default)]
pub(super) struct FeedbackNames(HashMap<DateTime<Utc>, HashMap<String, usize>>);

impl FeedbackNames {
    /// Returns the id of the next feedback: its own, or the one under which it is recorded.
    pub(super) fn name(&mut self, feedback: &Known<Feedback>) -> Result<FeedbackId> {
        if let Some(id) = &feedback.value.feedback_id {
            return Ok(id.clone());
        }
        let (at, digest) = (check::to_micros(feedback.known_at), feedback.value.digest()?);
        let of_moment = self.0.entry(at).or_default();
        let next = of_moment.len();
        let number = *of_moment.entry(digest.clone()).or_insert(next);
        Feedback::id_at(at, number, &digest)
    }
}

impl Outcome {
    /// Returns what completion and latest feedback tell of the outcome.
    pub(crate) fn of(facts: &KnownFacts<'_>) -> Option<Self> {
        let success = facts.resolve(|f| Some(f.value.succeeded()), |c| c.value.success);
        let approved =
            facts.resolve(|f| Some(f.value.was_approved()), |c| c.value.approved.or(c.value.success));
        let final_quality_score =
            facts.resolve(|f| f.value.final_quality_score, |c| c.value.final_quality_score);
        if success.is_none() && approved.is_none() && final_quality_score.is_none() {
            return None;
        }
        let known_at = facts.feedback.map(|f| f.known_at).or(facts.completion.map(|c| c.known_at))?;
        let given_at = facts.feedback.and_then(|f| f.value.given_at).unwrap_or(known_at);
        Some(Self {
            known_at,
            success,
            approved,
            approved_at: (approved == Some(true)).then_some(given_at),
            user_action: facts.feedback.map(|f| f.value.user_action),
            final_quality_score,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(feedback: &str) -> GenerationEvent {
        let json = format!(r#"{{"event_id":"e","task_id":"t","feedback":[{feedback}]}}"#);
        GenerationEvent::from_json(&json).unwrap()
    }

    fn said(action: &str, at: &str, more: &str) -> String {
        format!(r#"{{"known_at":"2025-03-01T11:00:00{at}Z","user_action":"{action}"{more}}}"#)
    }

    #[test]
    fn of_feedback_in_one_second_all_is_kept_and_the_later_counts() {
        let (yes, no) = (said("approve", "", ""), said("reject", "", ""));
        let nano = said("reject", ".000000300", "");
        let (early, late) = (r#","feedback_id":"a""#, r#","feedback_id":"z""#);
        for (feedback, kept, action) in [
            (format!("{yes},{no}"), 2, UserAction::Reject),
            (format!("{no},{yes}"), 2, UserAction::Approve),
            (format!("{yes},{no},{yes}"), 2, UserAction::Reject),
            (format!("{nano},{yes}"), 2, UserAction::Approve),
            (format!("{yes},{yes}"), 1, UserAction::Approve),
            (format!("{no},{}", said("approve", "", early)), 2, UserAction::Reject),
            (format!("{},{no}", said("approve", "", late)), 2, UserAction::Approve),
        ] {
            let event = event(&feedback);
            assert_eq!(event.outcome().unwrap().user_action, Some(action), "{feedback}");
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(json["user_action"], serde_json::to_value(action).unwrap(), "{feedback}");
            let records = event.into_records().unwrap();
            let stored = GenerationEvent::from_records(records.clone()).unwrap();
            assert_eq!(
                (stored.feedback.len(), records.len()),
                (kept, 1 + feedback.matches("known_at").count())
            );
            assert_eq!(stored.outcome().unwrap().user_action, Some(action), "{feedback}");
            let again = GenerationEvent::from_json(&serde_json::to_string(&stored).unwrap()).unwrap();
            assert_eq!(again, stored);
        }
    }
}
