//! A store in memory: for tests, simulations and hosts that keep their events elsewhere.

use super::lease::{Answer, Ask, Held};
use super::{Appended, Cursor, Erasure, EventStore, Page, ScanOrder, Subject};
use crate::error::Result;
use crate::event::FeatureVector;
use crate::event::{EventId, Fact, GenerationEvent, Record, RecordKey};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps everything in memory, and loses it with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By knowledge: where the record stands in `arrived`.
    known: BTreeMap<(i64, RecordKey), usize>,
    arrived: Vec<Option<Record>>,
    events: HashMap<EventId, BTreeMap<RecordKey, usize>>,
    features: HashMap<EventId, FeatureVector>,
    /// Events judged since their features were put.
    waiting: BTreeSet<EventId>,
    checkpoints: HashMap<String, Vec<u8>>,
    leases: HashMap<String, Held>,
    erased: HashSet<EventId>,
    erasures: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, records: Vec<Record>) -> Result<Vec<Appended>> {
        let mut state = self.state();
        Ok(records.into_iter().map(|record| state.append(record)).collect())
    }

    async fn get(&self, ids: &[EventId]) -> Result<Vec<Option<GenerationEvent>>> {
        let state = self.state();
        Ok(ids.iter().map(|id| GenerationEvent::from_records(state.records_of(id))).collect())
    }

    async fn scan(&self, order: ScanOrder, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        Cursor::check(after, order)?;
        let state = self.state();
        let (records, last) = match order {
            ScanOrder::Known => state.scan_known(after, limit)?,
            ScanOrder::Arrival => state.scan_arrival(after, limit),
        };
        Ok(Page { records, next: last.or_else(|| after.cloned()) })
    }

    async fn put_features(&self, vectors: Vec<FeatureVector>) -> Result<()> {
        let mut state = self.state();
        for vector in vectors {
            if !state.erased.contains(&vector.event_id) {
                state.waiting.remove(&vector.event_id);
                state.features.insert(vector.event_id.clone(), vector);
            }
        }
        Ok(())
    }

    async fn features(&self, ids: &[EventId]) -> Result<Vec<Option<FeatureVector>>> {
        let state = self.state();
        Ok(ids.iter().map(|id| state.features.get(id).cloned()).collect())
    }

    async fn without_features(&self, after: Option<&EventId>, limit: usize) -> Result<Vec<EventId>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.state().waiting.range::<EventId, _>((from, Bound::Unbounded)).take(limit).cloned().collect())
    }

    async fn put_checkpoint(&self, name: &str, bytes: Option<Vec<u8>>) -> Result<()> {
        let mut state = self.state();
        match bytes {
            Some(bytes) => state.checkpoints.insert(name.to_owned(), bytes),
            None => state.checkpoints.remove(name),
        };
        Ok(())
    }

    async fn checkpoint(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.state().checkpoints.get(name).cloned())
    }

    async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool> {
        let leases = &mut self.state().leases;
        match Ask::new(holder, now, until, None).answer(leases.get(name)) {
            Answer::Given(held) => drop(leases.insert(name.to_owned(), held)),
            Answer::Free => drop(leases.remove(name)),
            Answer::Refused(watched) => {
                leases.extend(watched.map(|held| (name.to_owned(), held)));
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn erase(&self, subject: &Subject) -> Result<Erasure> {
        Ok(self.state().erase(subject))
    }

    async fn erasures(&self) -> Result<u64> {
        Ok(self.state().erasures)
    }
}

impl State {
    fn append(&mut self, record: Record) -> Appended {
        if self.erased.contains(record.event_id()) {
            return Appended::Erased;
        }
        let key = record.key();
        if let Some(at) = self.events.get(record.event_id()).and_then(|parts| parts.get(&key)) {
            let same = self.arrived[*at].as_ref().is_some_and(|stored| stored.fact() == record.fact());
            return if same { Appended::Duplicate } else { Appended::Conflict };
        }
        let judged =
            || self.events.get(record.event_id()).is_some_and(|parts| parts.keys().any(|key| key.kind == 2));
        if record.is_label() || key.kind == 1 && judged() {
            self.waiting.insert(record.event_id().clone());
        }
        let at = self.arrived.len();
        self.known.insert((record.known_at().timestamp_micros(), key.clone()), at);
        self.events.entry(record.event_id().clone()).or_default().insert(key, at);
        self.arrived.push(Some(record));
        Appended::New
    }

    fn records_of(&self, id: &EventId) -> Vec<Record> {
        let parts = self.events.get(id).into_iter().flat_map(BTreeMap::values);
        parts.filter_map(|at| self.arrived[*at].clone()).collect()
    }

    fn scan_known(&self, after: Option<&Cursor>, limit: usize) -> Result<(Vec<Record>, Option<Cursor>)> {
        let from = match after {
            Some(Cursor::Known(at, id, kind, part)) => {
                let key = RecordKey { event_id: EventId::new(id)?, kind: *kind, part: part.clone() };
                Bound::Excluded((*at, key))
            }
            _ => Bound::Unbounded,
        };
        let found = self.known.range((from, Bound::Unbounded)).take(limit);
        let records: Vec<_> = found.filter_map(|(_, at)| self.arrived[*at].clone()).collect();
        let last = records.last().map(Cursor::after_known);
        Ok((records, last))
    }

    fn scan_arrival(&self, after: Option<&Cursor>, limit: usize) -> (Vec<Record>, Option<Cursor>) {
        let from = match after {
            Some(Cursor::Arrival(at)) => usize::try_from(*at).unwrap_or(0),
            _ => 0,
        };
        let rest = self.arrived.iter().enumerate().skip(from);
        let found: Vec<_> = rest.filter_map(|(at, r)| r.clone().map(|r| (at, r))).take(limit).collect();
        let last = found.last().map(|(at, _)| Cursor::Arrival(*at as i64 + 1));
        (found.into_iter().map(|(_, record)| record).collect(), last)
    }

    fn erase(&mut self, subject: &Subject) -> Erasure {
        let of_subject = |record: &Record| match (record.fact(), subject) {
            (Fact::Started(s), Subject::User(user)) => {
                [&s.context.user_id, &s.context.reviewer_id].contains(&&Some(user.clone()))
            }
            (Fact::Feedback(f), Subject::User(user)) => f.reviewer_id.as_ref() == Some(user),
            (Fact::Started(s), Subject::Project(project)) => s.context.project_id.as_ref() == Some(project),
            _ => false,
        };
        let found = self.arrived.iter().flatten().filter(|r| of_subject(r));
        // A start and its feedback may both name the person.
        let doomed: BTreeSet<_> = found.map(|r| r.event_id().clone()).collect();
        for id in &doomed {
            for (key, at) in self.events.remove(id).into_iter().flatten() {
                if let Some(record) = self.arrived[at].take() {
                    self.known.remove(&(record.known_at().timestamp_micros(), key));
                }
            }
            self.features.remove(id);
            self.waiting.remove(id);
        }
        if !doomed.is_empty() {
            self.checkpoints.clear();
            self.erasures += 1;
        }
        let events = doomed.len() as u64;
        self.erased.extend(doomed);
        Erasure { events }
    }
}
