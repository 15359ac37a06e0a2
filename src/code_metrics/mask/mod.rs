//! Texts made readable for grammars that are behind their languages: what a grammar does not know gives
//! way to something of the same length that counts the same. Only texts with errors are masked.

#[cfg(feature = "code-go")]
mod go;
mod python;
#[cfg(feature = "code-rust")]
mod rust;
mod scan;
mod script;
mod tokens;

#[cfg(feature = "code-go")]
pub(super) use go::masked as go;
pub(super) use python::masked as python;
#[cfg(feature = "code-rust")]
pub(super) use rust::masked as rust;
pub(super) use script::masked as script;

use tokens::Tokens;

/// A text that is being masked.
struct Mask<'a> {
    tokens: &'a Tokens<'a>,
    text: Vec<u8>,
}

impl<'a> Mask<'a> {
    fn of(tokens: &'a Tokens<'a>) -> Self {
        Self { tokens, text: tokens.code.to_vec() }
    }

    /// Puts spaces in place of the tokens from one place to another, both included; lines stay.
    fn blank(&mut self, from: usize, to: usize) {
        let (Some(first), Some(last)) = (self.tokens.all.get(from), self.tokens.all.get(to)) else { return };
        for byte in self.text.get_mut(first.start..last.end).unwrap_or_default() {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }

    /// Puts a shorter word in place of a token.
    fn put(&mut self, at: usize, word: &[u8]) {
        let Some(token) = self.tokens.all.get(at) else { return };
        if word.len() <= token.end - token.start {
            self.text[token.start..token.end].fill(b' ');
            self.text[token.start..token.start + word.len()].copy_from_slice(word);
        }
    }

    /// Puts a word in place of the tokens from one place to another, both included.
    fn put_over(&mut self, from: usize, to: usize, word: &[u8]) {
        self.blank(from, to);
        let start = self.tokens.all[from].start;
        if start + word.len() <= self.tokens.all[to].end {
            self.text[start..start + word.len()].copy_from_slice(word);
        }
    }

    /// Makes a keyword a name.
    fn rename(&mut self, at: usize) {
        if let Some(token) = self.tokens.all.get(at).filter(|token| self.text[token.start] != b' ') {
            self.text[token.end - 1] = b'_';
        }
    }

    /// Puts a semicolon in the white space before a token; a line end gives way where there is nothing else.
    fn end_before(&mut self, at: usize) {
        let before = self.tokens.all.get(at).and_then(|token| token.start.checked_sub(1));
        if let Some(place) = before.filter(|place| self.text[*place].is_ascii_whitespace()) {
            self.text[place] = b';';
        }
    }

    /// The masked text, where anything was masked.
    fn finish(self) -> Option<Vec<u8>> {
        (self.text != self.tokens.code).then_some(self.text)
    }
}
