//! The request to a router.

use super::candidates::Candidate;
use crate::error::{Error, Result};
use crate::event::TaskContext;
use crate::serving::CandidatePrediction;
use crate::text::TextFacts;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// A task with its candidates.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The task.
    pub task: &'a TaskContext,
    /// The candidates, 1,000 at most, with distinct names.
    pub candidates: &'a [Candidate],
    /// The time of the request.
    pub now: DateTime<Utc>,
    /// The predictions for each candidate, in their order; `None` without predictions.
    pub(crate) predictions: Option<&'a [CandidatePrediction]>,
    /// The candidate that is chosen where the router abstains.
    pub default: Option<&'a str>,
    /// True if the task is critical; critical tasks are never used for exploration.
    pub critical: bool,
    /// The description's facts, where it was read already.
    pub(super) text: Option<&'a TextFacts>,
}

/// Candidates at most: their covariance takes the square.
const MOST_CANDIDATES: usize = 1_000;

impl<'a> Request<'a> {
    /// Creates a request.
    pub fn new(task: &'a TaskContext, candidates: &'a [Candidate], now: DateTime<Utc>) -> Self {
        Self { task, candidates, now, predictions: None, default: None, critical: false, text: None }
    }

    /// Sets the facts of the task's description.
    pub(crate) fn with_text(self, text: &'a TextFacts) -> Self {
        Self { text: Some(text), ..self }
    }

    /// Sets the predictions for each candidate.
    pub(crate) fn with_predictions(self, predictions: &'a [CandidatePrediction]) -> Self {
        Self { predictions: Some(predictions), ..self }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        self.task.validate()?;
        self.candidates.iter().try_for_each(Candidate::validate)?;
        if self.candidates.is_empty() {
            return Err(Error::invalid("there are no candidates to choose among: give at least one"));
        }
        if self.candidates.len() > MOST_CANDIDATES {
            let n = self.candidates.len();
            return Err(Error::invalid(format!(
                "there are {n} candidates, expected at most {MOST_CANDIDATES}: leave some out"
            )));
        }
        let names: BTreeSet<_> = self.candidates.iter().map(|candidate| &candidate.name).collect();
        if names.len() < self.candidates.len() {
            return Err(Error::invalid("two candidates have the same name: give each its own"));
        }
        if self.predictions.is_some_and(|all| all.len() != self.candidates.len()) {
            return Err(Error::invalid("there must be predictions for each candidate, or none at all"));
        }
        match self.default {
            Some(name) if !self.candidates.iter().any(|candidate| candidate.name == name) => {
                Err(Error::invalid(format!("the default {name:?} is not among the candidates")))
            }
            _ => Ok(()),
        }
    }
}
