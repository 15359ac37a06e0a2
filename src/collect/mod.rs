//! Recording every generation: its start, its end, every judgement.

mod in_flight;
mod measure;
mod pricing;
mod telemetry;
mod timeline;
mod vectors;

use crate::clock::Clock;
use crate::code_metrics::CodeOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{CLOCK_DOUBTED, Completion, EventId, Fact, Feedback, Metadata, Prices, Record, Started};
use crate::features::FeatureEngineer;
use crate::history::SharedHistory;
use crate::store::{Appended, Erasure, EventStore, EventStoreExt, Subject};
use chrono::TimeDelta;
use in_flight::{InFlight, PricedBy, State};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use timeline::{Moment, Timeline};

pub(crate) use measure::measure;

/// What can be set of a collector.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CollectorOptions {
    /// Feature vectors are written this many at a time.
    pub buffer_size: usize,
    /// Or once the oldest has waited this long.
    pub max_age: TimeDelta,
    /// Features of generations in flight that are kept in memory; of more, the oldest are made
    /// again from the store when they are needed.
    pub max_in_flight: usize,
    /// How far the clock may be from where it should be, by the time that has passed and by the store's newest fact; 5
    /// minutes by default. Beyond it the clock is not believed: facts are stamped by the time that has passed, starts and
    /// ends are marked in their metadata (`clock_doubted`), and once the clock is right it is believed again.
    pub clock_tolerance: TimeDelta,
    /// Bounds of measuring generated code.
    pub code: CodeOptions,
    /// Prices of LLMs: a generation that ends with tokens and without `cost_usd` gets its cost from them.
    pub prices: Prices,
}

impl Default for CollectorOptions {
    fn default() -> Self {
        Self {
            buffer_size: 50,
            max_age: TimeDelta::seconds(60),
            max_in_flight: 100_000,
            clock_tolerance: TimeDelta::minutes(5),
            code: CodeOptions::default(),
            prices: Prices::default(),
        }
    }
}

/// Records generations in a store and keeps the history up with them.
///
/// Every call returns once its fact is durable. Features are made at the start, from what is known
/// then; after every kind of feedback they are written beside the event, with its outcome,
/// some at a time. What had not been written when a process died is made again from the store by
/// [`DataCollector::open`].
///
/// Moments of knowledge are stamped here, strictly ascending, so that a replay sees what was seen. A clock that jumps is not
/// believed ([`CollectorOptions::clock_tolerance`]): what follows is not stamped years ahead, and no restart is needed.
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
#[doc(alias = "MLDataCollector")]
pub struct DataCollector {
    store: Arc<dyn EventStore>,
    history: Arc<SharedHistory>,
    engineer: FeatureEngineer,
    timeline: Arc<Timeline>,
    options: CollectorOptions,
    state: Mutex<State>,
    /// Tells this process's generations from another's.
    salt: u64,
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

    /// Opens a collector with options.
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
        let timeline = Arc::new(Timeline::new(clock, history.clone(), options.clock_tolerance));
        let collector = Self { store, history, engineer, timeline, options, state, salt };
        collector.recover().await?;
        Ok(collector)
    }

    /// The history that grows with every fact; share it with the prediction service.
    pub fn history(&self) -> Arc<SharedHistory> {
        Arc::clone(&self.history)
    }

    /// Returns the clock that facts are stamped by: the host's, as far as it is believed.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.timeline) as _
    }

    /// Records that a generation starts; the id names it from here on.
    ///
    /// # Errors
    /// `InvalidInput` naming the field that is out of range; those of writing the store.
    pub async fn start(&self, started: impl Into<Started> + Send) -> Result<EventId> {
        let (started, now) = (started.into(), self.timeline.stamp());
        let task = started.context.task_id.as_str();
        let task = &task[..task.floor_char_boundary(200)];
        let id = EventId::new(format!("gen_{task}_{}_{:08x}", now.at.timestamp_micros(), self.salt as u32))?;
        telemetry::collected("start", self.start_at(id, started, now)).await
    }

    /// Records the start of a generation under the host's own id; a repeated call records it once.
    ///
    /// # Errors
    /// `InvalidInput`; `Conflict` when another start is recorded under `id`.
    pub async fn start_as(&self, id: EventId, started: impl Into<Started> + Send) -> Result<EventId> {
        let now = self.timeline.stamp();
        telemetry::collected("start", self.start_at(id, started.into(), now)).await
    }

    /// Records the next try at the task of `previous`: the same task, chained to its first try.
    ///
    /// # Errors
    /// `NotFound` when `previous` was never started; those of [`DataCollector::start`].
    pub(crate) async fn regenerate(
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

    /// Records that a generation has ended, with the metrics of its code: those that the host
    /// supplies win and are listed in [`Completion::host_metrics`], the others are measured here. A cost that it does not
    /// supply follows from tokens and [prices](CollectorOptions::prices).
    ///
    /// Measuring takes the calling thread about half a millisecond for three kilobytes of code and at
    /// most the time budget of [`CollectorOptions::code`]; a host that minds calls
    /// [`crate::code_metrics::analyze`] on its blocking pool and supplies the metrics.
    ///
    /// # Errors
    /// `InvalidInput`; `Conflict` when it has ended otherwise before; those of writing the store.
    pub async fn complete(&self, id: &EventId, completion: Completion) -> Result<()> {
        telemetry::collected("complete", self.end(id, completion)).await
    }

    /// Records what a person said: late, repeated, revised, and before the end too.
    ///
    /// Give the feedback an id where a delivery may be repeated. An id that was never started is kept too:
    /// its
    /// start may be on the way, from another host.
    ///
    /// # Errors
    /// `InvalidInput`; `Conflict` when other feedback is recorded under its id; those of writing
    /// the store.
    pub async fn feedback(&self, id: &EventId, feedback: Feedback) -> Result<()> {
        telemetry::collected("feedback", self.judge(id, feedback)).await
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

    /// Removes a user's or a project's events, and all that was learned from them here; models
    /// trained on them stay until the next training.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn erase(&self, subject: &Subject) -> Result<Erasure> {
        let erasure = self.store.erase(subject).await?;
        self.engineer.forget_texts();
        self.catch_up().await?;
        Ok(erasure)
    }

    async fn start_at(&self, id: EventId, mut started: Started, moment: Moment) -> Result<EventId> {
        let now = moment.at;
        mark(&mut started.metadata, moment);
        let dated = started.context.started_at.is_some();
        started.context.started_at.get_or_insert(now);
        let record = Record::new(id.clone(), now, Fact::Started(Box::new(started)))?;
        let Fact::Started(clean) = record.fact() else {
            return Err(Error::internal("a start became another fact"));
        };
        self.engineer.validate(&clean.context)?;
        let view = self.history.view(&clean.context, now);
        let features = self.engineer.row(&clean.context, &view).into_values();
        let (language, priced) = (clean.context.language.clone(), PricedBy::of(clean));
        let generation = InFlight { id: id.clone(), features, language, priced };
        match self.record(record.clone()).await {
            Ok(Appended::New) => self.state().remember(now, generation, self.options.max_in_flight),
            Err(e) if e.kind() == ErrorKind::Conflict && self.started_alike(&record, dated).await? => {}
            other => drop(other?),
        }
        Ok(id)
    }

    async fn end(&self, id: &EventId, mut completion: Completion) -> Result<()> {
        self.engineer.validate_completion(&completion)?;
        let (moment, dated) = (self.timeline.stamp(), completion.completed_at.is_some());
        let now = moment.at;
        mark(&mut completion.metadata, moment);
        completion.completed_at.get_or_insert(now);
        let language = self.state().get(id).and_then(|generation| generation.language.clone());
        measure(&mut completion, language.as_deref(), &self.options.code);
        Box::pin(self.price(id, &mut completion, now)).await?;
        let record = Record::new(id.clone(), now, Fact::Completed(Box::new(completion)))?;
        match self.record(record.clone()).await {
            Err(e) if e.kind() == ErrorKind::Conflict && self.ended_alike(&record, dated).await? => Ok(()),
            Err(e) => Err(e),
            Ok(_) if self.state().was_unended(id) || record.is_label() => self.buffer(id).await,
            Ok(_) => Ok(()),
        }
    }

    async fn judge(&self, id: &EventId, feedback: Feedback) -> Result<()> {
        let now = self.timeline.stamp().at;
        self.record(Record::new(id.clone(), now, Fact::Feedback(Box::new(feedback)))?).await?;
        self.buffer(id).await
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

    /// Returns whether the stored start is this one but for the date that the collector itself gave.
    async fn started_alike(&self, record: &Record, dated: bool) -> Result<bool> {
        let mut stored = self.store.event(record.event_id()).await?.started.value;
        let Fact::Started(new) = record.fact() else { return Ok(false) };
        let mut new = new.as_ref().clone();
        if !dated {
            new.context.started_at = stored.context.started_at;
        }
        [&mut stored, &mut new].into_iter().for_each(|start| drop(start.metadata.remove(CLOCK_DOUBTED)));
        Ok(stored == new)
    }

    /// Returns whether the stored end is this one but for what the collector itself added: a date, metrics.
    async fn ended_alike(&self, record: &Record, dated: bool) -> Result<bool> {
        let stored =
            self.store.get(std::slice::from_ref(record.event_id())).await?.into_iter().flatten().next();
        let (Some(stored), Fact::Completed(new)) = (stored.and_then(|e| e.completion), record.fact()) else {
            return Ok(false);
        };
        let (mut stored, mut new) = (stored.value.as_given(), new.as_given());
        if !dated {
            new.completed_at = stored.completed_at;
        }
        [&mut stored, &mut new].into_iter().for_each(|end| drop(end.metadata.remove(CLOCK_DOUBTED)));
        Ok(stored == new)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes the clock's reading where it was not believed.
fn mark(metadata: &mut Metadata, moment: Moment) {
    if let Some(reading) = moment.doubted {
        metadata.insert(CLOCK_DOUBTED.to_owned(), reading.to_rfc3339().into());
    }
}

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod tests;
