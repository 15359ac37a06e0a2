//! How far exploring may go.

use super::policies::all_on;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Limits that hold whatever the policy says.
///
/// ```
/// use devmatrix_ml::routing::Safety;
/// let mut safety = Safety::default();
/// safety.max_exploration = 0.1;
/// safety.verify()?;
/// assert_eq!(safety.bounded(vec![0.25, 0.75], 0), [0.9, 0.1]);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Safety {
    /// Odds at most of anything but what is best by what is known, 0 to 1; by default 0.5.
    pub max_exploration: f64,
    /// Whether exploring is switched off: what is best by what is known is always chosen.
    pub exploration_off: bool,
}

impl Default for Safety {
    fn default() -> Self {
        Self { max_exploration: 0.5, exploration_off: false }
    }
}

impl Safety {
    /// Checks every number's range.
    ///
    /// # Errors
    /// `InvalidInput` naming the field and its value.
    pub fn verify(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.max_exploration) {
            return Ok(());
        }
        Err(Error::invalid(format!("max_exploration is {}, expected 0 to 1", self.max_exploration)))
    }

    /// These odds within the limits, where `best` is what is best by what is known. What exceeds goes
    /// to it, the others keep their proportions.
    pub fn bounded(&self, propensities: Vec<f64>, best: usize) -> Vec<f64> {
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
