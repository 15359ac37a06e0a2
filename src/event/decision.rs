//! What the host chose among what, and with which odds.

use super::check;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A choice with the odds with which it was made, without which no other policy can be judged
/// afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Decision {
    /// What could have been chosen.
    pub candidates: Vec<String>,
    /// What was chosen: one of the candidates.
    pub chosen: String,
    /// The probability with which the policy chose it, above 0 and at most 1.
    pub propensity: f64,
    /// The policy and its version.
    pub policy: String,
}

impl Decision {
    /// A decision of `policy` for `chosen` among `candidates`.
    ///
    /// # Errors
    /// `InvalidInput` when `chosen` is no candidate or `propensity` is not in (0, 1].
    pub fn new(
        policy: impl Into<String>,
        candidates: Vec<String>,
        chosen: impl Into<String>,
        propensity: f64,
    ) -> Result<Self> {
        let decision = Self { candidates, chosen: chosen.into(), propensity, policy: policy.into() };
        decision.validate().map(|()| decision)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if !self.candidates.contains(&self.chosen) {
            return Err(Error::invalid(format!(
                "decision.chosen {:?} is not among its {} candidates",
                self.chosen,
                self.candidates.len()
            )));
        }
        check::range("decision.propensity", Some(self.propensity), f64::MIN_POSITIVE, 1.0)
    }

    pub(crate) fn clean(&mut self) {
        self.candidates.iter_mut().for_each(check::clean_text);
        check::clean_text(&mut self.chosen);
        check::clean_text(&mut self.policy);
    }
}

/// A prediction that was shown before the generation, kept to be judged against what happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShownPrediction {
    /// What was predicted: `success`, …
    pub target: String,
    /// The value.
    pub value: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
    /// The status it carried.
    pub status: String,
    /// The version of the model, 0 for the prior.
    pub model_version: u64,
}

impl ShownPrediction {
    /// A shown prediction of `target`.
    pub fn new(
        target: impl Into<String>,
        value: f64,
        interval: (f64, f64),
        status: impl Into<String>,
        model_version: u64,
    ) -> Self {
        Self {
            target: target.into(),
            value,
            lower: interval.0,
            upper: interval.1,
            status: status.into(),
            model_version,
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        for (field, value) in [("value", self.value), ("lower", self.lower), ("upper", self.upper)] {
            check::range(&format!("predictions[{}].{field}", self.target), Some(value), f64::MIN, f64::MAX)?;
        }
        Ok(())
    }

    pub(crate) fn clean(&mut self) {
        check::clean_text(&mut self.target);
        check::clean_text(&mut self.status);
    }
}
