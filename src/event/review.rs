//! Requests for review by a person.

use super::check;
use super::decision::SMALLEST_PROPENSITY;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Request for a review, or its absence, with the propensity: without it nobody can tell
/// afterwards whose outcomes are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReviewRequest {
    /// `true` if a person was asked.
    #[serde(alias = "asked")]
    pub requested: bool,
    /// Probability of asking, 0 to 1; above 0 where a person was asked.
    #[serde(alias = "od\u{64}s")]
    pub propensity: f64,
    /// Why, in a sentence; empty where there is nothing to say.
    #[serde(default)]
    pub why: String,
}

impl ReviewRequest {
    /// Creates a request, or its absence, drawn with `propensity`.
    ///
    /// # Errors
    /// `InvalidInput` when `propensity` is not in [0, 1], or 0 where one was asked.
    pub(crate) fn new(requested: bool, propensity: f64, why: impl Into<String>) -> Result<Self> {
        let request = Self { requested, propensity, why: why.into() };
        request.admit().map(|()| request)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let least = if self.requested { f64::MIN_POSITIVE } else { 0.0 };
        check::range("review_request.propensity", Some(self.propensity), least, 1.0)
    }

    /// Refuses what earlier releases stored: a propensity too small to divide by.
    pub(crate) fn admit(&self) -> Result<()> {
        let least = if self.requested { SMALLEST_PROPENSITY } else { 0.0 };
        check::range("review_request.propensity", Some(self.propensity), least, 1.0)
    }

    pub(crate) fn clean(&mut self) {
        check::clean_text(&mut self.why);
    }
}
