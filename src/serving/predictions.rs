//! What is answered of a task by several models at once.

use crate::dataset::Target;
use crate::event::ShownPrediction;
use crate::models::{
    ComplexityPrediction, Estimate, QualityPrediction, SuccessPrediction, TemplateRanking, TimePrediction,
};
use serde::{Deserialize, Serialize};

/// What all models say of a task, from one set of models and one row of features.
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
}

impl Predictions {
    /// What is to be stored with the start of the generation, so that it can be judged later: each value
    /// with its 90 % interval, and those of 80 % under names as `time@80`.
    pub fn shown(&self) -> Vec<ShownPrediction> {
        let numbers = [
            (Target::Complexity, &self.complexity.estimate),
            (Target::Time, &self.time.estimate),
            (Target::Quality, &self.quality.estimate),
        ];
        shown(&self.success, &numbers)
    }
}

/// What a choice hangs on: is it likely to succeed, and how long will it take?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CandidatePrediction {
    /// Will it be approved as it is?
    pub success: SuccessPrediction,
    /// How long will it take?
    pub time: TimePrediction,
}

impl CandidatePrediction {
    /// What is to be stored with the start of the generation, as [`Predictions::shown`] has it.
    pub fn shown(&self) -> Vec<ShownPrediction> {
        shown(&self.success, &[(Target::Time, &self.time.estimate)])
    }
}

impl From<Predictions> for CandidatePrediction {
    fn from(Predictions { success, time, .. }: Predictions) -> Self {
        Self { success, time }
    }
}

/// Each value with its 90 % interval, and those of 80 % under names as `time@80`.
fn shown(success: &SuccessPrediction, numbers: &[(Target, &Estimate)]) -> Vec<ShownPrediction> {
    let (value, status) = (success.success_probability, format!("{:?}", success.status));
    let mut shown =
        vec![ShownPrediction::new("success", value, success.interval, status, success.model_version)];
    for (target, said) in numbers {
        let name = target.name();
        for (name, interval) in
            [(name.to_owned(), said.interval_90), (format!("{name}@80"), said.interval_80)]
        {
            let status = format!("{:?}", said.status);
            shown.push(ShownPrediction::new(name, said.value, interval, status, said.model_version));
        }
    }
    shown
}
