//! One opaque error whose [`kind`](Error::kind) says what the caller can do about it.

use std::error::Error as StdError;
use std::fmt;

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error: its message says what went wrong and where, its [`kind`](Error::kind) what to do about it.
///
/// The types of dependencies stay hidden; their messages are kept as
/// [`source`](StdError::source). `{}` prints the message alone, as error reporters expect, so that
/// each cause is shown once; `{:#}` prints the message and all causes on one line.
///
/// ```
/// use devmatrix_ml::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Unavailable, "append failed").with_source("disk gone");
/// assert_eq!(format!("{error}"), "append failed");
/// assert_eq!(format!("{error:#}"), "append failed: disk gone");
/// ```
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Kinds of [`Error`], by the caller's remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's value is out of its range: mend the value.
    InvalidInput,
    /// Nothing is stored under that name or id.
    NotFound,
    /// Something else is stored under the same id, or the state has moved on: read again.
    Conflict,
    /// Too few labelled generations to learn from: record more, or lower `min_samples`.
    NotEnoughData {
        /// Labelled generations found.
        have: usize,
        /// Labelled generations required.
        need: usize,
    },
    /// Stored bytes are damaged: restore them from a copy.
    Corrupt,
    /// The bytes are whole but made for another schema or version: retrain or upgrade.
    Incompatible,
    /// The storage cannot serve now (disk full, locked, gone): retry later.
    Unavailable,
    /// The caller cancelled the work.
    Cancelled,
    /// A fault of this crate: please report it.
    Internal,
}

impl Error {
    /// Creates an error of `kind` with a message that says what, where and what to do.
    ///
    /// Public so that a host's own stores and models can speak the same language.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: shortened(message.into()), source: None }
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the kind, which says what the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn incompatible(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Incompatible, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Puts the place or the step in front of the message, keeping kind and source.
    pub(crate) fn context(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

/// Digits in a row from which a number in a message is written as `1e300`: longer than any id that is a number.
const MOST_DIGITS: usize = 45;

/// Writes numbers of hundreds of digits, as `f64` displays the large and the small ones, with an exponent.
fn shortened(message: String) -> String {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let is_long = |run: &str| run.bytes().filter(u8::is_ascii_digit).count() > MOST_DIGITS;
    if message.len() <= MOST_DIGITS || !message.split(|c| !is_part(c)).any(is_long) {
        return message;
    }
    let (mut short, mut rest) = (String::new(), message.as_str());
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let (run, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        short.push_str(before);
        match run.trim_end_matches('.').parse::<f64>() {
            Ok(number) if is_long(run) && number.is_finite() => {
                short.push_str(&format!("{number:e}"));
                short.push_str(&run[run.trim_end_matches('.').len()..]);
            }
            _ => short.push_str(run),
        }
        rest = after;
    }
    short + rest
}

/// Refuses an option that is out of range, naming it and its value; NaN is in no range.
pub(crate) fn in_range(name: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} is {value}, expected {low} to {high}")))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if f.alternate() {
            for cause in std::iter::successors(self.source(), |cause| (*cause).source()) {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_hundreds_of_digits_are_written_with_an_exponent() {
        let tiny = format!("p is {}, expected 1 to {}.", 5e-324, f64::MAX);
        for (message, short) in [
            (
                format!("cost_usd is {}, expected 0 to 1000000000: é", 1e300),
                "cost_usd is 1e300, expected 0 to 1000000000: é",
            ),
            (format!("value is {}", -1.5e200), "value is -1.5e200"),
            (tiny, "p is 5e-324, expected 1 to 1.7976931348623157e308."),
            (
                "id 123456789012345678901234567890123456789 of 1.2.3".to_owned(),
                "id 123456789012345678901234567890123456789 of 1.2.3",
            ),
        ] {
            assert_eq!(Error::invalid(message).to_string(), short);
        }
    }

    #[test]
    fn an_error_keeps_its_kind_and_its_cause() {
        let cause = std::io::Error::other("disk gone");
        let error =
            Error::new(ErrorKind::Unavailable, "append failed").with_source(cause).context("events.db");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.to_string(), "events.db: append failed");
        assert_eq!(error.source().unwrap().to_string(), "disk gone");
    }

    #[test]
    fn each_cause_is_shown_once() {
        let inner = Error::corrupt("page 7").with_source(std::io::Error::other("disk gone"));
        let outer = Error::new(ErrorKind::Unavailable, "append failed").with_source(inner);
        let line = "append failed: page 7: disk gone";
        assert_eq!(format!("{outer:#}"), line);
        assert_eq!(format!("{:#}", anyhow::Error::new(outer)), line);
    }
}
