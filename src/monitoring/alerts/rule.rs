//! Rules in data.

use crate::dataset::Target;
use crate::error::{Error, Result};
use crate::monitoring::analytics::KpiName;
use crate::monitoring::drift::{DriftKind, Severity};
use serde::{Deserialize, Serialize};

/// When an operator is told of something.
///
/// A figure opens an alert once it has been beyond `limit` at `checks` checks in a row, and the alert
/// passes once the figure is back beyond `clear`: between the two nothing changes. After it was said it is
/// not said again within `cool_down_minutes`, even if it passes and opens anew.
///
/// ```
/// use devmatrix_ml::monitoring::AlertRule;
/// let rules: Vec<AlertRule> = serde_json::from_str(r#"[{
///     "name": "success low", "signal": {"kpi_below": "success_rate"}, "limit": 0.7, "clear": 0.72,
///     "checks": 2, "severity": "critical"
/// }]"#)?;
/// assert_eq!(rules[0].cool_down_minutes, 1_440);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AlertRule {
    /// Its name, unlike all others.
    pub name: String,
    /// What it looks at.
    pub signal: Signal,
    /// The limit, in the signal's unit; not looked at by signals that are events.
    pub limit: f64,
    /// Where it has passed: on the right side of `limit`, or equal to it.
    pub clear: f64,
    /// Checks in a row, from 1.
    pub checks: u32,
    /// Minutes in which it is not said again.
    pub cool_down_minutes: u32,
    /// Whether it is said again after the cool-down while it is open.
    pub repeat: bool,
    /// Fewer generations than this say nothing.
    pub least: u64,
    /// How much it matters; findings of drift have their own severity, and count from this one on.
    pub severity: Severity,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Signal {
    /// A figure to steer by is below the limit; where it has an interval, all of it.
    KpiBelow(KpiName),
    /// A figure to steer by is above the limit; where it has an interval, all of it.
    KpiAbove(KpiName),
    /// A finding of drift is younger than `limit` hours.
    Drift(DriftKind),
    /// A pattern was confirmed less than `limit` hours ago.
    Subgroup,
    /// A slice whose share of successes is further than `limit` from what was predicted, beyond chance.
    WorstSlice,
    /// The calibration error of the newest full week is above the limit.
    CalibrationError,
    /// Intervals of 90 % of a number held less often than `limit` in the newest week, beyond chance.
    CoverageBelow(Target),
    /// The area under the curve that is to be expected of predictions without feedback is below the limit.
    ExpectedAucBelow,
    /// Hours since the last training.
    HoursSinceTraining,
    /// Hours since the last outcome became known, while at least `least` generations have ended since.
    HoursWithoutFeedback,
    /// The starts of the last 24 hours, as a share of what is usual, are below the limit.
    RecordRateBelow,
}

impl Default for AlertRule {
    fn default() -> Self {
        Self {
            name: String::new(),
            signal: Signal::Subgroup,
            limit: 24.0,
            clear: 24.0,
            checks: 1,
            cool_down_minutes: 24 * 60,
            repeat: false,
            least: 1,
            severity: Severity::Warning,
        }
    }
}

impl AlertRule {
    /// A rule of this name over `signal`, open beyond `limit` and passed beyond `clear`.
    pub fn new(name: impl Into<String>, signal: Signal, limit: f64, clear: f64) -> Self {
        Self { name: name.into(), signal, limit, clear, ..Self::default() }
    }

    /// Rules that fit most hosts.
    pub fn defaults() -> Vec<Self> {
        use Severity::{Critical, Info, Warning};
        let rule = |name: &str, signal, limit, clear, severity, least| {
            let rule = Self::new(name, signal, limit, clear);
            Self { least, severity, ..rule }
        };
        let drift = |name: &str, kind, severity| rule(name, Signal::Drift(kind), 72.0, 72.0, severity, 1);
        let steady = |rule: Self| Self { checks: 3, ..rule };
        vec![
            rule("training missed", Signal::HoursSinceTraining, 26.0, 25.0, Warning, 1),
            rule("feedback stalled", Signal::HoursWithoutFeedback, 24.0, 1.0, Critical, 20),
            rule("fewer records", Signal::RecordRateBelow, 0.5, 0.7, Critical, 20),
            rule("success low", Signal::KpiBelow(KpiName::SuccessRate), 0.6, 0.65, Warning, 100),
            rule("quality low", Signal::KpiBelow(KpiName::Quality), 6.0, 6.5, Warning, 100),
            rule(
                "predictions inaccurate",
                Signal::KpiBelow(KpiName::PredictionAccuracy),
                0.6,
                0.65,
                Warning,
                200,
            ),
            rule("records missing", Signal::KpiBelow(KpiName::RecordedShare), 0.98, 0.99, Warning, 100),
            steady(rule(
                "predictions slow",
                Signal::KpiAbove(KpiName::PredictionLatency),
                100.0,
                80.0,
                Warning,
                100,
            )),
            drift("success changed", DriftKind::Outcome, Warning),
            drift("concept changed", DriftKind::Concept, Warning),
            drift("feature changed", DriftKind::Feature, Info),
            drift("new value", DriftKind::NewCategory, Info),
            rule("pattern", Signal::Subgroup, 72.0, 72.0, Info, 1),
            rule("slice mispredicted", Signal::WorstSlice, 0.05, 0.03, Warning, 100),
            rule("calibration off", Signal::CalibrationError, 0.12, 0.10, Warning, 200),
            rule("time intervals too narrow", Signal::CoverageBelow(Target::Time), 0.8, 0.85, Warning, 100),
            rule(
                "quality intervals too narrow",
                Signal::CoverageBelow(Target::Quality),
                0.8,
                0.85,
                Warning,
                100,
            ),
            rule("predictions hardly tell apart", Signal::ExpectedAucBelow, 0.6, 0.62, Warning, 200),
        ]
    }

    /// Checks what is out of range.
    ///
    /// # Errors
    /// `InvalidInput` naming the rule and the value.
    pub fn verify(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid(format!("alert rule {:?}: {what}", self.name)));
        if self.name.is_empty() || self.name.len() > 200 {
            return Err(Error::invalid("an alert rule's name is empty or longer than 200 bytes"));
        }
        if !(self.limit.is_finite() && self.clear.is_finite()) {
            return refuse(format!("limit {} and clear {} must be finite", self.limit, self.clear));
        }
        let in_order = if self.signal.is_low() { self.clear >= self.limit } else { self.clear <= self.limit };
        if !in_order {
            return refuse(format!(
                "clear {} lies beyond limit {}: it would never pass",
                self.clear, self.limit
            ));
        }
        if self.checks == 0 {
            return refuse("checks is 0, expected 1 or more".into());
        }
        Ok(())
    }
}

impl Signal {
    /// Whether low values are bad.
    pub(super) fn is_low(self) -> bool {
        matches!(
            self,
            Self::KpiBelow(_) | Self::CoverageBelow(_) | Self::ExpectedAucBelow | Self::RecordRateBelow
        )
    }

    /// Whether it is an event that is young or old, rather than a figure.
    pub(super) fn is_event(self) -> bool {
        matches!(self, Self::Drift(_) | Self::Subgroup)
    }
}
