//! What agents leave behind: each value tells of which.

mod claude_code;
mod codex;
mod openhands;
mod swe_agent;
mod terminal_bench;

use super::Reader;
use super::draft::Verdict;
use super::field::list;
use super::out::{Out, run_of};
use super::source::{Place, Row};
use crate::error::{Error, Result};
use serde_json::Value;

#[derive(Default)]
pub(super) struct Trajectories {
    claude_code: claude_code::Sessions,
    codex: codex::Rollouts,
}

impl Reader for Trajectories {
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let value = row.into_value()?;
        if !value.is_object() {
            return Err(Error::invalid("not an object"));
        }
        let has = |key: &str| value.get(key).is_some();
        if codex::Rollouts::knows(&value) {
            self.codex.line(&value);
            return Ok(());
        }
        if has("sessionId") || (has("type") && (has("leafUuid") || has("uuid") || has("messageId"))) {
            self.claude_code.line(&value);
            return Ok(());
        }
        if has("trajectory_format") || value.pointer("/info/mini_version").is_some() {
            swe_agent::mini(&value, place, out);
            return Ok(());
        }
        if has("trajectory") && has("info") {
            swe_agent::swe(&value, place, out);
            return Ok(());
        }
        if terminal_bench::knows(&value) {
            terminal_bench::read(&value, place, out);
            return Ok(());
        }
        if openhands::knows(&value) {
            return openhands::read(&value, place, out);
        }
        if has("resolved_ids") || has("resolved") && value.get("resolved").is_some_and(Value::is_array) {
            evaluation(&value, place, out);
            return Ok(());
        }
        Err(Error::invalid("no trajectory, session or result that is known"))
    }

    fn end_file(&mut self, place: &Place<'_>, out: &mut Out) {
        self.claude_code.end_file(place, out);
        self.codex.end_file(place, out);
    }
}

/// Reads the report of an evaluation (SWE-bench): which instances were resolved.
fn evaluation(value: &Value, place: &Place<'_>, out: &mut Out) {
    for (keys, action) in
        [(["resolved_ids", "resolved"], "approve"), (["unresolved_ids", "unresolved"], "reject")]
    {
        for instance in list(value, &keys).into_iter().filter_map(Value::as_str) {
            let id = format!("evaluation-{}-{instance}", run_of(place.file));
            let verdict = Verdict { id, action, known_at: None, reviewer: None, words: None, success: None };
            out.judge_group(&format!("instance:{instance}"), verdict);
        }
    }
}
