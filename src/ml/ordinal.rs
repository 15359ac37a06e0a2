//! Ordinal regression: the probability that a number is at most each of its few values, from sparse features.

use super::lbfgs;
use crate::error::{Error, Result};
use crate::execution;
use crate::stats::{logit, sigmoid};
use serde::{Deserialize, Serialize};

/// A cumulative logit model with common slopes (proportional log-odds; P. `McCullagh`, Regression models for
/// ordinal data, 1980): P(class ≤ j) = sigmoid(c − w · x) with c the j-th cut, and a ridge penalty on w. One weight an index for
/// all classes keeps the distribution monotone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OrdinalRegression {
    /// Weights of the indices that are not zero, ascending.
    weights: Vec<(u32, f32)>,
    /// Ascending, one fewer than there are classes.
    cuts: Vec<f64>,
    #[serde(skip)]
    table: Vec<f32>,
}

/// Indices and values of a sparse row.
pub(crate) type SparseRow = (Vec<u32>, Vec<f32>);

/// Penalty that keeps the cuts near those of the classes' shares where rows say nothing about them.
const CUT_PENALTY: f64 = 1e-3;

/// Steps of the minimization; they end when the gradient has shrunk by the tolerance.
const STEPS: usize = 60;
const TOLERANCE: f64 = 1e-3;

/// Read weights and cuts may be this large.
const LARGEST: f64 = 1e9;

impl OrdinalRegression {
    /// Fits `rows` of the `classes` 0 to `n_classes` − 1, each of its weight, by maximum penalized likelihood. `width` is
    /// the number of indices.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(crate) fn fit(
        rows: &[SparseRow],
        classes: &[usize],
        weights: &[f64],
        [width, n_classes]: [usize; 2],
        l2: f64,
    ) -> Result<Self> {
        let problem =
            Problem { rows, classes, weights, width, start: start(classes, weights, n_classes), l2 };
        let zeros = vec![0.0; width];
        let solution =
            lbfgs::minimize([zeros, problem.start.clone()].concat(), STEPS, TOLERANCE, |at, gradient| {
                problem.evaluate(at, gradient)
            });
        // A solution that was broken off is none.
        execution::check()?;
        let (weights, steps) = solution.split_at(width);
        let weights = (0_u32..).zip(weights).map(|(i, w)| (i, *w as f32)).filter(|(_, w)| *w != 0.0);
        let mut fitted = Self { weights: weights.collect(), cuts: cuts_of(steps), table: Vec::new() };
        fitted.prepare(width)?;
        Ok(fitted)
    }

    /// Returns the probability that a row's class is at most each, the last 1.
    pub(crate) fn cumulative(&self, (indices, values): &SparseRow) -> Vec<f64> {
        let weight = |i: &u32| f64::from(self.table.get(*i as usize).copied().unwrap_or(0.0));
        let margin: f64 = indices.iter().zip(values).map(|(i, x)| weight(i) * f64::from(*x)).sum();
        self.cuts.iter().map(|cut| sigmoid(cut - margin)).chain([1.0]).collect()
    }

    /// Checks what was read and makes it ready; `width` is the number of indices.
    pub(crate) fn prepare(&mut self, width: usize) -> Result<()> {
        // Written so that NaN fails.
        let sound = |w: f64| w.abs() <= LARGEST;
        let fits = self.weights.iter().all(|(i, w)| (*i as usize) < width && sound(f64::from(*w)));
        if !fits || !self.cuts.iter().all(|cut| sound(*cut)) || !self.cuts.is_sorted() {
            return Err(Error::corrupt("ordinal regression: a weight or a cut is out of range"));
        }
        self.table = vec![0.0; width];
        self.weights.iter().for_each(|(index, weight)| self.table[*index as usize] = *weight);
        Ok(())
    }

    /// Returns the number of classes.
    pub(crate) fn n_classes(&self) -> usize {
        self.cuts.len() + 1
    }
}

/// Returns the first cut and the logarithms of the steps from each to the next, for the weighted shares of the classes.
fn start(classes: &[usize], weights: &[f64], n_classes: usize) -> Vec<f64> {
    let mut shares = vec![0.0; n_classes];
    classes.iter().zip(weights).for_each(|(class, weight)| shares[*class] += weight);
    let total: f64 = shares.iter().sum();
    let mut below = 0.0;
    let cuts = shares[..n_classes.saturating_sub(1)].iter().map(|share| {
        below += share / total;
        logit(f64::clamp(below, 1e-4, 1.0 - 1e-4))
    });
    let cuts: Vec<_> = cuts.collect();
    let steps = cuts.windows(2).map(|pair| (pair[1] - pair[0]).max(1e-3).ln());
    cuts.iter().take(1).copied().chain(steps).collect()
}

fn cuts_of(steps: &[f64]) -> Vec<f64> {
    let mut cut = 0.0;
    let each = steps.iter().enumerate().map(|(j, step)| {
        cut = if j == 0 { *step } else { cut + step.min(20.0).exp() };
        cut
    });
    each.collect()
}

/// The penalized likelihood. Its weights are those of the indices, the first cut, and the logarithms of the steps
/// from each cut to the next, so that cuts ascend.
struct Problem<'a> {
    rows: &'a [SparseRow],
    classes: &'a [usize],
    weights: &'a [f64],
    width: usize,
    start: Vec<f64>,
    l2: f64,
}

impl Problem<'_> {
    fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        let (w, steps) = at.split_at(self.width);
        let cuts = cuts_of(steps);
        gradient.fill(0.0);
        let mut of_cuts = vec![0.0; cuts.len()];
        let mut loss = 0.0;
        for (((indices, values), class), weight) in self.rows.iter().zip(self.classes).zip(self.weights) {
            let margin: f64 = indices.iter().zip(values).map(|(i, x)| w[*i as usize] * f64::from(*x)).sum();
            let end = |cut: Option<&f64>, beyond: f64| cut.map_or(beyond, |cut| sigmoid(cut - margin));
            let (upper, lower) =
                (end(cuts.get(*class), 1.0), end(class.checked_sub(1).map(|j| &cuts[j]), 0.0));
            let p = (upper - lower).max(1e-12);
            loss -= weight * p.ln();
            let [above, below] =
                [upper * (1.0 - upper), lower * (1.0 - lower)].map(|slope| weight * slope / p);
            let pull = above - below;
            indices.iter().zip(values).for_each(|(i, x)| gradient[*i as usize] += pull * f64::from(*x));
            if let Some(own) = of_cuts.get_mut(*class) {
                *own -= above;
            }
            if let Some(before) = class.checked_sub(1) {
                of_cuts[before] += below;
            }
        }
        gradient.iter_mut().zip(w).for_each(|(g, w)| *g += self.l2 * w);
        loss += 0.5 * self.l2 * w.iter().map(|w| w * w).sum::<f64>();
        // A cut is the sum of the steps up to it.
        let mut beyond = 0.0;
        for j in (0..cuts.len()).rev() {
            beyond += of_cuts[j];
            let off = steps[j] - self.start[j];
            let slope = if j == 0 { 1.0 } else { steps[j].min(20.0).exp() };
            gradient[self.width + j] = slope * beyond + CUT_PENALTY * off;
            loss += 0.5 * CUT_PENALTY * off * off;
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f32]) -> Vec<SparseRow> {
        values.iter().map(|x| (vec![0], vec![*x])).collect()
    }

    /// The gradient agrees with central differences.
    #[test]
    fn the_gradient_is_that_of_the_likelihood() {
        let rows = rows(&[0.5, -1.0, 2.0, 0.3, -0.7]);
        let (classes, weights) = ([0, 2, 1, 2, 0], [1.0, 0.5, 2.0, 1.0, 1.0]);
        let problem = Problem {
            rows: &rows,
            classes: &classes,
            weights: &weights,
            width: 1,
            start: vec![-0.2, 0.1],
            l2: 0.7,
        };
        let at = [0.4, -0.5, 0.3];
        let mut gradient = [0.0; 3];
        problem.evaluate(&at, &mut gradient);
        for i in 0..3 {
            let moved = |by: f64| {
                let mut to = at;
                to[i] += by;
                problem.evaluate(&to, &mut [0.0; 3])
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((gradient[i] - numeric).abs() < 1e-6, "{i}: {} {numeric}", gradient[i]);
        }
    }

    /// `OrderedModel(y, x, distr="logit")` of statsmodels 0.15.0 gives these; the penalty here is next to none.
    #[test]
    fn weights_and_cuts_equal_the_reference() {
        let x: Vec<f32> = (0..60).map(|i| (i % 12) as f32 / 3.0 - 1.8).collect();
        let classes: Vec<usize> = (0..60).map(|i| (((i % 12) + (i * 7) % 9) / 7).min(2)).collect();
        let rows = rows(&x);
        let fitted = OrdinalRegression::fit(&rows, &classes, &vec![1.0; 60], [1, 3], 1e-9).unwrap();
        let found = [f64::from(fitted.weights[0].1), fitted.cuts[0], fitted.cuts[1]];
        let reference = [1.979_346_57, -1.922_437_31, 2.837_645_9];
        assert!(found.iter().zip(reference).all(|(a, b)| (a - b).abs() < 5e-3), "{found:?}");
    }

    #[test]
    fn without_features_the_shares_remain() {
        let rows = vec![(Vec::new(), Vec::new()); 10];
        let classes = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2];
        let fitted = OrdinalRegression::fit(&rows, &classes, &[1.0; 10], [4, 3], 1.0).unwrap();
        let found = fitted.cumulative(&rows[0]);
        assert!(found.iter().zip([0.5, 0.8, 1.0]).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?}");
    }

    #[test]
    fn one_class_is_certain() {
        let rows = rows(&[1.0, 2.0]);
        let fitted = OrdinalRegression::fit(&rows, &[0, 0], &[1.0; 2], [1, 1], 1.0).unwrap();
        assert_eq!((fitted.cumulative(&rows[0]), fitted.n_classes()), (vec![1.0], 1));
    }

    #[test]
    fn damaged_weights_are_refused() {
        for (weight, cuts) in [(f32::NAN, vec![0.0]), (1.0, vec![1.0, 0.0]), (1.0, vec![f64::NAN])] {
            let mut damaged = OrdinalRegression { weights: vec![(0, weight)], cuts, table: Vec::new() };
            assert!(damaged.prepare(1).is_err());
        }
    }
}
