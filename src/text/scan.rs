//! One linear pass over a description.

use super::builder::MAX_TERMS;
use super::facts::{MAX_TEXT_BYTES, TextFacts};
use super::lexicon::Lexicon;
use super::table::{Meaning, Table};
use super::word::{LOWER, Word};

/// Reads `description` and hands its bytes with each word to `word`, in order.
pub(super) fn scan(lexicon: &Lexicon, description: &str, mut word: impl FnMut(&[u8], Word)) -> TextFacts {
    let text = head(description);
    let bytes = text.as_bytes();
    let mut facts = TextFacts {
        length: description.chars().count(),
        num_lines: usize::from(!text.is_empty()),
        title_length: text.lines().next().map_or(0, str::len),
        truncated: text.len() < description.len(),
        ..TextFacts::default()
    };
    let mut said = Said::new(lexicon.table(), text);
    let (mut at, mut line_start) = (0, true);
    let mut names = Names::default();
    while at < bytes.len() {
        let byte = bytes[at];
        if LOWER[byte as usize] == 0 {
            facts.num_requirements += usize::from(line_start && is_bullet(bytes, at));
            facts.num_headings += usize::from(line_start && byte == b'#');
            facts.num_backticks += usize::from(byte == b'`');
            facts.num_lines += usize::from(byte == b'\n');
            line_start = byte == b'\n' || (line_start && byte.is_ascii_whitespace());
            names.begins |= matches!(byte, b'.' | b'!' | b'?' | b':' | b'\n' | b'#' | b'*' | b'-');
            at += 1;
            continue;
        }
        let this = Word::run(bytes, at);
        let end = this.end;
        word(bytes, this);
        facts.num_words += 1;
        if byte.is_ascii_digit() && bytes[at..end].iter().all(u8::is_ascii_digit) {
            facts.num_numbers += 1;
            facts.num_requirements += usize::from(is_item(bytes, at, end));
        }
        facts.num_links += usize::from(byte | 0x20 == b'h' && is_link(&bytes[at..]));
        names.note(&bytes[at..end], this.hash);
        if this.ascii {
            said.note(this);
        } else {
            said.note_parts(this);
        }
        (at, line_start) = (end, false);
    }
    facts.num_requirements += said.demands;
    facts.num_constraints = said.constraints;
    facts.num_relationships = said.relationships;
    facts.num_technical_terms = said.technical.count;
    facts.num_complex_terms = said.complex.count;
    facts.num_entities = names.count;
    facts.flags = said.flags;
    facts
}

/// State after the words so far.
struct Said<'a> {
    table: &'a Table,
    text: &'a str,
    previous: Option<Word>,
    /// The word right before the previous one, where terms of three words are looked for.
    before: Option<Word>,
    demands: usize,
    constraints: usize,
    relationships: usize,
    flags: u8,
    complex: Distinct,
    technical: Distinct,
}

impl<'a> Said<'a> {
    fn new(table: &'a Table, text: &'a str) -> Self {
        Self {
            table,
            text,
            previous: None,
            before: None,
            demands: 0,
            constraints: 0,
            relationships: 0,
            flags: 0,
            complex: Distinct::default(),
            technical: Distinct::default(),
        }
    }

    /// Apart, so that words in ASCII do not pay for the others.
    #[cold]
    fn note_parts(&mut self, run: Word) {
        run.parts(self.text).for_each(|part| self.note(part));
    }

    /// Notes what the word means, alone and with those right before it.
    fn note(&mut self, word: Word) {
        let (table, text) = (self.table, self.text);
        let first = self.previous.filter(|first| first.is_next_to(text, word));
        if !table.threes && !table.may_hold(text, first.map(|first| first.hash), &word) {
            self.previous = Some(word);
            return;
        }
        let one = table.one(text, word);
        let two = first.and_then(|first| table.two(text, first, word));
        let three = if table.threes { self.three(first, word) } else { None };
        if one.is_some() || two.is_some() || three.is_some() {
            self.mean([one, two, three]);
        }
        self.previous = Some(word);
    }

    /// The meaning of the word with the two before it; few hosts have such terms.
    #[cold]
    fn three(&mut self, second: Option<Word>, word: Word) -> Option<Meaning> {
        let first = std::mem::replace(&mut self.before, second);
        self.table.three(self.text, [first?, second?], word)
    }

    #[inline]
    fn mean(&mut self, found: [Option<Meaning>; 3]) {
        // A term within a longer one that ends with it limits and ties once with it.
        let (mut demands, mut constrains, mut relates) = (false, false, false);
        for meaning in found.into_iter().flatten() {
            self.complex.note(meaning.complex);
            self.technical.note(meaning.technical);
            self.flags |= meaning.flags;
            demands |= meaning.demands;
            constrains |= meaning.constrains;
            relates |= meaning.relates;
        }
        self.demands += usize::from(demands);
        self.constraints += usize::from(constrains);
        self.relationships += usize::from(relates);
    }
}

/// Distinct terms by their numbers, from 1.
#[derive(Default)]
struct Distinct {
    /// Room for a host's terms and for more than are built in.
    seen: [u64; MAX_TERMS / 64 + 2],
    count: usize,
}

impl Distinct {
    fn note(&mut self, number: u16) {
        let (place, bit) = (usize::from(number / 64), 1 << (number % 64));
        if number > 0 && self.seen[place] & bit == 0 {
            self.seen[place] |= bit;
            self.count += 1;
        }
    }
}

/// Distinct names, up to [`MOST_NAMES`].
struct Names {
    /// `true` if the next word begins a sentence.
    begins: bool,
    seen: [u64; MOST_NAMES],
    count: usize,
}

/// More names than this are not told apart.
const MOST_NAMES: usize = 64;

impl Default for Names {
    fn default() -> Self {
        Self { begins: true, seen: [0; MOST_NAMES], count: 0 }
    }
}

impl Names {
    fn note(&mut self, word: &[u8], hash: u64) {
        let begins = std::mem::replace(&mut self.begins, false);
        if !word[0].is_ascii_uppercase() || word.len() < 2 {
            return;
        }
        let inner = word.windows(2).any(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase());
        let capitalised = !begins && word[1].is_ascii_lowercase();
        if (inner || capitalised) && self.count < MOST_NAMES && !self.seen[..self.count].contains(&hash) {
            self.seen[self.count] = hash;
            self.count += 1;
        }
    }
}

/// The part of the text that is read, cut at a character's boundary.
fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// `- ` or `* ` at the start of a line.
fn is_bullet(bytes: &[u8], at: usize) -> bool {
    matches!(bytes[at], b'-' | b'*') && bytes.get(at + 1) == Some(&b' ')
}

/// `12. ` standing alone: a numbered item.
fn is_item(bytes: &[u8], at: usize, end: usize) -> bool {
    bytes.get(end) == Some(&b'.')
        && bytes.get(end + 1).is_some_and(u8::is_ascii_whitespace)
        && (at == 0 || bytes[at - 1].is_ascii_whitespace())
}

fn is_link(rest: &[u8]) -> bool {
    rest.starts_with(b"http://") || rest.starts_with(b"https://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Flag;

    #[test]
    fn terms_keep_to_word_boundaries() {
        let facts = TextFacts::of("maintain the models; a remodelled domain");
        assert_eq!((facts.num_complex_terms, facts.num_technical_terms), (1, 1));
        let facts = TextFacts::of("AI, ai and Real-Time machine learning with CI/CD");
        assert_eq!(facts.num_complex_terms, 3);
        assert_eq!(facts.num_technical_terms, 1);
    }

    #[test]
    fn requirements_are_bullets_numbers_and_demands() {
        let facts =
            TextFacts::of("Do:\n- a\n* b\n  - c\n1. d 2. e\nIt must and should; mustard - no, 3.5. x");
        assert_eq!(facts.num_requirements, 7);
    }

    #[test]
    fn what_is_mentioned_is_found_in_both_languages() {
        let english = TextFacts::of(
            "Add login with JWT; an Order belongs to a Customer. At least one Item is required.",
        );
        let spanish = TextFacts::of(
            "Añadir autenticación; un Order pertenece a un Customer. Al menos un Item es obligatorio en la base de datos.",
        );
        for facts in [&english, &spanish] {
            assert!(facts.has(Flag::Authentication) && !facts.has(Flag::RealTime), "{facts:?}");
            assert_eq!(
                (facts.num_relationships, facts.num_constraints, facts.num_entities),
                (1, 2, 3),
                "{facts:?}"
            );
        }
        assert!(spanish.has(Flag::Database) && spanish.num_technical_terms == 2);
        let flags =
            TextFacts::of("Permisos por rol, validar la subida de archivos en tiempo real con un webhook");
        for flag in
            [Flag::Authorization, Flag::Validation, Flag::FileUpload, Flag::RealTime, Flag::ApiIntegration]
        {
            assert!(flags.has(flag), "{flag:?}");
        }
        assert_eq!(TextFacts::of("El usuario debe entrar y tiene que salir").num_requirements, 2);
        let none = TextFacts::of("Rename the variable in the parser");
        assert_eq!((none.flags, none.num_entities), (0, 0));
    }

    #[test]
    fn names_are_counted_once() {
        assert_eq!(
            TextFacts::of("Use the UserService. Then UserService calls OrderRepo and NASA.").num_entities,
            2
        );
    }

    #[test]
    fn long_and_foreign_texts_are_cut_between_characters() {
        let facts = TextFacts::of(&"ñ".repeat(MAX_TEXT_BYTES));
        assert_eq!((facts.length, facts.truncated), (MAX_TEXT_BYTES, true));
        let mut odd = "a".repeat(MAX_TEXT_BYTES - 1);
        odd.push('🦀');
        assert!(TextFacts::of(&odd).truncated);
        assert_eq!(TextFacts::of("").num_words, 0);
        assert_eq!(TextFacts::of("7.").num_requirements, 0);
    }
}
