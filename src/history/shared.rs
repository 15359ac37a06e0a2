//! One history for many readers, kept up with the store.

use super::checkpoint::{self, Position};
use super::{History, HistoryView};
use crate::error::Result;
use crate::event::{Record, TaskContext};
use crate::store::{EventStore, SCAN_PAGE, ScanOrder};
use chrono::{DateTime, Utc};
use std::sync::{Mutex, PoisonError, RwLock};

/// The name under which a history's checkpoint is stored.
const CHECKPOINT: &str = "history";

/// Facts taken in under one lock: readers wait for this many at most.
const CHUNK: usize = 128;

/// A history that is read while it grows.
///
/// A read holds the lock while it copies a few sums and finds similar tasks, which takes
/// well below a millisecond; no I/O is done under it.
#[derive(Debug, Default)]
pub struct SharedHistory {
    history: RwLock<History>,
    position: Mutex<Position>,
}

impl SharedHistory {
    /// Creates an empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// The history as `store` has it: its checkpoint, and what came since.
    ///
    /// A checkpoint that is damaged or of another release is set aside and the history made anew.
    ///
    /// # Errors
    /// Those of reading the store.
    pub async fn open(store: &dyn EventStore) -> Result<Self> {
        let bytes = store.checkpoint(CHECKPOINT).await?;
        let shared = bytes.and_then(|bytes| match checkpoint::load(&bytes) {
            Ok((history, position)) => {
                Some(Self { history: RwLock::new(history), position: Mutex::new(position) })
            }
            Err(error) => {
                tracing::warn!(error = %format_args!("{error:#}"), "the history's checkpoint is of no use: reading all events");
                None
            }
        });
        let shared = shared.unwrap_or_default();
        shared.catch_up(store).await?;
        Ok(shared)
    }

    /// Takes in what has reached `store` since the last time, whoever wrote it; how many facts.
    ///
    /// After an erasure the history is made anew from what is left.
    ///
    /// # Errors
    /// Those of reading the store; what was read until then is kept.
    pub async fn catch_up(&self, store: &dyn EventStore) -> Result<usize> {
        let erasures = store.erasures().await?;
        if self.position().erasures != erasures {
            *self.history.write().unwrap_or_else(PoisonError::into_inner) = History::new();
            *self.position.lock().unwrap_or_else(PoisonError::into_inner) =
                Position { cursor: None, erasures };
        }
        let mut taken = 0;
        loop {
            let cursor = self.position().cursor;
            let page = store.scan(ScanOrder::Arrival, cursor.as_ref(), SCAN_PAGE).await?;
            page.records.chunks(CHUNK).for_each(|chunk| self.apply(chunk));
            taken += page.records.len();
            self.position.lock().unwrap_or_else(PoisonError::into_inner).cursor = page.next;
            if page.records.len() < SCAN_PAGE {
                return Ok(taken);
            }
        }
    }

    /// Writes a checkpoint, so that the next start need not read all events.
    ///
    /// # Errors
    /// Those of writing to the store.
    pub async fn checkpoint(&self, store: &dyn EventStore) -> Result<()> {
        let position = self.position();
        let bytes = checkpoint::save(&self.snapshot(), &position)?;
        store.put_checkpoint(CHECKPOINT, Some(bytes)).await
    }

    /// Takes in facts.
    pub fn apply(&self, records: &[Record]) {
        let mut history = self.history.write().unwrap_or_else(PoisonError::into_inner);
        records.iter().for_each(|record| history.apply(record));
    }

    /// Returns the view of `task` at `now`.
    pub(crate) fn view(&self, task: &TaskContext, now: DateTime<Utc>) -> HistoryView {
        self.history.read().unwrap_or_else(PoisonError::into_inner).view(task, now)
    }

    /// What `read` makes of the history; writers wait for it, so it must be short.
    pub(crate) fn with<R>(&self, read: impl FnOnce(&History) -> R) -> R {
        read(&self.history.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A copy of the history as it is now.
    pub(crate) fn snapshot(&self) -> History {
        self.history.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn position(&self) -> Position {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
