//! draft
pub mod error;
pub mod clock;
pub mod event;
pub mod text;
pub mod store;
pub mod collect;
pub mod history;
pub mod features;
pub mod dataset;
pub mod learn;
pub mod models;
pub mod evaluate;
pub mod train;
pub mod registry;
pub mod serve;
pub use error::{Error, ErrorKind, Result};
