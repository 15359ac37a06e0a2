//! What to do with what is known, and whether it was right.

pub mod experiments;
pub mod offpolicy;
mod past;
pub mod review;
mod unit;

pub use unit::Unit;
