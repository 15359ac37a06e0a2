//! mini-swe-agent (2.4) and SWE-agent (1.1): a file for each instance. `Submitted` is no verdict.

use crate::import::draft::{Draft, Tokens};
use crate::import::field::{count, list, number, text, time};
use crate::import::message::prompt;
use crate::import::out::{Out, run_of};
use crate::import::source::Place;
use serde_json::Value;

/// Adds the trajectory of a mini-swe-agent.
pub(super) fn mini(value: &Value, place: &Place<'_>, out: &mut Out) {
    let info = value.get("info").cloned().unwrap_or_default();
    let mut draft = draft(value, &info, place, "mini-swe-agent");
    let messages = list(value, &["messages"]);
    draft.set("task_description", value.get("messages").and_then(prompt));
    let mut tokens = Tokens::default();
    for usage in messages.iter().filter_map(|message| message.pointer("/extra/response/usage")) {
        tokens.add(Tokens {
            input: count(usage, &["prompt_tokens", "input_tokens"]),
            output: count(usage, &["completion_tokens", "output_tokens"]),
            cache_read: count(usage, &["prompt_tokens_details.cached_tokens", "cache_read_input_tokens"]),
            cache_write: count(usage, &["cache_creation_input_tokens"]),
            disjoint: false,
        });
    }
    draft.set_tokens(tokens);
    // Not every message has a time.
    let times: Vec<_> = messages.iter().filter_map(|message| time(message, &["extra.timestamp"])).collect();
    if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
        draft.set_time("started_at", Some(*first));
        draft.set_time("completed_at", Some(*last));
        draft.set("generation_time_seconds", Some((*last - *first).num_milliseconds() as f64 / 1e3));
    }
    draft.state_time(out.options.stated_time());
    // The rest of the configuration holds what was given there, such as keys.
    draft.set("model_used", text(&info, &["config.model.model_name"]));
    draft.set("temperature", number(&info, &["config.model.model_kwargs.temperature"]));
    draft.set(
        "max_tokens",
        count(&info, &["config.model.model_kwargs.max_tokens"]).filter(|n| u32::try_from(*n).is_ok()),
    );
    draft.note("agent_version", text(&info, &["mini_version"]));
    out.add(draft, place);
}

/// Adds the trajectory of a SWE-agent.
pub(super) fn swe(value: &Value, place: &Place<'_>, out: &mut Out) {
    let info = value.get("info").cloned().unwrap_or_default();
    let mut draft = draft(value, &info, place, "swe-agent");
    let known = |n: &u64| *n > 0;
    draft.set_tokens(Tokens {
        input: count(&info, &["model_stats.tokens_sent"]).filter(known),
        output: count(&info, &["model_stats.tokens_received"]).filter(known),
        ..Tokens::default()
    });
    draft.set("task_description", value.get("history").and_then(prompt));
    draft.state_time(out.options.stated_time());
    draft.note("agent_version", text(&info, &["swe_agent_version"]));
    out.add(draft, place);
}

/// Begins with what both write.
fn draft(value: &Value, info: &Value, place: &Place<'_>, agent: &str) -> Draft {
    let run = run_of(place.file);
    let (folder, stem) = run.rsplit_once('/').unwrap_or(("", &run));
    let instance = text(value, &["instance_id"])
        .or_else(|| text(info, &["instance_id"]))
        .unwrap_or_else(|| stem.to_owned());
    let run = if folder.is_empty() || folder == instance { agent } else { folder };
    // Several of one file are several tries.
    let try_ = if place.nth > 1 || place.line > 1 {
        format!("#{}.{}", place.line, place.nth)
    } else {
        String::new()
    };
    let mut draft = Draft::new(&format!("{run}/{instance}{try_}"), &instance);
    draft.groups.push(format!("instance:{instance}"));
    draft.set("agent_type", Some(agent));
    draft.set_id("session_id", Some(run.to_owned()));
    let calls = count(info, &["model_stats.api_calls"]).unwrap_or(0);
    // No price of the model: 0.
    let cost = number(info, &["model_stats.instance_cost"]);
    draft.set("cost_usd", cost.filter(|cost| *cost > 0.0 || calls == 0));
    draft.set("generated_code", text(info, &["submission"]));
    draft.note("source", Some(agent));
    draft.note_end("exit_status", text(info, &["exit_status"]));
    draft.note_end("api_calls", Some(calls));
    draft
}
