//! Events of one's own: the flat form, and tables or JSON by a mapping.

use super::Reader;
use super::draft::{Draft, digest};
use super::field::{as_flag, as_time, at};
use super::out::Out;
use super::source::{Place, Row};
use crate::error::{Error, Result};
use crate::event::GenerationEvent;
use crate::json::mend_surrogates;
use serde_json::{Map, Number, Value};
use std::collections::HashSet;

/// The flat form.
pub(super) struct Flat;

impl Reader for Flat {
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let Row::Json(text) = row else { return Err(Error::invalid("not a JSON object")) };
        // All doors refuse the same.
        let event = GenerationEvent::from_json(&text)?;
        let fields: Map<String, Value> = serde_json::from_str(&mend_surrogates(&text)).unwrap_or_default();
        let has_own = out.options.redact || out.options.mapping.values().any(|from| from.starts_with('='));
        if has_own {
            out.add(Draft { fields, groups: Vec::new() }, place);
            return Ok(());
        }
        out.add_event(event, &fields, &[], place)
    }
}

/// Anything else.
pub(super) struct Mapped;

impl Reader for Mapped {
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let row = row.into_value()?;
        let Value::Object(columns) = &row else { return Err(Error::invalid("not an object")) };
        let mut draft = Draft { fields: Map::new(), groups: Vec::new() };
        let mut used = HashSet::new();
        for (field, from) in &out.options.mapping {
            if let Some(value) = at(&row, &[from]).filter(|_| !from.starts_with('=')) {
                draft.fields.insert(field.clone(), typed(field, value));
            }
            used.insert(from.split('.').next().unwrap_or_default());
            used.insert(from.as_str());
        }
        // A column that is named like a field is that field.
        for (column, value) in columns.iter().filter(|(column, _)| !used.contains(column.as_str())) {
            if value.is_null() {
                continue;
            }
            if kind_of(column).is_some() && !out.options.mapping.contains_key(column) {
                draft.fields.insert(column.clone(), typed(column, value));
            } else {
                draft.note(column, Some(value.clone()));
            }
        }
        if !draft.fields.contains_key("task_id") {
            let columns: Vec<_> = columns.keys().map(String::as_str).collect();
            let what = format!("no column for task_id: map one of {} to it", columns.join(", "));
            return Err(Error::invalid(what));
        }
        if !draft.fields.contains_key("event_id") {
            let row = digest(&row.to_string());
            draft.set("event_id", Some(format!("row-{row}")));
        }
        if !draft.fields.contains_key("recorded_at") {
            let stated = out.options.stated_time();
            draft.state_time(stated);
        }
        out.add(draft, place);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Time,
    Number,
    Flag,
}

/// Fields of the flat form that a cell can hold.
const FIELDS: [(Kind, &[&str]); 4] = [
    (
        Kind::Text,
        &[
            "event_id",
            "task_id",
            "project_id",
            "user_id",
            "reviewer_id",
            "session_id",
            "task_type",
            "task_description",
            "language",
            "framework",
            "agent_type",
            "model_used",
            "effort",
            "template_id",
            "regeneration_of",
            "generated_code",
            "file_path",
            "self_review_feedback",
            "user_action",
            "feedback_reviewer_id",
            "user_feedback",
            "modifications_requested",
        ],
    ),
    (Kind::Time, &["started_at", "recorded_at", "completed_at", "completion_known_at", "approved_at"]),
    (
        Kind::Number,
        &[
            "temperature",
            "rag_avg_similarity",
            "rag_avg_quality",
            "system_load",
            "cyclomatic_complexity",
            "self_review_score",
            "final_quality_score",
            "generation_time_seconds",
            "cost_usd",
            "complexity_label",
            "max_tokens",
            "rag_examples_count",
            "num_files_to_generate",
            "estimated_lines_of_code",
            "num_dependencies",
            "current_queue_size",
            "attempt",
            "lines_of_code",
            "num_functions",
            "num_classes",
            "syntax_errors",
            "tokens_used",
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "num_regenerations",
        ],
    ),
    (Kind::Flag, &["rag_enabled", "has_type_hints", "has_docstrings", "has_tests", "success", "approved"]),
];

fn kind_of(field: &str) -> Option<Kind> {
    FIELDS.iter().find(|(_, names)| names.contains(&field)).map(|(kind, _)| *kind)
}

/// Returns a cell as the field holds it; what cannot be read as such stays and is refused with the field's name.
pub(super) fn typed(field: &str, value: &Value) -> Value {
    let read = match kind_of(field) {
        None => match value {
            // A part of an event as JSON.
            Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
                serde_json::from_str(text).ok()
            }
            _ => None,
        },
        Some(Kind::Text) => match value {
            Value::String(text) if field == "user_action" => Some(
                super::options::action_of(&text.as_str().into()).map_or_else(|| value.clone(), Value::from),
            ),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Bool(flag) if field == "user_action" => {
                Some(if *flag { "approve" } else { "reject" }.into())
            }
            _ => None,
        },
        Some(Kind::Time) => as_time(value).map(|time| time.to_rfc3339().into()),
        Some(Kind::Flag) => as_flag(value).map(Value::from),
        Some(Kind::Number) => match value {
            Value::String(text) => match text.trim() {
                "" | "NaN" | "nan" | "None" | "null" | "NA" => Some(Value::Null),
                text => text.parse::<Number>().ok().map(Value::from),
            },
            _ => None,
        },
    };
    read.unwrap_or_else(|| value.clone())
}
