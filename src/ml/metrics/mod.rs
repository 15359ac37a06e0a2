//! How good predictions were: scores, and the comparison of two predictors on the same rows.

mod binary;
mod delong;
mod importance;
mod paired;
mod ranking;
mod regression;
mod sequential;
mod slices;

pub use binary::{BinaryScores, log_loss, roc_auc};
pub(crate) use delong::auc_with_error;
pub use delong::{AucComparison, compare_auc};
pub use importance::{FeatureImportance, permutation_importance};
pub(crate) use paired::{Moments, Ratio, studentised};
pub use paired::{PairedComparison, compare_paired};
pub use ranking::{RankingScores, ndcg};
pub use regression::{IntervalScores, RegressionScores, pinball};
pub use sequential::compare_anytime;
pub use slices::{CalibrationBin, Slice};
pub(crate) use slices::{calibration_table, slices};
