//! How long strings, comments and regular expressions are.

/// Bytes of a block comment; in Rust there may be others in it.
pub(super) fn comment_length(rest: &[u8], nested: bool) -> usize {
    if !nested {
        return find(rest, b"*/", 2).map_or(rest.len(), |at| at + 2);
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Bytes of a string that may go over several lines.
pub(super) fn closing_quote(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            b'"' => return at + 1,
            _ => {}
        }
        at += 1;
    }
    rest.len()
}

/// Returns whether a quote begins `'a` rather than `'a'`.
pub(super) fn is_lifetime(rest: &[u8]) -> bool {
    let name = rest[1..].iter().take_while(|b| is_word(**b)).count();
    name > 0 && rest.get(name + 1) != Some(&b'\'')
}

pub(super) fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
}

pub(super) fn find(text: &[u8], word: &[u8], from: usize) -> Option<usize> {
    text.get(from..)?.windows(word.len()).position(|w| w == word).map(|at| at + from)
}

/// Bytes of a string in quotes; where its line does not close it, those of the quote.
pub(super) fn quoted_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            b'\n' => return 1,
            byte if byte == rest[0] => return at + 1,
            _ => {}
        }
        at += 1;
    }
    1
}

/// Bytes of a regular expression with its flags; a slash alone where its line ends before.
pub(super) fn regex_length(rest: &[u8]) -> usize {
    let (mut at, mut in_class) = (1, false);
    while at < rest.len() && rest[at] != b'\n' {
        match rest[at] {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'/' if !in_class => return at + 1 + rest[at + 1..].iter().take_while(|b| is_word(**b)).count(),
            _ => {}
        }
        at += 1;
    }
    1
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}
