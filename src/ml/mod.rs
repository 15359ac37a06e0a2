//! How to fit: boosted trees, ridge regression, calibration, intervals that hold.

mod boost;
mod calibrate;
mod conformal;
mod gaussian_process;
mod item_response;
mod linear;
mod neighbours;
mod tfidf;

pub use boost::{
    BoostParams, Engine, FitRequest, ForeignFormat, ForeignTrees, ForestParams, MAX_FOREIGN_BYTES, Margin,
    Matrix, Objective, Sample, Stopping, TreeFamily, Trees,
};
pub use calibrate::{
    Beta, CalibrationChoice, Calibrator, Isotonic, Method, Platt, Reliability, Scaling, VennAbers,
    choose_calibrator, wilson,
};
pub use conformal::{AdaptiveLevel, Interval, QuantileConformal, ResidualConformal, Scores};
pub use gaussian_process::{GaussianProcess, Guess, MOST_OBSERVATIONS};
pub use item_response::{Attempt, Difficulty, ItemResponse};
pub use linear::{Linear, LinearLoss, LinearParams, LinearRow, LinearTarget, logit, sigmoid};
pub use neighbours::Neighbours;
pub use tfidf::Tfidf;
