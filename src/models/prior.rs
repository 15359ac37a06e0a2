//! The answer before there is a model: what the past alone says.

use super::{Status, SuccessPrediction};
use crate::features::{FeatureId, FeatureRow};
use crate::ml::wilson;
use crate::stats::{logit, sigmoid};

/// Outcomes below which the past says hardly anything.
const FEW: f32 = 10.0;

/// The success rate of the task's agent, project and LLM, each drawn to its parents.
pub(crate) fn success(row: &FeatureRow) -> (f64, Status) {
    let [agent, here, with_model, outcomes, _] = read(row);
    let margin = |rate: f32| logit(f64::from(rate));
    let status = if outcomes < FEW { Status::InsufficientEvidence } else { Status::ColdStart };
    (sigmoid(margin(here) + margin(with_model) - margin(agent)), status)
}

/// The same as a prediction; its interval rests on the outcomes of the agent in the project.
pub(crate) fn prediction(row: &FeatureRow, schema: u64) -> SuccessPrediction {
    let (p, status) = success(row);
    let here = read(row)[4];
    let seen = if here.is_nan() { 0.0 } else { f64::from(here) };
    SuccessPrediction::new(p, wilson(p, seen), status, schema)
}

fn read(row: &FeatureRow) -> [f32; 5] {
    [
        FeatureId::AgentPastPerformance,
        FeatureId::ProjectAgentSuccessRate,
        FeatureId::AgentModelSuccessRate,
        FeatureId::OverallOutcomes,
        FeatureId::ProjectAgentRecentOutcomes,
    ]
    .map(|id| row.values[id as usize])
}
