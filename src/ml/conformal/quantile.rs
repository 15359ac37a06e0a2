//! Predicted quantiles, widened or narrowed until they hold.

use super::scores::Scores;
use super::{Interval, are_levels, check_levels, nest};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Conformalised quantile regression (Romano, Patterson and Candès 2019): a band between two
/// predicted quantiles is moved at both ends by as much as held-out labels ask for. Each level has
/// its own band; the bands of higher levels hold those of lower ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct QuantileConformal {
    levels: Vec<f64>,
    scores: Vec<Scores>,
}

impl QuantileConformal {
    /// Learns the widening of each of `levels` (ascending shares of labels, such as 0.8 and 0.9) from
    /// its `bands`, one a held-out row, and the rows' `labels`. A row counts as its weight of an
    /// exchangeable unit: see [`Scores`].
    ///
    /// # Errors
    /// `InvalidInput` when the numbers of rows or levels differ or a value is out of range;
    /// `NotEnoughData` when the rows are too few for the highest level.
    pub(crate) fn fit(
        levels: &[f64],
        bands: &[&[Interval]],
        labels: &[f64],
        weights: &[f64],
    ) -> Result<Self> {
        check_levels(levels)?;
        if bands.len() != levels.len() || bands.iter().any(|rows| rows.len() != labels.len()) {
            return Err(Error::invalid("quantile bands: one for every level and label"));
        }
        let miss = |(band, label): (&Interval, &f64)| {
            let band = Interval::between(band.lower, band.upper);
            (band.lower - label).max(label - band.upper)
        };
        let scores = bands.iter().zip(levels).map(|(rows, level)| {
            if rows.iter().any(|band| !band.is_finite()) {
                return Err(Error::invalid("quantile bands: every end must be finite"));
            }
            let scores: Vec<_> = rows.iter().zip(labels).map(miss).collect();
            let scores = Scores::new(&scores, weights)?;
            scores.required(*level).map(|_| scores)
        });
        Ok(Self { scores: scores.collect::<Result<_>>()?, levels: levels.to_vec() })
    }

    /// The levels, ascending.
    pub(crate) fn levels(&self) -> &[f64] {
        &self.levels
    }

    /// Returns by how much each level's band is moved at both ends, in the label's unit; below 0 inwards.
    #[cfg(feature = "mlflow")]
    pub(crate) fn widenings(&self) -> Vec<f64> {
        self.scores.iter().zip(&self.levels).map(|(scores, level)| scores.reach(*level)).collect()
    }

    #[cfg(test)]
    /// Returns the intervals of a row, one for every level like `bands`.
    ///
    /// # Errors
    /// `InvalidInput` when there are not as many bands as levels.
    pub(crate) fn intervals(&self, bands: &[Interval]) -> Result<Vec<Interval>> {
        self.intervals_at(bands, &self.levels)
    }

    /// Returns the intervals of a row at `levels` (0 to 2, one per band) set by an
    /// [`AdaptiveLevel`](super::AdaptiveLevel) instead of the nominal ones.
    ///
    /// # Errors
    /// `InvalidInput` when there are not as many bands and levels as were fitted.
    pub(crate) fn intervals_at(&self, bands: &[Interval], levels: &[f64]) -> Result<Vec<Interval>> {
        if [bands.len(), levels.len()] != [self.levels.len(); 2] {
            return Err(Error::invalid(format!("quantile bands: {} are expected", self.levels.len())));
        }
        let widen = |((band, scores), level): ((&Interval, &Scores), &f64)| {
            Interval::between(band.lower, band.upper).widened(scores.reach(*level))
        };
        let mut found: Vec<_> = bands.iter().zip(&self.scores).zip(levels).map(widen).collect();
        nest(&mut found);
        Ok(found)
    }

    /// Whether what was read back can be used.
    pub(crate) fn is_sound(&self) -> bool {
        are_levels(&self.levels)
            && self.scores.len() == self.levels.len()
            && self.scores.iter().all(Scores::is_sound)
    }
}
