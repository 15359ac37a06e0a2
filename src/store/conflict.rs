//! Two facts under one key: who wrote the second is told how it differs from the first, which stays.

use super::EventStore;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Fact, GenerationEvent, Record};
use serde_json::{Map, Value};

/// Differences that a message lists, and characters of a value in it.
const MOST_DIFFERENCES: usize = 3;
const MOST_CHARACTERS: usize = 60;

/// Returns the error for `record`, under whose key `store` keeps something else.
pub(crate) async fn of<S: EventStore + ?Sized>(store: &S, record: &Record) -> Result<Error> {
    let stored = store.get(std::slice::from_ref(record.event_id())).await?.pop().flatten();
    let records = stored.map(GenerationEvent::into_records).transpose()?.unwrap_or_default();
    // An event without its start cannot be read as a whole: then only the kind is told.
    let stored = records.into_iter().find(|stored| stored.key() == record.key());
    let how = stored.map(|stored| how(stored.fact(), record.fact())).unwrap_or_default();
    let kind = match record.fact() {
        Fact::Started(_) => "start",
        Fact::Completed(_) => "completion",
        Fact::Feedback(_) => "feedback with this id",
    };
    let message = format!("{}: another {kind} is stored already, which stays{how}", record.event_id());
    Ok(Error::new(ErrorKind::Conflict, message))
}

/// Returns the first differences between the fact that is stored and the one that was refused.
fn how(stored: &Fact, refused: &Fact) -> String {
    let (there, here) = (object(stored), object(refused));
    let mut found = Vec::new();
    differ(&there, &here, "", &mut found);
    let more = found.len().saturating_sub(MOST_DIFFERENCES);
    found.truncate(MOST_DIFFERENCES);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    if found.is_empty() { String::new() } else { format!(": {}{more}", found.join("; ")) }
}

/// Returns the fields of a fact.
fn object(fact: &Fact) -> Map<String, Value> {
    let json = match fact {
        Fact::Started(fact) => serde_json::to_value(fact),
        Fact::Completed(fact) => serde_json::to_value(fact),
        Fact::Feedback(fact) => serde_json::to_value(fact),
    };
    match json {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn differ(there: &Map<String, Value>, here: &Map<String, Value>, path: &str, found: &mut Vec<String>) {
    let new = here.keys().filter(|name| !there.contains_key(*name));
    for name in there.keys().chain(new) {
        let (old, new) = (there.get(name).unwrap_or(&Value::Null), here.get(name).unwrap_or(&Value::Null));
        match (old, new) {
            _ if old == new => {}
            (Value::Object(old), Value::Object(new)) => differ(old, new, &format!("{path}{name}."), found),
            _ => found.push(format!("{path}{name} is {} there, {} here", shown(old), shown(new))),
        }
    }
}

/// Returns the beginning of a value.
fn shown(value: &Value) -> String {
    let text = if value.is_null() { "missing".to_owned() } else { value.to_string() };
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use crate::ErrorKind;
    use crate::event::GenerationEvent;
    use crate::store::{EventStore, EventStoreExt, MemoryStore};
    use futures_executor::block_on;
    use serde_json::{Value, json};

    fn records(mut more: Value) -> Vec<crate::event::Record> {
        (more["event_id"], more["task_id"]) = (json!("e"), json!("t"));
        GenerationEvent::from_json(&more.to_string()).unwrap().into_records().unwrap()
    }

    #[test]
    fn who_wrote_the_second_is_told_of_both() {
        let store = MemoryStore::new();
        let ended = |code: &str, lines: u32| {
            records(
                json!({"generated_code": code, "lines_of_code": lines, "tokens_used": 1, "cost_usd": lines,
                "cyclomatic_complexity": lines}),
            )
        };
        block_on(store.append_all(ended("a", 1))).unwrap();
        assert!(block_on(store.append_all(ended("a", 1))).is_ok());
        let mut second = ended(&"b".repeat(10_000), 2);
        second.extend(records(json!({"language": "rust"})).into_iter().take(1));
        let error = block_on(store.append_all(second.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let text = format!("{error:#}");
        assert!(text.contains("1 more records conflict") && text.contains("e: another completion"), "{text}");
        assert!(text.contains(r#"is "a" there, "bbb"#) && text.contains("and 1 more"), "{text}");
        assert!(text.len() < 500, "{text}");
        let one = block_on(store.append_one(second.pop().unwrap())).unwrap_err().to_string();
        assert!(one.contains(r#"context.language is missing there, "rust" here"#), "{one}");
        assert_eq!(block_on(store.append(vec![])).unwrap(), []);
    }
}
