//! The levels at which intervals are asked for, by the labels of predictions that were given.

use crate::dataset::Target;
use crate::error::{Error, Result};
use crate::models::{AdaptiveIntervals, Estimate};
use serde::{Deserialize, Serialize};

/// By target the version that was observed, and the levels that its outcomes ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Adapted([(u64, AdaptiveIntervals); ADAPTED.len()]);

/// The targets whose intervals adapt.
const ADAPTED: [Target; 5] =
    [Target::Complexity, Target::Time, Target::Quality, Target::Cost, Target::Tokens];

impl Adapted {
    /// The levels for a version of a model; the nominal ones while nothing of it was observed.
    pub(super) fn levels(&self, target: Target, version: u64) -> [f64; 2] {
        let observed = place(target).map(|place| self.0[place]).filter(|(of, _)| *of == version);
        observed.unwrap_or_default().1.levels()
    }

    /// Takes in one label. A new version, which was calibrated anew, is reset; labels of an older one, or of no
    /// model, say nothing of it.
    pub(super) fn with(mut self, target: Target, estimate: &Estimate, actual: f64) -> Result<Self> {
        let place = place(target).ok_or_else(|| {
            Error::invalid(format!(
                "{target} has no intervals that adapt: observe complexity, time, quality, cost or tokens"
            ))
        })?;
        let (version, levels) = &mut self.0[place];
        if estimate.model_version > *version {
            (*version, *levels) = (estimate.model_version, AdaptiveIntervals::default());
        }
        let mut observed = *levels;
        observed.observe(estimate, actual)?;
        if estimate.model_version == *version && *version > 0 {
            *levels = observed;
        }
        Ok(self)
    }
}

fn place(target: Target) -> Option<usize> {
    ADAPTED.iter().position(|one| *one == target)
}
