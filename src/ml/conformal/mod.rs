//! Intervals that hold: how far held-out predictions were off says how far the next may be. Where the
//! world drifts, [`AdaptiveLevel`] keeps the long-run share of hits.

mod adaptive;
mod quantile;
mod residual;
mod scores;

pub(crate) use adaptive::AdaptiveLevel;
pub(crate) use quantile::QuantileConformal;
pub(crate) use residual::ResidualConformal;

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// From where to where a label is expected, in its own unit; the ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// The lower end.
    pub(crate) lower: f64,
    /// The upper end, not below the lower.
    pub(crate) upper: f64,
}

impl Interval {
    /// The interval between two ends, whichever is the lower.
    pub(crate) fn between(a: f64, b: f64) -> Self {
        Self { lower: a.min(b), upper: a.max(b) }
    }

    /// How wide it is, in the label's unit.
    pub(crate) fn width(&self) -> f64 {
        self.upper - self.lower
    }

    /// Returns the interval widened by `amount` at both ends; a negative amount narrows it, at most to its
    /// middle.
    #[must_use]
    pub(crate) fn widened(&self, amount: f64) -> Self {
        let half = (0.5 * self.width() + amount).max(0.0);
        let middle = self.lower + 0.5 * self.width();
        Self { lower: middle - half, upper: middle + half }
    }

    /// The least interval that holds both.
    #[must_use]
    pub(crate) fn hull(&self, other: &Self) -> Self {
        Self { lower: self.lower.min(other.lower), upper: self.upper.max(other.upper) }
    }

    fn is_finite(self) -> bool {
        self.lower.is_finite() && self.upper.is_finite()
    }
}

/// Makes each interval hold those before it.
fn nest(intervals: &mut [Interval]) {
    for i in 1..intervals.len() {
        intervals[i] = intervals[i].hull(&intervals[i - 1]);
    }
}

/// Levels are ascending shares within (0, 1).
fn are_levels(levels: &[f64]) -> bool {
    !levels.is_empty()
        && levels.iter().all(|level| *level > 0.0 && *level < 1.0)
        && levels.is_sorted_by(|a, b| a < b)
}

fn check_levels(levels: &[f64]) -> Result<()> {
    if are_levels(levels) {
        return Ok(());
    }
    Err(Error::invalid(format!("levels are {levels:?}, expected ascending ones within (0, 1)")))
}

#[cfg(test)]
impl Interval {
    /// Whether `label` is within.
    pub(crate) fn contains(&self, label: f64) -> bool {
        (self.lower..=self.upper).contains(&label)
    }
}

#[cfg(test)]
mod tests;
