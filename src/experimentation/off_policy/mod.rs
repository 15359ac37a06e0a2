//! What would another policy have done? Judged from choices whose odds were stored.
//!
//! Three estimators of what a target policy would have reached, had it chosen where another policy
//! did: [`Estimator::Ips`] weighs what was reached by how much likelier the target policy is to choose
//! so (Horvitz and Thompson 1952); [`Estimator::SelfNormalised`] divides by the sum of the weights
//! (Swaminathan and Joachims 2015); [`Estimator::DoublyRobust`] starts from a model of the reward and
//! corrects it by the weighted residuals (Dudík, Langford and Li 2011), which is right if either the
//! odds or the model is, and narrower the better the model is.
//!
//! Where the target policy would choose what was never tried, or hardly ever, the answer is
//! [`PolicyAnswer::InsufficientOverlap`], with the reason.
//!
//! [`LoggedDataset`] reads stored generations and [`replays`](LoggedPast::replay) any fixed policy on them.

mod estimate;
mod logged_dataset;
mod overlap;
mod report;
mod reward;
mod row;

pub use estimate::{Estimator, Interval95, OffPolicyOptions, PolicyAnswer, PolicyEstimate, estimate_policy};
pub use logged_dataset::{LoggedDataset, LoggedDatasetOptions, LoggedGeneration, Skipped};
pub use overlap::{InsufficientOverlap, Overlap};
pub use report::PolicyReport;
pub use reward::{cross_fit, cross_fit_ridge};
pub use row::LoggedChoice;
