//! Training that can prove its promotions, and the proof on a host's own past.
//!
//! [`Training`] reads the store, fits, evaluates and registers; the [`Gate`] promotes, holds or refuses
//! with its reasons; a challenger on trial is compared on what came since, and a model whose record
//! falls below its evidence is rolled back. [`TrainingSchedule`] says when; [`tune`] and
//! [`select_features`] look for better settings within a budget; every run leaves a [`RunRecord`],
//! from which its [card](model_card) is made and the model can be made again.

mod backtest;
mod card;
mod evaluation;
mod facts;
mod feature_selection;
mod fitting;
mod forward_blocks;
mod gate;
mod label_noise;
mod leaks;
mod lease;
mod losses;
mod options;
mod pipeline;
mod post_deployment;
mod register;
mod replay;
mod report;
mod reproduce;
mod retrain;
mod run_record;
mod schedule;
mod search;
mod search_spaces;
mod slices;
mod telemetry;
mod tracker;

pub use backtest::{BacktestOptions, BacktestReport, BacktestSplit, NightlyModel, backtest, backtest_with};
#[cfg(feature = "mlflow")]
pub(crate) use card::ModelCard;
pub use card::model_card;
pub use evaluation::Evaluation;
pub use facts::replay;
pub use feature_selection::{Selection, SelectionOptions, select_features};
pub use gate::Gate;
pub use options::{Promotion, Split, TrainingOptions};
pub use pipeline::Training;
pub use post_deployment::DeploymentCheck;
pub use replay::ReplayCache;
pub use report::{NightlyReport, TrainingReport};
pub use reproduce::reproduce;
pub use run_record::RunRecord;
pub use schedule::{Due, TrainingClaim, TrainingSchedule, TrainingSignals};
pub use search::{Hyperparameter, Range, Study, Tunable, TuningOptions, tune};
pub(crate) use slices::CalibrationBin;
pub use tracker::{ExperimentTracker, JsonlTracker};

#[cfg(all(test, feature = "simulate"))]
mod tests;
