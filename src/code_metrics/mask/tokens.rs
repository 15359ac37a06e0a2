//! A text as tokens, as far as masks need them: words, strings, marks and which brackets belong together.

use super::super::lines::is_space;
use super::super::python_lines::string_end as python_string_end;
use super::scan::{
    closing_quote, comment_length, find, is_lifetime, is_word, line_length, quoted_length, regex_length,
};

/// Styles of comments and strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// JavaScript and TypeScript: templates and regular expressions.
    Script,
    /// Python: `#`, prefixes and three quotes.
    Python,
    /// Go.
    #[cfg_attr(not(feature = "code-go"), allow(dead_code))]
    Go,
    /// Rust: comments in comments, raw strings, lifetimes.
    #[cfg_attr(not(feature = "code-rust"), allow(dead_code))]
    Rust,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, keyword or number.
    Word,
    /// A string, a part of a template, a regular expression.
    Text,
    /// An operator or a bracket.
    Mark,
    /// A comment, only of Python.
    Comment,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    /// A line ends between it and the token before.
    pub(super) begins_line: bool,
    /// The bracket that it opens or closes has its other half at this place among the tokens.
    pub(super) partner: Option<usize>,
    /// The innermost bracket around it.
    pub(super) inside: Option<usize>,
}

/// Marks of more than one byte that masks tell apart, longer ones first. `>>` stays two, since two lists of
/// type arguments may end there.
const LONG_MARKS: &[&[u8]] = &[
    b"...", b"===", b"!==", b"=>", b"?.", b"==", b"!=", b"<=", b">=", b"&&", b"||", b"??", b"::", b"->",
    b":=", b"<-",
];

/// The tokens of a text.
pub(super) struct Tokens<'a> {
    pub(super) code: &'a [u8],
    pub(super) all: Vec<Token>,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(code: &'a [u8], style: Style) -> Self {
        let mut lexer = Lexer { code, style, at: 0, all: Vec::new(), open: Vec::new(), begins_line: true };
        while lexer.at < code.len() {
            lexer.next();
        }
        Self { code, all: lexer.all }
    }

    /// The text of a token; empty beyond the last one.
    pub(super) fn text(&self, at: usize) -> &'a [u8] {
        self.all.get(at).map_or(b"", |token| &self.code[token.start..token.end])
    }

    /// The text of the token before a place.
    pub(super) fn before(&self, at: usize) -> &'a [u8] {
        at.checked_sub(1).map_or(b"", |at| self.text(at))
    }

    pub(super) fn is_word(&self, at: usize) -> bool {
        self.all.get(at).is_some_and(|t| t.kind == Kind::Word)
    }

    pub(super) fn is_text(&self, at: usize) -> bool {
        self.all.get(at).is_some_and(|t| t.kind == Kind::Text)
    }

    pub(super) fn begins_line(&self, at: usize) -> bool {
        self.all.get(at).is_none_or(|t| t.begins_line)
    }

    /// The other half of the bracket at a place.
    pub(super) fn partner(&self, at: usize) -> Option<usize> {
        self.all.get(at)?.partner
    }

    /// Returns the place of the `>` that closes the `<` at a place, where they enclose types.
    pub(super) fn closing_angle(&self, open: usize) -> Option<usize> {
        let (mut depth, mut at) = (0_usize, open);
        while at < self.all.len() && at - open < MOST_TOKENS {
            match self.text(at) {
                b"<" => depth += 1,
                b">" => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                b"(" | b"[" | b"{" => at = self.partner(at)?,
                b")" | b"]" | b"}" | b";" | b"&&" | b"||" => return None,
                _ => {}
            }
            at += 1;
        }
        None
    }

    /// Returns the place of the `<` that the `>` at a place closes.
    pub(super) fn opening_angle(&self, close: usize) -> Option<usize> {
        let (mut depth, mut at) = (0_usize, close);
        while close - at < MOST_TOKENS {
            match self.text(at) {
                b">" => depth += 1,
                b"<" => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                b")" | b"]" | b"}" => at = self.partner(at)?,
                b"(" | b"[" | b"{" | b";" | b"&&" | b"||" => return None,
                _ => {}
            }
            at = at.checked_sub(1)?;
        }
        None
    }
}

/// Limit of the tokens that a mask looks through from a place: else a text full of such places would be read to its
/// end for each.
pub(super) const MOST_TOKENS: usize = 2000;

struct Lexer<'a> {
    code: &'a [u8],
    style: Style,
    at: usize,
    all: Vec<Token>,
    /// Places of the brackets that are open.
    open: Vec<usize>,
    begins_line: bool,
}

impl Lexer<'_> {
    fn next(&mut self) {
        let (start, rest) = (self.at, &self.code[self.at..]);
        let byte = rest[0];
        let python = self.style == Style::Python;
        if byte == b'\n' {
            self.begins_line = true;
            self.at += 1;
        } else if is_space(byte) || (byte == b'\\' && python) {
            self.at += 1;
            // A line that goes on does not end.
            if byte == b'\\' && rest.get(1) == Some(&b'\n') {
                self.at += 1;
            }
        } else if python && byte == b'#' {
            self.at += line_length(rest);
            self.push(start, Kind::Comment);
        } else if !python && rest.starts_with(b"//") {
            self.at += line_length(rest);
        } else if !python && rest.starts_with(b"/*") {
            let length = comment_length(rest, self.style == Style::Rust);
            self.begins_line |= rest[..length].contains(&b'\n');
            self.at += length;
        } else if is_word(byte) || (byte == b'#' && rest.get(1).is_some_and(|b| is_word(*b))) {
            self.word();
        } else if matches!(byte, b'"' | b'\'' | b'`') {
            self.text();
        } else if byte == b'/' && self.style == Style::Script && self.begins_regex() {
            self.at += regex_length(rest);
            self.push(start, Kind::Text);
        } else {
            self.mark();
        }
    }

    fn word(&mut self) {
        let start = self.at;
        self.at += 1;
        while self.at < self.code.len() && is_word(self.code[self.at]) {
            self.at += 1;
        }
        if self.style == Style::Python && matches!(self.code.get(self.at), Some(b'"' | b'\'')) {
            self.at = python_string_end(self.code, self.at, &self.code[start..self.at]);
            return self.push(start, Kind::Text);
        }
        if self.style == Style::Rust && self.raw_string(start) {
            return self.push(start, Kind::Text);
        }
        self.push(start, Kind::Word);
    }

    /// Goes to the end of a raw string whose prefix has just ended.
    fn raw_string(&mut self, start: usize) -> bool {
        let rest = &self.code[self.at..];
        let hashes = rest.iter().take_while(|b| **b == b'#').count();
        let raw =
            matches!(&self.code[start..self.at], b"r" | b"br" | b"cr") && rest.get(hashes) == Some(&b'"');
        if raw {
            let mut end = vec![b'#'; hashes + 1];
            end[0] = b'"';
            self.at += find(rest, &end, hashes + 1).map_or(rest.len(), |at| at + end.len());
        }
        raw
    }

    fn text(&mut self) {
        let (start, quote) = (self.at, self.code[self.at]);
        match (self.style, quote) {
            (Style::Python, _) => self.at = python_string_end(self.code, start, b""),
            (Style::Script, b'`') => return self.template(),
            (Style::Rust, b'\'') if is_lifetime(&self.code[start..]) => {
                self.at += 1;
                return self.word();
            }
            (Style::Rust, b'`') => self.at += 1,
            (Style::Rust, b'"') => {
                self.at += closing_quote(&self.code[start..]);
            }
            (_, b'`') => self.at += find(&self.code[start..], b"`", 1).map_or(1, |at| at + 1),
            _ => self.at += quoted_length(&self.code[start..]),
        }
        self.push(start, Kind::Text);
    }

    /// A template up to its end or to the next `${`.
    fn template(&mut self) {
        let start = self.at;
        self.at += 1;
        while self.at < self.code.len() {
            match self.code[self.at] {
                b'\\' => self.at += 1,
                b'`' => {
                    self.at += 1;
                    break;
                }
                b'$' if self.code.get(self.at + 1) == Some(&b'{') => {
                    self.push(start, Kind::Text);
                    let open = self.at;
                    self.at += 2;
                    return self.push(open, Kind::Mark);
                }
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(self.code.len());
        self.push(start, Kind::Text);
    }

    fn mark(&mut self) {
        let (start, rest) = (self.at, &self.code[self.at..]);
        let long = LONG_MARKS.iter().find(|mark| rest.starts_with(mark));
        // `a?.5:b` has no `?.` in it.
        let long = long.filter(|mark| **mark != b"?." || !rest.get(2).is_some_and(u8::is_ascii_digit));
        self.at += long.map_or(1, |mark| mark.len());
        self.push(start, Kind::Mark);
    }

    fn push(&mut self, start: usize, kind: Kind) {
        let text = &self.code[start..self.at];
        let place = self.all.len();
        let closes = kind == Kind::Mark && matches!(text, b")" | b"]" | b"}");
        let partner = if closes { self.open.pop() } else { None };
        let inside = self.open.last().copied();
        let begins_line = std::mem::take(&mut self.begins_line);
        self.all.push(Token { start, end: self.at, kind, begins_line, partner, inside });
        let Some(open) = partner else {
            if kind == Kind::Mark && matches!(text, b"(" | b"[" | b"{" | b"${") {
                self.open.push(place);
            }
            return;
        };
        self.all[open].partner = Some(place);
        let opened = self.all[open];
        if &self.code[opened.start..opened.end] == b"${" {
            // The template goes on behind its `}`, as if that were its quote.
            self.at -= 1;
            self.template();
        }
    }

    /// Returns whether a slash here begins a regular expression: not where a value has just ended.
    fn begins_regex(&self) -> bool {
        let Some(last) = self.all.last() else { return true };
        let text = &self.code[last.start..last.end];
        match last.kind {
            Kind::Word => matches!(
                text,
                b"return"
                    | b"typeof"
                    | b"case"
                    | b"in"
                    | b"of"
                    | b"do"
                    | b"else"
                    | b"void"
                    | b"delete"
                    | b"throw"
                    | b"new"
                    | b"instanceof"
                    | b"await"
                    | b"yield"
            ),
            // `</a>` is a tag.
            Kind::Mark => !matches!(text, b")" | b"]" | b"}" | b"<"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(code: &str, style: Style) -> Vec<String> {
        let tokens = Tokens::of(code.as_bytes(), style);
        (0..tokens.all.len()).map(|at| String::from_utf8_lossy(tokens.text(at)).into_owned()).collect()
    }

    #[test]
    fn strings_templates_and_regular_expressions_are_one_token() {
        assert_eq!(
            texts("a = `x${b + `y`}z` / /[/]\\//g; // c\n", Style::Script),
            ["a", "=", "`x", "${", "b", "+", "`y`", "}", "}z`", "/", "/[/]\\//g", ";"]
        );
        assert_eq!(
            texts("f(rb'''a\n''' 'b' # c\n)", Style::Python),
            ["f", "(", "rb'''a\n'''", "'b'", "# c", ")"]
        );
        assert_eq!(texts("a?.5:b?.c", Style::Script), ["a", "?", ".", "5", ":", "b", "?.", "c"]);
    }

    #[test]
    fn brackets_know_their_other_half() {
        let tokens = Tokens::of(b"a<b<c>>(d[`${e}`])", Style::Script);
        assert_eq!((tokens.closing_angle(1), tokens.opening_angle(6)), (Some(6), Some(1)));
        assert_eq!(tokens.partner(7).map(|at| tokens.text(at)), Some(&b")"[..]));
        assert_eq!(Tokens::of(b")(", Style::Go).partner(0), None);
        for unfinished in ["`${", "`${}", "'", "/*", "f'{", "\\", "/[", "`a${`b${"] {
            for style in [Style::Script, Style::Python, Style::Go, Style::Rust] {
                Tokens::of(unfinished.as_bytes(), style);
            }
        }
    }
}
