//! Steps that never fall.

use super::check;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Isotonic regression by pooling adjacent violators (Ayer et al. 1955; Zadrozny and Elkan 2002):
/// the never falling function that fits held-out rows best, straight between its steps.
///
/// Probabilities stay as far from 0 and 1 as Platt's smoothed targets: 1 / (weight of all rows + 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Isotonic {
    /// Log-odds where steps begin and end, ascending.
    margins: Vec<f64>,
    /// The probability at each, never falling.
    probabilities: Vec<f64>,
}

/// Rows of neighboring log-odds, taken as one.
#[derive(Clone, Copy)]
struct Block {
    from: f64,
    to: f64,
    hits: f64,
    weight: f64,
}

impl Block {
    fn mean(&self) -> f64 {
        self.hits / self.weight
    }
}

impl Isotonic {
    /// Fits to held-out log-odds and what came true. Rows that rise and fall together should share
    /// the weight of one.
    ///
    /// # Errors
    /// `InvalidInput` when the numbers of rows differ or a value is out of range.
    pub(crate) fn fit(margins: &[f64], labels: &[bool], weights: &[f64]) -> Result<Self> {
        check(margins, labels, weights)?;
        let mut blocks: Vec<Block> = Vec::new();
        for (margin, hits, weight) in grouped(margins, labels, weights) {
            let mut block = Block { from: margin, to: margin, hits, weight };
            while let Some(last) = blocks.pop_if(|last| last.mean() >= block.mean()) {
                block.from = last.from;
                block.hits += last.hits;
                block.weight += last.weight;
            }
            blocks.push(block);
        }
        let edge = 1.0 / (weights.iter().sum::<f64>() + 2.0);
        let mut fitted = Self { margins: Vec::new(), probabilities: Vec::new() };
        for block in blocks {
            let p = block.mean().clamp(edge, 1.0 - edge);
            fitted.push(block.from, p);
            if block.to > block.from {
                fitted.push(block.to, p);
            }
        }
        Ok(fitted)
    }

    /// The probability of success at a margin; beyond the rows seen, that of the nearest.
    pub(crate) fn probability(&self, margin: f64) -> f64 {
        let after = self.margins.partition_point(|m| *m <= margin);
        let at = |i: usize| self.margins.get(i).copied().zip(self.probabilities.get(i).copied());
        match (after.checked_sub(1).and_then(at), at(after)) {
            (Some((from, p)), Some((to, q))) => p + (q - p) * (margin - from) / (to - from),
            (Some((_, p)), None) | (None, Some((_, p))) => p,
            (None, None) => 0.5,
        }
    }

    /// Whether what was read back can be used.
    pub(crate) fn is_sound(&self) -> bool {
        self.margins.len() == self.probabilities.len()
            && !self.margins.is_empty()
            && self.margins.iter().all(|m| m.is_finite())
            && self.margins.is_sorted_by(|a, b| a < b)
            && self.probabilities.iter().all(|p| (0.0..=1.0).contains(p))
            && self.probabilities.is_sorted()
    }

    fn push(&mut self, margin: f64, probability: f64) {
        self.margins.push(margin);
        self.probabilities.push(probability);
    }
}

/// The distinct log-odds, ascending, each with the weight of its hits and of all its rows.
pub(super) fn grouped(margins: &[f64], labels: &[bool], weights: &[f64]) -> Vec<(f64, f64, f64)> {
    let rows = margins.iter().zip(labels).zip(weights).filter(|(_, w)| **w > 0.0);
    // Adding 0 makes -0 the same as 0.
    let mut rows: Vec<_> = rows.map(|((m, y), w)| (m + 0.0, *y, *w)).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.total_cmp(&b.2)));
    let ties = rows.chunk_by(|a, b| a.0 == b.0);
    let sums = ties.map(|tie| {
        let hits: f64 = tie.iter().filter(|(_, y, _)| *y).map(|(_, _, w)| w).sum();
        (tie[0].0, hits, tie.iter().map(|(_, _, w)| w).sum())
    });
    sums.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ml::calibration::golden::{LABELS, MARGINS, POINTS, WEIGHTS};
    use proptest::prelude::*;

    const PLAIN: [f64; 12] = [
        0.055_555_555_556,
        0.055_555_555_556,
        0.194_444_444_444,
        0.333_333_333_333,
        0.333_333_333_333,
        0.388_888_888_889,
        0.5,
        0.5,
        0.625,
        0.75,
        0.75,
        0.75,
    ];
    const WEIGHTED: [f64; 12] = [
        0.060_606_060_606,
        0.060_606_060_606,
        0.184_149_184_149,
        0.353_846_153_846,
        0.4,
        0.488_888_888_889,
        0.666_666_666_667,
        0.666_666_666_667,
        0.742_424_242_424,
        0.818_181_818_182,
        0.818_181_818_182,
        0.818_181_818_182,
    ];

    /// `IsotonicRegression(y_min=1/(W+2), y_max=1-1/(W+2), out_of_bounds="clip")` of scikit-learn
    /// 1.9.1, W the weight of all rows.
    #[test]
    fn probabilities_equal_the_reference() {
        let plain = Isotonic::fit(&MARGINS, &LABELS, &[1.0; 16]).unwrap();
        let weighted = Isotonic::fit(&MARGINS, &LABELS, &WEIGHTS).unwrap();
        for (i, margin) in POINTS.iter().enumerate() {
            assert!((plain.probability(*margin) - PLAIN[i]).abs() < 1e-9, "{margin}");
            assert!((weighted.probability(*margin) - WEIGHTED[i]).abs() < 1e-9, "{margin}");
        }
    }

    proptest! {
        #[test]
        fn it_never_falls_and_keeps_the_mean(rows in prop::collection::vec((-5_i32..5, any::<bool>(), 0.1..2.0_f64), 1..60)) {
            let margins: Vec<_> = rows.iter().map(|r| f64::from(r.0)).collect();
            let labels: Vec<_> = rows.iter().map(|r| r.1).collect();
            let weights: Vec<_> = rows.iter().map(|r| r.2).collect();
            let fitted = Isotonic::fit(&margins, &labels, &weights).unwrap();
            prop_assert!(fitted.is_sound());
            let p: Vec<_> = (-60..60).map(|i| fitted.probability(f64::from(i) / 10.0)).collect();
            prop_assert!(p.is_sorted_by(|a, b| *a <= *b + 1e-12));
            let total: f64 = weights.iter().sum();
            let sum = |f: &dyn Fn(usize) -> f64| (0..rows.len()).map(|i| weights[i] * f(i)).sum::<f64>() / total;
            let (mean, rate) = (sum(&|i| fitted.probability(margins[i])), sum(&|i| f64::from(u8::from(labels[i]))));
            // Exact but for the edges.
            prop_assert!((mean - rate).abs() < 1.0 / (total + 2.0) + 1e-9);
        }
    }
}
