//! Training data and objective of a fit of boosted trees.

use super::Matrix;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Objective: unit of the raw margin, and the loss that is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Objective {
    /// Log-odds of a yes-or-no outcome; labels are 0 to 1.
    Logistic,
    /// The mean, by squared error.
    SquaredError,
    /// The median, by absolute error; every leaf is the median of its residuals.
    AbsoluteError,
    /// The quantile at this level, in (0, 1), by pinball loss (Koenker and Bassett 1978); every leaf
    /// is that quantile of its residuals.
    Quantile(f64),
    /// A score that ranks the rows of a group, by LambdaMART on NDCG (Burges 2010); labels are
    /// whole relevances from 0 to 31, gains are 2^label - 1, and a group's rows share one weight.
    LambdaRank {
        /// Places from the top whose pairs are learned, 1 to 10,000.
        top: usize,
    },
}

/// Training or validation rows.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The features.
    pub(crate) data: Matrix<'a>,
    /// One a row, in the unit of the objective; single precision is kept.
    pub(crate) labels: &'a [f64],
    /// How much each row counts, from 0; `None` for all the same.
    pub(crate) weights: Option<&'a [f64]>,
    /// Where each row's margin starts, in the unit of the margin; `None` for one that is estimated.
    pub(crate) offsets: Option<&'a [f64]>,
    /// Rows of each group, which stand one after the other; only for ranking, and needed there.
    pub(crate) groups: Option<&'a [usize]>,
}

impl<'a> Sample<'a> {
    /// Creates rows of equal weight without offsets.
    pub fn new(data: Matrix<'a>, labels: &'a [f64]) -> Self {
        Self { data, labels, weights: None, offsets: None, groups: None }
    }

    /// Sets the row weights.
    #[must_use]
    pub fn weighted(self, weights: &'a [f64]) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// Sets the row offsets.
    #[must_use]
    pub(crate) fn starting_from(self, offsets: &'a [f64]) -> Self {
        Self { offsets: Some(offsets), ..self }
    }

    /// Sets the sizes of the groups for ranking.
    #[must_use]
    pub fn grouped(self, sizes: &'a [usize]) -> Self {
        Self { groups: Some(sizes), ..self }
    }

    /// Checks what hessboost does not check, or reports without a name.
    pub(super) fn validate(&self, objective: Objective) -> Result<()> {
        let n = self.labels.len();
        let lengths = [self.weights, self.offsets].into_iter().flatten().all(|v| v.len() == n);
        if n == 0 || self.data.rows() != n || self.data.values.len() != n * self.data.width || !lengths {
            return Err(Error::invalid(
                "boosted trees: rows, labels, weights and offsets must be as many, and at least one",
            ));
        }
        let others = [self.weights, self.offsets].into_iter().flatten().flatten();
        if let Some(v) = others.chain(self.labels).find(|v| v.is_nan() || v.abs() > LARGEST) {
            return Err(Error::invalid(format!("boosted trees: {v} is out of range")));
        }
        if let Some(y) = self.labels.iter().find(|y| !objective.takes(**y)) {
            return Err(Error::invalid(format!(
                "boosted trees: label {y} is out of range for {objective:?}"
            )));
        }
        if self.groups.is_some() != matches!(objective, Objective::LambdaRank { .. }) {
            return Err(Error::invalid("boosted trees: groups are for ranking, and needed there"));
        }
        Ok(())
    }
}

/// Labels, weights and offsets beyond this would not survive single precision.
const LARGEST: f64 = 1e30;

/// A split by sets is kept as one bit a category.
const LARGEST_CATEGORY: f32 = 65_535.0;

/// When to stop before the last round: rows held out, and how long to wait for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopping<'a> {
    /// Rows that are not learned from.
    pub(crate) held_out: Sample<'a>,
    /// Rounds without a better score on them after which to stop, from 1; the trees up to the best
    /// round are kept.
    pub(crate) patience: usize,
}

/// Request for a fit: objective, training rows and early stopping.
#[derive(Debug, Clone, Copy)]
pub struct FitRequest<'a> {
    /// Objective to minimise.
    pub(crate) objective: Objective,
    /// Training rows.
    pub(crate) sample: Sample<'a>,
    /// Features whose values are categories, split by sets of them: whole numbers from 0 to 65,535 (number
    /// the categories from 0 on), or missing.
    pub(crate) categorical: &'a [usize],
    /// Early stopping; `None` for all rounds.
    pub(crate) stopping: Option<Stopping<'a>>,
}

impl<'a> FitRequest<'a> {
    /// Creates a request without early stopping.
    pub fn new(objective: Objective, sample: Sample<'a>) -> Self {
        Self { objective, sample, categorical: &[], stopping: None }
    }

    /// Sets the categorical features.
    #[cfg(all(test, feature = "lightgbm"))]
    #[must_use]
    pub(super) fn with_categories(self, categorical: &'a [usize]) -> Self {
        Self { categorical, ..self }
    }

    pub(super) fn validate(&self) -> Result<()> {
        self.objective.validate()?;
        self.sample.validate(self.objective)?;
        self.validate_categories(&self.sample.data)?;
        let Some(Stopping { held_out, patience }) = &self.stopping else { return Ok(()) };
        if *patience == 0 || held_out.data.width != self.sample.data.width {
            return Err(Error::invalid("boosted trees: held-out rows of the same width, patience from 1"));
        }
        if held_out.offsets.is_some() != self.sample.offsets.is_some() {
            return Err(Error::invalid("boosted trees: offsets for all rows, held out or not, or for none"));
        }
        held_out.validate(self.objective)?;
        self.validate_categories(&held_out.data)
    }

    fn validate_categories(&self, data: &Matrix<'_>) -> Result<()> {
        for feature in self.categorical {
            if *feature >= data.width {
                return Err(Error::invalid(format!(
                    "boosted trees: feature {feature} is no category, there are {} features",
                    data.width
                )));
            }
            let column = data.values.iter().skip(*feature).step_by(data.width);
            let is_category = |v: f32| (0.0..=LARGEST_CATEGORY).contains(&v) && v.fract() == 0.0;
            if let Some(v) = column.filter(|v| !v.is_nan()).find(|v| !is_category(**v)) {
                return Err(Error::invalid(format!(
                    "boosted trees: {v} in feature {feature} is no category, expected a whole number from 0 \
                     to {LARGEST_CATEGORY}"
                )));
            }
        }
        Ok(())
    }
}

impl Objective {
    fn takes(self, label: f64) -> bool {
        match self {
            Self::Logistic => (0.0..=1.0).contains(&label),
            Self::LambdaRank { .. } => (0.0..=31.0).contains(&label) && label.fract() == 0.0,
            Self::SquaredError | Self::AbsoluteError | Self::Quantile(_) => true,
        }
    }

    fn validate(self) -> Result<()> {
        let sound = match self {
            Self::Quantile(level) => level > 0.0 && level < 1.0,
            Self::LambdaRank { top } => (1..=10_000).contains(&top),
            Self::Logistic | Self::SquaredError | Self::AbsoluteError => true,
        };
        if sound { Ok(()) } else { Err(Error::invalid(format!("boosted trees: {self:?} is out of range"))) }
    }
}

#[cfg(test)]
impl<'a> FitRequest<'a> {
    /// Sets early stopping: training ends when the loss on `held_out` has not improved for `patience` rounds.
    #[must_use]
    pub(crate) fn stopping(self, held_out: Sample<'a>, patience: usize) -> Self {
        Self { stopping: Some(Stopping { held_out, patience }), ..self }
    }
}
