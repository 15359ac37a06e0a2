//! OpenHands: `output.jsonl` of its evaluation, and the index of results by instance.

use crate::error::{Error, Result};
use crate::import::draft::{Draft, Tokens};
use crate::import::field::{at, count, flag, number, text, time};
use crate::import::message::prompt;
use crate::import::out::{Out, run_of};
use crate::import::source::Place;
use serde_json::Value;

pub(super) fn knows(value: &Value) -> bool {
    text(value, &["instance_id"]).is_some() || is_index(value)
}

/// An object by instance of objects with cost and resolved.
fn is_index(value: &Value) -> bool {
    let Value::Object(map) = value else { return false };
    let is_result = |value: &Value| {
        value.as_object().is_some_and(|o| o.contains_key("resolved") && o.contains_key("cost"))
    };
    map.values().next().is_some_and(is_result)
}

pub(super) fn read(value: &Value, place: &Place<'_>, out: &mut Out) -> Result<()> {
    if text(value, &["instance_id"]).is_some() {
        output(value, place, out);
        return Ok(());
    }
    let Value::Object(map) = value else { return Err(Error::invalid("not an object")) };
    for (instance, result) in map {
        let mut draft = draft(instance, place);
        // Null is not known, neither cost nor verdict.
        draft.set("cost_usd", number(result, &["cost"]));
        draft.set("success", flag(result, &["resolved"]));
        draft.set_time("started_at", time(result, &["submission_time", "started_at"]));
        draft.state_time(out.options.stated_time());
        out.add(draft, place);
    }
    Ok(())
}

fn output(value: &Value, place: &Place<'_>, out: &mut Out) {
    let instance = text(value, &["instance_id"]).unwrap_or_default();
    let mut draft = draft(&instance, place);
    draft.set("model_used", text(value, &["metadata.llm_config.model", "metadata.llm.model"]));
    draft.set("temperature", number(value, &["metadata.llm_config.temperature", "metadata.llm.temperature"]));
    draft.set("task_description", at(value, &["instance.problem_statement", "instruction"]).and_then(prompt));
    draft.set("generated_code", text(value, &["test_result.git_patch", "git_patch"]));
    let usage = at(value, &["metrics.accumulated_token_usage"]).cloned().unwrap_or_default();
    draft.set_tokens(Tokens {
        input: count(&usage, &["prompt_tokens"]).filter(|n| *n > 0),
        output: count(&usage, &["completion_tokens"]).filter(|n| *n > 0),
        cache_read: count(&usage, &["cache_read_tokens"]).filter(|n| *n > 0),
        cache_write: count(&usage, &["cache_write_tokens"]).filter(|n| *n > 0),
        disjoint: false,
    });
    draft.set("cost_usd", number(value, &["metrics.accumulated_cost"]).filter(|cost| *cost > 0.0));
    draft.set("success", flag(value, &["report.resolved", "test_result.report.resolved"]));
    let times: Vec<_> = value
        .get("history")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|step| time(step, &["timestamp"]))
        .collect();
    draft.set_time(
        "started_at",
        times.iter().min().copied().or_else(|| time(value, &["metadata.start_time"])),
    );
    draft.set_time("completed_at", times.iter().max().copied());
    draft.state_time(out.options.stated_time());
    draft.note_end("error", text(value, &["error"]));
    out.add(draft, place);
}

fn draft(instance: &str, place: &Place<'_>) -> Draft {
    let run = run_of(place.file);
    let mut draft = Draft::new(&format!("{run}/{instance}"), instance);
    draft.groups.push(format!("instance:{instance}"));
    draft.set("agent_type", Some("openhands"));
    draft.set_id("session_id", Some(run));
    draft.note("source", Some("openhands"));
    draft
}
