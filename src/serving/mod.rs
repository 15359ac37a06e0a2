//! Predictions from memory: no I/O, no lock held while computing, one consistent set of models.

mod compute;
mod interval_levels;
mod models;
mod predict;
mod predictions;
mod service;
mod telemetry;

pub(crate) use interval_levels::Adapted;
pub use models::ModelChange;
pub(crate) use predictions::CandidatePrediction;
pub use predictions::Predictions;
pub use service::PredictionService;

#[cfg(all(test, feature = "simulate"))]
mod tests;
