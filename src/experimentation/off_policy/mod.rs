//! Off-policy evaluation: the value of a policy, estimated from logged decisions with propensities.
//!
//! [`LoggedDataset`] reads stored generations and [`replays`](LoggedDataset::replay) any fixed policy on them. Three
//! estimators are implemented: inverse propensity scoring (Horvitz and Thompson 1952), its self-normalized form
//! (Swaminathan and Joachims 2015), and the doubly robust estimator (Dudík, Langford and Li 2011), which starts from a
//! model of the reward and corrects it by weighted residuals: it is right if either the propensities or the model are,
//! and narrower the better the model is. Reports use the doubly robust one.
//!
//! Where the target policy would choose what was hardly ever tried (a positivity violation), there is no estimate but
//! the reason.

mod direct;
mod estimate;
mod logged_dataset;
mod overlap;
mod report;
mod reward;
mod row;

pub use estimate::{Interval95, OffPolicyOptions, PolicyEstimate};
pub use logged_dataset::{LoggedDataset, LoggedDatasetOptions, Skipped};
pub(in crate::experimentation) use overlap::{InsufficientOverlap, Overlap};
pub use report::PolicyReport;

#[cfg(test)]
mod tests;
