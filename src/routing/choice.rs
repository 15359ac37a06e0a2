//! A choice with its decision and its reason.

use super::candidates::Plan;
use super::policies::{Arm, Posterior};
use super::request::Request;
use super::risk_policy::Adjustment;
use crate::event::{Decision, ShownPrediction, Started, TaskContext};
use crate::serving::Predictions;

/// A chosen plan, with the task to run and the decision to store.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// The task with the plan put into it.
    pub task: TaskContext,
    /// The plan.
    pub plan: Plan,
    /// The decision to be stored with the event.
    pub decision: Decision,
    /// The predictions for the chosen candidate, to be stored with the event.
    pub predictions: Vec<ShownPrediction>,
    /// The arms of the candidates.
    pub arms: Vec<Arm>,
    /// The reason why the router abstained, if it did: the default or the cheapest took the place of the best.
    pub(crate) abstained: Option<String>,
    /// All predictions of the task done this way, with explanations, where an
    /// [`Engine`](crate::Engine) chose.
    pub predicted: Option<Box<Predictions>>,
    /// The settings of the candidate that the risk policy changed, with the reasons.
    pub adjustments: Vec<Adjustment>,
}

impl Choice {
    /// Returns the start of the generation, to be recorded.
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

/// Returns the reason for `drawn`, where `best` is the greedy choice.
pub(super) fn sentence(
    request: &Request<'_>,
    arms: &[&Arm],
    posteriors: &[Posterior],
    drawn: usize,
    best: usize,
    abstained: Option<&str>,
) -> String {
    let of = |at: usize| {
        let (arm, posterior) = (arms[at], &posteriors[at]);
        format!(
            "{} (success {:.0} %, {:.0} to {:.0}; {}, {:.0} s)",
            arm.name,
            posterior.success * 100.0,
            posterior.low * 100.0,
            posterior.high * 100.0,
            money(arm.cost_usd),
            arm.seconds
        )
    };
    let reason = match abstained {
        Some(reason) => reason.to_owned(),
        None => format!("the best of {}", arms.len()),
    };
    match (drawn == best, request.critical) {
        (true, true) => format!("{}: {reason}; no exploration on a critical task", of(drawn)),
        (true, false) => format!("{}: {reason}", of(drawn)),
        (false, _) => format!("{}, to explore; the greedy choice is {}: {reason}", of(drawn), of(best)),
    }
}

/// Returns US dollars as a person writes them: cents from a dollar on, below it as many digits as tell something.
pub(super) fn money(usd: f64) -> String {
    if usd == 0.0 || usd >= 0.995 {
        format!("${usd:.2}")
    } else if usd >= 0.01 {
        format!("${usd:.3}")
    } else {
        format!("${usd:.5}")
    }
}
