//! Words: runs of letters and digits, hashed without their case and their accents.

pub(super) use crate::stats::fnv::SEED;
use crate::stats::fnv::{PRIME, step};

/// A word's place and hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Of a part: without accents; of a run: of its bytes, in lower case where they are ASCII.
    pub(super) hash: u64,
    /// The hash without the last letter: of the singular, where that is an `s`.
    pub(super) shorter: u64,
    /// `true` if it is a part of itself: all of it is ASCII.
    pub(super) ascii: bool,
}

impl Word {
    /// The run of letters, digits and anything beyond ASCII that starts at `start`.
    #[inline]
    pub(super) fn run(bytes: &[u8], start: usize) -> Self {
        let (mut end, mut hash, mut shorter, mut all) = (start, SEED, SEED, 0);
        for byte in &bytes[start..] {
            let lower = LOWER[*byte as usize];
            if lower == 0 {
                break;
            }
            all |= lower;
            shorter = hash;
            hash = step(hash, lower);
            end += 1;
        }
        Self { start, end, hash, shorter, ascii: all < 0x80 }
    }

    /// The words within a run, which signs beyond ASCII part (`¿`, `—`, emoji).
    pub(super) fn parts(self, text: &str) -> impl Iterator<Item = Self> + '_ {
        let mut at = self.start;
        std::iter::from_fn(move || {
            let part = self.part(text, at);
            at = part.map_or(self.end, |part| part.end);
            part
        })
    }

    /// The first part from `from` on.
    #[cold]
    fn part(self, text: &str, from: usize) -> Option<Self> {
        let mut part: Option<Self> = None;
        for (i, c) in text.get(from..self.end).unwrap_or_default().char_indices() {
            let (start, end) = (from + i, from + i + c.len_utf8());
            if is_accent(c) {
                part = part.map(|part| Self { end, ..part });
            } else if c.is_alphanumeric() {
                let new = Self { start, end, hash: SEED, shorter: SEED, ascii: false };
                let before = part.unwrap_or(new);
                part = Some(Self { end, hash: hash(before.hash, c), shorter: before.hash, ..before });
            } else if part.is_some() {
                break;
            }
        }
        part
    }

    /// Whether this part is the folded word `key`.
    #[inline]
    pub(super) fn is(self, text: &str, key: &str) -> bool {
        if self.ascii {
            text.as_bytes()[self.start..self.end].eq_ignore_ascii_case(key.as_bytes())
        } else {
            self.is_folded(text, key)
        }
    }

    #[cold]
    fn is_folded(self, text: &str, key: &str) -> bool {
        self.folded(text).eq(key.chars())
    }

    /// This part's letters without case and accents.
    pub(super) fn folded(self, text: &str) -> impl Iterator<Item = char> + '_ {
        text.get(self.start..self.end).unwrap_or_default().chars().flat_map(fold)
    }

    /// Whether this ends in `s`, and more than two letters stand before it.
    #[inline]
    pub(super) fn is_plural(&self, bytes: &[u8]) -> bool {
        self.end - self.start > 3 && bytes[self.end - 1] | 0x20 == b's'
    }

    /// The singular, where this ends in `s`.
    #[inline]
    pub(super) fn singular(self, bytes: &[u8]) -> Option<Self> {
        self.is_plural(bytes).then(|| Self { end: self.end - 1, hash: self.shorter, ..self })
    }

    /// Whether one character stands between this part and `next`.
    #[inline]
    pub(super) fn is_next_to(self, text: &str, next: Self) -> bool {
        // Signs beyond ASCII are part of a run, so that one alone never stands before an ASCII run.
        self.end + 1 == next.start || (!next.ascii && one_character(text, self.end, next.start))
    }
}

/// The hash of a term of two words, or of one and another, from theirs.
#[inline]
pub(super) fn pair(first: u64, second: u64) -> u64 {
    (first.rotate_left(23) ^ second).wrapping_mul(PRIME)
}

/// The hash of a folded word.
pub(super) fn hash_of(word: &str) -> u64 {
    word.bytes().fold(SEED, step)
}

/// Lower-cased letters, digits, and the bytes of characters beyond ASCII; 0 between words.
pub(super) static LOWER: [u8; 256] = {
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

/// FNV-1a, one folded character further.
fn hash(before: u64, c: char) -> u64 {
    fold(c).fold(before, |hash, c| c.encode_utf8(&mut [0; 4]).bytes().fold(hash, step))
}

#[cold]
fn one_character(text: &str, start: usize, end: usize) -> bool {
    text.get(start..end).is_some_and(|gap| gap.chars().take(2).count() == 1)
}

/// A combining accent: part of the letter before it.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36F}')
}

/// The character in lower case and without its accent.
fn fold(c: char) -> impl Iterator<Item = char> {
    c.to_lowercase().filter(|c| !is_accent(*c)).map(|c| if c.is_ascii() { c } else { base(c) })
}

/// The letter under an accent of the Latin alphabets.
fn base(c: char) -> char {
    match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => 'c',
        'ď' | 'đ' => 'd',
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => 'e',
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => 'g',
        'ĥ' | 'ħ' => 'h',
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => 'i',
        'ĵ' => 'j',
        'ķ' => 'k',
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => 'l',
        'ñ' | 'ń' | 'ņ' | 'ň' => 'n',
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => 'o',
        'ŕ' | 'ŗ' | 'ř' => 'r',
        'ś' | 'ŝ' | 'ş' | 'š' => 's',
        'ţ' | 'ť' | 'ŧ' => 't',
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => 'u',
        'ŵ' => 'w',
        'ý' | 'ÿ' | 'ŷ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<String> {
        let spelt = |part: Word| {
            let folded: String = part.folded(text).collect();
            assert!(part.hash == hash_of(&folded) && part.is(text, &folded));
            folded
        };
        Word::run(text.as_bytes(), 0).parts(text).map(spelt).collect()
    }

    #[test]
    fn words_fold_and_signs_part_them() {
        assert_eq!(parts("ÁRBOL"), ["arbol"]);
        assert_eq!(parts("contrasen\u{303}a\u{301}"), ["contrasena"]);
        assert_eq!(parts("¿“uno—dos…”🦀tres🇪🇸"), ["uno", "dos", "tres"]);
        assert_eq!(parts("plain"), ["plain"]);
        assert_eq!(parts("日本×İx"), ["日本", "ix"]);
        assert!(parts("\u{301}\u{302}—🦀").is_empty());
        assert!(parts("").is_empty());
    }

    #[test]
    fn a_run_that_is_ascii_is_its_own_part() {
        let run = Word::run(b"KaFka, x", 0);
        assert!(run.ascii && run.hash == hash_of("kafka") && run.is("KaFka, x", "kafka"));
        let singular = Word::run(b"Tokens", 0).singular(b"Tokens").unwrap();
        assert!(singular.hash == hash_of("token") && singular.is("Tokens", "token"));
        assert!(Word::run(b"has", 0).singular(b"has").is_none());
    }

    #[test]
    fn words_are_neighbours_over_one_character() {
        for (text, is) in
            [("ab-cd", true), ("ab cd", true), ("ab, cd", false), ("ab—cd", true), ("ab— cd", false)]
        {
            let at = text.len() - 2;
            let last = Word { start: at, ..Word::run(text.as_bytes(), at) };
            let first = Word { end: 2, ..Word::run(text.as_bytes(), 0) };
            assert_eq!(first.is_next_to(text, Word { ascii: text.is_ascii(), ..last }), is, "{text}");
        }
    }
}
