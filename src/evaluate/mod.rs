//! How good predictions were: scores, and the comparison of two predictors on the same rows.

mod binary;
mod importance;
mod paired;
mod ranking;
mod regression;

pub use binary::{BinaryScores, log_loss, roc_auc};
pub use importance::{FeatureImportance, permutation_importance};
pub use paired::{PairedComparison, compare_paired};
pub use ranking::{RankingScores, ndcg};
pub use regression::{IntervalScores, RegressionScores, pinball};
