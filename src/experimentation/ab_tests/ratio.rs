//! Sample ratio mismatch (SRM) check.

use serde::{Deserialize, Serialize};

/// Units by arm compared with the planned shares.
///
/// The evidence is the Bayes factor of other shares (a Dirichlet prior around the planned ones) against the planned ones:
/// under the planned ones it ever exceeds 1 / α with probability α at most (Lindon and Malek 2022, "Anytime-valid
/// inference for multinomial count data").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SampleRatio {
    pub(crate) units: Vec<u64>,
    pub(crate) planned: Vec<f64>,
    /// Pearson's χ² with one degree of freedom less than there are arms: valid for a single analysis.
    pub(crate) chi_square: f64,
    /// The logarithm of the evidence against the planned shares.
    pub(crate) log_evidence: f64,
}

/// Strength of the prior in units an arm: with 100, deviations of a few percent are found soonest.
const STRENGTH: f64 = 100.0;

impl SampleRatio {
    /// Compares `units` with the `planned` shares, which are above 0 and add up to 1.
    pub(super) fn of(units: &[u64], planned: &[f64]) -> Self {
        let total: u64 = units.iter().sum();
        let strength = STRENGTH * planned.len() as f64;
        let (mut chi_square, mut log_evidence) = (0.0, 0.0);
        for (n, share) in units.iter().zip(planned) {
            let expected = total as f64 * share;
            if total > 0 {
                chi_square += (*n as f64 - expected).powi(2) / expected;
            }
            log_evidence += rising(strength * share, *n) - *n as f64 * share.ln();
        }
        log_evidence -= rising(strength, total);
        Self { units: units.to_vec(), planned: planned.to_vec(), chi_square, log_evidence }
    }

    /// Checks for a mismatch at the significance level `alpha` over all analyses.
    pub(crate) fn is_faulty(&self, alpha: f64) -> bool {
        self.log_evidence > -alpha.ln()
    }
}

/// ln Γ(a + n) - ln Γ(a).
fn rising(a: f64, n: u64) -> f64 {
    let steps = n.min(SUMMED);
    let mut sum: f64 = (0..steps).map(|k| (a + k as f64).ln()).sum();
    if n > steps {
        sum += stirling(a + n as f64) - stirling(a + steps as f64);
    }
    sum
}

/// Beyond this many the logarithms are not added up one by one.
const SUMMED: u64 = 1_000;

/// ln Γ by Stirling's series, for numbers above 100 exact to the last digits.
fn stirling(x: f64) -> f64 {
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_and_sum_agree() {
        let summed: f64 = (0..5_000).map(|k| (7.5 + f64::from(k)).ln()).sum();
        assert!((rising(7.5, 5_000) - summed).abs() < 1e-8);
    }

    #[test]
    fn a_shift_is_found_and_chance_is_not() {
        assert!(!SampleRatio::of(&[0, 0], &[0.5, 0.5]).is_faulty(0.001));
        let chance = SampleRatio::of(&[5_050, 4_950], &[0.5, 0.5]);
        assert!(!chance.is_faulty(0.001) && (chance.chi_square - 1.0).abs() < 1e-9);
        assert!(SampleRatio::of(&[5_300, 4_700], &[0.5, 0.5]).is_faulty(0.001));
        assert!(SampleRatio::of(&[400, 100, 500], &[0.5, 0.1, 0.4]).is_faulty(0.001));
    }
}
