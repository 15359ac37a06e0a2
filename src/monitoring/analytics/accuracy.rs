//! What was predicted before a generation started, against what happened.

use super::{Average, Rate};
use crate::dataset::Target;
use crate::monitoring::dimension::SliceKey;
use serde::{Deserialize, Serialize};

/// What was predicted before, against what happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PredictionAccuracy {
    /// Of success, over all days counted; `None` where no prediction has met an outcome.
    pub success: Option<SuccessScores>,
    /// Of numbers, one entry for each target that was predicted.
    pub numbers: Vec<NumberScores>,
    /// By slice: by dimension, the largest first.
    pub by_slice: Vec<SliceAccuracy>,
}

/// How good predictions of success were.
///
/// Counts, accuracy, Brier score and log loss are exact to six decimals. The area under the ROC curve
/// and the calibration error come from a histogram of the predictions in [`BINS`](SuccessScores::BINS)
/// equal bins, where those of one bin count as ties: beside the exact area that is usually within .002.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SuccessScores {
    /// Predictions that met their outcome.
    pub n: u64,
    /// Outcomes on the predicted side of one half.
    pub accuracy: Rate,
    /// Area under the ROC curve; `None` when all outcomes are the same.
    pub auc: Option<f64>,
    /// Mean squared error of the probability.
    pub brier: f64,
    /// Mean negative log-likelihood, in nats.
    pub logloss: f64,
    /// Expected calibration error over ten equally wide bins.
    pub ece: f64,
    /// Mean prediction.
    pub predicted: f64,
    /// Share of successes.
    pub actual: Rate,
}

impl SuccessScores {
    /// Bins of the histogram that the area is read from.
    pub const BINS: usize = 50;
}

/// How good predictions of a number were, in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NumberScores {
    /// What was predicted.
    pub target: Target,
    /// Predictions that met what they predicted.
    pub n: u64,
    /// Mean absolute error.
    pub mae: f64,
    /// Mean of prediction minus what happened.
    pub bias: f64,
    /// What happened.
    pub actual: Average,
    /// Shown intervals that were to hold 80 % and did.
    pub held_80: Rate,
    /// Shown intervals that were to hold 90 % and did.
    pub held_90: Rate,
}

/// How good predictions were for a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SliceAccuracy {
    /// Which.
    pub slice: SliceKey,
    /// Of success.
    pub success: Option<SuccessScores>,
    /// Of numbers.
    pub numbers: Vec<NumberScores>,
}
