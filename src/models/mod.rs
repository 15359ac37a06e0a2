//! What is predicted, and the two traits through which every model goes.

mod attributions;
mod column_encoder;
#[cfg(feature = "testing")]
pub mod conformance;
mod erased;
#[cfg(feature = "mlflow")]
pub(crate) mod export;
mod external;
#[cfg(feature = "linfa")]
mod linfa_adaptor;
mod permutation_importance;
mod prediction;
pub(crate) mod prior;
mod regression;
mod similar_outcomes;
mod success;
mod surrogate;
pub(crate) mod targets;
mod template_ranking;
mod unseen;

pub use attributions::{Attribution, AttributionGroup, English, Fact, Locale};
pub(crate) use erased::{AnyModel, AnyTrainer};
pub use external::{ExternalModel, ExternalModelOptions};
#[cfg(feature = "linfa")]
pub use linfa_adaptor::LinfaTrainer;
pub(crate) use permutation_importance::permutation_importance;
pub use prediction::{RiskLevel, Status, SuccessPrediction};
use regression::LEVELS;
pub(crate) use regression::{AdaptiveIntervals, Complexity, Cost, Quality, RegressionTarget, Time, Tokens};
pub use regression::{
    ComplexityPrediction, ComplexityTrainer, Estimate, QualityPrediction, QualityTrainer, RegressionModel,
    RegressionParams, RegressionTrainer, TimePrediction, TimeTrainer,
};
pub use similar_outcomes::SimilarOutcomes;
pub(crate) use success::{SUCCESS_FEATURE_SETS, WORDING, is_seen};
pub use success::{SuccessModel, SuccessParams, SuccessTrainer};
pub use surrogate::Surrogate;
pub(crate) use template_ranking::TemplateView;
pub use template_ranking::{
    RankedTemplate, TemplateCatalogue, TemplateParams, TemplateProfile, TemplateRanker, TemplateRanking,
    TemplateTrainer,
};
pub(crate) use unseen::UnseenValue;

use crate::dataset::{Dataset, Example, RowBuilder, Target};
use crate::error::Result;
use crate::features::FeatureRow;
use crate::registry::envelope;
use column_encoder::ColumnEncoder;
pub(crate) use column_encoder::MOST_USED as MOST_COLUMNS;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// A fitted model.
pub trait Predictor: Send + Sync + Debug {
    /// Its prediction.
    type Prediction;

    /// Predicts for a row of features.
    fn predict(&self, row: &FeatureRow) -> Self::Prediction;

    /// Predicts one number, to be scored against the label.
    fn point(&self, row: &FeatureRow) -> f64;

    /// Returns the 80 % and the 90 % prediction interval, where the prediction is a number.
    fn intervals(&self, _row: &FeatureRow) -> Option<[(f64, f64); 2]> {
        None
    }

    /// Predicts a number with its intervals at these levels, as a service shows it: [`point`](Self::point) and
    /// [`intervals`](Self::intervals) of a model that has no adaptive ones. Without intervals nothing is ruled
    /// out: they reach from the least to the greatest number.
    fn estimate(&self, row: &FeatureRow, _levels: [f64; 2]) -> Estimate {
        let intervals = self.intervals(row).unwrap_or([(f64::MIN, f64::MAX); 2]);
        Estimate::new(self.point(row), intervals, Status::Calibrated, self.schema())
    }

    /// Returns what the prediction is attributed to, the strongest first.
    fn reasons(&self, row: &FeatureRow) -> Vec<Attribution>;

    /// Returns the gain importance of its features: how much each feature's splits lessened the loss in
    /// training, as shares that add up to 1, the largest first; empty where a model has none. Overfitted splits
    /// count too: permutation importance evaluates on new rows.
    fn gains(&self) -> Vec<(String, f64)> {
        Vec::new()
    }

    /// Returns rules that say what it predicts of the newest rows of `data`, with their fidelity on other tasks than those
    /// that they were made from.
    ///
    /// # Errors
    /// `NotEnoughData` for fewer than 100 rows; `InvalidInput` where it predicts all alike.
    #[cfg(feature = "linfa")]
    #[cfg_attr(docsrs, doc(cfg(feature = "linfa")))]
    fn surrogate(&self, data: &Dataset) -> Result<Surrogate>
    where
        Self: Sized,
    {
        Surrogate::of(self, data)
    }

    /// Returns the fingerprint of the features that it was fitted on.
    fn schema(&self) -> u64;

    /// Serializes the model: equal models give equal bytes.
    ///
    /// # Errors
    /// `Internal` when it cannot be written.
    fn to_bytes(&self) -> Result<Vec<u8>>;
}

/// An estimator: fits a model. An unfitted model cannot predict, by type.
pub trait Trainer: Send + Sync + Debug {
    /// The fitted model.
    type Model: Predictor;

    /// Returns the model's name in the registry: lower-case letters, digits, `-` and `_`.
    fn name(&self) -> &'static str;

    /// Returns the target: the labels that [`Trainer::fit`] expects.
    fn target(&self) -> Target;

    /// Returns what gathers its training rows, where they are not those of
    /// [`DatasetBuilder`](crate::dataset::DatasetBuilder), one a generation: a ranking's have features of their
    /// own, and compete in groups.
    fn row_builder(&self) -> Option<Box<dyn RowBuilder>> {
        None
    }

    /// Returns the fingerprint of the features that its models must have been fitted on, where the host's
    /// features have the fingerprint `host`.
    fn schema(&self, host: u64) -> u64 {
        host
    }

    /// Fits a model: equal data give equal bytes, on any number of threads.
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

    /// Fits a model that answers with the strongest of the baselines where these are often strongest, with intervals, if there
    /// is one: it serves instead of a first model that is no better.
    ///
    /// # Errors
    /// Those of [`fit`](Self::fit).
    fn fit_baseline(&self, _data: &Dataset) -> Result<Option<Self::Model>> {
        Ok(None)
    }

    /// Reads a model back from verified bytes.
    ///
    /// # Errors
    /// `Corrupt` or `Incompatible`.
    fn read(&self, bytes: &[u8]) -> Result<Self::Model>;

    /// Predicts before there is a model: from group statistics alone, with what they rest on.
    fn prior(&self, row: &FeatureRow) -> (f64, Status);

    /// Returns what the prediction before there is a model is attributed to, the strongest first.
    fn prior_attributions(&self, _row: &FeatureRow) -> Vec<Attribution> {
        Vec::new()
    }

    /// Predicts a number before there is a model as [`Predictor::estimate`] does after.
    fn prior_estimate(&self, row: &FeatureRow, schema: u64) -> Estimate {
        let (value, status) = self.prior(row);
        Estimate::new(value, [(f64::MIN, f64::MAX); 2], status, schema)
    }

    /// Computes the loss of one prediction.
    fn loss(&self, point: f64, label: f64) -> f64;

    /// Computes the losses by which models are compared: one a row. A ranking's group has one loss, at one of its
    /// rows; the others are `None`.
    ///
    /// # Errors
    /// Those of [`Trainer::scores`].
    fn losses(&self, points: &[f64], rows: &[Example]) -> Result<Vec<Option<f64>>> {
        Ok(points.iter().zip(rows).map(|(point, row)| Some(self.loss(*point, row.label))).collect())
    }

    /// Predicts `test` with the simplest predictors, by name; a model that is no better is of no use.
    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)>;

    /// Computes the scores of predictions against labels, by name.
    ///
    /// # Errors
    /// `InvalidInput` when they differ in number or a prediction is out of range.
    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>>;

    /// Computes the scores of rows that count by `weights`, 1 on average: by the inverse of the propensity with
    /// which their outcomes became known. A trainer without weighted scores counts all alike.
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

    /// Computes the scores of predictions of `rows`, by name; a ranking's within its groups.
    ///
    /// # Errors
    /// Those of [`Trainer::scores`].
    fn scores_of_rows(
        &self,
        points: &[f64],
        rows: &[Example],
        weights: Option<&[f64]>,
    ) -> Result<BTreeMap<String, f64>> {
        let labels: Vec<_> = rows.iter().map(|row| row.label).collect();
        match weights {
            Some(weights) => self.weighted_scores(points, &labels, weights),
            None => self.scores(points, &labels),
        }
    }

    /// Returns the parameters, to be kept with every version.
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
fn shares<'a>(gains: impl Iterator<Item = (&'a str, f64)>) -> Vec<(String, f64)> {
    let gains: Vec<_> = gains.filter(|(_, gain)| gain.is_finite() && *gain > 0.0).collect();
    let sum: f64 = gains.iter().map(|(_, gain)| gain).sum();
    let mut shares: Vec<_> = gains.into_iter().map(|(name, gain)| (name.to_owned(), gain / sum)).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// Gains of columns, as [`shares`].
fn shares_of_columns(encoder: &ColumnEncoder, columns: &[usize], gains: &[f64]) -> Vec<(String, f64)> {
    shares(columns.iter().zip(gains).filter_map(|(column, gain)| Some((encoder.name_of(*column)?, *gain))))
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
pub(crate) use regression::{CostTrainer, TokensTrainer};
#[cfg(any(test, feature = "mlflow"))]
pub(crate) use template_ranking::TEMPLATE_FEATURES;
#[cfg(test)]
pub(crate) use template_ranking::TemplateDatasetBuilder;
