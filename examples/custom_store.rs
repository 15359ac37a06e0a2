//! A custom event store in one file, and the conformance suite that checks it.
//!
//! The whole state is one JSON file, rewritten at every change: enough for some thousand events, and the
//! shortest way to atomic, durable writes. Run it with
//! `cargo run --features testing --example custom_store`.

#[path = "common/out.rs"]
#[macro_use]
mod out;
#[path = "common/interrupt.rs"]
mod interrupt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use devmatrix_ml::event::FeatureVector;
use devmatrix_ml::event::{EventId, Fact, GenerationEvent, Record, RecordKey};
use devmatrix_ml::store::{Appended, Cursor, Erasure, EventStore, Page, ScanOrder, Subject, conformance};
use devmatrix_ml::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    interrupt::removes(folder.path().to_owned())?;
    let made = std::cell::Cell::new(0);
    futures_executor::block_on(conformance::check(|| {
        made.set(made.get() + 1);
        let path = folder.path().join(format!("{}.json", made.get()));
        async move { JsonStore::open(path).expect("an empty folder takes a new file") }
    }));
    println!("JsonStore conforms to EventStore (checked on {} fresh stores).", made.get());
    Ok(())
}

/// A store in one JSON file.
#[derive(Debug)]
struct JsonStore {
    path: PathBuf,
    state: Mutex<State>,
}

/// Content of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    /// Facts by arrival number, which is never reused.
    facts: BTreeMap<i64, (EventId, DateTime<Utc>, Fact)>,
    last: i64,
    features: BTreeMap<EventId, FeatureVector>,
    /// Events labelled since their features were written.
    waiting: BTreeSet<EventId>,
    checkpoints: BTreeMap<String, Vec<u8>>,
    leases: BTreeMap<String, (String, DateTime<Utc>)>,
    erased: BTreeSet<EventId>,
    erasures: u64,
}

impl JsonStore {
    fn open(path: PathBuf) -> Result<Self> {
        let state = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| Error::new(ErrorKind::Corrupt, "the file is damaged").with_source(e))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(e) => {
                return Err(Error::new(ErrorKind::Unavailable, "the file cannot be read").with_source(e));
            }
        };
        Ok(Self { path, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies `change` to a copy, and keeps it once it is on disk.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T> {
        let mut state = self.state();
        let mut next = state.clone();
        let done = change(&mut next);
        write(&self.path, &next)
            .map_err(|e| Error::new(ErrorKind::Unavailable, "the file cannot be written").with_source(e))?;
        *state = next;
        Ok(done)
    }
}

#[async_trait]
impl EventStore for JsonStore {
    async fn append(&self, records: Vec<Record>) -> Result<Vec<Appended>> {
        self.change(|state| records.into_iter().map(|record| state.append(record)).collect())
    }

    async fn get(&self, ids: &[EventId]) -> Result<Vec<Option<GenerationEvent>>> {
        let records = self.state().records()?;
        let of = |id| records.iter().map(|(_, r)| r).filter(move |r| r.event_id() == id).cloned();
        Ok(ids.iter().map(|id| GenerationEvent::from_records(of(id))).collect())
    }

    async fn scan(&self, order: ScanOrder, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        Cursor::check(after, order)?;
        let mut records = self.state().records()?;
        match after {
            Some(Cursor::Arrival(last)) => records.retain(|(n, _)| n > last),
            Some(Cursor::Known(micros, id, kind, part)) => {
                let key = RecordKey { event_id: EventId::new(id)?, kind: *kind, part: part.clone() };
                records.retain(|(_, r)| (r.known_at().timestamp_micros(), r.key()) > (*micros, key.clone()));
            }
            None => {}
        }
        if order == ScanOrder::Known {
            records.sort_by_key(|(_, r)| (r.known_at(), r.key()));
        }
        records.truncate(limit);
        let last = records.last().map(|(n, record)| match order {
            ScanOrder::Known => Cursor::after_known(record),
            ScanOrder::Arrival => Cursor::Arrival(*n),
        });
        let records = records.into_iter().map(|(_, record)| record).collect();
        Ok(Page { records, next: last.or_else(|| after.cloned()) })
    }

    async fn put_features(&self, vectors: Vec<FeatureVector>) -> Result<()> {
        self.change(|state| {
            for vector in
                vectors.into_iter().filter(|v| !state.erased.contains(&v.event_id)).collect::<Vec<_>>()
            {
                state.waiting.remove(&vector.event_id);
                state.features.insert(vector.event_id.clone(), vector);
            }
        })
    }

    async fn features(&self, ids: &[EventId]) -> Result<Vec<Option<FeatureVector>>> {
        let state = self.state();
        Ok(ids.iter().map(|id| state.features.get(id).cloned()).collect())
    }

    async fn without_features(&self, after: Option<&EventId>, limit: usize) -> Result<Vec<EventId>> {
        let state = self.state();
        Ok(state.waiting.iter().filter(|id| after.is_none_or(|a| *id > a)).take(limit).cloned().collect())
    }

    async fn put_checkpoint(&self, name: &str, bytes: Option<Vec<u8>>) -> Result<()> {
        self.change(|state| match bytes {
            Some(bytes) => drop(state.checkpoints.insert(name.to_owned(), bytes)),
            None => drop(state.checkpoints.remove(name)),
        })
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
        self.change(|state| {
            let other = state.leases.get(name).is_some_and(|(other, end)| other != holder && *end > now);
            if !other {
                state.leases.insert(name.to_owned(), (holder.to_owned(), until));
            }
            !other
        })
    }

    async fn erase(&self, subject: &Subject) -> Result<Erasure> {
        self.change(|state| state.erase(subject))
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
        let of_event = self.facts.values().filter(|(id, ..)| id == record.event_id());
        let mut stored =
            of_event.filter_map(|(id, at, fact)| Record::new(id.clone(), *at, fact.clone()).ok());
        if let Some(stored) = stored.find(|stored| stored.key() == record.key()) {
            return if stored.fact() == record.fact() { Appended::Duplicate } else { Appended::Conflict };
        }
        if record.is_label() {
            self.waiting.insert(record.event_id().clone());
        }
        self.last += 1;
        self.facts.insert(self.last, record.into_parts());
        Appended::New
    }

    fn records(&self) -> Result<Vec<(i64, Record)>> {
        let record =
            |(id, at, fact): &(EventId, DateTime<Utc>, Fact)| Record::new(id.clone(), *at, fact.clone());
        self.facts.iter().map(|(n, fact)| record(fact).map(|record| (*n, record))).collect()
    }

    fn erase(&mut self, subject: &Subject) -> Erasure {
        let owned = |fact: &Fact| match (fact, subject) {
            (Fact::Started(s), Subject::User(user)) => {
                [&s.context.user_id, &s.context.reviewer_id].into_iter().flatten().any(|id| id == user)
            }
            (Fact::Feedback(f), Subject::User(user)) => f.reviewer_id.as_ref() == Some(user),
            (Fact::Started(s), Subject::Project(project)) => s.context.project_id.as_ref() == Some(project),
            _ => false,
        };
        let doomed: BTreeSet<_> =
            self.facts.values().filter(|(_, _, fact)| owned(fact)).map(|(id, ..)| id.clone()).collect();
        let events = doomed.len() as u64;
        if events > 0 {
            self.facts.retain(|_, (id, ..)| !doomed.contains(id));
            self.features.retain(|id, _| !doomed.contains(id));
            self.waiting.retain(|id| !doomed.contains(id));
            self.checkpoints.clear();
            self.erased.extend(doomed);
            self.erasures += 1;
        }
        Erasure { events }
    }
}

/// Replaces the file once the new one is complete and on disk.
fn write(path: &Path, state: &State) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    // The folder's entry is data too (Windows opens no folders, and keeps entries by itself).
    path.parent().map_or(Ok(()), |folder| File::open(folder).map_or(Ok(()), |folder| folder.sync_all()))
}
