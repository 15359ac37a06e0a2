//! What a prediction of a number says.

use crate::event::ShownPrediction;
use crate::models::unseen::UnseenValues;
use crate::models::{Attribution, AttributionGroup, Status};
use serde::{Deserialize, Serialize};

/// A predicted number with its uncertainty and its reasons.
///
/// ```
/// use devmatrix_ml::models::{ComplexityPrediction, QualityPrediction, TimePrediction};
/// /// A person looks at what surely takes minutes, is hard, or may become bad.
/// fn needs_review(time: &TimePrediction, complexity: &ComplexityPrediction, quality: &QualityPrediction) -> bool {
///     let (slow, hard) = (time.estimate.interval_90.0 > 120.0, complexity.estimate.interval_90.0 > 7.0);
///     slow || hard || quality.estimate.interval_90.0 < 6.0
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The value: half of what is like it lies above.
    pub value: f64,
    /// Holds eight in ten.
    pub interval_80: (f64, f64),
    /// Holds nine in ten.
    pub interval_90: (f64, f64),
    /// The basis of the estimate.
    pub status: Status,
    /// The attributions, the strongest first; empty where explanations were not requested.
    pub factors: Vec<Attribution>,
    /// The factors summed by topic.
    pub factors_by_topic: Vec<AttributionGroup>,
    /// Further notes.
    pub notes: Vec<String>,
    /// The version of the model, 0 for the prior.
    pub model_version: u64,
    /// Fingerprint of the features that made it.
    #[serde(with = "crate::json::wide")]
    pub feature_schema: u64,
    /// Values that are unlike all of training; the notes name them.
    #[serde(skip)]
    pub(crate) unseen: UnseenValues,
}

/// How complex a task is, 0 to 10.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ComplexityPrediction {
    /// The score.
    pub complexity_score: f64,
    /// Holds nine in ten.
    pub confidence_interval: (f64, f64),
    /// What contributes to it, the strongest first.
    pub complexity_factors: Vec<Attribution>,
    /// All of it.
    pub estimate: Estimate,
}

/// How long a generation takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TimePrediction {
    /// Seconds of one generation, the median.
    pub estimated_seconds: f64,
    /// Holds nine in ten.
    pub confidence_interval: (f64, f64),
    /// What makes it slow, the strongest first.
    pub bottlenecks: Vec<Attribution>,
    /// Seconds of generating until approval, regenerations included, where success is predicted
    /// too: each failure is expected to cost another generation.
    pub expected_seconds_to_approval: Option<f64>,
    /// All of it.
    pub estimate: Estimate,
}

/// How good the code will be judged, 0 to 10.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QualityPrediction {
    /// The score.
    pub predicted_quality_score: f64,
    /// One minus the width of the nine-in-ten interval as a share of the scale.
    pub confidence: f64,
    /// What contributes to it, the strongest first.
    pub quality_factors: Vec<Attribution>,
    /// True if the generated code was known.
    pub after_generation: bool,
    /// All of it.
    pub estimate: Estimate,
}

/// Tries until approval are counted up to here.
const MOST_TRIES: f64 = 20.0;

impl Estimate {
    /// Restores an estimate from the two predictions under which it was stored: those of 90 % and 80 %.
    pub(crate) fn from_shown(wide: &ShownPrediction, narrow: &ShownPrediction) -> Self {
        let intervals = [(narrow.lower, narrow.upper), (wide.lower, wide.upper)];
        let model_version = wide.model_version;
        Self { model_version, ..Self::new(wide.value, intervals, Status::Calibrated, 0) }
    }

    /// An estimate without attributions, of no version.
    pub(crate) fn new(
        value: f64,
        [interval_80, interval_90]: [(f64, f64); 2],
        status: Status,
        feature_schema: u64,
    ) -> Self {
        let (factors, factors_by_topic, notes) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            value,
            interval_80,
            interval_90,
            status,
            factors,
            factors_by_topic,
            notes,
            model_version: 0,
            feature_schema,
            unseen: UnseenValues::default(),
        }
    }

    /// Returns the mean of an amount whose logarithm is about normal, from its median and its 90 % interval (the tail of a
    /// few dear generations is above the median). The spread counts up to a factor of e, so that a wide interval of a model
    /// that knows little does not make a candidate dear.
    pub(crate) fn mean_of_amount(&self) -> f64 {
        let (low, high) = self.interval_90;
        if !(self.value > 0.0 && low > 0.0 && high.is_finite()) {
            return self.value;
        }
        let deviation = (high / low).ln() / (2.0 * 1.645);
        self.value * (0.5 * deviation * deviation).min(1.0).exp()
    }
}

impl ComplexityPrediction {
    pub(crate) fn new(mut estimate: Estimate) -> Self {
        Self {
            complexity_score: estimate.value,
            confidence_interval: estimate.interval_90,
            complexity_factors: std::mem::take(&mut estimate.factors),
            estimate,
        }
    }
}

impl TimePrediction {
    pub(crate) fn new(mut estimate: Estimate, success: Option<f64>) -> Self {
        let tries = |p: f64| if p > 1.0 / MOST_TRIES { 1.0 / p } else { MOST_TRIES };
        let mut bottlenecks = std::mem::take(&mut estimate.factors);
        bottlenecks.retain(|reason| reason.contribution > 0.0);
        Self {
            estimated_seconds: estimate.value,
            confidence_interval: estimate.interval_90,
            bottlenecks,
            expected_seconds_to_approval: success.map(|p| estimate.value * tries(p)),
            estimate,
        }
    }
}

impl QualityPrediction {
    pub(crate) fn new(mut estimate: Estimate, after_generation: bool) -> Self {
        let (low, high) = estimate.interval_90;
        Self {
            predicted_quality_score: estimate.value,
            confidence: (1.0 - (high - low) / 10.0).clamp(0.0, 1.0),
            quality_factors: std::mem::take(&mut estimate.factors),
            after_generation,
            estimate,
        }
    }
}
