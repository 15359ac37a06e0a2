//! What can be counted without knowing the language.

use super::metrics::Lines;

/// Physical and blank lines, and the deepest nesting of indentation.
pub(super) fn count(code: &[u8]) -> (Lines, u32) {
    let mut lines = Lines::default();
    let mut indents: Vec<usize> = Vec::new();
    let mut deepest = 0;
    for line in rows(code) {
        lines.physical += 1;
        let Some(indent) = line.iter().position(|b| !is_space(*b)) else {
            lines.blank += 1;
            continue;
        };
        while indents.last().is_some_and(|open| *open >= indent) {
            indents.pop();
        }
        if indent > 0 && indents.len() < MOST_LEVELS {
            indents.push(indent);
        }
        deepest = deepest.max(indents.len());
    }
    (lines, deepest as u32)
}

/// Levels of indentation that are told apart.
const MOST_LEVELS: usize = 1000;

/// The lines; what follows the last line break is one only if it holds anything.
pub(super) fn rows(code: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = code.strip_suffix(b"\n").unwrap_or(code);
    let some = !code.is_empty();
    body.split(|b| *b == b'\n').filter(move |_| some)
}

/// Whether brackets are nested deeper than `limit`, wherever they stand.
pub(super) fn is_deeper(code: &[u8], limit: usize) -> bool {
    // Counting all of them takes a tenth of the time.
    if code.iter().filter(|b| matches!(b, b'(' | b'[' | b'{')).count() <= limit {
        return false;
    }
    let mut depth = 0_usize;
    for byte in code {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Whether tags are open in one another deeper than `limit`; those that need no closing one aside.
pub(super) fn has_deeper_tags(code: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    for (at, _) in code.iter().enumerate().filter(|(_, b)| **b == b'<') {
        let rest = &code[at + 1..];
        let name = rest.iter().take(16).take_while(|b| b.is_ascii_alphanumeric()).count();
        if rest.first() == Some(&b'/') {
            depth = depth.saturating_sub(1);
        } else if name > 0 && !is_open_ended(&rest[..name].to_ascii_lowercase()) {
            depth += 1;
            if depth > limit {
                return true;
            }
        }
    }
    false
}

/// Elements without an end tag, or where it may be left out.
fn is_open_ended(name: &[u8]) -> bool {
    let names: [&[u8]; 31] = [
        b"area",
        b"base",
        b"br",
        b"col",
        b"embed",
        b"hr",
        b"img",
        b"input",
        b"link",
        b"meta",
        b"source",
        b"track",
        b"wbr",
        b"p",
        b"li",
        b"dt",
        b"dd",
        b"tr",
        b"td",
        b"th",
        b"thead",
        b"tbody",
        b"tfoot",
        b"option",
        b"optgroup",
        b"colgroup",
        b"caption",
        b"rt",
        b"rp",
        b"html",
        b"body",
    ];
    names.contains(&name)
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_an_editor_does() {
        let of = |code: &str| {
            let (lines, nesting) = count(code.as_bytes());
            (lines.physical, lines.blank, nesting)
        };
        assert_eq!(of(""), (0, 0, 0));
        assert_eq!(of("a"), (1, 0, 0));
        assert_eq!(of("a\n"), (1, 0, 0));
        assert_eq!(of("a\r\n\r\nb\r\n"), (3, 1, 0));
        assert_eq!(of("a\n  b\n    c\n  d\n\n      e\n"), (6, 1, 2));
    }

    #[test]
    fn depth_is_that_of_open_brackets() {
        assert!(has_deeper_tags(b"<div><p><br><a>", 1) && !has_deeper_tags(b"<b></b><b></b><br><li><li>", 1));
        assert!(is_deeper(b"(((", 2) && !is_deeper(b"()()()()[[]]", 2) && !is_deeper(b")))(", 1));
    }
}
