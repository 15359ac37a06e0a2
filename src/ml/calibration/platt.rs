//! A factor and a shift on log-odds.

use super::{check, newton, smoothed_targets};
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Platt scaling (Platt 1999, with his smoothed targets; Newton steps as of Lin, Lin and Weng 2007):
/// the calibrated log-odds are slope · margin + intercept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Platt {
    slope: f64,
    intercept: f64,
}

impl Platt {
    /// Fits to held-out log-odds and what came true. Rows that rise and fall together should share
    /// the weight of one.
    ///
    /// # Errors
    /// `InvalidInput` when the numbers of rows differ or a value is out of range.
    pub(crate) fn fit(margins: &[f64], labels: &[bool], weights: &[f64]) -> Result<Self> {
        check(margins, labels, weights)?;
        let rows: Vec<_> = margins.iter().map(|m| [*m, 1.0]).collect();
        let targets = smoothed_targets(labels, weights);
        let [slope, intercept] = newton::fit(&rows, &targets, weights, [1.0, 0.0]);
        Ok(Self { slope, intercept })
    }

    /// The calibrated log-odds of a margin.
    pub(crate) fn apply(&self, margin: f64) -> f64 {
        self.slope * margin + self.intercept
    }

    /// Whether what was read back can be used.
    pub(crate) fn is_sound(&self) -> bool {
        self.slope.abs() <= 1e9 && self.intercept.abs() <= 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ml::calibration::golden::{LABELS, MARGINS, WEIGHTS};

    const PLAIN_SLOPE: f64 = 0.267_361_368_772;
    const PLAIN_INTERCEPT: f64 = -0.245_467_886_106;
    const WEIGHTED_SLOPE: f64 = 0.328_568_621_777;
    const WEIGHTED_INTERCEPT: f64 = 0.029_895_079_187;

    /// `_sigmoid_calibration` of scikit-learn 1.9.1 (whose signs are turned round).
    #[test]
    fn coefficients_equal_the_reference() {
        let plain = Platt::fit(&MARGINS, &LABELS, &[1.0; 16]).unwrap();
        assert!((plain.slope - PLAIN_SLOPE).abs() < 1e-5, "{plain:?}");
        assert!((plain.intercept - PLAIN_INTERCEPT).abs() < 1e-5, "{plain:?}");
        let weighted = Platt::fit(&MARGINS, &LABELS, &WEIGHTS).unwrap();
        assert!((weighted.slope - WEIGHTED_SLOPE).abs() < 1e-5, "{weighted:?}");
        assert!((weighted.intercept - WEIGHTED_INTERCEPT).abs() < 1e-5, "{weighted:?}");
    }

    #[test]
    fn rows_that_say_nothing_or_all_stay_finite() {
        for (margins, labels) in [
            ([0.0; 4], [true; 4]),
            ([-1.0, -2.0, 1.0, 2.0], [false, false, true, true]),
            ([1e4; 4], [false; 4]),
        ] {
            let fitted = Platt::fit(&margins, &labels, &[1.0; 4]).unwrap();
            assert!(fitted.is_sound() && fitted.apply(3.0).is_finite(), "{fitted:?}");
        }
        assert!(Platt::fit(&[f64::NAN], &[true], &[1.0]).is_err());
        assert!(Platt::fit(&[1.0], &[true], &[0.0]).is_err());
        assert!(Platt::fit(&[], &[], &[]).is_err());
    }
}
