//! Training on simulated worlds, as far as it needs what a host does not see.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod gate;
mod lease;
mod trials;
