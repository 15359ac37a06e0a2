//! The state after a failed attempt.

use super::action::RetryAction;
use crate::dataset::Target;
use crate::error::{Error, Result};
use crate::event::{Decision, GenerationEvent, Outcome};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The state of a task when its latest attempt has failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RetryState {
    /// Failed attempts so far, from 1.
    pub tries: u32,
    /// How often the LLM was switched.
    pub switched: u32,
    /// How often the human was asked.
    pub asked: u32,
    /// US dollars spent so far, as far as they are known.
    pub cost_usd: f64,
    /// True if the latest attempt was approved after modification, false if it was rejected.
    pub modified: bool,
    /// The quality of the latest attempt, 0 to 10.
    pub quality: Option<f64>,
    /// The agent's self-review of the latest attempt, 0 to 10.
    pub self_review: Option<f64>,
    /// The predicted probability of success before the latest attempt, 0 to 1.
    pub predicted: Option<f64>,
    /// The type of the task.
    pub task_type: Option<String>,
    /// The LLM of the latest attempt.
    pub llm: Option<String>,
}

/// Nothing known but that a first attempt failed.
impl Default for RetryState {
    fn default() -> Self {
        Self {
            tries: 1,
            switched: 0,
            asked: 0,
            cost_usd: 0.0,
            modified: false,
            quality: None,
            self_review: None,
            predicted: None,
            task_type: None,
            llm: None,
        }
    }
}

impl RetryState {
    /// Returns the state after these attempts at one task, the first one first, the latest one failed. Stored
    /// trajectories are read by this function too, so that live and replayed states are equal.
    ///
    /// ```
    /// use devmatrix_ml::{experimentation::retry_policy::RetryState, event::GenerationEvent};
    /// let failed = GenerationEvent::from_json(
    ///     r#"{"event_id":"e1","task_id":"t1","task_type":"backend","cost_usd":0.03,"user_action":"reject"}"#,
    /// )?;
    /// let state = RetryState::after(&[failed])?;
    /// assert_eq!((state.tries, state.cost_usd, state.modified), (1, 0.03, false));
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` where there is no attempt.
    pub fn after(tries: &[GenerationEvent]) -> Result<Self> {
        let Some(latest) = tries.last() else {
            return Err(Error::invalid("no attempt: give the failed ones"));
        };
        let outcome = latest.outcome();
        let outcome = outcome.as_ref();
        let earlier =
            tries[..tries.len() - 1].iter().filter_map(|event| recorded_step(event).map(|(_, d)| d));
        let steps: Vec<_> = earlier.filter_map(|decision| RetryAction::named(&decision.chosen)).collect();
        let count = |of: RetryAction| steps.iter().filter(|step| **step == of).count() as u32;
        let done = latest.completion.as_ref().map(|done| &done.value);
        let start = &latest.started.value;
        let costs = tries.iter().filter_map(|event| event.completion.as_ref()?.value.cost_usd);
        let shown = start.predictions.iter().find(|shown| shown.target == Target::Success.name());
        Ok(Self {
            tries: tries.len() as u32,
            switched: count(RetryAction::SwitchModel),
            asked: count(RetryAction::AskHuman),
            cost_usd: costs.sum(),
            modified: outcome.is_some_and(was_modified),
            quality: outcome.and_then(|outcome| outcome.final_quality_score),
            self_review: done.and_then(|done| done.self_review_score),
            predicted: shown.map(|shown| shown.value),
            task_type: start.context.task_type.clone(),
            llm: start.context.model_used.clone(),
        })
    }
}

/// Returns whether it was approved after modification.
pub(super) fn was_modified(outcome: &Outcome) -> bool {
    outcome.approved == Some(true) && outcome.success == Some(false)
}

/// Returns the recorded action after an attempt, and when it was recorded. The first one counts: later feedback may
/// revise the outcome, but not the action.
pub(super) fn recorded_step(event: &GenerationEvent) -> Option<(DateTime<Utc>, &Decision)> {
    let of_machine =
        event.completion.iter().filter_map(|done| Some((done.known_at, done.value.next_step.as_ref()?)));
    let of_people = event.feedback.iter().filter_map(|f| Some((f.known_at, f.value.next_step.as_ref()?)));
    of_machine.chain(of_people).min_by_key(|(at, _)| *at)
}
