//! A description as a bounded set of hashed words and character n-grams.

use crate::stats::fnv;
use crate::text::MAX_TEXT_BYTES;
use serde::{Deserialize, Serialize};

/// A description's words and the character 4-grams inside of its longer ones, hashed; of many, those
/// of the smallest hashes (bottom-k sampling, Cohen 1997), so that two long texts alike keep the
/// same ones. No text can be read back from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TextGrams {
    /// Ascending.
    pub(super) grams: Vec<u32>,
}

/// Grams that are kept of one text.
pub(super) const MOST_GRAMS: usize = 64;

/// Characters of a gram, in bytes.
const WIDTH: usize = 4;

/// Bytes of words read of one text.
const MOST_READ: usize = 32_768;

impl TextGrams {
    /// Reads `description`, of a very long one the beginning.
    pub(crate) fn of(description: &str) -> Self {
        let end = description.floor_char_boundary(MAX_TEXT_BYTES);
        let mut found = Smallest::default();
        let mut read = 0;
        let lower = description.as_bytes()[..end].to_ascii_lowercase();
        let words = lower.split(|b| !(b.is_ascii_alphanumeric() || *b >= 0x80));
        for word in words.filter(|word| !word.is_empty()) {
            if read >= MOST_READ {
                break;
            }
            read += word.len();
            found.push(hash(word));
            if word.len() > WIDTH {
                word.array_windows().take(MOST_READ).for_each(|gram| found.push(hash_gram(*gram)));
            }
        }
        Self { grams: found.ascending() }
    }

    pub(super) fn len(&self) -> usize {
        self.grams.len()
    }

    pub(super) fn is_sound(&self) -> bool {
        self.grams.len() <= MOST_GRAMS && self.grams.is_sorted_by(|a, b| a < b)
    }
}

/// The smallest of many hashes.
#[derive(Default)]
struct Smallest {
    found: Vec<u32>,
    /// Larger hashes are not among them.
    limit: Option<u32>,
}

impl Smallest {
    fn push(&mut self, hash: u32) {
        if self.limit.is_some_and(|limit| hash > limit) {
            return;
        }
        self.found.push(hash);
        if self.found.len() >= 8 * MOST_GRAMS {
            self.keep();
        }
    }

    fn keep(&mut self) {
        self.found.sort_unstable();
        self.found.dedup();
        self.found.truncate(MOST_GRAMS);
        if self.found.len() == MOST_GRAMS {
            self.limit = self.found.last().copied();
        }
    }

    fn ascending(mut self) -> Vec<u32> {
        self.keep();
        self.found
    }
}

fn hash(word: &[u8]) -> u32 {
    mix(fnv::hash(word))
}

/// Never that of a word by design: its upper half is set.
fn hash_gram(gram: [u8; WIDTH]) -> u32 {
    mix(u64::from(u32::from_le_bytes(gram)) | 1 << 63)
}

/// The well mixed bits of a number: they decide which grams of a long text are kept.
fn mix(number: u64) -> u32 {
    let mixed = (number ^ number >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_order_do_not_matter_and_length_is_bounded() {
        assert_eq!(TextGrams::of("Add the login page"), TextGrams::of("PAGE login; the add"));
        assert!(TextGrams::of("").grams.is_empty() && TextGrams::of("¿? -- !").grams.len() <= 1);
        let long: String = (0..100_000).map(|i| format!("word{i} ")).collect();
        assert_eq!(TextGrams::of(&long).grams.len(), MOST_GRAMS);
        assert!(TextGrams::of(&long).is_sound());
    }

    #[test]
    fn forms_of_a_word_share_grams() {
        let shared = |a: &str, b: &str| {
            let (a, b) = (TextGrams::of(a), TextGrams::of(b));
            a.grams.iter().filter(|gram| b.grams.contains(gram)).count()
        };
        assert!(shared("authentication", "authenticate") >= 7);
        assert_eq!(shared("authentication", "kubernetes"), 0);
    }
}
