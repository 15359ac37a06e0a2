//! Experiments and evaluation of decisions: A/B tests, off-policy evaluation, active learning, template variants and
//! retry policies.

pub mod ab_tests;
pub mod active_learning;
pub mod off_policy;
pub mod retry_policy;
pub mod template_variants;
mod unbounded;
mod unit;

pub use unit::Unit;
