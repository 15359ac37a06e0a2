//! The report of a monitor: typed and serializable.

mod accuracy;
mod distribution;
mod kpi;
mod models;
mod report;

#[cfg(feature = "dashboard")]
pub(crate) use accuracy::SliceAccuracy;
pub(crate) use accuracy::{NumberScores, PredictionAccuracy, SuccessScores};
#[cfg(feature = "dashboard")]
pub(crate) use distribution::CategoryDistribution;
pub(crate) use distribution::DataDistribution;
#[cfg(feature = "dashboard")]
pub(crate) use kpi::Unit;
pub use kpi::{Kpi, KpiName};
pub use models::ModelFacts;
pub(crate) use models::{DamagedVersion, ModelImportance, ModelPerformance, VersionSummary};
pub(super) use report::report;

use super::alerts::Alert;
use super::calibration::Calibration;
use super::dimension::SliceKey;
use super::drift::{CbpeEstimate, Finding};
use super::options::MonitorOptions;
use super::slices::WorstSlice;
use super::subgroups::Subgroup;
use crate::zones::ZoneRules;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// The report of a monitor at one moment. All intervals are of 90 %. It is serializable: the JSON has more than the fields
/// here (days, slices, accuracy, calibration, models, routing, ingestion).
///
/// Generations belong to the day on which they started; each is counted once, with what is known of it
/// now: revised feedback replaces the earlier one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[doc(alias = "MLAnalytics")]
pub struct Analytics {
    /// The moment.
    pub at: DateTime<Utc>,
    /// The first day that is counted; `None` where nothing was seen.
    pub(crate) from: Option<NaiveDate>,
    /// The last day that is counted.
    pub(crate) until: Option<NaiveDate>,
    /// The options of the monitor.
    pub(crate) options: MonitorOptions,
    /// The KPIs with their targets.
    pub kpis: Vec<Kpi>,
    /// The figures of all generations.
    pub(crate) total: Figures,
    /// The figures by day, the oldest first; days without a generation are left out.
    pub(crate) periods: Vec<Period>,
    /// The figures by slice: grouped by dimension, the largest first.
    pub(crate) slices: Vec<SliceFigures>,
    /// The models in production: how good they were in training, and how good they have been since.
    pub(crate) model_performance: Vec<ModelPerformance>,
    /// Accuracy of the predictions, measured against the observed outcomes.
    pub(crate) prediction_accuracy: PredictionAccuracy,
    /// Feature importance of the models in production.
    pub(crate) feature_importance: Vec<ModelImportance>,
    /// The registry's versions of each model, the newest first.
    pub(crate) versions: Vec<VersionSummary>,
    /// The registry's versions that are damaged and set aside.
    pub(crate) damaged_versions: Vec<DamagedVersion>,
    /// What tasks and generations are like.
    pub(crate) data_distribution: DataDistribution,
    /// Calibration of the predicted probabilities of success.
    pub(crate) calibration: Calibration,
    /// For whom predictions are worst.
    pub(crate) worst_slices: Vec<WorstSlice>,
    /// Drift findings, the newest first.
    pub drift: Vec<Finding>,
    /// How good predictions are likely to turn out whose feedback has not come yet.
    pub(crate) label_free: Option<CbpeEstimate>,
    /// Confirmed subgroups.
    #[serde(alias = "patterns")]
    pub subgroups: Vec<Subgroup>,
    /// Choices of the routing policies, by day and policy.
    pub(crate) routing: Vec<RoutingShare>,
    /// How much reaches the monitor.
    pub(crate) recording: Recording,
    /// The rules of time zones in use.
    pub(crate) zones: ZoneRules,
    /// Alerts that are open, the most severe first: put in by whoever checks them
    /// ([`Alerts::check`](super::Alerts::check)).
    pub alerts: Vec<Alert>,
}

/// A rate with its 90 % interval (Wilson 1927).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rate {
    /// The rate; `None` for n = 0.
    pub(crate) value: Option<f64>,
    /// Its interval; 0 to 1 for n = 0.
    pub(crate) interval: (f64, f64),
    /// How many of them.
    pub(crate) hits: u64,
    /// Of how many.
    pub(crate) n: u64,
}

/// A mean with its 90 % interval, in the unit of what it is the mean of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Average {
    /// The mean; `None` of nothing.
    pub(crate) value: Option<f64>,
    /// Its interval; `None` of fewer than two.
    pub(crate) interval: Option<(f64, f64)>,
    /// Of how many.
    pub(crate) n: u64,
}

/// Figures of some generations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Generations that started.
    pub(crate) generations: u64,
    /// Those that ended.
    pub(crate) completed: u64,
    /// Approved without modification, of the labelled ones.
    pub(crate) success: Rate,
    /// Approved in the end, of all of which that is known.
    pub(crate) approved: Rate,
    /// Starts that were another try at a task, of all starts.
    pub(crate) regenerations: Rate,
    /// Quality, 0 to 10.
    pub(crate) quality: Average,
    /// US dollars a generation.
    pub(crate) cost_usd: Average,
    /// US dollars in all.
    pub(crate) total_cost_usd: f64,
    /// US dollars for each success, where both are known.
    pub(crate) cost_per_success_usd: Option<f64>,
    /// Seconds a generation.
    pub(crate) seconds: Average,
    /// Tokens a generation.
    pub(crate) tokens: Average,
    /// Seconds from the start to the approval.
    pub(crate) seconds_to_approval: Average,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Period {
    /// The day, in UTC.
    pub(crate) day: NaiveDate,
    /// The figures of its generations.
    pub(crate) figures: Figures,
    /// How good the predictions of success were.
    pub(crate) success: Option<SuccessScores>,
    /// How good the predictions of numbers were.
    pub(crate) numbers: Vec<NumberScores>,
}

/// One slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SliceFigures {
    /// Which.
    pub(crate) slice: SliceKey,
    /// The figures of its generations.
    pub(crate) figures: Figures,
}

/// How often something was chosen on a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RoutingShare {
    /// The day, in UTC.
    pub(crate) day: NaiveDate,
    /// The policy and its version.
    pub(crate) policy: String,
    /// The chosen candidate.
    pub(crate) chosen: String,
    /// How often.
    pub(crate) n: u64,
    /// Of all choices of the policy on that day.
    pub(crate) share: f64,
    /// The mean probability with which it was chosen.
    pub(crate) propensity: f64,
}

/// How much of what happens reaches the monitor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Recording {
    /// Records taken in.
    pub(crate) records: u64,
    /// Recorded, of the generations that the host says it started
    /// ([`Monitor::host_started`](super::Monitor::host_started)); `None` where it says nothing.
    pub(crate) share: Option<Rate>,
    /// Generations of which an end or feedback came, but no start, or that only after they were forgotten.
    pub(crate) without_start: u64,
    /// Generations that are remembered because feedback may still come or change.
    pub(crate) remembered: u64,
    /// When the last start became known.
    pub(crate) last_start: Option<DateTime<Utc>>,
    /// When the last end became known.
    pub(crate) last_completion: Option<DateTime<Utc>>,
    /// When the last outcome became known.
    pub(crate) last_outcome: Option<DateTime<Utc>>,
    /// Generations that ended since then.
    pub(crate) ended_since_outcome: u64,
    /// Generations whose start is stamped ahead of the bulk of the records and of the reader's clock.
    pub(crate) ahead: u64,
    /// Starts and ends, since yesterday, that were recorded while their host's clock was not believed.
    pub(crate) clock_doubted: u64,
    /// Starts in the last 24 hours.
    pub(crate) last_day: u64,
    /// Starts that are usual in 24 hours ending at this weekday and hour: the median of the same ones
    /// of up to four weeks before; `None` in the first week.
    pub(crate) usual_day: Option<f64>,
}

impl Recording {
    /// Share of what is usual that came in the last 24 hours.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.usual_day.filter(|usual| *usual > 0.0).map(|usual| self.last_day as f64 / usual)
    }
}

impl Analytics {
    /// Returns a KPI.
    pub(crate) fn kpi(&self, name: KpiName) -> Option<&Kpi> {
        self.kpis.iter().find(|kpi| kpi.name == name)
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self::of(0, 0)
    }
}

impl Rate {
    /// Returns the rate of `hits` in `n`.
    pub(crate) fn of(hits: u64, n: u64) -> Self {
        let share = (n > 0).then(|| hits as f64 / n as f64);
        let interval = share.map_or((0.0, 1.0), |share| crate::ml::wilson(share, n as f64));
        Self { value: share, interval, hits, n }
    }
}
