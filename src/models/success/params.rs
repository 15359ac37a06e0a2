//! What can be set of the success model.

use crate::error::{Error, Result};
use crate::features::index_of;
use crate::ml::{BoostParams, ForestParams, TreeFamily};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Hyperparameters of the success model; validated when its trainer is built.
///
/// ```
/// use devmatrix_ml::ml::{ForestParams, TreeFamily};
/// use devmatrix_ml::models::{SuccessParams, SuccessTrainer};
/// let mut params = SuccessParams::default();
/// params.trees = TreeFamily::Forest;
/// params.forest = ForestParams::default();
/// params.forest.trees = 0;
/// let error = SuccessTrainer::new(params).unwrap_err();
/// assert!(error.to_string().contains("trees is 0"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SuccessParams {
    /// Minimum number of labelled generations to fit on.
    pub min_samples: usize,
    /// Penalty on the square of the linear model's weights, above 0.
    pub l2: f64,
    /// How much a deviation of a dense feature counts beside an n-gram, above 0.
    pub dense_weight: f64,
    /// Fewest distinct descriptions that an n-gram must stand in.
    pub min_texts: u32,
    /// Share of the trees in the correction, 0 to 1.
    pub blend: f64,
    /// Share of the trees in the correction for tasks that were tried before, 0 to 1.
    pub seen_blend: f64,
    /// The kind of tree ensemble.
    pub trees: TreeFamily,
    /// The trees, where they are boosted.
    pub boost: BoostParams,
    /// The trees, where they are a forest.
    pub forest: ForestParams,
    /// Features that the corrections do not look at, by name; `task_description` for its wording.
    /// The rates that the offset adds up stay in it.
    pub without: BTreeSet<String>,
}

/// Bins of its boosted trees. Scanning them is most of the work on few rows: with 256 the example
/// `continuous_learning` needs a tenth more processor time, and its success scores are equal to a few thousandths. To
/// tune again, compare the scores of that example (seeds 1 and 2) and of `backtest`.
const MAX_BINS: usize = 64;

impl Default for SuccessParams {
    fn default() -> Self {
        Self {
            min_samples: 100,
            l2: 1.0,
            dense_weight: 0.05,
            min_texts: 3,
            blend: 0.25,
            seen_blend: 0.5,
            trees: TreeFamily::Boosting,
            boost: BoostParams { max_bins: MAX_BINS, ..BoostParams::default() },
            forest: ForestParams::default(),
            without: BTreeSet::new(),
        }
    }
}

impl SuccessParams {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        let check = |name: &str, v: f64, range: std::ops::RangeInclusive<f64>| {
            if range.contains(&v) {
                Ok(())
            } else {
                Err(Error::invalid(format!("{name} is {v}, expected {} to {}", range.start(), range.end())))
            }
        };
        check("l2", self.l2, 1e-6..=1e9)?;
        check("dense_weight", self.dense_weight, 1e-6..=1e3)?;
        check("blend", self.blend, 0.0..=1.0)?;
        check("seen_blend", self.seen_blend, 0.0..=1.0)?;
        self.boost.validate()?;
        self.forest.validate()?;
        known_features(&self.without)
    }
}

/// Checks that every name is a feature's, or that of the wording.
pub(in crate::models) fn known_features(names: &BTreeSet<String>) -> Result<()> {
    match names.iter().find(|name| *name != WORDING && index_of(name).is_none()) {
        Some(name) => Err(Error::invalid(format!("without names {name:?}, which is no feature"))),
        None => Ok(()),
    }
}

/// The name under which the description's wording goes among the features.
pub(crate) const WORDING: &str = "task_description";
