//! Predictions of a task by several models at once.

use crate::dataset::Target;
use crate::event::ShownPrediction;
use crate::models::{
    ComplexityPrediction, Estimate, QualityPrediction, SuccessPrediction, TemplateRanking, TimePrediction,
    UnseenValue,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The predictions of all models for a task, from one set of models and one row of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Predictions {
    /// Will it be approved as it is?
    pub success: SuccessPrediction,
    /// How complex is it?
    pub complexity: ComplexityPrediction,
    /// How long will it take?
    pub time: TimePrediction,
    /// How good will it be?
    pub quality: QualityPrediction,
    /// Which template fits it best? Empty where the host gave no catalogue.
    pub templates: Option<TemplateRanking>,
    /// Predictions of further models, by their names: `cost` in US dollars, `tokens`, and those that the host
    /// [serves beside](super::PredictionService::with_model) them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, Estimate>,
}

impl Predictions {
    /// Returns what is to be stored with the start of the generation, so that the predictions can be evaluated
    /// later: each value with its 90 % interval, and those of 80 % under names as `time@80`.
    pub fn shown(&self) -> Vec<ShownPrediction> {
        let numbers = [
            (Target::Complexity.name(), &self.complexity.estimate),
            (Target::Time.name(), &self.time.estimate),
            (Target::Quality.name(), &self.quality.estimate),
        ];
        let others = self.others.iter().map(|(name, estimate)| (name.as_str(), estimate));
        shown(&self.success, numbers.into_iter().chain(others))
    }

    /// Returns the values that are unlike all of a model's training, each feature once.
    pub(crate) fn unseen(&self) -> Vec<UnseenValue> {
        let estimates = [&self.complexity.estimate, &self.time.estimate, &self.quality.estimate];
        let estimates = estimates.into_iter().chain(self.others.values());
        let all = std::iter::once(&self.success.unseen)
            .chain(estimates.map(|estimate| &estimate.unseen))
            .map(|all| &all.0);
        let mut found: Vec<UnseenValue> = Vec::new();
        for one in all.flatten() {
            if !found.iter().any(|known| known.feature == one.feature) {
                found.push(one.clone());
            }
        }
        found
    }
}

/// The predictions that a choice depends on: is a candidate likely to succeed, and how long will it take?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CandidatePrediction {
    /// Will it be approved as it is?
    pub(crate) success: SuccessPrediction,
    /// How long will it take?
    pub(crate) time: TimePrediction,
    /// How many US dollars will it cost?
    pub(crate) cost: Estimate,
    /// How many tokens will it use?
    pub(crate) tokens: Estimate,
}

impl CandidatePrediction {
    /// Returns what is to be stored with the start of the generation, as [`Predictions::shown`] has it.
    pub(crate) fn shown(&self) -> Vec<ShownPrediction> {
        let numbers = [
            (Target::Time.name(), &self.time.estimate),
            (Target::Cost.name(), &self.cost),
            (Target::Tokens.name(), &self.tokens),
        ];
        shown(&self.success, numbers.into_iter())
    }
}

/// Each value with its 90 % interval, and those of 80 % under names as `time@80`.
fn shown<'a>(
    success: &SuccessPrediction,
    numbers: impl Iterator<Item = (&'a str, &'a Estimate)>,
) -> Vec<ShownPrediction> {
    let (value, status) = (success.success_probability, format!("{:?}", success.status));
    let mut shown =
        vec![ShownPrediction::new("success", value, success.interval, status, success.model_version)];
    for (name, estimate) in numbers {
        for (name, interval) in
            [(name.to_owned(), estimate.interval_90), (format!("{name}@80"), estimate.interval_80)]
        {
            let status = format!("{:?}", estimate.status);
            shown.push(ShownPrediction::new(name, estimate.value, interval, status, estimate.model_version));
        }
    }
    shown
}
