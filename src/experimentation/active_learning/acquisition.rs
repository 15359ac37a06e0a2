//! How much the judgement of a generation would teach.

use crate::error::{Error, Result};
use crate::features::{FeatureRow, index_of};
use crate::models::SuccessPrediction;
use serde::{Deserialize, Serialize};

/// What makes a judgement worth having. All of it is known before the generation is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AcquisitionSignals {
    /// How open the outcome is, 0 to 1: 4 p (1 - p).
    pub uncertainty: f64,
    /// How far apart two answers are of which one is right, 0 to 1.
    pub disagreement: f64,
    /// How little is known of its like, 0 to 1: 1 / (1 + outcomes / 10) of the agent in this project
    /// and with this LLM, whichever is less.
    pub novelty: f64,
    /// How much its like has changed of late, 0 to 1: the recent success rate of the agent against that
    /// of all time.
    pub drift: f64,
}

/// How much each signal counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AcquisitionWeights {
    /// Of [`AcquisitionSignals::uncertainty`]. Where outcomes are noisy it teaches little: an even chance may
    /// be known exactly.
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

/// Of so many outcomes the next one adds half as much as the first.
const HALF: f64 = 10.0;

impl AcquisitionSignals {
    /// The signals of a task from its features and what was predicted of it.
    pub fn of(prediction: &SuccessPrediction, row: &FeatureRow) -> Self {
        let value = |name: &str| {
            let value = index_of(name).and_then(|place| row.values.get(place)).copied();
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

    /// What a judgement is worth by these weights.
    pub fn value(&self, weights: &AcquisitionWeights) -> f64 {
        self.parts(weights).map(|(part, _)| part).into_iter().sum()
    }

    /// The signal that counts most, in words.
    pub(super) fn why(&self, weights: &AcquisitionWeights) -> &'static str {
        let best = self.parts(weights).into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or("", |(_, why)| why)
    }

    /// Refuses what is no signal.
    pub(super) fn verify(&self) -> Result<()> {
        if *self == self.bounded() {
            return Ok(());
        }
        Err(Error::invalid(format!("review signals must be 0 to 1: {self:?}")))
    }

    fn parts(&self, weights: &AcquisitionWeights) -> [(f64, &'static str); 4] {
        [
            (weights.novelty * self.novelty, "little is known of its like"),
            (weights.disagreement * self.disagreement, "what is known does not agree"),
            (weights.drift * self.drift, "its like has changed of late"),
            (weights.uncertainty * self.uncertainty, "it may go either way"),
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
    pub(super) fn verify(&self) -> Result<()> {
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
