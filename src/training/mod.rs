//! Training that can prove its promotions, and the proof on a host's own past.
//!
//! [`Training`] reads the store, fits, evaluates and registers; the [`Gate`] promotes, holds or refuses
//! with its reasons; a challenger on trial is compared on what came since, and a model whose record
//! falls below its evidence is rolled back. [`TrainingSchedule`] says when; [`tune`] and
//! [`select_features`] look for better settings within a budget; every run leaves a [`RunRecord`],
//! from which [`ModelCard`]s are made and the model can be made again.

mod backtest;
mod card;
mod evaluation;
mod feature_selection;
mod gate;
mod label_noise;
mod lease;
mod pipeline;
mod post_deployment;
mod register;
mod replay;
mod reproduce;
mod run_record;
mod schedule;
mod search;
mod search_spaces;
mod slices;
mod telemetry;
mod tracker;

pub use backtest::{
    BacktestOptions, BacktestReport, BacktestSplit, BacktestTiming, NightlyModel, backtest, backtest_with,
};
pub use card::ModelCard;
pub use evaluation::{Evaluated, Evaluation, Incumbent, Promotion, Split, TrainingOptions, fit_and_evaluate};
pub use feature_selection::{FeatureVerdict, Selection, SelectionOptions, select_features};
pub use gate::{AgainstChampion, Champion, Gate, GateDecision, GateVerdict};
pub use label_noise::AnomalousLabeler;
pub use pipeline::{NightlyReport, Training, TrainingReport, replay};
pub use post_deployment::{ChallengerReview, DeploymentCheck};
pub use replay::ReplayCache;
pub use reproduce::{Reproduction, reproduce};
pub use run_record::{DataRecord, RunRecord};
pub use schedule::{Due, TrainingClaim, TrainingSchedule, TrainingSignals};
pub use search::{Hyperparameter, Range, Study, StudyRecord, Trial, Tunable, TuningOptions, tune};
pub use slices::{CalibrationBin, Slice};
pub use tracker::{ExperimentTracker, JsonlTracker};
