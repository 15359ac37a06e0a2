//! A description as a bounded set of hashed words and character n-grams.

use super::facts::MAX_TEXT_BYTES;
use super::word::{LOWER, Word};
use serde::{Deserialize, Serialize};

/// A description's words and the character 4-grams inside of its longer ones, hashed; of many, those
/// of the smallest hashes (bottom-k sampling, Cohen 1997), so that two long texts alike keep the
/// same ones. No text can be read back from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TextGrams(Vec<u32>);

/// Grams that are kept of one text.
const MOST_GRAMS: usize = 64;

/// Characters of a gram, in bytes.
const WIDTH: usize = 4;

/// Bytes of words read of one text.
const MOST_READ: usize = 32_768;

impl TextGrams {
    /// Reads `description`, of a very long one the beginning.
    pub(crate) fn of(description: &str) -> Self {
        let read = |reader| Self::read_by(reader, description);
        read(GramReader::new(description.len()))
            .unwrap_or_else(|| read(GramReader::of_all()).unwrap_or_default())
    }

    fn read_by(mut reader: GramReader, description: &str) -> Option<Self> {
        let text = &description.as_bytes()[..description.floor_char_boundary(MAX_TEXT_BYTES)];
        let mut at = 0;
        while at < text.len() && reader.read < MOST_READ {
            if LOWER[text[at] as usize] == 0 {
                at += 1;
                continue;
            }
            let word = Word::run(text, at);
            reader.note(text, word);
            at = word.end;
        }
        reader.finish()
    }

    /// Its grams, ascending.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// How many grams it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether a text can have been read so.
    pub(crate) fn is_sound(&self) -> bool {
        self.0.len() <= MOST_GRAMS && self.0.is_sorted_by(|a, b| a < b)
    }
}

/// The smallest of the hashes of words and their grams, as they are read.
pub(super) struct GramReader {
    found: Vec<u32>,
    /// Larger hashes are not among them.
    limit: u32,
    /// True while the limit is a guess: there may be too few below it.
    guessed: bool,
    /// Bytes of the words so far.
    read: usize,
}

/// Hashes that are gathered before the smallest are sorted out.
const ROOM: usize = 8 * MOST_GRAMS;

impl GramReader {
    /// Creates a reader of a text of so many bytes. Hashes are spread evenly and a text has somewhat fewer grams than
    /// bytes, so that more than are kept lie below the limit unless the text repeats itself.
    pub(super) fn new(bytes: usize) -> Self {
        let guess = ((5 * MOST_GRAMS as u64) << 32) / (bytes.max(1) as u64);
        let (limit, guessed) = u32::try_from(guess).map_or((u32::MAX, false), |limit| (limit, true));
        Self { found: Vec::with_capacity(4 * MOST_GRAMS), limit, guessed, read: 0 }
    }

    /// Creates a reader that leaves nothing out unread.
    pub(super) fn of_all() -> Self {
        Self { found: Vec::with_capacity(ROOM), limit: u32::MAX, guessed: false, read: 0 }
    }

    /// Notes a word of `text`, whose hash is that of its bytes in lower case.
    #[inline]
    pub(super) fn note(&mut self, text: &[u8], word: Word) {
        if self.read >= MOST_READ {
            return;
        }
        let bytes = &text[word.start..word.end];
        self.read += bytes.len();
        self.push(mix(word.hash));
        if bytes.len() <= WIDTH {
            return;
        }
        for gram in bytes.array_windows().take(MOST_READ) {
            // In ASCII this bit is all that parts the cases of a letter, and every digit has it.
            let lower = if word.ascii { u32::from_le_bytes(*gram) | 0x2020_2020 } else { lowered(*gram) };
            self.push(hash_gram(lower));
        }
    }

    #[inline]
    fn push(&mut self, hash: u32) {
        if hash <= self.limit {
            self.keep_room();
            self.found.push(hash);
        }
    }

    #[inline]
    fn keep_room(&mut self) {
        if self.found.len() == ROOM {
            self.keep();
        }
    }

    #[cold]
    fn keep(&mut self) {
        self.found.sort_unstable();
        self.found.dedup();
        self.found.truncate(MOST_GRAMS);
        if let Some(last) = self.found.get(MOST_GRAMS - 1) {
            (self.limit, self.guessed) = (*last, false);
        }
    }

    /// Returns the smallest; `None` where the guessed limit left too few, so that all must be read.
    pub(super) fn finish(mut self) -> Option<TextGrams> {
        self.keep();
        self.found.shrink_to_fit();
        (!self.guessed).then_some(TextGrams(self.found))
    }
}

/// Four bytes with the letters of ASCII in lower case.
#[cold]
fn lowered(gram: [u8; WIDTH]) -> u32 {
    u32::from_le_bytes(gram.map(|byte| LOWER[usize::from(byte)]))
}

/// Never that of a word by design: its upper half is set.
fn hash_gram(gram: u32) -> u32 {
    mix(u64::from(gram) | 1 << 63)
}

/// The well mixed bits of a number: they decide which grams of a long text are kept.
#[inline]
fn mix(number: u64) -> u32 {
    let mixed = (number ^ number >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32) as u32
}

#[cfg(test)]
impl TextGrams {
    /// Creates what no text was read for.
    pub(crate) fn from_grams(grams: Vec<u32>) -> Self {
        Self(grams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_order_do_not_matter_and_length_is_bounded() {
        assert_eq!(TextGrams::of("Add the login page"), TextGrams::of("PAGE login; the add"));
        assert!(TextGrams::of("").len() == 0 && TextGrams::of("¿? -- !").len() <= 1);
        let long: String = (0..100_000).map(|i| format!("word{i} ")).collect();
        assert_eq!(TextGrams::of(&long).len(), MOST_GRAMS);
        assert!(TextGrams::of(&long).is_sound());
    }

    #[test]
    fn forms_of_a_word_share_grams() {
        let shared = |a: &str, b: &str| {
            let (a, b) = (TextGrams::of(a), TextGrams::of(b));
            a.iter().filter(|gram| b.0.contains(gram)).count()
        };
        assert!(shared("authentication", "authenticate") >= 7);
        assert_eq!(shared("authentication", "kubernetes"), 0);
    }

    /// Returns the smallest of all hashes, sorted.
    fn by_sorting_all(description: &str) -> Vec<u32> {
        let lower = description.to_ascii_lowercase();
        let words = lower.as_bytes().split(|b| !(b.is_ascii_alphanumeric() || *b >= 0x80));
        let mut all: Vec<u32> = Vec::new();
        for word in words.filter(|word| !word.is_empty()) {
            all.push(mix(crate::stats::fnv::hash(word)));
            let grams = word.array_windows().map(|gram| hash_gram(u32::from_le_bytes(*gram)));
            all.extend(grams.filter(|_| word.len() > WIDTH));
        }
        all.sort_unstable();
        all.dedup();
        all.truncate(MOST_GRAMS);
        all
    }

    #[test]
    fn a_guessed_limit_changes_nothing() {
        let words = [
            "payment",
            "Autenticación",
            "of",
            "a",
            "refactoring",
            "the",
            "ORDERS",
            "7",
            "日本語のテスト",
            "x1y2z3w4",
        ];
        for length in 0..400 {
            let text: String = (0..length)
                .map(|i| words[(i * i + length) % words.len()].to_owned() + &(i % 97).to_string() + " ")
                .collect();
            assert_eq!(TextGrams::of(&text).0, by_sorting_all(&text), "{length}");
            let repeated = "one and the same, ".repeat(length);
            assert_eq!(TextGrams::of(&repeated).0, by_sorting_all(&repeated), "{length}");
        }
    }
}
