//! All that learns at once from what is recorded: the router with its budget and cost model, the adaptive
//! intervals and the monitor.
//!
//! Their state is a function of the store's facts in the order of their arrival, and of nothing else: a
//! process that lived through them, one that starts anew and one that starts from a checkpoint come to the
//! same bytes. So facts are never handed over by whoever records them; they are read back from the store,
//! those of other processes with them.

use super::generations::{Generation, Generations, Observed};
use super::outliers::Outliers;
use crate::dataset::Target;
use crate::error::{Error, Result};
use crate::event::{EventId, Fact, GenerationEvent, Record, Started};
use crate::models::Estimate;
use crate::monitoring::{Monitor, MonitorOptions};
use crate::registry::envelope;
use crate::routing::Router;
use crate::serving::{Adapted, PredictionService};
use crate::stats::fnv;
use crate::store::{Cursor, EventStore, SCAN_PAGE, ScanOrder};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The name under which a learner's checkpoint is stored.
const CHECKPOINT: &str = "engine";
/// The kind of its bytes.
const KIND: &str = "engine-2";
/// A checkpoint is not read beyond this many bytes.
const MAX_BYTES: usize = 2 << 30;

/// What learns from facts as they arrive.
#[derive(Debug)]
pub(super) struct Learner {
    service: Arc<PredictionService>,
    router: Mutex<Router>,
    monitor: Mutex<Monitor>,
    /// Locked while a page is taken in, so that pages are taken in one after another.
    progress: Mutex<Progress>,
    /// Amounts that count for less than they are; no part of the state, which they changed little.
    outliers: Mutex<Outliers>,
    /// The router as it was given, to begin anew from.
    unlearned: Vec<u8>,
    options: MonitorOptions,
    /// Tells the checkpoints of these options from others.
    fingerprint: u64,
}

/// Where in the store a learner stands, and what it remembers of generations.
#[derive(Debug, Default)]
struct Progress {
    position: Position,
    generations: Generations,
    /// Generations whose success is known.
    outcomes: u64,
}

/// A place in the store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Position {
    cursor: Option<Cursor>,
    erasures: u64,
}

/// A learner as it is written.
#[derive(Serialize, Deserialize)]
struct Stored {
    fingerprint: u64,
    position: Position,
    outcomes: u64,
    adapted: Adapted,
    router: Vec<u8>,
    monitor: Vec<u8>,
    generations: Vec<u8>,
}

impl Learner {
    /// Opens a learner at the store's end: from its checkpoint, or from all facts where there is none that
    /// these options made.
    ///
    /// # Errors
    /// `InvalidInput` naming the monitor's option that is out of range; those of reading the store.
    pub(super) async fn open(
        store: &dyn EventStore,
        service: Arc<PredictionService>,
        router: Router,
        options: MonitorOptions,
    ) -> Result<Self> {
        let unlearned = router.save()?;
        let settings = serde_json::to_vec(&(router.options(), &options))
            .map_err(|e| Error::internal("the options cannot be written").with_source(e))?;
        let learner = Self {
            service,
            router: Mutex::new(router),
            monitor: Mutex::new(Monitor::new(options.clone())?),
            progress: Mutex::default(),
            outliers: Mutex::default(),
            fingerprint: settings.iter().copied().fold(fnv::hash(&unlearned), fnv::step),
            unlearned,
            options,
        };
        if let Some(bytes) = store.checkpoint(CHECKPOINT).await?
            && let Err(error) = learner.restore(&bytes)
        {
            tracing::warn!(error = %format_args!("{error:#}"), "the engine's checkpoint is of no use: reading all events");
            learner.begin_anew(0)?;
        }
        learner.catch_up(store).await?;
        Ok(learner)
    }

    /// Learns from what has reached `store` since the last time, whoever wrote it; how many facts. After an
    /// erasure all is learned anew from what is left.
    ///
    /// # Errors
    /// Those of reading the store; what was learned until then is kept.
    pub(super) async fn catch_up(&self, store: &dyn EventStore) -> Result<usize> {
        let erasures = store.erasures().await?;
        if self.progress().position.erasures != erasures {
            self.begin_anew(erasures)?;
        }
        let mut taken = 0;
        loop {
            let position = self.progress().position.clone();
            let page = store.scan(ScanOrder::Arrival, position.cursor.as_ref(), SCAN_PAGE).await?;
            let count = page.records.len();
            let forgotten = self.progress().generations.forgotten(&page.records);
            let forgotten = if forgotten.is_empty() { Vec::new() } else { store.get(&forgotten).await? };
            let mut progress = self.progress();
            // Where another call has taken the page in meanwhile, it is read again from where that ended.
            if progress.position == position {
                self.take_in(&mut progress, &page.records, forgotten);
                progress.position.cursor = page.next;
                taken += count;
            } else if progress.position.erasures != position.erasures {
                return Ok(taken);
            }
            if count < SCAN_PAGE {
                return Ok(taken);
            }
        }
    }

    /// Returns true if a generation with this id is remembered as started.
    pub(super) fn remembers(&self, id: &EventId) -> bool {
        self.progress().generations.has_started(id)
    }

    /// Generations whose success is known.
    pub(super) fn outcomes(&self) -> u64 {
        self.progress().outcomes
    }

    /// Returns what `read` makes of the router; choices wait for it.
    pub(super) fn router<R>(&self, read: impl FnOnce(&mut Router) -> R) -> R {
        read(&mut self.router.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns what `read` makes of the monitor; learning waits for it, predictions and choices do not.
    pub(super) fn monitor<R>(&self, read: impl FnOnce(&mut Monitor) -> R) -> R {
        read(&mut self.monitor.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes a checkpoint, so that the next start need not read all events.
    ///
    /// # Errors
    /// Those of writing to the store.
    pub(super) async fn checkpoint(&self, store: &dyn EventStore) -> Result<()> {
        let bytes = self.save()?;
        store.put_checkpoint(CHECKPOINT, Some(bytes)).await
    }

    fn save(&self) -> Result<Vec<u8>> {
        let progress = self.progress();
        let stored = Stored {
            fingerprint: self.fingerprint,
            position: progress.position.clone(),
            outcomes: progress.outcomes,
            adapted: self.service.adapted(),
            router: self.router(|router| router.save())?,
            monitor: self.monitor(|monitor| monitor.to_bytes())?,
            generations: progress.generations.to_bytes()?,
        };
        let payload = postcard::to_stdvec(&stored)
            .map_err(|e| Error::internal("the engine's checkpoint cannot be written").with_source(e))?;
        envelope::seal(KIND, &payload)
    }

    fn restore(&self, bytes: &[u8]) -> Result<()> {
        let stored: Stored = postcard::from_bytes(envelope::open(bytes, KIND, MAX_BYTES)?)
            .map_err(|e| Error::corrupt("the engine's checkpoint cannot be read").with_source(e))?;
        if stored.fingerprint != self.fingerprint {
            return Err(Error::incompatible("it was made with other options of router or monitor"));
        }
        Cursor::check(stored.position.cursor.as_ref(), ScanOrder::Arrival)?;
        let (monitor, generations) =
            (Monitor::from_bytes(&stored.monitor)?, Generations::from_bytes(&stored.generations)?);
        self.router(|router| router.restore(&stored.router))?;
        self.monitor(|old| *old = monitor);
        self.service.adapt(&stored.adapted);
        *self.progress() = Progress { position: stored.position, generations, outcomes: stored.outcomes };
        Ok(())
    }

    fn begin_anew(&self, erasures: u64) -> Result<()> {
        let monitor = Monitor::new(self.options.clone())?;
        let mut progress = self.progress();
        self.router(|router| router.restore(&self.unlearned))?;
        self.monitor(|old| *old = monitor);
        self.service.adapt(&Adapted::default());
        self.outliers(|outliers| *outliers = Outliers::default());
        *progress = Progress { position: Position { cursor: None, erasures }, ..Progress::default() };
        Ok(())
    }

    fn take_in(&self, progress: &mut Progress, records: &[Record], forgotten: Vec<Option<GenerationEvent>>) {
        let mut forgotten: HashMap<_, _> =
            forgotten.into_iter().flatten().map(|event| (event.event_id.clone(), event)).collect();
        for record in records {
            self.monitor(|monitor| monitor.observe(record));
            let Progress { generations, outcomes, .. } = &mut *progress;
            let Some(generation) = generations.join(record, &mut forgotten) else { continue };
            self.learn(generation, record, outcomes);
        }
    }

    /// Learns what `record`, which `generation` holds already, adds to what was known.
    fn learn(&self, generation: &mut Generation, record: &Record, outcomes: &mut u64) {
        let (Some(event), observed) = (generation.event(), &mut generation.observed) else { return };
        let started = &event.started.value;
        if let (Fact::Started(_), Some(decision)) = (record.fact(), &started.decision) {
            self.router(|router| router.record_decision(decision, &started.context, record.known_at()));
        }
        if let Some(done) = event.completion.as_ref().filter(|_| !observed.end) {
            observed.end = true;
            let outlier = self.router(|router| {
                let outlier = router.outlier(&started.context, &done.value, done.known_at);
                router.completed(&started.context, &done.value, done.known_at);
                outlier
            });
            if let Some(outlier) = outlier {
                let llm = started.context.model_used.as_deref();
                self.outliers(|outliers| outliers.note(&event.event_id, llm, &outlier, done.known_at));
            }
            for target in [Target::Time, Target::Cost, Target::Tokens] {
                self.adapt(started, target, target.at_end(&done.value));
            }
        }
        if matches!(record.fact(), Fact::Started(_)) {
            self.adapt(started, Target::Complexity, started.complexity_label);
        }
        self.learn_outcome(&event, observed, outcomes);
    }

    fn learn_outcome(&self, event: &GenerationEvent, observed: &mut Observed, outcomes: &mut u64) {
        let Some(outcome) = event.outcome() else { return };
        if let Some(success) = outcome.success.filter(|success| observed.success != Some(*success)) {
            let before = observed.success.replace(success);
            *outcomes += u64::from(before.is_none());
            self.router(|router| router.learn_label(event, before.is_some()));
        }
        if outcome.final_quality_score.is_some() && !observed.quality {
            observed.quality = true;
            self.adapt(&event.started.value, Target::Quality, outcome.final_quality_score);
        }
    }

    /// Adapts the intervals of `target` to what became of the prediction shown.
    fn adapt(&self, started: &Started, target: Target, actual: Option<f64>) {
        let shown = |name: &str| started.predictions.iter().find(|shown| shown.target == name);
        let (wide, narrow) = (shown(target.name()), shown(&format!("{}@80", target.name())));
        if let (Some(wide), Some(narrow), Some(actual)) = (wide, narrow, actual)
            && let Err(error) = self.service.observe(target, &Estimate::from_shown(wide, narrow), actual)
        {
            tracing::warn!(error = %format_args!("{error:#}"), %target, "an outcome did not adapt the intervals");
        }
    }

    /// Returns what `read` makes of the outliers.
    pub(super) fn outliers<R>(&self, read: impl FnOnce(&mut Outliers) -> R) -> R {
        read(&mut self.outliers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
