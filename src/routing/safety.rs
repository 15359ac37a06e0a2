//! Limits on exploration.

use super::policies::all_on;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Limits on exploration, whatever the policy.
///
/// ```
/// use devmatrix_ml::routing::Safety;
/// let mut safety = Safety::default();
/// safety.max_exploration = 0.1;
/// assert!(!safety.exploration_off);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Safety {
    /// Probability at most of all candidates but the greedy choice, 0 to 1; by default 0.5.
    pub max_exploration: f64,
    /// Switches exploration off: the greedy choice has probability 1.
    pub exploration_off: bool,
}

impl Default for Safety {
    fn default() -> Self {
        Self { max_exploration: 0.5, exploration_off: false }
    }
}

impl Safety {
    /// Checks every range.
    pub(super) fn validate(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.max_exploration) {
            return Ok(());
        }
        Err(Error::invalid(format!("max_exploration is {}, expected 0 to 1", self.max_exploration)))
    }

    /// Returns the propensities within the limits: the excess goes to the greedy choice `best`, the others keep their
    /// proportions.
    pub(super) fn bounded(&self, propensities: Vec<f64>, best: usize) -> Vec<f64> {
        let Some(own) = propensities.get(best).copied() else { return propensities };
        if self.exploration_off || self.max_exploration == 0.0 {
            return all_on(best, propensities.len());
        }
        let others = 1.0 - own;
        if others <= self.max_exploration {
            return propensities;
        }
        let scale = self.max_exploration / others;
        let bounded = |(at, p)| if at == best { 1.0 - self.max_exploration } else { p * scale };
        propensities.into_iter().enumerate().map(bounded).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exploration_is_bounded_and_proportions_are_kept() {
        let safety = Safety { max_exploration: 0.1, ..Safety::default() };
        assert_eq!(safety.bounded(vec![0.25, 0.75], 0), [0.9, 0.1]);
        assert_eq!(Safety { exploration_off: true, ..safety }.bounded(vec![0.25, 0.75], 0), [1.0, 0.0]);
    }
}
