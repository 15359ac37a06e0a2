//! Trees that were learned elsewhere, with intervals that were learned here.

use super::Estimate;
use super::component::LEVELS;
use super::spec::Spec;
use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::features::FeatureRow;
use crate::ml::{Interval, ResidualConformal};
use crate::models::external::{ImportedTrees, StoredTrees};
use crate::models::unseen::UnseenValues;
use crate::models::{Status, unseen};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Imported trees with their conformal intervals.
#[derive(Debug, Clone)]
pub(super) struct ImportedFit {
    spec: Spec,
    trees: ImportedTrees,
    intervals: ResidualConformal,
}

/// The serialized form of [`ImportedFit`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredImportedFit {
    trees: StoredTrees,
    intervals: ResidualConformal,
}

impl ImportedFit {
    /// Intervals as wide as the trees were off on `rows`, which they had not seen.
    pub(super) fn calibrated(spec: Spec, trees: ImportedTrees, rows: &[&Example]) -> Result<Self> {
        let raw = |row| spec.scale.to(spec.within(trees.value(row)));
        let predictions: Vec<_> = rows.iter().map(|e| raw(&e.features)).collect();
        let labels: Vec<_> = rows.iter().map(|e| spec.scale.to(e.label)).collect();
        let mut tries = HashMap::<u64, f64>::new();
        rows.iter().for_each(|e| *tries.entry(e.task).or_default() += 1.0);
        let weights: Vec<_> = rows.iter().map(|e| 1.0 / tries[&e.task]).collect();
        let scales = vec![1.0; rows.len()];
        let intervals = ResidualConformal::fit(&LEVELS, &predictions, &scales, &labels, &weights)?;
        Ok(Self { spec, trees, intervals })
    }

    pub(super) fn point(&self, row: &FeatureRow) -> f64 {
        self.spec.within(self.trees.value(row))
    }

    pub(super) fn estimate(&self, row: &FeatureRow, levels: [f64; 2], schema: u64) -> Estimate {
        let value = self.point(row);
        let number = |raw: f64| self.spec.within(self.spec.scale.from(raw));
        let found = self.intervals.intervals_at(self.spec.scale.to(value), 1.0, &levels);
        let ends = |band: &Interval| (number(band.lower).min(value), number(band.upper).max(value));
        let unseen = self.trees.unseen(row);
        Estimate {
            value,
            interval_80: ends(&found[0]),
            interval_90: ends(&found[1]),
            status: Status::Calibrated,
            factors: Vec::new(),
            factors_by_topic: Vec::new(),
            notes: unseen::notes(&unseen),
            model_version: 0,
            feature_schema: schema,
            unseen: UnseenValues(unseen),
        }
    }

    /// Base, features in the order of the table, wording: they add up to the margin.
    pub(super) fn contributions(&self, row: &FeatureRow) -> (f64, Vec<f64>, f64) {
        let (base, features) = self.trees.contributions(row);
        (base, features, 0.0)
    }

    /// Shares of the trees' gain by feature.
    pub(super) fn gains(&self) -> Vec<(String, f64)> {
        self.trees.gains()
    }

    pub(super) fn store(&self) -> Result<StoredImportedFit> {
        Ok(StoredImportedFit { trees: self.trees.store()?, intervals: self.intervals.clone() })
    }
}

impl StoredImportedFit {
    /// Checks everything that a prediction relies on.
    pub(super) fn open(self, spec: &Spec) -> Result<ImportedFit> {
        if !self.intervals.is_sound() || self.intervals.levels() != LEVELS {
            return Err(Error::corrupt(format!("{} model: its intervals are out of range", spec.target)));
        }
        Ok(ImportedFit { spec: *spec, trees: self.trees.open()?, intervals: self.intervals })
    }
}

#[cfg(test)]
impl ImportedFit {
    pub(super) fn margin(&self, row: &FeatureRow) -> f64 {
        self.trees.margin(row)
    }
}
