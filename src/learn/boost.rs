//! Boosted trees. The engine's own types stay in this file, so that it can be replaced.

use crate::error::{Error, Result};
use hessboost::config::{GrowPolicy, TrainingParams, TreeMethod};
use hessboost::data::DMatrix;
use hessboost::model::{BoostedModel, Iterations, ModelFormat};
use hessboost::objective::{Objective, RegLoss};
use serde::{Deserialize, Serialize};

/// Rows of equal width, one after the other; NaN is missing, infinities are not allowed.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The values, row by row.
    pub values: &'a [f32],
    /// Values a row.
    pub width: usize,
}

impl Matrix<'_> {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }
}

/// How trees are grown; verified when they are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct BoostParams {
    /// Trees, 1 to 10,000.
    pub rounds: usize,
    /// Shrinkage of each tree, in (0, 1].
    pub learning_rate: f64,
    /// Leaves a tree, 2 to 1024.
    pub max_leaves: usize,
    /// Penalty on the square of a leaf's value, from 0.
    pub l2: f64,
    /// Least sum of second derivatives in a leaf, from 0.
    pub min_child_weight: f64,
    /// Share of rows that each tree sees, in (0, 1].
    pub subsample: f64,
    /// Share of features that each tree sees, in (0, 1].
    pub colsample: f64,
    /// Threads, from 1; the trees are the same for any number.
    pub threads: usize,
    /// Seed of the sampling.
    pub seed: u64,
}

impl Default for BoostParams {
    fn default() -> Self {
        Self {
            rounds: 60,
            learning_rate: 0.05,
            max_leaves: 8,
            l2: 5.0,
            min_child_weight: 4.0,
            subsample: 0.8,
            colsample: 0.5,
            threads: 2,
            seed: 42,
        }
    }
}

/// Fitted trees for the log-odds of a yes-or-no outcome.
#[derive(Debug, Clone)]
pub struct Trees(BoostedModel);

impl Trees {
    /// Fits trees to `labels` (0 to 1) starting from each row's `offset` (log-odds).
    ///
    /// # Errors
    /// `InvalidInput` for parameters out of range or data that do not fit together.
    pub fn fit_logistic(
        params: &BoostParams,
        data: Matrix<'_>,
        labels: &[f64],
        weights: &[f64],
        offsets: &[f64],
    ) -> Result<Self> {
        params.verify()?;
        let labels: Vec<_> = labels.iter().map(|y| *y as f32).collect();
        let weights: Vec<_> = weights.iter().map(|w| *w as f32).collect();
        let offsets: Vec<_> = offsets.iter().map(|o| *o as f32).collect();
        let matrix = DMatrix::from_dense(data.values, data.rows(), data.width)
            .and_then(|m| m.with_labels(&labels))
            .and_then(|m| m.with_weights(&weights))
            .and_then(|m| m.with_base_margin(&offsets))
            .map_err(refused)?;
        let model = params
            .engine()
            .and_then(|engine| hessboost::training::train(&engine, &matrix, params.rounds))
            .map_err(refused)?;
        Ok(Self(model))
    }

    /// The sum of the trees for one row (its offset not included).
    ///
    /// # Errors
    /// `InvalidInput` when the row has another width or holds an infinity; `Corrupt` when trees that
    /// were read back do not add up to a number.
    pub fn margin(&self, row: &[f32]) -> Result<f64> {
        let margin = self.0.predict_margin_row(row, Iterations::Best).map_err(refused)?;
        if margin.is_finite() { Ok(f64::from(margin)) } else { Err(overflow()) }
    }

    /// Exact SHAP values (Lundberg and Lee 2017): one a feature, then the expected margin; together
    /// they are the margin.
    ///
    /// # Errors
    /// `InvalidInput` when the row has another width or holds an infinity; `Corrupt` when trees that
    /// were read back do not add up to a number.
    pub fn contributions(&self, row: &[f32]) -> Result<Vec<f32>> {
        let matrix = DMatrix::from_dense(row, 1, row.len()).map_err(refused)?;
        let found = self.0.predict_contribs(&matrix, Iterations::Best).map_err(refused)?;
        let found = found.as_slice();
        if found.iter().all(|v| v.is_finite()) { Ok(found.to_vec()) } else { Err(overflow()) }
    }

    /// How many features a row has.
    pub fn width(&self) -> usize {
        self.0.n_features()
    }

    /// The trees in XGBoost's UBJSON format.
    ///
    /// # Errors
    /// `Internal` when the engine cannot write them.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.0
            .encode(ModelFormat::XgboostUbjson)
            .map_err(|e| Error::internal("the trees cannot be written").with_source(e))
    }

    /// Reads what [`Trees::to_bytes`] wrote. The bytes must have been verified before.
    ///
    /// # Errors
    /// `Corrupt` when they hold no trees.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        BoostedModel::decode(bytes, ModelFormat::XgboostUbjson)
            .map(Self)
            .map_err(|e| Error::corrupt("the trees cannot be read").with_source(e))
    }
}

impl BoostParams {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter and its value.
    pub fn verify(&self) -> Result<()> {
        let open = |name: &str, v: f64| match v {
            v if v > 0.0 && v <= 1.0 => Ok(()),
            v => Err(Error::invalid(format!("{name} is {v}, expected above 0 and at most 1"))),
        };
        let from_zero = |name: &str, v: f64| match v {
            v if (0.0..=1e9).contains(&v) => Ok(()),
            v => Err(Error::invalid(format!("{name} is {v}, expected 0 to 1e9"))),
        };
        let whole = |name: &str, v: usize, low: usize, high: usize| match v {
            v if (low..=high).contains(&v) => Ok(()),
            v => Err(Error::invalid(format!("{name} is {v}, expected {low} to {high}"))),
        };
        whole("rounds", self.rounds, 1, 10_000)?;
        whole("max_leaves", self.max_leaves, 2, 1024)?;
        whole("threads", self.threads, 1, 1024)?;
        open("learning_rate", self.learning_rate)?;
        open("subsample", self.subsample)?;
        open("colsample", self.colsample)?;
        from_zero("l2", self.l2)?;
        from_zero("min_child_weight", self.min_child_weight)
    }

    fn engine(&self) -> hessboost::error::Result<TrainingParams> {
        TrainingParams::builder()
            .objective(Objective::BinaryLogistic(RegLoss::default()))
            .tree_method(TreeMethod::Hist)
            .grow_policy(GrowPolicy::LossGuide)
            .max_leaves(self.max_leaves)
            .max_depth(6)
            .eta(self.learning_rate)
            .lambda(self.l2)
            .min_child_weight(self.min_child_weight)
            .subsample(self.subsample)
            .colsample_bytree(self.colsample)
            .base_score(0.5)
            .seed(self.seed)
            .nthread(self.threads)
            .build()
    }
}

fn refused(error: hessboost::error::HessboostError) -> Error {
    Error::invalid("boosted trees").with_source(error)
}

fn overflow() -> Error {
    Error::corrupt("boosted trees: a leaf is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> (Vec<f32>, Vec<f64>) {
        let x: Vec<f32> = (0..400).map(|i| ((i * 37) % 101) as f32).collect();
        let y = x.chunks(2).map(|r| if r[0] > r[1] { 1.0 } else { 0.25 }).collect();
        (x, y)
    }

    fn fit(threads: usize) -> (Trees, Vec<f32>) {
        let (x, y) = data();
        let params = BoostParams { threads, ..BoostParams::default() };
        let matrix = Matrix { values: &x, width: 2 };
        (Trees::fit_logistic(&params, matrix, &y, &[1.0; 200], &[0.0; 200]).unwrap(), x)
    }

    #[test]
    fn trees_learn_explain_and_come_back_from_bytes() {
        let (trees, _) = fit(1);
        assert!(trees.margin(&[90.0, 5.0]).unwrap() > 0.5);
        let low = trees.margin(&[5.0, 90.0]).unwrap();
        assert!((-1.4..-0.4).contains(&low), "a label of one quarter is log-odds of -1.1: {low}");
        assert!(trees.margin(&[5.0, f32::NAN]).unwrap().is_finite());
        assert!(trees.margin(&[f32::INFINITY, 1.0]).is_err());
        let row = [90.0, 5.0];
        let parts: f32 = trees.contributions(&row).unwrap().iter().sum();
        assert!((f64::from(parts) - trees.margin(&row).unwrap()).abs() < 1e-4);
        let back = Trees::from_bytes(&trees.to_bytes().unwrap()).unwrap();
        assert_eq!(back.margin(&row).unwrap(), trees.margin(&row).unwrap());
    }

    #[test]
    fn the_number_of_threads_changes_no_byte() {
        assert_eq!(fit(1).0.to_bytes().unwrap(), fit(2).0.to_bytes().unwrap());
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let params = BoostParams { subsample: f64::NAN, ..BoostParams::default() };
        assert!(params.verify().unwrap_err().to_string().contains("subsample is NaN"));
    }
}
