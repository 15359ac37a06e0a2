//! Continuous learning for AI code generators, to be linked into the program that runs them.
//!
//! A host that sends tasks to LLM agents records each generation, asks before each what will come
//! of it, trains every night, and serves a new model only when evidence shows that it may.
//!
//! ```
//! use chrono::TimeDelta;
//! use devmatrix_ml::clock::{Clock, ManualClock};
//! use devmatrix_ml::collect::DataCollector;
//! use devmatrix_ml::event::{Completion, Feedback, TaskContext, TaskId, UserAction};
//! use devmatrix_ml::features::FeatureEngineer;
//! use devmatrix_ml::models::{Status, SuccessTrainer};
//! use devmatrix_ml::registry::MemoryRegistry;
//! use devmatrix_ml::serving::PredictionService;
//! use devmatrix_ml::store::MemoryStore;
//! use devmatrix_ml::training::{Gate, TrainingOptions, train};
//! use std::sync::Arc;
//!
//! # futures_executor::block_on(async {
//! let clock = Arc::new(ManualClock::at("2025-03-03T09:00:00Z".parse().unwrap()));
//! let (store, registry) = (Arc::new(MemoryStore::new()), MemoryRegistry::new());
//! let engineer = FeatureEngineer::default();
//! let collector = DataCollector::open(store.clone(), engineer.clone(), clock.clone()).await?;
//! let service = PredictionService::new(collector.history(), engineer.clone(), clock.clone());
//!
//! // 1. Record each generation: its start, its end, what the user said.
//! for i in 0..300 {
//!     let mut task = TaskContext::new(TaskId::new(format!("TASK-{i}"))?);
//!     task.agent_type = Some(if i % 3 == 0 { "frontend" } else { "backend" }.into());
//!     task.task_description = format!("Add page {i}");
//!     let event = collector.start(task).await?;
//!     collector.complete(&event, Completion::default()).await?;
//!     let action = if i % 3 == 0 { UserAction::Reject } else { UserAction::Approve };
//!     collector.feedback(&event, Feedback::new(action)).await?;
//!     clock.advance(TimeDelta::hours(1));
//! }
//!
//! // 2. Train at night, on the host's own scheduler; the gate promotes, or says why not.
//! let mut options = TrainingOptions::default();
//! options.gate = Gate::relative();
//! let trainer = SuccessTrainer::default();
//! let report = train(&trainer, store.as_ref(), &registry, &engineer, clock.as_ref(), &options).await?;
//! assert!(report.promoted, "{:?}", report.reasons);
//! service.reload(&registry).await?;
//!
//! // 3. Ask before the next one.
//! let mut task = TaskContext::new(TaskId::new("TASK-301")?);
//! task.agent_type = Some("frontend".into());
//! let prediction = service.predict_success(&task)?;
//! assert_eq!(prediction.status, Status::Calibrated);
//! assert!(prediction.success_probability < 0.2);
//! println!("{:.0} %: {}", prediction.success_probability * 100.0, prediction.risk_factors[0].text);
//! # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
//! ```
//!
//! The modules below stand in the order of the data's way.
#![cfg_attr(docsrs, feature(doc_cfg))]
// With it, one file calls LightGBM's C interface: `learn/boost/lightgbm/ffi.rs`.
#![cfg_attr(not(feature = "lightgbm"), forbid(unsafe_code))]

// Errors, time, and the context in which long computations run.
pub mod clock;
pub mod error;
pub mod execution;
mod stats;
mod verify;
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

/// The README's programs are tests too, where all that they show is compiled.
#[cfg(all(doctest, feature = "mlflow", feature = "postgres"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
