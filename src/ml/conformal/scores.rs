//! How far held-out predictions were off.

use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// Held-out scores (how far off a prediction was) with their weights, of which any quantile can be
/// taken; 16 bytes a row.
///
/// Nothing is assumed of the model or of the noise, only that the held-out rows and the next one are
/// exchangeable: any order of them was as likely (Vovk, Gammerman and Shafer 2005). Tries of one task
/// are not, but tasks may be. Give then each try the weight 1 / (tries of its task): the quantile
/// holds for a try of a new task (hierarchical conformal prediction; Lee, Barber and Willett 2023).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scores {
    /// Ascending.
    values: Vec<f64>,
    /// The weight of the scores up to each.
    totals: Vec<f64>,
}

/// Sums of weights are exact to this.
const ROUNDING: f64 = 1e-9;

/// Beyond the largest score, this many of its distances from the median to a whole level.
const BEYOND: f64 = 10.0;

impl Scores {
    /// Remembers `scores` of which each counts as `weights` (0 to 1) of an exchangeable unit.
    ///
    /// # Errors
    /// `InvalidInput` when they differ in number, all weigh nothing, or a value is not finite or not
    /// in its range.
    pub(crate) fn new(scores: &[f64], weights: &[f64]) -> Result<Self> {
        if scores.len() != weights.len() || !scores.iter().all(|s| is_score(*s)) {
            return Err(Error::invalid("held-out scores: give finite ones, as many as weights"));
        }
        if let Some(w) = weights.iter().find(|w| !(0.0..=1.0).contains(*w)) {
            return Err(Error::invalid(format!("weight of a held-out score is {w}, expected 0 to 1")));
        }
        let mut rows: Vec<_> = scores.iter().zip(weights).filter(|(_, w)| **w > 0.0).collect();
        rows.sort_by(|a, b| a.0.total_cmp(b.0).then(a.1.total_cmp(b.1)));
        if rows.is_empty() {
            return Err(Error::invalid("held-out scores: at least one must weigh more than nothing"));
        }
        let values = rows.iter().map(|(s, _)| **s).collect();
        let totals = rows.iter().scan(0.0, |sum, (_, w)| {
            *sum += **w;
            Some(*sum)
        });
        Ok(Self { totals: totals.collect(), values })
    }

    /// Returns the score that bounds the next row with a probability of at least `level`: the quantile
    /// of the scores and one more that is infinite (the finite-sample correction: of n rows of weight
    /// 1, the ⌈(n + 1) · level⌉-th). `None` where there are too few for it.
    pub(crate) fn quantile(&self, level: f64) -> Option<f64> {
        let needed = level * (self.weight() + 1.0) - ROUNDING;
        let place = self.totals.partition_point(|total| *total < needed);
        self.values.get(place).copied()
    }

    /// Returns the quantile for any level from 0 to 2. Beyond the largest score it keeps rising, so that an
    /// [`AdaptiveLevel`](super::AdaptiveLevel) can cover labels farther off than any held-out one.
    pub(crate) fn reach(&self, level: f64) -> f64 {
        let last = self.values.last().copied().unwrap_or(0.0);
        let end = self.weight() / (self.weight() + 1.0);
        self.quantile(level).unwrap_or_else(|| {
            let spread = match last - self.quantile(0.5).unwrap_or(last) {
                0.0 => last.abs(),
                spread => spread,
            };
            last + BEYOND * (level - end).clamp(0.0, 2.0) * spread
        })
    }

    /// How many exchangeable units the scores count as.
    pub(crate) fn weight(&self) -> f64 {
        self.totals.last().copied().unwrap_or(0.0)
    }

    /// The quantile at `level`, or how many units would be needed for it.
    pub(super) fn required(&self, level: f64) -> Result<f64> {
        self.quantile(level).ok_or_else(|| {
            let need = (level / (1.0 - level) - ROUNDING).ceil() as usize;
            let kind = ErrorKind::NotEnoughData { have: self.weight() as usize, need };
            Error::new(kind, format!("an interval at {level} needs {need} held-out rows"))
        })
    }

    /// Whether what was read back can be used.
    pub(crate) fn is_sound(&self) -> bool {
        let rises = |values: &[f64]| values.is_sorted() && values.iter().all(|v| is_score(*v));
        !self.values.is_empty()
            && self.values.len() == self.totals.len()
            && rises(&self.values)
            && rises(&self.totals)
            && self.totals[0] > 0.0
    }
}

/// Far from where sums and differences overflow; NaN fails.
fn is_score(value: f64) -> bool {
    value.abs() <= 1e100
}
