//! The values that training saw, by feature: those beyond count as the nearest.
//!
//! Where a split only parts missing rows from present ones, its threshold lies past the largest value of training (at
//! max + |max| + 1e-5, in XGBoost and hessboost alike): a present value beyond it would be answered as if it were missing.

use super::Matrix;
use crate::error::{Error, Result};
use hessboost::model::BoostedModel;
use hessboost::tree::RegTree;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Name of the booster attribute that holds them as JSON.
pub(super) const ATTRIBUTE: &str = "devmatrix_training_ranges";

/// The range of each feature that splits by number look at, ascending.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct TrainingRanges(Vec<Range>);

/// Feature, least and greatest value, and whether no row missed it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Range(usize, f32, f32, bool);

/// A value that is unlike all of training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unseen {
    /// Its feature, by index.
    pub(crate) feature: usize,
    /// The value; NaN for one that is missing where none ever was.
    pub(crate) value: f32,
    /// The least and the greatest of training.
    pub(crate) range: (f32, f32),
}

impl TrainingRanges {
    /// Returns the ranges of what `model` was grown on.
    pub(super) fn of(data: &Matrix<'_>, model: &BoostedModel) -> Self {
        let range = |feature: usize| {
            let column = data.values.iter().skip(feature).step_by(data.width);
            let present = column.clone().filter(|v| !v.is_nan());
            let (least, greatest) = present
                .fold((f32::INFINITY, f32::NEG_INFINITY), |(least, greatest), v| {
                    (v.min(least), v.max(greatest))
                });
            let complete = !column.clone().any(|v| v.is_nan());
            (least <= greatest).then_some(Range(feature, least, greatest, complete))
        };
        Self(numbers(model).into_iter().filter_map(range).collect())
    }

    /// Returns the ranges that a LightGBM model states (`feature_infos`). It reads what is missing as its missing type says, so
    /// none is without missing values.
    pub(super) fn of_lightgbm(infos: &str, model: &BoostedModel) -> Self {
        let split_by = numbers(model);
        let range = |(feature, info): (usize, &str)| {
            let (least, greatest) = info.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
            let (least, greatest): (f64, f64) = (least.parse().ok()?, greatest.parse().ok()?);
            // Rounded outward: the ends themselves must stay where LightGBM has them.
            let (low, high) = (least as f32, greatest as f32);
            let low = if f64::from(low) > least { low.next_down() } else { low };
            let high = if f64::from(high) < greatest { high.next_up() } else { high };
            let sound = split_by.contains(&feature) && low <= high && low.is_finite() && high.is_finite();
            sound.then_some(Range(feature, low, high, false))
        };
        Self(infos.split_ascii_whitespace().enumerate().filter_map(range).collect())
    }

    /// Reads what [`to_json`](Self::to_json) wrote of trees of `width` features.
    pub(super) fn from_json(json: &str, width: usize) -> Result<Self> {
        let read: Self = serde_json::from_str(json)
            .map_err(|e| Error::corrupt("the ranges of training cannot be read").with_source(e))?;
        let sound = |Range(feature, least, greatest, _): &Range| {
            *feature < width && least <= greatest && least.is_finite() && greatest.is_finite()
        };
        if read.0.iter().all(sound) && read.0.is_sorted_by(|a, b| a.0 < b.0) {
            return Ok(read);
        }
        Err(Error::corrupt("the ranges of training do not fit the trees"))
    }

    pub(super) fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::internal("the ranges of training cannot be written").with_source(e))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether no row of training missed the feature.
    pub(super) fn is_complete(&self, feature: u32) -> bool {
        let at = self.0.binary_search_by_key(&(feature as usize), |range| range.0);
        at.is_ok_and(|at| self.0[at].3)
    }

    /// Brings each value into the range of its feature; infinities stay, to be refused.
    pub(super) fn clip<'a>(&self, row: &'a [f32]) -> Cow<'a, [f32]> {
        let mut clipped = Cow::Borrowed(row);
        for unseen in self.unseen(row).filter(|unseen| unseen.value.is_finite()) {
            clipped.to_mut()[unseen.feature] = unseen.value.clamp(unseen.range.0, unseen.range.1);
        }
        clipped
    }

    /// Returns the values of a row that are unlike all of training, by ascending feature.
    pub(super) fn unseen<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = Unseen> + 'a {
        self.0.iter().filter_map(|Range(feature, least, greatest, complete)| {
            let value = *row.get(*feature)?;
            let unseen = if value.is_nan() { *complete } else { !(*least..=*greatest).contains(&value) };
            unseen.then_some(Unseen { feature: *feature, value, range: (*least, *greatest) })
        })
    }
}

/// Returns the features that splits by number look at.
fn numbers(model: &BoostedModel) -> BTreeSet<usize> {
    let nodes = model.trees().iter().flat_map(RegTree::nodes);
    nodes.filter(|n| !n.is_categorical && !n.is_leaf()).map(|n| n.split_feature as usize).collect()
}
