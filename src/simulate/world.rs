//! Ground truth: the success probability of a generation.

use super::options::SimulatorOptions;
use super::random::place;
use crate::event::TaskContext;
use crate::stats::sigmoid;
use chrono::{DateTime, Utc};

/// An agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) name: &'static str,
    skill: f64,
    /// The type of task at which it is at its best.
    pub(super) best: &'static str,
}

/// An LLM.
#[derive(Debug)]
pub(super) struct Llm {
    pub(super) name: &'static str,
    skill: f64,
    /// US dollars for a thousand tokens.
    pub(super) price: f64,
    /// Tokens a second.
    pub(super) speed: f64,
}

/// A template.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    help: f64,
}

const fn agent(name: &'static str, skill: f64, best: &'static str) -> Agent {
    Agent { name, skill, best }
}

const fn llm(name: &'static str, skill: f64, price: f64, speed: f64) -> Llm {
    Llm { name, skill, price, speed }
}

const fn template(name: &'static str, kind: &'static str, help: f64) -> Template {
    Template { name, kind, help }
}

/// The first is the one that drifts.
pub(super) const AGENTS: [Agent; 8] = [
    agent(DRIFTING, 0.3, "backend"),
    agent("frontend", 0.1, "frontend"),
    agent("implementation", 0.3, "database"),
    agent("generalist", -0.4, "documentation"),
    agent("testing", 0.0, "testing"),
    agent("devops", 0.1, "devops"),
    agent("database", 0.2, "database"),
    agent("documentation", -0.1, "documentation"),
];

/// The last is the one that arrives late.
pub(super) const LLMS: [Llm; 4] = [
    llm("claude-sonnet-4.5", 0.5, 0.009, 70.0),
    llm("deepseek-v3", -0.2, 0.001, 45.0),
    llm("gpt-4.1-mini", -0.6, 0.002, 110.0),
    llm("claude-opus-5", 1.1, 0.020, 50.0),
];

/// Types of tasks with how easy they are.
pub(super) const KINDS: [(&str, f64); 6] = [
    ("backend", -0.1),
    ("frontend", 0.3),
    ("database", -0.6),
    ("testing", 0.5),
    ("documentation", 0.9),
    ("devops", -0.5),
];

/// Templates with their effect in log-odds on a matching task.
pub(super) const TEMPLATES: [Template; 12] = [
    template("rest-crud", "backend", 0.5),
    template("service-layer", "backend", -0.2),
    template("form-page", "frontend", 0.3),
    template("data-table", "frontend", 0.0),
    template("versioned-migration", "database", 0.6),
    template("plain-schema", "database", -0.1),
    template("unit-suite", "testing", 0.4),
    template("contract-suite", "testing", -0.3),
    template("reference-page", "documentation", 0.2),
    template("howto-page", "documentation", 0.4),
    template("pipeline-steps", "devops", 0.3),
    template("container-image", "devops", -0.2),
];

/// The agent that degrades.
const DRIFTING: &str = "backend";
/// Loss of skill by degradation of an agent or an LLM, in log-odds.
const DRIFT: f64 = -2.0;
/// Log-odds of a medium task.
const BASE: f64 = 1.4;

/// Returns the true probability that `task`, of a hidden `difficulty`, succeeds at `now`.
pub(super) fn probability(
    options: &SimulatorOptions,
    task: &TaskContext,
    difficulty: f64,
    now: DateTime<Utc>,
) -> f64 {
    let day = (now - options.start).num_seconds() as f64 / 86_400.0;
    let kind = task.task_type.as_deref().unwrap_or_default();
    let ease = KINDS.iter().find(|(name, _)| *name == kind).map_or(0.0, |(_, ease)| *ease);
    let margin = BASE
        + ease
        + project(options, task, day)
        + agent_skill(options, task, kind, day)
        + llm_skill(options, task, kind, day)
        + template_help(options, task, kind)
        + examples(task)
        + settings(task)
        - difficulty;
    sigmoid(margin)
}

/// Some projects are harder; each changes over the weeks.
fn project(options: &SimulatorOptions, task: &TaskContext, day: f64) -> f64 {
    let Some(id) = &task.project_id else { return 0.0 };
    let level = 1.2 * (place(options.seed, ["project", id.as_str()]) - 0.5);
    let phase = place(options.seed, ["phase", id.as_str()]);
    level + 0.5 * std::f64::consts::TAU.mul_add(phase, day / 12.0).sin()
}

/// An agent's skill, at this type of task, in this language and framework, today.
fn agent_skill(options: &SimulatorOptions, task: &TaskContext, kind: &str, day: f64) -> f64 {
    let Some(agent) = AGENTS.iter().find(|agent| Some(agent.name) == task.agent_type.as_deref()) else {
        return 0.0;
    };
    let knows = |what: Option<&str>, much: f64| {
        what.map_or(0.0, |what| much * (place(options.seed, [agent.name, what]) - 0.5))
    };
    let at_kind = if agent.best == kind { 0.8 } else { knows(Some(kind), 0.8) };
    let drifted = options.drift_day.is_some_and(|from| day >= f64::from(from));
    let drift = if drifted && agent.name == DRIFTING { DRIFT } else { 0.0 };
    let stack = knows(task.language.as_deref(), 0.8) + knows(task.framework.as_deref(), 0.6);
    agent.skill + at_kind + stack + drift
}

/// The LLM of a task; `None` for one that is not of this world.
pub(super) fn llm_of(task: &TaskContext) -> Option<&'static Llm> {
    LLMS.iter().find(|llm| Some(llm.name) == task.model_used.as_deref())
}

/// An LLM's skill, at this type of task, in this language, today.
fn llm_skill(options: &SimulatorOptions, task: &TaskContext, kind: &str, day: f64) -> f64 {
    let Some(llm) = llm_of(task) else { return 0.0 };
    let suits = |what: &str| place(options.seed, [llm.name, what]) - 0.5;
    let fit = 0.6 * suits(kind) + 0.4 * task.language.as_deref().map_or(0.0, suits);
    let degraded = options.degraded_llm_day.is_some_and(|from| day >= f64::from(from));
    let drift = if degraded && llm.name == LLMS[0].name { DRIFT } else { 0.0 };
    llm.skill + options.llm_fit * fit + drift
}

/// A template that is made for another type of task is in the way; each may be at home in some
/// languages and frameworks.
fn template_help(options: &SimulatorOptions, task: &TaskContext, kind: &str) -> f64 {
    let Some(id) = &task.template_id else { return 0.0 };
    let found = TEMPLATES.iter().find(|template| template.name == id.as_str());
    found.map_or(0.0, |template| {
        let stack = [(&task.language, 0.6), (&task.framework, 0.4)].map(|(name, share)| {
            name.as_ref().map_or(0.0, |name| share * (at_home(options, template, name) - 0.5))
        });
        let help = if template.kind == kind { template.help } else { -0.6 };
        help + options.template_fit * (stack[0] + stack[1])
    })
}

/// How well a template fits a language or framework, 0 to 1.
pub(super) fn at_home(options: &SimulatorOptions, template: &Template, name: &str) -> f64 {
    place(options.seed, [template.name, name])
}

/// Up to five examples help, the more the closer they are to the task.
fn examples(task: &TaskContext) -> f64 {
    let count = f64::from(task.rag_examples_count.unwrap_or(0).min(5));
    0.3 * count * (task.rag_avg_similarity.unwrap_or(0.5) - 0.3)
}

/// Returns the effect of the settings: a high temperature, a small token limit and a busy machine hurt; a retry
/// has the earlier feedback.
fn settings(task: &TaskContext) -> f64 {
    let heat = task.temperature.map_or(0.0, |t| -0.9 * t);
    let leash = task.max_tokens.map_or(0.0, |most| if most < 4000 { -0.3 } else { 0.0 });
    let load = task.system_load.map_or(0.0, |load| -0.5 * load * load);
    heat + leash + load + 0.25 * f64::from(task.attempt.min(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{TaskId, TemplateId};

    /// Returns the success probability of a medium task after one change.
    fn after(change: impl Fn(&mut TaskContext)) -> f64 {
        let options = SimulatorOptions::default();
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        task.task_type = Some("database".into());
        change(&mut task);
        probability(&options, &task, 1.0, options.start)
    }

    #[test]
    fn each_part_of_the_truth_pulls_its_way() {
        let plain = after(|_| {});
        assert!(after(|t| t.temperature = Some(1.0)) < plain);
        assert!(after(|t| t.system_load = Some(1.0)) < plain);
        assert!(after(|t| t.max_tokens = Some(2000)) < plain);
        assert!(after(|t| t.rag_examples_count = Some(3)) > plain);
        assert!(after(|t| t.attempt = 1) > plain);
        assert!(after(|t| t.task_type = Some("documentation".into())) > plain);
        assert!(after(|t| t.agent_type = Some("implementation".into())) > plain);
        let with = |name: &str| after(|t| t.template_id = Some(TemplateId::new(name).unwrap()));
        assert!(with("versioned-migration") > plain && with("form-page") < plain);
        assert_eq!(with("unheard-of"), plain);
        let by = |name: &str| after(|t| t.model_used = Some(name.into()));
        assert!(by("claude-opus-5") > by("claude-sonnet-4.5") && by("gpt-4.1-mini") < plain);
    }
}
