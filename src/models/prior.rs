//! The prediction of success before there is a model: from group statistics alone.

use super::attributions::attribution;
use super::{Attribution, Status, SuccessPrediction};
use crate::features::{FeatureId, FeatureRow};
use crate::ml::wilson;
use crate::stats::{logit, sigmoid};

/// Outcomes below which group statistics say hardly anything.
const FEW: f32 = 10.0;

/// The success rates that the prior is made of, each shrunk toward those of its parents.
#[derive(Debug, Clone, Copy)]
struct Rates {
    overall: f32,
    agent: f32,
    in_project: f32,
    with_llm: f32,
    outcomes: f32,
    agent_outcomes: f32,
    recent_in_project: f32,
}

/// Predicts the success rate of the task's agent, in its project and with its LLM.
pub(crate) fn success(row: &FeatureRow) -> (f64, Status) {
    let rates = read(row);
    let status = if rates.outcomes < FEW { Status::InsufficientEvidence } else { Status::ColdStart };
    let [agent, in_project, with_llm] =
        [rates.agent, rates.in_project, rates.with_llm].map(|rate| logit(f64::from(rate)));
    (sigmoid(in_project + with_llm - agent), status)
}

/// Predicts the same with an interval, which rests on the outcomes of the agent in the project, and says where it
/// comes from.
pub(crate) fn prediction(row: &FeatureRow, schema: u64) -> SuccessPrediction {
    let (p, status) = success(row);
    let recent = read(row).recent_in_project;
    let seen = if recent.is_nan() { 0.0 } else { f64::from(recent) };
    let mut prediction = SuccessPrediction::new(p, wilson(p, seen), status, schema);
    prediction.notes.push(note(row));
    prediction
}

/// Attributes the prior's log-odds, against those of the overall success rate, to the rates that it is made of.
pub(crate) fn attributions(row: &FeatureRow) -> Vec<Attribution> {
    let rates = read(row);
    let step = |id: FeatureId, from: f32, to: f32| {
        let contribution = logit(f64::from(to)) - logit(f64::from(from));
        attribution(row, id as usize, contribution)
    };
    let mut found: Vec<_> = [
        attribution(row, FeatureId::OverallSuccessRate as usize, logit(f64::from(rates.overall))),
        step(FeatureId::AgentPastPerformance, rates.overall, rates.agent),
        step(FeatureId::ProjectAgentSuccessRate, rates.agent, rates.in_project),
        step(FeatureId::AgentModelSuccessRate, rates.agent, rates.with_llm),
    ]
    .into_iter()
    .flatten()
    .filter(|_| rates.outcomes > 0.0)
    .filter(|attribution| attribution.contribution != 0.0)
    .collect();
    found.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    found
}

/// The group statistics that the prediction is made of, as a sentence.
fn note(row: &FeatureRow) -> String {
    let Rates { overall, agent, in_project, with_llm, outcomes, agent_outcomes, .. } = read(row);
    if outcomes.is_nan() || outcomes < 0.5 {
        return "no model yet, and no labelled generation: nothing is known, so success is predicted as likely as \
                failure"
            .to_owned();
    }
    let percent = |rate: f32| 100.0 * rate;
    let overall = format!("{:.0} % over all {outcomes:.0} labelled generations", percent(overall));
    if agent_outcomes.is_nan() || agent_outcomes < 0.5 {
        return format!(
            "no model yet, and no labelled generation of this agent: the success rate is {overall}"
        );
    }
    format!(
        "no model yet: the agent's success rate over {agent_outcomes:.0} labelled generations is {:.0} %, shrunk \
         toward the {overall}; it is {:.0} % in this project and {:.0} % with this LLM",
        percent(agent),
        percent(in_project),
        percent(with_llm)
    )
}

fn read(row: &FeatureRow) -> Rates {
    let [overall, agent, in_project, with_llm, outcomes, agent_outcomes, recent_in_project] = [
        FeatureId::OverallSuccessRate,
        FeatureId::AgentPastPerformance,
        FeatureId::ProjectAgentSuccessRate,
        FeatureId::AgentModelSuccessRate,
        FeatureId::OverallOutcomes,
        FeatureId::AgentOutcomes,
        FeatureId::ProjectAgentRecentOutcomes,
    ]
    .map(|id| row.values.get(id as usize).copied().unwrap_or(f32::NAN));
    Rates { overall, agent, in_project, with_llm, outcomes, agent_outcomes, recent_in_project }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{FEATURES, index_of};

    fn row(values: &[(&str, f32)]) -> FeatureRow {
        let mut row = FeatureRow::of_values(vec![f32::NAN; FEATURES.len()]);
        values.iter().for_each(|(name, value)| row.values[index_of(name).unwrap()] = *value);
        row
    }

    fn known() -> FeatureRow {
        row(&[
            ("overall_success_rate", 0.65),
            ("agent_past_performance", 0.7),
            ("project_agent_success_rate", 0.72),
            ("agent_model_success_rate", 0.6),
            ("overall_outcomes", 40.0),
            ("agent_outcomes", 12.0),
            ("project_agent_outcomes", 5.0),
        ])
    }

    #[test]
    fn a_cold_start_names_the_rates_that_it_comes_from() {
        let prediction = prediction(&known(), 0);
        assert_eq!(
            prediction.notes,
            [
                "no model yet: the agent's success rate over 12 labelled generations is 70 %, shrunk toward the 65 % \
              over all 40 labelled generations; it is 72 % in this project and 60 % with this LLM"
            ]
        );
        let found = attributions(&known());
        let sum: f64 = found.iter().map(|a| a.contribution).sum();
        assert!((sum - logit(prediction.success_probability)).abs() < 1e-6, "{found:?}");
        assert!(found.iter().any(|a| a.feature == "agent_model_success_rate" && a.contribution < 0.0));
    }

    #[test]
    fn nothing_known_is_said_and_attributed_to_nothing() {
        let half = ["overall_success_rate", "agent_past_performance", "project_agent_success_rate"];
        let mut values = vec![("agent_model_success_rate", 0.5), ("overall_outcomes", 0.0)];
        values.extend(half.map(|name| (name, 0.5)));
        let nothing = row(&values);
        assert!(prediction(&nothing, 0).notes[0].contains("no labelled generation"));
        assert!(attributions(&nothing).is_empty());
    }
}
