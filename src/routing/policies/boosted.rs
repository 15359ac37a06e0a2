//! The model in production as a policy: its predictions, as unsure as they say, and what was learned
//! since it was trained.

use super::linear_bandit::{LinearBandit, LinearPolicy};
use super::logistic_regression::MOST_VARIANCE;
use super::{Arm, ThompsonParams};
use crate::error::{Error, Result};
use crate::stats::logit;
use serde::{Deserialize, Serialize};

/// Thompson sampling from the boosted model's predictions and their intervals.
///
/// A prediction is trained at night on what all have in common; a Bayesian logistic regression on top
/// of it learns from each outcome what the prediction misses, and knows how little is known of what is
/// new. Where an arm comes without a prediction, the regression stands alone.
///
/// Each outcome is learned relative to the prediction that was shown with it. A model was trained on
/// the outcomes before it, so what the regression learned without a model moves out of the correction
/// when the first prediction appears, and a part of the correction when a newer version does: nothing
/// is added to a prediction that the prediction contains already. What moved out goes on to speak for
/// arms that come without a prediction. How sure the weights are stays: outcomes told it, with or
/// without a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Boosted {
    /// On top of a prediction: the correction. Without one: together with `alone`, the log-odds.
    bandit: LinearBandit<ThompsonParams>,
    /// By index of the weight, what was moved out of the correction.
    alone: Vec<f64>,
    /// The newest version of the model whose predictions have met outcomes.
    source: Option<u64>,
}

/// Share of the correction that a newer version of the model keeps: what one version misses
/// systematically, the next one trained alike misses too. Chosen, not tuned; to tune it on the simulated world:
/// `cargo run --release --example routing -- --seeds 5 --policies boosted --scenarios success`.
const CARRIED: f64 = 0.9;

/// Predictions are not believed beyond this, however sure they are.
const SUREST: f64 = 0.01;

impl Boosted {
    /// Creates a policy that has learned nothing beside the model yet.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub(crate) fn new(params: ThompsonParams) -> Result<Self> {
        Ok(Self { bandit: LinearBandit::new(params)?, ..Self::default() })
    }

    /// Share of the correction that the prediction of `arm` contains already.
    fn moved(&self, arm: &Arm) -> f64 {
        let source = arm.predicted.map(|_| arm.model_version);
        if source <= self.source {
            return 0.0;
        }
        if self.source.is_none() { 1.0 } else { 1.0 - CARRIED }
    }

    /// Moves out of the correction what a model that is newer than it has learned.
    fn follow(&mut self, arm: &Arm) {
        let moved = self.moved(arm);
        if moved == 0.0 {
            return;
        }
        self.source = Some(arm.model_version);
        self.alone.resize(self.bandit.regression.means().len(), 0.0);
        let means = self.bandit.regression.means_mut();
        for (alone, mean) in self.alone.iter_mut().zip(means) {
            *alone += moved * *mean;
            *mean *= 1.0 - moved;
        }
    }
}

/// The standard deviation of the prediction's log-odds: that of the 90 % interval.
fn doubt(arm: &Arm) -> f64 {
    arm.predicted
        .map_or(0.0, |posterior| (log_odds(posterior.high) - log_odds(posterior.low)).max(0.0) / 3.29)
}

fn log_odds(p: f64) -> f64 {
    logit(p.clamp(SUREST, 1.0 - SUREST))
}

impl LinearPolicy for Boosted {
    const NAME: &'static str = "boosted 3";
    type Exploration = ThompsonParams;

    fn bandit(&self) -> &LinearBandit<ThompsonParams> {
        &self.bandit
    }

    fn bandit_mut(&mut self) -> &mut LinearBandit<ThompsonParams> {
        &mut self.bandit
    }

    /// Returns the log-odds that the correction is added to. Of a model that is newer than the correction,
    /// less what will move out of the correction with its first outcome.
    fn offset(&self, arm: &Arm) -> f64 {
        let regression = &self.bandit.regression;
        let Some(predicted) = arm.predicted else { return regression.project(&self.alone, arm) };
        let moved = match self.moved(arm) {
            0.0 => 0.0,
            moved => moved * regression.project(regression.means(), arm),
        };
        log_odds(predicted.success) - moved
    }

    fn offset_variance(&self, arm: &Arm) -> f64 {
        doubt(arm).powi(2)
    }

    fn prepare(&mut self, arm: &Arm) {
        self.follow(arm);
    }

    fn check(&self) -> Result<()> {
        let fits = self.alone.len() <= self.bandit.regression.means().len();
        if fits && self.alone.iter().all(|weight| weight.abs() <= MOST_VARIANCE) {
            return Ok(());
        }
        Err(Error::corrupt("the policy's weights do not fit together"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, Posterior};
    use super::*;

    fn arm(predicted: Option<f64>, model_version: u64) -> Arm {
        let predicted = predicted.map(|p| Posterior::new(p, (p - 0.05, p + 0.05)));
        Arm { features: vec![(1, 1.0), (2, 0.7)], predicted, model_version, ..Arm::default() }
    }

    fn teach(policy: &mut Boosted, arm: &Arm, count: u32) {
        // Four in five.
        (0..count).for_each(|i| policy.learn(arm, i % 5 != 0));
    }

    fn success(policy: &Boosted, arm: &Arm) -> f64 {
        policy.posteriors(std::slice::from_ref(arm))[0].success
    }

    #[test]
    fn outcomes_before_the_first_model_are_not_counted_twice() {
        let mut policy = Boosted::default();
        teach(&mut policy, &arm(None, 0), 400);
        let alone = success(&policy, &arm(None, 0));
        assert!((alone - 0.8).abs() < 0.03, "{alone}");
        // A model that was trained on the same outcomes appears.
        assert!((success(&policy, &arm(Some(0.8), 1)) - 0.8).abs() < 0.01);
        teach(&mut policy, &arm(Some(0.8), 1), 50);
        assert!((success(&policy, &arm(Some(0.8), 1)) - 0.8).abs() < 0.02);
        // Outcomes that were shown without a model, and came late, tell nothing new.
        teach(&mut policy, &arm(None, 0), 50);
        assert!((success(&policy, &arm(Some(0.8), 1)) - 0.8).abs() < 0.02);
        assert!((success(&policy, &arm(None, 0)) - 0.8).abs() < 0.03);
    }

    #[test]
    fn a_newer_version_keeps_most_of_the_correction() {
        let mut policy = Boosted::default();
        teach(&mut policy, &arm(Some(0.5), 1), 400);
        let old = success(&policy, &arm(Some(0.5), 1));
        let new = success(&policy, &arm(Some(0.5), 2));
        assert!((old - 0.8).abs() < 0.03 && new < old && new > 0.75, "{old} {new}");
        // Its first outcome moves that much out and changes no belief beside what it tells itself.
        let mut followed = policy.clone();
        followed.follow(&arm(Some(0.5), 2));
        for arm in [arm(Some(0.5), 2), arm(None, 0)] {
            assert!((success(&followed, &arm) - success(&policy, &arm)).abs() < 1e-12);
        }
    }

    #[test]
    fn weights_that_do_not_fit_are_refused() {
        let mut policy = Boosted::default();
        teach(&mut policy, &arm(None, 0), 3);
        let mut damaged = policy.clone();
        damaged.alone = vec![0.0; 3];
        assert!(policy.restore(&damaged.save().unwrap()).is_err());
        damaged.alone = vec![f64::NAN];
        assert!(policy.restore(&damaged.save().unwrap()).is_err());
    }
}
