//! How to fit: boosted trees, ridge regression, calibration, intervals that hold.

#[cfg(all(test, feature = "linfa-estimators"))]
mod against_linfa;
mod boosting;
mod calibration;
mod conformal;
mod gaussian_process;
mod item_response;
mod lbfgs;
mod linear;
pub mod metrics;
mod ordinal;
mod tfidf;

pub use boosting::{
    BoostParams, BoostingLibrary, FitRequest, ForestParams, Matrix, Objective, Sample, TreeFamily, Trees,
};
pub(crate) use boosting::{ExternalTrees, Margin};
pub(crate) use calibration::{
    Calibrator, Influence, Method, Reliability, Scaling, VennAbers, choose_calibrator, posterior_mode, wilson,
};
pub(crate) use conformal::{AdaptiveLevel, Interval, QuantileConformal, ResidualConformal};
pub(crate) use gaussian_process::{GaussianProcess, GpPrediction, GpRow, MOST_OBSERVATIONS, TextsObserved};
pub(crate) use item_response::ItemResponse;
pub(crate) use linear::{Linear, LinearLoss, LinearParams, LinearRow, LinearTarget};
pub(crate) use ordinal::{OrdinalRegression, SparseRow};
pub(crate) use tfidf::Tfidf;
