//! The words of descriptions, each with a number; how many are told apart is bounded.

use crate::stats::fnv::{self, ByHash};
use serde::{Deserialize, Serialize};

/// Words that are told apart: the first ones met. Frequent words are met early.
const MOST: usize = 2_000;
/// Words of one description that are kept.
pub(super) const PER_TASK: usize = 12;
/// Bytes of a description that are read.
const READ_BYTES: usize = 1_000;
/// Shorter words hardly say anything, longer ones are seldom words.
const LETTERS: std::ops::RangeInclusive<usize> = 4..=24;

/// The numbers of a description's words, ascending from 1, then zeros.
pub(super) type WordSet = [u16; PER_TASK];

/// The words met.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Words {
    by_hash: ByHash<u16>,
    texts: Vec<String>,
}

impl Words {
    /// The first dozen different words of `text` that are told apart.
    pub(super) fn of(&mut self, text: &str) -> WordSet {
        let mut found = WordSet::default();
        let mut n = 0;
        let bytes = &text.as_bytes()[..text.len().min(READ_BYTES)];
        let words = bytes.split(|b| !(b.is_ascii_alphabetic() || *b >= 0x80));
        for word in words.filter(|word| LETTERS.contains(&word.len())) {
            let Some(number) = self.number(word).filter(|number| !found[..n].contains(number)) else {
                continue;
            };
            found[n] = number;
            n += 1;
            if n == PER_TASK {
                break;
            }
        }
        found[..n].sort_unstable();
        found
    }

    /// Returns the word that a number encodes.
    pub(super) fn text(&self, number: u16) -> &str {
        self.texts.get(usize::from(number).wrapping_sub(1)).map_or("", String::as_str)
    }

    fn number(&mut self, word: &[u8]) -> Option<u16> {
        let hash = word.iter().fold(fnv::SEED, |hash, byte| fnv::step(hash, byte.to_ascii_lowercase()));
        if let Some(number) = self.by_hash.get(&hash) {
            return Some(*number);
        }
        if self.texts.len() >= MOST {
            return None;
        }
        let text = super::dimension::shown(&String::from_utf8_lossy(word).to_lowercase());
        self.texts.push(text);
        self.by_hash.insert(hash, self.texts.len() as u16);
        Some(self.texts.len() as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_whatever_their_letters() {
        let mut words = Words::default();
        let first = words.of("Add the Migration: migration of orders_7, añadir");
        let texts: Vec<_> = first.iter().take_while(|n| **n > 0).map(|n| words.text(*n)).collect();
        assert_eq!(texts, ["migration", "orders", "añadir"]);
        assert_eq!(words.of("MIGRATION")[0], first[0]);
    }

    #[test]
    fn the_number_of_words_is_bounded() {
        let mut words = Words::default();
        for i in 0..10_000_u32 {
            let letters = [i / 676 % 26, i / 26 % 26, i % 26].map(|l| char::from(b'a' + l as u8));
            words.of(&format!("word{} {}", i, String::from_iter(letters).repeat(2)));
        }
        assert_eq!(words.texts.len(), MOST);
        words.of(&"é".repeat(5_000));
    }
}
