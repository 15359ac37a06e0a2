//! Nearest neighbours by text similarity, and their outcomes.

use crate::error::{Error, Result};
use crate::text::NGRAM_BUCKETS;
use serde::{Deserialize, Serialize};

/// Labelled sparse rows in which the ones nearest to another are found, the newest counting most.
///
/// A prediction is a weighted quantile of the labels of the nearest rows by cosine; for labels with
/// few distinct values, as people give them, no regression of the mean does as well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NearestNeighbors {
    /// Of every row, in order of age, the newest last: (index, value) of unit length together.
    rows: Vec<Vec<(u32, f32)>>,
    labels: Vec<f64>,
    /// Older rows that were given but not kept.
    #[serde(skip)]
    skipped: usize,
    /// By index the rows that have it, and where those of each index begin.
    #[serde(skip)]
    postings: Vec<(u32, f32)>,
    #[serde(skip)]
    starts: Vec<u32>,
}

/// Rows that are kept: the newest.
const MOST_ROWS: usize = 5000;

/// Values of a row that are kept: the largest.
const MOST_VALUES: usize = 256;

/// Rows looked at for one prediction.
const NEAREST: usize = 80;

/// A row counts half as much as one this many rows newer.
const HALF_LIFE: f64 = 500.0;

/// Weight of a row of similarity 0, relative to an identical one.
const LEAST: f32 = 1e-6;

impl NearestNeighbors {
    /// Keeps rows of (indices, values) of unit length, oldest first, with their labels; indices are
    /// below [`NGRAM_BUCKETS`].
    pub(crate) fn fit<'a>(rows: impl ExactSizeIterator<Item = (&'a [u32], &'a [f32], f64)>) -> Self {
        let skipped = rows.len().saturating_sub(MOST_ROWS);
        let mut fitted = Self { skipped, ..Self::default() };
        for (indices, values, label) in rows.skip(skipped) {
            let mut row: Vec<_> = indices.iter().copied().zip(values.iter().copied()).collect();
            row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            row.truncate(MOST_VALUES);
            row.sort_unstable_by_key(|(index, _)| *index);
            fitted.rows.push(row);
            fitted.labels.push(label);
        }
        fitted.index();
        fitted
    }

    /// The weighted quantiles at `levels` of the labels nearest to a row; `except`, the number of a
    /// row as it was given, is passed over.
    /// `None` where there is no row to look at.
    pub(crate) fn quantiles(
        &self,
        indices: &[u32],
        values: &[f32],
        except: Option<usize>,
        levels: &[f64],
    ) -> Option<Vec<f64>> {
        let except = except.and_then(|row| row.checked_sub(self.skipped));
        let mut similar = vec![0.0_f32; self.rows.len()];
        for (index, value) in indices.iter().zip(values) {
            for (row, weight) in self.with(*index as usize) {
                similar[*row as usize] += value * weight;
            }
        }
        let newest = self.rows.len() as f64 - 1.0;
        let mut weighted: Vec<(f64, f64)> = nearest(&similar, except)
            .map(|row| {
                let age = newest - row as f64;
                let weight = f64::from(similar[row].max(0.0) + LEAST) * (-age / HALF_LIFE).exp2();
                (self.labels[row], weight)
            })
            .collect();
        weighted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        (!weighted.is_empty()).then(|| levels.iter().map(|level| quantile(&weighted, *level)).collect())
    }

    /// Checks what was read back and makes it ready.
    pub(crate) fn prepare(&mut self) -> Result<()> {
        let sound = |v: f32| v.abs() <= 1e9;
        let fits = self.rows.len() == self.labels.len()
            && self.rows.len() <= MOST_ROWS
            && self.labels.iter().all(|l| l.abs() <= 1e9)
            && self.rows.iter().all(|row| {
                row.len() <= MOST_VALUES
                    && row.iter().all(|(i, v)| (*i as usize) < NGRAM_BUCKETS && sound(*v))
            });
        if !fits {
            return Err(Error::corrupt("neighbours: a row is out of range"));
        }
        self.index();
        Ok(())
    }

    fn index(&mut self) {
        let mut found: Vec<_> = (0_u32..)
            .zip(&self.rows)
            .flat_map(|(number, row)| row.iter().map(move |(index, value)| (*index, number, *value)))
            .collect();
        found.sort_unstable_by_key(|(index, number, _)| (*index, *number));
        let width = found.last().map_or(0, |(index, ..)| *index as usize + 1);
        self.starts = vec![0; width + 1];
        found.iter().for_each(|(index, ..)| self.starts[*index as usize + 1] += 1);
        (1..self.starts.len()).for_each(|i| self.starts[i] += self.starts[i - 1]);
        self.postings = found.into_iter().map(|(_, number, value)| (number, value)).collect();
    }

    /// The rows that have `index`, with their values there.
    fn with(&self, index: usize) -> &[(u32, f32)] {
        match (self.starts.get(index), self.starts.get(index + 1)) {
            (Some(from), Some(until)) => &self.postings[*from as usize..*until as usize],
            _ => &[],
        }
    }
}

/// Returns the nearest neighbours; ties are broken in favour of the newest.
fn nearest(similar: &[f32], except: Option<usize>) -> impl Iterator<Item = usize> {
    // Numbers that are not negative are in the order of their bits: one integer is compared, not two
    // values by way of an index.
    let key = |(row, similar): (usize, &f32)| {
        let bits = if *similar > 0.0 { similar.to_bits() } else { 0 };
        u64::from(bits) << 32 | row as u64
    };
    let others = similar.iter().enumerate().filter(|(row, _)| Some(*row) != except);
    let mut keys: Vec<_> = others.map(key).collect();
    if keys.len() > NEAREST {
        keys.select_nth_unstable_by(NEAREST, |a, b| b.cmp(a));
        keys.truncate(NEAREST);
    }
    keys.into_iter().map(|key| (key & u64::from(u32::MAX)) as usize)
}

/// The quantile of (value, weight) pairs in ascending order: each value stands at the middle of its
/// weight, between them it is linear.
fn quantile(weighted: &[(f64, f64)], level: f64) -> f64 {
    let total: f64 = weighted.iter().map(|(_, w)| w).sum();
    let mut before = 0.0;
    let mut last: Option<(f64, f64)> = None;
    for (value, weight) in weighted {
        let middle = (before + 0.5 * weight) / total;
        if middle >= level {
            return match last {
                Some((earlier, at)) if middle > at => {
                    earlier + (value - earlier) * (level - at) / (middle - at)
                }
                _ => *value,
            };
        }
        before += weight;
        last = Some((*value, middle));
    }
    last.map_or(0.0, |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_stand_at_the_middle_of_their_weights() {
        let values = [(1.0, 1.0), (2.0, 1.0), (4.0, 2.0)];
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(quantile(&values, 0.375), 2.0);
        assert_eq!(quantile(&values, 0.75), 4.0);
        assert!((quantile(&values, 0.5625) - 3.0).abs() < 1e-12);
        assert_eq!(quantile(&values, 1.0), 4.0);
    }

    #[test]
    fn the_nearest_and_the_newest_count_most() {
        let rows: Vec<(Vec<u32>, Vec<f32>, f64)> =
            (0..200).map(|i| (vec![i % 2], vec![1.0], if i % 2 == 0 { 3.0 } else { 8.0 })).collect();
        let fitted = NearestNeighbors::fit(rows.iter().map(|(i, v, l)| (&i[..], &v[..], *l)));
        let median = |index: u32| fitted.quantiles(&[index], &[1.0], None, &[0.5]).unwrap()[0];
        assert_eq!((median(0), median(1)), (3.0, 8.0));
        assert_eq!(NearestNeighbors::default().quantiles(&[1], &[1.0], None, &[0.5]), None);
        let bytes = postcard::to_stdvec(&fitted).unwrap();
        let mut back: NearestNeighbors = postcard::from_bytes(&bytes).unwrap();
        back.prepare().unwrap();
        assert_eq!(back, fitted);
    }
}
