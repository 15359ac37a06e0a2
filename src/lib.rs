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
//! use devmatrix_ml::serve::PredictionService;
//! use devmatrix_ml::store::MemoryStore;
//! use devmatrix_ml::train::{Gate, TrainingOptions, train};
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

// What can go wrong, what time it is, and how long computations are stopped.
pub mod clock;
pub mod error;
mod fnv;
mod verify;
pub mod work;
// What happened: a generation's start, end and feedback.
pub mod event;
// What is in the code.
pub mod code;
// What a description says.
pub mod text;
// What past tasks are like a new one.
pub mod similar;
// Where facts are kept.
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod store;
// How they get there.
pub mod collect;
// What was known at any moment.
pub mod history;
// What the models see of a task.
pub mod features;
// Rows to learn from.
pub mod dataset;
// Both as files for other tools and machines.
#[cfg(feature = "export")]
pub mod export;
// How to fit.
pub mod learn;
// What is predicted.
pub mod models;
// How good it was.
pub mod evaluate;
// From the store to the registry, through the gate.
pub mod train;
// Versions, stages and artefacts.
#[cfg(feature = "mlflow")]
pub mod mlflow;
pub mod registry;
// Answers from memory.
pub mod serve;
// What to do with it.
pub mod decide;
// What one sees of it.
pub mod monitor;
// Counters, histograms and spans, for the host's own recorder.
pub mod telemetry;
// A world whose truth is known.
#[cfg(feature = "simulate")]
pub mod simulate;

pub use error::{Error, ErrorKind, Result};

/// The README's programs are tests too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
