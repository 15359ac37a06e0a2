//! A trainer for what needs no training: it only calibrates.

use super::{ExternalModel, ImportedTrees};
use crate::dataset::{Dataset, Example, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::features::FeatureRow;
use crate::models::{Status, Trainer};
use std::collections::BTreeMap;

/// Fewer outcomes than this calibrate nothing.
const FEWEST_ROWS: usize = 30;

/// A trainer whose models may be imported trees as well.
pub(crate) trait Adopt: Trainer {
    /// A model of `trees`, calibrated on `rows` that they have not seen.
    fn adopt(&self, trees: &ImportedTrees, rows: &[&Example], schema: u64) -> Result<Self::Model>;
}

/// Makes models of an external one: what calibrates and evaluates those of the usual trainer does it for them.
#[derive(Debug)]
pub(crate) struct Importer<T> {
    usual: T,
    external: ExternalModel,
}

impl<T: Adopt> Importer<T> {
    pub(crate) fn new(usual: T, external: &ExternalModel) -> Self {
        Self { usual, external: external.clone() }
    }
}

impl<T: Adopt> Trainer for Importer<T> {
    type Model = T::Model;

    fn name(&self) -> &'static str {
        self.usual.name()
    }

    fn target(&self) -> Target {
        self.usual.target()
    }

    fn fit(&self, data: &Dataset) -> Result<T::Model> {
        let until = self.external.trained_until();
        let rows: Vec<_> = data.certain().filter(|e| e.started_at >= until).collect();
        if rows.len() < FEWEST_ROWS {
            return Err(Error::new(
                ErrorKind::NotEnoughData { have: rows.len(), need: FEWEST_ROWS },
                format!(
                    "{} outcomes since {until}, {FEWEST_ROWS} are needed to calibrate a model that was trained \
                     elsewhere until then: record more, and import it again",
                    rows.len()
                ),
            ));
        }
        self.usual.adopt(&self.external.trees, &rows, data.schema)
    }

    fn read(&self, bytes: &[u8]) -> Result<T::Model> {
        self.usual.read(bytes)
    }

    fn prior(&self, row: &FeatureRow) -> (f64, Status) {
        self.usual.prior(row)
    }

    fn loss(&self, point: f64, label: f64) -> f64 {
        self.usual.loss(point, label)
    }

    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)> {
        self.usual.baselines(train, test)
    }

    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        self.usual.scores(points, labels)
    }

    fn weighted_scores(
        &self,
        points: &[f64],
        labels: &[f64],
        weights: &[f64],
    ) -> Result<BTreeMap<String, f64>> {
        self.usual.weighted_scores(points, labels, weights)
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({ "imported": self.external.origin })
    }
}
