//! LiteLLM: rows of its spend logs, and standard logging payloads.

use super::Reader;
use super::draft::{Draft, Tokens};
use super::field::{at, count, embedded, flag, number, text, time};
use super::message::{answer, prompt};
use super::out::{Out, tag};
use super::source::{Place, Row};
use crate::error::{Error, Result};
use serde_json::Value;

pub(super) struct Litellm;

impl Reader for Litellm {
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let row = row.into_value()?;
        let metadata = embedded(&row, &["metadata"]).unwrap_or_default();
        let call = text(&row, &["litellm_call_id"]).or_else(|| text(&metadata, &["litellm_call_id"]));
        // The provider's id may repeat.
        let event_id = call.or_else(|| text(&row, &["request_id", "id"]));
        let event_id =
            event_id.ok_or_else(|| Error::invalid("litellm_call_id and request_id are missing"))?;
        let tags = embedded(&row, &["request_tags"]).unwrap_or_default();
        // A row's session is in session_id, a payload's in trace_id.
        let session = text(&row, &["session_id", "trace_id"]);
        let task = tag(&tags, "task").or_else(|| session.clone()).unwrap_or_else(|| event_id.clone());
        let mut draft = Draft::new(&event_id, &task);
        draft.set_id("session_id", session);
        let team = text(&row, &["team_id"]).or_else(|| text(&metadata, &["user_api_key_team_id"]));
        draft.set_id("project_id", tag(&tags, "project").or(team));
        let user = text(&row, &["user"]).or_else(|| text(&metadata, &["user_api_key_user_id"]));
        draft.set_id("user_id", user.or_else(|| text(&row, &["end_user"])));
        draft.set("agent_type", tag(&tags, "agent").or_else(|| text(&row, &["agent_id"])));
        draft.set("task_type", tag(&tags, "task_type"));
        draft.set("model_used", text(&row, &["model"]));
        let (start, end) = (time(&row, &["startTime"]), time(&row, &["endTime"]));
        let start = start.ok_or_else(|| Error::invalid("startTime is missing or cannot be read"))?;
        draft.set_time("started_at", Some(start));
        draft.set_time("completed_at", end);
        let seconds = end.map(|end| (end - start).num_microseconds().unwrap_or(0) as f64 / 1e6);
        draft.set("generation_time_seconds", seconds.filter(|s| *s >= 0.0));
        let parameters = embedded(&row, &["model_parameters"]).unwrap_or_default();
        draft.set("temperature", number(&parameters, &["temperature"]));
        draft.set(
            "max_tokens",
            count(&parameters, &["max_tokens", "max_completion_tokens"])
                .filter(|n| u32::try_from(*n).is_ok()),
        );
        draft.set("effort", text(&parameters, &["reasoning_effort"]));
        draft.set("task_description", embedded_text(&row, "messages").and_then(|m| prompt(&m)));
        draft.set("generated_code", embedded_text(&row, "response").and_then(|r| answer(&r)));
        let failed = text(&row, &["status"]).is_some_and(|status| status == "failure");
        let cached = flag(&row, &["cache_hit"]) == Some(true);
        if !failed {
            draft.set_tokens(tokens(&row, &metadata));
        }
        draft.set("cost_usd", cost(&row, &metadata, failed, cached));
        draft.note("source", Some("litellm"));
        draft.note_end("call_status", text(&row, &["status"]));
        draft.note_end(
            "error_code",
            text(&row, &["error_information.error_code"])
                .or_else(|| text(&metadata, &["error_information.error_code"])),
        );
        draft.note_end("cache_hit", cached.then_some(true));
        out.add(draft, place);
        Ok(())
    }
}

/// Stored messages: `{}` means that they were not.
fn embedded_text(row: &Value, column: &str) -> Option<Value> {
    embedded(row, &[column]).filter(|value| value.as_object().is_none_or(|map| !map.is_empty()))
}

fn tokens(row: &Value, metadata: &Value) -> Tokens {
    let usage = at(metadata, &["usage_object"]).cloned().unwrap_or_default();
    let known = |n: &u64| *n > 0;
    let input = count(row, &["prompt_tokens"]).or_else(|| count(&usage, &["prompt_tokens"]));
    let output = count(row, &["completion_tokens"]).or_else(|| count(&usage, &["completion_tokens"]));
    // A call that has used nothing was not counted.
    let counted = [input, output].into_iter().flatten().any(|tokens| tokens > 0);
    Tokens {
        input: input.filter(|_| counted),
        output: output.filter(|_| counted),
        // Two names of one count.
        cache_read: count(&usage, &["cache_read_input_tokens", "prompt_tokens_details.cached_tokens"])
            .filter(known),
        cache_write: count(
            &usage,
            &["cache_creation_input_tokens", "prompt_tokens_details.cache_creation_tokens"],
        )
        .filter(known),
        disjoint: false,
    }
}

/// Returns the cost: that of an answer from LiteLLM's cache is nothing, any other 0 is not known.
fn cost(row: &Value, metadata: &Value, failed: bool, cached: bool) -> Option<f64> {
    let given = number(row, &["response_cost", "spend"])
        .or_else(|| number(metadata, &["cost_breakdown.total_cost"]))?;
    let unknown = at(row, &["response_cost_failure_debug_info"]).is_some();
    (given > 0.0 && !unknown || cached && !failed).then_some(given)
}
