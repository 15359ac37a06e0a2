//! Langfuse: observations, scores and traces of its API (3.15 to 5.0), blob exports and tables of its UI.

use super::Reader;
use super::draft::{Draft, Tokens, Verdict, id};
use super::field::{at, count, embedded, list, number, text, time};
use super::message::{answer, prompt};
use super::options::action_of;
use super::out::{Out, tag};
use super::source::{Place, Row};
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Traces whose user, session and tags are kept for their observations.
const TRACES: usize = 1_000_000;

#[derive(Default)]
pub(super) struct Langfuse {
    traces: HashMap<String, Trace>,
}

#[derive(Default, Clone)]
struct Trace {
    session: Option<String>,
    user: Option<String>,
    task: Option<String>,
    agent: Option<String>,
}

impl Reader for Langfuse {
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let row = row.into_value()?;
        // A page of the API.
        if row.get("data").is_some_and(Value::is_array) {
            for item in list(&row, &["data"]) {
                if let Err(error) = self.item(item, place, out) {
                    out.skip(place, &error);
                }
            }
            return Ok(());
        }
        self.item(&row, place, out)
    }
}

impl Langfuse {
    fn item(&mut self, item: &Value, place: &Place<'_>, out: &mut Out) -> Result<()> {
        if item.get("observations").is_some_and(|o| o.is_array() || o.is_string()) {
            self.trace_with_parts(item, place, out);
            return Ok(());
        }
        if at(item, &["dataType", "data_type"]).is_some() && item.get("name").is_some() {
            return score(item, out);
        }
        let kind = text(item, &["type"]);
        if time(item, &["startTime", "start_time"]).is_some() && kind.is_some() {
            return self.observation(item, &kind.unwrap_or_default(), place, out);
        }
        if at(item, &["id"]).is_some() && at(item, &["timestamp"]).is_some() {
            self.trace(item);
            return Err(Error::invalid("a trace: its observations are the calls"));
        }
        Err(Error::invalid("no observation, score or trace"))
    }

    /// Reads a trace as the UI exports it, with all that belongs to it.
    fn trace_with_parts(&mut self, trace: &Value, place: &Place<'_>, out: &mut Out) {
        self.trace(trace);
        let parts = |key: &str| embedded(trace, &[key]).unwrap_or_default();
        for (items, is_score) in [(parts("observations"), false), (parts("scores"), true)] {
            for item in items.as_array().into_iter().flatten().filter(|item| item.is_object()) {
                let mut item = item.clone();
                if at(&item, &["traceId", "trace_id"]).is_none() && at(&item, &["subject"]).is_none() {
                    item["traceId"] = trace.get("id").cloned().unwrap_or_default();
                }
                let told = if is_score { score(&item, out) } else { self.item(&item, place, out) };
                if let Err(error) = told {
                    out.skip(place, &error);
                }
            }
        }
    }

    fn trace(&mut self, trace: &Value) {
        let Some(name) = text(trace, &["id"]).filter(|_| self.traces.len() < TRACES) else { return };
        self.traces.insert(name, described(trace));
    }

    fn observation(&mut self, call: &Value, kind: &str, place: &Place<'_>, out: &mut Out) -> Result<()> {
        if !kind.eq_ignore_ascii_case("GENERATION") {
            return Err(Error::invalid(format!("no call of an LLM: {}", kind.to_uppercase())));
        }
        let event_id = text(call, &["id"]).ok_or_else(|| Error::invalid("id is missing"))?;
        let trace = text(call, &["traceId", "trace_id"]);
        let (own, of) = (
            described(call),
            trace.as_ref().and_then(|name| self.traces.get(name)).cloned().unwrap_or_default(),
        );
        let task = own.task.or(of.task).or_else(|| trace.clone()).unwrap_or_else(|| event_id.clone());
        let mut draft = Draft::new(&event_id, &task);
        draft.set_id("session_id", own.session.or(of.session));
        draft.set_id("user_id", own.user.or(of.user));
        draft.set_id("project_id", text(call, &["projectId", "project_id"]));
        draft.set("agent_type", own.agent.or(of.agent));
        draft.set(
            "model_used",
            text(call, &["model", "providedModelName", "provided_model_name", "internalModel"]),
        );
        let parameters = embedded(call, &["modelParameters", "model_parameters"]).unwrap_or_default();
        draft.set("temperature", number(&parameters, &["temperature"]));
        draft.set(
            "max_tokens",
            count(&parameters, &["max_tokens", "maxTokens"]).filter(|n| u32::try_from(*n).is_ok()),
        );
        draft.set("effort", text(&parameters, &["reasoning_effort"]));
        let (start, end) = (time(call, &["startTime", "start_time"]), time(call, &["endTime", "end_time"]));
        draft.set_time("started_at", start);
        draft.set_time("completed_at", end);
        let seconds = start.zip(end).map(|(start, end)| (end - start).num_milliseconds() as f64 / 1e3);
        draft.set(
            "generation_time_seconds",
            seconds.or_else(|| number(call, &["latency"])).filter(|s| *s >= 0.0),
        );
        draft.set("task_description", at(call, &["input"]).and_then(prompt));
        draft.set("generated_code", at(call, &["output"]).and_then(answer));
        let usage = embedded(call, &["usageDetails", "usage_details", "usage"]).unwrap_or_default();
        let tokens = tokens(&usage);
        draft.set_tokens(tokens);
        let details = embedded(call, &["costDetails", "cost_details"]).unwrap_or_default();
        let cost = number(call, &["totalCost", "total_cost", "calculatedTotalCost"])
            .or_else(|| number(&details, &["total"]));
        // No price of the model: 0.
        draft.set(
            "cost_usd",
            cost.filter(|cost| *cost > 0.0 || details.as_object().is_some_and(|d| !d.is_empty())),
        );
        draft.note("source", Some("langfuse"));
        draft.note_end("level", text(call, &["level"]).filter(|level| level != "DEFAULT"));
        draft.groups = [trace].into_iter().flatten().map(|trace| id(&trace)).collect();
        out.add(draft, place);
        Ok(())
    }
}

fn described(item: &Value) -> Trace {
    let tags = embedded(item, &["tags"]).or_else(|| {
        let words = text(item, &["tags"])?;
        Some(json!(
            words.split(',').map(|tag| tag.trim().trim_matches(['[', ']', '\'', '"'])).collect::<Vec<_>>()
        ))
    });
    let tags = tags.unwrap_or_default();
    Trace {
        session: text(item, &["sessionId", "session_id"]),
        user: text(item, &["userId", "user_id"]),
        task: tag(&tags, "task"),
        agent: tag(&tags, "agent"),
    }
}

/// Reads usage whose parts are disjoint by intent; where some writer put them inside, the total tells.
fn tokens(usage: &Value) -> Tokens {
    let sum = |starts: &[&str], but: &[&str]| {
        let parts = usage.as_object().into_iter().flatten();
        let parts = parts.filter(|(name, _)| {
            starts.iter().any(|start| name.starts_with(start)) && !but.iter().any(|b| name.contains(b))
        });
        let counts: Vec<u64> = parts.filter_map(|(name, _)| count(usage, &[name])).collect();
        (!counts.is_empty()).then(|| counts.iter().fold(0_u64, |sum, n| sum.saturating_add(*n)))
    };
    let input = count(usage, &["input", "input_tokens", "prompt_tokens", "promptTokens"]);
    let output = count(usage, &["output", "output_tokens", "completion_tokens", "completionTokens"]);
    let written = ["cache_creation", "cache_write"];
    let cache_read = sum(&["input_cache", "cache_read", "input_cached"], &written);
    let cache_write =
        sum(&["input_cache_creation", "cache_creation", "input_cache_write", "cache_write"], &[]);
    let more = sum(&["output_"], &["output_tokens"]);
    let total = count(usage, &["total", "total_tokens", "totalTokens"]);
    let inside = total.is_some() && total == input.zip(output).map(|(i, o)| i.saturating_add(o));
    if inside {
        return Tokens { input, output, cache_read, cache_write, disjoint: false };
    }
    let output = output.or(more.map(|_| 0)).map(|output| output.saturating_add(more.unwrap_or(0)));
    Tokens { input, output, cache_read, cache_write, disjoint: true }
}

fn score(score: &Value, out: &mut Out) -> Result<()> {
    let name = text(score, &["name"]).unwrap_or_default();
    if !out.options.is_verdict(&name) {
        return Err(Error::invalid(format!(
            "a score that is no verdict (name it in verdicts if it is one): {name}"
        )));
    }
    // An LLM's opinion is no outcome.
    if text(score, &["source"]).is_some_and(|source| source == "EVAL") {
        return Err(Error::invalid("a score by an LLM is no verdict"));
    }
    let value = if text(score, &["dataType", "data_type"]).is_some_and(|kind| kind == "CATEGORICAL") {
        // The number of a category without a configuration is 0.
        at(score, &["stringValue", "string_value"])
            .or_else(|| at(score, &["value"]).filter(|value| value.is_string()))
    } else {
        at(score, &["value"]).or_else(|| at(score, &["stringValue", "string_value"]))
    };
    let action = value
        .and_then(action_of)
        .ok_or_else(|| Error::invalid(format!("a score that says neither yes nor no: {name}")))?;
    let known_at = time(score, &["timestamp", "createdAt", "created_at"]);
    let verdict = Verdict {
        id: text(score, &["id"]).unwrap_or_else(|| format!("score-{name}")),
        action,
        known_at: Some(known_at.ok_or_else(|| Error::invalid("timestamp is missing"))?),
        reviewer: text(score, &["authorUserId", "author_user_id"]),
        words: None,
        success: None,
    };
    let kind = text(score, &["subject.kind"]).unwrap_or_default();
    let subject = text(score, &["subject.id"]);
    let call = text(score, &["observationId", "observation_id"])
        .or_else(|| subject.clone().filter(|_| kind == "observation"));
    let trace = text(score, &["traceId", "trace_id"]).or_else(|| subject.filter(|_| kind == "trace"));
    match (call, trace) {
        (Some(call), _) => out.judge(&call, verdict),
        (None, Some(trace)) => out.judge_group(&id(&trace), verdict),
        (None, None) => return Err(Error::invalid("a score on nothing: ask the API for its subject")),
    }
    Ok(())
}
