//! An event in the making: fields of the flat form.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A generation as a reader of a format fills it in; what is `None` stays unknown.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) fields: Map<String, Value>,
    /// What verdicts may name instead of the event: its trace, its episode, its instance.
    pub(super) groups: Vec<String>,
}

/// Tokens as a tool counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Tokens {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    /// Whether `input` leaves out those of the cache.
    pub(super) disjoint: bool,
}

/// A verdict that some person, test or repository gave.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) id: String,
    /// `approve`, `modify` or `reject`.
    pub(super) action: &'static str,
    /// `None`: when the event ended.
    pub(super) known_at: Option<DateTime<Utc>>,
    pub(super) reviewer: Option<String>,
    pub(super) words: Option<String>,
    /// Whether what was taken counts as a success even though it was changed.
    pub(super) success: Option<bool>,
}

impl Draft {
    pub(super) fn new(event_id: &str, task_id: &str) -> Self {
        let mut draft = Self { fields: Map::new(), groups: Vec::new() };
        draft.set("event_id", Some(id(event_id)));
        draft.set("task_id", Some(id(task_id)));
        draft
    }

    /// Sets a field of the flat form.
    pub(super) fn set<V: Into<Value>>(&mut self, field: &str, value: Option<V>) {
        if let Some(value) = value {
            self.fields.insert(field.to_owned(), value.into());
        }
    }

    /// Sets an identifier of the flat form.
    pub(super) fn set_id(&mut self, field: &str, value: Option<String>) {
        self.set(field, value.filter(|text| !text.trim().is_empty()).map(|text| id(&text)));
    }

    pub(super) fn set_time(&mut self, field: &str, value: Option<DateTime<Utc>>) {
        self.set(field, value.map(|time| time.to_rfc3339()));
    }

    /// Adds a pair to the metadata of the start.
    pub(super) fn note<V: Into<Value>>(&mut self, key: &str, value: Option<V>) {
        self.note_in("metadata", key, value);
    }

    /// Adds a pair to the metadata of the end.
    pub(super) fn note_end<V: Into<Value>>(&mut self, key: &str, value: Option<V>) {
        self.note_in("completion_metadata", key, value);
    }

    fn note_in<V: Into<Value>>(&mut self, place: &str, key: &str, value: Option<V>) {
        let Some(value) = value else { return };
        let notes = self.fields.entry(place).or_insert_with(|| Map::new().into());
        if let Value::Object(notes) = notes {
            notes.insert(key.to_owned(), value.into());
        }
    }

    /// Sets the time of an event of a file that has none: a stated one, and marks it.
    pub(super) fn state_time(&mut self, at: DateTime<Utc>) {
        if !self.fields.contains_key("started_at") {
            self.set_time("started_at", Some(at));
            self.note("started_at_precision", Some("stated"));
        }
    }

    /// Sets the tokens, each counted once.
    pub(super) fn set_tokens(&mut self, tokens: Tokens) {
        let Some((input, total)) = tokens.counted() else { return };
        self.set("tokens_used", total);
        self.set("input_tokens", input);
        self.set("output_tokens", tokens.output);
        self.set("cache_read_tokens", tokens.cache_read);
        self.set("cache_write_tokens", tokens.cache_write);
    }

    /// Adds a verdict.
    pub(super) fn judge(&mut self, verdict: Verdict) {
        let known_at = verdict.known_at.map(|time| time.to_rfc3339());
        let known_at =
            known_at.map_or_else(|| self.fields.get("started_at").cloned(), |time| Some(time.into()));
        let feedback = json!({
            "known_at": known_at, "feedback_id": id(&verdict.id), "user_action": verdict.action,
            "reviewer_id": verdict.reviewer.filter(|name| !name.trim().is_empty()).map(|name| id(&name)),
            "success": verdict.success, "modifications_requested": verdict.words,
        });
        let all = self.fields.entry("feedback").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(all) = all {
            all.push(feedback);
        }
    }
}

impl Tokens {
    /// Returns the input that no cache had, where it is known, and the total; `None` where nothing is known.
    fn counted(&self) -> Option<(Option<u64>, Option<u64>)> {
        let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        // Some writers leave the cached ones out against the convention.
        let disjoint = self.disjoint || self.input.is_some_and(|input| input < cached);
        let all = self.input.map(|input| if disjoint { input.saturating_add(cached) } else { input });
        let total = all.zip(self.output).and_then(|(all, output)| all.checked_add(output));
        Some((all.map(|all| all - cached.min(all)), total))
    }

    /// Adds those of another call.
    pub(super) fn add(&mut self, other: Self) {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        self.input = sum(self.input, other.input);
        self.output = sum(self.output, other.output);
        self.cache_read = sum(self.cache_read, other.cache_read);
        self.cache_write = sum(self.cache_write, other.cache_write);
        self.disjoint |= other.disjoint;
    }
}

/// Makes an identifier of any text: no control characters, and a digest in place of what is long.
pub(super) fn id(text: &str) -> String {
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() <= 512 {
        return if text.is_empty() { "-".to_owned() } else { text };
    }
    let head: String = text.chars().take(64).collect();
    format!("{head}~{}", digest(&text))
}

/// Returns 16 hexadecimal digits that stand for a text.
pub(super) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(input: u64, output: u64, read: u64, write: u64, disjoint: bool) -> Value {
        let mut draft = Draft::new("e", "t");
        let some = |n| (n > 0).then_some(n);
        draft.set_tokens(Tokens {
            input: Some(input),
            output: Some(output),
            cache_read: some(read),
            cache_write: some(write),
            disjoint,
        });
        let field = |name| draft.fields.get(name).cloned();
        json!([
            field("tokens_used"),
            field("input_tokens"),
            field("output_tokens"),
            field("cache_read_tokens")
        ])
    }

    #[test]
    fn cached_tokens_count_once() {
        assert_eq!(counted(100, 50, 64, 0, false), json!([150, 36, 50, 64]));
        assert_eq!(counted(36, 50, 64, 0, true), json!([150, 36, 50, 64]));
        assert_eq!(counted(130, 20, 100, 20, false), json!([150, 10, 20, 100]));
        // Written against the convention.
        assert_eq!(counted(10, 20, 100, 20, false), json!([150, 10, 20, 100]));
        let mut draft = Draft::new("e", "t");
        draft.set_tokens(Tokens::default());
        draft.set_tokens(Tokens { output: Some(5), ..Tokens::default() });
        assert!(draft.fields.get("tokens_used").is_none(), "half is no total: {draft:?}");
    }

    #[test]
    fn any_text_makes_an_identifier() {
        assert_eq!(id(" a\tb\0 "), "a b ");
        let long = id(&"é".repeat(3000));
        assert!(long.len() < 512 && long.contains('~'), "{long}");
        assert_ne!(long, id(&"é".repeat(3001)));
        assert_eq!(id("\n"), "-");
    }
}
