//! What each outcome's attributes let expect, one by one.
use crate::monitoring::dimension::DIMENSIONS;
use crate::monitoring::recent::Evaluated;
use crate::stats::sigmoid;

/// Ridge term added to the curvature of each Newton step: shrinks the effect of a rare value toward zero.
const RIDGE: f64 = 1.0;
/// Passes over all attributes; the effects hardly change after these.
const PASSES: usize = 5;
/// Expected rates are kept this far from 0 and 1.
const EDGE: f64 = 0.02;

/// The chance of success of each row by an additive model of its attributes in log-odds (logistic
/// regression, fitted attribute by attribute): so a weak agent in a hard language is expected to fail
/// often, and only what goes beyond that is a pattern.
pub(super) fn expected(rows: &[Evaluated]) -> Vec<f64> {
    let n = rows.len() as f64;
    let successes = rows.iter().filter(|row| row.success).count() as f64;
    let rate = ((successes + 0.5) / (n + 1.0)).clamp(EDGE, 1.0 - EDGE);
    let mut margins = vec![(rate / (1.0 - rate)).ln(); rows.len()];
    for _ in 0..PASSES {
        for dimension in 0..DIMENSIONS {
            step(rows, dimension, &mut margins);
        }
    }
    margins.into_iter().map(|margin| sigmoid(margin).clamp(EDGE, 1.0 - EDGE)).collect()
}

/// One Newton step of the effects of one attribute's values.
fn step(rows: &[Evaluated], dimension: usize, margins: &mut [f64]) {
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for (row, margin) in rows.iter().zip(&*margins) {
        let value = usize::from(row.values[dimension]);
        if sums.len() <= value {
            sums.resize(value + 1, (0.0, RIDGE));
        }
        let p = sigmoid(*margin);
        sums[value].0 += f64::from(u8::from(row.success)) - p;
        sums[value].1 += p * (1.0 - p);
    }
    let steps: Vec<_> = sums.iter().map(|(slope, bend)| (slope / bend).clamp(-2.0, 2.0)).collect();
    for (row, margin) in rows.iter().zip(margins) {
        *margin += steps[usize::from(row.values[dimension])];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_add_up_are_expected() {
        let probability = [[0.2, 0.5], [0.5, 0.8]];
        let rows: Vec<_> = (0..4000_u32)
            .map(|i| {
                let (a, b) = (i % 2, i / 2 % 2);
                let mut values = [0; DIMENSIONS];
                (values[0], values[1]) = (2 + a as u16, 2 + b as u16);
                let success = f64::from(i / 4 % 10) < 10.0 * probability[a as usize][b as usize];
                Evaluated { known_at: 0, values, words: Default::default(), success, predicted: f32::NAN }
            })
            .collect();
        for (row, p) in rows.iter().zip(expected(&rows)).take(4) {
            let wanted = probability[usize::from(row.values[0] - 2)][usize::from(row.values[1] - 2)];
            assert!((p - wanted).abs() < 0.02, "{p} {wanted}");
        }
    }
}
