//! Tasks and their context at the start.

use super::Simulator;
use super::options::SimulatorOptions;
use super::random::{Draw, Purpose, place};
use super::text::{Noun, describe};
use super::world::{AGENTS, Agent, KINDS, LLMS, Llm, TEMPLATES, Template};
use crate::error::Result;
use crate::event::{Decision, EventId, ProjectId, SessionId, TaskContext, TaskId, TemplateId, UserId};
use chrono::{DateTime, TimeDelta, Utc};

/// A task, with what nobody sees of it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) context: TaskContext,
    pub(super) difficulty: f64,
    pub(super) noun: Noun,
}

type Stack = (&'static str, Option<&'static str>);

/// What tasks of a type are written in.
pub(super) fn stacks(kind: &str) -> &'static [Stack] {
    match kind {
        "backend" => &[
            ("python", Some("fastapi")),
            ("python", Some("django")),
            ("typescript", Some("nestjs")),
            ("rust", Some("axum")),
        ],
        "frontend" => &[
            ("typescript", Some("react")),
            ("javascript", Some("vue")),
            ("typescript", Some("angular")),
            ("html", None),
        ],
        "database" => &[("sql", None), ("sql", None), ("python", Some("django"))],
        "testing" => &[("python", Some("pytest")), ("typescript", Some("jest")), ("rust", None)],
        "documentation" => &[("html", None), ("python", None), ("typescript", None)],
        _ => &[("python", None), ("rust", None), ("javascript", None)],
    }
}

/// A task that nobody has tried yet.
pub(super) fn new_task(options: &SimulatorOptions, number: u64) -> Task {
    let mut draw = Draw::new(options.seed, Purpose::Task, number);
    let kind = draw.pick(&KINDS).0;
    let described = describe(kind, &mut Draw::new(options.seed, Purpose::Text, number));
    let mut task = TaskContext::new(id(TaskId::new, "task", number));
    // Some projects are busier than others.
    let project = draw.below(options.projects).min(draw.below(options.projects));
    let project = id(ProjectId::new, "project", u64::from(project));
    let (language, framework) = stack(options, project.as_str(), kind, &mut draw);
    task.project_id = Some(project);
    task.user_id = Some(id(UserId::new, "user", u64::from(draw.below(options.users))));
    task.task_type = Some(kind.to_owned());
    task.task_description = described.text;
    task.language = Some(language.to_owned());
    task.framework = framework.map(str::to_owned);
    task.estimated_lines_of_code = Some(10 * (1 + described.bullets + draw.below(8)));
    task.num_files_to_generate = Some(1 + draw.below(2 + described.bullets / 3));
    task.num_dependencies = Some(draw.below(8));
    let difficulty = 0.65 * described.visible + 0.55 * draw.normal();
    Task { context: task, difficulty, noun: described.noun }
}

/// Mostly the one that the project uses.
fn stack(options: &SimulatorOptions, project: &str, kind: &str, draw: &mut Draw) -> Stack {
    let of = stacks(kind);
    let usual = (place(options.seed, [project, kind]) * of.len() as f64) as usize;
    let other = draw.pick(of);
    if draw.chance(0.75) { of[usual] } else { *other }
}

impl Simulator {
    /// Agent, LLM and settings of this try, and how the LLM was chosen.
    pub(super) fn set_up(&self, task: &mut Task, now: DateTime<Utc>) -> Decision {
        let options = &self.options;
        let mut draw = Draw::new(options.seed, Purpose::SetUp, self.number);
        let kind = task.context.task_type.clone().unwrap_or_default();
        let day = now - options.start;
        let (llm, decision) = choose_llm(options, day, &mut draw);
        let context = &mut task.context;
        context.started_at = Some(now);
        let user = context.user_id.as_ref().map_or("nobody", UserId::as_str);
        context.session_id = Some(id(SessionId::new, user, day.num_days() as u64));
        context.agent_type = Some(choose_agent(options, &kind, &mut draw).name.to_owned());
        context.model_used = Some(llm.name.to_owned());
        context.temperature = Some(f64::from(draw.below(11)) / 10.0);
        context.max_tokens = Some(*draw.pick(&[2000, 4000, 8000]));
        context.template_id = choose_template(&kind, &mut draw).map(|name| good(TemplateId::new(name)));
        self.retrieve(context, &mut draw);
        context.current_queue_size = Some((4.0 * draw.exponential()) as u32);
        context.system_load = Some((10.0 * draw.unit() * draw.unit()).floor() / 10.0 + 0.1);
        decision
    }

    /// Examples from generations whose approval was known by then.
    fn retrieve(&self, context: &mut TaskContext, draw: &mut Draw) {
        let enabled = draw.chance(0.65);
        let (wanted, similarity) = (1 + draw.below(5), 0.35 + 0.6 * draw.unit());
        context.rag_enabled = Some(enabled);
        let mut chosen: Vec<usize> = Vec::new();
        if enabled && !self.library.is_empty() {
            for _ in 0..wanted {
                let at = draw.below(self.library.len() as u32) as usize;
                if !chosen.contains(&at) {
                    chosen.push(at);
                }
            }
        }
        let found = (!chosen.is_empty()).then_some(chosen.len() as f64);
        context.rag_examples_count = Some(chosen.len() as u32);
        context.rag_avg_similarity = found.map(|_| similarity);
        let quality: f64 = chosen.iter().map(|at| self.library[*at].1).sum();
        context.rag_avg_quality = found.map(|n| quality / n);
        context.rag_examples_ids = chosen.into_iter().map(|at| event_id(self.library[at].0).into()).collect();
    }
}

/// Chooses at random, so that any other policy can be evaluated off-policy afterwards.
fn choose_llm(options: &SimulatorOptions, day: TimeDelta, draw: &mut Draw) -> (&'static Llm, Decision) {
    let arrived = options.new_model_day.is_some_and(|from| day >= TimeDelta::days(i64::from(from)));
    let known = LLMS.len() - 1;
    let of_new = if arrived { options.new_model_share } else { 0.0 };
    let new = draw.chance(of_new);
    let old = draw.below(known as u32) as usize;
    let (chosen, propensity) = if new { (known, of_new) } else { (old, (1.0 - of_new) / known as f64) };
    let candidates = &LLMS[..if arrived { LLMS.len() } else { known }];
    let names = candidates.iter().map(|llm| llm.name.to_owned()).collect();
    let decision = good(Decision::new("random 1", names, LLMS[chosen].name, propensity));
    (&LLMS[chosen], decision)
}

/// Half of the time the specialist, where there is one.
fn choose_agent(options: &SimulatorOptions, kind: &str, draw: &mut Draw) -> &'static Agent {
    let agents = &AGENTS[..options.agents as usize];
    let any = draw.pick(agents);
    let specialist = agents.iter().find(|agent| agent.best == kind);
    if draw.chance(0.5) { specialist.unwrap_or(any) } else { any }
}

/// None for a third, now and then one that is meant for something else.
fn choose_template(kind: &str, draw: &mut Draw) -> Option<&'static str> {
    let any = draw.pick(&TEMPLATES);
    let fitting = |template: &&Template| template.kind == kind;
    let which = draw.below(2) as usize;
    match draw.unit() {
        u if u < 0.33 => None,
        u if u < 0.40 => Some(any.name),
        _ => TEMPLATES.iter().filter(fitting).nth(which).map(|template| template.name),
    }
}

/// The id of the generation of that number.
pub(super) fn event_id(number: u64) -> EventId {
    id(EventId::new, "gen", number)
}

/// An identifier made of a word and a number, which is always a good one.
fn id<T>(make: impl Fn(String) -> Result<T>, word: &str, number: u64) -> T {
    good(make(format!("{word}-{number}")))
}

/// What constants and numbers make, which is always valid.
pub(super) fn good<T>(made: Result<T>) -> T {
    made.unwrap_or_else(|_| unreachable!("what the world is made of is valid"))
}
