//! What an import did.

use super::source::Place;
use crate::event::{EventId, GenerationEvent, UserAction};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// Examples that are kept of each kind of trouble.
const EXAMPLES: usize = 100;

/// Kinds of trouble that are told apart.
const REASONS: usize = 200;

/// Result of an import: counts, what was left out and why, what the events hold. It prints as text and serializes as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ImportReport {
    pub(super) format: String,
    pub(super) files: usize,
    /// Values or rows.
    pub(super) read: u64,
    /// Generations that are new in the store.
    pub(super) imported: u64,
    /// Generations that were there, and of which something new is known now.
    pub(super) updated: u64,
    /// Generations that were there as they are.
    pub(super) unchanged: u64,
    /// Facts whose id stands for another content in the store; that stays.
    pub(super) conflicts: Noted,
    /// Generations that the files hold more than once.
    pub(super) repeated: Noted,
    pub(super) skipped: u64,
    pub(super) skipped_by_reason: BTreeMap<String, u64>,
    pub(super) skipped_examples: Vec<String>,
    /// Verdicts on generations that are neither in the files nor in the store.
    pub(super) unmatched_verdicts: Noted,
    /// Generations by what became of them: success, failure, open, and the user's actions.
    pub(super) outcomes: BTreeMap<String, u64>,
    /// Generations that have the field.
    pub(super) fields: BTreeMap<String, u64>,
    pub(super) suspicious_clocks: Noted,
    pub(super) share_with_cost: f64,
    pub(super) share_with_tokens: f64,
    pub(super) share_with_text: f64,
    pub(super) started_from: Option<DateTime<Utc>>,
    pub(super) started_to: Option<DateTime<Utc>>,
    #[serde(skip)]
    seen: u64,
}

/// How many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Noted {
    count: u64,
    examples: Vec<String>,
}

impl Noted {
    pub(super) fn note(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

impl ImportReport {
    pub(super) fn skip(&mut self, place: &Place<'_>, why: &str) {
        self.skipped += 1;
        // A reason with a value in it is another one for each value.
        let reason =
            why.split(": ").last().filter(|_| self.skipped_by_reason.len() >= REASONS).unwrap_or(why);
        let key = if self.skipped_by_reason.len() < REASONS || self.skipped_by_reason.contains_key(reason) {
            reason
        } else {
            "other"
        };
        *self.skipped_by_reason.entry(key.to_owned()).or_default() += 1;
        if self.skipped_examples.len() < EXAMPLES {
            self.skipped_examples.push(format!("{place}: {why}"));
        }
    }

    /// Notes what an event holds.
    pub(super) fn describe(&mut self, event_id: &EventId, summary: Summary, fields: &Map<String, Value>) {
        self.seen += 1;
        for (field, value) in fields {
            if !value.is_null() && field != "metadata" && field != "completion_metadata" {
                if let Some(count) = self.fields.get_mut(field) {
                    *count += 1;
                } else if self.fields.len() < 1000 {
                    self.fields.insert(field.clone(), 1);
                }
            }
        }
        for kind in summary.kinds() {
            *self.outcomes.entry(kind.to_owned()).or_default() += 1;
        }
        if let Some(at) = summary.started {
            self.started_from = Some(self.started_from.map_or(at, |from| from.min(at)));
            self.started_to = Some(self.started_to.map_or(at, |to| to.max(at)));
        }
        if let Some(why) = summary.wrong_clock {
            self.suspicious_clocks.note(|| format!("{event_id}: {why}"));
        }
        let shares = [&mut self.share_with_cost, &mut self.share_with_tokens, &mut self.share_with_text];
        for (share, has) in shares.into_iter().zip(summary.has) {
            *share += f64::from(u8::from(has));
        }
    }

    /// Notes that a verdict has changed what became of an event.
    pub(super) fn judge(&mut self, before: &Summary, after: &Summary) {
        for kind in before.kinds() {
            if let Some(count) = self.outcomes.get_mut(kind) {
                *count = count.saturating_sub(1);
            }
        }
        self.outcomes.retain(|_, count| *count > 0);
        for kind in after.kinds() {
            *self.outcomes.entry(kind.to_owned()).or_default() += 1;
        }
    }

    /// Turns counts into shares.
    pub(super) fn finish(&mut self) {
        let all = (self.seen as f64).max(1.0);
        for share in [&mut self.share_with_cost, &mut self.share_with_tokens, &mut self.share_with_text] {
            *share /= all;
        }
    }
}

/// Counted parts of an event.
#[derive(Debug)]
pub(super) struct Summary {
    success: Option<bool>,
    action: Option<UserAction>,
    started: Option<DateTime<Utc>>,
    wrong_clock: Option<String>,
    /// Cost, tokens, text.
    has: [bool; 3],
}

impl Summary {
    pub(super) fn of(event: &GenerationEvent, now: DateTime<Utc>) -> Self {
        let outcome = event.outcome();
        let done = event.completion.as_ref().map(|c| &c.value);
        let context = &event.started.value.context;
        Self {
            success: outcome.as_ref().and_then(|o| o.success),
            action: outcome.and_then(|o| o.user_action),
            started: context.started_at,
            wrong_clock: wrong_clock(event, now),
            has: [
                done.is_some_and(|d| d.cost_usd.is_some()),
                done.is_some_and(|d| d.tokens().is_some()),
                !context.task_description.is_empty(),
            ],
        }
    }

    /// Returns the names of what became of it.
    fn kinds(&self) -> impl Iterator<Item = &'static str> {
        let success = match self.success {
            Some(true) => "success",
            Some(false) => "failure",
            None => "open",
        };
        let action = self.action.map(|action| match action {
            UserAction::Approve => "approve",
            UserAction::Modify => "modify",
            UserAction::Reject => "reject",
        });
        std::iter::once(success).chain(action)
    }
}

fn wrong_clock(event: &GenerationEvent, now: DateTime<Utc>) -> Option<String> {
    let late = now + super::CLOCK_TOLERANCE;
    let start = event.started.value.context.started_at;
    let end = event.completion.as_ref().and_then(|c| c.value.completed_at);
    let judged = event.feedback.iter().map(|f| f.known_at).max();
    for (what, time) in [("started", start), ("ended", end), ("was judged", judged)] {
        if let Some(time) = time.filter(|time| *time > late) {
            return Some(format!("{what} at {time}, which is still to come"));
        }
    }
    let before = |time: Option<DateTime<Utc>>| start.zip(time).filter(|(start, time)| time < start);
    let what = before(end).map(|_| "ended").or(before(judged).map(|_| "was judged"))?;
    Some(format!("{what} before it started"))
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} values read from {} file(s): {} imported, {} updated, {} unchanged, {} skipped",
            self.format, self.read, self.files, self.imported, self.updated, self.unchanged, self.skipped
        )?;
        if let Some((from, to)) = self.started_from.zip(self.started_to) {
            writeln!(f, "started from {from} to {to}")?;
        }
        let list = |of: &BTreeMap<String, u64>| {
            of.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "outcomes: {}", list(&self.outcomes))?;
        writeln!(
            f,
            "with cost {:.0} %, with tokens {:.0} %, with text {:.0} %",
            self.share_with_cost * 100.0,
            self.share_with_tokens * 100.0,
            self.share_with_text * 100.0
        )?;
        writeln!(f, "fields: {}", list(&self.fields))?;
        for (reason, count) in &self.skipped_by_reason {
            writeln!(f, "skipped {count}: {reason}")?;
        }
        for example in self.skipped_examples.iter().take(10) {
            writeln!(f, "  {example}")?;
        }
        for (what, noted) in [
            ("other content under the same id (the first stays)", &self.conflicts),
            ("repeated in the files", &self.repeated),
            ("verdicts on generations that are not there", &self.unmatched_verdicts),
            ("suspicious clocks", &self.suspicious_clocks),
        ] {
            if noted.count > 0 {
                writeln!(f, "{what}: {}", noted.count)?;
                for example in noted.examples.iter().take(5) {
                    writeln!(f, "  {example}")?;
                }
            }
        }
        Ok(())
    }
}
