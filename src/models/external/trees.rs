//! Imported trees, and their stored form.

use crate::error::{Error, Result};
use crate::features::{FEATURES, FeatureRow};
use crate::ml::{Margin, Trees};
use crate::models::column_encoder::ColumnEncoder;
use crate::models::shares_of_columns;
use crate::models::unseen::{UnseenValue, unseen};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Imported trees with the features that they use and the scale of their sum.
#[derive(Debug, Clone)]
pub(crate) struct ImportedTrees {
    pub(super) trees: Trees,
    pub(super) places: Vec<usize>,
    pub(super) margin: Margin,
    pub(super) log_label: bool,
}

/// The serialized form of [`ImportedTrees`].
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::models) struct StoredTrees {
    trees: Vec<u8>,
    places: Vec<usize>,
    margin: Margin,
    log_label: bool,
}

/// What begins a model of imported trees. One that was trained here begins with its regime, which is 0
/// or 1.
const TAG: &[u8] = b"\xffimported trees\x01";

impl ImportedTrees {
    /// The sum of the trees.
    pub(in crate::models) fn margin(&self, row: &FeatureRow) -> f64 {
        self.trees.margin(&self.values(row)).unwrap_or(0.0)
    }

    /// The label that they predict, where it is a number.
    pub(in crate::models) fn value(&self, row: &FeatureRow) -> f64 {
        let margin = self.margin(row);
        let value = if self.margin == Margin::LogValue { margin.exp() } else { margin };
        if self.log_label { value.min(LARGEST_LOG).exp_m1() } else { value }
    }

    /// The margin taken apart: the expected one, and one part a feature, in the order of [`FEATURES`].
    pub(in crate::models) fn contributions(&self, row: &FeatureRow) -> (f64, Vec<f64>) {
        let shap = self.trees.contributions(&self.values(row)).unwrap_or_default();
        let mut features = vec![0.0; FEATURES.len()];
        self.places.iter().zip(&shap).for_each(|(place, part)| features[*place] = f64::from(*part));
        (shap.last().copied().map_or(0.0, f64::from), features)
    }

    /// Returns the values of `row` that are unlike all that the trees were trained on, where they say what that was.
    pub(in crate::models) fn unseen(&self, row: &FeatureRow) -> Vec<UnseenValue> {
        unseen([&self.trees], &self.values(row), &self.places, &ColumnEncoder::default())
    }

    /// Shares of the trees' gain by feature.
    pub(in crate::models) fn gains(&self) -> Vec<(String, f64)> {
        shares_of_columns(&ColumnEncoder::default(), &self.places, &self.trees.importance())
    }

    pub(in crate::models) fn store(&self) -> Result<StoredTrees> {
        let Self { trees, places, margin, log_label } = self;
        Ok(StoredTrees {
            trees: trees.to_bytes()?,
            places: places.clone(),
            margin: *margin,
            log_label: *log_label,
        })
    }

    fn values(&self, row: &FeatureRow) -> Vec<f32> {
        let value = |place: &usize| row.values.get(*place).copied().filter(|v| !v.is_infinite());
        self.places.iter().map(|place| value(place).unwrap_or(f32::NAN)).collect()
    }
}

/// Beyond this a logarithm is that of nothing that is measured.
const LARGEST_LOG: f64 = 50.0;

impl StoredTrees {
    /// Checks everything that a prediction relies on.
    pub(in crate::models) fn open(self) -> Result<ImportedTrees> {
        let trees = Trees::from_bytes(&self.trees)?;
        let known = self.places.iter().all(|place| *place < FEATURES.len());
        if !known || trees.width() != self.places.len() {
            return Err(Error::corrupt("imported trees and their features do not fit together"));
        }
        let Self { places, margin, log_label, .. } = self;
        Ok(ImportedTrees { trees, places, margin, log_label })
    }
}

/// Returns true if the bytes are of a model of imported trees.
pub(in crate::models) fn is_imported(bytes: &[u8]) -> bool {
    bytes.starts_with(TAG)
}

/// Serializes a model of imported trees.
pub(in crate::models) fn seal_imported<T: Serialize>(stored: &T) -> Result<Vec<u8>> {
    postcard::to_extend(stored, TAG.to_vec())
        .map_err(|e| Error::internal("imported trees cannot be written").with_source(e))
}

/// What [`seal_imported`] wrote.
pub(in crate::models) fn open_imported<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let damaged = || Error::corrupt("imported trees cannot be read");
    let rest = bytes.strip_prefix(TAG).ok_or_else(damaged)?;
    postcard::from_bytes(rest).map_err(|e| damaged().with_source(e))
}
