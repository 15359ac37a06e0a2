//! Which features a model leans on.

use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::features::{FEATURES, FeatureRow};
use crate::models::Predictor;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How much worse predictions get when one feature tells nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub(crate) struct FeatureImportance {
    /// The feature, or `task_description` for its wording.
    pub(crate) feature: String,
    /// The mean loss with its values permuted among the rows, minus the original loss: about 0 where
    /// the model does not depend on the feature.
    pub(crate) increase: f64,
    /// The standard deviation of the increase over the permutations.
    pub(crate) deviation: f64,
}

/// Permutation importance (Breiman 2001; Fisher, Rudin and Dominici 2019) on `examples`, which the
/// model should not have seen, the most important feature first. Each feature is dealt out
/// `repeats` times; `loss` says how bad a prediction was ([`Trainer::loss`](crate::models::Trainer::loss)).
///
/// Of features that say the same, each alone seems to matter little.
///
/// # Errors
/// `InvalidInput` when there are fewer than two examples or no repeats, or the examples are a ranking's.
pub(crate) fn permutation_importance<P: Predictor>(
    model: &P,
    loss: impl Fn(f64, f64) -> f64,
    examples: &[Example],
    repeats: usize,
    seed: u64,
) -> Result<Vec<FeatureImportance>> {
    if examples.len() < 2 || repeats == 0 {
        return Err(Error::invalid("permutation importance: give at least two examples and one repeat"));
    }
    if examples.iter().any(|e| e.features.values.len() != FEATURES.len()) {
        return Err(Error::invalid("permutation importance: a ranking's rows have features of their own"));
    }
    let rows: Vec<Arc<FeatureRow>> = examples.iter().map(|e| Arc::clone(&e.features)).collect();
    let mean_loss = |row: &mut dyn FnMut(usize) -> FeatureRow| -> f64 {
        let losses = examples.iter().enumerate().map(|(i, e)| loss(model.point(&row(i)), e.label));
        losses.sum::<f64>() / examples.len() as f64
    };
    let before = mean_loss(&mut |i| rows[i].as_ref().clone());
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut measure = |feature: &str, put: &dyn Fn(&mut FeatureRow, &FeatureRow)| {
        let increases: Vec<_> = (0..repeats)
            .map(|_| {
                let mut order: Vec<usize> = (0..rows.len()).collect();
                order.shuffle(&mut rng);
                let mut dealt = |i: usize| {
                    let mut row = rows[i].as_ref().clone();
                    put(&mut row, &rows[order[i]]);
                    row
                };
                mean_loss(&mut dealt) - before
            })
            .collect();
        let mean = increases.iter().sum::<f64>() / repeats as f64;
        let square = increases.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let deviation = (square / (repeats - 1).max(1) as f64).sqrt();
        FeatureImportance { feature: feature.to_owned(), increase: mean, deviation }
    };
    let mut found = vec![measure("task_description", &|row, other| row.text = other.text.clone())];
    for (place, feature) in FEATURES.iter().enumerate() {
        // What is the same everywhere tells nothing.
        if rows.windows(2).any(|two| two[0].values[place].to_bits() != two[1].values[place].to_bits()) {
            found.push(measure(feature.name, &|row, other| row.values[place] = other.values[place]));
        }
    }
    let own = |i: usize, place: usize| rows[i].own.values.get(place).map(|value| value.to_bits());
    for (place, column) in rows[0].own.declared.iter().enumerate() {
        if (1..rows.len()).any(|i| own(i, place) != own(0, place)) {
            found.push(measure(&column.name, &|row, other| {
                if let (Some(value), Some(dealt)) =
                    (row.own.values.get_mut(place), other.own.values.get(place))
                {
                    *value = *dealt;
                }
            }));
        }
    }
    found.sort_by(|a, b| b.increase.total_cmp(&a.increase));
    Ok(found)
}
