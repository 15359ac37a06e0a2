//! What has changed: where, since when, how much, and what to do.

use crate::monitoring::dimension::SliceKey;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// A change that chance does not explain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of change.
    pub kind: DriftKind,
    /// What changed: `success`, `log loss`, the name of a feature, a value that is new.
    pub subject: String,
    /// For whom; `None` for all.
    pub slice: Option<SliceKey>,
    /// Where it sits within the slice; `None` where it is all over it.
    pub within: Option<SliceKey>,
    /// Since when, as well as the data tell.
    pub since: DateTime<Utc>,
    /// When it was found: the knowledge of the event that gave the alarm.
    pub found_at: DateTime<Utc>,
    /// Events between the two, of those that the change is about.
    pub events: u64,
    /// What it was before: a rate, a mean, a median, a loss, a share.
    pub before: f64,
    /// What it has been since.
    pub after: f64,
    /// How large the change is by measures of its kind.
    pub size: ChangeSize,
    /// How much it matters.
    pub severity: Severity,
    /// All that in a sentence.
    pub text: String,
    /// What to do about it.
    pub advice: String,
}

/// What kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DriftKind {
    /// Success became rarer or more frequent.
    Outcome,
    /// A feature's values are distributed otherwise.
    Feature,
    /// Predictions became worse than they say themselves: outcomes follow other rules than those learned.
    Concept,
    /// A value that was not there before.
    NewCategory,
}

/// How large a change is; what does not apply is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ChangeSize {
    /// Population stability index over ten bins: below 0.1 is little, above 0.25 much.
    pub psi: Option<f64>,
    /// The largest difference of the distribution functions (Kolmogorov and Smirnov).
    pub ks: Option<f64>,
    /// How far the values moved on average, in standard deviations of before (Wasserstein's first
    /// distance).
    pub wasserstein: Option<f64>,
    /// Jensen-Shannon divergence in bits, 0 to 1.
    pub jensen_shannon: Option<f64>,
    /// How likely chance alone brings as much or more, at this look alone.
    pub p_value: Option<f64>,
    /// How far the sum of evidence rose, in nats of log-likelihood.
    pub evidence: Option<f64>,
}

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// To be looked at today.
    Warning,
    /// To be looked at now.
    Critical,
}

/// How good the predictions are likely to turn out whose feedback has not come yet.
///
/// If probabilities are calibrated, a prediction of .7 succeeds 7 times in 10, whoever answers; so the
/// area under the ROC curve, the accuracy and the success rate that are to be expected can be computed
/// from the predictions alone, corrected by what became of earlier ones like them (Guillory et al. 2021;
/// known as confidence-based performance estimation). It sees that tasks became harder to tell apart.
/// **It is blind to concept drift**: where the same task now ends otherwise, only feedback tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CbpeEstimate {
    /// The first day whose generations it is about.
    pub from: NaiveDate,
    /// The last day.
    pub until: NaiveDate,
    /// Predictions, with and without feedback.
    pub predictions: u64,
    /// Outcomes of earlier predictions by which it was corrected.
    pub corrected_by: u64,
    /// Expected area under the ROC curve; `None` where all predictions are the same.
    pub auc: Option<f64>,
    /// Expected share on the right side of one half.
    pub accuracy: f64,
    /// Expected success rate.
    pub success_rate: f64,
    /// How many of them have an outcome by now.
    pub judged: u64,
    /// The area over those.
    pub auc_of_judged: Option<f64>,
    /// What it cannot see.
    pub caveat: String,
}
