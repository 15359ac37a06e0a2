//! Which calibration to trust.

use super::{Beta, Isotonic, Platt, Scaling, check};
use crate::error::Result;
use crate::ml::metrics::log_loss;
use crate::stats::{logit, sigmoid};
use serde::{Deserialize, Serialize};

/// The methods of calibration, from the simplest to the most flexible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub(crate) enum Method {
    /// Probabilities as they are.
    Identity,
    /// One factor: [`Scaling`].
    Temperature,
    /// A factor and a shift: [`Platt`].
    Platt,
    /// Two factors and a shift: [`Beta`].
    Beta,
    /// Any never falling function: [`Isotonic`].
    Isotonic,
}

/// A fitted calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub(crate) enum Calibrator {
    /// Probabilities as they are.
    Identity,
    /// One factor on log-odds.
    Temperature(Scaling),
    /// A factor and a shift on log-odds.
    Platt(Platt),
    /// Two factors and a shift.
    Beta(Beta),
    /// Any never falling function.
    Isotonic(Isotonic),
}

/// A calibration, and what spoke for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub(crate) struct CalibrationChoice {
    /// The chosen one, fitted to all rows.
    pub(crate) calibrator: Calibrator,
    /// Every method's mean log loss on rows after those it was fitted to, in nats, from the simplest
    /// on; empty where the rows were too few to compare.
    pub(crate) losses: Vec<(Method, f64)>,
}

/// With fewer rows a fold, the folds' losses would be chance.
const ROWS_A_FOLD: usize = 20;

/// Picks a calibration for held-out `margins` (log-odds), their `labels` and `weights`, in the order
/// of time: of `folds` + 1 blocks, each but the first is predicted by fits to those before it. The
/// simplest method is taken whose loss is at most one standard error above the least (Breiman et al.
/// 1984), where the error is that of the mean difference over the same rows. With fewer than 20 rows
/// a block nothing is changed.
///
/// # Errors
/// `InvalidInput` when the numbers of rows differ or a value is out of range.
pub(crate) fn choose_calibrator(
    margins: &[f64],
    labels: &[bool],
    weights: &[f64],
    folds: usize,
) -> Result<CalibrationChoice> {
    check(margins, labels, weights)?;
    let rows = Rows { margins, labels, weights };
    let blocks = folds.clamp(1, 1000) + 1;
    if margins.len() < blocks * ROWS_A_FOLD {
        return Ok(CalibrationChoice { calibrator: Calibrator::Identity, losses: Vec::new() });
    }
    let losses = Method::ALL.map(|method| rows.losses_after(method, blocks));
    let weights = &weights[weights.len() / blocks..];
    let means = losses.each_ref().map(|losses| mean_and_error(losses, weights).0);
    let best = (0..losses.len()).min_by(|a, b| means[*a].total_cmp(&means[*b])).unwrap_or(0);
    let close = |other: &usize| {
        let behind: Vec<_> = losses[*other].iter().zip(&losses[best]).map(|(a, b)| a - b).collect();
        let (mean, error) = mean_and_error(&behind, weights);
        mean <= error
    };
    let chosen = (0..=best).find(close).unwrap_or(best);
    let calibrator = rows.fit(Method::ALL[chosen]);
    Ok(CalibrationChoice { calibrator, losses: Method::ALL.into_iter().zip(means).collect() })
}

impl Method {
    /// All of them, from the simplest on.
    pub(crate) const ALL: [Self; 5] =
        [Self::Identity, Self::Temperature, Self::Platt, Self::Beta, Self::Isotonic];
}

impl Calibrator {
    /// Fits `method` to held-out log-odds and what came true.
    ///
    /// # Errors
    /// `InvalidInput` when the numbers of rows differ or a value is out of range.
    pub(crate) fn fit(method: Method, margins: &[f64], labels: &[bool], weights: &[f64]) -> Result<Self> {
        check(margins, labels, weights)?;
        Ok(match method {
            Method::Identity => Self::Identity,
            Method::Temperature => Self::Temperature(Scaling::fit(margins, labels, weights)),
            Method::Platt => Self::Platt(Platt::fit(margins, labels, weights)?),
            Method::Beta => Self::Beta(Beta::fit(margins, labels, weights)?),
            Method::Isotonic => Self::Isotonic(Isotonic::fit(margins, labels, weights)?),
        })
    }

    /// The method it was fitted by.
    pub(crate) fn method(&self) -> Method {
        match self {
            Self::Identity => Method::Identity,
            Self::Temperature(_) => Method::Temperature,
            Self::Platt(_) => Method::Platt,
            Self::Beta(_) => Method::Beta,
            Self::Isotonic(_) => Method::Isotonic,
        }
    }

    /// The calibrated log-odds of a margin.
    pub(crate) fn apply(&self, margin: f64) -> f64 {
        match self {
            Self::Identity => margin,
            Self::Temperature(fitted) => fitted.apply(margin),
            Self::Platt(fitted) => fitted.apply(margin),
            Self::Beta(fitted) => fitted.apply(margin),
            Self::Isotonic(fitted) => logit(fitted.probability(margin)),
        }
    }

    /// The calibrated probability of a margin.
    pub(crate) fn probability(&self, margin: f64) -> f64 {
        match self {
            Self::Isotonic(fitted) => fitted.probability(margin),
            _ => sigmoid(self.apply(margin)),
        }
    }

    /// Derivatives of the calibrated log-odds by the coefficients; none move where there are none.
    pub(super) fn basis(&self, margin: f64) -> [f64; 3] {
        match self {
            Self::Identity | Self::Isotonic(_) => [0.0; 3],
            Self::Temperature(_) => [margin, 0.0, 0.0],
            Self::Platt(_) => [margin, 1.0, 0.0],
            Self::Beta(fitted) => fitted.basis(margin),
        }
    }

    /// Precision of the first coefficient before any row was seen.
    pub(super) fn prior_precision(&self) -> f64 {
        if let Self::Temperature(_) = self { Scaling::PRECISION } else { 0.0 }
    }

    /// Whether what was read back can be used.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Identity => true,
            Self::Temperature(fitted) => fitted.is_sound(),
            Self::Platt(fitted) => fitted.is_sound(),
            Self::Beta(fitted) => fitted.is_sound(),
            Self::Isotonic(fitted) => fitted.is_sound(),
        }
    }
}

#[derive(Clone, Copy)]
struct Rows<'a> {
    margins: &'a [f64],
    labels: &'a [bool],
    weights: &'a [f64],
}

impl Rows<'_> {
    /// Rows that all weigh nothing teach nothing.
    fn fit(self, method: Method) -> Calibrator {
        Calibrator::fit(method, self.margins, self.labels, self.weights).unwrap_or(Calibrator::Identity)
    }

    fn until(self, end: usize) -> Self {
        Self { margins: &self.margins[..end], labels: &self.labels[..end], weights: &self.weights[..end] }
    }

    /// The losses of all rows but the first block's, each by a fit to the blocks before its own.
    fn losses_after(self, method: Method, blocks: usize) -> Vec<f64> {
        let n = self.margins.len();
        let block = |k: usize| {
            let (start, end) = (k * n / blocks, (k + 1) * n / blocks);
            let fitted = self.until(start).fit(method);
            let rows = self.margins[start..end].iter().zip(&self.labels[start..end]);
            rows.map(|(m, y)| log_loss(fitted.probability(*m), *y)).collect::<Vec<_>>()
        };
        (1..blocks).flat_map(block).collect()
    }
}

/// The weighted mean and its standard error.
fn mean_and_error(values: &[f64], weights: &[f64]) -> (f64, f64) {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return (0.0, 0.0);
    }
    let mean = values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / total;
    let spread: f64 = values.iter().zip(weights).map(|(v, w)| (w * (v - mean)).powi(2)).sum();
    (mean, spread.sqrt() / total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// Margins whose true log-odds are `truth` of them.
    fn rows(n: usize, seed: u64, truth: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<bool>) {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        (0..n)
            .map(|_| {
                let margin = rng.random_range(-3.0..3.0);
                (margin, rng.random_range(0.0..1.0) < sigmoid(truth(margin)))
            })
            .unzip()
    }

    fn choose(n: usize, truth: impl Fn(f64) -> f64) -> CalibrationChoice {
        let (margins, labels) = rows(n, 7, truth);
        choose_calibrator(&margins, &labels, &vec![1.0; n], 5).unwrap()
    }

    #[test]
    fn the_simplest_that_holds_is_taken() {
        assert_eq!(choose(2000, |m| m).calibrator, Calibrator::Identity);
        assert_eq!(choose(4000, |m| 0.5 * m).calibrator.method(), Method::Temperature);
        assert_eq!(choose(4000, |m| 0.5 * m - 1.0).calibrator.method(), Method::Platt);
        let bent = choose(8000, |m| if m > 0.0 { 3.0 * m } else { 0.3 * m });
        assert_eq!(bent.calibrator.method(), Method::Beta);
        let steps = choose(8000, |m| {
            if m > 1.0 {
                3.0
            } else if m > -1.0 {
                0.0
            } else {
                -3.0
            }
        });
        assert_eq!(steps.calibrator.method(), Method::Isotonic);
        assert_eq!(steps.losses.len(), 5);
        assert!((steps.calibrator.probability(0.0) - 0.5).abs() < 0.05);
    }

    #[test]
    fn too_few_rows_change_nothing() {
        let few = choose(119, |m| 3.0 * m);
        assert!(few.calibrator == Calibrator::Identity && few.losses.is_empty());
        assert!(choose_calibrator(&[1.0], &[true], &[], 5).is_err());
        assert!(choose_calibrator(&[f64::NAN], &[true], &[1.0], 5).is_err());
    }

    #[test]
    fn every_method_comes_back_from_bytes_and_rises() {
        let (margins, labels) = rows(500, 9, |m| 0.6 * m + 0.4);
        for method in Method::ALL {
            let fitted = Calibrator::fit(method, &margins, &labels, &vec![0.5; 500]).unwrap();
            let back: Calibrator = postcard::from_bytes(&postcard::to_stdvec(&fitted).unwrap()).unwrap();
            assert!(back == fitted && back.is_sound() && back.method() == method);
            let p: Vec<_> = (-50..50).map(|m| fitted.probability(f64::from(m) / 10.0)).collect();
            assert!(p.is_sorted() && p.iter().all(|p| (0.0..=1.0).contains(p)), "{method:?}");
            assert!((sigmoid(fitted.apply(0.3)) - fitted.probability(0.3)).abs() < 1e-9);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_fitted_is_sound(
            rows in prop::collection::vec((0_usize..9, any::<bool>(), 0.0..2.0_f64), 1..40),
        ) {
            let edges = [-1e4, -40.0, -1.0, -1e-9, 0.0, 1e-9, 2.0, 40.0, 1e4];
            let margins: Vec<_> = rows.iter().map(|r| edges[r.0]).collect();
            let labels: Vec<_> = rows.iter().map(|r| r.1).collect();
            let weights: Vec<_> = rows.iter().map(|r| 0.01 + r.2).collect();
            for method in Method::ALL {
                let fitted = Calibrator::fit(method, &margins, &labels, &weights).unwrap();
                prop_assert!(fitted.is_sound(), "{fitted:?}");
                let p = edges.map(|m| fitted.probability(m));
                prop_assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{fitted:?} {p:?}");
            }
        }
    }
}
