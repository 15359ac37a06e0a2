//! What can be set of the success model.

use crate::error::{Error, Result};
use crate::learn::BoostParams;
use serde::{Deserialize, Serialize};

/// How the success model is fitted; verified when its trainer is built.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SuccessParams {
    /// Fewest labelled generations to fit on.
    pub min_samples: usize,
    /// Penalty on the square of the linear model's weights, above 0.
    pub l2: f64,
    /// How much a deviation of a dense feature counts beside an n-gram, above 0.
    pub dense_weight: f64,
    /// Fewest distinct descriptions that an n-gram must stand in.
    pub min_texts: u32,
    /// Share of the trees in the correction, 0 to 1.
    pub blend: f64,
    /// The same for tasks that were tried before.
    pub seen_blend: f64,
    /// The trees.
    pub boost: BoostParams,
}

impl Default for SuccessParams {
    fn default() -> Self {
        Self {
            min_samples: 100,
            l2: 1.0,
            dense_weight: 0.05,
            min_texts: 3,
            blend: 0.25,
            seen_blend: 0.5,
            boost: BoostParams::default(),
        }
    }
}

impl SuccessParams {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter and its value.
    pub fn verify(&self) -> Result<()> {
        let check = |name: &str, v: f64, range: std::ops::RangeInclusive<f64>| {
            if range.contains(&v) {
                Ok(())
            } else {
                Err(Error::invalid(format!("{name} is {v}, expected {} to {}", range.start(), range.end())))
            }
        };
        check("l2", self.l2, 1e-6..=1e9)?;
        check("dense_weight", self.dense_weight, 1e-6..=1e3)?;
        check("blend", self.blend, 0.0..=1.0)?;
        check("seen_blend", self.seen_blend, 0.0..=1.0)?;
        self.boost.verify()
    }
}
