//! From events as they were exported to facts in the order in which they became known.

use super::options::BacktestOptions;
use crate::dataset::Target;
use crate::error::{Error, Result};
use crate::event::{EventId, Feedback, GenerationEvent, Known, MAX_ID_BYTES, Outcome, Record, UserAction};
use chrono::{DateTime, TimeDelta, Utc};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use sha2::{Digest, Sha256};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

/// An event with its final label, where it has one.
pub(super) struct Case {
    pub(super) event: GenerationEvent,
    pub(super) label: Option<f64>,
}

/// How many events were left out, put together or renamed, by what was done and why.
pub(super) type Remarks = BTreeMap<String, usize>;

const REPEATED: &str = "repeated the start of an event of their id: joined with it";
const SHARED: &str = "share the id of another start: counted as generations of their own";
const BACKWARDS: &str = "ended before they started: the end counts from the start on";
const LATE: &str = "started after the end of the record: left out";
const YOUNG: &str = "are younger than the deadline: left out";

/// Joins events of one generation, dates the events, applies the deadline, leaves out what is too
/// young, and sorts by start; says what it did.
pub(super) fn cases(events: Vec<GenerationEvent>, options: &BacktestOptions) -> Result<(Vec<Case>, Remarks)> {
    let mut remarks = Remarks::new();
    let mut note = |remark: &str| *remarks.entry(remark.to_owned()).or_default() += 1;
    let mut events = unite(events, &mut note)?;
    date_by_order(&mut events);
    distinguish(&mut events, &mut note);
    events.iter().filter(|event| ended_before_start(event)).for_each(|_| note(BACKWARDS));
    events.sort_by_key(|e| e.started.known_at);
    let latest = events.iter().flat_map(|e| [Some(e.started.known_at), e.outcome().map(|o| o.known_at)]);
    let as_of = options.as_of.or(latest.flatten().max()).unwrap_or(DateTime::UNIX_EPOCH);
    if options.shuffle {
        match options.target {
            Target::Success => shuffle_outcomes(&mut events, options.seed),
            target => shuffle_numbers(&mut events, target, options.seed),
        }
    }
    let mut cases = Vec::with_capacity(events.len());
    for event in events {
        match options.target {
            Target::Success => match settle(event, options.deadline, as_of) {
                Ok(case) => cases.push(case),
                Err(why) => note(why),
            },
            target => cases.push(numbered(event, target, as_of)),
        }
    }
    Ok((cases, remarks))
}

/// Joins events of one id and one start: an id names one generation.
fn unite(events: Vec<GenerationEvent>, note: &mut impl FnMut(&str)) -> Result<Vec<GenerationEvent>> {
    let mut counts = HashMap::<EventId, u32>::new();
    events.iter().for_each(|event| *counts.entry(event.event_id.clone()).or_default() += 1);
    let mut places = HashMap::<(EventId, Vec<u8>), usize>::new();
    let mut united = Vec::<GenerationEvent>::with_capacity(counts.len());
    for event in events {
        if counts.get(&event.event_id) != Some(&1) {
            let start = serde_json::to_vec(&event.started.value)
                .map_err(|e| Error::internal("a start has no JSON form").with_source(e))?;
            let digest = Sha256::digest(start).to_vec();
            match places.entry((event.event_id.clone(), digest)) {
                Entry::Occupied(place) => {
                    note(REPEATED);
                    join(&mut united[*place.get()], event)?;
                    continue;
                }
                Entry::Vacant(place) => drop(place.insert(united.len())),
            }
        }
        united.push(event);
    }
    Ok(united)
}

/// Adds the facts of `other`, of the same generation; of two ends the first stays, as in a store.
fn join(event: &mut GenerationEvent, other: GenerationEvent) -> Result<()> {
    let mut known: HashSet<_> = event.feedback_ids()?.into_iter().collect();
    let ids = other.feedback_ids()?;
    event.completion = event.completion.take().or(other.completion);
    for (feedback, id) in other.feedback.into_iter().zip(ids) {
        if known.insert(id) {
            event.feedback.push(feedback);
        }
    }
    Ok(())
}

fn ended_before_start(event: &GenerationEvent) -> bool {
    let ended = event.completion.as_ref().and_then(|completion| completion.value.completed_at);
    ended.zip(event.started.value.context.started_at).is_some_and(|(ended, started)| ended < started)
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

/// Gives a second start under one id an id of its own.
fn distinguish(events: &mut [GenerationEvent], note: &mut impl FnMut(&str)) {
    let (mut seen, mut number) = (HashSet::new(), 0_u64);
    for event in events.iter_mut() {
        let name = event.event_id.clone();
        let name = &name.as_str()[..name.as_str().floor_char_boundary(MAX_ID_BYTES - 24)];
        let before = number;
        while !seen.insert(event.event_id.clone()) {
            number += 1;
            let Ok(id) = EventId::new(format!("{name}#{number}")) else { break };
            event.event_id = id;
        }
        if number > before {
            note(SHARED);
        }
    }
}

/// Applies deadline and end of record; why, if the event is left out.
fn settle(
    mut event: GenerationEvent,
    deadline: Option<TimeDelta>,
    as_of: DateTime<Utc>,
) -> std::result::Result<Case, &'static str> {
    let started = event.started.known_at;
    if started > as_of {
        return Err(LATE);
    }
    let outcome = event.outcome().filter(|o| o.success.is_some());
    let Some(deadline) = deadline else {
        let label = outcome.filter(|o| o.known_at <= as_of).and_then(|o| o.success);
        return Ok(Case { event, label: label.map(number) });
    };
    let due = started.checked_add_signed(deadline).filter(|due| *due <= as_of).ok_or(YOUNG)?;
    let in_time = outcome.filter(|o| o.known_at <= due);
    let label = in_time.as_ref().and_then(|o| o.success).unwrap_or(false);
    if in_time.is_none() {
        event.feedback.retain(|f| f.known_at <= due);
        event.feedback.push(verdict(false, due));
    }
    Ok(Case { event, label: Some(number(label)) })
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
