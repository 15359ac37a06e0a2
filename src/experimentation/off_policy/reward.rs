//! A model of the reward that has not seen the rows it speaks of.

use super::row::LoggedChoice;
use crate::error::{Error, Result};
use crate::execution;
use crate::ml::{Linear, LinearLoss, LinearParams, LinearRow, LinearTarget};
use crate::stats::fnv;

/// Ridge regressions index that many hashed features.
const WIDTH: usize = 1 << 14;

const RIDGE: LinearParams = LinearParams { dense_l2: 1.0, sparse_l2: 3.0, max_steps: 20 };

/// Fills in `predicted` of all rows: those of each of `folds` parts of the clusters by what `fit`
/// makes of the others, so that no row is predicted from itself or its like.
///
/// `fit` is given the places of the rows to learn from; what it returns is asked for the reward of a
/// row, by its place, under a candidate, by its number.
///
/// # Errors
/// `InvalidInput` for a row out of range, fewer than 2 folds or clusters than folds; those of `fit`;
/// `Cancelled`. `predicted` of no row is changed then.
pub fn cross_fit<P: Fn(usize, usize) -> f64>(
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
    // Clusters in the order of a hash are dealt out in turn, so that every fold gets some.
    clusters.sort_by_key(|cluster| (fnv::hash(&cluster.to_le_bytes()), *cluster));
    let turns: std::collections::HashMap<_, _> =
        clusters.iter().enumerate().map(|(i, cluster)| (*cluster, i as u32 % folds)).collect();
    let mut predicted = vec![Vec::new(); rows.len()];
    for fold in 0..folds {
        execution::check()?;
        let (apart, rest): (Vec<usize>, Vec<usize>) =
            (0..rows.len()).partition(|i| turns[&rows[*i].cluster] == fold);
        let reward = fit(rows, &rest)?;
        for i in apart {
            predicted[i] = (0..rows[i].target.len()).map(|candidate| reward(i, candidate)).collect();
        }
    }
    rows.iter_mut().zip(predicted).for_each(|(row, predicted)| row.predicted = predicted);
    Ok(())
}

/// [`cross_fit`] by ridge regression on what is known of each row: words like `language=rust`, alone,
/// with the candidate, and the candidate alone, hashed into 16,384 places.
///
/// # Errors
/// Those of [`cross_fit`]; `InvalidInput` where `words` or `names` are not one a row.
pub fn cross_fit_ridge(
    rows: &mut [LoggedChoice],
    folds: u32,
    words: &[Vec<String>],
    names: &[Vec<String>],
) -> Result<()> {
    let fits = rows.iter().zip(names).all(|(row, names)| row.target.len() == names.len());
    if words.len() != rows.len() || names.len() != rows.len() || !fits {
        return Err(Error::invalid("cross_fit_ridge: give words of every row and names of every candidate"));
    }
    let hashed = |row: usize, candidate: usize| {
        let name = &names[row][candidate];
        let mut places = vec![place("", name)];
        for word in &words[row] {
            places.extend([place(word, ""), place(word, name)]);
        }
        places.sort_unstable();
        places.dedup();
        places
    };
    cross_fit(rows, folds, |rows, rest| {
        let places: Vec<_> = rest.iter().map(|i| hashed(*i, rows[*i].chosen)).collect();
        let ones: Vec<_> = places.iter().map(|places| vec![1.0_f32; places.len()]).collect();
        let inputs: Vec<_> = places
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

fn place(word: &str, candidate: &str) -> u32 {
    let bytes = word.bytes().chain([0]).chain(candidate.bytes());
    let hash = bytes.fold(fnv::SEED, fnv::step);
    ((hash ^ (hash >> 32)) % WIDTH as u64) as u32
}
