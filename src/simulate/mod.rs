//! An orchestrator's world whose truth is known: tasks, agents, LLMs, users who answer late or
//! never, an LLM that arrives, an agent that gets worse.
//!
//! Approval is drawn from odds that are known, so predictions can be judged against the truth. Over
//! 20,000 generations the rate of success is 0.69 and the odds themselves reach an AUC of
//! 0.83, which no predictor can beat (`cargo test --test simulate -- --nocapture`).

mod code;
mod options;
mod world;

pub use options::SimulatorOptions;

use crate::error::Result;
use crate::event::{
    Completion, Decision, EventId, Feedback, GenerationEvent, Known, ProjectId, SessionId, Started,
    TaskContext, TaskId, UserAction, UserId,
};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::{BTreeMap, VecDeque};
use world::{AGENTS, Hidden, KINDS, LLMS, WORDS};

/// Generations in the order of their start.
///
/// ```
/// use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
/// let mut world = Simulator::new(SimulatorOptions::default())?;
/// let generation = world.next().unwrap();
/// assert!((0.0..=1.0).contains(&generation.odds));
/// let mut cooler = generation.context.clone();
/// cooler.temperature = Some(0.0);
/// assert!(world.odds(&generation, &cooler) >= generation.odds); // what if?
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug)]
pub struct Simulator {
    options: SimulatorOptions,
    rng: Pcg64Mcg,
    now: DateTime<Utc>,
    number: u64,
    /// Rejected tasks that are tried again, by when.
    again: BTreeMap<(DateTime<Utc>, u64), (TaskContext, Hidden)>,
    /// Ended generations that may serve as examples.
    examples: VecDeque<EventId>,
}

/// One generation, with the truth about it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Generation {
    /// The generation.
    pub event_id: EventId,
    /// What the orchestrator knows at the start.
    pub context: TaskContext,
    /// How its LLM was chosen, and with which odds.
    pub decision: Decision,
    /// The true probability of success.
    pub odds: f64,
    /// Its end.
    pub completion: Completion,
    /// What the user says and when; `None` where nobody answers.
    pub feedback: Option<(DateTime<Utc>, Feedback)>,
    hidden: Hidden,
}

impl Simulator {
    /// A world from `options`.
    ///
    /// # Errors
    /// `InvalidInput` naming the option that is out of range.
    pub fn new(options: SimulatorOptions) -> Result<Self> {
        options.verify()?;
        let (rng, now) = (Pcg64Mcg::seed_from_u64(options.seed), options.start);
        Ok(Self { options, rng, now, number: 0, again: BTreeMap::new(), examples: VecDeque::new() })
    }

    /// The true odds of `generation` had its context been `context`.
    pub fn odds(&self, generation: &Generation, context: &TaskContext) -> f64 {
        let now = generation.context.started_at.unwrap_or(self.now);
        world::odds(&self.options, context, generation.hidden, now)
    }

    fn end(&self) -> DateTime<Utc> {
        self.options.start + TimeDelta::days(i64::from(self.options.days))
    }

    /// Goes on to the next start: quicker in working hours.
    fn advance(&mut self) {
        let hour = self.now.timestamp().rem_euclid(86_400) / 3600;
        let weekend = self.now.weekday().num_days_from_monday() >= 5;
        let busy = if (8..18).contains(&hour) { 2.0 } else { 0.3 } * if weekend { 0.3 } else { 1.0 };
        let gap = -self.rng.random::<f64>().max(1e-12).ln() * 86_400.0 / (self.options.per_day * busy);
        self.now += TimeDelta::microseconds((gap.min(43_200.0) * 1e6) as i64 + 1);
    }

    fn new_task(&mut self) -> (TaskContext, Hidden) {
        let rng = &mut self.rng;
        let kind = KINDS[rng.random_range(0..KINDS.len())].0;
        let (description, visible) = describe(kind, rng);
        let hidden = Hidden { difficulty: visible + 0.6 * normal(rng) };
        let mut task = TaskContext::new(id(TaskId::new, "TASK", self.number));
        task.project_id =
            Some(id(ProjectId::new, "project", rng.random_range(0..u64::from(self.options.projects))));
        task.user_id = Some(id(UserId::new, "user", rng.random_range(0..u64::from(self.options.users))));
        task.task_type = Some(kind.to_owned());
        task.task_description = description;
        let (language, framework) = stack(kind, rng);
        task.language = Some(language.to_owned());
        task.framework = framework.map(str::to_owned);
        task.estimated_lines_of_code = Some(20 * rng.random_range(1..12));
        task.num_files_to_generate = Some(rng.random_range(1..6));
        task.num_dependencies = Some(rng.random_range(0..8));
        (task, hidden)
    }

    /// Agent, LLM and settings of this try.
    fn set_up(&mut self, task: &mut TaskContext) -> Decision {
        let day = (self.now - self.options.start).num_days();
        let arrived = self.options.new_model_day.is_some_and(|from| day >= i64::from(from));
        let llms = if arrived { LLMS.len() } else { LLMS.len() - 1 };
        let rng = &mut self.rng;
        let llm = LLMS[rng.random_range(0..llms)];
        task.started_at = Some(self.now);
        task.session_id = Some(id(SessionId::new, "session", self.number / 5));
        task.agent_type = Some(AGENTS[rng.random_range(0..AGENTS.len())].0.to_owned());
        task.model_used = Some(llm.0.to_owned());
        task.temperature = Some(f64::from(rng.random_range(0..11_u8)) / 10.0);
        task.max_tokens = Some([2000, 4000, 8000][rng.random_range(0..3)]);
        task.rag_enabled = Some(rng.random_bool(0.6));
        task.rag_examples_ids.clear();
        if task.rag_enabled == Some(true) {
            let wanted = rng.random_range(1..=5);
            let known = &self.examples;
            task.rag_examples_ids = (0..wanted)
                .filter_map(|_| known.get(rng.random_range(0..known.len().max(1))))
                .map(ToString::to_string)
                .collect();
            task.rag_avg_similarity = Some(0.4 + 0.5 * rng.random::<f64>());
        }
        task.rag_examples_count = Some(task.rag_examples_ids.len() as u32);
        task.current_queue_size = Some(rng.random_range(0..20));
        task.system_load = Some(rng.random::<f64>());
        let candidates: Vec<_> = LLMS[..llms].iter().map(|(name, ..)| (*name).to_owned()).collect();
        Decision {
            chosen: llm.0.to_owned(),
            propensity: 1.0 / llms as f64,
            policy: "uniform 1".to_owned(),
            candidates,
        }
    }

    fn finish(&mut self, task: &TaskContext, hidden: Hidden, success: bool) -> Completion {
        let rng = &mut self.rng;
        let subject = format!("item_{}", self.number % 97);
        let (code, ending) = code::program(task.language.as_deref().unwrap_or("rust"), &subject, rng);
        let seconds = (2.5 + 0.4 * hidden.difficulty + 0.4 * normal(rng)).exp();
        let tokens = (code.len() as f64 * 2.5 * (1.0 + rng.random::<f64>())) as u64 + 200;
        let price = LLMS.iter().find(|l| Some(l.0) == task.model_used.as_deref()).map_or(0.0, |l| l.2);
        Completion {
            completed_at: Some(self.now + TimeDelta::microseconds((seconds * 1e6) as i64)),
            lines_of_code: Some(code.lines().count() as u32),
            generated_code: Some(code),
            file_path: Some(format!("src/{subject}.{ending}")),
            self_review_score: Some((if success { 7.5 } else { 6.5 } + normal(rng)).clamp(0.0, 10.0)),
            generation_time_seconds: Some(seconds),
            tokens_used: Some(tokens),
            cost_usd: Some(tokens as f64 / 1000.0 * price),
            ..Completion::default()
        }
    }

    /// Rejections come quicker than approvals; some people never answer.
    fn judge(&mut self, ended: DateTime<Utc>, success: bool) -> Option<(DateTime<Utc>, Feedback)> {
        let rng = &mut self.rng;
        let answers = rng.random_bool(self.options.feedback_share);
        let hours = (normal(rng) * 1.3).exp() * if success { 2.0 } else { 1.0 };
        let action = match success {
            true => UserAction::Approve,
            false if rng.random_bool(0.5) => UserAction::Modify,
            false => UserAction::Reject,
        };
        let mean = match action {
            UserAction::Approve => 8.3,
            UserAction::Modify => 6.2,
            UserAction::Reject => 3.1,
        };
        let mut feedback = Feedback::new(action);
        feedback.final_quality_score = Some((mean + normal(rng)).clamp(0.0, 10.0));
        let at = ended + TimeDelta::microseconds((hours.min(240.0) * 3.6e9) as i64);
        answers.then_some((at, feedback))
    }

    fn remember(&mut self, id: EventId) {
        self.examples.push_back(id);
        if self.examples.len() > 500 {
            self.examples.pop_front();
        }
    }
}

impl Iterator for Simulator {
    type Item = Generation;

    fn next(&mut self) -> Option<Generation> {
        let before = self.now;
        self.advance();
        let retry = self.again.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= self.now);
        let (mut context, hidden) = match retry.and_then(|_| self.again.pop_first()) {
            Some(((at, _), again)) => {
                self.now = at.max(before + TimeDelta::microseconds(1));
                again
            }
            None => self.new_task(),
        };
        if self.now >= self.end() {
            return None;
        }
        let decision = self.set_up(&mut context);
        let odds = world::odds(&self.options, &context, hidden, self.now);
        let success = self.rng.random_bool(odds);
        let event_id = id(EventId::new, "gen", self.number);
        self.number += 1;
        let completion = self.finish(&context, hidden, success);
        let feedback = self.judge(completion.completed_at.unwrap_or(self.now), success);
        if let Some((at, _)) = feedback.as_ref().filter(|_| !success && context.attempt < 3) {
            let mut next = context.clone();
            next.attempt += 1;
            next.regeneration_of.get_or_insert_with(|| event_id.clone());
            self.again.insert((*at + TimeDelta::minutes(10), self.number), (next, hidden));
        }
        self.remember(event_id.clone());
        Some(Generation { event_id, context, decision, odds, completion, feedback, hidden })
    }
}

impl Generation {
    /// The generation as an event, every part known since it happened.
    pub fn into_event(self) -> GenerationEvent {
        let known_at = self.context.started_at.unwrap_or(DateTime::UNIX_EPOCH);
        let mut started = Started::from(self.context);
        started.decision = Some(self.decision);
        let mut event = GenerationEvent::new(self.event_id, known_at, started);
        let ended = self.completion.completed_at.unwrap_or(known_at);
        event.completion = Some(Known { known_at: ended, value: self.completion });
        event.feedback =
            self.feedback.into_iter().map(|(known_at, value)| Known { known_at, value }).collect();
        event
    }
}

/// A stable number for a name under a seed.
fn mix(seed: u64, name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash ^ (hash >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16
}

/// An identifier made of a word and a number, which is always a good one.
fn id<T>(make: impl Fn(String) -> Result<T>, word: &str, number: u64) -> T {
    make(format!("{word}-{number}"))
        .unwrap_or_else(|_| unreachable!("a word and a number are a good identifier"))
}

fn describe(kind: &str, rng: &mut impl Rng) -> (String, f64) {
    const VERBS: [&str; 5] = ["Add", "Implement", "Change", "Fix", "Improve"];
    const PLACES: [&str; 8] = [
        "orders",
        "invoices",
        "the user profile",
        "search",
        "notifications",
        "reports",
        "the cart",
        "settings",
    ];
    let mut text =
        format!("{} the {kind} part of {}", VERBS[rng.random_range(0..5)], PLACES[rng.random_range(0..8)]);
    let mut difficulty = 0.0;
    let parts = rng.random_range(1..=3);
    for _ in 0..parts {
        let (word, weight) = WORDS[rng.random_range(0..WORDS.len())];
        difficulty += weight / f64::from(parts);
        text += &format!(", with {word}");
    }
    text += ".\n";
    for _ in 0..rng.random_range(0..6_u8) {
        difficulty += 0.08;
        text += &format!("- it must keep {} as they are\n", PLACES[rng.random_range(0..8)]);
    }
    (text, difficulty)
}

fn stack(kind: &str, rng: &mut impl Rng) -> (&'static str, Option<&'static str>) {
    let choices: &[(&str, Option<&str>)] = match kind {
        "frontend" => &[("typescript", Some("react")), ("javascript", Some("vue")), ("html", None)],
        "database" => &[("sql", None), ("python", Some("django"))],
        "devops" => &[("python", None), ("rust", None)],
        _ => &[("python", Some("fastapi")), ("typescript", None), ("rust", None), ("python", Some("flask"))],
    };
    choices[rng.random_range(0..choices.len())]
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random::<f64>().max(1e-300), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
