//! TensorZero: rows of its tables of inferences, model inferences and feedback, of Postgres or ClickHouse.

use super::Reader;
use super::draft::{Draft, Tokens, Verdict, id};
use super::field::{at, count, embedded, flag, number, text, time};
use super::message::{answer, prompt};
use super::options::action_of;
use super::out::{Out, tag};
use super::source::{Place, Row};
use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Inferences that wait for their model inferences.
const WAITING: usize = 200_000;

#[derive(Default)]
pub(super) struct Tensorzero {
    /// Sums over the model inferences of an inference: fallbacks and retries too.
    calls: HashMap<u128, Calls>,
    /// With file and line.
    waiting: Vec<(u128, Draft, String, usize)>,
}

#[derive(Default, Clone)]
struct Calls {
    tokens: Tokens,
    cost: Option<f64>,
    model: Option<String>,
}

impl Reader for Tensorzero {
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let row = row.into_value()?;
        if at(&row, &["model_name", "model_provider_name"]).is_some() {
            return self.call(&row);
        }
        if at(&row, &["metric_name"]).is_some() {
            return feedback(&row, out);
        }
        if at(&row, &["function_name"]).is_some() {
            self.inference(&row, place)?;
            if self.waiting.len() >= WAITING {
                self.flush(out);
            }
            return Ok(());
        }
        Err(Error::invalid("no inference, model inference or feedback on a metric"))
    }

    fn end(&mut self, out: &mut Out) {
        self.flush(out);
    }
}

impl Tensorzero {
    fn call(&mut self, row: &Value) -> Result<()> {
        let inference = number_of(
            &text(row, &["inference_id"]).ok_or_else(|| Error::invalid("inference_id is missing"))?,
        );
        let cached = flag(row, &["cached"]) == Some(true);
        let calls = self.calls.entry(inference).or_default();
        let used = |paths: &[&str]| count(row, paths);
        calls.tokens.add(Tokens {
            input: used(&["input_tokens"]),
            output: used(&["output_tokens"]),
            cache_read: used(&["provider_cache_read_input_tokens"]),
            cache_write: used(&["provider_cache_write_input_tokens"]),
            disjoint: false,
        });
        if let Some(cost) = number(row, &["cost"]).or(cached.then_some(0.0)) {
            // An answer from the cache costs nothing.
            calls.cost = Some(calls.cost.unwrap_or(0.0) + if cached { 0.0 } else { cost });
        }
        calls.model = text(row, &["model_name", "model_provider_name"]).or(calls.model.take());
        Ok(())
    }

    fn inference(&mut self, row: &Value, place: &Place<'_>) -> Result<()> {
        let event_id = text(row, &["id", "inference_id"]).ok_or_else(|| Error::invalid("id is missing"))?;
        let (function, variant) =
            (text(row, &["function_name"]).unwrap_or_default(), text(row, &["variant_name"]));
        let tags = embedded(row, &["tags"]).unwrap_or_default();
        let named = text(&tags, &["task", "task_id", "task_key"]).or_else(|| tag(&tags, "task"));
        let episode = text(row, &["episode_id"]);
        let task = named.or_else(|| episode.clone()).unwrap_or_else(|| event_id.clone());
        let mut draft = Draft::new(&event_id, &format!("{function}/{task}"));
        draft.set_id("session_id", episode.clone());
        draft.set("task_type", Some(function));
        draft.set_id("template_id", variant);
        draft.set_id("user_id", text(&tags, &["user_id", "user"]));
        draft.set_id("project_id", text(&tags, &["project", "project_id"]));
        let start = time(row, &["created_at", "timestamp"]).or_else(|| time_of(&event_id));
        draft.set_time(
            "started_at",
            Some(start.ok_or_else(|| Error::invalid("created_at is missing and the id tells no time"))?),
        );
        draft.set(
            "generation_time_seconds",
            number(row, &["processing_time_ms"]).filter(|ms| *ms >= 0.0).map(|ms| ms / 1e3),
        );
        let settings = embedded(row, &["inference_params"]).unwrap_or_default();
        let settings = at(&settings, &["chat_completion"]).unwrap_or(&settings);
        draft.set("temperature", number(settings, &["temperature"]));
        draft.set("max_tokens", count(settings, &["max_tokens"]).filter(|n| u32::try_from(*n).is_ok()));
        draft.set("task_description", at(row, &["input"]).and_then(prompt));
        draft.set("generated_code", at(row, &["output"]).and_then(answer));
        draft.note("source", Some("tensorzero"));
        draft.groups = episode.iter().map(|episode| id(episode)).collect();
        self.waiting.push((number_of(&event_id), draft, place.file.to_owned(), place.line));
        Ok(())
    }

    /// Hands on the inferences that wait.
    fn flush(&mut self, out: &mut Out) {
        for (inference, mut draft, file, line) in std::mem::take(&mut self.waiting) {
            let Calls { tokens, cost, model } = self.calls.remove(&inference).unwrap_or_default();
            draft.set_tokens(tokens);
            draft.set("cost_usd", cost);
            draft.set("model_used", model);
            out.add(draft, &Place { file: &file, line, nth: 1 });
        }
    }
}

fn feedback(row: &Value, out: &mut Out) -> Result<()> {
    let name = text(row, &["metric_name"]).unwrap_or_default();
    if !out.options.is_verdict(&name) {
        return Err(Error::invalid(format!(
            "feedback that is no verdict (name it in verdicts if it is one): {name}"
        )));
    }
    let action = at(row, &["value"]).and_then(action_of);
    let action =
        action.ok_or_else(|| Error::invalid(format!("feedback that says neither yes nor no: {name}")))?;
    let own = text(row, &["id"]).ok_or_else(|| Error::invalid("id is missing"))?;
    let known_at = time(row, &["created_at", "timestamp"]).or_else(|| time_of(&own));
    let target = text(row, &["target_id"]).ok_or_else(|| Error::invalid("target_id is missing"))?;
    let known_at =
        Some(known_at.ok_or_else(|| Error::invalid("created_at is missing and the id tells no time"))?);
    let verdict = Verdict { id: own, action, known_at, reviewer: None, words: None, success: None };
    // An inference or an episode: nothing tells which.
    out.judge_either(&target, &verdict);
    Ok(())
}

/// Returns a UUID as a number; of any other id a digest.
fn number_of(id: &str) -> u128 {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    let uuid = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
    uuid.unwrap_or_else(|| u128::from_str_radix(&super::draft::digest(id), 16).unwrap_or_default())
}

/// Returns the moment in a UUID of version 7: milliseconds in its first 48 bits.
fn time_of(id: &str) -> Option<DateTime<Utc>> {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || digits.as_bytes()[12] != b'7' {
        return None;
    }
    let millis = i64::from_str_radix(digits.get(..12)?, 16).ok()?;
    super::field::as_time(&json!(millis))
}
