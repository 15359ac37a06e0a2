//! How trees are grown.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Library that fits boosted trees; the fitted trees are stored and served alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BoostingLibrary {
    /// The `hessboost` crate, pure Rust.
    #[default]
    Hessboost,
    /// LightGBM (Ke et al. 2017), in builds with the feature `lightgbm`. It takes turns: one fit at a time
    /// in the process.
    Lightgbm,
}

/// How boosted trees are grown; verified when they are fitted.
///
/// The defaults suit log-odds that start from an offset. Labels in their own unit want more trees (200 of 15 leaves with
/// `l2` 1); [`BoostParams::ranking`] suits rankings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BoostParams {
    /// Trees, 1 to 10,000.
    pub rounds: usize,
    /// Shrinkage of each tree, in (0, 1].
    pub learning_rate: f64,
    /// Leaves a tree, 2 to 1024.
    pub max_leaves: usize,
    /// Splits from root to leaf at most, 1 to 64.
    pub max_depth: usize,
    /// Penalty on the square of a leaf's value, from 0.
    pub l2: f64,
    /// Least sum of second derivatives in a leaf, from 0.
    pub min_child_weight: f64,
    /// Fewest rows (of weight above 0) in a leaf, 1 to 1,000,000; above 1 growing is slower.
    pub min_rows: usize,
    /// Values between which a split by one feature may choose, at most, 2 to 65,535: the more, the slower.
    pub max_bins: usize,
    /// Share of rows that each tree sees, in (0, 1].
    pub subsample: f64,
    /// Share of features that each tree sees, in (0, 1].
    pub colsample: f64,
    /// Threads, from 1; the trees are the same for any number.
    pub threads: usize,
    /// Seed of the sampling.
    pub seed: u64,
    /// Library that fits them.
    #[serde(alias = "engine")]
    pub library: BoostingLibrary,
}

/// XGBoost's usual number. Scanning bins is most of the work on few rows, so fewer are faster: the success model and
/// the ends of intervals have 64. With 64 or 128 for the values too, the 90 % intervals of quality covered 87 % instead
/// of 91 % in the example `continuous_learning`. To tune again, compare the scores of that example and of `backtest`
/// with another number here.
const MAX_BINS: usize = 256;

impl Default for BoostParams {
    fn default() -> Self {
        Self {
            rounds: 60,
            learning_rate: 0.05,
            max_leaves: 8,
            max_depth: 6,
            l2: 5.0,
            min_child_weight: 4.0,
            min_rows: 1,
            max_bins: MAX_BINS,
            subsample: 0.8,
            colsample: 0.5,
            threads: 2,
            seed: 42,
            library: BoostingLibrary::Hessboost,
        }
    }
}

/// How trees are put together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeFamily {
    /// One after the other, each to what those before it left over.
    #[default]
    Boosting,
    /// Side by side, each to its own draw of rows and features.
    Forest,
}

/// Parameters of a random forest (Breiman 2001), verified when it is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ForestParams {
    /// Trees, 1 to 10,000.
    pub trees: usize,
    /// Splits from root to leaf at most, 1 to 64.
    pub max_depth: usize,
    /// Fewest rows (of weight above 0) in a leaf, 1 to 1,000,000.
    pub min_rows: usize,
    /// Share of rows that each tree sees, drawn without replacement, in (0, 1]; 1 - 1/e is the
    /// share of distinct rows in a bootstrap sample.
    pub subsample: f64,
    /// Values between which a split by one feature may choose, at most, 2 to 65,535: the more, the slower.
    pub max_bins: usize,
    /// Share of features that each split may choose from, in (0, 1].
    pub colsample: f64,
    /// Threads, from 1; the trees are the same for any number.
    pub threads: usize,
    /// Seed of the sampling.
    pub seed: u64,
}

impl Default for ForestParams {
    fn default() -> Self {
        Self {
            trees: 200,
            max_depth: 10,
            min_rows: 5,
            max_bins: MAX_BINS,
            subsample: 0.632,
            colsample: 1.0 / 3.0,
            threads: 2,
            seed: 42,
        }
    }
}

impl BoostParams {
    /// Returns defaults for labels in their own unit, without offsets: more trees, weaker L2 regularisation.
    #[cfg(test)]
    pub(crate) fn regression() -> Self {
        Self {
            rounds: 200,
            max_leaves: 15,
            l2: 1.0,
            min_child_weight: 1.0,
            min_rows: 10,
            colsample: 0.8,
            ..Self::default()
        }
    }

    /// Returns defaults for [`Objective::LambdaRank`](super::Objective::LambdaRank), whose second derivatives
    /// are far below one per row: leaves are limited by rows and not by Hessian. Chosen by cross-validation
    /// on the training rows of LightGBM's ranking example, where many other settings were not significantly different.
    pub fn ranking() -> Self {
        Self {
            rounds: 200,
            learning_rate: 0.03,
            max_leaves: 31,
            l2: 1.0,
            min_child_weight: 1e-3,
            min_rows: 5,
            ..Self::default()
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter and its value, or the feature that this build lacks.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.library == BoostingLibrary::Lightgbm && !cfg!(feature = "lightgbm") {
            return Err(Error::invalid(
                "library is lightgbm, which this build lacks: turn on the crate's feature `lightgbm`",
            ));
        }
        whole("rounds", self.rounds, 1..=10_000)?;
        whole("max_leaves", self.max_leaves, 2..=1024)?;
        whole("max_depth", self.max_depth, 1..=64)?;
        whole("min_rows", self.min_rows, 1..=1_000_000)?;
        whole("max_bins", self.max_bins, 2..=65_535)?;
        whole("threads", self.threads, 1..=1024)?;
        share("learning_rate", self.learning_rate)?;
        share("subsample", self.subsample)?;
        share("colsample", self.colsample)?;
        from_zero("l2", self.l2)?;
        from_zero("min_child_weight", self.min_child_weight)
    }
}

impl ForestParams {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        whole("trees", self.trees, 1..=10_000)?;
        whole("max_depth", self.max_depth, 1..=64)?;
        whole("min_rows", self.min_rows, 1..=1_000_000)?;
        whole("max_bins", self.max_bins, 2..=65_535)?;
        whole("threads", self.threads, 1..=1024)?;
        share("subsample", self.subsample)?;
        share("colsample", self.colsample)
    }
}

fn share(name: &str, v: f64) -> Result<()> {
    match v {
        v if v > 0.0 && v <= 1.0 => Ok(()),
        v => Err(Error::invalid(format!("{name} is {v}, expected above 0 and at most 1"))),
    }
}

fn from_zero(name: &str, v: f64) -> Result<()> {
    match v {
        v if (0.0..=1e9).contains(&v) => Ok(()),
        v => Err(Error::invalid(format!("{name} is {v}, expected 0 to 1e9"))),
    }
}

fn whole(name: &str, v: usize, range: std::ops::RangeInclusive<usize>) -> Result<()> {
    if range.contains(&v) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} is {v}, expected {} to {}", range.start(), range.end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_and_older_parameters_are_read() {
        let asked: BoostParams = serde_json::from_str(r#"{"engine":"lightgbm"}"#).unwrap();
        assert_eq!(asked.library, BoostingLibrary::Lightgbm);
        let refusal = asked.validate().err().map(|e| format!("{e:#}"));
        assert_eq!(refusal.is_none(), cfg!(feature = "lightgbm"));
        assert!(refusal.is_none_or(|r| r.contains("feature `lightgbm`")));
        let older: BoostParams = serde_json::from_str(r#"{"rounds":7,"seed":1}"#).unwrap();
        assert_eq!((older.rounds, older.library), (7, BoostingLibrary::Hessboost));
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let params = BoostParams { subsample: f64::NAN, ..BoostParams::default() };
        assert!(params.validate().unwrap_err().to_string().contains("subsample is NaN"));
        let params = ForestParams { min_rows: 0, ..ForestParams::default() };
        assert!(params.validate().unwrap_err().to_string().contains("min_rows is 0"));
        BoostParams::regression().validate().unwrap();
        BoostParams::ranking().validate().unwrap();
        ForestParams::default().validate().unwrap();
    }
}
