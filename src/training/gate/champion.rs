//! A new model beside the one in production.

use crate::error::Result;
use crate::ml::metrics::{AucComparison, PairedComparison, compare_anytime_valid, compare_paired};
use serde::{Deserialize, Serialize};

/// Paired comparison of a new model with the model in production on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct AgainstChampion {
    /// The new model's loss minus that of the model in production.
    pub(crate) loss: PairedComparison,
    /// Mean loss of the model in production on these rows.
    pub(crate) champion_loss: f64,
    /// Their ROC AUC, where outcomes are binary.
    pub(crate) auc: Option<AucComparison>,
}

/// The model in production, as far as a new model can be compared with it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Champion<'a> {
    /// No model is in production, or none that can be compared.
    None,
    /// Neither, and the model answers as a baseline does where it found nothing better: as good as that is good enough.
    Baseline,
    /// A model is in production, but only so many rows are new to it.
    TooFewRows(usize),
    /// The comparison of the two.
    Compared(&'a AgainstChampion),
}

impl AgainstChampion {
    /// Compares the row losses of a new model with those of the model in production by a fixed-horizon test.
    ///
    /// # Errors
    /// Those of [`compare_paired`].
    pub(crate) fn once(
        own: &[f64],
        champion: &[f64],
        clusters: &[u64],
        confidence: f64,
        seed: u64,
    ) -> Result<Self> {
        let loss = compare_paired(own, champion, clusters, confidence, seed)?;
        Ok(Self { loss, champion_loss: mean(champion), auc: None })
    }

    /// Compares them by an anytime-valid test, which may be repeated with every new outcome; `None` for too
    /// few rows.
    ///
    /// # Errors
    /// Those of [`compare_anytime_valid`].
    pub(crate) fn anytime(
        own: &[f64],
        champion: &[f64],
        clusters: &[u64],
        confidence: f64,
    ) -> Result<Option<Self>> {
        let loss = compare_anytime_valid(own, champion, clusters, confidence)?;
        Ok(loss.map(|loss| Self { loss, champion_loss: mean(champion), auc: None }))
    }

    /// Sets the comparison of their ROC AUC.
    #[must_use]
    pub(crate) fn with_auc(self, auc: Option<AucComparison>) -> Self {
        Self { auc, ..self }
    }
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len().max(1) as f64
}
