//! JSON values one behind the other: lines, an array, pages without a newline between them.

use std::io::{BufRead, Result};

/// The longest value that is read; once parsed it takes up to thirty times as much for a moment.
pub(crate) const MAX_VALUE_BYTES: usize = 32 << 20;

/// How many arrays are opened to read what is in them: `gh api --slurp` writes an array of pages, each an array.
const ARRAYS: usize = 2;

const TOO_LONG: &str = "longer than 32 MiB: an event is one value; keep files that large beside it";
const NOT_CLOSED: &str = "the JSON ends before it is closed";

/// Reads the values of a file, of which it keeps one at a time.
#[derive(Debug)]
pub(crate) struct Values<R> {
    input: Input<R>,
    line: usize,
    nth: usize,
    /// Arrays that are open.
    open: usize,
    form: Form,
    /// Set by the first broken value: from then on a newline ends each, so that nothing is read again and again.
    broken: bool,
    value: Vec<u8>,
}

/// Bytes of which some are given back.
#[derive(Debug)]
struct Input<R> {
    inner: R,
    /// Bytes that are read again, before those of `inner`.
    back: Vec<u8>,
    read_back: usize,
}

/// Where values end; a value broken off does not take the next with it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Unknown,
    /// One on each line.
    Lines,
    /// Over several lines each.
    Indented,
}

/// A value, or why there is none.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// The number of its first line, from 1.
    pub(crate) line: usize,
    /// Its number on that line, from 1.
    pub(crate) nth: usize,
    /// Its bytes, not looked at any further.
    pub(crate) bytes: std::result::Result<&'a [u8], &'static str>,
}

/// A place within a value.
#[derive(Default)]
struct Inside {
    depth: usize,
    text: bool,
    escaped: bool,
}

enum End {
    Whole,
    Newline,
    TooLong,
    Eof,
}

impl<R: BufRead> Values<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input: Input { inner: input, back: Vec::new(), read_back: 0 },
            line: 1,
            nth: 0,
            open: 0,
            form: Form::Unknown,
            broken: false,
            value: Vec::new(),
        }
    }

    /// Returns the next value; `None` at the end.
    ///
    /// # Errors
    /// What reading gives.
    pub(crate) fn next(&mut self) -> Result<Option<Found<'_>>> {
        let Some(first) = self.skip()? else {
            let cut = std::mem::take(&mut self.open) > 0;
            let (line, nth) = (self.line, self.nth + 1);
            return Ok(cut.then_some(Found { line, nth, bytes: Err("the file ends within an array") }));
        };
        self.nth += 1;
        let (line, nth) = (self.line, self.nth);
        self.value.clear();
        let end = if matches!(first, b'{' | b'[') { self.take_nested()? } else { self.take_other()? };
        let (bytes, taken) = match end {
            End::Whole => (Ok(()), lines_in(&self.value)),
            End::Newline | End::Eof => (Err(NOT_CLOSED), self.give_back()),
            End::TooLong => {
                let taken = self.give_back();
                (Err(TOO_LONG), if taken > 0 { taken } else { self.skip_line()? })
            }
        };
        if self.form == Form::Unknown && self.open == 0 {
            self.form = if taken == 0 { Form::Lines } else { Form::Indented };
        }
        if bytes.is_err() {
            (self.form, self.broken) = (Form::Lines, true);
        }
        if taken > 0 {
            (self.line, self.nth) = (self.line + taken, 0);
        }
        Ok(Some(Found { line, nth, bytes: bytes.map(|()| self.value.as_slice()) }))
    }

    /// The number of the line that is read, from 1; within a value that of its first.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// Goes to the first byte of the next value.
    fn skip(&mut self) -> Result<Option<u8>> {
        loop {
            let Some(byte) = self.input.chunk()?.first().copied() else { return Ok(None) };
            match byte {
                b'\n' => (self.line, self.nth) = (self.line + 1, 0),
                b' ' | b'\t' | b'\r' | 0xEF | 0xBB | 0xBF => {} // a byte order mark is blank too
                b',' if self.open > 0 => {}
                b'[' if self.open < ARRAYS => self.open += 1,
                b']' if self.open > 0 => self.open -= 1,
                _ => return Ok(Some(byte)),
            }
            self.input.consume(1);
        }
    }

    /// Takes an object or array up to its end.
    fn take_nested(&mut self) -> Result<End> {
        let mut inside = Inside::default();
        let lines = self.broken || self.form == Form::Lines && self.open == 0;
        loop {
            let chunk = self.input.chunk()?;
            if chunk.is_empty() {
                return Ok(End::Eof);
            }
            let (n, end) = inside.walk(chunk, lines);
            self.value.extend_from_slice(&chunk[..n]);
            self.input.consume(n);
            match end {
                _ if self.value.len() > MAX_VALUE_BYTES => return Ok(End::TooLong),
                Some(end) => return Ok(end),
                None => {}
            }
        }
    }

    /// Takes what is no object up to the end of the line, in an array up to the next comma.
    fn take_other(&mut self) -> Result<End> {
        loop {
            let chunk = self.input.chunk()?;
            if chunk.is_empty() {
                return Ok(End::Whole);
            }
            let ends = |b: &u8| *b == b'\n' || self.open > 0 && matches!(b, b',' | b']');
            let end = chunk.iter().position(ends);
            let n = end.unwrap_or(chunk.len());
            self.value.extend_from_slice(&chunk[..n]);
            self.input.consume(n);
            if self.value.len() > MAX_VALUE_BYTES {
                return Ok(End::TooLong);
            }
            if end.is_some() {
                return Ok(End::Whole);
            }
        }
    }

    /// Gives back all but the first line of a broken value; how many lines are left out.
    fn give_back(&mut self) -> usize {
        let Some(end) = self.value.iter().position(|b| *b == b'\n') else { return 0 };
        let Input { back, read_back, .. } = &mut self.input;
        back.drain(..std::mem::take(read_back));
        back.splice(..0, self.value.drain(..).skip(end + 1));
        1
    }

    /// Skips the rest of a line without keeping it.
    fn skip_line(&mut self) -> Result<usize> {
        self.value = Vec::new();
        loop {
            let chunk = self.input.chunk()?;
            if chunk.is_empty() {
                self.open = 0;
                return Ok(0);
            }
            let end = chunk.iter().position(|b| *b == b'\n');
            let n = end.map_or(chunk.len(), |end| end + 1);
            self.input.consume(n);
            if end.is_some() {
                self.open = 0;
                return Ok(1);
            }
        }
    }
}

impl<R: BufRead> Input<R> {
    fn chunk(&mut self) -> Result<&[u8]> {
        if self.read_back < self.back.len() {
            Ok(&self.back[self.read_back..])
        } else {
            self.inner.fill_buf()
        }
    }

    fn consume(&mut self, n: usize) {
        if self.read_back < self.back.len() {
            self.read_back += n;
            if self.read_back == self.back.len() {
                (self.back, self.read_back) = (Vec::new(), 0);
            }
        } else {
            self.inner.consume(n);
        }
    }
}

/// Returns how many newlines there are.
fn lines_in(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}

impl Inside {
    /// Goes through bytes up to the end of the value; how many it took, and the end where it was found.
    fn walk(&mut self, bytes: &[u8], lines: bool) -> (usize, Option<End>) {
        let mut at = 0;
        while at < bytes.len() {
            if self.text && !self.escaped {
                // Most bytes are text.
                let plain = bytes[at..].iter().position(|b| matches!(b, b'"' | b'\\' | b'\n'));
                at += plain.unwrap_or(bytes.len() - at);
                if at == bytes.len() {
                    break;
                }
            }
            let byte = bytes[at];
            at += 1;
            match byte {
                // No text of JSON holds a newline as it is.
                b'\n' if lines || self.text => return (at, Some(End::Newline)),
                _ if self.escaped => self.escaped = false,
                b'\\' if self.text => self.escaped = true,
                b'"' => self.text = !self.text,
                _ if self.text => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at, Some(End::Whole));
                    }
                }
                _ => {}
            }
        }
        (at, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Read};

    /// Values with their places, and reasons where there are none, read by so many bytes at a time.
    fn read(text: &str, at_a_time: usize) -> Vec<String> {
        let mut values = Values::new(BufReader::with_capacity(at_a_time, text.as_bytes()));
        let mut found = Vec::new();
        while let Some(next) = values.next().unwrap() {
            let what = next.bytes.map_or_else(str::to_owned, |b| String::from_utf8_lossy(b).into());
            found.push(format!("{}.{} {what}", next.line, next.nth));
        }
        found
    }

    #[test]
    fn lines_arrays_and_pages_are_one_stream() {
        for (text, values) in [
            ("{\"a\":1}\n\n{\"b\":\"}\\\"\"}\r\n", vec!["1.1 {\"a\":1}", "3.1 {\"b\":\"}\\\"\"}"]),
            ("\u{FEFF}[{\"a\":1},\n {\"b\":[2]}]", vec!["1.1 {\"a\":1}", "2.1 {\"b\":[2]}"]),
            ("[{\"a\":1}][{\"b\":2}]{\"c\":3}", vec!["1.1 {\"a\":1}", "1.2 {\"b\":2}", "1.3 {\"c\":3}"]),
            ("[[{\"a\":1}],[{\"b\":2}]]", vec!["1.1 {\"a\":1}", "1.2 {\"b\":2}"]),
            ("{\n \"a\": [\n {}]\n}\n{\"b\":\n2}", vec!["1.1 {\n \"a\": [\n {}]\n}", "5.1 {\"b\":\n2}"]),
            ("[1, null,{}]", vec!["1.1 1", "1.2 null", "1.3 {}"]),
            ("", vec![]),
        ] {
            for at_a_time in [1, 3, 4096] {
                assert_eq!(read(text, at_a_time), values, "{text}");
            }
        }
    }

    #[test]
    fn a_broken_value_does_not_take_the_next_with_it() {
        for (text, values) in [
            (
                "{\"a\":\n{\"b\":1}\n{\"c\":2}",
                vec![format!("1.1 {NOT_CLOSED}"), "2.1 {\"b\":1}".into(), "3.1 {\"c\":2}".into()],
            ),
            (
                "{\"a\":1}\n{\"b\":[\n{\"c\":2}",
                vec!["1.1 {\"a\":1}".into(), format!("2.1 {NOT_CLOSED}"), "3.1 {\"c\":2}".into()],
            ),
            ("{\"a\":\"x\n{\"c\":2}", vec![format!("1.1 {NOT_CLOSED}"), "2.1 {\"c\":2}".into()]),
            (
                "[{\"a\":1},{\"b\":",
                vec![
                    "1.1 {\"a\":1}".into(),
                    format!("1.2 {NOT_CLOSED}"),
                    "1.3 the file ends within an array".into(),
                ],
            ),
            ("x\n{\"a\":1}", vec!["1.1 x".into(), "2.1 {\"a\":1}".into()]),
        ] {
            for at_a_time in [1, 3, 4096] {
                assert_eq!(read(text, at_a_time), values, "{text}");
            }
        }
    }

    #[test]
    fn what_is_broken_is_not_read_again_for_each_of_its_lines() {
        for (start, lines) in [("{\"a\":1}\n", 200_001), ("{\n\"a\":1}\n", 200_001), ("[\n", 200_001)] {
            let text = start.to_owned() + &"{\n".repeat(200_000);
            // Read again for each line these would be 40 GB.
            assert!(read(&text, 4096).len() >= lines - 1, "{start}");
        }
    }

    #[test]
    fn a_value_without_end_takes_no_memory() {
        let long = std::io::repeat(b'[').take(80 << 20).chain(&b"\n{\"a\":1}"[..]);
        let mut values = Values::new(BufReader::new(long));
        assert_eq!(values.next().unwrap().unwrap().bytes.unwrap_err(), TOO_LONG);
        assert!(values.value.capacity() <= 2 * MAX_VALUE_BYTES);
        let next = values.next().unwrap().unwrap();
        assert_eq!((next.line, next.bytes.unwrap()), (2, &b"{\"a\":1}"[..]));
        assert!(values.next().unwrap().is_none());
    }
}
