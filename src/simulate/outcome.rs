//! Outcome of a generation: code, cost and user feedback.

use super::code::program;
use super::options::SimulatorOptions;
use super::random::{Draw, Purpose};
use super::tasks::Task;
use super::world::{LLMS, Llm, llm_of};
use crate::event::{Completion, Feedback, ReviewRequest, TaskContext, UserAction};
use chrono::{DateTime, TimeDelta, Utc};

const REMARKS: [&str; 5] = [
    "use the helper that is there already",
    "the names do not follow our conventions",
    "an empty input is not handled",
    "too much in one function, split it",
    "the tests miss the failing case",
];

const REFUSALS: [&str; 4] = [
    "this does not do what the task says",
    "it breaks the build",
    "the approach cannot work under load",
    "two of the requirements are missing",
];

/// Simulates the completion of a generation.
pub(super) fn complete(
    options: &SimulatorOptions,
    number: u64,
    task: &Task,
    start: DateTime<Utc>,
    success: bool,
) -> Completion {
    let language = task.context.language.as_deref().unwrap_or_default();
    let code = program(language, task.noun.0, &mut Draw::new(options.seed, Purpose::Code, number));
    let written = Completion {
        file_path: Some(format!("src/{}_{}.{}", task.noun.0, number % 1000, code.ending)),
        generated_code: Some(code.text),
        review: audit(options, number),
        ..Completion::default()
    };
    let effort = SearchBudget::of(&task.context, task.difficulty, &written);
    effort.complete(options, number, start, success, written)
}

/// Tokens and time of a generation.
pub(super) struct SearchBudget {
    /// Deterministic tokens, and the expected reasoning tokens, which are random.
    tokens: (f64, f64),
    llm: &'static Llm,
    /// Slowdown factor of a busy machine.
    slowed: f64,
    /// Seconds of waiting.
    waiting: f64,
}

/// Standard deviation of the logarithm of the reasoning tokens.
const THINKING_SPREAD: f64 = 0.3;

impl SearchBudget {
    /// An LLM that is not of this world costs and takes what the first of it does.
    pub(super) fn of(context: &TaskContext, difficulty: f64, written: &Completion) -> Self {
        let llm = llm_of(context).unwrap_or(&LLMS[0]);
        // Four characters a token; the prompt has the description and the examples.
        let code = written.generated_code.as_ref().map_or(0, String::len);
        let code = code as f64 / 4.0 * (1.3 + 0.3 * difficulty.max(-1.0));
        let read = 400.0
            + context.task_description.len() as f64 / 4.0
            + 500.0 * f64::from(context.rag_examples_count.unwrap_or(0));
        Self {
            // Thinking takes most of the time, and more where it is hard.
            tokens: (read + code, 600.0 * (0.5 * difficulty).exp()),
            llm,
            slowed: 1.0 + context.system_load.unwrap_or(0.0),
            waiting: 0.4 * f64::from(context.current_queue_size.unwrap_or(0)),
        }
    }

    /// Expected US dollars and seconds.
    pub(super) fn expected(&self) -> (f64, f64) {
        let tokens = self.tokens.0 + self.tokens.1 * (0.5 * THINKING_SPREAD * THINKING_SPREAD).exp();
        (self.cost(tokens), self.seconds(tokens))
    }

    fn cost(&self, tokens: f64) -> f64 {
        tokens / 1000.0 * self.llm.price
    }

    fn seconds(&self, tokens: f64) -> f64 {
        (tokens / self.llm.speed) * self.slowed + self.waiting
    }

    /// The end of the generation that wrote what `written` says.
    pub(super) fn complete(
        &self,
        options: &SimulatorOptions,
        number: u64,
        start: DateTime<Utc>,
        success: bool,
        written: Completion,
    ) -> Completion {
        let mut draw = Draw::new(options.seed, Purpose::Completion, number);
        let noise = (THINKING_SPREAD * draw.normal()).exp();
        let tokens = (self.tokens.0 + self.tokens.1 * noise).round();
        let micros = (self.seconds(tokens) * 1e6).round();
        let review = if success { 7.4 } else { 6.4 } + 1.1 * draw.normal();
        Completion {
            completed_at: Some(start + TimeDelta::microseconds(micros as i64)),
            self_review_score: Some(tenths(review)),
            generation_time_seconds: Some(micros / 1e6),
            tokens_used: Some(tokens as u64),
            cost_usd: Some(self.cost(tokens)),
            ..written
        }
    }
}

/// Quality on average where the user takes it as it is, mends it, throws it away.
const QUALITY: [f64; 3] = [8.4, 6.3, 3.2];

/// Hard tasks are thrown away rather than mended.
fn mend(difficulty: f64) -> f64 {
    0.6 - 0.08 * difficulty.clamp(-2.0, 3.0)
}

/// Expected quality of a generation that succeeds with probability `probability`, but for what is cut off
/// at 0 and 10.
pub(super) fn quality(probability: f64, difficulty: f64) -> f64 {
    let failed = mend(difficulty) * QUALITY[1] + (1.0 - mend(difficulty)) * QUALITY[2];
    (probability * QUALITY[0] + (1.0 - probability) * failed - 0.2 * difficulty).clamp(0.0, 10.0)
}

/// Draws a random audit request; `None` if audits are disabled.
fn audit(options: &SimulatorOptions, number: u64) -> Option<ReviewRequest> {
    let asked = Draw::new(options.seed, Purpose::Audit, number).chance(options.audit_share);
    ReviewRequest::new(asked, options.audit_share, "audit").ok().filter(|_| options.audit_share > 0.0)
}

/// Simulates the user's feedback and its time; `None` without feedback.
///
/// Delays are log-normal, most of them from minutes to days: rejections come soonest, approvals
/// last. Audited generations are always labelled; spontaneous feedback depends on the outcome only if the
/// options set a separate fraction for failures.
pub(super) fn judge(
    options: &SimulatorOptions,
    number: u64,
    difficulty: f64,
    ended: DateTime<Utc>,
    (success, asked): (bool, bool),
) -> Option<(DateTime<Utc>, Feedback)> {
    let mut draw = Draw::new(options.seed, Purpose::Feedback, number);
    let share = options.failed_feedback_share.filter(|_| !success).unwrap_or(options.feedback_share);
    let answers = draw.chance(share) || asked;
    let (action, mean, median_hours) = match success {
        true => (UserAction::Approve, QUALITY[0], 2.0),
        false if draw.chance(mend(difficulty)) => (UserAction::Modify, QUALITY[1], 1.0),
        false => (UserAction::Reject, QUALITY[2], 0.4),
    };
    let mut feedback = Feedback::new(action);
    let quality = mean - 0.2 * difficulty + 0.9 * draw.normal();
    feedback.final_quality_score = draw.chance(0.85).then_some(tenths(quality));
    match action {
        UserAction::Approve => {}
        UserAction::Modify => feedback.modifications_requested = Some((*draw.pick(&REMARKS)).to_owned()),
        UserAction::Reject => feedback.user_feedback = Some((*draw.pick(&REFUSALS)).to_owned()),
    }
    let hours = median_hours * (1.5 * draw.normal()).exp();
    // Not quicker than one can read, not later than anybody remembers.
    let micros = (hours.clamp(1.0 / 120.0, 24.0 * 30.0) * 3.6e9) as i64;
    answers.then_some((ended + TimeDelta::microseconds(micros), feedback))
}

/// Clamps a score to [0, 10] and rounds it to one decimal.
fn tenths(score: f64) -> f64 {
    (score.clamp(0.0, 10.0) * 10.0).round() / 10.0
}
