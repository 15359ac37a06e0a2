//! The store replayed into training rows, kept from one training cycle to the next.

use super::facts::Reading;
use crate::dataset::DatasetBuilder;
use crate::error::Result;
use crate::event::{Record, RecordKey};
use crate::store::{Cursor, SCAN_PAGE, ScanOrder};
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex, PoisonError};

/// Training rows that grow with the store, so that a training cycle reads only what is new since the last.
///
/// Rows are those of a replay of the whole store, to the bit. Where that cannot be had by going on (after
/// an erasure, a fact that arrived later than others that became known after it, or a clock that went
/// back) the store is replayed anew. It holds about 2 kB a generation in memory; a process that does not
/// train should not keep one.
///
/// ```
/// # futures_executor::block_on(async {
/// use devmatrix_ml::clock::SystemClock;
/// use devmatrix_ml::features::FeatureEngineer;
/// use devmatrix_ml::models::{SuccessTrainer, TimeTrainer};
/// use devmatrix_ml::registry::MemoryRegistry;
/// use devmatrix_ml::store::MemoryStore;
/// use devmatrix_ml::training::{ReplayCache, Training};
/// let (store, registry, engineer) = (MemoryStore::new(), MemoryRegistry::new(), FeatureEngineer::default());
/// let replay = ReplayCache::default(); // for as long as the process lives
/// let training = Training::new(&store, &registry, &engineer, &SystemClock).with_replay(&replay);
/// assert!(training.run(&SuccessTrainer::default()).await.is_err(), "nothing to learn from yet");
/// assert!(training.run(&TimeTrainer::default()).await.is_err());
/// # });
/// ```
#[derive(Debug, Default)]
pub struct ReplayCache(Mutex<Option<Held>>);

/// A replay up to a moment.
#[derive(Debug)]
struct Held {
    builder: Arc<DatasetBuilder>,
    /// The fingerprint of the features that it makes.
    schema: u64,
    arrivals: Arrivals,
    /// The last fact that was taken in.
    last: Option<(DateTime<Utc>, RecordKey)>,
}

impl ReplayCache {
    /// Returns the rows of what a store knows.
    pub(super) async fn read(&self, reading: Reading<'_>) -> Result<Arc<DatasetBuilder>> {
        // Taken out meanwhile: whoever reads at the same time, and whoever reads after a failure, replays.
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut held = held.filter(|held| held.schema == reading.engineer.fingerprint());
        if let Some(going_on) = &mut held
            && !going_on.catch_up(reading).await?
        {
            held = None;
        }
        let held = match held {
            Some(held) => held,
            None => Held::replayed(reading).await?,
        };
        let rows = Arc::clone(&held.builder);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(rows)
    }
}

impl Held {
    /// Reads the whole store; what arrives meanwhile is read the next time.
    async fn replayed(reading: Reading<'_>) -> Result<Self> {
        let (mut builder, mut last) = (DatasetBuilder::new(reading.engineer.clone()), None);
        let mut arrivals = Arrivals { erasures: reading.store.erasures().await?, ..Arrivals::default() };
        arrivals.read(reading, &mut |_| {}).await?;
        let mut each = |record: &Record| {
            builder.apply(record);
            last = Some(order(record));
        };
        reading.known(&mut each).await?;
        Ok(Self { builder: Arc::new(builder), schema: reading.engineer.fingerprint(), arrivals, last })
    }

    /// Takes in what has arrived since; whether the rows are now those of a replay.
    async fn catch_up(&mut self, reading: Reading<'_>) -> Result<bool> {
        let went_back = self.last.as_ref().is_some_and(|(at, _)| *at > reading.now);
        let Some(builder) = Arc::get_mut(&mut self.builder).filter(|_| !went_back) else { return Ok(false) };
        if reading.store.erasures().await? != self.arrivals.erasures {
            return Ok(false);
        }
        let mut new = Vec::new();
        self.arrivals.read(reading, &mut |record| new.push(record)).await?;
        new.sort_by_cached_key(order);
        if new.first().is_some_and(|first| Some(order(first)) <= self.last) {
            return Ok(false);
        }
        for page in new.chunks(SCAN_PAGE) {
            reading.go_on().await?;
            page.iter().for_each(|record| builder.apply(record));
        }
        self.last = new.last().map(order).or(self.last.take());
        Ok(true)
    }
}

/// The order in which facts became known.
fn order(record: &Record) -> (DateTime<Utc>, RecordKey) {
    (record.known_at(), record.key())
}

/// How much of a store was read in the order of arrival.
#[derive(Debug, Default)]
struct Arrivals {
    cursor: Option<Cursor>,
    erasures: u64,
    /// Facts that were read and are known later than what was read for.
    ahead: Vec<Record>,
}

impl Arrivals {
    /// Gives `each` what has arrived since and what was ahead, as far as it is known by now.
    async fn read(&mut self, reading: Reading<'_>, each: &mut (dyn FnMut(Record) + Send)) -> Result<()> {
        let mut read = std::mem::take(&mut self.ahead);
        loop {
            for record in read {
                if record.known_at() <= reading.now {
                    each(record);
                } else {
                    self.ahead.push(record);
                }
            }
            let page = reading.page(ScanOrder::Arrival, self.cursor.as_ref()).await?;
            if page.records.is_empty() {
                return Ok(());
            }
            (read, self.cursor) = (page.records, page.next);
        }
    }
}

#[cfg(all(test, feature = "simulate"))]
#[allow(
    clippy::unwrap_used,
    reason = "lints do not see that this is a test where a feature is asked for too"
)]
mod tests {
    use super::*;
    use crate::dataset::Target;
    use crate::event::ProjectId;
    use crate::execution::ExecutionContext;
    use crate::features::FeatureEngineer;
    use crate::simulate::{Generation, Simulator, SimulatorOptions};
    use crate::store::{EventStore, MemoryStore, Subject};
    use chrono::TimeDelta;
    use futures_executor::block_on;

    /// Facts of some days, in the order in which they became known.
    fn facts() -> Vec<Record> {
        let options = SimulatorOptions { days: 8, per_day: 30.0, ..SimulatorOptions::default() };
        let events = Simulator::new(options).unwrap().map(Generation::into_event);
        let mut facts: Vec<_> = events.flat_map(|event| event.into_records().unwrap()).collect();
        facts.sort_by_cached_key(order);
        facts
    }

    struct Host {
        store: MemoryStore,
        engineer: FeatureEngineer,
        cache: ReplayCache,
    }

    impl Host {
        fn append(&self, facts: &[Record]) {
            block_on(self.store.append(facts.to_vec())).unwrap();
        }

        /// Checks that the cache gives the rows of a replay; whether it went on from what it had.
        fn went_on(&self, now: DateTime<Utc>) -> bool {
            let work = ExecutionContext::new();
            let reading =
                Reading { store: &self.store, engineer: &self.engineer, now, work: &work, lease: None };
            let held = self.cache.0.lock().unwrap().take();
            let held = held.and_then(|mut held| block_on(held.catch_up(reading)).unwrap().then_some(held));
            let went_on = held.is_some();
            *self.cache.0.lock().unwrap() = held;
            let kept = block_on(self.cache.read(reading)).unwrap();
            let anew = block_on(Held::replayed(reading)).unwrap().builder;
            for target in Target::ALL {
                let rows = |builder: &DatasetBuilder| builder.rows(target, now, usize::MAX).fingerprint();
                assert_eq!(rows(&kept), rows(&anew), "{target} at {now}");
            }
            went_on
        }
    }

    #[test]
    fn kept_rows_are_those_of_a_replay() {
        let (facts, cache) = (facts(), ReplayCache::default());
        let host = Host { store: MemoryStore::new(), engineer: FeatureEngineer::default(), cache };
        let at = |place: usize| facts[place].known_at();
        let cuts = [1, 2, 3, 4].map(|part| part * facts.len() / 5);
        let (late, tail) = (cuts[2] - 7, facts.len() - 1);
        host.append(&facts[..cuts[0]]);
        assert!(!host.went_on(at(cuts[0] - 1)), "nothing was kept yet");
        host.append(&facts[cuts[0]..cuts[1]]);
        assert!(host.went_on(at(cuts[1] - 1)));
        // Read ahead of its time, and taken in when that has come.
        host.append(&facts[cuts[1]..late]);
        assert!(host.went_on(at(late - 20)));
        host.append(&facts[late + 1..cuts[2]]);
        assert!(host.went_on(at(cuts[2] - 1)));
        host.append(&facts[late..=late]);
        assert!(!host.went_on(at(cuts[2] - 1)), "a fact arrived late");
        assert!(!host.went_on(at(cuts[1])), "the clock went back");
        assert!(host.went_on(at(cuts[2])));
        let project = ProjectId::new(project_of(&facts)).unwrap();
        block_on(host.store.erase(&Subject::Project(project))).unwrap();
        host.append(&facts[cuts[2]..]);
        assert!(!host.went_on(at(tail)), "a project was erased");
        assert!(host.went_on(at(tail) + TimeDelta::days(1)));
    }

    fn project_of(facts: &[Record]) -> String {
        let project = facts.iter().find_map(|record| match record.fact() {
            crate::event::Fact::Started(started) => started.context.project_id.clone(),
            _ => None,
        });
        project.unwrap().as_str().to_owned()
    }
}
