//! Where the facts are kept: a small trait, and the stores that come with the crate.

mod conflict;
#[cfg(feature = "testing")]
pub mod conformance;
mod lease;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteOptions, SqliteStore};

use crate::error::{Error, ErrorKind, Result};
use crate::event::FeatureVector;
use crate::event::{EventId, GenerationEvent, ProjectId, Record, RecordKey, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::fmt::Debug;

/// A durable set of facts.
///
/// A store keeps a *set*: the same record written twice is kept once, and the order in which
/// records arrive changes nothing but the order of [`ScanOrder::Arrival`]. It holds no domain
/// logic. It must work under any async runtime, or none. `conformance::check` (feature `testing`)
/// proves an implementation right.
#[async_trait]
pub trait EventStore: Send + Sync + Debug {
    /// Writes `records`, all or none, durably before it returns; says of each what became of it.
    ///
    /// # Errors
    /// `Unavailable` when the storage cannot take them now; then none was written.
    async fn append(&self, records: Vec<Record>) -> Result<Vec<Appended>>;

    /// The generations with these ids, in their order; `None` where no start is known.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when a stored row fails its checksum.
    async fn get(&self, ids: &[EventId]) -> Result<Vec<Option<GenerationEvent>>>;

    /// Up to `limit` records after `after`, in `order`.
    ///
    /// A page shorter than `limit` is the last for now; its cursor resumes from there later.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when a stored row fails its checksum; `InvalidInput` for a cursor
    /// of the other order.
    async fn scan(&self, order: ScanOrder, after: Option<&Cursor>, limit: usize) -> Result<Page>;

    /// Keeps feature vectors beside their events, replacing earlier ones.
    ///
    /// # Errors
    /// `Unavailable` when the storage cannot take them now; then none was written.
    async fn put_features(&self, vectors: Vec<FeatureVector>) -> Result<()>;

    /// The feature vectors of these events, in their order.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when a stored row fails its checksum.
    async fn features(&self, ids: &[EventId]) -> Result<Vec<Option<FeatureVector>>>;

    /// Up to `limit` events that were judged ([`Record::is_label`]) since their features were
    /// last put, in the order of their ids, after `after`. The stores of this crate list those too that ended after
    /// feedback: their vectors lack the metrics of the code.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn without_features(&self, after: Option<&EventId>, limit: usize) -> Result<Vec<EventId>>;

    /// Keeps `bytes` under `name`, replacing earlier ones; `None` removes them. The crate's own are called
    /// `engine`, `history`, `monitor`, and what begins with `last-training-` or `mlflow-`.
    ///
    /// # Errors
    /// `Unavailable` when the storage cannot take them now; then nothing changed.
    async fn put_checkpoint(&self, name: &str, bytes: Option<Vec<u8>>) -> Result<()>;

    /// The bytes kept under `name`.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when they fail their checksum.
    async fn checkpoint(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Removes every event of `subject` with its features, and all checkpoints (they are made
    /// from events); later records of those events are answered [`Appended::Erased`].
    ///
    /// # Errors
    /// `Unavailable`; then nothing was removed.
    async fn erase(&self, subject: &Subject) -> Result<Erasure>;

    /// Gives the lease `name` to `holder` until `until`, unless somebody else holds it at `now`; whether
    /// it was given. Who asks again holds it until the new time; a time not after `now` gives it back.
    /// Of several who ask at the same time, in any processes, one gets it. Where the store has a clock of its own, the
    /// earlier of both counts: a host whose clock is ahead holds a lease no longer than others do.
    ///
    /// # Errors
    /// `Unavailable` when the storage cannot tell now; then nothing changed unless only the
    /// acknowledgement is missing.
    async fn lease(&self, name: &str, holder: &str, now: DateTime<Utc>, until: DateTime<Utc>)
    -> Result<bool>;

    /// How often [`erase`](Self::erase) has removed something: who holds a summary made before
    /// must make it anew.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn erasures(&self) -> Result<u64>;
}

/// What became of a record that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is stored now.
    New,
    /// An equal record was stored already.
    Duplicate,
    /// Something else is stored under its key; that stays, this was not written.
    Conflict,
    /// Its event was erased; it was not written.
    Erased,
}

/// The two orders in which records can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanOrder {
    /// By when they became known, then by key: the same for the same set of records. To replay.
    Known,
    /// By when they reached the store: what is new since a cursor, whoever wrote it. To catch up.
    Arrival,
}

/// A place in a scan; it stays valid while records are added.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Cursor {
    /// After this moment (microseconds since 1970) and key.
    Known(i64, String, u8, String),
    /// After this arrival number.
    Arrival(i64),
}

/// Some records in order, and where to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// After the last of them; what was asked for when there are none.
    pub next: Option<Cursor>,
}

/// Subject of an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// One person's: what this person asked for, and what was judged, or was to be judged, by this person.
    User(UserId),
    /// One project's.
    Project(ProjectId),
}

/// Result of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// Events removed, with all their facts and features.
    pub events: u64,
}

/// Conveniences on any store.
#[async_trait]
pub trait EventStoreExt: EventStore {
    /// Writes one record.
    ///
    /// # Errors
    /// Those of [`EventStore::append`], and `Conflict` when something else is stored under its key: it says how
    /// the two differ.
    async fn append_one(&self, record: Record) -> Result<Appended> {
        match self.append(vec![record.clone()]).await?.first() {
            Some(Appended::Conflict) => Err(conflict::of(self, &record).await?),
            Some(appended) => Ok(*appended),
            None => Err(Error::internal("the store did not say what became of the record")),
        }
    }

    /// Writes records of any number, some at a time; says of each what became of it.
    ///
    /// ```
    /// # futures_executor::block_on(async {
    /// use devmatrix_ml::event::GenerationEvent;
    /// use devmatrix_ml::store::{EventStoreExt, MemoryStore};
    /// let event = |task| GenerationEvent::from_json(&format!(r#"{{"event_id":"e","task_id":"{task}"}}"#));
    /// let store = MemoryStore::new();
    /// store.append_all(event("t")?.into_records()?).await?;
    /// let error = store.append_all(event("u")?.into_records()?).await.unwrap_err();
    /// assert!(error.to_string().contains(r#"context.task_id is "t" there, "u" here"#), "{error}");
    /// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of [`EventStore::append`]; `Conflict` when something else is stored under the key of one, which
    /// stays: it says how the two differ, and how many more do. All others are written then.
    async fn append_all(&self, records: Vec<Record>) -> Result<Vec<Appended>> {
        let (mut answers, mut refused) = (Vec::with_capacity(records.len()), Vec::new());
        for some in records.chunks(SCAN_PAGE) {
            let told = self.append(some.to_vec()).await?;
            refused.extend(some.iter().zip(&told).filter(|(_, a)| **a == Appended::Conflict).map(|(r, _)| r));
            answers.extend(told);
        }
        let Some(first) = refused.first() else { return Ok(answers) };
        let error = conflict::of(self, first).await?;
        Err(match refused.len() - 1 {
            0 => error,
            more => error.context(format!("{more} more records conflict; the first")),
        })
    }

    /// One generation.
    ///
    /// # Errors
    /// Those of [`EventStore::get`], and `NotFound`.
    async fn event(&self, id: &EventId) -> Result<GenerationEvent> {
        self.get(std::slice::from_ref(id)).await?.into_iter().flatten().next().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("{id}: no generation was started under this id"))
        })
    }

    /// Every record in `order`, page by page.
    ///
    /// # Errors
    /// Those of [`EventStore::scan`], and what `each` returns.
    async fn for_each(
        &self,
        order: ScanOrder,
        each: &mut (dyn FnMut(Record) -> Result<()> + Send),
    ) -> Result<()> {
        let mut cursor = None;
        loop {
            let page = self.scan(order, cursor.as_ref(), SCAN_PAGE).await?;
            let count = page.records.len();
            page.records.into_iter().try_for_each(&mut *each)?;
            cursor = page.next;
            if count < SCAN_PAGE {
                return Ok(());
            }
        }
    }
}

impl<S: EventStore + ?Sized> EventStoreExt for S {}

/// Records read at a time by whoever reads them all.
pub(crate) const SCAN_PAGE: usize = 4096;

impl Cursor {
    /// The place just after `record` in [`ScanOrder::Known`].
    pub fn after_known(record: &Record) -> Self {
        let RecordKey { event_id, kind, part } = record.key();
        Self::Known(record.known_at().timestamp_micros(), event_id.to_string(), kind, part)
    }

    /// Refuses a cursor made in the other order.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub fn check(cursor: Option<&Self>, order: ScanOrder) -> Result<()> {
        match (cursor, order) {
            (None, _)
            | (Some(Self::Known(..)), ScanOrder::Known)
            | (Some(Self::Arrival(_)), ScanOrder::Arrival) => Ok(()),
            (Some(cursor), order) => {
                Err(Error::invalid(format!("cursor {cursor:?} was not made by a scan in order {order:?}")))
            }
        }
    }
}
