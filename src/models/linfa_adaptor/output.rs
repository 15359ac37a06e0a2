//! From an estimator's numbers to predictions.

use crate::dataset::{Example, Target};
use crate::error::{Error, Result};
use crate::ml::{Calibrator, ResidualConformal, choose_calibrator};
use crate::models::LEVELS;
use crate::stats::logit;
use serde::{Deserialize, Serialize};

/// What held-out rows say of an estimator's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Output {
    /// The numbers are probabilities.
    probabilities: bool,
    calibrator: Calibrator,
    residuals: Option<ResidualConformal>,
}

/// Probabilities beyond are taken for these.
const LEAST: f64 = 1e-6;

/// Blocks, each predicted from those before it, on which a calibration is chosen.
const FOLDS: usize = 4;

impl Default for Output {
    /// Nothing was held out: numbers are what they say.
    fn default() -> Self {
        Self { probabilities: true, calibrator: Calibrator::Identity, residuals: None }
    }
}

impl Output {
    /// Learns from the estimator's `scores` of held-out `rows`, in the order of time.
    pub(super) fn fit(target: Target, scores: &[f64], rows: &[Example]) -> Result<Self> {
        let weights: Vec<_> = rows.iter().map(|e| e.weight).collect();
        if target.is_binary() {
            let probabilities = scores.iter().all(|score| (0.0..=1.0).contains(score));
            let margins: Vec<_> = scores.iter().map(|score| margin(*score, probabilities)).collect();
            let labels: Vec<_> = rows.iter().map(|e| e.label >= 0.5).collect();
            let calibrator = choose_calibrator(&margins, &labels, &weights, FOLDS)?.calibrator;
            return Ok(Self { probabilities, calibrator, residuals: None });
        }
        let labels: Vec<_> = rows.iter().map(|e| e.label).collect();
        let ones = vec![1.0; rows.len()];
        let points: Vec<_> = scores.iter().map(|score| within(target, *score)).collect();
        let residuals = ResidualConformal::fit(&LEVELS, &points, &ones, &labels, &ones)?;
        Ok(Self { residuals: Some(residuals), ..Self::default() })
    }

    /// Returns the prediction of a row that the estimator gives `score`.
    pub(super) fn point(&self, target: Target, score: f64) -> f64 {
        if target.is_binary() {
            // What was never held out may be no probability.
            let probability = self.probabilities && (0.0..=1.0).contains(&score);
            return self.calibrator.probability(margin(score, probability));
        }
        within(target, score)
    }

    /// Returns the intervals of a number at `levels`.
    pub(super) fn intervals(&self, target: Target, point: f64, levels: [f64; 2]) -> Option<[(f64, f64); 2]> {
        let found = self.residuals.as_ref()?.intervals_at(point, 1.0, &levels);
        let ends = |i: usize| {
            found.get(i).map(|interval| (within(target, interval.lower), within(target, interval.upper)))
        };
        Some([ends(0)?, ends(1)?])
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.calibrator.is_sound() && self.residuals.as_ref().is_none_or(ResidualConformal::is_sound) {
            return Ok(());
        }
        Err(Error::corrupt("the calibration of the model is out of range"))
    }
}

/// The least and the largest number that a target may have.
pub(super) fn range(target: Target) -> (f64, f64) {
    match target {
        Target::Success => (0.0, 1.0),
        Target::Complexity | Target::Quality => (0.0, 10.0),
        _ => (0.0, f64::MAX),
    }
}

fn within(target: Target, value: f64) -> f64 {
    let (least, largest) = range(target);
    value.clamp(least, largest)
}

fn margin(score: f64, probability: bool) -> f64 {
    if probability { logit(score.clamp(LEAST, 1.0 - LEAST)) } else { score }
}
