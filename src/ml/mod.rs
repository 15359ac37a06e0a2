//! How to fit: boosted trees, ridge regression, calibration, intervals that hold.

mod boosting;
mod calibration;
mod conformal;
mod gaussian_process;
mod item_response;
mod linear;
pub mod metrics;
mod nearest_neighbors;
mod tfidf;

pub use crate::stats::{logit, sigmoid};
pub use boosting::{
    BoostParams, BoostingLibrary, ExternalFormat, ExternalTrees, FitRequest, ForestParams,
    MAX_EXTERNAL_MODEL_BYTES, Margin, Matrix, Objective, Sample, Stopping, TreeFamily, Trees,
};
pub use calibration::{
    Beta, CalibrationChoice, Calibrator, Isotonic, Method, Platt, Reliability, Scaling, VennAbers,
    choose_calibrator, wilson,
};
pub use conformal::{AdaptiveLevel, Interval, QuantileConformal, ResidualConformal, Scores};
pub use gaussian_process::{GaussianProcess, GpPrediction, MOST_OBSERVATIONS};
pub use item_response::{Attempt, Difficulty, ItemResponse};
pub use linear::{Linear, LinearLoss, LinearParams, LinearRow, LinearTarget};
pub use nearest_neighbors::NearestNeighbors;
pub use tfidf::Tfidf;
