//! The answer before there is a model: what the past alone says.

use super::Status;
use crate::features::{FeatureRow, index_of};
use crate::learn::{logit, sigmoid};
use std::sync::LazyLock;

/// Outcomes below which the past says hardly anything.
const FEW: f32 = 10.0;

/// The success rate of the task's agent, project and LLM, each drawn to its parents.
pub(crate) fn success(row: &FeatureRow) -> (f64, Status) {
    static PLACES: LazyLock<[usize; 4]> = LazyLock::new(|| {
        ["agent_past_performance", "project_agent_success_rate", "agent_model_success_rate", "overall_outcomes"]
            .map(|name| index_of(name).unwrap_or(0))
    });
    let [agent, here, with_model, outcomes] = PLACES.map(|place| row.values[place]);
    let margin = |rate: f32| logit(f64::from(rate));
    let status = if outcomes < FEW { Status::InsufficientEvidence } else { Status::ColdStart };
    (sigmoid(margin(here) + margin(with_model) - margin(agent)), status)
}
