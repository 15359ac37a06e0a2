//! What is made of a description's wording.

use super::params::RegressionParams;
use super::solver_effects::SolverEffects;
use super::spec::Spec;
use crate::error::Result;
use crate::features::FeatureRow;
use crate::ml::{Linear, LinearLoss, LinearParams, LinearRow, LinearTarget, NearestNeighbors, Tfidf};
use serde::{Deserialize, Serialize};

/// The model component that uses a description's text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum TextComponent {
    /// A linear correction to the expected value.
    Linear(Linear),
    /// The labels of similar descriptions.
    NearestNeighbors(NearestNeighbors),
    /// Who tries the task, and similar tasks.
    Solvers(Box<SolverEffects>),
}

impl TextComponent {
    pub(super) fn fit(
        spec: &Spec,
        texts: &[SparseRow],
        width: usize,
        labels: &[f64],
        expected: &[f64],
        params: &RegressionParams,
    ) -> Result<Self> {
        if spec.by_neighbours {
            let rows = texts.iter().zip(labels).map(|((indices, values), y)| (&indices[..], &values[..], *y));
            return Ok(Self::NearestNeighbors(NearestNeighbors::fit(rows)));
        }
        let rows: Vec<_> =
            texts.iter().map(|(indices, values)| LinearRow { dense: &[], indices, values }).collect();
        let weights = vec![1.0; rows.len()];
        let target = LinearTarget { labels, weights: &weights, offsets: expected, loss: LinearLoss::Squared };
        let l2 = LinearParams { dense_l2: params.l2, sparse_l2: params.l2, max_steps: 20 };
        Linear::fit(&l2, &rows, target, width).map(Self::Linear)
    }

    /// Returns the correction to the expected value by the words alone; a training row is left out of its own neighbors.
    pub(super) fn value(&self, (indices, values): &SparseRow, start: f64, row: Option<usize>) -> f64 {
        match self {
            Self::Linear(linear) => linear.margin(LinearRow { dense: &[], indices, values }),
            Self::NearestNeighbors(neighbors) => {
                let median = neighbors.quantiles(indices, values, row, &[0.5]);
                median.map_or(0.0, |found| found[0] - start)
            }
            Self::Solvers(_) => 0.0,
        }
    }
}

/// Indices and values of a row of n-grams.
pub(super) type SparseRow = (Vec<u32>, Vec<f32>);

pub(super) fn sparse(tfidf: &Tfidf, row: &FeatureRow) -> SparseRow {
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    tfidf.transform(&row.text, &mut indices, &mut values);
    (indices, values)
}
