//! What came out of a choice, in a form to be stored and in a sentence.

use super::candidates::Plan;
use super::policies::{Arm, Posterior};
use super::request::Request;
use super::risk_policy::Adjustment;
use crate::event::{Decision, ShownPrediction, Started, TaskContext};
use crate::serving::Predictions;

/// A chosen plan, with all that is needed to carry it out and to account for it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// The task with the plan put into it.
    pub task: TaskContext,
    /// The plan.
    pub plan: Plan,
    /// The decision to be stored with the event.
    pub decision: Decision,
    /// What was predicted of the task done this way, to be stored too.
    pub predictions: Vec<ShownPrediction>,
    /// What the policy saw, candidate by candidate.
    pub arms: Vec<Arm>,
    /// Why it abstained, where it did: the default or the cheapest stands in for the best.
    pub abstained: Option<String>,
    /// All five predictions of the task done this way, with explanations, where an
    /// [`Engine`](crate::Engine) chose.
    pub predicted: Option<Box<Predictions>>,
    /// What the risk policy set otherwise than the candidate has it, and why.
    pub adjustments: Vec<Adjustment>,
}

impl Choice {
    /// What is recorded at the start of the generation.
    pub fn started(&self) -> Started {
        let mut started = Started::from(self.task.clone());
        started.decision = Some(self.decision.clone());
        started.predictions.clone_from(&self.predictions);
        if !self.adjustments.is_empty() {
            started.metadata.insert("adjustments".into(), serde_json::json!(self.adjustments));
        }
        started
    }

    pub(super) fn new(
        request: &Request<'_>,
        at: usize,
        decision: Decision,
        arms: Vec<Arm>,
        abstained: Option<String>,
    ) -> Self {
        let plan = request.candidates[at].plan.clone();
        let task = plan.apply(request.task);
        let predictions = request.predictions.map(|all| all[at].shown()).unwrap_or_default();
        Self { task, plan, decision, predictions, arms, abstained, predicted: None, adjustments: Vec::new() }
    }
}

impl From<&Choice> for Started {
    fn from(choice: &Choice) -> Self {
        choice.started()
    }
}

impl From<Choice> for Started {
    fn from(choice: Choice) -> Self {
        choice.started()
    }
}

/// Why `drawn` was chosen, where `best` is the best by what is known.
pub(super) fn sentence(
    request: &Request<'_>,
    arms: &[Arm],
    posteriors: &[Posterior],
    drawn: usize,
    best: usize,
    abstained: Option<&str>,
) -> String {
    let of = |at: usize| {
        let (arm, posterior) = (&arms[at], &posteriors[at]);
        format!(
            "{} (success {:.0} %, {:.0} to {:.0}; ${:.3}, {:.0} s)",
            arm.name,
            posterior.success * 100.0,
            posterior.low * 100.0,
            posterior.high * 100.0,
            arm.cost_usd,
            arm.seconds
        )
    };
    let why = match abstained {
        Some(why) => why.to_owned(),
        None => format!("the best known of {}", arms.len()),
    };
    match (drawn == best, request.critical) {
        (true, true) => format!("{}: {why}; nothing is tried on a critical task", of(drawn)),
        (true, false) => format!("{}: {why}", of(drawn)),
        (false, _) => format!("{} is tried to learn; else {}: {why}", of(drawn), of(best)),
    }
}
