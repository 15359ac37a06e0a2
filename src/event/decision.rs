//! A choice among candidates, with its propensity.

use super::check;
use super::given;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// A choice with its propensity, without which no other policy can be evaluated
/// afterwards, and what is needed to make it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Decision {
    /// Everything that could have been chosen.
    pub candidates: Vec<String>,
    /// The chosen candidate.
    pub chosen: String,
    /// The probability with which the policy chose it, 1e-12 to 1.
    pub propensity: f64,
    /// The policy and its version.
    pub policy: String,
    /// The probability of each candidate, in their order: together 1. Empty where only that of the
    /// chosen one is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(alias = "od\u{64}s")]
    pub propensities: Vec<f64>,
    /// Fingerprint of all that the policy looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inputs: Option<String>,
    /// The versions of the models whose predictions it looked at, by their names; 0 for a prior.
    #[serde(default, deserialize_with = "given::wholes", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) versions: BTreeMap<String, u64>,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The family that the host gave to the LLM chosen, where its name does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// US dollars for a thousand tokens of the chosen candidate, where it has a price of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_1k_tokens: Option<f64>,
    /// US dollars that were expected of the try, where there was a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expected_usd: Option<f64>,
    /// US dollars that the budget reserved until the try has ended: an upper bound of what was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reserved_usd: Option<f64>,
    /// Fingerprint of what a session's draw depends on: the objective, the price of the chosen one, whether anything is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) terms: Option<String>,
    /// Unit of the draw where it holds for more than this generation: a session. All
    /// decisions of one unit come from one draw, so they are one observation of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// `true` if it repeats the unit's earlier draw; all propensities are those of that draw.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}

/// Smaller propensities are refused: the inverse of one would outweigh all others together.
pub(crate) const SMALLEST_PROPENSITY: f64 = 1e-12;

/// Propensities may miss a sum of 1 by this much: they are rounded numbers.
const SUM_TOLERANCE: f64 = 1e-6;

impl Decision {
    /// Creates a decision of `policy` for `chosen` among `candidates`.
    ///
    /// # Errors
    /// `InvalidInput` when `chosen` is no candidate, two candidates have one name, or `propensity` is not from 1e-12 to 1.
    pub fn new(
        policy: impl Into<String>,
        candidates: Vec<String>,
        chosen: impl Into<String>,
        propensity: f64,
    ) -> Result<Self> {
        let decision = Self::bare(policy.into(), candidates, chosen.into(), propensity);
        decision.verify().map(|()| decision)
    }

    /// Creates a decision of `policy` that drew the candidate at `chosen` with these `propensities`, one a
    /// candidate.
    ///
    /// ```
    /// use devmatrix_ml::event::Decision;
    /// let names = vec!["sonnet".into(), "mini".into()];
    /// let decision = Decision::drawn("thompson 2", names, vec![0.75, 0.25], 1)?;
    /// assert_eq!((decision.chosen.as_str(), decision.propensity), ("mini", 0.25));
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` when there is no candidate at `chosen`, its propensity is below 1e-12, two candidates have one name, or
    /// the propensities are not one a candidate from 0 to 1 that add up to 1.
    pub fn drawn(
        policy: impl Into<String>,
        candidates: Vec<String>,
        propensities: Vec<f64>,
        chosen: usize,
    ) -> Result<Self> {
        let (Some(name), Some(propensity)) =
            (candidates.get(chosen).cloned(), propensities.get(chosen).copied())
        else {
            return Err(Error::invalid(format!(
                "decision.chosen is number {chosen} of {} candidates with {} propensities",
                candidates.len(),
                propensities.len()
            )));
        };
        let decision = Self { propensities, ..Self::bare(policy.into(), candidates, name, propensity) };
        decision.verify().map(|()| decision)
    }

    fn bare(policy: String, candidates: Vec<String>, chosen: String, propensity: f64) -> Self {
        Self {
            candidates,
            chosen,
            propensity,
            policy,
            propensities: Vec::new(),
            inputs: None,
            versions: BTreeMap::new(),
            reason: None,
            family: None,
            usd_per_1k_tokens: None,
            expected_usd: None,
            reserved_usd: None,
            terms: None,
            unit: None,
            repeated: false,
        }
    }

    /// Refuses what no policy can be evaluated on: a decision out of range, or one that [`admit`](Self::admit) refuses.
    pub(crate) fn verify(&self) -> Result<()> {
        self.validate()?;
        self.admit()
    }

    /// Refuses what earlier releases stored: a propensity too small to divide by, and candidates that share a name.
    pub(crate) fn admit(&self) -> Result<()> {
        if !(SMALLEST_PROPENSITY..=1.0).contains(&self.propensity) {
            return Err(Error::invalid(format!(
                "decision.propensity is {:?}, expected {SMALLEST_PROPENSITY:e} to 1: store the probability with which the \
                 candidate was drawn, or no decision",
                self.propensity
            )));
        }
        let mut names = HashSet::with_capacity(self.candidates.len());
        match self.candidates.iter().find(|name| !names.insert(name.as_str())) {
            Some(name) => Err(Error::invalid(format!(
                "decision.candidates has {name:?} twice: give each candidate its own name"
            ))),
            None => Ok(()),
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        check::range("decision.usd_per_1k_tokens", self.usd_per_1k_tokens, 0.0, 1e6)?;
        check::range("decision.expected_usd", self.expected_usd, 0.0, 1e15)?;
        check::range("decision.reserved_usd", self.reserved_usd, 0.0, 1e15)?;
        if !self.candidates.contains(&self.chosen) {
            return Err(Error::invalid(format!(
                "decision.chosen {:?} is not among its {} candidates",
                self.chosen,
                self.candidates.len()
            )));
        }
        check::range("decision.propensity", Some(self.propensity), f64::MIN_POSITIVE, 1.0)?;
        if self.propensities.is_empty() { Ok(()) } else { self.validate_propensities() }
    }

    fn validate_propensities(&self) -> Result<()> {
        if self.propensities.len() != self.candidates.len() {
            return Err(Error::invalid(format!(
                "decision.propensities has {} values for {} candidates",
                self.propensities.len(),
                self.candidates.len()
            )));
        }
        self.propensities
            .iter()
            .try_for_each(|p| check::range("decision.propensities", Some(*p), 0.0, 1.0))?;
        let sum: f64 = self.propensities.iter().sum();
        check::range(
            "the sum of decision.propensities",
            Some(sum),
            1.0 - SUM_TOLERANCE,
            1.0 + SUM_TOLERANCE,
        )?;
        let mut named =
            self.candidates.iter().zip(&self.propensities).filter(|(name, _)| **name == self.chosen);
        if named.any(|(_, p)| (p - self.propensity).abs() <= SUM_TOLERANCE * self.propensity) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "decision.propensity is {}, decision.propensities has another value for {:?}",
            self.propensity, self.chosen
        )))
    }

    pub(crate) fn clean(&mut self) {
        self.candidates.iter_mut().for_each(check::clean_text);
        check::clean_text(&mut self.chosen);
        check::clean_text(&mut self.policy);
        [&mut self.inputs, &mut self.reason, &mut self.family, &mut self.unit, &mut self.terms]
            .into_iter()
            .for_each(check::clean_option);
        if self.versions.keys().any(|name| name.contains('\0')) {
            let versions = std::mem::take(&mut self.versions);
            self.versions = versions.into_iter().map(|(k, v)| (k.replace('\0', "\u{FFFD}"), v)).collect();
        }
    }
}

/// A prediction that was shown before the generation, kept to be evaluated against the outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShownPrediction {
    /// Target of the prediction: `success`, …
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
    #[serde(deserialize_with = "given::one_whole")]
    pub model_version: u64,
}

impl ShownPrediction {
    /// Creates a shown prediction of `target`.
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
