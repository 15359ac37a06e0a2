//! One linear pass over a description.

use super::lexicon::{self, Meaning, Table};

/// Descriptions are read up to here, in bytes; the rest is counted but not read.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// What one pass over a description finds.
///
/// ```
/// use devmatrix_ml::text::TextFacts;
/// let facts = TextFacts::of("Build a REST API:\n- it must validate the model\n- maintain the model");
/// assert_eq!(facts.num_requirements, 3); // two bullets and a "must"
/// assert_eq!(facts.num_technical_terms, 3); // rest, api, model (once)
/// assert_eq!(facts.num_complex_terms, 1); // model; "ai" is not in "maintain"
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct TextFacts {
    /// Characters of the whole description.
    pub length: usize,
    /// Whether the description was longer than [`MAX_TEXT_BYTES`] and its end was not read.
    pub truncated: bool,
    /// Words read.
    pub num_words: usize,
    /// Lines read.
    pub num_lines: usize,
    /// Bytes of the first line.
    pub title_length: usize,
    /// Lines that start with `#`.
    pub num_headings: usize,
    /// Backticks: code in the description.
    pub num_backticks: usize,
    /// Addresses on the web.
    pub num_links: usize,
    /// Whole numbers.
    pub num_numbers: usize,
    /// Bulleted and numbered items, and every `must` and `should`.
    pub num_requirements: usize,
    /// Distinct technical terms.
    pub num_technical_terms: usize,
    /// Distinct terms that make a task complex.
    pub num_complex_terms: usize,
    /// Distinct names: capitalised words that do not begin a sentence, and names in `CamelCase`.
    pub num_entities: usize,
    /// Times that entities are tied together ("has many", "pertenece a").
    pub num_relationships: usize,
    /// Times that something is limited ("at least", "unique", "obligatorio").
    pub num_constraints: usize,
    /// One bit a [`Flag`].
    flags: u8,
}

/// What a description may mention, in English or Spanish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// Who somebody is.
    Authentication,
    /// What somebody may do.
    Authorization,
    /// Whether input is right.
    Validation,
    /// Where data live.
    Database,
    /// Somebody else's interface.
    ApiIntegration,
    /// Files that users send.
    FileUpload,
    /// What happens at once.
    RealTime,
}

impl TextFacts {
    /// Reads `description`: time linear in its length, no allocation.
    pub fn of(description: &str) -> Self {
        scan(description, |_| {})
    }

    /// Whether the description mentions it.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags >> (flag as u8) & 1 == 1
    }

    /// The complexity heuristic, 0 to 10: a base by type, half a point for each complex term, one
    /// more for a description of over 500 characters.
    pub fn task_complexity(&self, task_type: Option<&str>) -> f64 {
        let base = match task_type.map(str::to_lowercase).as_deref() {
            Some("backend") => 5.0,
            Some("database") => 6.0,
            Some("testing") => 3.0,
            Some("documentation") => 2.0,
            _ => 4.0,
        };
        let long = if self.length > 500 { 1.0 } else { 0.0 };
        (base + 0.5 * self.num_complex_terms as f64 + long).min(10.0)
    }
}

/// Reads `description` and hands the hash of each word to `word`, in order.
pub(super) fn scan(description: &str, mut word: impl FnMut(u64)) -> TextFacts {
    let text = head(description);
    let bytes = text.as_bytes();
    let mut facts = TextFacts {
        length: length(description),
        num_lines: usize::from(!text.is_empty()),
        title_length: text.lines().next().map_or(0, str::len),
        truncated: text.len() < description.len(),
        ..TextFacts::default()
    };
    let table = lexicon::table();
    let mut seen = Meaning::default();
    let (mut at, mut line_start) = (0, true);
    let mut previous: Option<Word> = None;
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
        let this = read_word(bytes, at);
        let end = this.end;
        word(this.hash);
        facts.num_words += 1;
        if byte.is_ascii_digit() && bytes[at..end].iter().all(u8::is_ascii_digit) {
            facts.num_numbers += 1;
            facts.num_requirements += usize::from(is_item(bytes, at, end));
        }
        facts.num_links += usize::from(byte | 0x20 == b'h' && is_link(&bytes[at..]));
        names.note(&bytes[at..end], this.hash);
        let said = note(table, &mut seen, bytes, this, previous);
        facts.num_requirements += usize::from(said.demands);
        facts.num_constraints += usize::from(said.constrains);
        facts.num_relationships += usize::from(said.relates);
        previous = Some(this);
        (at, line_start) = (end, false);
    }
    facts.num_technical_terms = seen.technical.count_ones() as usize;
    facts.num_complex_terms = seen.complex.count_ones() as usize;
    facts.num_entities = names.count;
    facts.flags = seen.flags;
    facts
}

/// A word's place and hash.
#[derive(Debug, Clone, Copy)]
struct Word {
    start: usize,
    end: usize,
    hash: u64,
    /// The hash without the last byte: of the singular, where that is an `s`.
    shorter: u64,
}

impl Word {
    fn is(self, bytes: &[u8], text: &str) -> bool {
        bytes[self.start..self.end].eq_ignore_ascii_case(text.as_bytes())
    }
}

/// Distinct names, up to [`MOST_NAMES`].
struct Names {
    /// Whether the next word begins a sentence.
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

/// Notes what the word, its singular, or the pair with the word before it means; what of it counts
/// each time.
fn note(table: &Table, seen: &mut Meaning, bytes: &[u8], word: Word, previous: Option<Word>) -> Meaning {
    let mut found = table.find(word.hash, |t| word.is(bytes, t));
    if found.is_none() && word.end - word.start > 3 && bytes[word.end - 1] | 0x20 == b's' {
        let singular = Word { end: word.end - 1, ..word };
        found = table.find(word.shorter, |t| singular.is(bytes, t));
    }
    let both = previous.filter(|first| word.start == first.end + 1).and_then(|first| {
        table.find(lexicon::pair(first.hash, word.hash), |t| {
            t.split_once(' ').is_some_and(|(a, b)| first.is(bytes, a) && word.is(bytes, b))
        })
    });
    let mut said = Meaning::default();
    for meaning in [found, both].into_iter().flatten() {
        seen.complex |= meaning.complex;
        seen.technical |= meaning.technical;
        seen.flags |= meaning.flags;
        said.demands |= meaning.demands;
        said.constrains |= meaning.constrains;
        said.relates |= meaning.relates;
    }
    said
}

/// The part of the text that is read, cut at a character's boundary.
fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// Characters, counted as bytes that do not continue one.
fn length(text: &str) -> usize {
    text.bytes().map(|b| usize::from((b & 0xC0) != 0x80)).sum()
}

/// Lower-cased letters, digits, and the bytes of characters beyond ASCII; 0 between words.
static LOWER: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || b >= 0x80 {
            table[byte] = b.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

fn read_word(bytes: &[u8], start: usize) -> Word {
    let (mut end, mut hash, mut shorter) = (start, lexicon::SEED, lexicon::SEED);
    for byte in &bytes[start..] {
        let lower = LOWER[*byte as usize];
        if lower == 0 {
            break;
        }
        shorter = hash;
        hash = lexicon::step(hash, lower);
        end += 1;
    }
    Word { start, end, hash, shorter }
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
    fn the_heuristic_follows_type_terms_and_length() {
        let plain = TextFacts::of("x");
        assert_eq!(plain.task_complexity(Some("database")), 6.0);
        assert_eq!(plain.task_complexity(None), 4.0);
        let long = TextFacts::of(&"payment ".repeat(100));
        assert_eq!(long.task_complexity(Some("Backend")), 6.5);
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
