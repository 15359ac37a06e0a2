//! Hashed n-grams of a description: a bounded vocabulary that keeps no text.

use super::facts::TextFacts;
use super::lexicon::Lexicon;
use super::scan::scan;
use super::word::{SEED, pair};
use std::sync::Arc;

/// Size of the hashed vocabulary.
pub(crate) const NGRAM_BUCKETS: usize = 1 << 20;

/// N-grams are read from this many words at the start of a description.
const MAX_WORDS: usize = 1024;

/// The n-grams of a description: ascending buckets with their weights.
///
/// Weights are sublinear term frequencies, 1 + ln(count) (Manning et al., *Introduction to
/// Information Retrieval*, 6.4.1); words and pairs of words are hashed together (Weinberger et
/// al. 2009, "Feature hashing for large scale multitask learning").
///
/// Clones share them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SparseText(Arc<[(u32, f32)]>);

impl SparseText {
    /// Reads `description` once, for its facts by the built-in terms and its n-grams.
    pub(crate) fn read(description: &str) -> (TextFacts, Self) {
        Self::read_with(Lexicon::built_in(), description)
    }

    /// Reads `description` once, for its facts by the terms of `lexicon` and its n-grams, which
    /// depend on no lexicon.
    pub(crate) fn read_with(lexicon: &Lexicon, description: &str) -> (TextFacts, Self) {
        let mut reader = NgramReader::new(description.len());
        let facts = scan(lexicon, description, |_, word| reader.note(word.hash));
        (facts, reader.finish())
    }

    /// The buckets with their weights, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        self.0.iter().map(|(bucket, weight)| (*bucket as usize, *weight))
    }

    /// A number that distinct texts do not share.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.iter().fold(SEED, |hash, (bucket, weight)| {
            pair(hash, bucket as u64 ^ u64::from(weight.to_bits()) << 32)
        })
    }

    /// Returns whether the description had no word.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of the squares of its weights.
    pub(crate) fn square(&self) -> f32 {
        self.0.iter().map(|(_, w)| w * w).sum()
    }

    /// The sum of the products of the weights in the buckets that both have.
    pub(crate) fn dot(&self, other: &Self) -> f32 {
        let (mut i, mut j, mut dot) = (0, 0, 0.0);
        // Without branches that depend on the data, which no processor can foresee.
        while let (Some((ours, a)), Some((theirs, b))) = (self.0.get(i), other.0.get(j)) {
            dot += if ours == theirs { a * b } else { 0.0 };
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
        fits.then(|| Self(buckets.into_iter().zip(weights).collect()))
    }
}

/// The buckets of words and pairs of words, as they are read.
pub(super) struct NgramReader {
    found: Vec<u32>,
    previous: Option<u64>,
}

impl NgramReader {
    /// Creates a reader of a text of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self { found: Vec::with_capacity((bytes / 2).min(2 * MAX_WORDS)), previous: None }
    }

    /// Notes the hash of the next word.
    #[inline]
    pub(super) fn note(&mut self, word: u64) {
        if self.found.len() >= 2 * MAX_WORDS {
            return;
        }
        self.found.push(bucket(word));
        if let Some(first) = self.previous.replace(word) {
            self.found.push(bucket(pair(first, word)));
        }
    }

    pub(super) fn finish(self) -> SparseText {
        let runs = sorted(self.found);
        let weigh = |run: &[u32]| (run[0], if run.len() == 1 { 1.0 } else { 1.0 + (run.len() as f32).ln() });
        let mut weighed = Vec::with_capacity(runs.len());
        weighed.extend(runs.chunk_by(|a, b| a == b).map(weigh));
        SparseText(weighed.into())
    }
}

/// Slices of the vocabulary by which buckets are sorted: of most texts each gets a few.
const SLICES: usize = 256;

/// Sorts buckets: first into slices of the vocabulary, over which hashes spread evenly.
fn sorted(mut buckets: Vec<u32>) -> Vec<u32> {
    if buckets.len() < SLICES / 4 {
        buckets.sort_unstable();
        return buckets;
    }
    let slice = |bucket: u32| bucket as usize / (NGRAM_BUCKETS / SLICES);
    let mut ends = [0_u16; SLICES];
    buckets.iter().for_each(|bucket| ends[slice(*bucket)] += 1);
    let mut begin = 0;
    for end in &mut ends {
        begin += std::mem::replace(end, begin);
    }
    let mut sorted = vec![0; buckets.len()];
    for bucket in buckets {
        let end = &mut ends[slice(bucket)];
        sorted[usize::from(*end)] = bucket;
        *end += 1;
    }
    let mut begin = 0;
    for end in ends.map(usize::from) {
        if end > begin + 1 {
            sorted[begin..end].sort_unstable();
        }
        begin = end;
    }
    sorted
}

/// The high bits of the product are the well mixed ones.
fn bucket(hash: u64) -> u32 {
    (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - NGRAM_BUCKETS.trailing_zeros())) as u32
}

#[cfg(test)]
impl SparseText {
    /// Distinct buckets.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
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
        assert!(text.0.is_sorted_by(|a, b| a.0 < b.0));
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

    #[test]
    fn buckets_are_sorted_as_by_the_library() {
        for length in [0, 1, 63, 64, 300, 2_047] {
            let spread: Vec<u32> = (0..length).map(|i| bucket(i * i)).collect();
            let near: Vec<u32> = (0..length).map(|i| 77 + (bucket(i) >> 12)).collect();
            for buckets in [spread, near] {
                let mut expected = buckets.clone();
                expected.sort_unstable();
                assert_eq!(sorted(buckets), expected);
            }
        }
    }
}
