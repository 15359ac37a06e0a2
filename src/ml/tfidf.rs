//! Weights for hashed n-grams: rare ones tell more.

use crate::error::{Error, Result};
use crate::text::{NGRAM_BUCKETS, SparseText};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Inverse document frequencies, ln((1 + N) / (1 + df)) + 1, learned from distinct descriptions.
///
/// The n-grams that were common enough are numbered from 0 in the order of their buckets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tfidf {
    /// Bucket and weight of each, ascending.
    weights: Vec<(u32, f32)>,
    /// Open addressing: a bucket and its number, or [`FREE`].
    #[serde(skip)]
    slots: Vec<(u32, u32)>,
}

/// No n-gram.
const FREE: (u32, u32) = (u32::MAX, 0);

/// Where weights can lie: ln(1) + 1 is the least, of 2^64 texts would come 45.
const SOUND: std::ops::RangeInclusive<f32> = 0.5..=64.0;

impl Tfidf {
    /// Learns from `texts`, each distinct one counting once; n-grams of fewer than `least` of them
    /// are left out.
    pub(crate) fn fit<'a>(texts: impl Iterator<Item = &'a SparseText>, least: u32) -> Self {
        let (mut seen, mut frequency) = (HashSet::new(), vec![0_u32; NGRAM_BUCKETS]);
        for text in texts {
            if seen.insert(text.fingerprint()) {
                text.iter().for_each(|(bucket, _)| frequency[bucket] += 1);
            }
        }
        let n = seen.len() as f32;
        let common = frequency.iter().enumerate().filter(|(_, df)| **df >= least.max(1));
        let weights = common.map(|(b, df)| (b as u32, ((1.0 + n) / (1.0 + *df as f32)).ln() + 1.0));
        let mut fitted = Self { weights: weights.collect(), slots: Vec::new() };
        fitted.fill();
        fitted
    }

    /// How many n-grams are numbered.
    pub(crate) fn width(&self) -> usize {
        self.weights.len()
    }

    /// The weighted n-grams of `text` by their ascending numbers, of unit Euclidean length together.
    pub(crate) fn transform(&self, text: &SparseText, indices: &mut Vec<u32>, values: &mut Vec<f32>) {
        indices.clear();
        values.clear();
        for (bucket, weight) in text.iter() {
            if let Some(number) = self.number(bucket as u32) {
                indices.push(number);
                values.push(weight * self.weights[number as usize].1);
            }
        }
        let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        values.iter_mut().for_each(|v| *v /= norm);
    }

    /// Makes ready after it was read back.
    pub(crate) fn prepare(&mut self) -> Result<()> {
        let sound = self.weights.iter().all(|(b, w)| (*b as usize) < NGRAM_BUCKETS && SOUND.contains(w));
        if !sound || !self.weights.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Error::corrupt("n-gram weights: one is out of range"));
        }
        self.fill();
        Ok(())
    }

    fn number(&self, bucket: u32) -> Option<u32> {
        let mut slot = self.first_slot(bucket);
        loop {
            match self.slots.get(slot)? {
                (found, number) if *found == bucket => return Some(*number),
                free if *free == FREE => return None,
                _ => slot = (slot + 1) % self.slots.len(),
            }
        }
    }

    /// Buckets are high bits of a hash, so they spread by themselves.
    fn first_slot(&self, bucket: u32) -> usize {
        bucket as usize * self.slots.len() / NGRAM_BUCKETS
    }

    fn fill(&mut self) {
        self.slots = vec![FREE; 2 * self.weights.len() + 1];
        for (number, (bucket, _)) in self.weights.iter().enumerate() {
            let mut slot = self.first_slot(*bucket);
            while self.slots[slot] != FREE {
                slot = (slot + 1) % self.slots.len();
            }
            self.slots[slot] = (*bucket, number as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_weigh_more_and_repeated_texts_count_once() {
        let texts: Vec<_> = ["add page", "add page", "add login", "add queue"]
            .iter()
            .map(|t| SparseText::read(t).1)
            .collect();
        let fitted = Tfidf::fit(texts.iter(), 1);
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        fitted.transform(&SparseText::read("add").1, &mut indices, &mut values);
        assert_eq!(values, [1.0]);
        let common = fitted.weights[indices[0] as usize].1;
        assert!((common - 1.0).abs() < 1e-6, "in 3 of 3 texts: ln(4/4) + 1 = {common}");
        fitted.transform(&SparseText::read("unheard").1, &mut indices, &mut values);
        assert!(indices.is_empty());
    }
}
