//! Hashed n-grams of a description: a bounded vocabulary that keeps no text.

use super::facts::TextFacts;
use super::lexicon::Lexicon;
use super::scan::scan;
use super::word::{SEED, pair};

/// Size of the hashed vocabulary.
pub(crate) const NGRAM_BUCKETS: usize = 1 << 20;

/// N-grams are read from this many words at the start of a description.
const MAX_WORDS: usize = 1024;

/// The n-grams of a description: ascending buckets with their weights.
///
/// Weights are sublinear term frequencies, 1 + ln(count) (Manning et al., *Introduction to
/// Information Retrieval*, 6.4.1); words and pairs of words are hashed together (Weinberger et
/// al. 2009, "Feature hashing for large scale multitask learning").
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SparseText {
    buckets: Vec<u32>,
    weights: Vec<f32>,
}

impl SparseText {
    /// Reads `description` once, for its facts by the built-in terms and its n-grams.
    pub(crate) fn read(description: &str) -> (TextFacts, Self) {
        Self::read_with(Lexicon::built_in(), description)
    }

    /// Reads `description` once, for its facts by the terms of `lexicon` and its n-grams, which
    /// depend on no lexicon.
    pub(crate) fn read_with(lexicon: &Lexicon, description: &str) -> (TextFacts, Self) {
        let mut found = Vec::with_capacity((description.len() / 3).min(2 * MAX_WORDS));
        let mut previous = None;
        let facts = scan(lexicon, description, |word| {
            if found.len() >= 2 * MAX_WORDS {
                return;
            }
            found.push(bucket(word));
            if let Some(first) = previous.replace(word) {
                found.push(bucket(pair(first, word)));
            }
        });
        found.sort_unstable();
        (facts, Self::from_sorted(&found))
    }

    /// The buckets with their weights, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        self.buckets.iter().map(|b| *b as usize).zip(self.weights.iter().copied())
    }

    /// A number that distinct texts do not share.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.iter().fold(SEED, |hash, (bucket, weight)| {
            pair(hash, bucket as u64 ^ u64::from(weight.to_bits()) << 32)
        })
    }

    /// Returns whether the description had no word.
    pub(crate) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The sum of the squares of its weights.
    pub(crate) fn square(&self) -> f32 {
        self.weights.iter().map(|w| w * w).sum()
    }

    /// The sum of the products of the weights in the buckets that both have.
    pub(crate) fn dot(&self, other: &Self) -> f32 {
        let (mut i, mut j, mut dot) = (0, 0, 0.0);
        // Without branches that depend on the data, which no processor can foresee.
        while let (Some(ours), Some(theirs)) = (self.buckets.get(i), other.buckets.get(j)) {
            dot += if ours == theirs { self.weights[i] * other.weights[j] } else { 0.0 };
            i += usize::from(ours <= theirs);
            j += usize::from(theirs <= ours);
        }
        dot
    }

    /// What [`iter`](Self::iter) gave, if it can have been that.
    #[cfg(feature = "export")]
    pub(crate) fn from_parts(buckets: &[i32], weights: Vec<f32>) -> Option<Self> {
        let buckets: Vec<u32> = buckets.iter().map(|b| u32::try_from(*b).ok()).collect::<Option<_>>()?;
        let fits = buckets.len() == weights.len()
            && buckets.is_sorted_by(|a, b| a < b)
            && buckets.last().is_none_or(|last| (*last as usize) < NGRAM_BUCKETS)
            && weights.iter().all(|weight| weight.is_finite());
        fits.then_some(Self { buckets, weights })
    }

    fn from_sorted(found: &[u32]) -> Self {
        let mut text = Self::default();
        for run in found.chunk_by(|a, b| a == b) {
            text.buckets.push(run[0]);
            text.weights.push(1.0 + (run.len() as f32).ln());
        }
        text
    }
}

/// The high bits of the product are the well mixed ones.
fn bucket(hash: u64) -> u32 {
    (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - NGRAM_BUCKETS.trailing_zeros())) as u32
}

#[cfg(test)]
impl SparseText {
    /// Distinct buckets.
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::TermRole;

    #[test]
    fn buckets_ascend_and_repeated_words_weigh_more() {
        let (_, text) = SparseText::read("add a login page, add a logout page");
        assert!(text.iter().any(|(_, w)| w > 1.6) && text.iter().all(|(_, w)| w >= 1.0));
        assert!(text.buckets.is_sorted());
        assert_eq!(text, SparseText::read("Add a LOGIN page; add a logout page").1);
        assert!(SparseText::read("¿…?! \n").1.len() <= 2);
        assert!(SparseText::read("").1.is_empty());
    }

    #[test]
    fn a_lexicon_changes_the_facts_and_not_the_n_grams() {
        let lexicon = Lexicon::new([(TermRole::Technical, "kafka")]).unwrap();
        let (facts, grams) = SparseText::read_with(&lexicon, "read from Kafka");
        assert_eq!(facts.num_technical_terms, 1);
        assert_eq!(grams, SparseText::read("read from Kafka").1);
    }
}
