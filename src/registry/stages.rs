//! What changes about a model: which version serves, which served before, and the verdicts.

use super::version::{ModelVersion, Stage, Verdict};
use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The changing state of one model, the same for every registry of this crate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Stages {
    model: String,
    production: Option<u64>,
    /// Versions formerly in production, the latest last.
    before: Vec<u64>,
    /// Stages other than `None` and `Production`.
    others: BTreeMap<u64, Stage>,
    verdicts: BTreeMap<u64, Vec<Verdict>>,
}

impl Stages {
    /// Nothing in production yet.
    pub(super) fn new(model: &str) -> Self {
        Self { model: model.to_owned(), ..Self::default() }
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    pub(super) fn production(&self) -> Option<u64> {
        self.production
    }

    /// Refuses to go on from another production than the caller knows of.
    pub(super) fn expect(&self, expected: Option<u64>) -> Result<()> {
        if self.production == expected {
            return Ok(());
        }
        let shown = |number: Option<u64>| number.map_or("none".to_owned(), |n| n.to_string());
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "model {}: version in production is {}, expected {}: compare with it first",
                self.model,
                shown(self.production),
                shown(expected)
            ),
        ))
    }

    pub(super) fn promote(&mut self, number: u64) {
        if self.production != Some(number) {
            self.before.extend(self.production);
            self.serve(number);
        }
    }

    /// What [`roll_back`](Self::roll_back) goes back to.
    pub(super) fn previous(&self) -> Result<u64> {
        self.before.last().copied().ok_or_else(|| {
            let message = format!("model {}: no version was in production before", self.model);
            Error::new(ErrorKind::NotFound, message)
        })
    }

    pub(super) fn roll_back(&mut self) -> Result<u64> {
        let number = self.previous()?;
        self.before.pop();
        self.serve(number);
        Ok(number)
    }

    pub(super) fn set(&mut self, number: u64, stage: Stage) -> Result<()> {
        let of = format!("model {}, version {number}", self.model);
        if stage == Stage::Production {
            return Err(Error::invalid(format!("{of}: only promote puts a version into production")));
        }
        if self.production == Some(number) {
            let message = format!("{of}: it is in production, promote another or roll back first");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        match stage {
            Stage::None => self.others.remove(&number),
            other => self.others.insert(number, other),
        };
        Ok(())
    }

    pub(super) fn note(&mut self, number: u64, verdict: Verdict) {
        self.verdicts.entry(number).or_default().push(verdict);
    }

    /// The version as it stands now.
    pub(super) fn apply(&self, mut version: ModelVersion) -> ModelVersion {
        let number = version.version;
        version.stage = match self.others.get(&number) {
            _ if self.production == Some(number) => Stage::Production,
            Some(stage) => *stage,
            None => Stage::None,
        };
        version.verdicts.extend(self.verdicts.get(&number).into_iter().flatten().cloned());
        version
    }

    fn serve(&mut self, number: u64) {
        if let Some(old) = self.production.replace(number) {
            self.others.insert(old, Stage::Archived);
        }
        self.others.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolling_back_undoes_promotions_one_by_one() {
        let mut stages = Stages::new("m");
        assert_eq!(stages.roll_back().unwrap_err().kind(), ErrorKind::NotFound);
        for number in [1, 2, 2, 1, 3] {
            stages.promote(number);
        }
        let path: Vec<_> = std::iter::from_fn(|| stages.roll_back().ok()).collect();
        assert_eq!(path, [1, 2, 1]);
        assert_eq!(stages.production(), Some(1));
        assert_eq!(stages.others, BTreeMap::from([(2, Stage::Archived), (3, Stage::Archived)]));
    }
}
