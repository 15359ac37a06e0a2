//! Python that tree-sitter-python 0.25.0 does not know.

use super::Mask;
use super::tokens::{Kind, MOST_TOKENS, Style, Tokens};

/// A text that the grammar reads, with the same decisions and functions.
pub(in super::super) fn masked(code: &[u8]) -> Option<Vec<u8>> {
    let tokens = Tokens::of(code, Style::Python);
    let mut mask = Mask::of(&tokens);
    for at in 0..tokens.all.len() {
        match tokens.text(at) {
            b"(" | b"[" | b"{" => {
                joined(&mut mask, at);
                unpacked(&mut mask, at);
            }
            b"def" | b"class" | b"type" => type_parameters(&mut mask, at),
            b"lazy" => lazy(&mut mask, at),
            _ if tokens.is_text(at) => template(&mut mask, at),
            _ => {}
        }
    }
    mask.finish()
}

/// Line ends and comments in brackets say nothing to Python; to the grammar, a line that begins further
/// left than its block ends it.
fn joined(mask: &mut Mask<'_>, open: usize) {
    let tokens = mask.tokens;
    let Some(close) = tokens.partner(open).filter(|_| tokens.all[open].inside.is_none()) else { return };
    for place in open..close {
        let (token, next) = (tokens.all[place], tokens.all[place + 1]);
        if token.kind == Kind::Comment {
            mask.blank(place, place);
        }
        mask.text[token.end..next.start].fill(b' ');
    }
}

/// `[*a for a in b]` and `{**a for a in b}` (PEP 798).
fn unpacked(mask: &mut Mask<'_>, open: usize) {
    let tokens = mask.tokens;
    let Some(close) = tokens.partner(open).filter(|_| tokens.text(open + 1) == b"*") else { return };
    let comprehends = (open + 2..close)
        .take(MOST_TOKENS)
        .any(|at| tokens.all[at].inside == Some(open) && tokens.text(at) == b"for");
    if comprehends {
        let last = if tokens.text(open + 2) == b"*" { open + 2 } else { open + 1 };
        mask.blank(open + 1, last);
    }
}

/// `def f[T = int](…)`, `class A[T: (B, C) = D]`, `type A[T = int] = …` (PEP 695 and 696): no type
/// parameter counts.
fn type_parameters(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let open = at + 2;
    let Some(close) = tokens.partner(open).filter(|_| tokens.is_word(at + 1) && tokens.text(open) == b"[")
    else {
        return;
    };
    let mut defaults = (open..close).filter(|at| tokens.text(*at) == b"=").peekable();
    if defaults.peek().is_some() && defaults.all(|at| !matches!(tokens.text(at + 1), b"," | b"]")) {
        mask.blank(open, close);
    }
}

/// `lazy import a` and `lazy from a import b` (PEP 810).
fn lazy(mask: &mut Mask<'_>, at: usize) {
    let word = mask.tokens.text(at + 1);
    if matches!(word, b"import" | b"from") && !mask.tokens.begins_line(at + 1) {
        let (start, end) = (mask.tokens.all[at].start, mask.tokens.all[at + 1].end);
        mask.text[start..end].fill(b' ');
        mask.text[start..start + word.len()].copy_from_slice(word);
    }
}

/// `t'…'` (PEP 750) is to these rules what `f'…'` is.
fn template(mask: &mut Mask<'_>, at: usize) {
    let text = mask.tokens.text(at);
    let prefix = text.iter().take(2).take_while(|b| b.is_ascii_alphabetic()).count();
    let start = mask.tokens.all[at].start;
    if let Some(place) = text[..prefix].iter().position(|b| matches!(b, b't' | b'T')) {
        mask.text[start + place] = b'f';
    }
}
