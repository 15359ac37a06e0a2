//! Events from JSON Lines, one object a line, or from an array of them.

use super::generation::{FeedbackNames, GenerationEvent};
use super::id::EventId;
use crate::error::{Error, ErrorKind, Result};
use crate::json::Values;
use std::collections::HashMap;
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

/// More bad lines than these are not worth going on for: it is some other file.
const MOST_BAD: usize = 100_000;

/// Reads the flat JSON form, an event a line or an array of events; blank lines are passed over. A line that cannot be
/// read is an error, or with `skip_bad` is noted and passed over. So is an event of more than 32 MiB, of which no
/// more is kept in memory.
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
/// `InvalidInput` with the number of the line, or when more than 100,000 lines are bad; `Unavailable` when
/// reading fails.
pub fn read_jsonl(reader: impl BufRead, skip_bad: bool) -> Result<JsonLines> {
    let (mut read, mut values) = (JsonLines::default(), Values::new(reader));
    let mut told = Told::default();
    loop {
        let found = match values.next() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(read),
            Err(e) => {
                let what = format!("line {}: reading failed", values.line());
                return Err(Error::new(ErrorKind::Unavailable, what).with_source(e));
            }
        };
        let number = found.line;
        let parsed = found.bytes.map_err(Error::invalid).and_then(parse);
        match parsed.and_then(|event| told.join(event, &read.events)) {
            Ok(event) => read.events.push(event),
            Err(error) if skip_bad && read.bad.len() < MOST_BAD => read.bad.push((number, error)),
            Err(error) if skip_bad => {
                let what = format!("line {number}: more than {MOST_BAD} lines are bad: are these events?");
                return Err(Error::invalid(what).with_source(error));
            }
            Err(error) => return Err(error.context(format!("line {number}"))),
        }
    }
}

/// Generations of which more lines than one tell.
#[derive(Default)]
struct Told {
    /// The place of the first line's event.
    first: HashMap<EventId, usize>,
    again: HashMap<EventId, FeedbackNames>,
}

impl Told {
    /// Names the feedback of a second line without ids as if it stood in the first: of judgements of one moment all are kept,
    /// and that of the later line counts.
    fn join(&mut self, mut event: GenerationEvent, events: &[GenerationEvent]) -> Result<GenerationEvent> {
        let Some(first) = self.first.get(&event.event_id) else {
            self.first.insert(event.event_id.clone(), events.len());
            return Ok(event);
        };
        let names = self.again.entry(event.event_id.clone()).or_insert_with(|| {
            let mut names = FeedbackNames::default();
            // It was named when the line was read.
            events[*first].feedback.iter().for_each(|feedback| drop(names.name(feedback)));
            names
        });
        for feedback in &mut event.feedback {
            feedback.value.feedback_id = Some(names.name(feedback)?);
        }
        Ok(event)
    }
}

/// Checks too that the event could be recorded.
fn parse(line: &[u8]) -> Result<GenerationEvent> {
    let text = std::str::from_utf8(line).map_err(|e| Error::invalid("not UTF-8").with_source(e))?;
    let text = text.trim();
    let event = GenerationEvent::from_json(text)?;
    event.clone().into_records().map(|_| event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::MAX_VALUE_BYTES;
    use std::io::{BufReader, Read};

    const EVENT: &[u8] = br#"{"event_id":"a","task_id":"t"}"#;

    #[test]
    fn a_line_without_end_takes_no_memory_and_is_one_bad_line() {
        let after = [b"\n".as_slice(), EVENT].concat();
        let long = || std::io::repeat(b'[').take(80 << 20).chain(after.as_slice());
        let error = read_jsonl(BufReader::new(long()), false).unwrap_err();
        assert!(error.to_string().starts_with("line 1: longer than 32 MiB"), "{error}");
        let read = read_jsonl(BufReader::new(long()), true).unwrap();
        assert_eq!((read.events.len(), read.bad.len(), read.bad[0].0), (1, 1, 1));
        let spaces = |n| [b"{", b" ".repeat(n).as_slice(), &EVENT[1..], b"\n", EVENT].concat();
        let most = spaces(MAX_VALUE_BYTES - EVENT.len());
        assert_eq!(read_jsonl(most.as_slice(), false).unwrap().events.len(), 2);
        let more = spaces(MAX_VALUE_BYTES - EVENT.len() + 1);
        let read = read_jsonl(more.as_slice(), true).unwrap();
        assert_eq!((read.events.len(), read.bad.len()), (1, 1));
    }

    #[test]
    fn an_array_of_events_is_read_as_lines_are() {
        for text in [
            r#"[{"event_id":"a","task_id":"t"},{"event_id":"b","task_id":"t"}]"#,
            "\u{FEFF}[\r\n {\"event_id\": \"a\",\r\n  \"task_id\": \"t\"},\r\n {\"event_id\":\"b\",\"task_id\":\"t\"}\r\n]\r\n",
        ] {
            let read = read_jsonl(text.as_bytes(), false).unwrap();
            let ids: Vec<_> = read.events.iter().map(|e| e.event_id.as_str()).collect();
            assert_eq!(ids, ["a", "b"]);
        }
    }

    #[test]
    fn judgements_of_one_second_are_kept_and_ordered_over_lines_too() {
        let line = |action: &str| {
            format!(
                r#"{{"event_id":"e","task_id":"t","completed_at":"2025-03-01T11:00:00Z","user_action":"{action}"}}"#
            )
        };
        for actions in [
            ["approve", "reject", "approve"],
            ["reject", "modify", "reject"],
            ["modify", "approve", "approve"],
        ] {
            let text = actions.map(line).join("\n");
            let read = read_jsonl(text.as_bytes(), false).unwrap();
            let mut records = Vec::new();
            for event in read.events {
                records.extend(event.into_records().unwrap());
            }
            let event = GenerationEvent::from_records(records).unwrap();
            assert_eq!(event.feedback.len(), 2, "{actions:?}");
            let said = serde_json::to_value(event.outcome().unwrap().user_action).unwrap();
            // What was said before says nothing new.
            assert_eq!(said, actions[1], "{actions:?}");
        }
    }

    #[test]
    fn a_file_of_anything_else_is_left_soon() {
        let lines = b"x\n".repeat(MOST_BAD + 1);
        let error = read_jsonl(lines.as_slice(), true).unwrap_err().to_string();
        assert!(error.starts_with("line 100001: more than 100000 lines are bad"), "{error}");
        assert_eq!(read_jsonl(&lines[2..], true).unwrap().bad.len(), MOST_BAD);
    }
}
