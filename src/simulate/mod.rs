//! Simulated event stream with known ground truth: tasks, agents, LLMs, users who give feedback late or
//! never, a new LLM, an agent that degrades.
//!
//! Approval is drawn from a known probability, so predictions can be evaluated against the truth. Over
//! 20,000 labelled generations of the default seed 69 % are approved, and the true probability (the oracle)
//! reaches an AUC of 0.83, which no predictor can beat on average; over thirty seeds the success rate lies between 0.63 and 0.75, the AUC between 0.82 and 0.85
//! (`cargo test --features testing,simulate --test simulate -- --nocapture` measures three).
//!
//! Each generation has random streams of its own, derived from the seed, their purpose and the
//! generation's number; [`Simulator::expected`] consumes no random draws.

mod act;
mod arrivals;
mod code;
mod options;
mod outcome;
mod random;
mod retries;
mod snippets;
mod tasks;
mod templates;
mod text;
mod world;

pub use act::Expected;
pub use options::SimulatorOptions;
pub use retries::{RetryWorld, RetryWorldOptions};

use crate::error::Result;
use crate::event::{
    Completion, Decision, EventId, Feedback, GenerationEvent, Known, Record, Started, TaskContext, UserAction,
};
use arrivals::Arrivals;
use chrono::{DateTime, TimeDelta, Utc};
use random::{Draw, Purpose};
use std::collections::{BTreeMap, VecDeque};
use tasks::{Task, event_id, new_task};

/// Approved generations that are kept as examples.
const LIBRARY: usize = 500;
/// Tries of one task.
const MOST_TRIES: u32 = 4;

/// Iterator over simulated generations in the order of their start.
///
/// ```
/// use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
/// let mut world = Simulator::new(SimulatorOptions::default())?;
/// let generation = world.next().unwrap();
/// assert!((0.0..=1.0).contains(&generation.probability));
/// let mut cooler = generation.context.clone();
/// cooler.temperature = Some(0.0);
/// assert!(world.expected(&generation, &cooler).success >= generation.probability); // what if?
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Simulator {
    options: SimulatorOptions,
    arrivals: Arrivals,
    number: u64,
    /// Tasks to be retried, by earliest time.
    again: BTreeMap<(DateTime<Utc>, u64), Task>,
    /// Approvals not yet known: number and quality, by the time when they become known.
    unheard: BTreeMap<(DateTime<Utc>, u64), f64>,
    /// Approved generations that may serve as examples: number and quality.
    library: VecDeque<(u64, f64)>,
}

/// A generation with its ground truth.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Generation {
    /// The generation.
    pub event_id: EventId,
    /// Task context at the start.
    pub context: TaskContext,
    /// Logged decision that chose its LLM, with its propensity.
    pub decision: Decision,
    /// Difficulty of the task in log-odds, only partly visible in its text.
    pub difficulty: f64,
    /// The true probability of success.
    pub probability: f64,
    /// Completion.
    pub completion: Completion,
    /// Feedback of the user and its time; `None` without feedback.
    pub feedback: Option<(DateTime<Utc>, Feedback)>,
    /// Its index, which selects its random streams.
    number: u64,
}

impl Simulator {
    /// Creates a simulator from `options`.
    ///
    /// # Errors
    /// `InvalidInput` naming the option that is out of range.
    pub fn new(options: SimulatorOptions) -> Result<Self> {
        options.validate()?;
        Ok(Self {
            arrivals: Arrivals::new(&options),
            options,
            number: 0,
            again: BTreeMap::new(),
            unheard: BTreeMap::new(),
            library: VecDeque::new(),
        })
    }

    /// Returns the true success probability of `generation` under `context`: another agent, LLM, template,
    /// temperature or start.
    ///
    /// It depends only on the context, its start (by default the generation's own) and the hidden difficulty.
    /// The difficulty belongs to the task: another description does not change it.
    pub(crate) fn probability(&self, generation: &Generation, context: &TaskContext) -> f64 {
        let start = context.started_at.or(generation.context.started_at);
        world::probability(&self.options, context, generation.difficulty, start.unwrap_or(self.options.start))
    }

    /// Adds generations approved by `now` to the library of examples.
    fn hear(&mut self, now: DateTime<Utc>) {
        while let Some(first) = self.unheard.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, number), quality) = first.remove_entry();
            self.library.push_back((number, quality));
        }
        let surplus = self.library.len().saturating_sub(LIBRARY);
        self.library.drain(..surplus);
    }

    /// Returns a task that is due for a retry, or a new one.
    fn next_task(&mut self, now: DateTime<Utc>) -> Task {
        match self.again.first_entry().filter(|first| first.key().0 <= now) {
            Some(due) => due.remove(),
            None => new_task(&self.options, self.number),
        }
    }

    /// Records the consequences of the user's feedback.
    fn heed(&mut self, draw: &mut Draw, task: Task, at: DateTime<Utc>, feedback: &Feedback) {
        if feedback.user_action == UserAction::Approve {
            if let Some(quality) = feedback.final_quality_score {
                self.unheard.insert((at, self.number), quality);
            }
        } else if draw.chance(self.options.retry_share) && task.context.attempt + 1 < MOST_TRIES {
            let mut task = task;
            task.context.attempt += 1;
            task.context.regeneration_of.get_or_insert_with(|| event_id(self.number));
            let pause = TimeDelta::microseconds(((0.5 + 4.0 * draw.exponential()) * 3.6e9) as i64);
            self.again.insert((at + pause, self.number), task);
        }
    }
}

impl Iterator for Simulator {
    type Item = Generation;

    fn next(&mut self) -> Option<Generation> {
        let now = self.arrivals.next()?;
        self.hear(now);
        let mut task = self.next_task(now);
        let decision = self.set_up(&mut task, now);
        let probability = world::probability(&self.options, &task.context, task.difficulty, now);
        let mut draw = Draw::new(self.options.seed, Purpose::Outcome, self.number);
        let success = draw.chance(probability);
        let completion = outcome::complete(&self.options, self.number, &task, now, success);
        let ended = completion.completed_at.unwrap_or(now);
        let asked = completion.review.as_ref().is_some_and(|review| review.requested);
        let feedback = outcome::judge(&self.options, self.number, task.difficulty, ended, (success, asked));
        let number = self.number;
        let (event_id, difficulty) = (event_id(self.number), task.difficulty);
        let context = task.context.clone();
        if let Some((at, feedback)) = &feedback {
            self.heed(&mut draw, task, *at, feedback);
        }
        self.number += 1;
        Some(Generation {
            event_id,
            context,
            decision,
            difficulty,
            probability,
            completion,
            feedback,
            number,
        })
    }
}

impl Generation {
    /// Returns the generation as an event whose facts are known from the time when they happened.
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

    /// Returns the generation's facts as records to be stored.
    ///
    /// # Errors
    /// `InvalidInput` where a field was set out of range after the simulation.
    pub fn into_records(self) -> Result<Vec<Record>> {
        self.into_event().into_records()
    }
}
