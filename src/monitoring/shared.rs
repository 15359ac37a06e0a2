//! One monitor for many threads, kept up with the store.

use super::{Analytics, ModelFacts, Monitor, MonitorOptions};
use crate::error::Result;
use crate::store::{Cursor, EventStore, SCAN_PAGE, ScanOrder};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The name under which a monitor's checkpoint is stored.
const CHECKPOINT: &str = "monitor";

/// A monitor that reads what has reached a store, whoever wrote it.
///
/// ```
/// # futures_executor::block_on(async {
/// use devmatrix_ml::clock::{Clock, SystemClock};
/// use devmatrix_ml::monitoring::{ModelFacts, MonitorOptions, SharedMonitor};
/// use devmatrix_ml::store::MemoryStore;
/// let store = MemoryStore::new();
/// let monitor = SharedMonitor::open(&store, MonitorOptions::default()).await?;
/// // Every minute or so:
/// monitor.catch_up(&store).await?;
/// let seen = monitor.analytics(SystemClock.now(), &ModelFacts::default());
/// assert!(seen.drift.is_empty());
/// monitor.checkpoint(&store).await?; // the next start reads on from here
/// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct SharedMonitor {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    monitor: Monitor,
    position: Position,
}

/// Where in the store it stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Position {
    cursor: Option<Cursor>,
    erasures: u64,
}

impl SharedMonitor {
    /// The monitor as `store` has it: its checkpoint, and what came since. A checkpoint that is damaged,
    /// of another release or of other options is set aside and all events are read.
    ///
    /// # Errors
    /// `InvalidInput` naming the option that is out of range; those of reading the store.
    pub async fn open(store: &dyn EventStore, options: MonitorOptions) -> Result<Self> {
        let fresh = State { monitor: Monitor::new(options)?, position: Position::default() };
        let kept = store.checkpoint(CHECKPOINT).await?.and_then(|bytes| match read(&bytes) {
            Ok(state) if state.monitor.options() == fresh.monitor.options() => Some(state),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(error = %format_args!("{error:#}"), "the monitor's checkpoint is of no use: reading all events");
                None
            }
        });
        let shared = Self { state: Mutex::new(kept.unwrap_or(fresh)) };
        shared.catch_up(store).await?;
        Ok(shared)
    }

    /// Takes in what has reached `store` since the last time; how many facts. After an erasure all is
    /// made anew from what is left.
    ///
    /// # Errors
    /// Those of reading the store; what was read until then is kept.
    pub async fn catch_up(&self, store: &dyn EventStore) -> Result<usize> {
        let erasures = store.erasures().await?;
        if self.lock().position.erasures != erasures {
            let mut state = self.lock();
            let options = state.monitor.options().clone();
            *state = State { monitor: Monitor::new(options)?, position: Position { cursor: None, erasures } };
        }
        let mut taken = 0;
        loop {
            let cursor = self.lock().position.cursor.clone();
            let page = store.scan(ScanOrder::Arrival, cursor.as_ref(), SCAN_PAGE).await?;
            let mut state = self.lock();
            page.records.iter().for_each(|record| state.monitor.observe(record));
            state.position.cursor = page.next;
            taken += page.records.len();
            if page.records.len() < SCAN_PAGE {
                return Ok(taken);
            }
        }
    }

    /// Returns what `change` makes of the monitor; others wait for it.
    pub fn with<R>(&self, change: impl FnOnce(&mut Monitor) -> R) -> R {
        change(&mut self.lock().monitor)
    }

    /// Returns the report, after a search for subgroups where enough outcomes have come.
    pub fn analytics(&self, now: DateTime<Utc>, models: &ModelFacts) -> Analytics {
        let mut state = self.lock();
        state.monitor.review(now);
        state.monitor.analytics(now, models)
    }

    /// Writes a checkpoint, so that the next start need not read all events.
    ///
    /// # Errors
    /// Those of writing to the store.
    pub async fn checkpoint(&self, store: &dyn EventStore) -> Result<()> {
        let bytes = {
            let state = self.lock();
            let monitor = state.monitor.to_bytes()?;
            postcard::to_stdvec(&(&state.position, monitor)).map_err(|e| {
                crate::Error::internal("a monitor's checkpoint could not be written").with_source(e)
            })?
        };
        store.put_checkpoint(CHECKPOINT, Some(bytes)).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(bytes: &[u8]) -> Result<State> {
    let (position, monitor): (Position, Vec<u8>) = postcard::from_bytes(bytes)
        .map_err(|e| crate::Error::corrupt("the monitor's checkpoint cannot be read").with_source(e))?;
    Cursor::check(position.cursor.as_ref(), ScanOrder::Arrival)?;
    Ok(State { monitor: Monitor::from_bytes(&monitor)?, position })
}
