//! Recording every generation: its start, its end, every judgement.

use crate::clock::Clock;
use crate::dataset::DatasetBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Completion, EventId, Fact, Feedback, GenerationEvent, Record, Started, is_recordable};
use crate::features::{FeatureEngineer, FeatureVector};
use crate::history::SharedHistory;
use crate::store::{Appended, Erasure, EventStore, EventStoreExt, ScanOrder, Subject};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What can be set of a collector.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CollectorOptions {
    /// Feature vectors are written this many at a time.
    pub buffer_size: usize,
    /// Or once the oldest has waited this long.
    pub max_age: TimeDelta,
    /// Features of generations under way that are kept in memory; of more, the oldest are made
    /// again from the store when they are needed.
    pub max_under_way: usize,
}

impl Default for CollectorOptions {
    fn default() -> Self {
        Self { buffer_size: 50, max_age: TimeDelta::seconds(60), max_under_way: 100_000 }
    }
}

/// Records generations in a store and keeps the history up with them.
///
/// Every call returns once its fact is durable. Features are made at the start, from what is known
/// then; after every kind of feedback they are written beside the event, with what came of it,
/// some at a time. What had not been written when a process died is made again from the store by
/// [`DataCollector::open`].
///
/// Moments of knowledge are stamped here, strictly ascending, so that a replay sees what was seen.
///
/// ```
/// # use futures_executor::block_on;
/// use devmatrix_ml::clock::SystemClock;
/// use devmatrix_ml::collect::DataCollector;
/// use devmatrix_ml::event::{Completion, Feedback, TaskContext, TaskId, UserAction};
/// use devmatrix_ml::features::FeatureEngineer;
/// use devmatrix_ml::store::{EventStoreExt, MemoryStore};
/// use std::sync::Arc;
/// # block_on(async {
/// let store = Arc::new(MemoryStore::new());
/// let collector =
///     DataCollector::open(store.clone(), FeatureEngineer::default(), Arc::new(SystemClock)).await?;
/// let event = collector.start(TaskContext::new(TaskId::new("TASK-7")?)).await?;
/// collector.complete(&event, Completion::default()).await?;
/// collector.feedback(&event, Feedback::new(UserAction::Approve)).await?;
/// assert_eq!(store.event(&event).await?.outcome().unwrap().success, Some(true));
/// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct DataCollector {
    store: Arc<dyn EventStore>,
    history: Arc<SharedHistory>,
    engineer: FeatureEngineer,
    clock: Arc<dyn Clock>,
    options: CollectorOptions,
    state: Mutex<State>,
    /// Tells this process's generations from another's.
    salt: u64,
}

#[derive(Debug, Default)]
struct State {
    last: Option<DateTime<Utc>>,
    /// Features of generations under way, by when they started.
    under_way: BTreeMap<DateTime<Utc>, (EventId, Vec<f32>)>,
    started: HashMap<EventId, DateTime<Utc>>,
    buffer: Vec<EventId>,
    waiting_since: Option<DateTime<Utc>>,
}

impl DataCollector {
    /// A collector on `store`, its history caught up, and what a dead process left undone done.
    ///
    /// # Errors
    /// Those of reading and writing the store.
    pub async fn open(
        store: Arc<dyn EventStore>,
        engineer: FeatureEngineer,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        Self::open_with(store, engineer, clock, CollectorOptions::default()).await
    }

    /// The same with options.
    ///
    /// # Errors
    /// Those of reading and writing the store.
    pub async fn open_with(
        store: Arc<dyn EventStore>,
        engineer: FeatureEngineer,
        clock: Arc<dyn Clock>,
        options: CollectorOptions,
    ) -> Result<Self> {
        let history = Arc::new(SharedHistory::open(store.as_ref()).await?);
        let (state, salt) = (Mutex::default(), RandomState::new().build_hasher().finish());
        let collector = Self { store, history, engineer, clock, options, state, salt };
        collector.recover().await?;
        Ok(collector)
    }

    /// The history that grows with every fact; share it with the prediction service.
    pub fn history(&self) -> Arc<SharedHistory> {
        Arc::clone(&self.history)
    }

    /// Records that a generation starts; the id names it from here on.
    ///
    /// # Errors
    /// `InvalidInput` naming the field that is out of range; those of writing the store.
    pub async fn start(&self, started: impl Into<Started> + Send) -> Result<EventId> {
        let (started, now) = (started.into(), self.next_moment());
        let task = started.context.task_id.as_str();
        let task = &task[..task.floor_char_boundary(200)];
        let id = EventId::new(format!("gen_{task}_{}_{:08x}", now.timestamp_micros(), self.salt as u32))?;
        self.start_at(id, started, now).await
    }

    /// Records the start of a generation under the host's own id; a repeated call records it once.
    ///
    /// # Errors
    /// `InvalidInput`; `Conflict` when another start is recorded under `id`.
    pub async fn start_as(&self, id: EventId, started: impl Into<Started> + Send) -> Result<EventId> {
        let now = self.next_moment();
        self.start_at(id, started.into(), now).await
    }

    /// Records the next try at the task of `previous`: the same task, chained to its first try.
    ///
    /// # Errors
    /// `NotFound` when `previous` was never started; those of [`DataCollector::start`].
    pub async fn regenerate(
        &self,
        previous: &EventId,
        started: impl Into<Started> + Send,
    ) -> Result<EventId> {
        let earlier = self.store.event(previous).await?.started.value.context;
        let mut started = started.into();
        started.context.task_id = earlier.task_id;
        started.context.attempt = earlier.attempt.saturating_add(1);
        started.context.regeneration_of = earlier.regeneration_of.or_else(|| Some(previous.clone()));
        self.start(started).await
    }

    /// Records that a generation has ended.
    ///
    /// # Errors
    /// `InvalidInput`; `Conflict` when it has ended otherwise before; those of writing the store.
    pub async fn complete(&self, id: &EventId, mut completion: Completion) -> Result<()> {
        let now = self.next_moment();
        let dated = completion.completed_at.is_some();
        completion.completed_at.get_or_insert(now);
        let record = Record::new(id.clone(), now, Fact::Completed(Box::new(completion)))?;
        match self.record(record.clone()).await {
            Err(e) if e.kind() == ErrorKind::Conflict && !dated && self.ended_alike(&record).await? => Ok(()),
            Err(e) => Err(e),
            Ok(_) if record.is_judgement() => self.buffer(id).await,
            Ok(_) => Ok(()),
        }
    }

    /// Records what a person said: late, repeated, revised, and before the end too.
    ///
    /// Give the feedback an id where a delivery may be repeated.
    ///
    /// # Errors
    /// `InvalidInput`; `Conflict` when other feedback is recorded under its id; those of writing
    /// the store.
    pub async fn feedback(&self, id: &EventId, feedback: Feedback) -> Result<()> {
        let now = self.next_moment();
        self.record(Record::new(id.clone(), now, Fact::Feedback(Box::new(feedback)))?).await?;
        self.buffer(id).await
    }

    /// Writes the feature vectors that wait; how many were written.
    ///
    /// # Errors
    /// Those of the store; what waits goes on waiting.
    pub async fn flush(&self) -> Result<usize> {
        let ids = {
            let mut state = self.state();
            state.waiting_since = None;
            std::mem::take(&mut state.buffer)
        };
        let written = self.write_features(&ids).await;
        if written.is_err() {
            let mut state = self.state();
            state.buffer.splice(0..0, ids);
            state.waiting_since.get_or_insert(self.clock.now());
        }
        written
    }

    /// Writes them when enough wait or the oldest has waited long enough; a host without steady
    /// traffic calls it now and then.
    ///
    /// # Errors
    /// Those of [`DataCollector::flush`].
    pub async fn flush_if_due(&self) -> Result<usize> {
        let due = {
            let state = self.state();
            let aged =
                state.waiting_since.is_some_and(|since| self.clock.now() - since >= self.options.max_age);
            aged || state.buffer.len() >= self.options.buffer_size.max(1)
        };
        if due { self.flush().await } else { Ok(0) }
    }

    /// Takes in what other processes have recorded; how many facts.
    ///
    /// # Errors
    /// Those of reading the store.
    pub async fn catch_up(&self) -> Result<usize> {
        self.history.catch_up(self.store.as_ref()).await
    }

    /// Catches up, and keeps the history in the store, so that the next start reads only what came
    /// after; once a night is enough.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn checkpoint(&self) -> Result<()> {
        self.catch_up().await?;
        self.history.checkpoint(self.store.as_ref()).await
    }

    /// Makes the feature vectors of judged generations that have none, from the store; how many.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn recover(&self) -> Result<usize> {
        let mut missing = HashSet::new();
        let mut after = None;
        loop {
            let page = self.store.without_features(after.as_ref(), RECOVER_PAGE).await?;
            after = page.last().cloned();
            let full = page.len() == RECOVER_PAGE;
            missing.extend(page);
            if !full {
                break;
            }
        }
        if missing.is_empty() {
            return Ok(0);
        }
        let rows = replay_rows(self.store.as_ref(), &self.engineer, &missing).await?;
        for chunk in rows.chunks(RECOVER_PAGE) {
            let ids: Vec<_> = chunk.iter().map(|(id, _)| id.clone()).collect();
            let events = self.store.get(&ids).await?;
            let vectors =
                chunk.iter().zip(events).map(|((id, values), event)| self.vector(id, values, event.as_ref()));
            self.store.put_features(vectors.collect()).await?;
        }
        Ok(rows.len())
    }

    /// Removes a user's or a project's events, and all that was learnt from them here; models
    /// trained on them stay until the next training.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn erase(&self, subject: &Subject) -> Result<Erasure> {
        let erasure = self.store.erase(subject).await?;
        self.catch_up().await?;
        Ok(erasure)
    }

    async fn start_at(&self, id: EventId, mut started: Started, now: DateTime<Utc>) -> Result<EventId> {
        let dated = started.context.started_at.is_some();
        started.context.started_at.get_or_insert(now);
        let record = Record::new(id.clone(), now, Fact::Started(Box::new(started)))?;
        let Fact::Started(clean) = record.fact() else {
            return Err(Error::internal("a start became another fact"));
        };
        let view = self.history.view(&clean.context, now);
        let values = self.engineer.row(&clean.context, &view).values;
        match self.record(record.clone()).await {
            Ok(Appended::New) => self.remember(id.clone(), now, values),
            Err(e) if e.kind() == ErrorKind::Conflict && !dated && self.started_alike(&record).await? => {}
            other => drop(other?),
        }
        Ok(id)
    }

    async fn record(&self, record: Record) -> Result<Appended> {
        let appended = self.store.append_one(record.clone()).await?;
        match appended {
            Appended::New => self.history.apply(&[record]),
            Appended::Erased => {
                let id = record.event_id();
                return Err(Error::new(ErrorKind::NotFound, format!("{id}: its user or project was erased")));
            }
            Appended::Duplicate | Appended::Conflict => {}
        }
        Ok(appended)
    }

    /// Whether the stored start is this one but for the date that the collector itself gave.
    async fn started_alike(&self, record: &Record) -> Result<bool> {
        let stored = self.store.event(record.event_id()).await?.started.value;
        let Fact::Started(new) = record.fact() else { return Ok(false) };
        let mut new = new.as_ref().clone();
        new.context.started_at = stored.context.started_at;
        Ok(stored == new)
    }

    /// Whether the stored end is this one but for the date that the collector itself gave.
    async fn ended_alike(&self, record: &Record) -> Result<bool> {
        let stored =
            self.store.get(std::slice::from_ref(record.event_id())).await?.into_iter().flatten().next();
        let (Some(stored), Fact::Completed(new)) = (stored.and_then(|e| e.completion), record.fact()) else {
            return Ok(false);
        };
        let mut new = new.as_ref().clone();
        new.completed_at = stored.value.completed_at;
        Ok(stored.value == new)
    }

    fn remember(&self, id: EventId, now: DateTime<Utc>, values: Vec<f32>) {
        let mut state = self.state();
        state.started.insert(id.clone(), now);
        state.under_way.insert(now, (id, values));
        while state.under_way.len() > self.options.max_under_way {
            if let Some((_, (oldest, _))) = state.under_way.pop_first() {
                state.started.remove(&oldest);
            }
        }
    }

    async fn buffer(&self, id: &EventId) -> Result<()> {
        {
            let mut state = self.state();
            if !state.buffer.contains(id) {
                state.buffer.push(id.clone());
            }
            let now = self.clock.now();
            state.waiting_since.get_or_insert(now);
        }
        // The feedback itself is durable: a failure here only makes its features wait.
        if let Err(error) = self.flush_if_due().await {
            tracing::warn!(%error, "feature vectors could not be written: they wait");
        }
        Ok(())
    }

    /// Writes the vectors whose features are at hand; the others are left for `recover`.
    async fn write_features(&self, ids: &[EventId]) -> Result<usize> {
        if ids.is_empty() {
            return Ok(0);
        }
        let events = self.store.get(ids).await?;
        let stored = self.store.features(ids).await?;
        let mut vectors = Vec::with_capacity(ids.len());
        for ((id, event), stored) in ids.iter().zip(events).zip(stored) {
            let made = self.state().features_of(id).map(|values| self.vector(id, &values, event.as_ref()));
            let revised = stored.map(|vector| with_targets(vector, event.as_ref()));
            vectors.extend(revised.or(made));
        }
        let written = vectors.len();
        self.store.put_features(vectors).await?;
        let mut state = self.state();
        ids.iter().for_each(|id| state.forget(id));
        Ok(written)
    }

    fn vector(&self, id: &EventId, values: &[f32], event: Option<&GenerationEvent>) -> FeatureVector {
        with_targets(FeatureVector::new(id.clone(), self.engineer.fingerprint(), values), event)
    }

    /// The present moment, later than any before; one that no record can have is not remembered.
    fn next_moment(&self) -> DateTime<Utc> {
        let mut state = self.state();
        let now = self.clock.now();
        let later = state.last.and_then(|last| last.checked_add_signed(TimeDelta::microseconds(1)));
        let now = later.map_or(now, |later| now.max(later));
        let now = DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now);
        if is_recordable(now) {
            state.last = Some(now);
        }
        now
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn features_of(&self, id: &EventId) -> Option<Vec<f32>> {
        let started = self.started.get(id)?;
        self.under_way.get(started).map(|(_, values)| values.clone())
    }

    fn forget(&mut self, id: &EventId) {
        if let Some(started) = self.started.remove(id) {
            self.under_way.remove(&started);
        }
    }
}

/// Vectors made again at a time.
const RECOVER_PAGE: usize = 1000;

/// The features of `wanted`, by a replay of the store.
async fn replay_rows(
    store: &dyn EventStore,
    engineer: &FeatureEngineer,
    wanted: &HashSet<EventId>,
) -> Result<Vec<(EventId, Vec<f32>)>> {
    let mut builder = DatasetBuilder::new(engineer.clone());
    let mut rows = Vec::new();
    let mut each = |record: Record| {
        builder.apply(&record);
        if let Some(example) = builder.take_last()
            && wanted.contains(&example.event_id)
        {
            rows.push((example.event_id, example.features.values.clone()));
        }
        Ok(())
    };
    store.for_each(ScanOrder::Known, &mut each).await?;
    Ok(rows)
}

fn with_targets(mut vector: FeatureVector, event: Option<&GenerationEvent>) -> FeatureVector {
    let outcome = event.and_then(GenerationEvent::outcome);
    vector.target_success = outcome.as_ref().and_then(|o| o.success);
    vector.target_quality_score = outcome.and_then(|o| o.final_quality_score);
    vector.target_time_seconds =
        event.and_then(|e| e.completion.as_ref()).and_then(|c| c.value.generation_time_seconds);
    vector
}
