//! Events from JSON Lines: one object a line.

use super::generation::GenerationEvent;
use crate::error::{Error, Result};
use std::io::BufRead;

/// Events read from JSON Lines.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct JsonLines {
    /// The events, in the order of the lines.
    pub events: Vec<GenerationEvent>,
    /// The lines that could not be read: their numbers, from 1, and why.
    pub bad: Vec<(usize, Error)>,
}

/// Reads the flat JSON form, an event a line; blank lines are passed over. A line that cannot be
/// read is an error, or with `skip_bad` is noted and passed over.
///
/// ```
/// use devmatrix_ml::event::read_jsonl;
/// let lines = "{\"event_id\":\"a\",\"task_id\":\"t\"}\n{\"event_id\":\n";
/// assert!(read_jsonl(lines.as_bytes(), false).unwrap_err().to_string().starts_with("line 2"));
/// let read = read_jsonl(lines.as_bytes(), true)?;
/// assert_eq!((read.events.len(), read.bad[0].0), (1, 2));
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` with the number of the line; `Unavailable` when reading fails.
pub fn read_jsonl(reader: impl BufRead, skip_bad: bool) -> Result<JsonLines> {
    let mut read = JsonLines::default();
    for (i, line) in reader.split(b'\n').enumerate() {
        let number = i + 1;
        let line = line.map_err(|e| {
            Error::new(crate::ErrorKind::Unavailable, format!("line {number}: reading failed")).with_source(e)
        })?;
        match parse(&line) {
            Ok(Some(event)) => read.events.push(event),
            Ok(None) => {}
            Err(error) if skip_bad => read.bad.push((number, error)),
            Err(error) => return Err(error.context(format!("line {number}"))),
        }
    }
    Ok(read)
}

/// Checks too that the event could be recorded.
fn parse(line: &[u8]) -> Result<Option<GenerationEvent>> {
    let text = std::str::from_utf8(line).map_err(|e| Error::invalid("not UTF-8").with_source(e))?;
    let text = text.trim().trim_start_matches('\u{FEFF}');
    if text.is_empty() {
        return Ok(None);
    }
    let event = GenerationEvent::from_json(text)?;
    event.clone().into_records().map(|_| Some(event))
}
