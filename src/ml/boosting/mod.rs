//! Boosted trees and random forests. The types of the boosting libraries stay in this folder, so that a library can
//! be replaced.

mod backend;
mod external;
#[cfg(feature = "lightgbm")]
mod lightgbm;
mod params;
mod request;

pub(crate) use external::{ExternalTrees, Margin};
pub use params::{BoostParams, BoostingLibrary, ForestParams, TreeFamily};
pub use request::{FitRequest, Objective, Sample};

use crate::error::{Error, Result};
use hessboost::data::DMatrix;
use hessboost::model::{BoostedModel, ImportanceType, Iterations, ModelFormat};

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
/// ```
/// use devmatrix_ml::ml::{BoostParams, FitRequest, Matrix, Objective, Sample, Trees};
/// let values: Vec<f32> = (0..200).map(|i| (i % 10) as f32).collect();
/// let labels: Vec<f64> = values.iter().map(|x| if *x < 5.0 { 3.0 } else { 60.0 }).collect();
/// let sample = Sample::new(Matrix { values: &values, width: 1 }, &labels);
/// let request = FitRequest::new(Objective::AbsoluteError, sample);
/// let trees = Trees::fit(&BoostParams::regression(), &request)?;
/// assert!((trees.margin(&[7.0])? - 60.0).abs() < 1.0);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Trees {
    model: BoostedModel,
    /// Added up in double precision, as LightGBM does, and XGBoost does not: over hundreds of trees that
    /// makes a difference of a millionth.
    in_double: bool,
}

/// Where trees are written, an attribute says so.
const SUMMED: (&str, &str) = ("summed_in", "double");

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
            BoostingLibrary::Hessboost => backend::boost(params, request).map(Self::new),
            #[cfg(feature = "lightgbm")]
            BoostingLibrary::Lightgbm => lightgbm::boost(params, request).map(Self::in_double),
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
        backend::forest(params, objective, sample).map(Self::new)
    }

    fn new(model: BoostedModel) -> Self {
        Self { model, in_double: false }
    }

    fn in_double(model: BoostedModel) -> Self {
        Self { model, in_double: true }
    }

    /// The sum of the trees for one row (its offset not included; the estimated start is, where the
    /// rows had none).
    ///
    /// # Errors
    /// `InvalidInput` when the row has another width or holds an infinity; `Corrupt` when trees that
    /// were read back do not add up to a number.
    pub fn margin(&self, row: &[f32]) -> Result<f64> {
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

    /// Exact SHAP values (Lundberg and Lee 2017), in the unit of the margin: one a feature, then the
    /// expected margin; together they are the margin, to single precision.
    ///
    /// # Errors
    /// `InvalidInput` when the row has another width or holds an infinity; `Corrupt` when trees that
    /// were read back do not add up to a number.
    pub(crate) fn contributions(&self, row: &[f32]) -> Result<Vec<f32>> {
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

    /// The trees in XGBoost's UBJSON format.
    ///
    /// # Errors
    /// `Internal` when they cannot be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let bytes = self.encode()?;
        if self.in_double { with_attribute(&bytes, SUMMED) } else { Ok(bytes) }
    }

    fn encode(&self) -> Result<Vec<u8>> {
        self.model
            .encode(ModelFormat::XgboostUbjson)
            .map_err(|e| Error::internal("the trees cannot be written").with_source(e))
    }

    /// Reads what [`Trees::to_bytes`] wrote. The bytes must have been verified before.
    ///
    /// # Errors
    /// `Corrupt` when they hold no trees.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let model = BoostedModel::decode(bytes, ModelFormat::XgboostUbjson)
            .map_err(|e| Error::corrupt("the trees cannot be read").with_source(e))?;
        let said = external::ubjson::find(bytes, &["learner", "attributes", SUMMED.0])?;
        Ok(Self { model, in_double: said.is_some_and(|said| said == SUMMED.1) })
    }
}

/// Adds one booster attribute to the document; hessboost writes none.
fn with_attribute(bytes: &[u8], (name, value): (&str, &str)) -> Result<Vec<u8>> {
    const NONE: &[u8] = b"attributes{}";
    let at = bytes.windows(NONE.len()).position(|window| window == NONE);
    let at = at.ok_or_else(|| Error::internal("the trees were written without a place for attributes"))?;
    let (before, after) = bytes.split_at(at + NONE.len() - 1);
    // XGBoost reads lengths of eight bytes alone, marked `L`; a text is marked `S`.
    let text = |text: &str| [b"L".as_slice(), &(text.len() as u64).to_be_bytes(), text.as_bytes()].concat();
    Ok([before, &text(name), b"S", &text(value), after].concat())
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
