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
    BoostParams, BoostingLibrary, ExternalFormat, ExternalTrees, FitRequest, ForestParams, Margin, Matrix,
    Objective, Sample, Stopping, TreeFamily, Trees,
};
pub use calibration::{Beta, Calibrator, Isotonic, Method, Platt, Reliability, Scaling, wilson};
pub(crate) use calibration::{Influence, posterior_mode};
pub(crate) use calibration::{VennAbers, choose_calibrator};
pub(crate) use conformal::{AdaptiveLevel, QuantileConformal, ResidualConformal};
pub use conformal::{Interval, Scores};
pub(crate) use gaussian_process::{GaussianProcess, GpPrediction, MOST_OBSERVATIONS};
pub(crate) use item_response::ItemResponse;
pub use linear::{Linear, LinearLoss, LinearParams, LinearRow, LinearTarget};
pub(crate) use nearest_neighbors::NearestNeighbors;
pub use tfidf::Tfidf;
