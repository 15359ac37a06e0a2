//! Rust that tree-sitter-rust-orchard 0.16.11 does not know.

use super::Mask;
use super::tokens::{MOST_TOKENS, Style, Tokens};

/// A text that the grammar reads, with the same decisions and functions.
pub(in super::super) fn masked(code: &[u8]) -> Option<Vec<u8>> {
    let tokens = Tokens::of(code, Style::Rust);
    let mut mask = Mask::of(&tokens);
    for at in 0..tokens.all.len() {
        match tokens.text(at) {
            // A name, but in `&raw const a`.
            b"raw" if !matches!(tokens.text(at + 1), b"const" | b"mut") => mask.rename(at),
            // `u16!(…)`: a macro may have a type's name.
            b"!" if is_primitive(tokens.before(at)) && tokens.partner(at + 1).is_some() => {
                mask.rename(at - 1);
            }
            b"!" if tokens.before(at) != b"=" => bound_macro(&mut mask, at),
            b"." => range(&mut mask, at),
            // `$` alone among the tokens that a macro matches.
            b"$" if matches!(tokens.text(at + 1), b")" | b"]" | b"}") => mask.put(at, b"@"),
            b"default" if tokens.text(at + 1) == b"impl" => mask.blank(at, at),
            b"async" if matches!(tokens.before(at), b"impl" | b"dyn" | b":" | b"+") => mask.blank(at, at),
            b"await" if tokens.before(at) == b"for" => mask.blank(at, at),
            b"yeet" if tokens.before(at) == b"do" => {
                mask.blank(at - 1, at - 1);
                mask.put(at, b"&");
            }
            b"struct" => default_values(&mut mask, at),
            b"[" if tokens.text(at + 1) == b"const" && tokens.text(at + 2) == b"]" => mask.blank(at, at + 2),
            _ => {}
        }
    }
    mask.finish()
}

/// `where mac!(T): Bound`.
fn bound_macro(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let close = tokens.partner(at + 1).filter(|_| at > 0 && tokens.is_word(at - 1));
    if let Some(close) = close.filter(|close| tokens.text(close + 1) == b":") {
        mask.blank(at, close);
    }
}

/// `0..[1, 2][i]`: a sum counts as little as a range.
fn range(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let value = at > 0 && (tokens.is_word(at - 1) || matches!(tokens.before(at), b")" | b"]"));
    if value && tokens.text(at + 1) == b"." && tokens.text(at + 2) == b"[" {
        mask.put(at, b"+");
        mask.blank(at + 1, at + 1);
    }
}

/// `struct A { b: u8 = 1 }`: a field's value is no part of a function.
fn default_values(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let ends = |at: &usize| matches!(tokens.text(*at), b"{" | b"(" | b";");
    let open = (at..tokens.all.len()).take(MOST_TOKENS).find(ends).filter(|open| tokens.text(*open) == b"{");
    let Some((open, close)) = open.and_then(|open| Some((open, tokens.partner(open)?))) else { return };
    let mut value = None;
    for place in (open + 1..=close).take(MOST_TOKENS) {
        let direct = tokens.all[place].inside == Some(open);
        match tokens.text(place) {
            b"=" if direct => value = Some(place),
            b"," if direct => value.take().into_iter().for_each(|from| mask.blank(from, place - 1)),
            b"}" if place == close => value.take().into_iter().for_each(|from| mask.blank(from, place - 1)),
            _ => {}
        }
    }
}

fn is_primitive(word: &[u8]) -> bool {
    matches!(
        word,
        b"u8"
            | b"u16"
            | b"u32"
            | b"u64"
            | b"u128"
            | b"usize"
            | b"i8"
            | b"i16"
            | b"i32"
            | b"i64"
            | b"i128"
            | b"isize"
            | b"f32"
            | b"f64"
            | b"bool"
            | b"char"
            | b"str"
    )
}
