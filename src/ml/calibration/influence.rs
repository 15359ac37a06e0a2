//! How far one more outcome would move a calibration.

use super::newton::{dot, posterior_mode, solve, with_ridge};
use super::{Calibrator, VennAbers};
use crate::stats::sigmoid;

/// The two probabilities of a calibrator at a margin: fitted as if the new row had been among the
/// held-out ones as a failure, and as a success.
///
/// This is a Venn predictor by the calibration that gives the probability itself, so that the
/// probability always lies between the two. For isotonic regression they are the Venn-Abers
/// pair (Vovk and Petej 2014) exactly; for a calibration with coefficients, those of one refit whose
/// likelihood without the new row is taken to be normal (Laplace): as far apart as the row has
/// leverage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Influence {
    /// Second derivatives of the held-out rows' loss by the coefficients.
    curvature: [[f64; 3]; 3],
}

impl Influence {
    /// Measures how firmly the held-out rows hold the coefficients of `calibrator`, fitted to them.
    pub(crate) fn of(calibrator: &Calibrator, rows: &VennAbers) -> Self {
        let mut curvature = [[0.0; 3]; 3];
        for (margin, _, weight) in rows.groups() {
            let p = calibrator.probability(*margin);
            let basis = calibrator.basis(*margin);
            for i in 0..3 {
                for j in 0..3 {
                    curvature[i][j] += weight * p * (1.0 - p) * basis[i] * basis[j];
                }
            }
        }
        curvature[0][0] += calibrator.prior_precision();
        // Coefficients that the method does not have.
        (0..3).filter(|i| curvature[*i][*i] == 0.0).collect::<Vec<_>>().into_iter().for_each(|i| {
            curvature[i][i] = 1.0;
        });
        Self { curvature: with_ridge(curvature) }
    }

    /// Returns the probabilities at `margin` with the new row as a failure and as a success, which hold
    /// that of `calibrator`.
    pub(crate) fn pair(&self, calibrator: &Calibrator, rows: &VennAbers, margin: f64) -> (f64, f64) {
        let p = calibrator.probability(margin);
        let (low, high) = match calibrator {
            Calibrator::Isotonic(_) => rows.interval(margin),
            _ => self.refitted(calibrator, margin),
        };
        // Rounding alone is left to mend.
        (low.min(p), high.max(p))
    }

    fn refitted(&self, calibrator: &Calibrator, margin: f64) -> (f64, f64) {
        let basis = calibrator.basis(margin);
        let variance = dot(&basis, &solve(self.curvature, basis));
        let mean = calibrator.apply(margin);
        if !(variance > 0.0 && variance.is_finite()) {
            return (sigmoid(mean), sigmoid(mean));
        }
        let refit = |outcome| sigmoid(posterior_mode(mean, variance, outcome));
        (refit(0.0), refit(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ml::calibration::Method;
    use proptest::prelude::*;

    type Rows = (Vec<f64>, Vec<bool>, Vec<f64>);

    fn rows(found: &[(i32, bool, f64)]) -> Rows {
        let margins = found.iter().map(|row| f64::from(row.0) / 4.0).collect();
        (margins, found.iter().map(|row| row.1).collect(), found.iter().map(|row| row.2).collect())
    }

    fn pair(method: Method, (margins, labels, weights): &Rows, margin: f64) -> (f64, f64, f64) {
        let calibrator = Calibrator::fit(method, margins, labels, weights).unwrap();
        let fitted = VennAbers::fit(margins, labels, weights).unwrap();
        let (low, high) = Influence::of(&calibrator, &fitted).pair(&calibrator, &fitted, margin);
        (low, calibrator.probability(margin), high)
    }

    /// Against a refit to all rows and the new one. The smoothed targets of the refit move with the new
    /// row, by less than a tenth of its influence here.
    #[test]
    fn the_pair_is_what_refits_give() {
        let found: Vec<_> = (0..400).map(|i| (i % 17 - 8, (i * 7919) % 20 < (i % 17) + 2, 1.0)).collect();
        let (margins, labels, weights) = rows(&found);
        for method in [Method::Temperature, Method::Platt, Method::Beta] {
            for margin in [-1.75, 0.5, 2.0] {
                let (low, p, high) =
                    pair(method, &(margins.clone(), labels.clone(), weights.clone()), margin);
                for (label, told) in [(false, low), (true, high)] {
                    let (mut m, mut y, mut w) = (margins.clone(), labels.clone(), weights.clone());
                    m.push(margin);
                    y.push(label);
                    w.push(1.0);
                    let refitted = Calibrator::fit(method, &m, &y, &w).unwrap().probability(margin);
                    let off = (told - refitted).abs();
                    assert!(
                        off < 2e-4 + 0.1 * (told - p).abs(),
                        "{method:?} {margin}: {told} {refitted} {p}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_probability_lies_between_the_two(
            found in prop::collection::vec((-12_i32..12, any::<bool>(), 0.05..2.0_f64), 1..60),
            at in -20_i32..20,
        ) {
            let rows = rows(&found);
            for method in Method::ALL {
                let calibrator = Calibrator::fit(method, &rows.0, &rows.1, &rows.2).unwrap();
                let fitted = VennAbers::fit(&rows.0, &rows.1, &rows.2).unwrap();
                let (margin, influence) = (f64::from(at) / 4.0, Influence::of(&calibrator, &fitted));
                let raw = match calibrator {
                    Calibrator::Isotonic(_) => fitted.interval(margin),
                    _ => influence.refitted(&calibrator, margin),
                };
                let p = calibrator.probability(margin);
                // Without the guard against rounding.
                prop_assert!(raw.0 <= p + 1e-9 && p <= raw.1 + 1e-9, "{method:?}: {raw:?} {p}");
                let (low, high) = influence.pair(&calibrator, &fitted, margin);
                prop_assert!((0.0..=p).contains(&low) && (p..=1.0).contains(&high));
            }
        }
    }
}
