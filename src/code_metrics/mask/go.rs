//! Go that tree-sitter-go 0.25.0 does not know.

use super::Mask;
use super::tokens::{MOST_TOKENS, Style, Tokens};

/// A text that the grammar reads, with the same decisions and functions.
pub(in super::super) fn masked(code: &[u8]) -> Option<Vec<u8>> {
    let tokens = Tokens::of(code, Style::Go);
    let mut mask = Mask::of(&tokens);
    for at in 0..tokens.all.len() {
        match tokens.text(at) {
            b"new" | b"make" if tokens.text(at + 1) == b"(" && tokens.before(at) != b"." => {
                new(&mut mask, at);
            }
            b"func" => method_types(&mut mask, at),
            _ => {}
        }
    }
    mask.finish()
}

/// `func (r R) name[T any](…)` (Go 1.27).
fn method_types(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let receiver = tokens.partner(at + 1).filter(|_| tokens.text(at + 1) == b"(");
    let Some(name) = receiver.map(|close| close + 1).filter(|name| tokens.is_word(*name)) else { return };
    let types = tokens.partner(name + 1).filter(|_| tokens.text(name + 1) == b"[");
    if let Some(close) = types.filter(|close| tokens.text(close + 1) == b"(") {
        mask.blank(name + 1, close);
    }
}

/// `new(f(x))` (Go 1.26) and a `make` that hides the language's own: the grammar takes what is in their
/// brackets for a type.
fn new(mask: &mut Mask<'_>, at: usize) {
    let tokens = mask.tokens;
    let Some(close) = tokens.partner(at + 1) else { return };
    // A name is a value as well as a type; a body that is not a type's is a value's or a function's.
    let is_type = matches!(
        tokens.text(at + 2),
        b"[" | b"map" | b"chan" | b"*" | b"<-" | b"func" | b"struct" | b"interface"
    );
    let has_value = (at + 2..close)
        .take(MOST_TOKENS)
        .any(|place| tokens.text(place) == b"{" && !matches!(tokens.before(place), b"struct" | b"interface"));
    if has_value || !is_type {
        mask.rename(at);
    }
}
