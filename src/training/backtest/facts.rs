//! From events as they were exported to facts in the order in which they became known.

use super::options::BacktestOptions;
use crate::dataset::Target;
use crate::error::Result;
use crate::event::{EventId, Feedback, GenerationEvent, Known, MAX_ID_BYTES, Outcome, Record, UserAction};
use chrono::{DateTime, TimeDelta, Utc};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use std::collections::HashSet;

/// An event with its final label, where it has one.
pub(super) struct Case {
    pub(super) event: GenerationEvent,
    pub(super) label: Option<f64>,
}

/// Dates the events, applies the deadline, leaves out what is too young, and sorts by start.
pub(super) fn cases(mut events: Vec<GenerationEvent>, options: &BacktestOptions) -> Vec<Case> {
    date_by_order(&mut events);
    distinguish(&mut events);
    events.sort_by_key(|e| e.started.known_at);
    let latest = events.iter().map(|e| e.outcome().map_or(e.started.known_at, |o| o.known_at)).max();
    let as_of = options.as_of.or(latest).unwrap_or(DateTime::UNIX_EPOCH);
    if options.shuffle {
        match options.target {
            Target::Success => shuffle_outcomes(&mut events, options.seed),
            target => shuffle_numbers(&mut events, target, options.seed),
        }
    }
    let settled = |event| match options.target {
        Target::Success => settle(event, options.deadline, as_of),
        target => Some(numbered(event, target, as_of)),
    };
    events.into_iter().filter_map(settled).collect()
}

/// All facts in the order in which they became known.
pub(super) fn facts<'a>(cases: impl Iterator<Item = &'a Case>) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for case in cases {
        records.extend(case.event.clone().into_records()?);
    }
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    Ok(records)
}

/// Without times, the order of the file is the order.
fn date_by_order(events: &mut [GenerationEvent]) {
    if events.iter().any(|e| e.started.value.context.started_at.is_some()) {
        return;
    }
    for (i, event) in events.iter_mut().enumerate() {
        let at = DateTime::UNIX_EPOCH + TimeDelta::minutes(i as i64);
        event.started.known_at = at;
        event.completion.iter_mut().for_each(|c| c.known_at = at + TimeDelta::seconds(1));
        event.feedback.iter_mut().for_each(|f| f.known_at = at + TimeDelta::seconds(1));
    }
}

/// An id given twice names two generations here.
fn distinguish(events: &mut [GenerationEvent]) {
    let (mut seen, mut number) = (HashSet::new(), 0_u64);
    for event in events.iter_mut() {
        let name = event.event_id.clone();
        let name = &name.as_str()[..name.as_str().floor_char_boundary(MAX_ID_BYTES - 24)];
        while !seen.insert(event.event_id.clone()) {
            number += 1;
            let Ok(id) = EventId::new(format!("{name}#{number}")) else { break };
            event.event_id = id;
        }
    }
}

/// Applies deadline and end of record; `None` if the event is younger than the attribution window.
fn settle(mut event: GenerationEvent, deadline: Option<TimeDelta>, as_of: DateTime<Utc>) -> Option<Case> {
    let started = event.started.known_at;
    if started > as_of {
        return None;
    }
    let outcome = event.outcome().filter(|o| o.success.is_some());
    let Some(deadline) = deadline else {
        let label = outcome.filter(|o| o.known_at <= as_of).and_then(|o| o.success);
        return Some(Case { event, label: label.map(number) });
    };
    let due = started.checked_add_signed(deadline)?;
    if due > as_of {
        return None;
    }
    let in_time = outcome.filter(|o| o.known_at <= due);
    let label = in_time.as_ref().and_then(|o| o.success).unwrap_or(false);
    if in_time.is_none() {
        event.feedback.retain(|f| f.known_at <= due);
        event.feedback.push(verdict(false, due));
    }
    Some(Case { event, label: Some(number(label)) })
}

fn number(success: bool) -> f64 {
    f64::from(u8::from(success))
}

/// An event with the number that is to be predicted, as far as it was known at `as_of`.
fn numbered(event: GenerationEvent, target: Target, as_of: DateTime<Utc>) -> Case {
    let known = target.is_known(&event, as_of);
    Case { label: target.number_of(&event).filter(|_| known), event }
}

/// Gives each event the number of another.
fn shuffle_numbers(events: &mut [GenerationEvent], target: Target, seed: u64) {
    let mut numbers: Vec<_> = events.iter().filter_map(|event| target.number_of(event)).collect();
    numbers.shuffle(&mut Pcg64Mcg::seed_from_u64(seed));
    let mut next = numbers.into_iter();
    for event in events.iter_mut().filter(|event| target.number_of(event).is_some()) {
        if let Some(number) = next.next() {
            target.set_number(event, number);
        }
    }
}

fn verdict(success: bool, known_at: DateTime<Utc>) -> Known<Feedback> {
    let action = if success { UserAction::Approve } else { UserAction::Reject };
    Known { known_at, value: Feedback { success: Some(success), ..Feedback::new(action) } }
}

/// Gives each event the outcome of another, and the time that it took.
fn shuffle_outcomes(events: &mut [GenerationEvent], seed: u64) {
    let took = |e: &GenerationEvent, o: &Outcome| (o.success, o.known_at - e.started.known_at);
    let mut outcomes: Vec<_> = events.iter().map(|e| e.outcome().map(|o| took(e, &o))).collect();
    outcomes.shuffle(&mut Pcg64Mcg::seed_from_u64(seed));
    for (event, outcome) in events.iter_mut().zip(outcomes) {
        event.feedback.clear();
        if let Some(completion) = &mut event.completion {
            let done = &mut completion.value;
            (done.success, done.approved, done.final_quality_score) = (None, None, None);
        }
        if let Some((Some(success), after)) = outcome {
            let started = event.started.known_at;
            event.feedback.push(verdict(success, started.checked_add_signed(after).unwrap_or(started)));
        }
    }
}
