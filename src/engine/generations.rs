//! Generations of which more may become known.

use crate::error::{Error, Result};
use crate::event::{EventId, Fact, GenerationEvent, Record};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet, VecDeque};

/// Generations that are remembered; of those before, a late outcome is still learned once, its start being
/// read from the store again.
const MOST: usize = 10_000;

/// The facts of the newest generations, without their code.
#[derive(Debug, Default)]
pub(super) struct Generations {
    by_id: HashMap<EventId, Generation>,
    /// In the order in which they were first heard of.
    order: VecDeque<EventId>,
    /// The latest start that was forgotten.
    forgotten_until: Option<DateTime<Utc>>,
}

/// The records of a generation, and the parts of it that the learner has already used.
#[derive(Debug, Default)]
pub(super) struct Generation {
    facts: Vec<Record>,
    pub(super) observed: Observed,
}

/// The parts of a generation that the learner has already used, so that nothing counts twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Observed {
    /// Its end.
    pub(super) end: bool,
    /// Its outcome, as it was learned last: an outcome that is revised is learned too.
    pub(super) success: Option<bool>,
    /// Its quality.
    pub(super) quality: bool,
}

/// A generation as it is written.
type Stored = (Vec<(EventId, i64, Fact)>, Observed);

impl Generation {
    /// Puts the facts together; `None` while the start is unknown.
    pub(super) fn event(&self) -> Option<GenerationEvent> {
        self.has_started().then(|| GenerationEvent::from_records(self.facts.iter().cloned())).flatten()
    }

    fn has_started(&self) -> bool {
        self.facts.iter().any(|record| matches!(record.fact(), Fact::Started(_)))
    }
}

impl Generations {
    /// Returns true if a start under `id` is remembered.
    pub(super) fn has_started(&self, id: &EventId) -> bool {
        self.by_id.get(id).is_some_and(Generation::has_started)
    }

    /// The generations to which facts among `records` belong, and which may have been forgotten.
    pub(super) fn forgotten(&self, records: &[Record]) -> Vec<EventId> {
        if self.forgotten_until.is_none() {
            return Vec::new();
        }
        let of_late = records.iter().filter(|record| !matches!(record.fact(), Fact::Started(_)));
        let unknown = of_late.map(Record::event_id).filter(|id| !self.by_id.contains_key(*id));
        unknown.collect::<HashSet<_>>().into_iter().cloned().collect()
    }

    /// Adds a fact to its generation and returns that; `None` for a fact that cannot be kept. `forgotten`
    /// has the generations that the store still knows.
    pub(super) fn join(
        &mut self,
        record: &Record,
        forgotten: &mut HashMap<EventId, GenerationEvent>,
    ) -> Option<&mut Generation> {
        let id = record.event_id();
        if !self.by_id.contains_key(id) {
            let start = forgotten.remove(id).and_then(|event| self.forgotten_start(event));
            let known = Generation { facts: start.into_iter().collect(), ..Generation::default() };
            self.by_id.insert(id.clone(), known);
            self.order.push_back(id.clone());
            self.forget();
        }
        let generation = self.by_id.get_mut(id)?;
        generation.facts.push(without_code(record)?);
        Some(generation)
    }

    /// The start of a generation that was known here once.
    fn forgotten_start(&self, event: GenerationEvent) -> Option<Record> {
        let known_at = event.started.known_at;
        let forgotten = self.forgotten_until.is_some_and(|until| known_at <= until);
        let start = || Record::stored(event.event_id, known_at, Fact::Started(Box::new(event.started.value)));
        forgotten.then(start)?.ok()
    }

    fn forget(&mut self) {
        while self.order.len() > MOST {
            let Some(generation) = self.order.pop_front().and_then(|id| self.by_id.remove(&id)) else {
                return;
            };
            let started = generation.facts.iter().filter(|record| matches!(record.fact(), Fact::Started(_)));
            self.forgotten_until = self.forgotten_until.max(started.map(Record::known_at).max());
        }
    }

    /// The generations as bytes.
    ///
    /// # Errors
    /// `Internal` when they cannot be written.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let stored = |generation: &Generation| -> Stored {
            let facts = generation.facts.iter().cloned().map(Record::into_parts);
            (facts.map(|(id, at, fact)| (id, at.timestamp_micros(), fact)).collect(), generation.observed)
        };
        let all: Vec<_> = self.order.iter().filter_map(|id| self.by_id.get(id)).map(stored).collect();
        serde_json::to_vec(&(self.forgotten_until.map(|at| at.timestamp_micros()), all))
            .map_err(|e| Error::internal("generations cannot be written").with_source(e))
    }

    /// The generations from bytes that [`to_bytes`](Self::to_bytes) made.
    ///
    /// # Errors
    /// `Corrupt` for other bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let unreadable = || Error::corrupt("the generations of the engine's checkpoint cannot be read");
        let (until, all): (Option<i64>, Vec<Stored>) =
            serde_json::from_slice(bytes).map_err(|e| unreadable().with_source(e))?;
        let at = |micros: i64| DateTime::from_timestamp_micros(micros).ok_or_else(unreadable);
        let mut read = Self { forgotten_until: until.map(at).transpose()?, ..Self::default() };
        for (facts, observed) in all {
            let facts = facts.into_iter().map(|(id, micros, fact)| Record::stored(id, at(micros)?, fact));
            let facts = facts.collect::<Result<Vec<_>>>()?;
            let id = facts.first().ok_or_else(unreadable)?.event_id().clone();
            read.order.push_back(id.clone());
            read.by_id.insert(id, Generation { facts, observed });
        }
        Ok(read)
    }
}

fn without_code(record: &Record) -> Option<Record> {
    let (id, known_at, mut fact) = record.clone().into_parts();
    match &mut fact {
        Fact::Started(started) => started.context.columns.clear(),
        Fact::Completed(done) => {
            done.generated_code = None;
            done.columns.clear();
        }
        Fact::Feedback(_) => {}
    }
    Record::stored(id, known_at, fact).ok()
}
