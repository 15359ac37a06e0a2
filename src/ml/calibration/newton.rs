//! Logistic regression on a few columns.

use crate::stats::sigmoid;

const STEPS: usize = 100;
const HALVINGS: usize = 40;

/// Keeps a column that says nothing (all the same) from making the equations unsolvable.
const RIDGE: f64 = 1e-10;

/// The coefficients that make `rows` fit `targets` (0 to 1) best, by Newton steps from `start`, each
/// halved until the likelihood gets no worse. Rows that weigh 0 say nothing.
pub(super) fn fit<const K: usize>(
    rows: &[[f64; K]],
    targets: &[f64],
    weights: &[f64],
    start: [f64; K],
) -> [f64; K] {
    let loss = |at: &[f64; K]| -> f64 {
        let terms = rows.iter().zip(targets).zip(weights).map(|((row, t), w)| {
            let z = dot(row, at);
            w * (z.max(0.0) + (-z.abs()).exp().ln_1p() - t * z)
        });
        terms.sum()
    };
    let (mut at, mut value) = (start, loss(&start));
    for _ in 0..STEPS {
        let step = newton_step(rows, targets, weights, &at);
        let mut scale = 1.0;
        let next = (0..HALVINGS).find_map(|_| {
            let there = std::array::from_fn(|k| at[k] - scale * step[k]);
            scale *= 0.5;
            let found = loss(&there);
            (found < value).then_some((there, found))
        });
        let Some((there, found)) = next else { break };
        (at, value) = (there, found);
    }
    at
}

/// Log-odds beyond this are as good as certain.
const MOST_MARGIN: f64 = 12.0;

/// Returns the mode of log-odds that were believed normal with this mean and variance (above 0), after an
/// outcome of 0 or 1 (Newton's method).
pub(crate) fn posterior_mode(mean: f64, variance: f64, outcome: f64) -> f64 {
    let mut z = mean.clamp(-MOST_MARGIN, MOST_MARGIN);
    for _ in 0..12 {
        let p = sigmoid(z);
        let slope = (z - mean) / variance + p - outcome;
        let step = slope / (1.0 / variance + p * (1.0 - p));
        z -= step.clamp(-3.0, 3.0);
        if step.abs() < 1e-10 {
            break;
        }
    }
    z
}

fn newton_step<const K: usize>(
    rows: &[[f64; K]],
    targets: &[f64],
    weights: &[f64],
    at: &[f64; K],
) -> [f64; K] {
    let (mut gradient, mut curvature) = ([0.0; K], [[0.0; K]; K]);
    for ((row, target), weight) in rows.iter().zip(targets).zip(weights) {
        let p = sigmoid(dot(row, at));
        for i in 0..K {
            gradient[i] += weight * (p - target) * row[i];
            for j in 0..K {
                curvature[i][j] += weight * p * (1.0 - p) * row[i] * row[j];
            }
        }
    }
    solve(with_ridge(curvature), gradient)
}

/// Returns a curvature whose equations can be solved.
pub(super) fn with_ridge<const K: usize>(mut curvature: [[f64; K]; K]) -> [[f64; K]; K] {
    let trace: f64 = (0..K).map(|i| curvature[i][i]).sum();
    (0..K).for_each(|i| curvature[i][i] += RIDGE * (1.0 + trace));
    curvature
}

/// Solves `a x = b` by elimination; `a` is symmetric and positive.
pub(super) fn solve<const K: usize>(mut a: [[f64; K]; K], mut b: [f64; K]) -> [f64; K] {
    for i in 0..K {
        for row in i + 1..K {
            let factor = a[row][i] / a[i][i];
            let pivot = a[i];
            (i..K).for_each(|k| a[row][k] -= factor * pivot[k]);
            b[row] -= factor * b[i];
        }
    }
    for i in (0..K).rev() {
        let known: f64 = (i + 1..K).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    b
}

pub(super) fn dot<const K: usize>(a: &[f64; K], b: &[f64; K]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
