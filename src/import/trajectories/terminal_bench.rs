//! Terminal-bench: `results.json` of its harness, one trial's, and harbor's.

use crate::error::{Error, Result};
use crate::import::draft::{Draft, Tokens};
use crate::import::field::{at, count, flag, list, number, text, time};
use crate::import::out::{Out, run_of};
use crate::import::source::Place;
use serde_json::Value;

pub(super) fn knows(value: &Value) -> bool {
    let is_trial = |value: &Value| {
        value.get("is_resolved").is_some()
            || value.get("trial_name").is_some()
            || value.get("verifier_result").is_some()
    };
    is_trial(value) || list(value, &["results"]).first().is_some_and(|first| is_trial(first))
}

pub(super) fn read(value: &Value, place: &Place<'_>, out: &mut Out) {
    let trials = list(value, &["results"]);
    for trial in if trials.is_empty() { vec![value] } else { trials } {
        if let Err(error) = one(trial, place, out) {
            out.skip(place, &error);
        }
    }
}

fn one(trial: &Value, place: &Place<'_>, out: &mut Out) -> Result<()> {
    let task = text(trial, &["task_id", "task_name"]).filter(|task| !task.starts_with('{'));
    let task = task.ok_or_else(|| Error::invalid("task_id is missing"))?;
    let run = run_of(place.file);
    // A trial's name repeats in other runs.
    let named = || text(trial, &["trial_name"]).map(|name| format!("{run}/{name}"));
    let event_id = text(trial, &["id", "uuid"])
        .or_else(named)
        .ok_or_else(|| Error::invalid("id and trial_name are missing"))?;
    let mut draft = Draft::new(&event_id, &task);
    draft.groups.push(format!("instance:{task}"));
    draft.set_id("session_id", Some(run));
    draft.set("task_description", text(trial, &["instruction"]));
    draft.set("agent_type", text(trial, &["agent_info.name", "agent_name"]));
    draft.set("model_used", text(trial, &["agent_info.model_info.name", "model_name"]));
    let start =
        time(trial, &["agent_started_at", "agent_execution.started_at", "trial_started_at", "started_at"]);
    let end =
        time(trial, &["agent_ended_at", "agent_execution.finished_at", "trial_ended_at", "finished_at"]);
    draft.set_time("started_at", start);
    draft.set_time("completed_at", end);
    draft.set_time("completion_known_at", time(trial, &["test_ended_at", "trial_ended_at", "finished_at"]));
    let seconds = start.zip(end).map(|(start, end)| (end - start).num_milliseconds() as f64 / 1e3);
    draft.set("generation_time_seconds", seconds.filter(|s| *s >= 0.0));
    draft.state_time(out.options.stated_time());
    let known = |n: &u64| *n > 0;
    draft.set_tokens(Tokens {
        // Nobody counted: 0.
        input: count(trial, &["total_input_tokens", "agent_result.n_input_tokens"]).filter(known),
        output: count(trial, &["total_output_tokens", "agent_result.n_output_tokens"]).filter(known),
        cache_read: count(trial, &["agent_result.n_cache_tokens"]).filter(known),
        ..Tokens::default()
    });
    draft.set("cost_usd", number(trial, &["agent_result.cost_usd"]).filter(|cost| *cost > 0.0));
    // An agent that ran out of time may have resolved it; where the tests did not end, nothing is known.
    let reward = number(trial, &["verifier_result.rewards.reward", "verifier_result.reward"]);
    let by_reward = reward.filter(|r| *r == 0.0 || *r == 1.0).map(|r| r == 1.0);
    draft.set("success", flag(trial, &["is_resolved"]).or(by_reward));
    draft.set(
        "final_quality_score",
        quality(trial).or(reward.filter(|r| (0.0..=1.0).contains(r))).map(|share| share * 10.0),
    );
    draft.note("source", Some("terminal-bench"));
    draft.note_end("failure_mode", text(trial, &["failure_mode"]).filter(|mode| mode != "unset"));
    draft.note_end("exception", text(trial, &["exception_info.exception_type"]));
    out.add(draft, place);
    Ok(())
}

/// Returns the share of tests that passed.
fn quality(trial: &Value) -> Option<f64> {
    let tests = at(trial, &["parser_results"])?.as_object().filter(|tests| !tests.is_empty())?;
    let passed = tests.values().filter(|result| result.as_str() == Some("passed")).count();
    Some(passed as f64 / tests.len() as f64)
}
