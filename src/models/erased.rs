//! [`Trainer`] and [`Predictor`] without their types, so that models of any kind stand in one table and in one
//! service.

use super::{Attribution, Estimate, Predictor, Status, Trainer};
use crate::dataset::{Dataset, Example, RowBuilder, Target};
use crate::error::Result;
use crate::features::FeatureRow;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// A trainer of any type.
#[derive(Debug, Clone)]
pub(crate) struct AnyTrainer(Arc<dyn ErasedTrainer>);

/// A fitted model of any type.
#[derive(Debug)]
pub(crate) struct AnyModel(Box<dyn ErasedModel>);

impl AnyTrainer {
    pub(crate) fn new<T: Trainer<Model: 'static> + 'static>(trainer: T) -> Self {
        Self(Arc::new(Erased(trainer)))
    }
}

impl AnyModel {
    /// Returns the model where it is an `M`.
    pub(crate) fn downcast_ref<M: 'static>(&self) -> Option<&M> {
        self.0.as_any().downcast_ref()
    }
}

/// A typed trainer behind [`ErasedTrainer`]: a type of its own, so that no method's name means two things.
#[derive(Debug)]
struct Erased<T>(T);

/// The object-safe side of [`Trainer`].
trait ErasedTrainer: Send + Sync + Debug {
    fn name(&self) -> &'static str;
    fn target(&self) -> Target;
    fn row_builder(&self) -> Option<Box<dyn RowBuilder>>;
    fn schema(&self, host: u64) -> u64;
    fn fit(&self, data: &Dataset) -> Result<AnyModel>;
    fn fit_beside(&self, data: &Dataset, earlier: &Dataset, of_earlier: &AnyModel) -> Result<AnyModel>;
    fn fit_points(&self, data: &Dataset) -> Result<AnyModel>;
    fn fit_like(&self, data: &Dataset, like: &AnyModel) -> Result<AnyModel>;
    fn read(&self, bytes: &[u8]) -> Result<AnyModel>;
    fn prior(&self, row: &FeatureRow) -> (f64, Status);
    fn prior_attributions(&self, row: &FeatureRow) -> Vec<Attribution>;
    fn prior_estimate(&self, row: &FeatureRow, schema: u64) -> Estimate;
    fn loss(&self, point: f64, label: f64) -> f64;
    fn losses(&self, points: &[f64], rows: &[Example]) -> Result<Vec<Option<f64>>>;
    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)>;
    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>>;
    fn weighted_scores(
        &self,
        points: &[f64],
        labels: &[f64],
        weights: &[f64],
    ) -> Result<BTreeMap<String, f64>>;
    fn scores_of_rows(
        &self,
        points: &[f64],
        rows: &[Example],
        weights: Option<&[f64]>,
    ) -> Result<BTreeMap<String, f64>>;
    fn parameters(&self) -> serde_json::Value;
}

/// The object-safe side of [`Predictor`].
trait ErasedModel: Send + Sync + Debug {
    fn point(&self, row: &FeatureRow) -> f64;
    fn intervals(&self, row: &FeatureRow) -> Option<[(f64, f64); 2]>;
    fn estimate(&self, row: &FeatureRow, levels: [f64; 2]) -> Estimate;
    fn reasons(&self, row: &FeatureRow) -> Vec<Attribution>;
    fn gains(&self) -> Vec<(String, f64)>;
    fn schema(&self) -> u64;
    fn to_bytes(&self) -> Result<Vec<u8>>;
    fn as_any(&self) -> &dyn Any;
}

impl<T: Trainer<Model: 'static>> ErasedTrainer for Erased<T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn target(&self) -> Target {
        self.0.target()
    }

    fn row_builder(&self) -> Option<Box<dyn RowBuilder>> {
        self.0.row_builder()
    }

    fn schema(&self, host: u64) -> u64 {
        self.0.schema(host)
    }

    fn fit(&self, data: &Dataset) -> Result<AnyModel> {
        Ok(AnyModel(Box::new(self.0.fit(data)?)))
    }

    fn fit_beside(&self, data: &Dataset, earlier: &Dataset, of_earlier: &AnyModel) -> Result<AnyModel> {
        match of_earlier.downcast_ref() {
            Some(known) => Ok(AnyModel(Box::new(self.0.fit_beside(data, earlier, known)?))),
            None => self.fit(data),
        }
    }

    fn fit_points(&self, data: &Dataset) -> Result<AnyModel> {
        Ok(AnyModel(Box::new(self.0.fit_points(data)?)))
    }

    fn fit_like(&self, data: &Dataset, like: &AnyModel) -> Result<AnyModel> {
        match like.downcast_ref() {
            Some(like) => Ok(AnyModel(Box::new(self.0.fit_like(data, like)?))),
            None => self.fit(data),
        }
    }

    fn read(&self, bytes: &[u8]) -> Result<AnyModel> {
        Ok(AnyModel(Box::new(self.0.read(bytes)?)))
    }

    fn prior(&self, row: &FeatureRow) -> (f64, Status) {
        self.0.prior(row)
    }

    fn prior_attributions(&self, row: &FeatureRow) -> Vec<Attribution> {
        self.0.prior_attributions(row)
    }

    fn prior_estimate(&self, row: &FeatureRow, schema: u64) -> Estimate {
        self.0.prior_estimate(row, schema)
    }

    fn loss(&self, point: f64, label: f64) -> f64 {
        self.0.loss(point, label)
    }

    fn losses(&self, points: &[f64], rows: &[Example]) -> Result<Vec<Option<f64>>> {
        self.0.losses(points, rows)
    }

    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)> {
        self.0.baselines(train, test)
    }

    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        self.0.scores(points, labels)
    }

    fn weighted_scores(
        &self,
        points: &[f64],
        labels: &[f64],
        weights: &[f64],
    ) -> Result<BTreeMap<String, f64>> {
        self.0.weighted_scores(points, labels, weights)
    }

    fn scores_of_rows(
        &self,
        points: &[f64],
        rows: &[Example],
        weights: Option<&[f64]>,
    ) -> Result<BTreeMap<String, f64>> {
        self.0.scores_of_rows(points, rows, weights)
    }

    fn parameters(&self) -> serde_json::Value {
        self.0.parameters()
    }
}

impl<M: Predictor + 'static> ErasedModel for M {
    fn point(&self, row: &FeatureRow) -> f64 {
        Predictor::point(self, row)
    }

    fn intervals(&self, row: &FeatureRow) -> Option<[(f64, f64); 2]> {
        Predictor::intervals(self, row)
    }

    fn estimate(&self, row: &FeatureRow, levels: [f64; 2]) -> Estimate {
        Predictor::estimate(self, row, levels)
    }

    fn reasons(&self, row: &FeatureRow) -> Vec<Attribution> {
        Predictor::reasons(self, row)
    }

    fn gains(&self) -> Vec<(String, f64)> {
        Predictor::gains(self)
    }

    fn schema(&self) -> u64 {
        Predictor::schema(self)
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        Predictor::to_bytes(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Trainer for AnyTrainer {
    type Model = AnyModel;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn target(&self) -> Target {
        self.0.target()
    }

    fn row_builder(&self) -> Option<Box<dyn RowBuilder>> {
        self.0.row_builder()
    }

    fn schema(&self, host: u64) -> u64 {
        self.0.schema(host)
    }

    fn fit(&self, data: &Dataset) -> Result<AnyModel> {
        self.0.fit(data)
    }

    fn fit_beside(&self, data: &Dataset, earlier: &Dataset, of_earlier: &AnyModel) -> Result<AnyModel> {
        self.0.fit_beside(data, earlier, of_earlier)
    }

    fn fit_points(&self, data: &Dataset) -> Result<AnyModel> {
        self.0.fit_points(data)
    }

    fn fit_like(&self, data: &Dataset, like: &AnyModel) -> Result<AnyModel> {
        self.0.fit_like(data, like)
    }

    fn read(&self, bytes: &[u8]) -> Result<AnyModel> {
        self.0.read(bytes)
    }

    fn prior(&self, row: &FeatureRow) -> (f64, Status) {
        self.0.prior(row)
    }

    fn prior_attributions(&self, row: &FeatureRow) -> Vec<Attribution> {
        self.0.prior_attributions(row)
    }

    fn prior_estimate(&self, row: &FeatureRow, schema: u64) -> Estimate {
        self.0.prior_estimate(row, schema)
    }

    fn loss(&self, point: f64, label: f64) -> f64 {
        self.0.loss(point, label)
    }

    fn losses(&self, points: &[f64], rows: &[Example]) -> Result<Vec<Option<f64>>> {
        self.0.losses(points, rows)
    }

    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)> {
        self.0.baselines(train, test)
    }

    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        self.0.scores(points, labels)
    }

    fn weighted_scores(
        &self,
        points: &[f64],
        labels: &[f64],
        weights: &[f64],
    ) -> Result<BTreeMap<String, f64>> {
        self.0.weighted_scores(points, labels, weights)
    }

    fn scores_of_rows(
        &self,
        points: &[f64],
        rows: &[Example],
        weights: Option<&[f64]>,
    ) -> Result<BTreeMap<String, f64>> {
        self.0.scores_of_rows(points, rows, weights)
    }

    fn parameters(&self) -> serde_json::Value {
        self.0.parameters()
    }
}

impl Predictor for AnyModel {
    type Prediction = Estimate;

    fn predict(&self, row: &FeatureRow) -> Estimate {
        self.0.estimate(row, super::LEVELS)
    }

    fn point(&self, row: &FeatureRow) -> f64 {
        self.0.point(row)
    }

    fn intervals(&self, row: &FeatureRow) -> Option<[(f64, f64); 2]> {
        self.0.intervals(row)
    }

    fn estimate(&self, row: &FeatureRow, levels: [f64; 2]) -> Estimate {
        self.0.estimate(row, levels)
    }

    fn reasons(&self, row: &FeatureRow) -> Vec<Attribution> {
        self.0.reasons(row)
    }

    fn gains(&self) -> Vec<(String, f64)> {
        self.0.gains()
    }

    fn schema(&self) -> u64 {
        self.0.schema()
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        self.0.to_bytes()
    }
}
