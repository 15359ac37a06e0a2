//! Options of a monitor.

use crate::error::{Result, in_range};
use crate::verify::Verify;
use serde::{Deserialize, Serialize};

/// Options of a monitor; validated by [`Monitor::new`](super::Monitor::new).
///
/// ```
/// use devmatrix_ml::monitoring::{Monitor, MonitorOptions};
/// let mut options = MonitorOptions::default();
/// options.false_alarms = f64::NAN;
/// let error = Monitor::new(options).unwrap_err();
/// assert!(error.to_string().contains("false_alarms is NaN"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MonitorOptions {
    /// Days that are kept, 7 to 3,650.
    pub days: u32,
    /// Days of the KPIs, 1 to 365.
    pub kpi_days: u32,
    /// First days whose rate of regenerations is the baseline without predictions, 1 to 365.
    pub baseline_days: u32,
    /// Values of each dimension that are told apart, 1 to 1,000; later ones are put together.
    pub values: u16,
    /// Days for which a generation is remembered, so that feedback can come or change, 1 to 365.
    pub remember_days: u32,
    /// Generations that are remembered at most, 100 to 10,000,000; of more, the oldest are forgotten.
    pub remember: usize,
    /// Newest outcomes for slice attribution and subgroup discovery, 1,000 to 1,000,000.
    pub recent: usize,
    /// Expected false alarms of each kind of drift in 10,000 events without change, 0.001 to 10. The kinds are: outcomes of
    /// all slices, features, log loss. More finds changes sooner; `DEVMATRIX_RUNS=100 cargo test --release --test
    /// drift_detection -- --nocapture` measures both.
    pub false_alarms: f64,
    /// The change of a success rate that the CUSUM is tuned to, 0.02 to 0.3: larger ones are found sooner, much smaller
    /// ones not at all.
    pub success_fall: f64,
    /// Outcomes of a slice before its rate is monitored, 50 to 100,000.
    pub least_outcomes: u32,
    /// Events whose features are compared with those before, 100 to 100,000.
    pub window: u32,
    /// Population stability index (PSI) below which a change of a feature is not reported, 0 to 10.
    pub least_psi: f64,
    /// Expected false subgroups in each 20,000 outcomes, 0.0001 to 1.
    pub false_patterns: f64,
    /// Outcomes between searches for subgroups, 200 to 100,000.
    pub pattern_block: u32,
}

impl Default for MonitorOptions {
    fn default() -> Self {
        Self {
            days: 90,
            kpi_days: 28,
            baseline_days: 14,
            values: 64,
            remember_days: 30,
            remember: 100_000,
            recent: 20_000,
            false_alarms: 0.75,
            success_fall: 0.1,
            least_outcomes: 300,
            window: 500,
            least_psi: 0.1,
            false_patterns: 0.02,
            pattern_block: 2_500,
        }
    }
}

impl Verify for MonitorOptions {
    fn verify(&self) -> Result<()> {
        self.validate()
    }
}

impl MonitorOptions {
    /// Checks every range; NaN is in none.
    pub(crate) fn validate(&self) -> Result<()> {
        in_range("days", f64::from(self.days), 7.0, 3650.0)?;
        in_range("kpi_days", f64::from(self.kpi_days), 1.0, 365.0)?;
        in_range("baseline_days", f64::from(self.baseline_days), 1.0, 365.0)?;
        in_range("values", f64::from(self.values), 1.0, 1000.0)?;
        in_range("remember_days", f64::from(self.remember_days), 1.0, 365.0)?;
        in_range("remember", self.remember as f64, 100.0, 1e7)?;
        in_range("recent", self.recent as f64, 1e3, 1e6)?;
        in_range("false_alarms", self.false_alarms, 1e-3, 10.0)?;
        in_range("success_fall", self.success_fall, 0.02, 0.3)?;
        in_range("least_outcomes", f64::from(self.least_outcomes), 50.0, 1e5)?;
        in_range("window", f64::from(self.window), 100.0, 1e5)?;
        in_range("least_psi", self.least_psi, 0.0, 10.0)?;
        in_range("false_patterns", self.false_patterns, 1e-4, 1.0)?;
        in_range("pattern_block", f64::from(self.pattern_block), 200.0, 1e5)
    }
}
