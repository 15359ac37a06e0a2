//! Intervals around a prediction, as wide as it is uncertain.

use super::scores::Scores;
use super::{Interval, are_levels, check_levels, nest};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Split-conformal regression with normalised residuals (Papadopoulos et al. 2002; Lei et al. 2018):
/// prediction ± scale × the held-out quantile of |label − prediction| / scale. A scale is any guess
/// of how far off a row may be; the same for all rows gives intervals of one width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResidualConformal {
    levels: Vec<f64>,
    scores: Scores,
}

impl ResidualConformal {
    /// Learns from held-out `predictions`, their `scales` (above 0, in the label's unit) and `labels`
    /// how many scales each of `levels` (ascending shares of labels) takes. A row counts as its
    /// weight of an exchangeable unit: see [`Scores`].
    ///
    /// # Errors
    /// `InvalidInput` when the numbers of rows differ or a value is out of range; `NotEnoughData`
    /// when the rows are too few for the highest level.
    pub(crate) fn fit(
        levels: &[f64],
        predictions: &[f64],
        scales: &[f64],
        labels: &[f64],
        weights: &[f64],
    ) -> Result<Self> {
        check_levels(levels)?;
        if [predictions.len(), scales.len()] != [labels.len(); 2] {
            return Err(Error::invalid("residuals: give as many predictions, scales and labels"));
        }
        if let Some(scale) = scales.iter().find(|s| !(**s > 0.0 && s.is_finite())) {
            return Err(Error::invalid(format!("residuals: scale {scale} is not above 0")));
        }
        let rows = labels.iter().zip(predictions).zip(scales);
        let scores: Vec<_> = rows.map(|((y, p), scale)| (y - p).abs() / scale).collect();
        let scores = Scores::new(&scores, weights)?;
        levels.iter().try_for_each(|level| scores.required(*level).map(drop))?;
        Ok(Self { levels: levels.to_vec(), scores })
    }

    /// The levels, ascending.
    pub(crate) fn levels(&self) -> &[f64] {
        &self.levels
    }

    #[cfg(test)]
    /// The intervals of a row, one a level, each holding those before it.
    pub(crate) fn intervals(&self, prediction: f64, scale: f64) -> Vec<Interval> {
        self.intervals_at(prediction, scale, &self.levels)
    }

    /// Returns the intervals at `levels` (0 to 2) set by [`AdaptiveLevel`](super::AdaptiveLevel)s instead of
    /// the nominal ones.
    pub(crate) fn intervals_at(&self, prediction: f64, scale: f64, levels: &[f64]) -> Vec<Interval> {
        let around = |level: &f64| {
            let reach = scale.max(0.0) * self.scores.reach(*level);
            Interval::between(prediction - reach, prediction + reach)
        };
        let mut found: Vec<_> = levels.iter().map(around).collect();
        nest(&mut found);
        found
    }

    /// Whether what was read back can be used.
    pub(crate) fn is_sound(&self) -> bool {
        are_levels(&self.levels) && self.scores.is_sound() && self.scores.quantile(0.0) >= Some(0.0)
    }
}
