//! What of a file of events is understood, field by field.

use crate::common;
use devmatrix_ml::event::GenerationEvent;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The most useful fields and their use.
const BRINGS: [(&str, &str); 17] = [
    ("started_at", "order in time: without it no backtest in time and no history as of a moment"),
    ("task_description", "similar tasks, words of the task: skill on tasks that were never seen"),
    ("agent_type", "rates by agent, the first thing that a prediction starts from"),
    ("model_used", "rates and comparison of LLMs, routing"),
    ("project_id", "rates by project"),
    ("user_id", "rates by person"),
    ("session_id", "what was tried in the same session"),
    ("task_type", "rates by type of task"),
    ("language", "rates by language"),
    ("user_action", "the outcome: approve, modify, reject; without any outcome nothing is learned"),
    ("success", "the outcome, where tests or a repository tell it"),
    ("completed_at", "from when on an outcome was known"),
    ("cost_usd", "cost model, budgets, cost per success"),
    ("tokens_used", "token model, and cost where prices are given"),
    ("generation_time_seconds", "time model"),
    ("generated_code", "metrics of the code"),
    ("final_quality_score", "quality model"),
];

/// Prints what is understood in a file of the flat form.
pub(crate) fn explain(path: &Path) -> anyhow::Result<()> {
    let schema: Value = serde_json::from_str(include_str!("../../docs/reference/events.schema.json"))?;
    let known = schema["properties"].as_object().cloned().unwrap_or_default();
    let read = common::read_events(path, true)?;
    let all = read.events.len();
    let mut counts = BTreeMap::<String, usize>::new();
    for event in &read.events {
        count(event, &mut counts)?;
    }
    println!("{all} events, {} lines that cannot be read", read.bad.len());
    for (line, error) in read.bad.iter().take(20) {
        println!("  line {line}: {error:#}");
    }
    let of = |field: &str| counts.get(field).copied().unwrap_or(0);
    println!("understood:");
    for (field, what) in known.iter().filter(|(field, _)| of(field) > 0) {
        println!(
            "  {field:<26}{:>9} of {all}  {}",
            of(field),
            what["description"].as_str().unwrap_or_default()
        );
    }
    println!("goes to metadata:");
    for (field, n) in counts.iter().filter_map(|(name, n)| Some((name.strip_prefix("metadata.")?, n))) {
        println!("  {field:<26}{n:>9} of {all}  {}", near(field, &known));
    }
    println!("missing:");
    for (field, brings) in BRINGS.iter().filter(|(field, _)| of(field) < all) {
        println!("  {field:<26}{:>9} of {all}  would bring {brings}", all - of(field));
    }
    Ok(())
}

fn count(event: &GenerationEvent, counts: &mut BTreeMap<String, usize>) -> anyhow::Result<()> {
    let Value::Object(fields) = serde_json::to_value(event)? else { return Ok(()) };
    for (field, value) in fields {
        if field == "metadata" {
            for own in value.as_object().into_iter().flat_map(Map::keys) {
                *counts.entry(format!("metadata.{own}")).or_default() += 1;
            }
        } else if value.as_str() != Some("") {
            *counts.entry(field).or_default() += 1;
        }
    }
    Ok(())
}

/// Names the field that a name is nearly.
fn near(field: &str, known: &Map<String, Value>) -> String {
    let bare = |name: &str| name.to_lowercase().replace(['_', '-', ' '], "");
    let found = known.keys().find(|name| bare(name) == bare(field) && *name != field);
    found.map(|name| format!("did you mean {name}?")).unwrap_or_default()
}
