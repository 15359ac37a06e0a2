//! What can be set of a regression.

use crate::error::{Error, Result};
use crate::ml::{BoostParams, ForestParams, TreeFamily};
use crate::models::success::{WORDING, known_features};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Hyperparameters of a regression; validated when its trainer is built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RegressionParams {
    /// Minimum number of labelled generations to fit on.
    pub min_samples: usize,
    /// Penalty on the square of an n-gram's weight, above 0.
    pub l2: f64,
    /// Fewest distinct descriptions that an n-gram must stand in.
    pub min_texts: u32,
    /// Boosted trees: for the value where no forest is used, and, in fewer and larger steps on coarser bins, for
    /// the ends of the intervals.
    pub boost: BoostParams,
    /// The forest.
    pub forest: ForestParams,
    /// The kind of tree ensemble for the value; complexity always uses a forest.
    pub trees: TreeFamily,
    /// Names of the features that the trees do not use; `task_description` for its text.
    pub without: BTreeSet<String>,
    /// True to predict an ordinal target by the past labels alone, and another target of a task that was tried before by what
    /// the past leads one to expect.
    #[serde(skip)]
    pub(crate) past_alone: bool,
}

impl Default for RegressionParams {
    fn default() -> Self {
        let boost = BoostParams {
            rounds: 70,
            learning_rate: 0.08,
            max_leaves: 15,
            l2: 1.0,
            min_child_weight: 1.0,
            min_rows: 10,
            colsample: 0.8,
            ..BoostParams::default()
        };
        let forest = ForestParams { trees: 60, max_depth: 6, min_rows: 10, ..ForestParams::default() };
        Self {
            min_samples: 100,
            l2: 1.0,
            min_texts: 2,
            boost,
            forest,
            trees: TreeFamily::Boosting,
            without: BTreeSet::new(),
            past_alone: false,
        }
    }
}

impl RegressionParams {
    /// Returns the parameters without the description's words.
    pub(super) fn without_words(&self) -> Self {
        let mut params = self.clone();
        params.without.insert(WORDING.to_owned());
        params
    }

    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        if !(1e-6..=1e9).contains(&self.l2) {
            return Err(Error::invalid(format!("l2 is {}, expected 0.000001 to 1e9", self.l2)));
        }
        self.boost.validate()?;
        self.forest.validate()?;
        known_features(&self.without)
    }
}
