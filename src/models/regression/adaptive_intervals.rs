//! Intervals that go on holding while the world drifts.

use super::Estimate;
use super::component::LEVELS;
use crate::error::{Error, Result};
use crate::ml::AdaptiveLevel;
use serde::{Deserialize, Serialize};

/// The levels at which a model's intervals have to be asked for, so that in the long run eight and
/// nine in ten of them hold, whatever the drift (adaptive conformal inference; Gibbs and Candès 2021).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct AdaptiveIntervals([AdaptiveLevel; 2]);

/// Follows a drift within some hundred outcomes.
const STEP: f64 = 0.01;

impl Default for AdaptiveIntervals {
    fn default() -> Self {
        Self(LEVELS.map(|level| AdaptiveLevel::starting(level, STEP)))
    }
}

impl AdaptiveIntervals {
    /// The levels to ask for now, in the place of 0.8 and 0.9.
    pub(crate) fn levels(&self) -> [f64; 2] {
        let [narrow, wide] = self.0.map(|level| level.level());
        [narrow, wide.max(narrow)]
    }

    /// Learns what became of an estimate that was given.
    ///
    /// # Errors
    /// `InvalidInput` when `actual` is not a finite number.
    pub(crate) fn observe(&mut self, estimate: &Estimate, actual: f64) -> Result<()> {
        if !actual.is_finite() {
            return Err(Error::invalid(format!("the observed value is {actual}, expected a finite number")));
        }
        let holds = |(low, high): (f64, f64)| (low..=high).contains(&actual);
        self.0[0].update(holds(estimate.interval_80), 1.0);
        self.0[1].update(holds(estimate.interval_90), 1.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nominal_levels_come_first() {
        let levels = AdaptiveIntervals::default();
        assert_eq!(levels.levels(), [0.8, 0.9]);
    }
}
