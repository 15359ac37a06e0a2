//! The stored past, cut off at a deadline.

use crate::dataset::{MOST, ResponseModel, ResponsePropensity, Seen};
use crate::error::{Error, Result};
use crate::event::{EventId, Fact, GenerationEvent, Outcome, Record};
use crate::store::{EventStore, EventStoreExt, ScanOrder};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;

/// Every generation of `store` in the order of its start, without its code.
pub(crate) async fn generations(store: &dyn EventStore) -> Result<Vec<GenerationEvent>> {
    let mut order = Vec::<EventId>::new();
    let mut records = HashMap::<EventId, Vec<Record>>::new();
    let mut keep = |record: Record| {
        let (id, known_at, mut fact) = record.into_parts();
        match &mut fact {
            Fact::Started(_) => order.push(id.clone()),
            Fact::Completed(done) => done.generated_code = None,
            Fact::Feedback(_) => {}
        }
        records.entry(id.clone()).or_default().push(Record::new(id, known_at, fact)?);
        Ok(())
    };
    store.for_each(ScanOrder::Known, &mut keep).await?;
    let events = order.iter().filter_map(|id| GenerationEvent::from_records(records.remove(id)?));
    Ok(events.collect())
}

/// Checks the span after which outcomes are looked at, called `name`.
pub(crate) fn check_span(name: &str, span: TimeDelta) -> Result<()> {
    if span > TimeDelta::zero() && span <= TimeDelta::days(3650) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} is {span}, expected above 0 and ten years at most")))
}

/// What came of a generation within `deadline` of its start, its cost and its seconds; `None` while
/// the deadline has not passed at `now`.
///
/// Approvals and rejections take different times, so outcomes are looked at after the same time,
/// whenever one looks.
pub(crate) fn matured(event: &GenerationEvent, deadline: TimeDelta, now: DateTime<Utc>) -> Option<Matured> {
    let until = event.started.known_at.checked_add_signed(deadline).filter(|until| *until <= now)?;
    let completion = event.completion.as_ref().filter(|done| done.known_at <= until);
    let heard = event.feedback.iter().filter(|said| said.known_at <= until);
    let latest = heard.max_by_key(|said| (said.known_at, said.value.feedback_id.clone()));
    let outcome = Outcome::of(completion, latest);
    Some(Matured {
        success: outcome.as_ref().and_then(|outcome| outcome.success),
        quality: outcome.and_then(|outcome| outcome.final_quality_score),
        cost: completion.and_then(|done| done.value.cost_usd),
        seconds: completion.and_then(|done| done.value.generation_time_seconds),
    })
}

/// How many generations each known outcome stands for: 1 where too few people were asked to tell whose
/// outcomes are known. The events are in the order of their start.
pub(crate) fn outcome_weights(
    events: &[GenerationEvent],
    deadline: TimeDelta,
    now: DateTime<Utc>,
) -> impl Fn(&GenerationEvent, bool) -> f64 {
    let seen = |event: &GenerationEvent| {
        let started = event.started.known_at;
        let success = matured(event, deadline, now).and_then(|outcome| outcome.success);
        Seen { started, known: success.map(|success| (started, success)), review: review(event) }
    };
    let propensities = ResponseModel::from_seen(events.iter().map(seen)).at(now, deadline);
    let weight = |propensities: &ResponsePropensity, event: &GenerationEvent, success| {
        1.0 / propensities.of(success, review(event), event.started.known_at)
    };
    let known = events.iter().filter_map(|e| Some((e, matured(e, deadline, now)?.success?)));
    let weights: Vec<_> = propensities
        .iter()
        .flat_map(|propensities| known.clone().map(|(e, y)| weight(propensities, e, y)))
        .collect();
    let most = MOST * weights.iter().sum::<f64>() / weights.len().max(1) as f64;
    move |event, success| {
        propensities.as_ref().map_or(1.0, |propensities| weight(propensities, event, success).min(most))
    }
}

fn review(event: &GenerationEvent) -> Option<(bool, f64)> {
    let review = event.completion.as_ref().and_then(|done| done.value.review.as_ref());
    review.map(|review| (review.requested, review.propensity))
}

/// What had come of a generation at its deadline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Matured {
    pub(crate) success: Option<bool>,
    pub(crate) quality: Option<f64>,
    pub(crate) cost: Option<f64>,
    pub(crate) seconds: Option<f64>,
}
