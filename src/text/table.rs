//! Terms found by hash: one probe tells nearly every word that it has no meaning.

use super::word::{Word, hash_of, pair};
use std::collections::BTreeMap;

/// Meaning of a term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The complex term's number; 0 for none.
    pub(super) complex: u16,
    /// The technical term's number; 0 for none.
    pub(super) technical: u16,
    /// One bit a [`Flag`](super::Flag).
    pub(super) flags: u8,
    /// Like `must` or `should`.
    pub(super) demands: bool,
    pub(super) constrains: bool,
    pub(super) relates: bool,
}

/// Open addressing over few terms.
#[derive(Debug)]
pub(super) struct Table {
    /// A power of two of them, most of them empty.
    slots: Vec<Option<Entry>>,
    /// One bit for each value of a hash's low bits that some term has.
    filter: [u64; FILTER_BITS / 64],
    /// Whether some term has three words.
    pub(super) threes: bool,
}

#[derive(Debug, Clone)]
struct Entry {
    hash: u64,
    /// The folded words, one space between each two.
    key: String,
    meaning: Meaning,
}

const FILTER_BITS: usize = 1 << 13;

impl Table {
    /// `terms`, each of folded words with one space between each two.
    pub(super) fn new(terms: BTreeMap<String, Meaning>) -> Self {
        let slots = (4 * terms.len()).next_power_of_two();
        let mut table = Self { slots: vec![None; slots], filter: [0; FILTER_BITS / 64], threes: false };
        for (key, meaning) in terms {
            let hash = key.split(' ').map(hash_of).reduce(pair).unwrap_or_default();
            let bit = hash as usize % FILTER_BITS;
            table.filter[bit / 64] |= 1 << (bit % 64);
            table.threes |= key.split(' ').count() == 3;
            let mut slot = table.slot(hash);
            while table.slots[slot].is_some() {
                slot = (slot + 1) % slots;
            }
            table.slots[slot] = Some(Entry { hash, key, meaning });
        }
        table
    }

    /// Returns false where neither the word nor it with the one before it, of this hash, means anything: nearly always.
    #[inline]
    pub(super) fn may_hold(&self, text: &str, first: Option<u64>, word: &Word) -> bool {
        let either =
            |hash: u64| self.passes(hash) || first.is_some_and(|first| self.passes(pair(first, hash)));
        either(word.hash) || (word.is_plural(text.as_bytes()) && either(word.shorter))
    }

    #[inline]
    fn passes(&self, hash: u64) -> bool {
        let bit = hash as usize % FILTER_BITS;
        self.filter[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// The meaning of `word`, itself or as a plural.
    #[inline]
    pub(super) fn one(&self, text: &str, word: Word) -> Option<Meaning> {
        or_singular(text, word, |word| self.find(word.hash, |key| word.is(text, key)))
    }

    /// The meaning of `first` and `word` together.
    #[inline]
    pub(super) fn two(&self, text: &str, first: Word, word: Word) -> Option<Meaning> {
        or_singular(text, word, |word| {
            self.find(pair(first.hash, word.hash), |key| {
                key.split_once(' ').is_some_and(|(a, b)| first.is(text, a) && word.is(text, b))
            })
        })
    }

    /// The meaning of `begun` and `word` together.
    pub(super) fn three(&self, text: &str, begun: [Word; 2], word: Word) -> Option<Meaning> {
        let hash = pair(begun[0].hash, begun[1].hash);
        or_singular(text, word, |word| {
            self.find(pair(hash, word.hash), |key| {
                let mut parts = key.split(' ');
                begun.iter().chain([&word]).all(|w| parts.next().is_some_and(|part| w.is(text, part)))
            })
        })
    }

    /// The meaning of the term of this hash for which `is` holds.
    #[inline]
    fn find(&self, hash: u64, is: impl Fn(&str) -> bool) -> Option<Meaning> {
        if !self.passes(hash) {
            return None;
        }
        let mut slot = self.slot(hash);
        while let Some(entry) = &self.slots[slot] {
            if entry.hash == hash && is(&entry.key) {
                return Some(entry.meaning);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        None
    }

    #[inline]
    fn slot(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }
}

#[inline]
fn or_singular(text: &str, word: Word, find: impl Fn(Word) -> Option<Meaning>) -> Option<Meaning> {
    let found = find(word);
    if found.is_some() { found } else { word.singular(text.as_bytes()).and_then(find) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let key = |i: u16| ["k", "k a", "k a b"][usize::from(i) % 3].replace('k', &format!("k{i}"));
        let meaning = |i| Meaning { technical: i, ..Meaning::default() };
        let table = Table::new((1..2000).map(|i| (key(i), meaning(i))).collect());
        for i in 1..2000 {
            let text = key(i).replace(' ', "-");
            let words: Vec<_> = text
                .match_indices(|c| c != '-')
                .filter(|(at, _)| *at == 0 || text.as_bytes()[at - 1] == b'-')
                .map(|(at, _)| Word::run(text.as_bytes(), at))
                .collect();
            let found = match words[..] {
                [a] => table.one(&text, a),
                [a, b] => table.two(&text, a, b),
                [a, b, c] => table.three(&text, [a, b], c),
                _ => None,
            };
            assert_eq!(found, Some(meaning(i)), "{text}");
            assert_eq!(table.one("kk", Word::run(b"kk", 0)), None);
        }
        assert!(table.threes);
        assert_eq!(Table::new(BTreeMap::new()).one("k", Word::run(b"k", 0)), None);
    }
}
