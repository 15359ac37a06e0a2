//! Weights for hashed n-grams: rare ones tell more.

use crate::error::{Error, Result};
use crate::text::{NGRAM_BUCKETS, SparseText};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Inverse document frequencies, ln((1 + N) / (1 + df)) + 1, learnt from distinct descriptions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tfidf {
    /// The n-grams that were common enough, ascending.
    weights: Vec<(u32, f32)>,
    #[serde(skip)]
    table: Vec<f32>,
}

/// Where weights can lie: ln(1) + 1 is the least, of 2^64 texts would come 45.
const SOUND: std::ops::RangeInclusive<f32> = 0.5..=64.0;

impl Tfidf {
    /// Learns from `texts`, each distinct one counting once; n-grams of fewer than `least` of them
    /// are left out.
    pub fn fit<'a>(texts: impl Iterator<Item = &'a SparseText>, least: u32) -> Self {
        let (mut seen, mut frequency) = (HashSet::new(), vec![0_u32; NGRAM_BUCKETS]);
        for text in texts {
            if seen.insert(text.fingerprint()) {
                text.iter().for_each(|(bucket, _)| frequency[bucket] += 1);
            }
        }
        let n = seen.len() as f32;
        let common = frequency.iter().enumerate().filter(|(_, df)| **df >= least.max(1));
        let weights = common.map(|(b, df)| (b as u32, ((1.0 + n) / (1.0 + *df as f32)).ln() + 1.0));
        let mut fitted = Self { weights: weights.collect(), table: Vec::new() };
        fitted.fill();
        fitted
    }

    /// The weighted n-grams of `text`, of unit Euclidean length together.
    pub fn transform(&self, text: &SparseText, indices: &mut Vec<u32>, values: &mut Vec<f32>) {
        indices.clear();
        values.clear();
        for (bucket, weight) in text.iter() {
            let idf = self.table.get(bucket).copied().unwrap_or(0.0);
            if idf > 0.0 {
                indices.push(bucket as u32);
                values.push(weight * idf);
            }
        }
        let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        values.iter_mut().for_each(|v| *v /= norm);
    }

    /// Makes ready after it was read back.
    pub(crate) fn prepare(&mut self) -> Result<()> {
        if self.weights.iter().any(|(b, w)| *b as usize >= NGRAM_BUCKETS || !SOUND.contains(w)) {
            return Err(Error::corrupt("n-gram weights: one is out of range"));
        }
        self.fill();
        Ok(())
    }

    fn fill(&mut self) {
        self.table = vec![0.0; NGRAM_BUCKETS];
        for (bucket, weight) in &self.weights {
            self.table[*bucket as usize] = *weight;
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
        let common = fitted.table[indices[0] as usize];
        assert!((common - 1.0).abs() < 1e-6, "in 3 of 3 texts: ln(4/4) + 1 = {common}");
        fitted.transform(&SparseText::read("unheard").1, &mut indices, &mut values);
        assert!(indices.is_empty());
    }
}
