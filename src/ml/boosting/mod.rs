//! Boosted trees and random forests. The types of the boosting libraries stay in this folder, so that a library can
//! be replaced.

mod backend;
mod document;
mod external;
#[cfg(feature = "lightgbm")]
mod lightgbm;
mod params;
mod ranges;
mod request;

pub(crate) use external::{ExternalTrees, Margin};
pub use params::{BoostParams, BoostingLibrary, ForestParams, TreeFamily};
pub(crate) use ranges::Unseen;
pub use request::{FitRequest, Objective, Sample};

use crate::error::{Error, Result};
use hessboost::data::DMatrix;
use hessboost::model::{BoostedModel, ImportanceType, Iterations, ModelFormat};
use hessboost::tree::RegTree;
use ranges::TrainingRanges;
use std::borrow::Cow;

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
    pub(crate) fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }
}

/// Fitted trees: their sum is a row's margin, in the unit of the objective (log-odds, the label's own
/// unit, or a ranking score).
///
/// A value beyond those of training counts as the nearest of them; one that is missing where training never missed any
/// follows most of the training rows at each split.
///
/// ```
/// use devmatrix_ml::ml::{BoostParams, FitRequest, Matrix, Objective, Sample, Trees};
/// let values: Vec<f32> = (0..200).map(|i| (i % 10) as f32).collect();
/// let labels: Vec<f64> = values.iter().map(|x| if *x < 5.0 { 3.0 } else { 60.0 }).collect();
/// let sample = Sample::new(Matrix { values: &values, width: 1 }, &labels);
/// let request = FitRequest::new(Objective::AbsoluteError, sample);
/// let mut params = BoostParams::default();
/// (params.rounds, params.colsample) = (200, 1.0);
/// let trees = Trees::fit(&params, &request)?;
/// assert!((trees.margin(&[7.0])? - 60.0).abs() < 1.0);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Trees {
    model: BoostedModel,
    /// Added up in double precision, as LightGBM does, and XGBoost does not: over hundreds of trees that
    /// makes a difference of a millionth.
    in_double: bool,
    /// The values of training; none for trees that others grew without telling.
    ranges: TrainingRanges,
    /// The features that splits by sets of categories look at.
    categories: Vec<usize>,
}

/// Where trees are written, an attribute says so.
const SUMMED: (&str, &str) = ("summed_in", "double");

/// A category that no set holds.
const NO_CATEGORY: f32 = f32::MAX;

impl Trees {
    /// Fits trees one after the other, each to what those before it left over. Values that are
    /// missing (NaN) go to the side of a split where they fit better.
    ///
    /// # Errors
    /// `InvalidInput` for parameters out of range or data that do not fit together.
    pub fn fit(params: &BoostParams, request: &FitRequest<'_>) -> Result<Self> {
        params.validate()?;
        request.validate()?;
        match params.library {
            BoostingLibrary::Hessboost => {
                Self::grown(backend::boost(params, request)?, false, &request.sample)
            }
            #[cfg(feature = "lightgbm")]
            BoostingLibrary::Lightgbm => {
                Self::grown(lightgbm::boost(params, request)?, true, &request.sample)
            }
            #[cfg(not(feature = "lightgbm"))]
            BoostingLibrary::Lightgbm => {
                Err(Error::internal("a boosting library that validation refuses was asked for"))
            }
        }
    }

    /// Fits a random forest: each tree to its own draw of the rows, choosing each split from its own
    /// draw of the features; the margin is their mean (Breiman 2001). For a logistic objective every
    /// tree is one Newton step from the offsets.
    ///
    /// # Errors
    /// `InvalidInput` for parameters out of range, data that do not fit together, or an objective other
    /// than the logistic one and squared error.
    pub(crate) fn fit_forest(
        params: &ForestParams,
        objective: Objective,
        sample: &Sample<'_>,
    ) -> Result<Self> {
        params.validate()?;
        if !matches!(objective, Objective::Logistic | Objective::SquaredError) {
            return Err(Error::invalid(format!("forests are not grown for {objective:?}")));
        }
        sample.validate(objective)?;
        Self::grown(backend::forest(params, objective, sample)?, false, sample)
    }

    fn new(model: BoostedModel, in_double: bool, ranges: TrainingRanges) -> Self {
        let nodes = model.trees().iter().flat_map(RegTree::nodes);
        let split_by = nodes.filter(|n| n.is_categorical && !n.is_leaf()).map(|n| n.split_feature as usize);
        let mut categories: Vec<_> = split_by.collect();
        categories.sort_unstable();
        categories.dedup();
        Self { model, in_double, ranges, categories }
    }

    /// Trees that were grown here: what libraries make of values that `sample` does not have is chance, or differs.
    fn grown(model: BoostedModel, in_double: bool, sample: &Sample<'_>) -> Result<Self> {
        let ranges = TrainingRanges::of(&sample.data, &model);
        let mut bytes = encoded(&model)?;
        let complete = |feature| ranges.is_complete(feature);
        let changed = document::send_missing_to_larger(&mut bytes, &model, &sample.data, complete)?;
        let model = if changed { decoded(&bytes)? } else { model };
        Ok(Self::new(model, in_double, ranges))
    }

    /// The sum of the trees for one row (its offset not included; the estimated start is, where the
    /// rows had none).
    ///
    /// # Errors
    /// `InvalidInput` when the row has another width or holds an infinity; `Corrupt` when trees that
    /// were read back do not add up to a number.
    pub fn margin(&self, row: &[f32]) -> Result<f64> {
        let row = &*self.known(row);
        let margin = if self.in_double {
            self.margin_in_double(row)?
        } else {
            f64::from(self.model.predict_margin_row(row, Iterations::Best).map_err(refused)?)
        };
        if margin.is_finite() { Ok(margin) } else { Err(overflow()) }
    }

    fn margin_in_double(&self, row: &[f32]) -> Result<f64> {
        if row.len() != self.width() || row.iter().any(|v| v.is_infinite()) {
            return Err(Error::invalid("boosted trees: the row has another width or holds an infinity"));
        }
        let value = |feature: u32| row.get(feature as usize).copied().filter(|v| !v.is_nan());
        let trees = self.model.trees().iter().zip(self.model.tree_weights());
        let leaves = trees.map(|(tree, weight)| {
            f64::from(weight) * f64::from(tree.node(tree.leaf_id_with(value)).leaf_value)
        });
        Ok(f64::from(self.model.base_score()) + leaves.sum::<f64>())
    }

    /// Returns the row with values within those of training, and with negative categories, which hessboost takes for
    /// category 0, as what they are to XGBoost and LightGBM: in no set.
    fn known<'a>(&self, row: &'a [f32]) -> Cow<'a, [f32]> {
        let mut known = self.ranges.clip(row);
        // LightGBM cuts off what is behind the point first.
        let none = if self.in_double { -1.0_f32 } else { -f32::from_bits(1) };
        for feature in &self.categories {
            if row.get(*feature).is_some_and(|v| v.is_finite() && *v <= none) {
                known.to_mut()[*feature] = NO_CATEGORY;
            }
        }
        known
    }

    /// Returns the values of a row that are unlike all of training, by ascending feature.
    pub(crate) fn unseen<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = Unseen> + 'a {
        self.ranges.unseen(row)
    }

    /// Exact SHAP values (Lundberg and Lee 2017), in the unit of the margin: one a feature, then the
    /// expected margin; together they are the margin, to single precision.
    ///
    /// # Errors
    /// `InvalidInput` when the row has another width or holds an infinity; `Corrupt` when trees that
    /// were read back do not add up to a number.
    pub(crate) fn contributions(&self, row: &[f32]) -> Result<Vec<f32>> {
        let row = &*self.known(row);
        let matrix = DMatrix::from_dense(row, 1, row.len()).map_err(refused)?;
        let found = self.model.predict_contribs(&matrix, Iterations::Best).map_err(refused)?;
        let found = found.as_slice();
        if found.iter().all(|v| v.is_finite()) { Ok(found.to_vec()) } else { Err(overflow()) }
    }

    /// How much the splits by each feature lessened the loss together, in the unit of the objective;
    /// one a feature, 0 for those never split by.
    pub(crate) fn importance(&self) -> Vec<f64> {
        let gains = self.model.feature_importance(ImportanceType::TotalGain);
        (0..self.width()).map(|feature| gains.get(&feature).copied().unwrap_or(0.0)).collect()
    }

    /// How many features a row has.
    pub(crate) fn width(&self) -> usize {
        self.model.n_features()
    }

    /// The trees in XGBoost's UBJSON format, which its versions from 1.7 on (2.0 for quantiles) read alike. The attribute
    /// `devmatrix_training_ranges` says how values are clipped before: `[feature, least, greatest, never missing]` for each.
    ///
    /// # Errors
    /// `Internal` when they cannot be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let bytes = document::with_single_base_score(&encoded(&self.model)?)?;
        let ranges = self.ranges.to_json()?;
        let mut attributes = Vec::new();
        if !self.ranges.is_empty() {
            attributes.push((ranges::ATTRIBUTE, ranges.as_str()));
        }
        if self.in_double {
            attributes.push(SUMMED);
        }
        document::with_attributes(&bytes, &attributes)
    }

    /// Reads what [`Trees::to_bytes`] wrote. The bytes must have been verified before.
    ///
    /// # Errors
    /// `Corrupt` when they hold no trees.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let model = decoded(&document::with_listed_base_score(bytes))?;
        let said = |name| external::ubjson::find(bytes, &["learner", "attributes", name]);
        // Trees of before values were clipped have no ranges.
        let ranges = match said(ranges::ATTRIBUTE)?.as_ref().and_then(|ranges| ranges.as_str()) {
            Some(ranges) => TrainingRanges::from_json(ranges, model.n_features())?,
            None => TrainingRanges::default(),
        };
        let in_double = said(SUMMED.0)?.is_some_and(|said| said == SUMMED.1);
        Ok(Self::new(model, in_double, ranges))
    }
}

fn encoded(model: &BoostedModel) -> Result<Vec<u8>> {
    model
        .encode(ModelFormat::XgboostUbjson)
        .map_err(|e| Error::internal("the trees cannot be written").with_source(e))
}

fn decoded(bytes: &[u8]) -> Result<BoostedModel> {
    BoostedModel::decode(bytes, ModelFormat::XgboostUbjson)
        .map_err(|e| Error::corrupt("the trees cannot be read").with_source(e))
}

fn refused(error: hessboost::error::HessboostError) -> Error {
    Error::invalid("boosted trees").with_source(error)
}

fn overflow() -> Error {
    Error::corrupt("boosted trees: a leaf is out of range")
}

#[cfg(test)]
impl Trees {
    /// How many trees there are.
    pub(crate) fn len(&self) -> usize {
        self.model.num_trees()
    }
}

#[cfg(test)]
mod tests;
