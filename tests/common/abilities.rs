//! A world of tasks that every agent attempts.

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::event::{GenerationEvent, Record, TaskContext};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

pub const AGENTS: [(&str, f64); 6] =
    [("novice", -2.0), ("junior", -1.0), ("plain", 0.0), ("solid", 0.5), ("senior", 1.0), ("expert", 2.0)];

/// Subjects of descriptions, and their difficulties.
pub const SUBJECTS: [(&str, f64); 8] = [
    ("rename a variable", -2.5),
    ("fix a typo in the docs", -2.0),
    ("add a unit test", -1.0),
    ("sort a list of orders", -0.5),
    ("parse nested dates", 0.5),
    ("migrate the billing schema", 1.5),
    ("prove the scheduler free of deadlock", 2.5),
    ("recover a corrupt ledger", 2.0),
];

/// Returns the facts of 64 tasks, each attempted by every agent.
pub fn records() -> Vec<Record> {
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    let first_start: DateTime<Utc> = "2025-03-03T09:00:00Z".parse().unwrap();
    let mut tries: Vec<_> =
        (0..64).flat_map(|task| (0..AGENTS.len()).map(move |agent| (task, agent))).collect();
    tries.shuffle(&mut rng);
    let mut records: Vec<Record> = Vec::new();
    for (i, (task, agent)) in (0..).zip(tries) {
        let success = rng.random::<f64>() < success_probability(task, agent);
        records.extend(
            event(task, agent, first_start + TimeDelta::minutes(20 * i), success).into_records().unwrap(),
        );
    }
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    records
}

pub fn success_probability(task: usize, agent: usize) -> f64 {
    1.0 / (1.0 + (SUBJECTS[task % SUBJECTS.len()].1 - AGENTS[agent].1).exp())
}

/// Returns what a try costs: the abler the agent and the harder the task, the more, give or take a third.
pub fn cost_usd(task: usize, agent: usize) -> f64 {
    let noise = ((task * 7_919 + agent * 104_729) % 101) as f64 / 101.0 - 0.5;
    (0.6 * AGENTS[agent].1 + 0.4 * SUBJECTS[task % SUBJECTS.len()].1 + 0.6 * noise - 2.0).exp()
}

pub fn event(task: usize, agent: usize, started: DateTime<Utc>, success: bool) -> GenerationEvent {
    let action = if success { "approve" } else { "reject" };
    let json = format!(
        r#"{{"event_id":"e{task}-{agent}","task_id":"t{task}","task_description":"{}","agent_type":"{}",
            "started_at":"{}","completed_at":"{}","user_action":"{action}",
            "cost_usd":{},"tokens_used":{}}}"#,
        text(task),
        AGENTS[agent].0,
        started.to_rfc3339(),
        (started + TimeDelta::minutes(5)).to_rfc3339(),
        cost_usd(task, agent),
        (1e5 * cost_usd(task, agent)).round(),
    );
    GenerationEvent::from_json(&json).unwrap()
}

pub fn text(task: usize) -> String {
    format!("Please {} for customer {task}", SUBJECTS[task % SUBJECTS.len()].0)
}

pub fn context(task: usize, agent: usize) -> TaskContext {
    let started = "2025-05-03T09:00:00Z".parse().unwrap();
    event(task, agent, started, true).started.value.context
}
