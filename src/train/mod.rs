//! Training that can prove its promotions, and the proof on a host's own past.

mod backtest;
mod gate;
mod judge;
mod pipeline;
mod templates;

pub use backtest::{
    BacktestOptions, BacktestReport, BacktestSplit, BacktestTiming, NightlyModel, backtest, backtest_with,
};
pub use gate::{Gate, GateVerdict};
pub use judge::{Evaluation, Judged, Split, TrainingOptions, fit_and_judge};
pub(crate) use pipeline::MAX_ARTEFACT_BYTES;
pub use pipeline::{TrainingReport, open_artefact, replay, train, train_all};
pub use templates::train_templates;
