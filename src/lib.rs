//! draft
pub mod clock;
pub mod error;
pub mod event;
pub mod features;
pub mod store;
pub use error::{Error, ErrorKind, Result};
