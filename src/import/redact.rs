//! Personal data and secrets in texts.

use super::draft::digest;
use crate::error::{Error, Result};
use regex::Regex;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Patterns, and what stands in the place of what they find.
const RULES: [(&str, &str); 8] = [
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|\z)", "[private key]"),
    (r"\b(sk|pk|rk)[-_][A-Za-z0-9_-]{16,}", "[key]"),
    (
        r"\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{20,})",
        "[key]",
    ),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "[token]"),
    (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}", "$1 [token]"),
    (
        r#"(?i)\b(password|passwd|secret|api[_-]?key|access[_-]?token)(["']?\s*[:=]\s*["']?)[^\s"',;]{4,}"#,
        "$1$2[secret]",
    ),
    (r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+", "[email]"),
    (
        r"(?:\+\d{1,3}[ .-]?)?\(\d{2,4}\)[ .-]?\d{3,4}[ .-]?\d{3,4}\b|\+\d{1,3}[ .-]?\d{2,4}(?:[ .-]?\d{2,4}){2,4}\b",
        "[phone]",
    ),
];

/// Fields that name a person.
const PERSONS: [&str; 3] = ["user_id", "reviewer_id", "feedback_reviewer_id"];

/// Fields that identify, by which facts are joined: they stay.
const IDENTITIES: [&str; 6] =
    ["event_id", "task_id", "project_id", "session_id", "feedback_id", "regeneration_of"];

#[derive(Debug)]
pub(super) struct Redactor {
    rules: Vec<(Regex, &'static str)>,
}

impl Redactor {
    pub(super) fn new() -> Result<Self> {
        let rule = |(pattern, instead): &(&str, &'static str)| {
            let rule =
                Regex::new(pattern).map_err(|e| Error::internal("a rule of redaction").with_source(e))?;
            Ok((rule, *instead))
        };
        Ok(Self { rules: RULES.iter().map(rule).collect::<Result<_>>()? })
    }

    /// Redacts every text of an event.
    pub(super) fn event(&self, fields: &mut Map<String, Value>) {
        for (name, value) in fields {
            match value {
                Value::String(person) if PERSONS.contains(&name.as_str()) => *person = pseudonym(person),
                _ if IDENTITIES.contains(&name.as_str()) => {}
                _ => self.value(value),
            }
        }
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.text(text) {
                    *text = redacted;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(map) => self.event(map),
            _ => {}
        }
    }

    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.rules.iter().fold(text.into(), |text, (rule, instead)| match rule.replace_all(&text, *instead) {
            Cow::Owned(redacted) => redacted.into(),
            Cow::Borrowed(_) => text,
        })
    }
}

/// Returns a name that is the person's own everywhere, without telling who it is.
pub(super) fn pseudonym(person: &str) -> String {
    format!("user-{}", digest(person))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn persons_and_secrets_leave_and_identities_stay() {
        let Value::Object(mut fields) = json!({
            "event_id": "https://example.org/a@b.example/pull/1", "user_id": "ann", "reviewer_id": "ann",
            "task_description": "Mail ann@example.org, key sk-abcdefghijklmnop1234, +49 171 1234567; version 1.2.3, port 8080",
            "metadata": {"note": ["Authorization: Bearer abcdefghijklmnop.qrst", "password=hunter22"], "user_id": "bob"},
        }) else {
            panic!()
        };
        Redactor::new().unwrap().event(&mut fields);
        assert_eq!(fields["event_id"], "https://example.org/a@b.example/pull/1");
        assert_eq!(fields["user_id"], fields["reviewer_id"]);
        assert_eq!(fields["task_description"], "Mail [email], key [key], [phone]; version 1.2.3, port 8080");
        assert_eq!(fields["metadata"]["note"], json!(["Authorization: Bearer [token]", "password=[secret]"]));
        let text = Value::from(fields).to_string();
        assert!(!text.contains("ann@") && !text.contains("\"ann\"") && !text.contains("bob"), "{text}");
    }
}
