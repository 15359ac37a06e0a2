//! Simulated retries of failed tasks, with a known value of every retry policy.

use super::random::{Draw, Purpose};
use crate::error::Result;
use crate::event::{
    Completion, EventId, Feedback, GenerationEvent, Known, Started, TaskContext, TaskId, UserAction,
};
use crate::experimentation::retry_policy::{
    RetryAction, RetryPolicy, RetryState, Trajectories, TrajectoryOptions, TrajectoryReward, choose_action,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::ops::Range;

/// Options of the retry simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryWorldOptions {
    /// Random seed; a seed determines all tasks.
    pub seed: u64,
    /// True for identical tasks on which all actions but stopping have the same effect.
    pub all_equal: bool,
}

impl Default for RetryWorldOptions {
    fn default() -> Self {
        Self { seed: 7, all_equal: false }
    }
}

/// Tasks whose first try failed. What helps is hidden: chance (another try), a stronger LLM, the human's
/// answer, or nothing; the task's type, its quality and the agent's review give hints.
///
/// ```
/// use devmatrix_ml::experimentation::retry_policy::{TrajectoryReward, BaselinePolicy};
/// use devmatrix_ml::simulate::{RetryWorld, RetryWorldOptions};
/// let world = RetryWorld::new(RetryWorldOptions::default());
/// let (stop, retry) = (BaselinePolicy::retry_up_to(1)?, BaselinePolicy::retry_up_to(2)?);
/// let reward = TrajectoryReward::default();
/// assert!(world.value(&retry, &reward, 0..100) > world.value(&stop, &reward, 0..100));
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RetryWorld {
    options: RetryWorldOptions,
}

/// Hidden condition for a task to succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Chance,
    Strength,
    Answer,
    Miracle,
}

const NEEDS: [Need; 4] = [Need::Chance, Need::Strength, Need::Answer, Need::Miracle];
const TYPES: [&str; 4] = ["frontend", "database", "backend", "devops"];
const WEAK: &str = "deepseek-v3";
const STRONG: &str = "claude-opus-5";
/// Tries after which every policy must have stopped.
const MOST_TRIES: u32 = 6;

/// Observations of one attempt if it fails, and its score if it succeeds.
#[derive(Debug, Clone, Copy)]
struct Look {
    modified: bool,
    failed_quality: f64,
    review: f64,
    good_quality: f64,
}

impl RetryWorld {
    /// Creates a world from `options`.
    pub fn new(options: RetryWorldOptions) -> Self {
        Self { options }
    }

    /// Returns the logged trajectories of these tasks under `policy`.
    ///
    /// # Errors
    /// `InvalidInput` when the policy's propensities do not sum to 1.
    pub fn trajectories(&self, policy: &dyn RetryPolicy, tasks: Range<u64>) -> Result<Trajectories> {
        let mut events = Vec::new();
        for task in tasks {
            events.extend(self.generations(policy, task)?);
        }
        Trajectories::of(events, &TrajectoryOptions::default(), start() + TimeDelta::days(3000))
    }

    /// Returns the generations of one task under `policy`.
    ///
    /// # Errors
    /// `InvalidInput` when the policy's propensities do not sum to 1.
    pub(crate) fn generations(&self, policy: &dyn RetryPolicy, task: u64) -> Result<Vec<GenerationEvent>> {
        let mut dice = Draw::new(self.options.seed ^ STEPS, Purpose::Outcome, task);
        let need = self.need(task);
        let mut events = Vec::<GenerationEvent>::new();
        let (mut strong, mut asked, mut success) = (false, false, false);
        loop {
            let number = events.len() as u32;
            let mut event = self.attempt(task, &events, strong, success)?;
            if success {
                events.push(event);
                return Ok(events);
            }
            events.push(event.clone());
            let state = RetryState::after(&events)?;
            let (step, decision) = choose_action(policy, &state, dice.unit())?;
            event.feedback.iter_mut().for_each(|said| said.value.next_step = Some(decision.clone()));
            events.pop();
            events.push(event);
            if step == RetryAction::Stop || number + 1 >= MOST_TRIES {
                return Ok(events);
            }
            strong |= step == RetryAction::SwitchModel;
            asked |= step == RetryAction::AskHuman;
            success = dice.chance(self.probability(need, strong, asked));
        }
    }

    /// Returns the value of `policy` in US dollars per task, averaged over these tasks: the exact expectation over
    /// actions and outcomes.
    pub fn value(&self, policy: &dyn RetryPolicy, reward: &TrajectoryReward, tasks: Range<u64>) -> f64 {
        let count = (tasks.end.saturating_sub(tasks.start)).max(1) as f64;
        tasks.map(|task| self.ahead(policy, reward, task, &self.first(task))).sum::<f64>() / count
    }

    /// Returns the expected return of a task from a state onwards.
    fn ahead(&self, policy: &dyn RetryPolicy, reward: &TrajectoryReward, task: u64, now: &RetryState) -> f64 {
        let probability = policy.propensities(now);
        let strong = now.llm.as_deref() == Some(STRONG);
        let each = RetryAction::ALL.iter().zip(probability).filter(|(_, p)| *p > 0.0);
        each.map(|(step, p)| {
            if *step == RetryAction::Stop || now.tries >= MOST_TRIES {
                return p * reward.of_stopping(now);
            }
            let (strong, asking) =
                (strong || *step == RetryAction::SwitchModel, *step == RetryAction::AskHuman);
            let success = self.probability(self.need(task), strong, asking || now.asked > 0);
            let next = RetryState {
                tries: now.tries + 1,
                switched: now.switched + u32::from(*step == RetryAction::SwitchModel),
                asked: now.asked + u32::from(asking),
                cost_usd: now.cost_usd + self.cost(strong),
                llm: Some(if strong { STRONG } else { WEAK }.to_owned()),
                ..now.clone()
            };
            let good = reward.of_success(Some(self.look(task, now.tries).good_quality));
            let price = self.cost(strong) + if asking { reward.usd_per_question } else { 0.0 };
            let failed = self.ahead(policy, reward, task, &self.looking(task, next));
            p * (success * good + (1.0 - success) * failed - price)
        })
        .sum()
    }

    fn first(&self, task: u64) -> RetryState {
        let now = RetryState {
            cost_usd: self.cost(false),
            task_type: Some(self.task_type(task).to_owned()),
            llm: Some(WEAK.to_owned()),
            ..RetryState::default()
        };
        self.looking(task, now)
    }

    /// Returns the state with the observations of its latest attempt.
    fn looking(&self, task: u64, now: RetryState) -> RetryState {
        let look = self.look(task, now.tries - 1);
        RetryState {
            modified: look.modified,
            quality: Some(look.failed_quality),
            self_review: Some(look.review),
            ..now
        }
    }

    /// Returns the probability that an attempt at a task succeeds.
    fn probability(&self, need: Need, strong: bool, asked: bool) -> f64 {
        if self.options.all_equal {
            return 0.35;
        }
        match need {
            Need::Chance => 0.55,
            Need::Strength if strong => 0.6,
            Need::Answer if asked => 0.7,
            Need::Strength | Need::Answer => 0.06,
            Need::Miracle => 0.02,
        }
    }

    fn cost(&self, strong: bool) -> f64 {
        if strong && !self.options.all_equal { 0.12 } else { 0.04 }
    }

    fn need(&self, task: u64) -> Need {
        *Draw::new(self.options.seed ^ STEPS, Purpose::Task, task).pick(&NEEDS)
    }

    /// Two in three tasks of a need are of the type that mostly has it.
    fn task_type(&self, task: u64) -> &'static str {
        let mut draw = Draw::new(self.options.seed ^ STEPS, Purpose::SetUp, task);
        let any = *draw.pick(&TYPES);
        if draw.chance(0.6) { TYPES[self.need(task) as usize] } else { any }
    }

    fn look(&self, task: u64, attempt: u32) -> Look {
        let mut draw =
            Draw::new(self.options.seed ^ STEPS, Purpose::Completion, task * 64 + u64::from(attempt));
        let (mend, quality, review) = match self.need(task) {
            _ if self.options.all_equal => (0.0, 4.0, 6.0),
            Need::Chance => (0.3, 5.0, 7.5),
            Need::Strength => (0.2, 4.0, 6.5),
            Need::Answer => (0.1, 3.5, 5.0),
            Need::Miracle => (0.0, 2.0, 6.0),
        };
        Look {
            modified: draw.chance(mend),
            failed_quality: (quality + draw.normal()).clamp(0.0, 10.0),
            review: (review + draw.normal()).clamp(0.0, 10.0),
            good_quality: (8.4 + 0.8 * draw.normal()).clamp(0.0, 10.0),
        }
    }

    /// Simulates a further attempt and its outcome.
    fn attempt(
        &self,
        task: u64,
        before: &[GenerationEvent],
        strong: bool,
        success: bool,
    ) -> Result<GenerationEvent> {
        let number = before.len() as u32;
        let look = self.look(task, number);
        let at =
            start() + TimeDelta::minutes(7 * task as i64 % 2_000_000) + TimeDelta::hours(i64::from(number));
        let mut context = TaskContext::new(TaskId::new(format!("retry-{task}"))?);
        context.task_type = Some(self.task_type(task).to_owned());
        context.model_used = Some(if strong { STRONG } else { WEAK }.to_owned());
        context.attempt = number;
        context.regeneration_of = before.last().map(|event| event.event_id.clone());
        let id = EventId::new(format!("retry-{task}-{number}"))?;
        let mut event = GenerationEvent::new(id, at, Started::from(context));
        let done = Completion {
            cost_usd: Some(self.cost(strong)),
            generation_time_seconds: Some(30.0),
            self_review_score: (!success).then_some(look.review),
            ..Completion::default()
        };
        event.completion = Some(Known { known_at: at + TimeDelta::seconds(30), value: done });
        let mut said = Feedback::new(match (success, look.modified) {
            (true, _) => UserAction::Approve,
            (false, true) => UserAction::Modify,
            (false, false) => UserAction::Reject,
        });
        said.final_quality_score = Some(if success { look.good_quality } else { look.failed_quality });
        event.feedback.push(Known { known_at: at + TimeDelta::minutes(20), value: said });
        Ok(event)
    }
}

/// Keeps these draws apart from those of the other world.
const STEPS: u64 = 0x5354_4550;

/// Monday, 6 January 2025.
fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_736_121_600, 0).unwrap_or_default()
}
