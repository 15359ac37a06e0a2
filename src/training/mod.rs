//! Training that can prove its promotions, and the proof on a host's own past.
//!
//! [`Training`] reads the store, fits, judges and registers; the [`Gate`] promotes, holds or refuses
//! with its reasons; a challenger on trial is compared on what came since, and a model whose record
//! falls below its evidence is rolled back. [`TrainingSchedule`] says when; [`tune`] and
//! [`select_features`] look for better settings within a budget; every run leaves a [`RunRecord`],
//! from which [`ModelCard`]s are made and the model can be made again.

mod backtest;
mod card;
mod gate;
mod judge;
mod live;
mod pipeline;
mod record;
mod register;
mod reproduce;
mod schedule;
mod select;
mod spaces;
mod suspects;
mod templates;
mod tracker;
mod tune;

pub use backtest::{
    BacktestOptions, BacktestReport, BacktestSplit, BacktestTiming, NightlyModel, backtest, backtest_with,
};
pub use card::ModelCard;
pub use gate::{AgainstChampion, Champion, Decision, Gate, GateVerdict};
pub use judge::{Evaluation, Judged, Promotion, Rival, Split, TrainingOptions, fit_and_judge};
pub use live::{Review, Watch};
pub(crate) use pipeline::MAX_ARTEFACT_BYTES;
pub use pipeline::{Night, Training, TrainingReport, open_artefact, replay, train, train_all};
pub use record::{DataRecord, RunRecord};
pub use reproduce::{Reproduction, reproduce};
pub use schedule::{Due, TrainingClaim, TrainingSchedule, TrainingSignals};
pub use select::{FeatureVerdict, Selection, SelectionOptions, select_features};
pub use suspects::Suspect;
pub use templates::train_templates;
pub use tracker::{ExperimentTracker, JsonlTracker};
pub use tune::{Knob, Range, Trial, Tunable, Tuned, TuningOptions, TuningRecord, tune};
