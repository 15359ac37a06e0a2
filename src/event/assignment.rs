//! Assignment of a generation to an arm of an experiment.

use super::check;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The arm of an experiment that a generation's unit was assigned to, with its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Assignment {
    /// The experiment.
    pub experiment: String,
    /// The arm.
    pub arm: String,
    /// The user, project, session or task that was assigned.
    pub unit: String,
    /// Probability with which the arm was drawn, above 0 and at most 1.
    pub probability: f64,
}

impl Assignment {
    /// Creates the assignment of `unit` to an `arm` of `experiment`.
    ///
    /// # Errors
    /// `InvalidInput` when a name is empty or `probability` is not in (0, 1].
    pub(crate) fn new(
        experiment: impl Into<String>,
        arm: impl Into<String>,
        unit: impl Into<String>,
        probability: f64,
    ) -> Result<Self> {
        let (experiment, arm, unit) = (experiment.into(), arm.into(), unit.into());
        let assignment = Self { experiment, arm, unit, probability };
        assignment.validate().map(|()| assignment)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        for (name, value) in [("experiment", &self.experiment), ("arm", &self.arm), ("unit", &self.unit)] {
            if value.is_empty() {
                return Err(Error::invalid(format!("experiments: {name} is empty")));
            }
        }
        let field = format!("experiments[{}].probability", self.experiment);
        check::range(&field, Some(self.probability), f64::MIN_POSITIVE, 1.0)
    }

    pub(crate) fn clean(&mut self) {
        [&mut self.experiment, &mut self.arm, &mut self.unit].into_iter().for_each(check::clean_text);
    }
}
