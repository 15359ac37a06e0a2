//! The cross-fitted reward model.

use super::row::LoggedChoice;
use crate::error::{Error, Result};
use crate::execution;
use crate::ml::{Linear, LinearLoss, LinearParams, LinearRow, LinearTarget};
use crate::stats::fnv;

/// Hashed columns of the ridge regression: collisions are rare up to some thousand names.
const WIDTH: usize = 1 << 14;

/// Weak enough for some thousand rows; `cargo test --lib off_policy` checks that doubly robust intervals are narrower.
const RIDGE: LinearParams = LinearParams { dense_l2: 1.0, sparse_l2: 3.0, max_steps: 20 };

/// Fills in `predicted` of all rows: those of each of `folds` folds of clusters by the model that `fit` fits on the
/// others, so that no row is predicted from its own cluster.
///
/// `fit` is given the indices of the rows to learn from; it returns a function from the index of a row and of a
/// candidate to the expected reward.
///
/// # Errors
/// `InvalidInput` for a row out of range, fewer than 2 folds or clusters than folds; those of `fit`;
/// `Cancelled`. `predicted` of no row is changed then.
pub(super) fn cross_fit<P: Fn(usize, usize) -> f64>(
    rows: &mut [LoggedChoice],
    folds: u32,
    fit: impl Fn(&[LoggedChoice], &[usize]) -> Result<P>,
) -> Result<()> {
    rows.iter().enumerate().try_for_each(|(i, row)| row.verify(i))?;
    let mut clusters: Vec<_> = rows.iter().map(|row| row.cluster).collect();
    clusters.sort_unstable();
    clusters.dedup();
    if folds < 2 || clusters.len() < folds as usize {
        let n = clusters.len();
        return Err(Error::invalid(format!(
            "{folds} folds of {n} clusters: give from 2 to as many as these"
        )));
    }
    // Clusters in the order of a hash go to the folds in turn, so that every fold gets some.
    clusters.sort_by_key(|cluster| (fnv::hash(&cluster.to_le_bytes()), *cluster));
    let turns: std::collections::HashMap<_, _> =
        clusters.iter().enumerate().map(|(i, cluster)| (*cluster, i as u32 % folds)).collect();
    let mut predicted = vec![Vec::new(); rows.len()];
    for fold in 0..folds {
        execution::check()?;
        let (held_out, rest): (Vec<usize>, Vec<usize>) =
            (0..rows.len()).partition(|i| turns[&rows[*i].cluster] == fold);
        let reward = fit(rows, &rest)?;
        for i in held_out {
            predicted[i] = (0..rows[i].target.len()).map(|candidate| reward(i, candidate)).collect();
        }
    }
    rows.iter_mut().zip(predicted).for_each(|(row, predicted)| row.predicted = predicted);
    Ok(())
}

/// Fills in `predicted` by ridge regression on columns like `language=rust`, alone and with the candidate, and on the
/// candidate alone, hashed into 16,384 columns.
///
/// # Errors
/// Those of [`cross_fit`]; `InvalidInput` where `columns` or `names` are not one a row.
pub(super) fn cross_fit_ridge(
    rows: &mut [LoggedChoice],
    folds: u32,
    columns: &[Vec<String>],
    names: &[Vec<String>],
) -> Result<()> {
    let fits = rows.iter().zip(names).all(|(row, names)| row.target.len() == names.len());
    if columns.len() != rows.len() || names.len() != rows.len() || !fits {
        return Err(Error::invalid(
            "cross_fit_ridge: give columns of every row and names of every candidate",
        ));
    }
    let hashed = |row: usize, candidate: usize| {
        let name = &names[row][candidate];
        let mut indices = vec![index_of("", name)];
        for column in &columns[row] {
            indices.extend([index_of(column, ""), index_of(column, name)]);
        }
        indices.sort_unstable();
        indices.dedup();
        indices
    };
    cross_fit(rows, folds, |rows, rest| {
        let indices: Vec<_> = rest.iter().map(|i| hashed(*i, rows[*i].chosen)).collect();
        let ones: Vec<_> = indices.iter().map(|indices| vec![1.0_f32; indices.len()]).collect();
        let inputs: Vec<_> = indices
            .iter()
            .zip(&ones)
            .map(|(indices, values)| LinearRow { dense: &[], indices, values })
            .collect();
        let rewards: Vec<_> = rest.iter().map(|i| rows[*i].reward).collect();
        let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
        let scale = rewards.iter().map(|r| (r - mean).abs()).fold(0.0, f64::max).max(1e-12);
        let labels: Vec<_> = rewards.iter().map(|r| (r - mean) / scale).collect();
        let weights: Vec<_> = rest.iter().map(|i| rows[*i].weight).collect();
        let offsets = vec![0.0; rest.len()];
        let loss = LinearLoss::Squared;
        let target = LinearTarget { labels: &labels, weights: &weights, offsets: &offsets, loss };
        let fitted = Linear::fit(&RIDGE, &inputs, target, WIDTH)?;
        Ok(move |row: usize, candidate: usize| {
            let indices = hashed(row, candidate);
            let values = vec![1.0; indices.len()];
            mean + scale * fitted.margin(LinearRow { dense: &[], indices: &indices, values: &values })
        })
    })
}

fn index_of(column: &str, candidate: &str) -> u32 {
    let bytes = column.bytes().chain([0]).chain(candidate.bytes());
    let hash = bytes.fold(fnv::SEED, fnv::step);
    ((hash ^ (hash >> 32)) % WIDTH as u64) as u32
}
