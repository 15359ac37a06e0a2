//! How good predictions were: scores, and the comparison of two predictors on the same rows.

mod binary;
mod delong;
mod paired;
mod ranking;
mod regression;
mod sequential;

pub use binary::BinaryScores;
pub(crate) use binary::log_loss;
pub(crate) use delong::{AucComparison, Z_95, auc_with_error, compare_auc};
pub(crate) use paired::{Moments, Ratio, studentised};
pub use paired::{PairedComparison, compare_paired};
pub use ranking::RankingScores;
pub(crate) use ranking::ndcg;
pub use regression::RegressionScores;
pub(crate) use regression::correlation;
pub(crate) use sequential::compare_anytime_valid;

#[cfg(test)]
pub(crate) use binary::roc_auc;

#[cfg(test)]
mod tests {
    use super::{compare_anytime_valid, compare_auc, compare_paired};
    use crate::ErrorKind;

    #[test]
    fn comparisons_of_no_rows_are_rejected_and_of_few_are_wide() {
        let nan = [f64::NAN, 1.0];
        assert!(compare_paired(&[], &[], &[], 0.9, 1).is_err());
        assert!(compare_paired(&nan, &[1.0, 1.0], &[0, 1], 0.9, 1).is_err());
        assert!(compare_paired(&[1.0], &[1.0, 2.0], &[0], 0.9, 1).is_err());
        for confidence in [f64::NAN, 0.0, 1.0, -1.0] {
            assert!(compare_paired(&[1.0], &[2.0], &[0], confidence, 1).is_err());
            assert!(compare_anytime_valid(&[1.0], &[2.0], &[0], confidence).is_err());
        }
        // A single cluster has no variance between clusters.
        for rows in [1, 500] {
            let (first, second, one) = (vec![0.0; rows], vec![1.0; rows], vec![7; rows]);
            let error = compare_paired(&first, &second, &one, 0.9, 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotEnoughData { have: 1, need: 2 });
            assert!(format!("{error:#}").contains("1 cluster"), "{error}");
            let anytime = compare_anytime_valid(&first, &second, &one, 0.9);
            assert!(if rows == 1 { anytime.unwrap().is_none() } else { anytime.is_err() });
        }
        let huge = compare_paired(&[f64::MAX, -f64::MAX], &[-f64::MAX, f64::MAX], &[0, 1], 0.9, 1);
        assert!(huge.is_err() || !huge.unwrap().is_better());
        assert!(compare_auc(&[0.1], &[0.1, 0.2], &[true]).is_err());
        assert!(compare_auc(&nan, &[0.1, 0.2], &[true, false]).is_err());
        assert_eq!(compare_auc(&[0.1, 0.2], &[0.1, 0.2], &[true, true]).unwrap(), None);
        assert_eq!(compare_auc(&[], &[], &[]).unwrap(), None);
        assert!(compare_anytime_valid(&nan, &[1.0, 1.0], &[0, 1], 0.9).is_err());
    }
}
