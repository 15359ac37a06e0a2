//! The truth: what makes a generation succeed.

use super::options::SimulatorOptions;
use crate::event::TaskContext;
use crate::learn::sigmoid;
use chrono::{DateTime, Utc};

/// Agents with their skill, and the kind of task at which they are best.
pub(super) const AGENTS: [(&str, f64, &str); 4] = [
    ("implementation", 0.3, "backend"),
    ("frontend", 0.0, "frontend"),
    ("backend", 0.2, "database"),
    ("generalist", -0.3, "documentation"),
];

/// LLMs with their skill and their dollars for a thousand tokens; the last arrives late.
pub(super) const LLMS: [(&str, f64, f64); 4] = [
    ("claude-sonnet-4.5", 0.6, 0.009),
    ("deepseek-v3", -0.2, 0.001),
    ("gpt-4.1-mini", -0.6, 0.002),
    ("claude-opus-5", 1.1, 0.02),
];

/// Kinds of tasks with how easy they are.
pub(super) const KINDS: [(&str, f64); 6] = [
    ("backend", 0.0),
    ("frontend", 0.4),
    ("database", -0.5),
    ("testing", 0.6),
    ("documentation", 1.3),
    ("devops", -0.4),
];

/// Words that stand in hard and in easy tasks, with what they tell of the difficulty.
pub(super) const WORDS: [(&str, f64); 16] = [
    ("distributed transaction", 1.3),
    ("payment provider", 1.0),
    ("race condition", 1.4),
    ("schema migration", 0.8),
    ("real-time websocket", 0.9),
    ("authentication with JWT", 0.5),
    ("streaming endpoint", 0.7),
    ("microservices queue", 0.8),
    ("pagination", 0.0),
    ("validation of the form", -0.1),
    ("REST endpoint", -0.1),
    ("list component", -0.3),
    ("unit test", -0.4),
    ("rename", -0.9),
    ("typo in the docs", -1.4),
    ("consulta a la base de datos", 0.3),
];

/// Mean log-odds of the middle task.
const BASE: f64 = 1.9;
/// What the drift takes from the backend agent.
const DRIFT: f64 = -2.0;

/// A task's hidden part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hidden {
    pub(super) difficulty: f64,
}

/// Log-odds of success of `task` at `now`: type, agent, LLM, project, difficulty, examples,
/// temperature, load, and drift.
pub(super) fn odds(
    options: &SimulatorOptions,
    task: &TaskContext,
    hidden: Hidden,
    now: DateTime<Utc>,
) -> f64 {
    let day = (now - options.start).num_seconds() as f64 / 86_400.0;
    let kind = task.task_type.as_deref();
    let of_kind = KINDS.iter().find(|(name, _)| Some(*name) == kind).map_or(0.0, |(_, ease)| *ease);
    let agent = AGENTS.iter().find(|(name, ..)| Some(*name) == task.agent_type.as_deref());
    let skill = agent.map_or(0.0, |(_, skill, best)| skill + if Some(*best) == kind { 0.7 } else { 0.0 });
    let drifted = options.drift_day.is_some_and(|from| day >= f64::from(from));
    let drift = if drifted && task.agent_type.as_deref() == Some("backend") { DRIFT } else { 0.0 };
    let llm = LLMS
        .iter()
        .find(|(name, ..)| Some(*name) == task.model_used.as_deref())
        .map_or(0.0, |(_, skill, _)| *skill);
    let examples = task.rag_examples_count.map_or(0.0, |n| 0.12 * f64::from(n.min(5)));
    let heat = task.temperature.map_or(0.0, |t| -0.8 * t);
    let load = task.system_load.map_or(0.0, |load| -0.3 * load);
    let margin = BASE + of_kind + skill + drift + llm + project(options, task, day) + examples + heat + load
        - hidden.difficulty;
    sigmoid(margin)
}

/// Some projects are harder, and change slowly.
fn project(options: &SimulatorOptions, task: &TaskContext, day: f64) -> f64 {
    let Some(id) = &task.project_id else { return 0.0 };
    let number = super::mix(options.seed, id.as_str());
    let place = (number % 1000) as f64 / 1000.0;
    1.6 * (place - 0.5) + 0.5 * (day / 20.0 + place * 6.3).sin()
}
