//! Python's lines as `radon.raw` counts them, and its indentation as its tokenizer checks it.

use super::lines::is_space;

/// Findings in the lines of a Python text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PythonLines {
    /// radon's `lloc`.
    pub(super) logical: u32,
    /// radon's `comments`.
    pub(super) comment: u32,
    /// Rows, from 0, whose indentation is wrong, and how many.
    pub(super) errors: u32,
    pub(super) first_error: Option<u32>,
}

/// Reads `code` once.
pub(super) fn read(code: &[u8]) -> PythonLines {
    let mut scanner = Scanner { code, at: 0, row: 0, found: PythonLines::default(), broken: false };
    let mut indents = vec![(0, 0)];
    let mut expects_block = None;
    while scanner.at < code.len() {
        let row = scanner.row;
        let indent = scanner.indent();
        let line = scanner.logical_line();
        scanner.found.logical += line.lines;
        if !line.has_code {
            continue;
        }
        if !fits(&mut indents, indent, expects_block.is_some()) {
            scanner.note(row);
        }
        expects_block = line.ends_with_colon.then_some(row);
    }
    if let Some(row) = expects_block {
        scanner.note(row);
    }
    scanner.found
}

/// A line up to its end outside brackets and strings.
#[derive(Default)]
struct Logical {
    has_code: bool,
    lines: u32,
    ends_with_colon: bool,
}

struct Scanner<'a> {
    code: &'a [u8],
    at: usize,
    row: u32,
    found: PythonLines,
    /// A formatted string did not end: from there on they end where their quote comes again.
    broken: bool,
}

/// Open parts of a formatted string (PEP 701: its fields may hold strings with the same quote).
#[derive(Clone, Copy)]
enum Open {
    /// Text up to its quote, one or three.
    Text { quote: u8, triple: bool },
    /// A field with so many brackets open.
    Field(u32),
    /// What follows a field's colon.
    Format,
}

/// Python nests them no deeper.
const MOST_OPEN: usize = 300;

/// A part of a line between semicolons: whether it holds anything, and the tokens after its last colon.
#[derive(Default, Clone, Copy)]
struct Part {
    any: bool,
    after_colon: Option<u32>,
}

impl Part {
    fn token(&mut self) {
        self.any = true;
        self.after_colon = self.after_colon.map(|n| n + 1);
    }

    /// Its logical lines: radon looks for the colon one place before the end of the last part, where
    /// the end marker stands, and at the same place in the others.
    fn logical(self, is_last: bool) -> u32 {
        match self.after_colon {
            Some(n) => 2 - u32::from(n == u32::from(!is_last)),
            None => u32::from(self.any),
        }
    }
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.code.get(self.at + ahead).copied().unwrap_or(b'\n')
    }

    /// Columns of the line's first character, with a tab as eight columns and as one.
    fn indent(&mut self) -> (u32, u32) {
        let (mut wide, mut narrow) = (0, 0);
        loop {
            match self.code.get(self.at) {
                Some(b' ') => (wide, narrow) = (wide + 1, narrow + 1),
                Some(b'\t') => (wide, narrow) = ((wide / 8 + 1) * 8, narrow + 1),
                Some(0x0c) => (wide, narrow) = (0, 0),
                _ => return (wide, narrow),
            }
            self.at += 1;
        }
    }

    fn logical_line(&mut self) -> Logical {
        let (mut line, mut part, mut depth) = (Logical::default(), Part::default(), 0_u32);
        while self.at < self.code.len() {
            let byte = self.code[self.at];
            match byte {
                b'\n' => {
                    self.at += 1;
                    self.row += 1;
                    if depth == 0 {
                        break;
                    }
                    continue;
                }
                b'#' => {
                    self.found.comment += 1;
                    self.at += self.code[self.at..]
                        .iter()
                        .position(|b| *b == b'\n')
                        .unwrap_or(self.code.len() - self.at);
                    continue;
                }
                b'\\' if matches!(self.peek(1), b'\n' | b'\r') => {
                    self.at += if self.peek(1) == b'\r' && self.peek(2) == b'\n' { 3 } else { 2 };
                    self.row += 1;
                    continue;
                }
                b if is_space(b) => {
                    self.at += 1;
                    continue;
                }
                b';' => {
                    line.lines += part.logical(false);
                    part = Part::default();
                    self.at += 1;
                    line.ends_with_colon = false;
                    continue;
                }
                _ => {}
            }
            line.has_code = true;
            part.token();
            line.ends_with_colon = false;
            match byte {
                b'(' | b'[' | b'{' => (depth, self.at) = (depth + 1, self.at + 1),
                b')' | b']' | b'}' => (depth, self.at) = (depth.saturating_sub(1), self.at + 1),
                b':' if self.peek(1) == b'=' => self.at += 2,
                b':' => {
                    part.after_colon = Some(0);
                    line.ends_with_colon = depth == 0;
                    self.at += 1;
                }
                b'"' | b'\'' => self.string(),
                b if is_word(b) => self.word(),
                _ => self.operator(),
            }
        }
        line.lines += part.logical(true);
        line
    }

    /// A word or a number; a string when it is the prefix of one.
    fn word(&mut self) {
        let start = self.at;
        while self.at < self.code.len() && (is_word(self.code[self.at]) || self.is_in_number(start)) {
            self.at += 1;
        }
        let prefix = self.at - start <= 2
            && self.code[start..self.at]
                .iter()
                .all(|b| matches!(b.to_ascii_lowercase(), b'r' | b'b' | b'u' | b'f' | b't'));
        if prefix && matches!(self.peek(0), b'"' | b'\'') {
            let formatted = is_formatted(&self.code[start..self.at]);
            match formatted.then(|| self.formatted_end()).flatten() {
                Some(end) => {
                    self.row += self.code[self.at..end].split(|b| *b == b'\n').count() as u32 - 1;
                    self.at = end;
                }
                None => self.string(),
            }
        }
    }

    /// Where the formatted string ends whose quote is here; `None` where it does not.
    fn formatted_end(&mut self) -> Option<usize> {
        if self.broken {
            return None;
        }
        let end = formatted_end(self.code, self.at);
        // Else a text full of them would be read to its end for each.
        self.broken = end.is_none();
        end
    }

    fn is_in_number(&self, start: usize) -> bool {
        self.code[start].is_ascii_digit() && self.code[self.at] == b'.'
    }

    fn operator(&mut self) {
        let next = self.peek(1);
        let byte = self.code[self.at];
        self.at += match (byte, next) {
            (b'*' | b'/' | b'<' | b'>', _) if next == byte => 2 + usize::from(self.peek(2) == b'='),
            (b'-', b'>')
            | (
                b'+' | b'-' | b'*' | b'/' | b'%' | b'@' | b'&' | b'|' | b'^' | b'=' | b'<' | b'>' | b'!',
                b'=',
            ) => 2,
            _ => 1,
        };
    }

    /// A string from its quote on, one or three; one that is not closed ends with its line.
    fn string(&mut self) {
        let quote = self.code[self.at];
        let triple = self.peek(1) == quote && self.peek(2) == quote;
        self.at += if triple { 3 } else { 1 };
        while self.at < self.code.len() {
            match self.code[self.at] {
                b'\\' => {
                    self.row += u32::from(self.peek(1) == b'\n' && self.at + 1 < self.code.len());
                    self.at += 2;
                    // A backslash before CR LF goes on too.
                    if self.code.get(self.at - 1) == Some(&b'\r')
                        && self.peek(0) == b'\n'
                        && self.at < self.code.len()
                    {
                        self.at += 1;
                        self.row += 1;
                    }
                    continue;
                }
                b'\n' if !triple => return,
                b'\n' => self.row += 1,
                b if b == quote && !triple => {
                    self.at += 1;
                    return;
                }
                b if b == quote
                    && self.peek(1) == quote
                    && self.peek(2) == quote
                    && self.at + 2 < self.code.len() =>
                {
                    self.at += 3;
                    return;
                }
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.code.len();
    }

    fn note(&mut self, row: u32) {
        self.found.errors += 1;
        self.found.first_error.get_or_insert(row);
    }
}

/// The end of the string whose quote is at a place, after its prefix; where it is not closed, that of its
/// line or of the text.
pub(super) fn string_end(code: &[u8], quote: usize, prefix: &[u8]) -> usize {
    let (mark, triple, begin) = quote_at(code, quote);
    let formatted = is_formatted(prefix).then(|| formatted_end(code, quote)).flatten();
    let end = formatted.or_else(|| plain_end(code, begin, mark, triple));
    let line = || code[begin..].iter().position(|b| *b == b'\n').map_or(code.len(), |at| begin + at);
    end.unwrap_or_else(|| if triple { code.len() } else { line() }).min(code.len())
}

fn is_formatted(prefix: &[u8]) -> bool {
    prefix.iter().any(|b| matches!(b.to_ascii_lowercase(), b'f' | b't'))
}

/// The quote at a place, whether there are three, and where what it quotes begins.
fn quote_at(code: &[u8], at: usize) -> (u8, bool, usize) {
    let quote = code[at];
    let triple = code.get(at + 1) == Some(&quote) && code.get(at + 2) == Some(&quote);
    (quote, triple, at + if triple { 3 } else { 1 })
}

fn closes(code: &[u8], at: usize, quote: u8, triple: bool) -> bool {
    code[at] == quote && (!triple || (code.get(at + 1) == Some(&quote) && code.get(at + 2) == Some(&quote)))
}

/// The end of a formatted string from its quote on.
fn formatted_end(code: &[u8], quote: usize) -> Option<usize> {
    let (quote, triple, mut at) = quote_at(code, quote);
    let mut open = vec![Open::Text { quote, triple }];
    while at < code.len() && open.len() < MOST_OPEN {
        let byte = code[at];
        match (open.last().copied()?, byte) {
            (_, b'\\') => at += 1,
            (Open::Text { quote, triple }, _) if closes(code, at, quote, triple) => {
                open.pop();
                at += if triple { 2 } else { 0 };
                if open.is_empty() {
                    return Some(at + 1);
                }
            }
            (Open::Text { triple: false, .. }, b'\n') => return None,
            (Open::Text { .. }, b'{') if code.get(at + 1) == Some(&b'{') => at += 1,
            (Open::Text { .. } | Open::Format, b'{') => open.push(Open::Field(0)),
            (Open::Format, b'}') => {
                open.truncate(open.len() - 2);
            }
            (Open::Field(0), b'}') => {
                open.pop();
            }
            (Open::Field(0), b':') => open.push(Open::Format),
            (Open::Field(depth), b'(' | b'[' | b'{') => *open.last_mut()? = Open::Field(depth + 1),
            (Open::Field(depth), b')' | b']' | b'}') => {
                *open.last_mut()? = Open::Field(depth.saturating_sub(1));
            }
            (Open::Field(_), b'#') => at += code[at..].iter().position(|b| *b == b'\n')? - 1,
            (Open::Field(_), b'"' | b'\'') => {
                let word = code[..at].iter().rev().take(3).take_while(|b| is_word(**b)).count();
                let (quote, triple, begin) = quote_at(code, at);
                if word < 3 && is_formatted(&code[at - word..at]) {
                    open.push(Open::Text { quote, triple });
                    at = begin - 1;
                } else {
                    at = plain_end(code, begin, quote, triple)? - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The end of a string of which what it quotes begins at a place.
fn plain_end(code: &[u8], mut at: usize, quote: u8, triple: bool) -> Option<usize> {
    while at < code.len() {
        match code[at] {
            b'\\' => at += 1,
            b'\n' if !triple => return None,
            _ if closes(code, at, quote, triple) => return Some(at + if triple { 3 } else { 1 }),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Returns whether a line at `indent` may stand here; opens and closes blocks.
fn fits(indents: &mut Vec<(u32, u32)>, indent: (u32, u32), expects_block: bool) -> bool {
    let now = indents.last().copied().unwrap_or_default();
    if indent.0 > now.0 {
        indents.push(indent);
        return expects_block && indent.1 > now.1;
    }
    while indents.len() > 1 && indents.last().is_some_and(|open| open.0 > indent.0) {
        indents.pop();
    }
    let fits = indents.last() == Some(&indent);
    if !fits {
        indents.push(indent);
    }
    fits && !(expects_block && indent.0 <= now.0)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str) -> (u32, u32, Option<u32>) {
        let found = read(code.as_bytes());
        (found.logical, found.comment, found.first_error)
    }

    /// `radon.raw.analyze` of radon 6.0.1 on the same texts.
    #[test]
    fn logical_lines_are_radons() {
        assert_eq!(of("if a: b; c"), (2, 0, None));
        assert_eq!(of("if a: b(); c"), (3, 0, None));
        assert_eq!(of("x = {1: 2}\n"), (2, 0, None));
        assert_eq!(of("def f(a: int):\n    return a  # c\n# d\n"), (2, 2, None));
        assert_eq!(of("if cond:  # Only a comment\n    pass"), (2, 1, None));
        assert_eq!(of("a = (1,\n\n  2)\n'''x\ny'''\n"), (2, 0, None));
        assert_eq!(of("s = f'{a:>3}' + '#'\nlambda: 0\n"), (3, 0, None));
    }

    #[test]
    fn fields_of_formatted_strings_may_hold_its_quote() {
        assert_eq!(of("a = f'{b['c']}: {d:>{e}} {{' ; f\n"), (2, 0, None));
        assert_eq!(of("a = f'{f'{b or 'c'}'} {  # d\n  e}'\nif f'{':'}' :\n    g\n"), (3, 0, None));
        assert_eq!(of("a = rf\"\\d{b['#']!r:#x}\" # c\nd = f'{'\ne\n"), (3, 1, None));
        assert_eq!(of(&"f'{".repeat(100_000)).0, 1);
        assert_eq!(of(&"f'{x:{".repeat(1000)).0, 2);
    }

    #[test]
    fn indentation_faults_are_found() {
        assert_eq!(of("if a:\nb\n").2, Some(1));
        assert_eq!(of("  a\n").2, Some(0));
        assert_eq!(of("if a:\n    b\n  c\n").2, Some(2));
        assert_eq!(of("if a:\n    b\n      c\n").2, Some(2));
        assert_eq!(of("def f():\n").2, Some(0));
        assert_eq!(of("if a:\n\tb\n        c\n").2, Some(2), "tabs and spaces mixed");
        assert_eq!(of("if a:\n    b\n\n# c\nd\nwhile e: f\ng[1:\n2]\n").2, None);
        assert_eq!(of("class A:\n    def b(self):\n        c\n    def d(self):\n        e\nf\n").2, None);
        assert_eq!(of("x = {\n'a':\n1}\n").2, None);
    }
}
