//! What comes of a generation: its code and cost, and what the user says.

use super::code::program;
use super::options::SimulatorOptions;
use super::random::{Draw, Purpose};
use super::tasks::Task;
use crate::event::{Completion, Feedback, ReviewRequest, UserAction};
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

/// What is known at the end.
pub(super) fn complete(
    options: &SimulatorOptions,
    number: u64,
    task: &Task,
    start: DateTime<Utc>,
    success: bool,
) -> Completion {
    let mut draw = Draw::new(options.seed, Purpose::Completion, number);
    let context = &task.context;
    let language = context.language.as_deref().unwrap_or_default();
    let code = program(language, task.noun.0, &mut Draw::new(options.seed, Purpose::Code, number));
    // Four characters a token; the prompt has the description and the examples.
    let written = code.text.len() as f64 / 4.0 * (1.3 + 0.3 * task.difficulty.max(-1.0));
    let read = 400.0
        + context.task_description.len() as f64 / 4.0
        + 500.0 * f64::from(context.rag_examples_count.unwrap_or(0));
    let noise = (0.3 * draw.normal()).exp();
    // Thinking takes most of the time, and more where it is hard.
    let tokens = (read + written + 600.0 * (0.5 * task.difficulty).exp() * noise).round();
    let waiting = 0.4 * f64::from(context.current_queue_size.unwrap_or(0));
    let slowed = 1.0 + context.system_load.unwrap_or(0.0);
    let micros = (((tokens / task.llm.speed) * slowed + waiting) * 1e6).round();
    let review = if success { 7.4 } else { 6.4 } + 1.1 * draw.normal();
    Completion {
        completed_at: Some(start + TimeDelta::microseconds(micros as i64)),
        file_path: Some(format!("src/{}_{}.{}", task.noun.0, number % 1000, code.ending)),
        generated_code: Some(code.text),
        self_review_score: Some(tenths(review)),
        generation_time_seconds: Some(micros / 1e6),
        tokens_used: Some(tokens as u64),
        cost_usd: Some(tokens / 1000.0 * task.llm.price),
        review: audit(options, number),
        ..Completion::default()
    }
}

/// Whether a person is asked to judge it, at random; `None` where nobody ever is.
fn audit(options: &SimulatorOptions, number: u64) -> Option<ReviewRequest> {
    let asked = Draw::new(options.seed, Purpose::Audit, number).chance(options.audit_share);
    ReviewRequest::new(asked, options.audit_share, "audit").ok().filter(|_| options.audit_share > 0.0)
}

/// What the user says, and when; `None` where nobody answers.
///
/// Delays are log-normal, most of them from minutes to days: rejections come soonest, approvals
/// last. Who is asked answers; whether anybody does unasked hangs on the outcome only where the options
/// say so.
pub(super) fn judge(
    options: &SimulatorOptions,
    number: u64,
    task: &Task,
    ended: DateTime<Utc>,
    (success, asked): (bool, bool),
) -> Option<(DateTime<Utc>, Feedback)> {
    let mut draw = Draw::new(options.seed, Purpose::Feedback, number);
    let share = options.failed_feedback_share.filter(|_| !success).unwrap_or(options.feedback_share);
    let answers = draw.chance(share) || asked;
    // Hard tasks are thrown away rather than mended.
    let mend = 0.6 - 0.08 * task.difficulty.clamp(-2.0, 3.0);
    let (action, mean, median_hours) = match success {
        true => (UserAction::Approve, 8.4, 2.0),
        false if draw.chance(mend) => (UserAction::Modify, 6.3, 1.0),
        false => (UserAction::Reject, 3.2, 0.4),
    };
    let mut feedback = Feedback::new(action);
    let quality = mean - 0.2 * task.difficulty + 0.9 * draw.normal();
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

/// A score from 0 to 10 as people give it.
fn tenths(score: f64) -> f64 {
    (score.clamp(0.0, 10.0) * 10.0).round() / 10.0
}
