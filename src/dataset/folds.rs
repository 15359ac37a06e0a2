//! Folds in the order of time.

use super::{Dataset, Example};
use crate::error::{Error, Result};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// Examples known at a cut, and those that started later.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub(crate) struct Fold {
    /// Dataset as known when the first of the later examples started, less the gap.
    pub(crate) earlier: Dataset,
    /// Examples that started later.
    pub(crate) later: Vec<Example>,
}

/// Options of folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FoldOptions {
    /// How many folds, from 1.
    pub folds: usize,
    /// Time left out between what is learned from and what is predicted. A fold learns from no label
    /// that was not known at its cut, so late labels need no gap; it is for hosts whose models go
    /// live some time after they were fitted.
    #[serde(with = "seconds")]
    pub gap: TimeDelta,
}

impl Default for FoldOptions {
    fn default() -> Self {
        Self { folds: 3, gap: TimeDelta::zero() }
    }
}

impl FoldOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the option and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        if !(1..=100).contains(&self.folds) {
            return Err(Error::invalid(format!("folds is {}, expected 1 to 100", self.folds)));
        }
        if self.gap < TimeDelta::zero() || self.gap > TimeDelta::days(3650) {
            return Err(Error::invalid(format!("gap is {}, expected 0 s to 3650 days", self.gap)));
        }
        Ok(())
    }
}

impl Dataset {
    /// The newer half of the matured examples in `folds` parts of equal size, each to be predicted
    /// from what was known before it (an expanding window), the oldest first.
    ///
    /// # Errors
    /// `InvalidInput` for options out of range; `NotEnoughData` when a part would be empty.
    pub(crate) fn folds(&self, options: &FoldOptions) -> Result<Vec<Fold>> {
        options.validate()?;
        let matured = self.matured();
        let newer = &matured[matured.len() / 2..];
        let size = newer.len() / options.folds;
        if size == 0 {
            return Err(self.cannot_be_split());
        }
        let begin = newer.len() - size * options.folds;
        let fold = |rows: &[&Example]| {
            let cut = rows[0].started_at.checked_sub_signed(options.gap);
            let earlier = self.until(cut.unwrap_or(rows[0].started_at));
            if earlier.certain().next().is_none() {
                return Err(self.cannot_be_split());
            }
            Ok(Fold { earlier, later: rows.iter().map(|e| (*e).clone()).collect() })
        };
        newer[begin..].chunks_exact(size).map(fold).collect()
    }
}

/// A duration as seconds.
mod seconds {
    use chrono::TimeDelta;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(delta: &TimeDelta, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(delta.num_seconds())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TimeDelta, D::Error> {
        let seconds = i64::deserialize(from)?;
        TimeDelta::try_seconds(seconds).ok_or_else(|| serde::de::Error::custom("a gap out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::FoldOptions;
    use crate::clock::Clock;
    use crate::common::world::store_of;
    use crate::dataset::Target;
    use crate::features::FeatureEngineer;
    use crate::training::replay;
    use futures_executor::block_on;

    /// Each fold is trained on what was known when its rows started, and on nothing later.
    #[test]
    fn folds_are_in_time_order() {
        let (store, clock) = store_of(20, 40.0, 3);
        let (engineer, now) = (FeatureEngineer::default(), clock.now());
        let data = block_on(replay(store.as_ref(), &engineer, Target::Success, now, 50_000)).unwrap();
        let mut options = FoldOptions::default();
        options.gap = chrono::TimeDelta::days(1);
        let folds = data.folds(&options).unwrap();
        assert_eq!(folds.len(), 3);
        for fold in &folds {
            let first = fold.later.iter().map(|e| e.started_at).min().unwrap();
            let cut = first - options.gap;
            assert!(fold.earlier.examples.iter().all(|e| e.started_at < cut));
            assert!(fold.earlier.certain().all(|e| e.known_at.unwrap() <= cut));
        }
        assert!(
            folds.windows(2).all(|two| two[0].later.last().unwrap().started_at <= two[1].later[0].started_at)
        );
    }
}
