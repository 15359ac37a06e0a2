//! The values of a file: JSON in any arrangement, or CSV with a header.

use super::format::Format;
use crate::error::{Error, ErrorKind, Result};
use crate::json::{MAX_VALUE_BYTES, Values, mend_surrogates};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Read};

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) line: usize,
    /// Its number on the line.
    pub(super) nth: usize,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file, self.line)?;
        if self.nth > 1 { write!(f, ", value {}", self.nth) } else { Ok(()) }
    }
}

/// A value of a file.
pub(super) enum Row {
    /// JSON text, not parsed yet.
    Json(String),
    /// A row of a table: texts by column.
    Table(Value),
}

pub(super) struct Source<'a, R> {
    file: &'a str,
    rows: Rows<R>,
}

enum Rows<R> {
    Json(Box<Values<R>>),
    // Box: it is large.
    Table { reader: Box<csv::Reader<Bounded<R>>>, header: Vec<String>, record: csv::StringRecord },
}

/// Ends with an error where a row goes on for too long: a quote that is never closed takes the whole file. The last row ends
/// with a newline too, so that rows tell their lines.
struct Bounded<R> {
    inner: R,
    left: usize,
    last: u8,
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "a row is longer than 32 MiB"));
        }
        let mut n = self.inner.read(out)?;
        if n == 0 && self.last != b'\n' && !out.is_empty() {
            (out[0], n) = (b'\n', 1);
        }
        if n > 0 {
            self.last = out[n - 1];
        }
        self.left = self.left.saturating_sub(n);
        Ok(n)
    }
}

impl<'a, R: BufRead> Source<'a, R> {
    pub(super) fn open(mut input: R, file: &'a str, format: Format) -> Result<Self> {
        let failed = |e| Error::new(ErrorKind::Unavailable, format!("{file}: reading failed")).with_source(e);
        if input.fill_buf().map_err(failed)?.starts_with(b"\xEF\xBB\xBF") {
            input.consume(3);
        }
        let head = input.fill_buf().map_err(failed)?;
        let first = head.iter().find(|b| !b.is_ascii_whitespace()).copied();
        if !format.is_tabular() || first.is_none_or(|b| matches!(b, b'{' | b'[')) {
            return Ok(Self { file, rows: Rows::Json(Box::new(Values::new(input))) });
        }
        let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
        let count = |byte: u8| line.split(|b| *b == byte).count();
        let delimiter = [b',', b'\t', b';'].into_iter().rev().max_by_key(|b| count(*b)).unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(Bounded { inner: input, left: MAX_VALUE_BYTES, last: b'\n' });
        let header = reader.headers().map_err(|e| unreadable(file, e))?;
        let header = header.iter().map(|name| name.trim_end_matches('\r').to_owned()).collect();
        Ok(Self {
            file,
            rows: Rows::Table { reader: Box::new(reader), header, record: csv::StringRecord::new() },
        })
    }

    /// Returns the next value, or why it is none.
    ///
    /// # Errors
    /// `Unavailable` when reading fails.
    pub(super) fn next(&mut self) -> Result<Option<(Place<'a>, Result<Row>)>> {
        match &mut self.rows {
            Rows::Json(values) => {
                let found = match values.next() {
                    Ok(Some(found)) => found,
                    Ok(None) => return Ok(None),
                    Err(e) => {
                        let what = format!("{}:{}: reading failed", self.file, values.line());
                        return Err(Error::new(ErrorKind::Unavailable, what).with_source(e));
                    }
                };
                let place = Place { file: self.file, line: found.line, nth: found.nth };
                let text = found.bytes.map_err(Error::invalid).and_then(|bytes| {
                    let text =
                        std::str::from_utf8(bytes).map_err(|e| Error::invalid("not UTF-8").with_source(e))?;
                    Ok(Row::Json(text.to_owned()))
                });
                Ok(Some((place, text)))
            }
            Rows::Table { reader, header, record } => loop {
                reader.get_mut().left = MAX_VALUE_BYTES;
                let before = reader.position().line() as usize;
                match reader.read_record(record) {
                    Ok(false) => return Ok(None),
                    Ok(true) if record.len() == 1 && record[0].trim().is_empty() => {}
                    Ok(true) => {
                        let within = record.iter().flat_map(str::bytes).filter(|byte| *byte == b'\n').count();
                        let line = (reader.position().line() as usize).saturating_sub(1 + within).max(1);
                        return Ok(Some((
                            Place { file: self.file, line, nth: 1 },
                            table_row(header, record),
                        )));
                    }
                    Err(e) if matches!(e.kind(), csv::ErrorKind::Io(_)) => {
                        return Err(unreadable(self.file, e));
                    }
                    Err(e) => {
                        let place = Place { file: self.file, line: before, nth: 1 };
                        let error = Error::invalid("the row cannot be read").with_source(e);
                        return Ok(Some((place, Err(error))));
                    }
                }
            },
        }
    }
}

fn table_row(header: &[String], record: &csv::StringRecord) -> Result<Row> {
    if record.len() > header.len() {
        let (has, header) = (record.len(), header.len());
        return Err(Error::invalid(format!(
            "the row has {has} cells, the header {header}: quote commas in texts"
        )));
    }
    let cells = header.iter().zip(record).map(|(name, cell)| (name, cell.trim_end_matches('\r')));
    let cells = cells.filter(|(_, cell)| !cell.is_empty());
    let row: Map<String, Value> = cells.map(|(name, cell)| (name.clone(), cell.into())).collect();
    Ok(Row::Table(row.into()))
}

fn unreadable(file: &str, error: csv::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{file}: reading failed")).with_source(error)
}

impl Row {
    /// Returns the value.
    ///
    /// # Errors
    /// `InvalidInput` when it is no JSON.
    pub(super) fn into_value(self) -> Result<Value> {
        match self {
            Self::Table(value) => Ok(value),
            Self::Json(text) => {
                let text = mend_surrogates(&text);
                let parsed = serde_json::from_str(&text).or_else(|error| match without_nan(&text) {
                    Cow::Owned(text) => serde_json::from_str(&text),
                    Cow::Borrowed(_) => Err(error),
                });
                parsed.map_err(|e| Error::invalid("not JSON").with_source(e))
            }
        }
    }
}

/// Returns the text with `NaN` and `Infinity`, as Python writes them, turned into `null`.
fn without_nan(json: &str) -> Cow<'_, str> {
    let (mut out, mut kept, mut at, mut text) = (String::new(), 0, 0, false);
    let bytes = json.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if text => at += 1,
            b'"' => text = !text,
            b'N' | b'I' | b'-' if !text => {
                let word =
                    ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| json[at..].starts_with(word));
                if let Some(word) = word {
                    out.push_str(&json[kept..at]);
                    out.push_str("null");
                    at += word.len();
                    kept = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if kept == 0 {
        return json.into();
    }
    out.push_str(&json[kept..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, format: Format) -> Vec<(usize, std::result::Result<Value, String>)> {
        let mut source = Source::open(text.as_bytes(), "f", format).unwrap();
        let mut rows = Vec::new();
        while let Some((place, row)) = source.next().unwrap() {
            rows.push((place.line, row.and_then(Row::into_value).map_err(|e| e.to_string())));
        }
        rows
    }

    #[test]
    fn a_table_is_rows_by_column_whatever_delimits_them() {
        for text in [
            "\u{FEFF}a,b\r\n1,\"x\r\ny\"\r\n\r\n,2\r\n",
            "a;b\n1;\"x\r\ny\"\n\n;2\n",
            "a\tb\n1\t\"x\r\ny\"\n\n\t2\n",
        ] {
            let found = rows(text, Format::Csv);
            assert_eq!(found[0].1, Ok(serde_json::json!({"a": "1", "b": "x\r\ny"})), "{text:?}");
            assert_eq!((found[1].0, &found[1].1), (5, &Ok(serde_json::json!({"b": "2"}))), "{text:?}");
        }
        let found = rows("a,b\n1,2,3\n4\n", Format::Csv);
        assert!(
            found[0].1.as_ref().unwrap_err().starts_with("the row has 3 cells, the header 2"),
            "{found:?}"
        );
        assert_eq!(found[1], (3, Ok(serde_json::json!({"a": "4"}))));
    }

    #[test]
    fn numbers_that_are_none_are_unknown() {
        let found = rows(
            "{\"a\": [NaN, -Infinity, \"NaN \\\" Infinity\", 1]}\n{\"a\": -1}\n{\"b\": Nan}",
            Format::Otlp,
        );
        assert_eq!(found[0].1, Ok(serde_json::json!({"a": [null, null, "NaN \" Infinity", 1]})));
        assert_eq!(found[1].1, Ok(serde_json::json!({"a": -1})));
        assert!(found[2].1.is_err());
    }

    #[test]
    fn a_quote_that_is_never_closed_takes_no_memory() {
        let text = std::io::BufReader::new(std::io::Read::chain(
            &b"a,b\n1,\""[..],
            std::io::repeat(b'x').take(100 << 20),
        ));
        let mut source = Source::open(text, "f", Format::Csv).unwrap();
        let error = source.next().err().unwrap();
        assert!(format!("{error:#}").contains("longer than 32 MiB"), "{error:#}");
    }
}
