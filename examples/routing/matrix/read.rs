//! Recorded events as a matrix of tasks × arms.

use crate::columns;
use crate::common::read_events;
use anyhow::{Context, bail};
use devmatrix_ml::event::{GenerationEvent, TaskContext};
use devmatrix_ml::routing::{Candidate, Plan};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Recorded tries by task and arm.
pub(crate) struct Matrix {
    /// The tasks, without LLM and agent.
    pub(crate) tasks: Vec<TaskContext>,
    /// True for the tasks that arrive later.
    pub(crate) is_new: Vec<bool>,
    pub(crate) arms: Vec<Candidate>,
    /// By task and arm; missing cells have no tries.
    pub(crate) cells: Vec<Vec<Vec<Try>>>,
    pub(crate) counts: Counts,
}

/// A recorded try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Try {
    pub(crate) success: bool,
    pub(crate) cost_usd: f64,
}

/// Number of events and cells that are used, and of those that are not, with the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub(crate) struct Counts {
    pub(crate) events: usize,
    pub(crate) without_outcome: usize,
    pub(crate) without_arm: usize,
    pub(crate) without_cost: usize,
    /// No event has a cost: utility is value × success.
    pub(crate) costs_unknown: bool,
    pub(crate) tasks: usize,
    pub(crate) new_tasks: usize,
    pub(crate) arms: usize,
    pub(crate) cells: usize,
    pub(crate) missing_cells: usize,
}

/// Which tasks arrive after the others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NewTasks {
    /// Those whose field has this value.
    Field(String, String),
    /// The rest of a share of the values of a field, chosen by hash.
    Group(String, f64),
}

impl std::str::FromStr for NewTasks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: expected FIELD=VALUE or group:FIELD:SHARE, SHARE between 0 and 1");
        if let Some(group) = text.strip_prefix("group:") {
            let (field, share) = group.rsplit_once(':').ok_or_else(wrong)?;
            let share = share.parse().ok().filter(|share| *share > 0.0 && *share < 1.0).ok_or_else(wrong)?;
            return Ok(Self::Group(field.to_owned(), share));
        }
        let (field, value) = text.split_once('=').ok_or_else(wrong)?;
        Ok(Self::Field(field.to_owned(), value.to_owned()))
    }
}

impl NewTasks {
    fn has(&self, event: &Value) -> bool {
        match self {
            Self::Field(path, value) => text_at(event, path).is_some_and(|found| found == *value),
            Self::Group(path, share) => {
                text_at(event, path).is_some_and(|found| hashed_share(&found) >= *share)
            }
        }
    }
}

/// Returns a number in [0, 1) that depends on the text alone.
fn hashed_share(text: &str) -> f64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

fn text_at(event: &Value, path: &str) -> Option<String> {
    let found = path.split('.').try_fold(event, |value, name| value.get(name))?;
    match found {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Reads events whose arms are named by the fields `by`; those at `columns` become columns of their tasks.
pub(crate) fn read(
    file: &Path,
    by: &[String],
    new: Option<&NewTasks>,
    columns: &[String],
) -> anyhow::Result<Matrix> {
    let mut events = read_events(file, false)?.events;
    if !columns.is_empty() {
        columns::declare(&mut events, columns)?;
    }
    matrix_of(&events, by, new).with_context(|| format!("{}", file.display()))
}

fn matrix_of(events: &[GenerationEvent], by: &[String], new: Option<&NewTasks>) -> anyhow::Result<Matrix> {
    let cost = |event: &GenerationEvent| event.completion.as_ref().and_then(|done| done.value.cost_usd);
    let mut counts = Counts { events: events.len(), ..Counts::default() };
    counts.costs_unknown = events.iter().all(|event| cost(event).is_none());
    let (mut tasks, mut arms) = (BTreeMap::new(), BTreeMap::new());
    let mut tries = Vec::new();
    for event in events {
        let Some(success) = event.outcome().and_then(|outcome| outcome.success) else {
            counts.without_outcome += 1;
            continue;
        };
        let json = serde_json::to_value(event)?;
        let Some(arm) = candidate(&json, by) else {
            counts.without_arm += 1;
            continue;
        };
        let cost_usd = match cost(event) {
            Some(usd) => usd,
            None if counts.costs_unknown => 0.0,
            None => {
                counts.without_cost += 1;
                continue;
            }
        };
        let context = &event.started.value.context;
        tasks.entry(context.task_id.clone()).or_insert_with(|| {
            let mut task = context.clone();
            (task.model_used, task.agent_type, task.session_id, task.started_at) = (None, None, None, None);
            (task, new.is_some_and(|new| new.has(&json)))
        });
        let name = arm.name.clone();
        arms.entry(name.clone()).or_insert(arm);
        tries.push((context.task_id.clone(), name, Try { success, cost_usd }));
    }
    if tries.is_empty() {
        bail!(
            "of {} events {} have no outcome, {} none of the fields {} and {} no cost: name the arms by \
             --arms FIELD[,FIELD]",
            counts.events,
            counts.without_outcome,
            counts.without_arm,
            by.join(", "),
            counts.without_cost
        );
    }
    let task_places: BTreeMap<_, _> = tasks.keys().cloned().enumerate().map(|(at, id)| (id, at)).collect();
    let arm_places: BTreeMap<_, _> = arms.keys().cloned().enumerate().map(|(at, name)| (name, at)).collect();
    let mut cells = vec![vec![Vec::new(); arms.len()]; tasks.len()];
    for (task, arm, attempt) in tries {
        cells[task_places[&task]][arm_places[&arm]].push(attempt);
    }
    let (tasks, is_new): (Vec<_>, Vec<_>) = tasks.into_values().unzip();
    let missing = cells.iter().flatten().filter(|tries| tries.is_empty()).count();
    counts.tasks = tasks.len();
    counts.new_tasks = is_new.iter().filter(|new| **new).count();
    counts.arms = arms.len();
    (counts.cells, counts.missing_cells) = (tasks.len() * arms.len() - missing, missing);
    if new.is_some() && (counts.new_tasks == 0 || counts.new_tasks == counts.tasks) {
        bail!(
            "--new-tasks names {} of {} tasks: it must name some and leave some (group:task_id:0.8 holds back a \
             fifth)",
            counts.new_tasks,
            counts.tasks
        );
    }
    Ok(Matrix { tasks, is_new, arms: arms.into_values().collect(), cells, counts })
}

/// Returns the arm of an event, named by the values of the fields; `None` where it has none of them.
fn candidate(event: &Value, by: &[String]) -> Option<Candidate> {
    let values: Vec<_> = by.iter().map(|path| text_at(event, path)).collect();
    if values.iter().all(Option::is_none) {
        return None;
    }
    let name: Vec<_> = values.iter().map(|value| value.as_deref().unwrap_or("-")).collect();
    let name = name.join("/");
    let mut plan = Plan::default();
    for (path, value) in by.iter().zip(values) {
        match path.as_str() {
            "agent_type" => plan.agent = value,
            "model_used" => plan.llm = value,
            "effort" => plan.effort = value,
            // Of any other field the router learns as of an LLM.
            _ => plan.llm = Some(name.clone()),
        }
    }
    Some(Candidate::new(name, plan))
}

impl Matrix {
    /// Returns the mean success and cost of a cell; `None` where it is missing.
    pub(crate) fn expected(&self, task: usize, arm: usize) -> Option<(f64, f64)> {
        let tries = &self.cells[task][arm];
        let n = tries.len() as f64;
        let success = tries.iter().filter(|attempt| attempt.success).count() as f64;
        let cost = tries.iter().map(|attempt| attempt.cost_usd).sum::<f64>();
        (!tries.is_empty()).then(|| (success / n, cost / n))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// Three tasks and two LLMs; the second misses a cell, a cost, and has one event without an LLM.
    pub(crate) fn small() -> Vec<GenerationEvent> {
        let rows = [
            ("t1", Some("a"), true, Some(0.5)),
            ("t1", Some("b"), true, Some(0.1)),
            ("t2", Some("a"), true, Some(0.5)),
            ("t2", Some("b"), false, Some(0.1)),
            ("t3", Some("a"), false, Some(0.5)),
            ("t3", Some("b"), true, None),
            ("t3", None, true, Some(0.1)),
        ];
        let event = |(at, (task, llm, success, cost)): (usize, _)| {
            let json = json!({
                "event_id": format!("e{at}"), "task_id": task, "model_used": llm, "session_id": "s",
                "started_at": "2025-01-01T00:00:00Z", "completed_at": "2025-01-01T00:00:00Z",
                "success": success, "cost_usd": cost, "metadata": { "half": if task == "t3" { "holdout" } else { "dev" } },
            });
            GenerationEvent::from_json(&json.to_string()).unwrap()
        };
        rows.into_iter().enumerate().map(event).collect()
    }

    #[test]
    fn missing_cells_and_unknown_costs_are_counted() {
        let new: NewTasks = "metadata.half=holdout".parse().unwrap();
        let matrix = matrix_of(&small(), &["model_used".into()], Some(&new)).unwrap();
        let Counts { without_arm, without_cost, missing_cells, cells, new_tasks, .. } = matrix.counts;
        assert_eq!((without_arm, without_cost, missing_cells, cells, new_tasks), (1, 1, 1, 5, 1));
        assert_eq!((matrix.expected(0, 1), matrix.expected(2, 1)), (Some((1.0, 0.1)), None));
        let names: Vec<_> = matrix.arms.iter().map(|arm| arm.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn arms_are_never_named_by_another_field() {
        let error = matrix_of(&small(), &["agent_type".into()], None).err().unwrap().to_string();
        assert!(error.contains("--arms") && error.contains("agent_type"), "{error}");
        let none: NewTasks = "metadata.half=test".parse().unwrap();
        let error = matrix_of(&small(), &["model_used".into()], Some(&none)).err().unwrap().to_string();
        assert!(error.contains("0 of 3 tasks"), "{error}");
    }

    #[test]
    fn a_share_is_held_back_by_hash() {
        let new: NewTasks = "group:task_id:0.8".parse().unwrap();
        let held = (0..1000).filter(|i| new.has(&json!({ "task_id": format!("t{i}") }))).count();
        assert!((150..250).contains(&held), "{held}");
        assert!("group:task_id:1.5".parse::<NewTasks>().is_err() && "half".parse::<NewTasks>().is_err());
    }
}
