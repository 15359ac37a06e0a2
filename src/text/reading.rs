//! A description, read once for everything that needs it.

use super::facts::TextFacts;
use super::grams::{GramReader, TextGrams};
use super::lexicon::Lexicon;
use super::ngram::{NgramReader, SparseText};
use super::scan::scan;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Facts, n-grams and similarity grams of one description, read with the host's lexicon.
///
/// Features, similar tasks, template ranking and routing take it instead of reading the text again.
#[derive(Debug, Clone)]
pub(crate) struct TaskText {
    pub(crate) facts: TextFacts,
    pub(crate) ngrams: SparseText,
    pub(crate) grams: TextGrams,
}

impl TaskText {
    /// Reads `description` with the terms of `lexicon`.
    pub(crate) fn read(lexicon: &Lexicon, description: &str) -> Self {
        let (mut ngrams, mut grams) =
            (NgramReader::new(description.len()), GramReader::new(description.len()));
        let facts = scan(lexicon, description, |text, word| {
            ngrams.note(word.hash);
            grams.note(text, word);
        });
        let grams = grams.finish().unwrap_or_else(|| TextGrams::of(description));
        Self { facts, ngrams: ngrams.finish(), grams }
    }
}

/// The descriptions that were read last, so that the tries and candidates of a task read theirs once; clones share them.
///
/// All are read with one lexicon. Nobody waits for another: where somebody else is looking, the text is read.
#[derive(Clone, Default)]
pub(crate) struct Readings(Arc<Mutex<Vec<Option<Reading>>>>);

struct Reading {
    description: Box<str>,
    text: Arc<TaskText>,
}

/// Places for descriptions, a power of two.
const PLACES: usize = 1 << 10;

/// Longer descriptions are not kept.
const MOST_BYTES: usize = 8 << 10;

impl Readings {
    /// Returns what was read in `description`, reading it unless it is at hand.
    pub(crate) fn read(&self, lexicon: &Lexicon, description: &str) -> Arc<TaskText> {
        let read = || Arc::new(TaskText::read(lexicon, description));
        let kept = self.0.try_lock().ok().filter(|_| description.len() <= MOST_BYTES);
        let Some(mut kept) = kept else { return read() };
        if kept.is_empty() {
            kept.resize_with(PLACES, || None);
        }
        let place = &mut kept[place(description.as_bytes())];
        match place {
            Some(reading) if *reading.description == *description => Arc::clone(&reading.text),
            _ => {
                let text = read();
                *place = Some(Reading { description: description.into(), text: Arc::clone(&text) });
                text
            }
        }
    }
}

impl Readings {
    /// Forgets all texts.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The place of a text, by eight bytes at a time.
fn place(text: &[u8]) -> usize {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let (words, rest) = text.as_chunks::<8>();
    let step = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(ODD);
    let hash = words.iter().fold(text.len() as u64, |hash, word| step(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| step(hash, u64::from(*byte)));
    (hash >> (64 - PLACES.trailing_zeros())) as usize
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_gives_what_each_alone_gives() {
        for text in [
            "",
            "Add a login page with JWT.\n- it must validate",
            &"autenticación de pagos, ".repeat(3_000),
            &"x".repeat(70_000),
        ] {
            let all = TaskText::read(Lexicon::built_in(), text);
            let (facts, ngrams) = SparseText::read(text);
            assert_eq!((all.facts, all.ngrams, all.grams), (facts, ngrams, TextGrams::of(text)));
        }
    }

    #[test]
    fn a_text_seen_before_is_not_read_again() {
        let readings = Readings::default();
        let read = |text: &str| readings.read(Lexicon::built_in(), text);
        let first = read("Add a login page");
        assert!(Arc::ptr_eq(&first, &read("Add a login page")));
        assert!(!Arc::ptr_eq(&first, &read("Add a logout page")));
        let long = "a ".repeat(MOST_BYTES);
        assert!(!Arc::ptr_eq(&read(&long), &read(&long)), "long ones are not kept");
        readings.clear();
        let again = read("Add a login page");
        assert!(!Arc::ptr_eq(&first, &again) && first.grams == again.grams, "what was erased is not kept");
        let first = again;
        let locked = readings.0.lock().unwrap();
        assert!(!Arc::ptr_eq(&first, &read("Add a login page")), "nobody waits");
        drop(locked);
    }
}
