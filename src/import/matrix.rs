//! Tables of tasks × LLMs: a row for each cell, or a column for each LLM.

use super::Reader;
use super::draft::{Draft, digest, id};
use super::field::{as_flag, number, text, time};
use super::out::{Out, required};
use super::source::{Place, Row};
use crate::error::{Error, Result};
use serde_json::Value;
use std::collections::HashMap;

const TASK: [&str; 8] =
    ["task", "task_id", "sample_id", "instance_id", "id", "problem_id", "question_id", "prompt_id"];
const ARM: [&str; 8] = ["arm", "model", "llm", "model_used", "agent", "agent_type", "system", "model_name"];
const SUCCESS: [&str; 8] =
    ["success", "resolved", "correct", "passed", "score", "reward", "performance", "is_resolved"];
const COST: [&str; 4] = ["cost", "cost_usd", "total_cost", "price"];
const TRY: [&str; 5] = ["try", "trial", "attempt", "run", "seed"];
const TEXT: [&str; 6] =
    ["prompt", "task_description", "question", "text", "instruction", "problem_statement"];
const GROUP: [&str; 4] = ["eval_name", "dataset", "benchmark", "project_id"];

/// Columns of a wide table that are the LLM's name and this.
const OF_ARM: [&str; 6] = ["total_cost", "cost", "model_response", "tokens", "latency", "seconds"];

/// A table; of several rows of one cell without a number each is another try.
#[derive(Default)]
pub(super) struct Matrix {
    tries: HashMap<String, u32>,
}

impl Reader for Matrix {
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let row = row.into_value()?;
        let task = required(&row, &TASK)?;
        if ARM.iter().any(|name| row.get(*name).is_some()) {
            let arm = required(&row, &ARM)?;
            let cell = Cell {
                arm: &arm,
                success: SUCCESS.iter().find_map(|c| row.get(*c)),
                cost: number(&row, &COST),
            };
            self.add(&row, &task, &cell, place, out);
            return Ok(());
        }
        let Value::Object(columns) = &row else { return Err(Error::invalid("not a row")) };
        let arms: Vec<&str> = columns.keys().filter_map(|column| arm_of(column)).collect();
        let known = |name: &str| {
            [&TASK[..], &TEXT[..], &GROUP[..], &TRY[..], &["oracle_model_to_route_to"]]
                .concat()
                .contains(&name)
        };
        let is_arm =
            |name: &str| !name.contains('|') && !known(name) && (arms.is_empty() || arms.contains(&name));
        let mut any = false;
        for (arm, value) in columns.iter().filter(|(name, value)| is_arm(name) && quality(value).is_some()) {
            let cost = number(&row, &[&format!("{arm}|total_cost"), &format!("{arm}|cost")]);
            self.add(&row, &task, &Cell { arm, success: Some(value), cost }, place, out);
            any = true;
        }
        let none = || {
            Error::invalid(
                "no column of an LLM: expected task, arm, success and cost, or a column for each LLM",
            )
        };
        any.then_some(()).ok_or_else(none)
    }

    fn end_file(&mut self, _: &Place<'_>, _: &mut Out) {
        // The same file again is the same tries.
        self.tries.clear();
    }
}

struct Cell<'a> {
    arm: &'a str,
    success: Option<&'a Value>,
    cost: Option<f64>,
}

impl Matrix {
    fn add(&mut self, row: &Value, task: &str, cell: &Cell<'_>, place: &Place<'_>, out: &mut Out) {
        let key = format!("{task}/{}", cell.arm);
        let nth = text(row, &TRY).unwrap_or_else(|| {
            let tries = self.tries.entry(digest(&key)).or_default();
            *tries += 1;
            tries.to_string()
        });
        let event_id = if nth == "1" { id(&key) } else { id(&format!("{key}#{nth}")) };
        let mut draft = Draft::new(&event_id, task);
        let by_agent = ["agent", "agent_type", "system"]
            .iter()
            .any(|name| text(row, &[name]).as_deref() == Some(cell.arm));
        draft.set(if by_agent { "agent_type" } else { "model_used" }, Some(cell.arm));
        if !by_agent {
            draft.set("agent_type", text(row, &["agent", "agent_type", "system"]));
        }
        draft.set("task_description", text(row, &TEXT));
        draft.set_id("project_id", text(row, &GROUP));
        draft.set("attempt", nth.parse::<u32>().ok().and_then(|n| n.checked_sub(1)).filter(|n| *n > 0));
        draft.set_time("started_at", time(row, &["started_at", "time", "timestamp"]));
        draft.state_time(out.options.stated_time());
        draft.set("cost_usd", cell.cost);
        if let Some(quality) = cell.success.and_then(quality) {
            draft.set("success", Some(quality).filter(|q| *q == 0.0 || *q == 1.0).map(|q| q == 1.0));
            draft.set("final_quality_score", Some(quality * 10.0));
        }
        out.add(draft, place);
    }
}

/// Returns the LLM of a column such as `small|total_cost`.
fn arm_of(column: &str) -> Option<&str> {
    column.split_once('|').filter(|(_, what)| OF_ARM.contains(what)).map(|(arm, _)| arm)
}

/// Returns a success as 0 to 1; `None` where the cell is empty or is no success.
fn quality(value: &Value) -> Option<f64> {
    as_flag(value).map(|flag| f64::from(u8::from(flag))).or_else(|| {
        let number = match value {
            Value::String(text) => text.trim().parse().ok()?,
            _ => value.as_f64()?,
        };
        (0.0..=1.0).contains(&number).then_some(number)
    })
}
