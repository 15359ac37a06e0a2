//! The rates of the history that a model is compared with, and that answer in its place where it is not better.

use super::columns::value_at;
use crate::features::{FeatureId, FeatureRow};
use crate::stats::logit;
use serde::{Deserialize, Serialize};

/// A success rate of the history as a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum RateBaseline {
    /// That of all generations.
    Overall,
    /// That of the agent.
    Agent,
    /// That of the project.
    Project,
    /// That of the LLM.
    Model,
    /// That of the agent with the LLM.
    AgentModel,
    /// That of the most specific group with enough outcomes.
    MostSpecific,
}

/// A rate, and the feature that counts its outcomes where there must be enough of them.
type Step = (Option<FeatureId>, FeatureId);

/// Outcomes from which a group's rate is a baseline. Chosen, not tuned.
pub(super) const ENOUGH: f32 = 10.0;

const MOST_SPECIFIC: [Step; 7] = [
    (Some(FeatureId::TaskAgentOutcomes), FeatureId::TaskAgentSuccessRate),
    (Some(FeatureId::TaskModelOutcomes), FeatureId::TaskModelSuccessRate),
    (Some(FeatureId::TaskOutcomes), FeatureId::TaskSuccessRate),
    (Some(FeatureId::ProjectAgentOutcomes), FeatureId::ProjectAgentSuccessRate),
    (Some(FeatureId::ProjectOutcomes), FeatureId::ProjectSuccessRate),
    (Some(FeatureId::AgentOutcomes), FeatureId::AgentModelSuccessRate),
    (None, FeatureId::OverallSuccessRate),
];

impl RateBaseline {
    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::Overall, Self::Agent, Self::Project, Self::Model, Self::AgentModel, Self::MostSpecific];

    /// The rates of which the first that is known answers.
    pub(super) fn steps(self) -> &'static [Step] {
        const OVERALL: Step = (None, FeatureId::OverallSuccessRate);
        match self {
            Self::Overall => &[OVERALL],
            Self::Agent => &[(None, FeatureId::AgentPastPerformance), OVERALL],
            Self::Project => &[(None, FeatureId::ProjectSuccessRate), OVERALL],
            Self::Model => &[(None, FeatureId::ModelPastPerformance), OVERALL],
            Self::AgentModel => &[(None, FeatureId::AgentModelSuccessRate), OVERALL],
            Self::MostSpecific => &MOST_SPECIFIC,
        }
    }

    /// Returns the rate and the place of its feature; `None` where none is known.
    pub(super) fn rate(self, row: &FeatureRow) -> Option<(usize, f64)> {
        let value = |id: FeatureId| value_at(&row.values, id as usize);
        let known = |(needs, rate): &&Step| {
            needs.is_none_or(|outcomes| value(outcomes) >= ENOUGH) && !value(*rate).is_nan()
        };
        let found = self.steps().iter().find(known);
        found.map(|(_, rate)| (*rate as usize, f64::from(value(*rate))))
    }

    /// The log-odds of the rate, those of one half where none is known.
    pub(super) fn margin(self, row: &FeatureRow) -> f64 {
        self.rate(row).map_or(0.0, |(_, rate)| logit(rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FEATURES;

    fn row(values: &[(FeatureId, f32)]) -> FeatureRow {
        let mut row = vec![f32::NAN; FEATURES.len()];
        values.iter().for_each(|(id, value)| row[*id as usize] = *value);
        FeatureRow::of_values(row)
    }

    #[test]
    fn the_most_specific_group_with_enough_outcomes_answers() {
        let mut known = vec![
            (FeatureId::OverallSuccessRate, 0.5),
            (FeatureId::ProjectOutcomes, ENOUGH),
            (FeatureId::ProjectSuccessRate, 0.25),
            (FeatureId::TaskOutcomes, ENOUGH - 1.0),
            (FeatureId::TaskSuccessRate, 0.75),
        ];
        let rate = |known: &[_]| RateBaseline::MostSpecific.rate(&row(known));
        assert_eq!(rate(&known), Some((FeatureId::ProjectSuccessRate as usize, 0.25)));
        known[3].1 = ENOUGH;
        assert_eq!(rate(&known), Some((FeatureId::TaskSuccessRate as usize, 0.75)));
    }

    #[test]
    fn a_rate_that_is_missing_is_that_of_all() {
        let known = row(&[(FeatureId::OverallSuccessRate, 0.6)]);
        for baseline in RateBaseline::ALL {
            let (place, _) = baseline.rate(&known).unwrap();
            assert_eq!(place, FeatureId::OverallSuccessRate as usize, "{baseline:?}");
        }
        assert_eq!(RateBaseline::Agent.margin(&row(&[])), 0.0);
    }
}
