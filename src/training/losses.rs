//! The losses by which models are compared, and the clusters that they are resampled by.

use crate::dataset::Example;
use crate::error::Result;
use crate::execution;
use crate::models::{Predictor, Trainer};
use std::collections::HashSet;

/// Fewest clusters for a clustered bootstrap.
pub(super) const FEWEST_CLUSTERS: usize = 10;

/// Returns a model's predictions for rows.
pub(super) fn points<P: Predictor>(model: &P, rows: &[Example]) -> Result<Vec<f64>> {
    rows.iter().map(|e| execution::check().map(|()| model.point(&e.features))).collect()
}

/// The losses by which models are compared, with the rows that they stand at: one a row, or one a ranking's
/// group.
#[derive(Debug)]
pub(super) struct UnitLosses {
    pub(super) losses: Vec<f64>,
    rows: Vec<usize>,
}

impl UnitLosses {
    pub(super) fn of<T: Trainer>(trainer: &T, points: &[f64], rows: &[Example]) -> Result<Self> {
        let found = trainer.losses(points, rows)?;
        let found = found.into_iter().enumerate().filter_map(|(row, loss)| Some((row, loss?)));
        let (rows, losses) = found.unzip();
        Ok(Self { losses, rows })
    }

    /// The indices of the rows that they stand at.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().copied()
    }

    /// What all rows have of something, of those rows alone.
    pub(super) fn select<V: Copy>(&self, all: &[V]) -> Vec<V> {
        self.rows.iter().map(|row| all[*row]).collect()
    }

    /// Losses of rows that count by these weights, 1 on average: their mean is that of all generations, not of
    /// those that were labelled.
    pub(super) fn weighted(&self, weights: &[f64]) -> Vec<f64> {
        self.losses.iter().zip(self.select(weights)).map(|(loss, weight)| loss * weight).collect()
    }
}

/// Returns each row's cluster: its project, or its task if there are too few projects; with too few tasks
/// every row is a cluster of its own.
pub(super) fn clusters(test: &[Example]) -> Vec<u64> {
    let project: Vec<_> = test.iter().map(|e| e.project).collect();
    let task: Vec<_> = test.iter().map(|e| e.task).collect();
    let many = |ids: &Vec<u64>| ids.iter().collect::<HashSet<_>>().len() >= FEWEST_CLUSTERS;
    let rows = (0..test.len() as u64).collect();
    [project, task].into_iter().find(many).unwrap_or(rows)
}
