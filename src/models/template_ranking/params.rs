//! Hyperparameters of the template ranking.

use crate::error::{Error, Result};
use crate::ml::BoostParams;
use serde::{Deserialize, Serialize};

/// Hyperparameters of the template ranking; validated when its trainer is built.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TemplateParams {
    /// Minimum number of labelled generations with a template to fit on.
    pub min_samples: usize,
    /// Upper limit of a row's inverse propensity weight within its group, 1 to 100.
    pub most_copies: u32,
    /// Places from the top whose pairs are learned, 1 to 10,000.
    pub top: usize,
    /// The trees.
    pub boost: BoostParams,
}

impl Default for TemplateParams {
    fn default() -> Self {
        let boost = BoostParams {
            rounds: 60,
            learning_rate: 0.05,
            max_leaves: 8,
            max_depth: 4,
            min_rows: 20,
            ..BoostParams::ranking()
        };
        Self { min_samples: 100, most_copies: 10, top: 100, boost }
    }
}

impl TemplateParams {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        let check = |name: &str, v: usize, high: usize| {
            if (1..=high).contains(&v) {
                Ok(())
            } else {
                Err(Error::invalid(format!("{name} is {v}, expected 1 to {high}")))
            }
        };
        check("most_copies", self.most_copies as usize, 100)?;
        check("top", self.top, 10_000)?;
        self.boost.validate()
    }
}
