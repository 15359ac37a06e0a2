//! How to fit: boosted trees, ridge regression, calibration, intervals that hold.

mod boost;
mod calibrate;
mod conformal;
mod linear;
mod neighbours;
mod tfidf;

pub use boost::{BoostParams, FitRequest, ForestParams, Matrix, Objective, Sample, Stopping, Trees};
pub use calibrate::{
    Beta, CalibrationChoice, Calibrator, Isotonic, Method, Platt, Reliability, Scaling, VennAbers,
    choose_calibrator, wilson,
};
pub use conformal::{AdaptiveLevel, Interval, QuantileConformal, ResidualConformal, Scores};
pub use linear::{Linear, LinearLoss, LinearParams, LinearRow, LinearTarget, logit, sigmoid};
pub use neighbours::Neighbours;
pub use tfidf::Tfidf;
