//! How good predictions were: scores, and the comparison of two predictors on the same rows.

mod binary;
mod delong;
mod paired;
mod ranking;
mod regression;
mod sequential;

pub use binary::{BinaryScores, log_loss, roc_auc};
pub use delong::{AucComparison, compare_auc};
pub(crate) use delong::{Z_95, auc_with_error};
pub(crate) use paired::{Moments, Ratio, studentised};
pub use paired::{PairedComparison, compare_paired};
pub use ranking::{RankingScores, ndcg};
pub use regression::{IntervalScores, RegressionScores, pinball};
pub use sequential::compare_anytime_valid;
