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

/// Declares the methods of a trait.
macro_rules! declared {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $output:ty;)*) => {
        $(fn $name(&self $(, $argument: $type)*) -> $output;)*
    };
}

/// Implements methods by those of what is inside.
macro_rules! forwarded {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $output:ty;)*) => {
        $(fn $name(&self $(, $argument: $type)*) -> $output { self.0.$name($($argument),*) })*
    };
}

/// Implements methods by those of [`Predictor`].
macro_rules! predicted {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $output:ty;)*) => {
        $(fn $name(&self $(, $argument: $type)*) -> $output { Predictor::$name(self $(, $argument)*) })*
    };
}

/// Implements methods by those of what is in a box.
macro_rules! boxed {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $output:ty;)*) => {
        $(fn $name(&self $(, $argument: $type)*) -> $output { P::$name(self $(, $argument)*) })*
    };
}

/// The methods of a trainer that know nothing of its model's type.
macro_rules! untyped_methods {
    ($how:ident) => {
        $how! {
            fn name(&self) -> &'static str;
            fn target(&self) -> Target;
            fn row_builder(&self) -> Option<Box<dyn RowBuilder>>;
            fn schema(&self, host: u64) -> u64;
            fn prior(&self, row: &FeatureRow) -> (f64, Status);
            fn prior_attributions(&self, row: &FeatureRow) -> Vec<Attribution>;
            fn prior_estimate(&self, row: &FeatureRow, schema: u64) -> Estimate;
            fn loss(&self, point: f64, label: f64) -> f64;
            fn losses(&self, points: &[f64], rows: &[Example]) -> Result<Vec<Option<f64>>>;
            fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)>;
            fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>>;
            fn weighted_scores(&self, points: &[f64], labels: &[f64], weights: &[f64]) -> Result<BTreeMap<String, f64>>;
            fn scores_of_rows(&self, points: &[f64], rows: &[Example], weights: Option<&[f64]>) -> Result<BTreeMap<String, f64>>;
            fn parameters(&self) -> serde_json::Value;
        }
    };
}

/// The methods of a trainer that make or take its model.
macro_rules! model_methods {
    ($how:ident) => {
        $how! {
            fn fit(&self, data: &Dataset) -> Result<AnyModel>;
            fn fit_beside(&self, data: &Dataset, earlier: &Dataset, of_earlier: &AnyModel) -> Result<AnyModel>;
            fn fit_points(&self, data: &Dataset) -> Result<AnyModel>;
            fn fit_like(&self, data: &Dataset, like: &AnyModel) -> Result<AnyModel>;
            fn fit_baseline(&self, data: &Dataset) -> Result<Option<AnyModel>>;
            fn read(&self, bytes: &[u8]) -> Result<AnyModel>;
        }
    };
}

/// The methods of a model that know nothing of its prediction's type.
macro_rules! predictor_methods {
    ($how:ident) => {
        $how! {
            fn point(&self, row: &FeatureRow) -> f64;
            fn intervals(&self, row: &FeatureRow) -> Option<[(f64, f64); 2]>;
            fn estimate(&self, row: &FeatureRow, levels: [f64; 2]) -> Estimate;
            fn reasons(&self, row: &FeatureRow) -> Vec<Attribution>;
            fn gains(&self) -> Vec<(String, f64)>;
            fn schema(&self) -> u64;
            fn to_bytes(&self) -> Result<Vec<u8>>;
        }
    };
}

/// The object-safe side of [`Trainer`].
trait ErasedTrainer: Send + Sync + Debug {
    untyped_methods!(declared);
    model_methods!(declared);
}

/// The object-safe side of [`Predictor`].
trait ErasedModel: Send + Sync + Debug {
    predictor_methods!(declared);
    fn as_any(&self) -> &dyn Any;
}

impl<T: Trainer<Model: 'static>> ErasedTrainer for Erased<T> {
    untyped_methods!(forwarded);

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

    fn fit_baseline(&self, data: &Dataset) -> Result<Option<AnyModel>> {
        Ok(self.0.fit_baseline(data)?.map(|model| AnyModel(Box::new(model))))
    }

    fn read(&self, bytes: &[u8]) -> Result<AnyModel> {
        Ok(AnyModel(Box::new(self.0.read(bytes)?)))
    }
}

impl<M: Predictor + 'static> ErasedModel for M {
    predictor_methods!(predicted);

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<P: Predictor + ?Sized> Predictor for Box<P> {
    type Prediction = P::Prediction;

    fn predict(&self, row: &FeatureRow) -> P::Prediction {
        P::predict(self, row)
    }

    predictor_methods!(boxed);
}

impl Trainer for AnyTrainer {
    type Model = AnyModel;

    untyped_methods!(forwarded);
    model_methods!(forwarded);
}

impl Predictor for AnyModel {
    type Prediction = Estimate;

    fn predict(&self, row: &FeatureRow) -> Estimate {
        self.0.estimate(row, super::LEVELS)
    }

    predictor_methods!(forwarded);
}
