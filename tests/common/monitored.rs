//! A stream of labelled generations with known rates, features and changes.

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::event::{
    Completion, EventId, Fact, Feedback, ProjectId, Record, ShownPrediction, Started, TaskContext, TaskId,
    TemplateId, UserAction,
};
use devmatrix_ml::monitoring::Monitor;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Returns the number of seeded runs: `DEVMATRIX_RUNS`, or `usual`.
pub fn runs(usual: u64) -> u64 {
    std::env::var("DEVMATRIX_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(usual)
}

/// Returns the seeds of those runs: from `DEVMATRIX_FIRST_SEED` on, or from 0.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let first = std::env::var("DEVMATRIX_FIRST_SEED").ok().and_then(|first| first.parse().ok()).unwrap_or(0);
    first..first + runs(usual)
}

/// Generations, each labelled as soon as it has ended; one every 216 seconds (400 a day).
#[derive(Debug)]
pub struct Stream {
    random: Pcg64,
    number: u32,
    /// Success probability of agent 0.
    pub base: f64,
    /// Degrading agent, its first generation affected, and the drop in success probability.
    pub fall: Option<(usize, u32, f64)>,
    /// First generation with longer descriptions, and by how many standard deviations.
    pub longer: Option<(u32, f64)>,
    /// Agent whose descriptions grow; `None` for all.
    pub longer_for: Option<usize>,
    /// Agent and language of a planted subgroup, its share of all, and its lift.
    pub lift: Option<(usize, usize, f64, f64)>,
    /// Noise in log-probability of shown predictions around the true probability before any change; `None` shows none.
    pub predicted: Option<f64>,
    /// Generations between start and feedback.
    pub delay: u32,
    waiting: std::collections::VecDeque<Vec<Record>>,
    /// Shown predictions with their outcomes.
    pub shown: Vec<(f64, bool)>,
    /// Numbers of generations by agent.
    pub of_agent: Vec<u32>,
}

const START: i64 = 1_740_992_400; // Monday, 3 March 2025, 09:00
const STEP: i64 = 216;

const EFFECTS: [&[f64]; 5] = [
    &[0.0, -0.05, 0.03, -0.08],
    &[0.0, 0.04, -0.06],
    &[0.0, 0.03, -0.03, 0.02, -0.02],
    &[0.0, -0.04, 0.04, 0.02, 0.0, -0.02],
    &[0.0, 0.02, -0.02, 0.01, 0.03, -0.03, 0.0, 0.02],
];
const WORDS: [&str; 12] = [
    "orders",
    "migration",
    "login",
    "report",
    "invoice",
    "search",
    "upload",
    "payment",
    "calendar",
    "export",
    "validation",
    "endpoint",
];

impl Stream {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Pcg64::seed_from_u64(seed),
            number: 0,
            base: 0.64,
            fall: None,
            longer: None,
            longer_for: None,
            lift: None,
            predicted: None,
            delay: 0,
            waiting: std::collections::VecDeque::new(),
            shown: Vec::new(),
            of_agent: vec![0; EFFECTS[0].len()],
        }
    }

    pub fn number(&self) -> u32 {
        self.number
    }

    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(START + STEP * i64::from(self.number) + 60, 0).unwrap()
    }

    /// Feeds the next generation to the monitor, and the feedback that is due.
    pub fn observe_next(&mut self, monitor: &mut Monitor) -> DateTime<Utc> {
        for record in self.step() {
            monitor.observe(&record);
        }
        self.now()
    }

    /// Returns the records of the next generation.
    pub fn step(&mut self) -> Vec<Record> {
        let mut at = EFFECTS.map(|effects| self.random.random_range(0..effects.len()));
        if let Some((agent, language, share, _)) = self.lift {
            // Keeps the share of the subgroup exact.
            if self.random.random_bool(share) {
                (at[0], at[2]) = (agent, language);
            } else {
                while (at[0], at[2]) == (agent, language) {
                    (at[0], at[2]) = (self.random.random_range(0..4), self.random.random_range(0..5));
                }
            }
        }
        let usual = self.base + at.iter().zip(EFFECTS).map(|(at, effects)| effects[*at]).sum::<f64>();
        let mut probability = usual;
        if let Some((agent, from, by)) = self.fall
            && at[0] == agent
            && self.number >= from
        {
            probability -= by;
        }
        if let Some((agent, language, _, lift)) = self.lift
            && (at[0], at[2]) == (agent, language)
        {
            probability *= lift;
        }
        let success = self.random.random_bool(probability.clamp(0.02, 0.98));
        self.of_agent[at[0]] += 1;
        let start = self.start(at, usual, success);
        self.number += 1;
        let mut due = vec![start.0];
        self.waiting.push_back(start.1);
        if self.waiting.len() > self.delay as usize {
            due.extend(self.waiting.pop_front().unwrap());
        }
        due
    }

    fn start(&mut self, at: [usize; 5], usual: f64, success: bool) -> (Record, Vec<Record>) {
        let id = EventId::new(format!("e{}", self.number)).unwrap();
        let mut task = TaskContext::new(TaskId::new(format!("t{}", self.number)).unwrap());
        task.agent_type = Some(format!("agent {}", at[0]));
        task.model_used = Some(format!("model {}", at[1]));
        task.language = Some(format!("language {}", at[2]));
        task.task_type = Some(format!("type {}", at[3]));
        task.project_id = Some(ProjectId::new(format!("project {}", at[4])).unwrap());
        task.template_id =
            Some(TemplateId::new(format!("template {}", self.random.random_range(0..6))).unwrap());
        task.temperature = Some(0.1 + 0.2 * self.normal().abs());
        task.rag_avg_similarity = Some((0.6 + 0.1 * self.normal()).clamp(0.0, 1.0));
        task.system_load = Some(self.random.random::<f64>());
        let grows = self.longer.filter(|(from, _)| self.number >= *from);
        let longer =
            grows.filter(|_| self.longer_for.is_none_or(|agent| agent == at[0])).map_or(0.0, |(_, by)| by);
        let length = (120.0 + 25.0 * (self.normal() + longer)).max(30.0) as usize;
        task.task_description = self.words(length);
        let started_at = DateTime::from_timestamp(START + STEP * i64::from(self.number), 0).unwrap();
        let mut started = Started::from(task);
        if let Some(noise) = self.predicted {
            let probability = usual.clamp(0.02, 0.98);
            let margin = (probability / (1.0 - probability)).ln() + noise * self.normal();
            let p = 1.0 / (1.0 + (-margin).exp());
            started.predictions = vec![ShownPrediction::new("success", p, (0.0, 1.0), "calibrated", 1)];
            self.shown.push((p, success));
        }
        let mut end = Completion::default();
        end.generation_time_seconds = Some(30.0 * (0.4 * self.normal()).exp());
        end.cost_usd = Some(0.02 * (0.3 * self.normal()).exp());
        let action = if success { UserAction::Approve } else { UserAction::Reject };
        let record =
            |at: i64, fact| Record::new(id.clone(), started_at + TimeDelta::seconds(at), fact).unwrap();
        let late = STEP * i64::from(self.delay);
        (
            record(0, Fact::Started(Box::new(started))),
            vec![
                record(late + 30, Fact::Completed(Box::new(end))),
                record(late + 60, Fact::Feedback(Box::new(Feedback::new(action)))),
            ],
        )
    }

    fn words(&mut self, length: usize) -> String {
        let mut text = String::from("Add");
        while text.len() < length {
            text.push(' ');
            text.push_str(WORDS[self.random.random_range(0..WORDS.len())]);
        }
        text.truncate(length);
        text
    }

    /// Draws a standard normal number (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let (u, v): (f64, f64) = (self.random.random(), self.random.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}
