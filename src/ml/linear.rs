//! Ridge regression, logistic or of least squares, over a few dense features and many sparse ones,
//! starting from given margins.

use crate::error::{Error, Result};
use crate::execution;
use crate::stats::sigmoid;
use serde::{Deserialize, Serialize};

/// One row: dense values, then sparse (index, value) pairs, ascending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinearRow<'a> {
    /// Dense values, all finite.
    pub(crate) dense: &'a [f32],
    /// Sparse indices.
    pub(crate) indices: &'a [u32],
    /// Sparse values.
    pub(crate) values: &'a [f32],
}

/// Target of the regression; each slice has one value per row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinearTarget<'a> {
    /// Probability of the outcome (0 or 1 where it is known), or the number itself.
    pub(crate) labels: &'a [f64],
    /// How much the row counts.
    pub(crate) weights: &'a [f64],
    /// Log-odds, or the number, to start from.
    pub(crate) offsets: &'a [f64],
    /// Loss function.
    pub(crate) loss: LinearLoss,
}

/// Loss function of the regression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinearLoss {
    /// Negative log-likelihood of a yes-or-no outcome; margins are log-odds.
    Logistic,
    /// Half the squared error.
    Squared,
}

impl LinearLoss {
    fn value(self, margin: f64, label: f64) -> f64 {
        match self {
            Self::Logistic => margin.max(0.0) + (-margin.abs()).exp().ln_1p() - label * margin,
            Self::Squared => 0.5 * (margin - label).powi(2),
        }
    }

    /// First and second derivative by the margin.
    fn derivatives(self, margin: f64, label: f64) -> (f64, f64) {
        match self {
            Self::Logistic => {
                let p = sigmoid(margin);
                (p - label, p * (1.0 - p))
            }
            Self::Squared => (margin - label, 1.0),
        }
    }
}

/// Hyperparameters of the regression.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinearParams {
    /// Half of it is the penalty on the square of a dense weight, above 0.
    pub(crate) dense_l2: f64,
    /// Half of it is the penalty on the square of a sparse weight, above 0.
    pub(crate) sparse_l2: f64,
    /// Newton steps at most.
    pub(crate) max_steps: usize,
}

/// A fitted logistic regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Linear {
    intercept: f64,
    dense: Vec<f64>,
    /// Weights of the sparse indices that are not zero, ascending.
    sparse: Vec<(u32, f32)>,
    #[serde(skip)]
    table: Vec<f32>,
}

/// Weights read back may be this large: sums of them must stay finite.
const MAX_WEIGHT: f64 = 1e9;

impl LinearParams {
    fn validate(&self) -> Result<()> {
        for (name, v) in [("dense_l2", self.dense_l2), ("sparse_l2", self.sparse_l2)] {
            if !(v > 0.0 && v <= 1e9) {
                return Err(Error::invalid(format!("{name} is {v}, expected above 0 and at most 1e9")));
            }
        }
        Ok(())
    }
}

impl Linear {
    /// Fits `target` by truncated Newton steps with conjugate gradients (Lin, Weng and Keerthi
    /// 2008). `width` is the number of sparse indices; the same rows give the same weights.
    ///
    /// # Errors
    /// `InvalidInput` when a parameter or a number is out of range, the parts differ in number or a
    /// row does not fit.
    pub(crate) fn fit(
        params: &LinearParams,
        rows: &[LinearRow<'_>],
        target: LinearTarget<'_>,
        width: usize,
    ) -> Result<Self> {
        params.validate()?;
        let dense = rows.first().map_or(0, |r| r.dense.len());
        let LinearTarget { labels, weights, offsets, .. } = target;
        if [labels.len(), weights.len(), offsets.len()] != [rows.len(); 3] || rows.is_empty() {
            return Err(Error::invalid(
                "linear: rows, labels, weights and offsets must be as many, and at least one",
            ));
        }
        if rows.iter().any(|r| r.dense.len() != dense || r.indices.iter().any(|i| *i as usize >= width)) {
            return Err(Error::invalid("linear: a row has another width than the others"));
        }
        let finite = |r: &LinearRow<'_>| r.dense.iter().chain(r.values).all(|v| v.is_finite());
        let targets = labels.iter().chain(weights).chain(offsets);
        if !rows.iter().all(finite) || !targets.copied().all(f64::is_finite) {
            return Err(Error::invalid("linear: every value, label, weight and offset must be finite"));
        }
        let problem = Problem::new(params, rows, target, dense, width);
        let solution = problem.solve();
        // A solution that was broken off is none.
        execution::check()?;
        Ok(Self::from_weights(&solution, dense))
    }

    /// Returns the margin of `row` without its offset, in log-odds.
    pub(crate) fn margin(&self, row: LinearRow<'_>) -> f64 {
        let dense: f64 = self.dense.iter().zip(row.dense).map(|(w, x)| w * f64::from(*x)).sum();
        let pairs = row.indices.iter().zip(row.values);
        let sparse: f64 = pairs.map(|(i, x)| f64::from(self.weight(*i)) * f64::from(*x)).sum();
        self.intercept + dense + sparse
    }

    /// The weights of the dense features, in log-odds a unit.
    pub(crate) fn dense_weights(&self) -> &[f64] {
        &self.dense
    }

    /// The log-odds of a row of zeros.
    pub(crate) fn intercept(&self) -> f64 {
        self.intercept
    }

    /// Makes ready to predict after it was read back.
    pub(crate) fn prepare(&mut self, width: usize) -> Result<()> {
        // Written so that NaN fails.
        let sound = |w: f64| w.abs() <= MAX_WEIGHT;
        let dense = self.dense.iter().chain([&self.intercept]).all(|w| sound(*w));
        if !dense || !self.sparse.iter().all(|(i, w)| (*i as usize) < width && sound(f64::from(*w))) {
            return Err(Error::corrupt("linear model: a weight is out of range"));
        }
        self.table = vec![0.0; width];
        for (index, weight) in &self.sparse {
            self.table[*index as usize] = *weight;
        }
        Ok(())
    }

    fn weight(&self, index: u32) -> f32 {
        self.table.get(index as usize).copied().unwrap_or(0.0)
    }

    fn from_weights(w: &[f64], dense: usize) -> Self {
        let table: Vec<_> = w[1 + dense..].iter().map(|w| *w as f32).collect();
        let sparse =
            table.iter().enumerate().filter(|(_, w)| **w != 0.0).map(|(i, w)| (i as u32, *w)).collect();
        Self { intercept: w[0], dense: w[1..=dense].to_vec(), sparse, table }
    }
}

/// The penalised likelihood: weights are intercept, dense, sparse.
struct Problem<'a> {
    rows: &'a [LinearRow<'a>],
    labels: &'a [f64],
    weights: &'a [f64],
    offsets: &'a [f64],
    loss: LinearLoss,
    penalty: Vec<f64>,
    dense: usize,
    max_steps: usize,
}

/// Steps end when the gradient has shrunk by this much.
const TOLERANCE: f64 = 1e-4;
const CG_STEPS: usize = 60;
const SQUARED_CG_STEPS: usize = 300;

impl<'a> Problem<'a> {
    fn new(
        params: &LinearParams,
        rows: &'a [LinearRow<'a>],
        target: LinearTarget<'a>,
        dense: usize,
        width: usize,
    ) -> Self {
        let LinearTarget { labels, weights, offsets, loss } = target;
        let mut penalty = vec![params.sparse_l2; 1 + dense + width];
        penalty[0] = 1.0;
        penalty[1..=dense].fill(params.dense_l2);
        Self { rows, labels, weights, offsets, loss, penalty, dense, max_steps: params.max_steps }
    }

    fn solve(&self) -> Vec<f64> {
        let mut w = vec![0.0; self.penalty.len()];
        let mut margins = self.margins(&w);
        let mut value = self.value(&w, &margins);
        let mut first_norm = None;
        for _ in 0..self.max_steps {
            let (gradient, curvature) = self.derivatives(&w, &margins);
            let norm = dot(&gradient, &gradient).sqrt();
            if norm <= TOLERANCE * *first_norm.get_or_insert(norm) {
                break;
            }
            let step = self.newton_step(&gradient, &curvature, norm);
            if execution::check().is_err() {
                break;
            }
            let Some(next) = self.line_search(&w, &step, &mut value) else { break };
            (w, margins) = next;
        }
        w
    }

    fn margins(&self, w: &[f64]) -> Vec<f64> {
        self.rows.iter().zip(self.offsets).map(|(row, offset)| offset + self.times(row, w)).collect()
    }

    fn times(&self, row: &LinearRow<'_>, w: &[f64]) -> f64 {
        let (dense, sparse) = w[1..].split_at(self.dense);
        let a: f64 = dense.iter().zip(row.dense).map(|(w, x)| w * f64::from(*x)).sum();
        let b: f64 =
            row.indices.iter().zip(row.values).map(|(i, x)| sparse[*i as usize] * f64::from(*x)).sum();
        w[0] + a + b
    }

    fn add(&self, row: &LinearRow<'_>, scale: f64, out: &mut [f64]) {
        out[0] += scale;
        let (dense, sparse) = out[1..].split_at_mut(self.dense);
        dense.iter_mut().zip(row.dense).for_each(|(o, x)| *o += scale * f64::from(*x));
        for (i, x) in row.indices.iter().zip(row.values) {
            sparse[*i as usize] += scale * f64::from(*x);
        }
    }

    fn value(&self, w: &[f64], margins: &[f64]) -> f64 {
        let penalty: f64 = w.iter().zip(&self.penalty).map(|(w, l)| 0.5 * l * w * w).sum();
        let loss = margins
            .iter()
            .zip(self.labels)
            .zip(self.weights)
            .map(|((m, y), weight)| weight * self.loss.value(*m, *y));
        penalty + loss.sum::<f64>()
    }

    /// The gradient, and each row's second derivative.
    fn derivatives(&self, w: &[f64], margins: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut gradient: Vec<_> = w.iter().zip(&self.penalty).map(|(w, l)| w * l).collect();
        let mut curvature = Vec::with_capacity(self.rows.len());
        for (i, row) in self.rows.iter().enumerate() {
            let (first, second) = self.loss.derivatives(margins[i], self.labels[i]);
            self.add(row, self.weights[i] * first, &mut gradient);
            curvature.push(self.weights[i] * second);
        }
        (gradient, curvature)
    }

    /// Solves H s = -g by conjugate gradients, as far as is of use.
    fn newton_step(&self, gradient: &[f64], curvature: &[f64], norm: f64) -> Vec<f64> {
        let mut step = vec![0.0; gradient.len()];
        let mut residual: Vec<_> = gradient.iter().map(|g| -g).collect();
        let mut direction = residual.clone();
        let mut square = dot(&residual, &residual);
        let (exact, most) = match self.loss {
            LinearLoss::Squared => (TOLERANCE, SQUARED_CG_STEPS),
            LinearLoss::Logistic => (0.1, CG_STEPS),
        };
        for _ in 0..most {
            if square.sqrt() <= exact * norm || execution::check().is_err() {
                break;
            }
            let product = self.hessian_times(&direction, curvature);
            let alpha = square / dot(&direction, &product);
            axpy(alpha, &direction, &mut step);
            axpy(-alpha, &product, &mut residual);
            let next = dot(&residual, &residual);
            let beta = next / square;
            direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + beta * *d);
            square = next;
        }
        step
    }

    fn hessian_times(&self, v: &[f64], curvature: &[f64]) -> Vec<f64> {
        let mut out: Vec<_> = v.iter().zip(&self.penalty).map(|(v, l)| v * l).collect();
        for (row, c) in self.rows.iter().zip(curvature) {
            self.add(row, c * self.times(row, v), &mut out);
        }
        out
    }

    /// Halves the step until the likelihood does not get worse; the weights there, and their margins.
    fn line_search(&self, w: &[f64], step: &[f64], value: &mut f64) -> Option<(Vec<f64>, Vec<f64>)> {
        let mut scale = 1.0;
        for _ in 0..20 {
            let mut next = w.to_vec();
            axpy(scale, step, &mut next);
            let margins = self.margins(&next);
            let there = self.value(&next, &margins);
            if there < *value {
                *value = there;
                return Some((next, margins));
            }
            scale *= 0.5;
        }
        None
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn axpy(scale: f64, x: &[f64], y: &mut [f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += scale * x);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: LinearParams = LinearParams { dense_l2: 1.0, sparse_l2: 1.0, max_steps: 50 };

    fn fit(params: &LinearParams, rows: &[LinearRow<'_>], labels: &[f64], width: usize) -> Linear {
        let ones = vec![1.0; rows.len()];
        let zeros = vec![0.0; rows.len()];
        let target = LinearTarget { labels, weights: &ones, offsets: &zeros, loss: LinearLoss::Logistic };
        Linear::fit(params, rows, target, width).unwrap()
    }

    /// `LogisticRegression(C=1.0, tol=1e-12)` of scikit-learn 1.9.1 with the intercept as a column of
    /// ones, under the same penalty, gives these.
    #[test]
    fn weights_equal_the_reference() {
        let dense = [[-2.0_f32], [-1.0], [0.0], [1.0], [2.0], [3.0]];
        let rows: Vec<_> = dense.iter().map(|d| LinearRow { dense: d, indices: &[], values: &[] }).collect();
        let fitted = fit(&PARAMS, &rows, &[0.0, 0.0, 1.0, 0.0, 1.0, 1.0], 0);
        assert!((fitted.dense_weights()[0] - 0.741_957_33).abs() < 1e-3, "{fitted:?}");
        assert!((fitted.intercept() + 0.193_347_40).abs() < 1e-3, "{fitted:?}");
    }

    #[test]
    fn sparse_indices_are_learnt_and_unseen_ones_weigh_nothing() {
        let rows: Vec<_> = (0..40_u32)
            .map(|i| LinearRow { dense: &[], indices: if i % 2 == 0 { &[3] } else { &[7] }, values: &[1.0] })
            .collect();
        let labels: Vec<_> = (0..40).map(|i| f64::from(i % 2 == 0)).collect();
        let fitted = fit(&PARAMS, &rows, &labels, 10);
        let at = |i: &[u32]| fitted.margin(LinearRow { dense: &[], indices: i, values: &[1.0] });
        assert!(at(&[3]) > 1.0 && at(&[7]) < -1.0);
        assert_eq!(at(&[5]), fitted.intercept());
    }

    /// Ridge regression of y = 2 x with an intercept under the same penalty: (X'X + I) w = X'y.
    #[test]
    fn least_squares_equal_the_normal_equations() {
        let dense = [[1.0_f32], [2.0], [3.0]];
        let rows: Vec<_> = dense.iter().map(|d| LinearRow { dense: d, indices: &[], values: &[] }).collect();
        let (ones, zeros) = ([1.0; 3], [0.0; 3]);
        let target = LinearTarget {
            labels: &[2.0, 4.0, 6.0],
            weights: &ones,
            offsets: &zeros,
            loss: LinearLoss::Squared,
        };
        let fitted = Linear::fit(&PARAMS, &rows, target, 0).unwrap();
        // [[4, 6], [6, 15]] w = [12, 28]
        assert!((fitted.intercept() - 0.5).abs() < 1e-6, "{fitted:?}");
        assert!((fitted.dense_weights()[0] - 5.0 / 3.0).abs() < 1e-6, "{fitted:?}");
    }

    #[test]
    fn separable_rows_stay_finite() {
        let dense = [[-1.0_f32], [1.0]];
        let rows: Vec<_> = dense.iter().map(|d| LinearRow { dense: d, indices: &[], values: &[] }).collect();
        let params = LinearParams { dense_l2: 1e-6, ..PARAMS };
        assert!(fit(&params, &rows, &[0.0, 1.0], 0).margin(rows[1]).is_finite());
    }

    #[test]
    fn an_offset_that_explains_all_leaves_nothing_to_learn() {
        let rows: Vec<_> =
            (0..100).map(|_| LinearRow { dense: &[], indices: &[1], values: &[1.0] }).collect();
        let labels: Vec<_> = (0..100).map(|i| f64::from(i % 4 != 0)).collect();
        let (weights, offsets) = (vec![1.0; 100], vec![3.0_f64.ln(); 100]);
        let loss = LinearLoss::Logistic;
        let target = LinearTarget { labels: &labels, weights: &weights, offsets: &offsets, loss };
        let fitted = Linear::fit(&PARAMS, &rows, target, 2).unwrap();
        assert!(fitted.margin(rows[0]).abs() < 1e-3);
    }
}
