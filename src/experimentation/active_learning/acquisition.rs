//! The acquisition function: how informative the label of a generation would be.

use crate::error::{Error, Result};
use crate::features::{FeatureRow, index_of};
use crate::models::SuccessPrediction;
use serde::{Deserialize, Serialize};

/// Signals of the acquisition function. All of them are known before the label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AcquisitionSignals {
    /// Uncertainty of the outcome, 0 to 1: 4 p (1 - p).
    pub uncertainty: f64,
    /// Width of the Venn-Abers pair, else of the interval, 0 to 1.
    pub disagreement: f64,
    /// Scarcity of similar labels, 0 to 1: 1 / (1 + outcomes / 10) of the agent in this project and with this LLM,
    /// whichever has fewer.
    pub novelty: f64,
    /// Recent drift, 0 to 1: the recent success rate of the agent minus that of all time, absolute.
    pub drift: f64,
}

/// Weights of the acquisition signals.
///
/// The defaults were compared with random sampling by `DEVMATRIX_SEEDS=20 cargo test --release --test active_learning`;
/// novelty dominates, because labels of well-known kinds add little.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AcquisitionWeights {
    /// Of [`AcquisitionSignals::uncertainty`]. Where outcomes are noisy it is little informative: a
    /// probability of one half may be known exactly.
    pub uncertainty: f64,
    /// Of [`AcquisitionSignals::disagreement`].
    pub disagreement: f64,
    /// Of [`AcquisitionSignals::novelty`].
    pub novelty: f64,
    /// Of [`AcquisitionSignals::drift`].
    pub drift: f64,
}

impl Default for AcquisitionWeights {
    fn default() -> Self {
        Self { uncertainty: 0.25, disagreement: 0.25, novelty: 1.0, drift: 0.5 }
    }
}

/// Outcomes after which a label is half as informative as the first.
const HALF: f64 = 10.0;

impl AcquisitionSignals {
    /// Computes the signals of a task from its features and its prediction.
    pub fn of(prediction: &SuccessPrediction, row: &FeatureRow) -> Self {
        let value = |name: &str| {
            let value = index_of(name).and_then(|index| row.values.get(index)).copied();
            value.map(f64::from).filter(|v| v.is_finite())
        };
        let p = prediction.success_probability;
        let (low, high) = prediction.venn_abers.unwrap_or(prediction.interval);
        let novelty = |name: &str| value(name).map_or(1.0, |n| 1.0 / (1.0 + n.max(0.0) / HALF));
        let (recent, ever) = (value("agent_recent_success_rate"), value("agent_past_performance"));
        let signals = Self {
            uncertainty: 4.0 * p * (1.0 - p),
            disagreement: high - low,
            novelty: novelty("project_agent_outcomes").max(novelty("agent_model_outcomes")),
            drift: recent.zip(ever).map_or(0.0, |(recent, ever)| (recent - ever).abs()),
        };
        signals.bounded()
    }

    /// Returns the weighted sum of the signals.
    pub(super) fn value(&self, weights: &AcquisitionWeights) -> f64 {
        self.parts(weights).map(|(part, _)| part).into_iter().sum()
    }

    /// Returns the dominant signal, in words.
    pub(super) fn reason(&self, weights: &AcquisitionWeights) -> &'static str {
        let best = self.parts(weights).into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or("", |(_, reason)| reason)
    }

    /// Checks every range.
    pub(super) fn validate(&self) -> Result<()> {
        if *self == self.bounded() {
            return Ok(());
        }
        Err(Error::invalid(format!("acquisition signals must be 0 to 1: {self:?}")))
    }

    fn parts(&self, weights: &AcquisitionWeights) -> [(f64, &'static str); 4] {
        [
            (weights.novelty * self.novelty, "few similar labels"),
            (weights.disagreement * self.disagreement, "uncertain probability"),
            (weights.drift * self.drift, "recent drift"),
            (weights.uncertainty * self.uncertainty, "uncertain outcome"),
        ]
    }

    fn bounded(&self) -> Self {
        let bound = |v: f64| v.clamp(0.0, 1.0);
        Self {
            uncertainty: bound(self.uncertainty),
            disagreement: bound(self.disagreement),
            novelty: bound(self.novelty),
            drift: bound(self.drift),
        }
    }
}

impl AcquisitionWeights {
    pub(super) fn validate(&self) -> Result<()> {
        let named = [
            ("uncertainty", self.uncertainty),
            ("disagreement", self.disagreement),
            ("novelty", self.novelty),
            ("drift", self.drift),
        ];
        match named.into_iter().find(|(_, v)| !(0.0..=1e6).contains(v)) {
            Some((name, v)) => Err(Error::invalid(format!("weights.{name} is {v}, expected 0 to 1e6"))),
            None => Ok(()),
        }
    }
}
