//! The level to ask for where the world drifts.

#[cfg(test)]
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Adaptive conformal inference (Gibbs and Candès 2021): the level to ask for rises after a miss and
/// sinks after a hit, so that the long-run share of hits is the target whatever the labels do.
///
/// Their bound: over T outcomes the share of hits is within (2 + step) / (step · T) of the target when
/// an interval at the highest level, 2, always hits and one at the lowest, 0, never does.
/// [`Scores::reach`](super::Scores::reach) ends at some distance, so that one long run of misses
/// cannot make the intervals endless for as long again; for labels beyond that distance the bound is
/// lost. Outcomes that mature late may be fed late: the bound grows by their delay over T.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct AdaptiveLevel {
    target: f64,
    step: f64,
    level: f64,
}

/// The levels that can be asked for.
const RANGE: std::ops::RangeInclusive<f64> = 0.0..=2.0;

#[cfg(test)]
/// A step beyond this would make intervals jump from one row to the next.
const LARGEST_STEP: f64 = 0.1;

impl AdaptiveLevel {
    #[cfg(test)]
    /// Starts at `target`, the wanted share of hits, within (0, 1); after a miss the level rises by
    /// `step` · target, after a hit it sinks by `step` · (1 − target). Steps are above 0 and at most
    /// 0.1; 0.01 follows a drift within some hundred outcomes.
    ///
    /// # Errors
    /// `InvalidInput` naming what is out of range.
    pub(crate) fn new(target: f64, step: f64) -> Result<Self> {
        let made = Self::starting(target, step);
        if made.is_sound() {
            return Ok(made);
        }
        Err(Error::invalid(format!(
            "adaptive level: target {target} is expected within (0, 1), step {step} above 0 and at most {LARGEST_STEP}"
        )))
    }

    /// Creates a level from values known to be in range.
    pub(crate) fn starting(target: f64, step: f64) -> Self {
        Self { target, step, level: target }
    }

    /// The level to ask for now, from 0 to 2.
    pub(crate) fn level(&self) -> f64 {
        self.level
    }

    #[cfg(test)]
    /// The wanted share of hits.
    pub(crate) fn target(&self) -> f64 {
        self.target
    }

    /// Learns whether an interval that was given held its label, which counts as `weight` (0 to 1)
    /// of an outcome; a weight out of range is brought into it.
    pub(crate) fn update(&mut self, hit: bool, weight: f64) {
        let weight = if weight.is_nan() { 0.0 } else { weight.clamp(0.0, 1.0) };
        let missed = f64::from(u8::from(!hit));
        let level = self.level + weight * self.step * (missed - (1.0 - self.target));
        self.level = level.clamp(*RANGE.start(), *RANGE.end());
    }

    #[cfg(test)]
    /// Whether what was read back can be used.
    pub(crate) fn is_sound(&self) -> bool {
        self.target > 0.0
            && self.target < 1.0
            && self.step > 0.0
            && self.step <= LARGEST_STEP
            && RANGE.contains(&self.level)
    }
}
