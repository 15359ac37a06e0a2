//! Rules in data.

use crate::dataset::{LabelKind, Target};
use crate::error::{Error, Result};
use crate::models::targets;
use crate::monitoring::analytics::KpiName;
use crate::monitoring::drift::{DriftKind, Severity};
use serde::{Deserialize, Serialize};

/// A rule that opens alerts.
///
/// An alert opens once the signal has been beyond `limit` at `checks` checks in a row, and is resolved once the signal is
/// back beyond `clear` (hysteresis). It is not sent again within `cool_down_minutes`, even if it is resolved and opens
/// again.
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
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AlertRule {
    /// Its name, unlike all others.
    pub name: String,
    /// The signal.
    pub signal: Signal,
    /// The threshold, in the signal's unit; events use it as their age in hours.
    pub limit: f64,
    /// The threshold of resolution: on the good side of `limit`, or equal to it.
    pub clear: f64,
    /// Checks in a row, from 1.
    pub checks: u32,
    /// Minutes in which it is not sent again.
    pub cool_down_minutes: u32,
    /// True if an open alert is sent again after the cool-down.
    pub repeat: bool,
    /// The least number of generations.
    pub least: u64,
    /// The severity; drift findings have their own, and count from this one on.
    pub severity: Severity,
}

/// The signal of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Signal {
    /// A KPI is below the limit; where it has an interval, all of it.
    KpiBelow(KpiName),
    /// A KPI is above the limit; where it has an interval, all of it.
    KpiAbove(KpiName),
    /// A finding of drift is younger than `limit` hours.
    Drift(DriftKind),
    /// A subgroup was confirmed less than `limit` hours ago.
    Subgroup,
    /// A slice whose success rate is significantly further than `limit` from the predicted one.
    WorstSlice,
    /// The calibration error of the newest full week is above the limit.
    CalibrationError,
    /// The empirical coverage of 90 % intervals is significantly below `limit` in the newest week.
    CoverageBelow(Target),
    /// The estimated ROC AUC of predictions without feedback (CBPE) is below the limit.
    ExpectedAucBelow,
    /// Hours since the last training.
    HoursSinceTraining,
    /// Hours since the last outcome became known, while at least `least` generations have ended since.
    HoursWithoutFeedback,
    /// The starts of the last 24 hours, as a share of the usual number, are below the limit.
    RecordRateBelow,
    /// More versions of a model than the limit are damaged and set aside.
    DamagedVersions,
    /// Records stamped ahead of their time, and those since yesterday whose host's clock was not believed.
    WrongClock,
    /// Days since the rules of time zones in use were released, about.
    ZoneRulesAge,
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
    /// Creates a rule over `signal`, open beyond `limit` and resolved beyond `clear`.
    pub fn new(name: impl Into<String>, signal: Signal, limit: f64, clear: f64) -> Self {
        Self { name: name.into(), signal, limit, clear, ..Self::default() }
    }

    /// Returns the default rules.
    pub fn defaults() -> Vec<Self> {
        use Severity::{Critical, Info, Warning};
        let rule = |name: &str, signal, limit, clear, severity, least| {
            let rule = Self::new(name, signal, limit, clear);
            Self { least, severity, ..rule }
        };
        let drift = |name: &str, kind, severity| rule(name, Signal::Drift(kind), 72.0, 72.0, severity, 1);
        let steady = |rule: Self| Self { checks: 3, ..rule };
        let mut rules = vec![
            rule("training missed", Signal::HoursSinceTraining, 26.0, 25.0, Warning, 1),
            rule("feedback stalled", Signal::HoursWithoutFeedback, 24.0, 1.0, Critical, 20),
            rule("fewer records", Signal::RecordRateBelow, 0.5, 0.7, Critical, 20),
            rule("clock wrong", Signal::WrongClock, 0.0, 0.0, Warning, 1),
            rule("zone rules old", Signal::ZoneRulesAge, 365.0, 365.0, Warning, 1),
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
            rule("subgroup", Signal::Subgroup, 72.0, 72.0, Info, 1),
            rule("slice mispredicted", Signal::WorstSlice, 0.05, 0.03, Warning, 100),
            rule("calibration off", Signal::CalibrationError, 0.12, 0.10, Warning, 200),
            rule("model versions damaged", Signal::DamagedVersions, 0.0, 0.0, Warning, 1),
            rule("low expected AUC", Signal::ExpectedAucBelow, 0.6, 0.62, Warning, 200),
        ];
        let numbers = targets::SERVED.iter().map(|model| model.target);
        rules.extend(numbers.filter(|target| target.kind() == LabelKind::Regression).map(|target| {
            let name = format!("{target} intervals too narrow");
            rule(&name, Signal::CoverageBelow(target), 0.8, 0.85, Warning, 100)
        }));
        rules
    }

    /// Checks every range.
    pub(super) fn validate(&self) -> Result<()> {
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
                "clear {} lies beyond limit {}: it would never be resolved",
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

    /// Returns true if the signal is an event, which has an age, rather than a metric.
    pub(super) fn is_event(self) -> bool {
        matches!(self, Self::Drift(_) | Self::Subgroup)
    }
}
