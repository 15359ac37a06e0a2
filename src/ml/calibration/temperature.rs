//! Temperature scaling: one factor on log-odds.
use crate::stats::sigmoid;
use serde::{Deserialize, Serialize};

/// A factor on log-odds, fitted on rows that the model has not seen (temperature scaling: Platt's
/// method without its intercept; Guo et al. 2017).
///
/// An intercept would learn the drift between the rows of the fit and those held out, and carry it
/// on after the drift has been learned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scaling {
    slope: f64,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { slope: 1.0 }
    }
}

const STEPS: usize = 50;

impl Scaling {
    /// Prior precision of the slope around 1 (normal prior).
    pub(super) const PRECISION: f64 = 40.0;

    /// Fits the slope by Newton's method with shrinkage toward 1, clamped to [0.1, 3]. The weights of
    /// correlated rows should sum to 1.
    pub(crate) fn fit(margins: &[f64], labels: &[bool], weights: &[f64]) -> Self {
        let mut slope = 1.0;
        for _ in 0..STEPS {
            let (mut gradient, mut curvature) = (Self::PRECISION * (slope - 1.0), Self::PRECISION);
            for ((m, y), weight) in margins.iter().zip(labels).zip(weights) {
                let p = sigmoid(slope * m);
                gradient += weight * (p - f64::from(u8::from(*y))) * m;
                curvature += weight * p * (1.0 - p) * m * m;
            }
            let step = gradient / curvature;
            if step.is_nan() {
                break;
            }
            slope = (slope - step).clamp(0.1, 3.0);
            if step.abs() <= 1e-9 {
                break;
            }
        }
        Self { slope }
    }

    /// The calibrated log-odds of a margin.
    pub(crate) fn apply(self, margin: f64) -> f64 {
        self.slope * margin
    }

    pub(crate) fn is_sound(self) -> bool {
        (0.0..=10.0).contains(&self.slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overconfident_margins_are_drawn_in() {
        // Margins of ±4 (98 %) of which only 75 % are right.
        let margins: Vec<_> = (0..800).map(|i| if i % 2 == 0 { 4.0 } else { -4.0 }).collect();
        let labels: Vec<_> = (0..800).map(|i| (i % 2 == 0) == (i % 8 < 6)).collect();
        let p = sigmoid(Scaling::fit(&margins, &labels, &[1.0; 800]).apply(4.0));
        assert!((p - 0.75).abs() < 0.03, "{p}");
    }

    #[test]
    fn no_rows_change_nothing() {
        assert_eq!(Scaling::fit(&[], &[], &[]), Scaling::default());
    }
}
