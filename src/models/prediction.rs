//! What a prediction says of itself.

use super::attributions::{Attribution, AttributionGroup};
use super::similar_outcomes::SimilarOutcomes;
use super::unseen::UnseenValues;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How likely a generation is approved without modification, and what that is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SuccessPrediction {
    /// The probability.
    pub success_probability: f64,
    /// One minus the entropy in bits: 0 at a probability of one half, 1 at certainty.
    pub confidence: f64,
    /// The 90 % interval of the true success rate of tasks predicted like this one: not of this one
    /// task's outcome, which is 0 or 1, and not of how this task differs from others predicted like it.
    /// It holds the probability.
    pub interval: (f64, f64),
    /// The probability as it were calibrated with this task among the held-out rows, once as a failure
    /// and once as a success (a Venn predictor; with isotonic calibration the Venn-Abers pair of Vovk
    /// and Petej 2014): far apart where little is known. It holds the probability. `None` where no model was
    /// calibrated.
    pub venn_abers: Option<(f64, f64)>,
    /// How much risk that is.
    pub risk_level: RiskLevel,
    /// What speaks against success, the strongest first; empty where reasons were not asked for.
    pub risk_factors: Vec<Attribution>,
    /// What all reasons, for and against, come to by what they are about, the most first; empty
    /// where reasons were not asked for.
    #[serde(alias = "reasons_by_topic")]
    pub attributions_by_topic: Vec<AttributionGroup>,
    /// Similar past tasks by description; `None` where explanations were not requested.
    pub similar_tasks: Option<SimilarOutcomes>,
    /// The basis of the prediction.
    pub status: Status,
    /// Further notes, such as that the end of a long description was not read.
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

/// How much risk a generation bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Success from 0.85.
    Low,
    /// Success from 0.70.
    Medium,
    /// Success from 0.50.
    High,
    /// Success below 0.50.
    VeryHigh,
}

/// The basis of a prediction: a fitted model or the prior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// A model calibrated on rows that it had not seen.
    Calibrated,
    /// No model yet: the success rates of the past.
    ColdStart,
    /// No model, and hardly any outcome.
    InsufficientEvidence,
}

impl RiskLevel {
    /// The level of a probability of success.
    pub(crate) fn of(success_probability: f64) -> Self {
        match success_probability {
            p if p >= 0.85 => Self::Low,
            p if p >= 0.70 => Self::Medium,
            p if p >= 0.50 => Self::High,
            _ => Self::VeryHigh,
        }
    }
}

impl SuccessPrediction {
    /// A prediction of `probability` with its interval, as yet of no version.
    pub(crate) fn new(probability: f64, interval: (f64, f64), status: Status, feature_schema: u64) -> Self {
        Self {
            success_probability: probability,
            confidence: confidence(probability),
            interval,
            venn_abers: None,
            risk_level: RiskLevel::of(probability),
            risk_factors: Vec::new(),
            attributions_by_topic: Vec::new(),
            similar_tasks: None,
            status,
            notes: Vec::new(),
            model_version: 0,
            feature_schema,
            unseen: UnseenValues::default(),
        }
    }
}

impl fmt::Display for SuccessPrediction {
    /// Writes the probability, its interval, the risk and up to three things that speak against success.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.interval;
        let percent = |share: f64| share * 100.0;
        write!(
            f,
            "{:.0} % likely to be approved as it is (90 % interval {:.0} to {:.0} %), {} risk",
            percent(self.success_probability),
            percent(low),
            percent(high),
            self.risk_level
        )?;
        let mut separator = ": ";
        for factor in self.risk_factors.iter().take(3) {
            write!(f, "{separator}{}", factor.text)?;
            separator = "; ";
        }
        Ok(())
    }
}

impl fmt::Display for RiskLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::VeryHigh => "very high",
        })
    }
}

fn confidence(p: f64) -> f64 {
    let bits = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    (1.0 - bits(p) - bits(1.0 - p)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn risk_follows_the_thresholds() {
        let levels = [0.85, 0.84, 0.70, 0.69, 0.50, 0.49].map(RiskLevel::of);
        use RiskLevel::{High, Low, Medium, VeryHigh};
        assert_eq!(levels, [Low, Medium, Medium, High, High, VeryHigh]);
        assert_eq!(serde_json::to_string(&VeryHigh).unwrap(), "\"very_high\"");
    }

    #[test]
    fn a_prediction_prints_as_a_sentence() {
        let found = SuccessPrediction::new(0.312, (0.2, 0.44), Status::Calibrated, 0);
        assert_eq!(
            found.to_string(),
            "31 % likely to be approved as it is (90 % interval 20 to 44 %), very high risk"
        );
    }

    #[test]
    fn confidence_is_one_minus_the_entropy() {
        assert_eq!(confidence(0.5), 0.0);
        assert_eq!((confidence(0.0), confidence(1.0)), (1.0, 1.0));
        assert!((confidence(0.11) - 0.5).abs() < 0.001);
    }
}
