//! Drift findings.

use crate::monitoring::dimension::SliceKey;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// A significant change.
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
    pub(crate) within: Option<SliceKey>,
    /// Since when, as well as the data tell.
    pub since: DateTime<Utc>,
    /// When it was found: the knowledge of the event that gave the alarm.
    pub(crate) found_at: DateTime<Utc>,
    /// Events between the two, of those that the change is about.
    pub(crate) events: u64,
    /// The value before the change: a rate, a mean, a median, a loss or a share.
    pub before: f64,
    /// The value since the change.
    pub after: f64,
    /// How large the change is by measures of its kind.
    pub(crate) size: ChangeSize,
    /// How much it matters.
    pub severity: Severity,
    /// The finding in a sentence.
    pub text: String,
    /// Advice.
    pub advice: String,
}

impl Finding {
    /// Creates the finding of one amount that is far `after` what it was `before`.
    pub(crate) fn outlier(
        subject: String,
        at: DateTime<Utc>,
        (before, after): (f64, f64),
        text: String,
    ) -> Self {
        Self {
            kind: DriftKind::Feature,
            subject,
            slice: None,
            within: None,
            since: at,
            found_at: at,
            events: 1,
            before,
            after,
            size: ChangeSize::default(),
            severity: Severity::Warning,
            text,
            advice: "Check how the host recorded it: its unit, and whether it is a total of several."
                .to_owned(),
        }
    }
}

/// A kind of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DriftKind {
    /// The success rate fell or rose.
    Outcome,
    /// The distribution of a feature changed.
    Feature,
    /// Predictions became worse than they predict themselves: the relation of features and outcomes changed.
    Concept,
    /// A new value of a category.
    NewCategory,
}

impl DriftKind {
    /// Returns its name on the dashboard.
    #[cfg(feature = "dashboard")]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Feature => "feature",
            Self::Concept => "concept",
            Self::NewCategory => "new value",
        }
    }
}

/// How large a change is; what does not apply is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ChangeSize {
    /// Population stability index over ten bins: below 0.1 is little, above 0.25 much.
    pub(crate) psi: Option<f64>,
    /// The largest difference of the distribution functions (Kolmogorov and Smirnov).
    pub(crate) ks: Option<f64>,
    /// How far the values moved on average, in standard deviations of before (Wasserstein's first
    /// distance).
    pub(crate) wasserstein: Option<f64>,
    /// Jensen-Shannon divergence in bits, 0 to 1.
    pub(crate) jensen_shannon: Option<f64>,
    /// How likely chance alone brings as much or more, at this look alone.
    pub(crate) p_value: Option<f64>,
    /// How far the sum of evidence rose, in nats of log-likelihood.
    pub(crate) evidence: Option<f64>,
}

/// Severity of a finding or alert.
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

/// Confidence-based performance estimation (CBPE): ROC AUC, accuracy and success rate expected of calibrated predictions
/// without labels (Guillory et al. 2021). It detects that tasks became harder to rank; **it is blind to concept drift**,
/// which only feedback shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CbpeEstimate {
    /// The first day whose generations it is about.
    pub(crate) from: NaiveDate,
    /// The last day.
    pub(crate) until: NaiveDate,
    /// Predictions, with and without feedback.
    pub(crate) predictions: u64,
    /// Outcomes of earlier predictions by which it was corrected.
    pub(crate) corrected_by: u64,
    /// Expected area under the ROC curve; `None` where all predictions are the same.
    pub(crate) auc: Option<f64>,
    /// Expected share on the right side of one half.
    pub(crate) accuracy: f64,
    /// Expected success rate.
    pub(crate) success_rate: f64,
    /// How many of them have an outcome by now.
    #[serde(alias = "judged")]
    pub(crate) labelled: u64,
    /// The area over those.
    #[serde(alias = "auc_of_judged")]
    pub(crate) auc_of_labelled: Option<f64>,
    /// The limitations of the estimate, in a sentence.
    pub(crate) caveat: String,
}
