//! What is predicted, and the two traits through which every model goes.

mod attributions;
#[cfg(feature = "testing")]
pub mod conformance;
#[cfg(feature = "mlflow")]
pub(crate) mod export;
mod external;
mod permutation_importance;
mod prediction;
pub(crate) mod prior;
mod regression;
mod similar_outcomes;
mod success;
mod template_ranking;

pub use attributions::{Attribution, AttributionGroup, English, Fact, Locale};
pub(crate) use external::{Adopt, Importer};
pub use external::{ExternalModel, ExternalModelOptions};
pub use permutation_importance::{FeatureImportance, permutation_importance};
pub use prediction::{Answer, RiskLevel, Status, SuccessPrediction};
pub use regression::{
    AdaptiveIntervals, Complexity, ComplexityPrediction, ComplexityTrainer, Estimate, Quality,
    QualityPrediction, QualityTrainer, RegressionModel, RegressionParams, RegressionTarget,
    RegressionTrainer, Time, TimePrediction, TimeTrainer,
};
pub use similar_outcomes::SimilarOutcomes;
pub(crate) use success::SUCCESS_FEATURE_SETS;
pub use success::{SuccessModel, SuccessParams, SuccessTrainer};
pub use template_ranking::{
    RankedTemplate, TEMPLATE_FEATURES, TemplateCatalogue, TemplateContribution, TemplateDataset,
    TemplateDatasetBuilder, TemplateFeature, TemplateParams, TemplateProfile, TemplateRanker,
    TemplateRanking, TemplateRow, TemplateTrainer, TemplateView, template_relevance, template_schema,
};

use crate::dataset::{Dataset, Example, Target};
use crate::error::Result;
use crate::features::{FEATURES, FeatureRow};
use crate::registry::envelope;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// A fitted model.
pub trait Predictor: Send + Sync + Debug {
    /// What it answers.
    type Prediction;

    /// Its answer for a row of features.
    fn predict(&self, row: &FeatureRow) -> Self::Prediction;

    /// Its answer as one number, to be scored against what happened.
    fn point(&self, row: &FeatureRow) -> f64;

    /// From where to where eight and nine in ten labels lie, where the answer is a number.
    fn intervals(&self, _row: &FeatureRow) -> Option<[(f64, f64); 2]> {
        None
    }

    /// Why it answers so, the strongest reason first.
    fn reasons(&self, row: &FeatureRow) -> Vec<Attribution>;

    /// How much each feature's splits lessened the loss in training, as shares that add up to 1, the
    /// largest first; empty where a model has no such thing. What was learned in vain counts too:
    /// [`permutation_importance`](crate::models::permutation_importance) tells on new rows.
    fn gains(&self) -> Vec<(String, f64)> {
        Vec::new()
    }

    /// Fingerprint of the features that it was fitted on.
    fn schema(&self) -> u64;

    /// The model as bytes, the same for the same model.
    ///
    /// # Errors
    /// `Internal` when it cannot be written.
    fn to_bytes(&self) -> Result<Vec<u8>>;
}

/// A way of fitting a model. An unfitted model cannot predict, by type.
pub trait Trainer: Send + Sync + Debug {
    /// What it fits.
    type Model: Predictor;

    /// The model's name in the registry: lower-case letters, digits, `-` and `_`.
    fn name(&self) -> &'static str;

    /// What it learns to predict: the labels that [`Trainer::fit`] expects.
    fn target(&self) -> Target;

    /// Fits a model: the same data give the same bytes, on any number of threads.
    ///
    /// # Errors
    /// `NotEnoughData`; `InvalidInput` for parameters out of range.
    fn fit(&self, data: &Dataset) -> Result<Self::Model>;

    /// Fits a model as [`fit`](Self::fit) does, to the bit, given the model of some of its rows, fitted
    /// before: what both need is taken from there.
    ///
    /// # Errors
    /// Those of [`fit`](Self::fit).
    fn fit_beside(
        &self,
        data: &Dataset,
        _earlier: &Dataset,
        _of_earlier: &Self::Model,
    ) -> Result<Self::Model> {
        self.fit(data)
    }

    /// Fits a model whose points are those of [`fit`](Self::fit), to the bit; its intervals may be those of a
    /// model that nothing was held out for.
    ///
    /// # Errors
    /// Those of [`fit`](Self::fit).
    fn fit_points(&self, data: &Dataset) -> Result<Self::Model> {
        self.fit(data)
    }

    /// Fits a model that need only order rows as one of [`fit`](Self::fit) would: calibration and the like
    /// may be those of `like`, a model fitted to more rows.
    ///
    /// # Errors
    /// Those of [`fit`](Self::fit).
    fn fit_like(&self, data: &Dataset, _like: &Self::Model) -> Result<Self::Model> {
        self.fit(data)
    }

    /// Reads a model back from verified bytes.
    ///
    /// # Errors
    /// `Corrupt` or `Incompatible`.
    fn read(&self, bytes: &[u8]) -> Result<Self::Model>;

    /// The answer before there is a model: what the past alone says, with what that is worth.
    fn prior(&self, row: &FeatureRow) -> (f64, Status);

    /// How bad a prediction was.
    fn loss(&self, point: f64, label: f64) -> f64;

    /// What the simplest predictors say of `test`, by name; a model that is no better is of no use.
    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)>;

    /// Scores of predictions against labels, by name.
    ///
    /// # Errors
    /// `InvalidInput` when they differ in number or a prediction is out of range.
    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>>;

    /// The same where rows count by `weights`, 1 on average: by the inverse of the odds with which their
    /// outcomes became known. A trainer that does not know how counts all alike.
    ///
    /// # Errors
    /// Those of [`Trainer::scores`].
    fn weighted_scores(
        &self,
        points: &[f64],
        labels: &[f64],
        _weights: &[f64],
    ) -> Result<BTreeMap<String, f64>> {
        self.scores(points, labels)
    }

    /// The parameters, to be kept with every version.
    fn parameters(&self) -> serde_json::Value;
}

/// An artefact is refused when it is larger.
pub(crate) const MAX_MODEL_BYTES: usize = 256 << 20;

/// Reads a model from the verified bytes of its artefact.
///
/// # Errors
/// `Corrupt` or `Incompatible`.
pub fn open_artefact<T: Trainer>(trainer: &T, bytes: &[u8]) -> Result<T::Model> {
    trainer.read(envelope::open(bytes, trainer.name(), MAX_MODEL_BYTES)?)
}

/// Gains by feature as shares of their sum, the largest first, those of nothing left out.
fn shares(places: &[usize], gains: &[f64]) -> Vec<(String, f64)> {
    let sum: f64 = gains.iter().filter(|gain| gain.is_finite()).sum();
    let named = places.iter().zip(gains).filter(|(_, gain)| **gain > 0.0 && sum > 0.0);
    let mut shares: Vec<_> =
        named.filter_map(|(place, gain)| Some((FEATURES.get(*place)?.name.to_owned(), gain / sum))).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}
