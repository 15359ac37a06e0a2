//! Logged generations, read from the store in one pass with their outcomes at the end of an attribution window.

use crate::dataset::{MOST, ResponseModel, Seen};
use crate::error::{Error, Result};
use crate::event::{EventId, Fact, GenerationEvent, Outcome, Record};
use crate::store::{EventStore, EventStoreExt, ScanOrder};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeSet, HashMap};

/// Hands every record of `store` to `take` in the order in which it became known, without the generated code.
pub(crate) async fn for_each_fact(
    store: &dyn EventStore,
    take: &mut (dyn FnMut(Record) -> Result<()> + Send),
) -> Result<()> {
    let mut each = |record: Record| {
        let (id, known_at, mut fact) = record.into_parts();
        if let Fact::Completed(done) = &mut fact {
            done.generated_code = None;
        }
        take(Record::stored(id, known_at, fact)?)
    };
    store.for_each(ScanOrder::Known, &mut each).await
}

/// Hands every generation of `store` to `take` in the order of their starts, each as soon as its attribution
/// `window` has passed: later facts cannot change its [`attributed`] outcome. At any time only the generations of
/// one window are in memory.
///
/// A completion or feedback that is known before its start is kept for one window.
pub(crate) async fn for_each_generation(
    store: &dyn EventStore,
    window: TimeDelta,
    mut take: impl FnMut(GenerationEvent) -> Result<()> + Send,
) -> Result<()> {
    let mut joined = Joiner::new(window);
    for_each_fact(store, &mut |record| joined.push(record, &mut take)).await?;
    joined.finish(None, &mut take)
}

/// Joins the facts of each generation.
#[derive(Debug)]
struct Joiner {
    window: TimeDelta,
    /// Facts of the generations whose window has not passed.
    in_flight: HashMap<EventId, Vec<Record>>,
    /// When the window of each passes.
    due: BTreeSet<(DateTime<Utc>, EventId)>,
}

impl Joiner {
    fn new(window: TimeDelta) -> Self {
        Self { window, in_flight: HashMap::new(), due: BTreeSet::new() }
    }

    fn push(&mut self, record: Record, take: &mut impl FnMut(GenerationEvent) -> Result<()>) -> Result<()> {
        self.finish(Some(record.known_at()), take)?;
        let facts = self.in_flight.entry(record.event_id().clone()).or_default();
        if facts.is_empty() || matches!(record.fact(), Fact::Started(_)) {
            let until = record.known_at().checked_add_signed(self.window);
            self.due.insert((until.unwrap_or(DateTime::<Utc>::MAX_UTC), record.event_id().clone()));
        }
        facts.push(record);
        Ok(())
    }

    /// Hands on the generations whose window has passed at `now`; all of them without a `now`.
    fn finish(
        &mut self,
        now: Option<DateTime<Utc>>,
        take: &mut impl FnMut(GenerationEvent) -> Result<()>,
    ) -> Result<()> {
        while let Some((until, _)) = self.due.first()
            && now.is_none_or(|now| *until < now)
            && let Some((until, id)) = self.due.pop_first()
        {
            let start = |facts: &[Record]| {
                let mut started = facts.iter().filter(|fact| matches!(fact.fact(), Fact::Started(_)));
                started.next().map(Record::known_at)
            };
            let started = self.in_flight.get(&id).and_then(|facts| start(facts));
            let is_due =
                started.is_none_or(|at| at.checked_add_signed(self.window).is_none_or(|due| due <= until));
            // A start that came after other facts has a later entry of its own.
            if is_due
                && let Some(facts) = self.in_flight.remove(&id)
                && let Some(event) = GenerationEvent::from_records(facts)
            {
                take(event)?;
            }
        }
        Ok(())
    }
}

/// Checks the attribution window called `name`.
pub(crate) fn check_span(name: &str, span: TimeDelta) -> Result<()> {
    if span > TimeDelta::zero() && span <= TimeDelta::days(3650) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} is {span}, expected above 0 and ten years at most")))
}

/// Returns the outcome, cost and seconds of a generation as known `window` after its start; `None` while the
/// window has not passed at `now`.
///
/// Approvals and rejections take different times, so outcomes are compared at the same age, whenever the
/// analysis runs.
pub(crate) fn attributed(
    event: &GenerationEvent,
    window: TimeDelta,
    now: DateTime<Utc>,
) -> Option<Attributed> {
    let until = event.started.known_at.checked_add_signed(window).filter(|until| *until <= now)?;
    let facts = event.known_by(until);
    let (outcome, completion) = (Outcome::of(&facts), facts.completion);
    Some(Attributed {
        success: outcome.as_ref().and_then(|outcome| outcome.success),
        quality: outcome.and_then(|outcome| outcome.final_quality_score),
        cost: completion.and_then(|done| done.value.cost_usd),
        seconds: completion.and_then(|done| done.value.generation_time_seconds),
    })
}

/// The outcome of a generation at the end of its attribution window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Attributed {
    pub(crate) success: Option<bool>,
    pub(crate) quality: Option<f64>,
    pub(crate) cost: Option<f64>,
    pub(crate) seconds: Option<f64>,
}

/// Returns the part of a generation from which response propensities are estimated.
pub(crate) fn response(event: &GenerationEvent, outcome: Option<&Attributed>) -> Seen {
    let started = event.started.known_at;
    let success = outcome.and_then(|outcome| outcome.success);
    let review = event.completion.as_ref().and_then(|done| done.value.review.as_ref());
    Seen {
        started,
        known: success.map(|success| (started, success)),
        review: review.map(|review| (review.requested, review.propensity)),
    }
}

/// Returns the weight of each labelled generation: the inverse of the propensity with which its outcome is
/// known, at most [`MOST`] times the mean weight; 1 where too few label requests were recorded to estimate it.
/// `responses` are in the order of their starts.
pub(crate) fn outcome_weights(
    responses: &[Seen],
    window: TimeDelta,
    now: DateTime<Utc>,
) -> impl Fn(&Seen) -> f64 + use<> {
    let propensities = ResponseModel::from_seen(responses.iter().copied()).at(now, window);
    let weight = move |seen: &Seen| {
        let success = seen.known.map(|(_, success)| success);
        propensities.as_ref().zip(success).map(|(p, success)| 1.0 / p.of(success, seen.review, seen.started))
    };
    let weights: Vec<_> = responses.iter().filter_map(&weight).collect();
    let most = MOST * weights.iter().sum::<f64>() / weights.len().max(1) as f64;
    move |seen| weight(seen).map_or(1.0, |weight| weight.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Completion, Feedback, Started, TaskContext, TaskId, UserAction};

    fn moment(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    fn start(id: &str, hours: i64) -> Record {
        let started = Started::from(TaskContext::new(TaskId::new("t").unwrap()));
        Record::new(EventId::new(id).unwrap(), moment(hours), Fact::Started(Box::new(started))).unwrap()
    }

    fn feedback(id: &str, hours: i64) -> Record {
        let feedback = Box::new(Feedback::new(UserAction::Approve));
        Record::new(EventId::new(id).unwrap(), moment(hours), Fact::Feedback(feedback)).unwrap()
    }

    fn completion(id: &str, hours: i64) -> Record {
        let done = Box::new(Completion::default());
        Record::new(EventId::new(id).unwrap(), moment(hours), Fact::Completed(done)).unwrap()
    }

    /// The ids with the number of feedbacks, in the order in which they are handed on, and the most in flight.
    fn joined(records: Vec<Record>) -> (Vec<(String, usize)>, usize) {
        let mut joiner = Joiner::new(TimeDelta::hours(10));
        let (mut found, mut most) = (Vec::new(), 0);
        let mut take = |event: GenerationEvent| {
            found.push((event.event_id.to_string(), event.feedback.len()));
            Ok(())
        };
        for record in records {
            joiner.push(record, &mut take).unwrap();
            most = most.max(joiner.in_flight.len());
        }
        joiner.finish(None, &mut take).unwrap();
        (found, most)
    }

    #[test]
    fn generations_come_in_the_order_of_their_starts_with_what_their_window_holds() {
        let records = vec![
            completion("early", 0),
            start("a", 1),
            start("early", 2),
            feedback("early", 3),
            feedback("a", 11), // the last moment of its window
            feedback("a", 12), // too late
            start("b", 30),
        ];
        let (found, _) = joined(records);
        let expected = [("a", 1), ("early", 1), ("b", 0)].map(|(id, n)| (id.to_owned(), n));
        assert_eq!(found, expected);
    }

    #[test]
    fn only_the_generations_of_one_window_are_in_memory() {
        let records = (0..1000).map(|i| start(&format!("e{i:04}"), i)).collect();
        let (found, most) = joined(records);
        assert!(found.len() == 1000 && found.is_sorted() && most <= 11, "{most}");
    }
}
