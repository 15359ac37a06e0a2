//! The model in production as a policy: its predictions, as unsure as they say, and what was learned
//! since it was trained.

use super::online::{Margins, Online};
use super::{Arm, Objective, Policy, Posterior, TaskOutcome, ThompsonParams, load, store, verified};
use crate::error::Result;
use crate::stats::logit;
use serde::{Deserialize, Serialize};

/// Thompson sampling from the boosted model's predictions and their intervals.
///
/// A prediction is trained at night on what all have in common; a Bayesian logistic regression on top
/// of it learns from each outcome what the prediction misses, and knows how little is known of what is
/// new. Where an arm comes without a prediction, the regression stands alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boosted {
    #[serde(deserialize_with = "verified")]
    params: ThompsonParams,
    #[serde(deserialize_with = "verified")]
    model: Online,
}

/// Predictions are not believed beyond this, however sure they are.
const SUREST: f64 = 0.01;

impl Default for Boosted {
    fn default() -> Self {
        let params = ThompsonParams::default();
        Self { model: Online::new(params.online.clone()), params }
    }
}

impl Boosted {
    /// A policy that has learned nothing beside the model yet.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub fn new(params: ThompsonParams) -> Result<Self> {
        super::Thompson::new(params.clone())?;
        Ok(Self { model: Online::new(params.online.clone()), params })
    }

    fn margins(&self, arms: &[Arm]) -> Margins {
        let mut margins = self.model.margins(arms, offset);
        for (at, arm) in arms.iter().enumerate() {
            margins.covariance[at][at] += doubt(arm).powi(2);
        }
        margins
    }
}

fn offset(arm: &Arm) -> f64 {
    arm.predicted.map_or(0.0, |posterior| log_odds(posterior.success))
}

/// The standard deviation of the prediction's log-odds: that of the 90 % interval.
fn doubt(arm: &Arm) -> f64 {
    arm.predicted
        .map_or(0.0, |posterior| (log_odds(posterior.high) - log_odds(posterior.low)).max(0.0) / 3.29)
}

fn log_odds(p: f64) -> f64 {
    logit(p.clamp(SUREST, 1.0 - SUREST))
}

impl Policy for Boosted {
    fn name(&self) -> &'static str {
        "boosted 2"
    }

    fn propensities(&self, arms: &[Arm], objective: &Objective, seed: u64) -> Vec<f64> {
        self.params.propensities(self.margins(arms), self.model.outcomes(), (arms, objective), seed)
    }

    fn posteriors(&self, arms: &[Arm]) -> Vec<Posterior> {
        self.margins(arms).posteriors()
    }

    fn beats(&self, pair: &[Arm; 2], objective: &Objective, seed: u64) -> f64 {
        self.margins(pair).shares_best(pair, objective, super::COMPARISONS, seed)[0]
    }

    fn learn(&mut self, arm: &Arm, outcome: &TaskOutcome) {
        self.model.learn(arm, offset(arm), outcome.success);
    }

    fn save(&self) -> Result<Vec<u8>> {
        store(self)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        *self = load(bytes)?;
        Ok(())
    }
}
