//! What is asked of a router.

use super::candidates::Candidate;
use crate::error::{Error, Result};
use crate::event::TaskContext;
use crate::serving::CandidatePrediction;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// A task with the ways to do it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The task.
    pub task: &'a TaskContext,
    /// The ways, 1,000 at most, each with a name of its own.
    pub candidates: &'a [Candidate],
    /// The moment.
    pub now: DateTime<Utc>,
    /// What the models say of each way, in the order of the candidates; `None` where nobody asked.
    pub predictions: Option<&'a [CandidatePrediction]>,
    /// The name of the candidate that is chosen where evidence separates none.
    pub default: Option<&'a str>,
    /// Whether nothing may be tried on it.
    pub critical: bool,
}

/// Candidates at most: how they hang together takes their square.
const MOST_CANDIDATES: usize = 1_000;

impl<'a> Request<'a> {
    /// A task with the ways to do it, at a moment.
    pub fn new(task: &'a TaskContext, candidates: &'a [Candidate], now: DateTime<Utc>) -> Self {
        Self { task, candidates, now, predictions: None, default: None, critical: false }
    }

    /// The same with what the models say of each way.
    #[must_use]
    pub fn predicted(self, predictions: &'a [CandidatePrediction]) -> Self {
        Self { predictions: Some(predictions), ..self }
    }

    /// The same with a default.
    #[must_use]
    pub fn or_else(self, default: &'a str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The same of a task on which nothing may be tried.
    #[must_use]
    pub fn critical(self) -> Self {
        Self { critical: true, ..self }
    }

    pub(crate) fn verify(&self) -> Result<()> {
        self.task.validate()?;
        self.candidates.iter().try_for_each(Candidate::validate)?;
        if self.candidates.is_empty() {
            return Err(Error::invalid("there are no candidates to choose among: give at least one"));
        }
        if self.candidates.len() > MOST_CANDIDATES {
            let n = self.candidates.len();
            return Err(Error::invalid(format!(
                "there are {n} candidates, at most {MOST_CANDIDATES} are compared: leave some out"
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
