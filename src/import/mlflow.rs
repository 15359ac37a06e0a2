//! Traces of MLflow 3: `trace.to_json()`, and rows of `search_traces`.

use super::Reader;
use super::draft::{Draft, Tokens, Verdict};
use super::field::{at, count, embedded, list, number, text, time};
use super::message::{answer, prompt};
use super::options::action_of;
use super::out::Out;
use super::source::{Place, Row};
use crate::error::{Error, Result};
use chrono::TimeDelta;
use serde_json::Value;

pub(super) struct Mlflow;

impl Reader for Mlflow {
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let value = row.into_value()?;
        // A table's row has the whole trace as text.
        let trace =
            embedded(&value, &["trace"]).filter(|trace| at(trace, &["info"]).is_some()).unwrap_or(value);
        let info = at(&trace, &["info"]).unwrap_or(&trace);
        let event_id = text(info, &["trace_id", "request_id"])
            .ok_or_else(|| Error::invalid("info.trace_id is missing"))?;
        let metadata = at(info, &["trace_metadata", "request_metadata"]).cloned().unwrap_or_default();
        let tags = at(info, &["tags"]).cloned().unwrap_or_default();
        let task = text(&tags, &["task", "task_id"]).unwrap_or_else(|| event_id.clone());
        let mut draft = Draft::new(&event_id, &task);
        draft.set_id("session_id", text(&metadata, &["mlflow.trace.session"]));
        draft.set_id("user_id", text(&metadata, &["mlflow.trace.user"]));
        let experiment = text(info, &["trace_location.mlflow_experiment.experiment_id", "experiment_id"]);
        draft.set_id("project_id", experiment);
        draft.set("agent_type", text(&tags, &["agent", "agent_type"]));
        let start = time(info, &["request_time", "timestamp_ms"]);
        let start = start.ok_or_else(|| Error::invalid("info.request_time is missing"))?;
        draft.set_time("started_at", Some(start));
        let took = number(info, &["execution_duration_ms", "execution_duration", "execution_time_ms"])
            .filter(|ms| (0.0..1e12).contains(ms));
        draft.set_time(
            "completed_at",
            took.and_then(|ms| start.checked_add_signed(TimeDelta::microseconds((ms * 1e3) as i64))),
        );
        draft.set("generation_time_seconds", took.map(|ms| ms / 1e3));
        let spans: Vec<Value> = list(&trace, &["data.spans", "spans"]).into_iter().map(attributes).collect();
        spans_of(&mut draft, &spans);
        let own = embedded(&metadata, &["mlflow.trace.tokenUsage"]).map(|usage| tokens(&usage));
        let sum = || {
            // A span around calls has none of its own.
            let mut sum = Tokens::default();
            spans
                .iter()
                .filter_map(|span| embedded(span, &["mlflow.chat.tokenUsage"]))
                .for_each(|u| sum.add(tokens(&u)));
            sum
        };
        draft.set_tokens(own.unwrap_or_else(sum));
        let cost =
            embedded(&metadata, &["mlflow.trace.cost"]).and_then(|cost| number(&cost, &["total_cost"]));
        let costs =
            spans.iter().filter_map(|span| number(&embedded(span, &["mlflow.llm.cost"])?, &["total_cost"]));
        draft.set("cost_usd", cost.or_else(|| costs.reduce(|a, b| a + b)));
        let asked = embedded(&metadata, &["mlflow.traceInputs"])
            .or_else(|| at(info, &["request_preview", "request"]).cloned());
        if !draft.fields.contains_key("task_description") {
            draft.set("task_description", asked.and_then(|asked| prompt(&asked)));
        }
        draft.note("source", Some("mlflow"));
        draft.note_end("state", text(info, &["state", "status"]));
        for assessment in list(info, &["assessments"]) {
            if let Some(verdict) = verdict(assessment, out) {
                draft.judge(verdict);
            }
        }
        out.add(draft, place);
        Ok(())
    }
}

/// Returns a span's attributes, of which each is JSON text.
fn attributes(span: &Value) -> Value {
    let all = at(span, &["attributes"]).and_then(Value::as_object).cloned().unwrap_or_default();
    let read = |value: Value| match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    };
    Value::Object(all.into_iter().map(|(name, value)| (name, read(value))).collect())
}

fn spans_of(draft: &mut Draft, spans: &[Value]) {
    let call = spans.iter().rev().find(|span| text(span, &["mlflow.llm.model"]).is_some());
    let call = call.or_else(|| {
        spans.iter().rev().find(|span| {
            text(span, &["mlflow.spanType"]).is_some_and(|kind| matches!(kind.as_str(), "CHAT_MODEL" | "LLM"))
        })
    });
    if let Some(call) = call {
        let inputs = embedded(call, &["mlflow.spanInputs"]).unwrap_or_default();
        draft.set(
            "model_used",
            text(call, &["mlflow.llm.model", "gen_ai.request.model"]).or_else(|| text(&inputs, &["model"])),
        );
        draft.set(
            "temperature",
            number(&inputs, &["temperature"]).or_else(|| number(call, &["gen_ai.request.temperature"])),
        );
        draft.set(
            "max_tokens",
            count(&inputs, &["max_tokens", "max_completion_tokens"]).filter(|n| u32::try_from(*n).is_ok()),
        );
        draft.set("generated_code", at(call, &["mlflow.spanOutputs"]).and_then(answer));
    }
    let root = spans.first().and_then(|span| at(span, &["mlflow.spanInputs"]));
    draft.set("task_description", root.and_then(prompt));
}

fn tokens(usage: &Value) -> Tokens {
    Tokens {
        input: count(usage, &["input_tokens"]),
        output: count(usage, &["output_tokens"]),
        cache_read: count(usage, &["cache_read_input_tokens"]),
        cache_write: count(usage, &["cache_creation_input_tokens"]),
        disjoint: false,
    }
}

/// Returns the verdict of an assessment: one that is valid, that did not fail, by a person or code.
fn verdict(assessment: &Value, out: &Out) -> Option<Verdict> {
    let name = text(assessment, &["assessment_name", "name"])?;
    let valid = assessment.get("valid").and_then(Value::as_bool).unwrap_or(true);
    let failed = at(assessment, &["feedback.error", "error"]).is_some();
    let by = text(assessment, &["source.source_type"]).unwrap_or_default();
    if !valid || failed || by.starts_with("LLM") || by == "AI_JUDGE" || !out.options.is_verdict(&name) {
        return None;
    }
    Some(Verdict {
        id: text(assessment, &["assessment_id"])?,
        action: action_of(at(assessment, &["feedback.value"])?)?,
        known_at: Some(time(assessment, &["create_time", "create_time_ms", "last_update_time"])?),
        reviewer: text(assessment, &["source.source_id"]).filter(|_| by == "HUMAN"),
        words: None,
        success: None,
    })
}
