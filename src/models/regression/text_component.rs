//! What is made of a description's text.

use super::ordinal_text::{OrdinalRows, OrdinalText};
use super::params::RegressionParams;
use super::solver_effects::SolverEffects;
use crate::error::{Error, Result};
use crate::features::FeatureRow;
use crate::ml::{Linear, LinearLoss, LinearParams, LinearRow, LinearTarget, SparseRow, Tfidf};
use serde::{Deserialize, Serialize};

/// The model component that uses a description's text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum TextComponent {
    /// A linear correction to the expected value.
    Linear(Linear),
    /// Read of older artefacts alone, which are to be trained again.
    NearestNeighbors(Retired),
    /// Who tries the task, and similar tasks.
    Solvers(Box<SolverEffects>),
    /// The distribution of the value itself.
    Ordinal(OrdinalText),
}

/// The labels of similar texts, the answer of earlier releases.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Retired {
    rows: Vec<Vec<(u32, f32)>>,
    labels: Vec<f64>,
}

/// Settings of an ordinal regression, chosen on forward folds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct OrdinalChoice {
    /// Rows after which a row counts half as much in the regression.
    pub(super) half_life: f64,
    /// Share of the past labels' distribution.
    pub(super) past_share: f64,
}

/// Rows to learn from: texts, labels, expected values and weights, one each.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextRows<'a> {
    pub(super) texts: &'a [SparseRow],
    pub(super) labels: &'a [f64],
    pub(super) expected: &'a [f64],
    pub(super) weights: &'a [f64],
}

impl TextComponent {
    /// Fits an ordinal regression where there is a choice of how, else a linear correction. `width` is the number of
    /// n-grams.
    pub(super) fn fit(
        rows: TextRows<'_>,
        width: usize,
        choice: Option<OrdinalChoice>,
        params: &RegressionParams,
    ) -> Result<Self> {
        let TextRows { texts, labels, expected, weights } = rows;
        if let Some(OrdinalChoice { half_life, past_share }) = choice {
            let rows = OrdinalRows { texts, labels, weights, width };
            return OrdinalText::fit(rows, half_life, past_share, params.l2).map(Self::Ordinal);
        }
        let rows: Vec<_> =
            texts.iter().map(|(indices, values)| LinearRow { dense: &[], indices, values }).collect();
        let weights = vec![1.0; rows.len()];
        let target = LinearTarget { labels, weights: &weights, offsets: expected, loss: LinearLoss::Squared };
        let l2 = LinearParams { dense_l2: params.l2, sparse_l2: params.l2, max_steps: 20 };
        Linear::fit(&l2, &rows, target, width).map(Self::Linear)
    }

    /// Returns the correction to the expected value by the words alone, of an ordinal regression to `start`.
    pub(super) fn value(&self, text: &SparseRow, start: f64) -> f64 {
        match self {
            Self::Linear(linear) => {
                linear.margin(LinearRow { dense: &[], indices: &text.0, values: &text.1 })
            }
            Self::NearestNeighbors(_) | Self::Solvers(_) => 0.0,
            Self::Ordinal(ordinal) => ordinal.distribution(text).median() - start,
        }
    }

    /// Checks what was read and makes it ready; `width` is the number of n-grams.
    ///
    /// # Errors
    /// `Corrupt` where a part is out of range, `Incompatible` for what this release no longer predicts with.
    pub(super) fn prepare(&mut self, width: usize) -> Result<()> {
        match self {
            Self::Linear(linear) => linear.prepare(width),
            Self::NearestNeighbors(_) => Err(Error::incompatible(
                "the model predicts by nearest neighbours, in whose place this release has an ordinal regression: \
                 train it again",
            )),
            Self::Solvers(_) => Ok(()),
            Self::Ordinal(ordinal) => ordinal.prepare(width),
        }
    }
}

pub(super) fn sparse(tfidf: &Tfidf, row: &FeatureRow) -> SparseRow {
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    tfidf.transform(&row.text, &mut indices, &mut values);
    (indices, values)
}
