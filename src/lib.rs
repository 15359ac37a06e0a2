//! Continuous learning for AI code generators, to be linked into the program that runs them.
//!
//! A host that sends tasks to LLM agents records each generation, asks before each what will come
//! of it and which LLM should do it, trains every night, and serves a new model only when evidence shows
//! that it may. One [`Engine`] does all of it.
//!
//! ```
//! use devmatrix_ml::{Candidate, Completion, Engine, Feedback, TaskContext, UserAction};
//!
//! # futures_executor::block_on(async {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path();
//! let engine = Engine::builder().with_path(path)?.with_usd_per_day(20.0).open().await?;
//! let candidates = ["claude-sonnet-4.5", "gpt-4.1-mini"].map(Candidate::by_llm);
//! for i in 0..120 {
//!     let mut task = TaskContext::of(format!("TASK-{i}"))?;
//!     task.agent_type = Some(["frontend", "backend"][i % 2].into());
//!     // 1. Choose by what is predicted, within the budget; record the start, the end, the feedback.
//!     let choice = engine.choose(&task, &candidates)?;
//!     let event = engine.start(&choice).await?;
//!     engine.complete(&event, Completion::default()).await?; // the host's agent has generated
//!     let action = if i % 2 == 0 { UserAction::Reject } else { UserAction::Approve };
//!     engine.feedback(&event, Feedback::new(action)).await?;
//! }
//! // 2. Train at night, from the host's own scheduler; the gate promotes, or says why not.
//! println!("{}", engine.run_nightly().await?);
//!
//! // 3. Ask before the next one.
//! let mut task = TaskContext::of("TASK-120")?;
//! task.agent_type = Some("frontend".into());
//! let success = engine.predict(&task)?.success;
//! println!("{:.0} % ({:?})", success.success_probability * 100.0, success.status);
//! # assert!(success.success_probability < 0.3, "{success:?}");
//! engine.close().await
//! # }).unwrap();
//! ```
//!
//! The parts behind it are public. The modules below stand in the order of the data's flow.
#![cfg_attr(docsrs, feature(doc_cfg))]
// With it, one file calls LightGBM's C interface: `ml/boosting/lightgbm/ffi.rs`.
#![cfg_attr(not(feature = "lightgbm"), forbid(unsafe_code))]

#[cfg(test)]
extern crate self as devmatrix_ml; // files shared with integration tests name the crate
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;

// Errors, and JSON as every door reads it.
pub mod error;
mod json;
// Time, strict reading of configuration, and the context in which long computations run.
pub mod clock;
pub mod config;
pub mod execution;
mod stats;
mod verify;
// Local time by the newest rules.
mod zones;
// Names and descriptions of what is counted, for the host's own recorder.
pub mod telemetry;
// Facts: a generation's start, completion and feedback.
pub mod event;
// Metrics of generated code.
pub mod code_metrics;
// Facts in a description.
pub mod text;
// Similar descriptions.
pub mod similarity;
// Where facts are stored.
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod store;
// History from elsewhere: pull requests, traces, spend logs, trajectories, tables.
pub mod import;
// Model versions, stages and artefacts.
pub mod registry;
// As-of aggregates of outcomes.
pub mod history;
// The features of a task.
pub mod features;
// Training rows.
pub mod dataset;
// How facts get into the store.
pub mod collect;
// Events, features and training sets as Parquet.
#[cfg(feature = "export")]
pub mod export;
// Estimators and metrics.
pub mod ml;
// The models made of them.
pub mod models;
// From the store to the registry, through the promotion gate.
pub mod training;
// Runs and models mirrored to MLflow.
#[cfg(feature = "mlflow")]
pub mod mlflow;
// Predictions from memory.
pub mod serving;
// Which LLM, template and settings.
pub mod routing;
// A/B tests, off-policy evaluation, active learning, template variants, retry policies.
pub mod experimentation;
// KPIs, calibration, drift, alerts and the dashboard.
pub mod monitoring;
// All of it behind one object.
pub mod engine;
// An environment whose truth is known.
#[cfg(feature = "simulate")]
pub mod simulate;

pub use engine::{Engine, EngineBuilder};
pub use error::{Error, ErrorKind, Result};
pub use event::{Completion, EventId, Feedback, TaskContext, TaskId, UserAction};
pub use routing::{Candidate, Choice};
pub use serving::Predictions;
pub use store::Subject;

/// Compiles and runs the programs of the README and of the documentation's pages as tests.
#[cfg(doctest)]
mod pages {
    macro_rules! pages {
        ($($(#[$when:meta])? $name:ident: $path:literal,)*) => {
            $($(#[$when])? #[doc = include_str!(concat!("../", $path))] struct $name;)*
        };
    }
    pages! {
        Readme: "README.md",
        #[cfg(feature = "dashboard")]
        Tutorial: "docs/tutorial.md",
        Routing: "docs/how-to/routing.md",
        Alerts: "docs/how-to/alerts.md",
        #[cfg(feature = "linfa-estimators")]
        OwnModel: "docs/how-to/own-model.md",
        OwnColumns: "docs/how-to/own-columns.md",
        Cost: "docs/how-to/cost.md",
        TrainingTimes: "docs/how-to/training-schedule.md",
        Erasure: "docs/how-to/erasure.md",
        #[cfg(feature = "postgres")]
        Postgresql: "docs/how-to/postgresql.md",
        #[cfg(feature = "mlflow")]
        Mlflow: "docs/how-to/mlflow-and-python.md",
    }
}
