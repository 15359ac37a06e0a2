//! Scores of predicted probabilities against what happened.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How well probabilities fit outcomes.
///
/// ```
/// use devmatrix_ml::ml::metrics::BinaryScores;
/// let scores = BinaryScores::of(&[0.9, 0.8, 0.3, 0.1], &[true, true, true, false])?;
/// assert_eq!((scores.auc, scores.accuracy), (Some(1.0), 0.75));
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BinaryScores {
    /// Area under the ROC curve; `None` when all outcomes are the same.
    pub auc: Option<f64>,
    /// Mean negative log-likelihood, in nats.
    pub logloss: f64,
    /// Mean squared error of the probability (Brier 1950).
    pub brier: f64,
    /// Expected calibration error over ten equally wide bins (Naeini et al. 2015).
    pub ece: f64,
    /// Share of outcomes on the predicted side of one half.
    pub accuracy: f64,
    /// Harmonic mean of precision and recall of success; 0 where neither was right.
    pub(crate) f1: f64,
    /// Rows scored.
    pub n: usize,
}

/// Probabilities are kept this far from 0 and 1 when their logarithm is taken.
const EDGE: f64 = 1e-15;
const ECE_BINS: usize = 10;

impl BinaryScores {
    /// Scores `probabilities` against `outcomes`.
    ///
    /// # Errors
    /// `InvalidInput` when they differ in number, are empty, or a probability is not in [0, 1].
    pub fn of(probabilities: &[f64], outcomes: &[bool]) -> Result<Self> {
        Self::weighted(probabilities, outcomes, &vec![1.0; probabilities.len()])
    }

    /// Computes the scores with row weights, such as inverse response propensities.
    ///
    /// # Errors
    /// Those of [`BinaryScores::of`]; `InvalidInput` when a weight is not above 0 or they differ in number.
    pub(crate) fn weighted(probabilities: &[f64], outcomes: &[bool], weights: &[f64]) -> Result<Self> {
        check(probabilities, outcomes)?;
        if weights.len() != outcomes.len() || !weights.iter().all(|w| *w > 0.0 && *w <= 1e9) {
            return Err(Error::invalid("scores: give one weight above 0 a row"));
        }
        let n = probabilities.len();
        let total: f64 = weights.iter().sum();
        let rows = || probabilities.iter().zip(outcomes).zip(weights);
        let mean =
            |f: &dyn Fn(f64, bool) -> f64| rows().map(|((p, y), w)| w * f(*p, *y)).sum::<f64>() / total;
        let count = |f: &dyn Fn(bool, bool) -> bool| mean(&|p, y| f64::from(u8::from(f(p >= 0.5, y))));
        let (hit, said, real) = (count(&|p, y| p && y), count(&|p, _| p), count(&|_, y| y));
        Ok(Self {
            // Weights that depend on the outcome alone do not change the AUC.
            auc: roc_auc(probabilities, outcomes),
            logloss: mean(&log_loss),
            brier: mean(&|p, y| (p - f64::from(u8::from(y))).powi(2)),
            ece: calibration_error(probabilities, outcomes, weights),
            accuracy: count(&|p, y| p == y),
            f1: if hit > 0.0 { 2.0 * hit / (said + real) } else { 0.0 },
            n,
        })
    }
}

impl BinaryScores {
    /// The scores by name; `auc` is left out where it is not defined.
    pub fn to_map(&self) -> BTreeMap<String, f64> {
        let named = [
            ("logloss", self.logloss),
            ("brier", self.brier),
            ("ece", self.ece),
            ("accuracy", self.accuracy),
            ("f1", self.f1),
        ];
        let auc = self.auc.map(|auc| ("auc", auc));
        named.into_iter().chain(auc).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The negative log-likelihood of one outcome, in nats.
pub(crate) fn log_loss(probability: f64, outcome: bool) -> f64 {
    let p = if outcome { probability } else { 1.0 - probability };
    -p.clamp(EDGE, 1.0).ln()
}

/// Area under the ROC curve by ranks, ties counting half (Mann and Whitney 1947); `None` when all
/// outcomes are the same.
pub(crate) fn roc_auc(scores: &[f64], outcomes: &[bool]) -> Option<f64> {
    let mut order: Vec<_> = (0..scores.len().min(outcomes.len())).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let (mut before, mut rank_sum) = (0.0, 0.0);
    for tie in order.chunk_by(|a, b| scores[*a].total_cmp(&scores[*b]).is_eq()) {
        let rank = before + 0.5 * (tie.len() as f64 + 1.0);
        rank_sum += rank * tie.iter().filter(|i| outcomes[**i]).count() as f64;
        before += tie.len() as f64;
    }
    let positive = order.iter().filter(|i| outcomes[**i]).count() as f64;
    let negative = order.len() as f64 - positive;
    (positive > 0.0 && negative > 0.0)
        .then(|| (rank_sum - positive * (positive + 1.0) / 2.0) / (positive * negative))
}

fn calibration_error(probabilities: &[f64], outcomes: &[bool], weights: &[f64]) -> f64 {
    let mut bins = [(0.0, 0.0); ECE_BINS];
    for ((p, y), w) in probabilities.iter().zip(outcomes).zip(weights) {
        let bin = &mut bins[((p * ECE_BINS as f64) as usize).min(ECE_BINS - 1)];
        bin.0 += w * p;
        bin.1 += w * f64::from(u8::from(*y));
    }
    bins.iter().map(|(p, y)| (p - y).abs()).sum::<f64>() / weights.iter().sum::<f64>()
}

fn check(probabilities: &[f64], outcomes: &[bool]) -> Result<()> {
    if probabilities.len() != outcomes.len() || probabilities.is_empty() {
        return Err(Error::invalid(format!(
            "{} probabilities against {} outcomes: give as many, and at least one",
            probabilities.len(),
            outcomes.len()
        )));
    }
    match probabilities.iter().position(|p| !(0.0..=1.0).contains(p)) {
        Some(row) => {
            Err(Error::invalid(format!("probability {} of row {row} is not in [0, 1]", probabilities[row])))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values from scikit-learn 1.9.1: `roc_auc_score`, `log_loss`, `brier_score_loss`, `f1_score`.
    #[test]
    fn scores_equal_the_reference() {
        let p = [0.1, 0.4, 0.35, 0.8, 0.65, 0.5];
        let y = [false, false, true, true, false, true];
        let s = BinaryScores::of(&p, &y).unwrap();
        assert!((s.auc.unwrap() - 0.666_666_666_666_666_6).abs() < 1e-12);
        assert!((s.logloss - 0.605_353_520_05).abs() < 1e-9, "{}", s.logloss);
        assert!((s.brier - 0.217_5).abs() < 1e-9, "{}", s.brier);
        assert!((s.f1 - 2.0 / 3.0).abs() < 1e-12);
        assert!((s.accuracy - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn ties_count_half_and_one_sided_outcomes_have_no_area() {
        assert_eq!(roc_auc(&[0.5; 4], &[true, false, true, false]), Some(0.5));
        assert_eq!(roc_auc(&[0.1, 0.9], &[true, true]), None);
        assert!(BinaryScores::of(&[f64::NAN], &[true]).is_err());
        assert!(BinaryScores::of(&[], &[]).is_err());
    }

    proptest! {
        #[test]
        fn area_turns_round_with_the_scores(rows in prop::collection::vec((0.0..=1.0_f64, any::<bool>()), 2..200)) {
            let (p, y): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            let turned: Vec<_> = p.iter().map(|p| -p).collect();
            if let (Some(a), Some(b)) = (roc_auc(&p, &y), roc_auc(&turned, &y)) {
                prop_assert!((a + b - 1.0).abs() < 1e-9);
                prop_assert!((0.0..=1.0).contains(&a));
            }
        }
    }
}
