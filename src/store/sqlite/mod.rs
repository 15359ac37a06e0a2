//! A store in one SQLite file.

mod fault;
mod read;
mod row;
mod schema;
mod write;
mod writer;

use super::{Appended, Cursor, Erasure, EventStore, Page, ScanOrder, Subject};
use crate::error::Result;
use crate::event::FeatureVector;
use crate::event::{EventId, GenerationEvent, Record};
use crate::store::lease::Ask;
use crate::store::row::{FactRow, FeatureRow};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::Connection;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use writer::Writer;

/// Keeps the facts in one SQLite file, with its write-ahead log beside it.
///
/// One thread of its own writes. Whatever queues while one commit runs goes into the next
/// transaction, so that many concurrent callers share the price of one flush to disk, and a lone
/// caller never waits for others; each is answered after its own commit. A caller that stops
/// waiting (drops the future) does not take its write back.
///
/// **Reads run on the calling thread** and block it for as long as a query takes: microseconds for
/// a few ids, milliseconds for a page of thousands. A host whose executor cannot spare that calls
/// them from its blocking pool.
///
/// Several stores and several processes may open the same file. Every row carries a checksum that
/// is verified whenever it is read. Dropping the store finishes what is queued and joins the
/// thread, and so blocks for one commit.
///
/// An erasure also rewrites the file, so that no byte of what was erased stays in it or in its log:
/// it takes as long as copying the file and needs as much free space, while other writes wait.
/// Where that cannot be done at once (the disk is full, another process reads on), the rows are gone
/// for every reader, and the rewriting is tried again later.
///
/// ```
/// # use devmatrix_ml::store::{EventStore, SqliteStore};
/// # let folder = tempfile::tempdir()?;
/// let store = SqliteStore::open(folder.path().join("events.db"))?;
/// assert_eq!(futures_executor::block_on(store.erasures())?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SqliteStore {
    path: Arc<Path>,
    options: SqliteOptions,
    writer: Writer,
    idle: Mutex<Vec<Connection>>,
}

/// Options of a [`SqliteStore`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// Failures that an acknowledged write survives.
    pub durability: Durability,
    /// Connections kept open for reading; more are opened while more threads read at once.
    pub readers: usize,
    /// How long to wait for another process that holds the file.
    pub busy_timeout: Duration,
}

/// Failures that an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A crash of the process, of the system, and a power cut: every commit is flushed to disk.
    #[default]
    Full,
    /// A crash of the process; a power cut may take the last commits, never the file's integrity.
    Normal,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { durability: Durability::Full, readers: 4, busy_timeout: Duration::from_secs(5) }
    }
}

impl SqliteStore {
    /// Opens the file at `path`, or makes it.
    ///
    /// # Errors
    /// Those of [`open_with`](Self::open_with).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, SqliteOptions::default())
    }

    /// Opens the file at `path`, or makes it, and brings an older schema up to date.
    ///
    /// # Errors
    /// `Incompatible` for a file of a newer release or another application; `Corrupt` for one that
    /// is no database; `InvalidInput` for an empty path or `:memory:`; `Unavailable` when it cannot
    /// be opened or written.
    pub fn open_with(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self> {
        let path = schema::resolve(path.as_ref())?;
        let shared: Arc<Path> = path.into();
        let named = |e: crate::Error| e.context(shared.display());
        let db = schema::open_writer(&shared, &options).map_err(named)?;
        let writer = Writer::start(db, shared.clone()).map_err(named)?;
        Ok(Self { path: shared.clone(), options, writer, idle: Mutex::default() })
    }

    /// Runs `query` on a connection of its own; one that failed is closed.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle().pop();
        let db = idle.map_or_else(|| schema::open_reader(&self.path, &self.options), Ok);
        let found = db.and_then(|db| query(&db).map(|found| (db, found)));
        let (db, found) = found.map_err(|e| e.context(self.path.display()))?;
        let mut idle = self.idle();
        if idle.len() < self.options.readers {
            idle.push(db);
        }
        Ok(found)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, records: Vec<Record>) -> Result<Vec<Appended>> {
        let rows: Vec<_> = records.iter().map(FactRow::new).collect::<Result<_>>()?;
        let answer = self.writer.write(move |tx| write::append(tx, &rows));
        // While the other thread writes: freeing a thousand records takes its time.
        drop(records);
        answer.await
    }

    async fn get(&self, ids: &[EventId]) -> Result<Vec<Option<GenerationEvent>>> {
        self.read(|db| read::events(db, ids))
    }

    async fn scan(&self, order: ScanOrder, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        Cursor::check(after, order)?;
        self.read(|db| read::scan(db, order, after, limit))
    }

    async fn put_features(&self, vectors: Vec<FeatureVector>) -> Result<()> {
        let rows: Vec<_> = vectors.iter().map(FeatureRow::new).collect::<Result<_>>()?;
        self.writer.write(move |tx| write::put_features(tx, &rows)).await
    }

    async fn features(&self, ids: &[EventId]) -> Result<Vec<Option<FeatureVector>>> {
        self.read(|db| read::features(db, ids))
    }

    async fn without_features(&self, after: Option<&EventId>, limit: usize) -> Result<Vec<EventId>> {
        self.read(|db| read::without_features(db, after, limit))
    }

    async fn put_checkpoint(&self, name: &str, bytes: Option<Vec<u8>>) -> Result<()> {
        let name = name.to_owned();
        self.writer.write(move |tx| write::put_checkpoint(tx, &name, bytes.as_deref())).await
    }

    async fn checkpoint(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.read(|db| read::checkpoint(db, name))
    }

    async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool> {
        let (name, ask) = (name.to_owned(), Ask::new(holder, now, until, None));
        self.writer.write(move |tx| write::lease(tx, &name, &ask)).await
    }

    async fn erase(&self, subject: &Subject) -> Result<Erasure> {
        let subject = subject.clone();
        self.writer.write(move |tx| write::erase(tx, &subject)).await
    }

    async fn erasures(&self) -> Result<u64> {
        self.read(read::erasures)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
