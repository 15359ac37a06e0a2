//! What the monitor has seen, put together: typed, serialisable, ready to be shown.

mod accuracy;
mod distribution;
mod kpi;
mod models;
mod report;

pub use accuracy::{NumberScores, PredictionAccuracy, SliceAccuracy, SuccessScores};
pub use distribution::{CategoryDistribution, CategoryShare, DataDistribution, NumberDistribution};
pub use kpi::{Kpi, KpiName};
pub use models::{ModelFacts, ModelImportance, ModelPerformance, VersionSummary};
pub(super) use report::report;

use super::alerts::Alert;
use super::calibration::Calibration;
use super::dimension::{Dimension, SliceKey};
use super::drift::{CbpeEstimate, Finding};
use super::options::MonitorOptions;
use super::slices::WorstSlice;
use super::subgroups::Subgroup;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Everything that there is to see, as of one moment. All intervals are of 90 %.
///
/// Generations belong to the day on which they started; each is counted once, with what is known of it
/// now: a revised feedback has taken the place of the earlier one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Analytics {
    /// The moment.
    pub at: DateTime<Utc>,
    /// The first day that is counted; `None` where nothing was seen.
    pub from: Option<NaiveDate>,
    /// The last day that is counted.
    pub until: Option<NaiveDate>,
    /// What the monitor looks for, and over how many days.
    pub options: MonitorOptions,
    /// The figures to steer by, each beside its target.
    pub kpis: Vec<Kpi>,
    /// What came of all generations together.
    pub total: Figures,
    /// The same by day, the oldest first; days without a generation are left out.
    pub periods: Vec<Period>,
    /// The same by slice: by dimension, the largest first.
    pub slices: Vec<SliceFigures>,
    /// The models in production: how good they were in training, and how good they have been since.
    pub model_performance: Vec<ModelPerformance>,
    /// What was predicted before, against what happened.
    pub prediction_accuracy: PredictionAccuracy,
    /// What the models in production look at.
    pub feature_importance: Vec<ModelImportance>,
    /// The registry's versions of each model, the newest first.
    pub versions: Vec<VersionSummary>,
    /// What tasks and generations are like.
    pub data_distribution: DataDistribution,
    /// Whether what was said to happen 7 times in 10 did.
    pub calibration: Calibration,
    /// For whom predictions are worst.
    pub worst_slices: Vec<WorstSlice>,
    /// What has changed, the newest first.
    pub drift: Vec<Finding>,
    /// How good predictions are likely to turn out whose feedback has not come yet.
    pub label_free: Option<CbpeEstimate>,
    /// Combinations that do better or worse than expected.
    #[serde(alias = "patterns")]
    pub subgroups: Vec<Subgroup>,
    /// What was chosen, by day and policy.
    pub routing: Vec<RoutingShare>,
    /// How much reaches the monitor.
    pub recording: Recording,
    /// Alerts that are open, the most severe first: put in by whoever checks them
    /// ([`Alerts::check`](super::Alerts::check)).
    pub alerts: Vec<Alert>,
}

/// A share of `n` with its 90 % interval (Wilson 1927).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rate {
    /// The share; `None` of nothing.
    pub value: Option<f64>,
    /// Its interval, 0 to 1 of nothing.
    pub interval: (f64, f64),
    /// How many of them.
    pub hits: u64,
    /// Of how many.
    pub n: u64,
}

/// A mean with its 90 % interval, in the unit of what it is the mean of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Average {
    /// The mean; `None` of nothing.
    pub value: Option<f64>,
    /// Its interval; `None` of fewer than two.
    pub interval: Option<(f64, f64)>,
    /// Of how many.
    pub n: u64,
}

/// What came of some generations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Figures {
    /// Generations that started.
    pub generations: u64,
    /// Those that ended.
    pub completed: u64,
    /// Those with an outcome: approved without modification, of all that were judged.
    pub success: Rate,
    /// Approved in the end, of all of which that is known.
    pub approved: Rate,
    /// Starts that were another try at a task, of all starts.
    pub regenerations: Rate,
    /// Quality, 0 to 10.
    pub quality: Average,
    /// US dollars a generation.
    pub cost_usd: Average,
    /// US dollars in all.
    pub total_cost_usd: f64,
    /// US dollars for each success, where both are known.
    pub cost_per_success_usd: Option<f64>,
    /// Seconds a generation.
    pub seconds: Average,
    /// Tokens a generation.
    pub tokens: Average,
    /// Seconds from the start to the approval.
    pub seconds_to_approval: Average,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Period {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// What came of its generations.
    pub figures: Figures,
    /// How good the predictions of success were.
    pub success: Option<SuccessScores>,
    /// How good the predictions of numbers were.
    pub numbers: Vec<NumberScores>,
}

/// One slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SliceFigures {
    /// Which.
    pub slice: SliceKey,
    /// What came of its generations.
    pub figures: Figures,
}

/// How often something was chosen on a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoutingShare {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// The policy and its version.
    pub policy: String,
    /// What was chosen.
    pub chosen: String,
    /// How often.
    pub n: u64,
    /// Of all choices of the policy on that day.
    pub share: f64,
    /// The mean probability with which it was chosen.
    pub propensity: f64,
}

/// How much of what happens reaches the monitor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Recording {
    /// Records taken in.
    pub records: u64,
    /// Recorded, of the generations that the host says it started
    /// ([`Monitor::host_started`](super::Monitor::host_started)); `None` where it says nothing.
    pub share: Option<Rate>,
    /// Generations of which an end or feedback came, but no start, or that only after they were forgotten.
    pub without_start: u64,
    /// Generations that are remembered because feedback may still come or change.
    pub remembered: u64,
    /// When the last start became known.
    pub last_start: Option<DateTime<Utc>>,
    /// When the last end became known.
    pub last_completion: Option<DateTime<Utc>>,
    /// When the last outcome became known.
    pub last_outcome: Option<DateTime<Utc>>,
    /// Generations that ended since then.
    pub ended_since_outcome: u64,
    /// Starts in the last 24 hours.
    pub last_day: u64,
    /// Starts that are usual in 24 hours ending at this weekday and hour: the median of the same ones
    /// of up to four weeks before; `None` in the first week.
    pub usual_day: Option<f64>,
}

impl Recording {
    /// Share of what is usual that came in the last 24 hours.
    pub fn rate(&self) -> Option<f64> {
        self.usual_day.filter(|usual| *usual > 0.0).map(|usual| self.last_day as f64 / usual)
    }
}

impl Analytics {
    /// One of the figures to steer by.
    pub fn kpi(&self, name: KpiName) -> Option<&Kpi> {
        self.kpis.iter().find(|kpi| kpi.name == name)
    }

    /// The figures of one slice.
    pub fn slice(&self, dimension: Dimension, value: &str) -> Option<&Figures> {
        let found = |of: &&SliceFigures| of.slice.dimension == dimension && of.slice.value == value;
        self.slices.iter().find(found).map(|slice| &slice.figures)
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self::of(0, 0)
    }
}

impl Rate {
    /// `hits` of `n`.
    pub fn of(hits: u64, n: u64) -> Self {
        let share = (n > 0).then(|| hits as f64 / n as f64);
        let interval = share.map_or((0.0, 1.0), |share| crate::ml::wilson(share, n as f64));
        Self { value: share, interval, hits, n }
    }
}
