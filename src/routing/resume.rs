//! A router's state rebuilt from the store.

use super::logged::for_each_fact;
use super::options::RouterOptions;
use super::policies::Policy;
use super::router::Router;
use crate::error::Result;
use crate::event::{EventId, Fact, GenerationEvent, Record};
use crate::stats::fnv;
use crate::store::EventStore;
use std::collections::HashMap;

impl Router {
    /// Creates a router that has learned from everything in `store`, in the order in which it became known. A host
    /// calls it at its start: no outcome is lost and none counts twice. It takes about as long as learning did, a
    /// fraction of a millisecond for each outcome; for very many, [`Router::save`] and [`Router::restore`] are
    /// faster.
    ///
    /// The store is read twice, page by page; only generations that wait for their completion or feedback are in
    /// memory.
    ///
    /// Families that a host assigned to LLMs that were never chosen are not in the store; they are known again with the
    /// next request.
    ///
    /// # Errors
    /// Those of [`Router::new`] and of reading the store.
    pub async fn open(
        policy: Box<dyn Policy>,
        options: RouterOptions,
        store: &dyn EventStore,
    ) -> Result<Self> {
        let mut router = Self::new(policy, options)?;
        let mut replay = Replay::default();
        for_each_fact(store, &mut |record| {
            *replay.expected.entry(key(record.event_id())).or_default() += 1;
            Ok(())
        })
        .await?;
        for_each_fact(store, &mut |record| {
            replay.take(record, &mut router);
            Ok(())
        })
        .await?;
        Ok(router)
    }
}

/// Generations by the hash of their id.
#[derive(Debug, Default)]
struct Replay {
    /// How many facts the store has of each; those of a generation that was replayed are taken out.
    expected: HashMap<u64, usize>,
    /// Facts of the generations that are not complete yet.
    in_flight: HashMap<u64, Vec<Record>>,
}

impl Replay {
    /// Tells the router of a decision at the start, of the costs once a generation has ended, and of its outcome with
    /// its last fact: earlier feedback was revised.
    fn take(&mut self, record: Record, router: &mut Router) {
        let id = key(record.event_id());
        let Some(expected) = self.expected.get(&id).copied() else { return };
        let now = record.known_at();
        if let Fact::Started(started) = record.fact()
            && let Some(decision) = &started.decision
        {
            router.record_decision(decision, &started.context, now);
        }
        let may_complete = !matches!(record.fact(), Fact::Feedback(_));
        let facts = self.in_flight.entry(id).or_default();
        facts.push(record);
        let is_last = facts.len() == expected;
        if !may_complete && !is_last {
            return;
        }
        let event = GenerationEvent::from_records(facts.iter().cloned());
        if let Some(event) = &event
            && let Some(done) = event.completion.as_ref().filter(|_| may_complete)
        {
            router.completed(&event.started.value.context, &done.value, now);
        }
        if is_last {
            event.iter().for_each(|event| {
                router.feedback(event);
            });
            self.in_flight.remove(&id);
            self.expected.remove(&id);
        }
    }
}

fn key(id: &EventId) -> u64 {
    fnv::hash(id.as_str().as_bytes())
}
