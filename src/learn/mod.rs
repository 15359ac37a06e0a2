//! How to fit: boosted trees, ridge regression, calibration.

mod boost;
mod calibrate;
mod linear;
mod tfidf;

pub use boost::{BoostParams, FitRequest, ForestParams, Matrix, Objective, Sample, Stopping, Trees};
pub use calibrate::{Reliability, Scaling, wilson};
pub use linear::{Linear, LinearParams, LinearRow, LinearTarget, logit, sigmoid};
pub use tfidf::Tfidf;
