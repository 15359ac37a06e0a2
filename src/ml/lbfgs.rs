//! Minimizes a smooth function of many weights by L-BFGS (Nocedal and Wright 2006, algorithm 7.5).

use crate::execution;
use std::collections::VecDeque;

/// Steps that the curvature is estimated from.
const MEMORY: usize = 8;

/// Share of the expected decrease that a step must reach (Armijo).
const DECREASE: f64 = 1e-4;

/// The most halvings of a step.
const HALVINGS: usize = 30;

/// Returns weights at which the gradient's norm is at most `tolerance` of that at `start`, or those after
/// `max_steps` steps. `evaluate` returns the value at the weights and writes the gradient.
///
/// A cancelled run ends early; the caller checks for it.
pub(super) fn minimize(
    start: Vec<f64>,
    max_steps: usize,
    tolerance: f64,
    evaluate: impl Fn(&[f64], &mut [f64]) -> f64,
) -> Vec<f64> {
    let (mut weights, mut gradient) = (start, Vec::new());
    gradient.resize(weights.len(), 0.0);
    let mut value = evaluate(&weights, &mut gradient);
    let enough = tolerance * norm(&gradient);
    let mut memory = VecDeque::with_capacity(MEMORY);
    for _ in 0..max_steps {
        if norm(&gradient) <= enough || execution::check().is_err() {
            break;
        }
        let direction = direction(&gradient, &memory);
        let slope = dot(&direction, &gradient);
        let mut scale = if memory.is_empty() { 1.0 / norm(&gradient).max(1.0) } else { 1.0 };
        let mut next_gradient = vec![0.0; weights.len()];
        let found = (0..HALVINGS).find_map(|_| {
            let next: Vec<_> = weights.iter().zip(&direction).map(|(w, d)| w + scale * d).collect();
            let there = evaluate(&next, &mut next_gradient);
            let decreased = there <= value + DECREASE * scale * slope;
            scale *= 0.5;
            decreased.then_some((next, there))
        });
        let Some((next, there)) = found else { break };
        remember(&mut memory, [&weights, &next], [&gradient, &next_gradient]);
        (weights, gradient, value) = (next, next_gradient, there);
    }
    weights
}

/// A step and how the gradient changed along it.
struct Step {
    moved: Vec<f64>,
    changed: Vec<f64>,
    curvature: f64,
}

fn remember(memory: &mut VecDeque<Step>, [from, to]: [&[f64]; 2], [before, after]: [&[f64]; 2]) {
    let difference = |a: &[f64], b: &[f64]| -> Vec<f64> { b.iter().zip(a).map(|(b, a)| b - a).collect() };
    let (moved, changed) = (difference(from, to), difference(before, after));
    let curvature = dot(&moved, &changed);
    // Where the function bends the other way the estimate would not stay positive definite.
    if curvature > f64::EPSILON * dot(&changed, &changed) {
        if memory.len() == MEMORY {
            memory.pop_front();
        }
        memory.push_back(Step { moved, changed, curvature });
    }
}

/// Returns the direction of descent: the negative gradient times the estimate of the inverse Hessian.
fn direction(gradient: &[f64], memory: &VecDeque<Step>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for step in memory.iter().rev() {
        let share = dot(&step.moved, &direction) / step.curvature;
        add(-share, &step.changed, &mut direction);
        shares.push(share);
    }
    if let Some(last) = memory.back() {
        let scale = last.curvature / dot(&last.changed, &last.changed);
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (step, share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = dot(&step.changed, &direction) / step.curvature;
        add(share - back, &step.moved, &mut direction);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn add(scale: f64, x: &[f64], to: &mut [f64]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += scale * x);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley has its minimum, 0, at (1, 1).
    #[test]
    fn the_minimum_of_rosenbrocks_function_is_found() {
        let found = minimize(vec![-1.2, 1.0], 200, 1e-12, |w, gradient| {
            let (a, b) = (1.0 - w[0], w[1] - w[0] * w[0]);
            gradient[0] = -2.0 * a - 400.0 * w[0] * b;
            gradient[1] = 200.0 * b;
            a * a + 100.0 * b * b
        });
        assert!((found[0] - 1.0).abs() < 1e-6 && (found[1] - 1.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_start_at_the_minimum_stays_there() {
        let found = minimize(vec![0.0; 3], 10, 1e-9, |w, gradient| {
            gradient.copy_from_slice(w);
            0.5 * dot(w, w)
        });
        assert_eq!(found, [0.0; 3]);
    }
}
