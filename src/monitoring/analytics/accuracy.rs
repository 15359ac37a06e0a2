//! Accuracy of the predictions made before a generation started.

use super::{Average, Rate};
use crate::dataset::Target;
use crate::monitoring::dimension::SliceKey;
use serde::{Deserialize, Serialize};

/// Accuracy of the predictions, measured against the observed outcomes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PredictionAccuracy {
    /// Of success, over all days counted; `None` where no prediction has met an outcome.
    pub(crate) success: Option<SuccessScores>,
    /// Of numbers, one entry for each target that was predicted.
    pub(crate) numbers: Vec<NumberScores>,
    /// By slice: by dimension, the largest first.
    pub(crate) by_slice: Vec<SliceAccuracy>,
}

/// How good predictions of success were.
///
/// Counts, accuracy, Brier score and log loss are exact to six decimals. The area under the ROC curve
/// and the calibration error come from a histogram of the predictions in [`BINS`](SuccessScores::BINS)
/// equal bins, where those of one bin count as ties: beside the exact area that is usually within .002.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct SuccessScores {
    /// Predictions that met their outcome.
    pub(crate) n: u64,
    /// Outcomes on the predicted side of one half.
    pub(crate) accuracy: Rate,
    /// Area under the ROC curve; `None` when all outcomes are the same.
    pub(crate) auc: Option<f64>,
    /// Mean squared error of the probability.
    pub(crate) brier: f64,
    /// Mean negative log-likelihood, in nats.
    pub(crate) logloss: f64,
    /// Expected calibration error over ten equally wide bins.
    pub(crate) ece: f64,
    /// Mean prediction.
    pub(crate) predicted: f64,
    /// Share of successes.
    pub(crate) actual: Rate,
}

impl SuccessScores {
    /// Bins of the histogram that the area is read from.
    pub(crate) const BINS: usize = 50;
}

/// How good predictions of a number were, in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct NumberScores {
    /// The predicted target.
    pub(crate) target: Target,
    /// Number of predictions whose actual value is known.
    pub(crate) n: u64,
    /// Mean absolute error.
    pub(crate) mae: f64,
    /// Mean of prediction minus what happened.
    pub(crate) bias: f64,
    /// What happened.
    pub(crate) actual: Average,
    /// Shown intervals that were to hold 80 % and did.
    pub(crate) held_80: Rate,
    /// Shown intervals that were to hold 90 % and did.
    pub(crate) held_90: Rate,
}

/// How good predictions were for a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SliceAccuracy {
    /// Which.
    pub(crate) slice: SliceKey,
    /// Of success.
    pub(crate) success: Option<SuccessScores>,
    /// Of numbers.
    pub(crate) numbers: Vec<NumberScores>,
}
