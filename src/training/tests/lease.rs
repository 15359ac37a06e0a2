//! The lease of a training is kept while its store is read, however long that takes.

use crate::clock::{Clock, ManualClock};
#[cfg(test)]
use crate::common::world::store_of;
use crate::error::{ErrorKind, Result};
use crate::event::{EventId, FeatureVector, GenerationEvent, Record};
use crate::features::FeatureEngineer;
use crate::models::SuccessTrainer;
use crate::registry::MemoryRegistry;
use crate::store::{Appended, Cursor, Erasure, EventStore, MemoryStore, Page, SCAN_PAGE, ScanOrder, Subject};
use crate::training::{ReplayCache, Training, TrainingOptions, TrainingSchedule, TrainingSignals};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_executor::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A store of which every page takes some minutes, at whose end another host asks for the lease of the training.
#[derive(Debug)]
struct Slow {
    store: Arc<MemoryStore>,
    clock: ManualClock,
    minutes: i64,
    pages: AtomicU64,
    taken: AtomicU64,
}

#[async_trait]
impl EventStore for Slow {
    async fn append(&self, records: Vec<Record>) -> Result<Vec<Appended>> {
        self.store.append(records).await
    }

    async fn get(&self, ids: &[EventId]) -> Result<Vec<Option<GenerationEvent>>> {
        self.store.get(ids).await
    }

    async fn scan(&self, order: ScanOrder, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.clock.advance(TimeDelta::minutes(self.minutes));
        self.pages.fetch_add(1, Ordering::SeqCst);
        let now = self.clock.now();
        let until = now + TimeDelta::minutes(10);
        let taken = self.store.lease("training-success", "another host", now, until).await?;
        self.taken.fetch_add(u64::from(taken), Ordering::SeqCst);
        self.store.scan(order, after, limit).await
    }

    async fn put_features(&self, vectors: Vec<FeatureVector>) -> Result<()> {
        self.store.put_features(vectors).await
    }

    async fn features(&self, ids: &[EventId]) -> Result<Vec<Option<FeatureVector>>> {
        self.store.features(ids).await
    }

    async fn without_features(&self, after: Option<&EventId>, limit: usize) -> Result<Vec<EventId>> {
        self.store.without_features(after, limit).await
    }

    async fn put_checkpoint(&self, name: &str, bytes: Option<Vec<u8>>) -> Result<()> {
        self.store.put_checkpoint(name, bytes).await
    }

    async fn checkpoint(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.store.checkpoint(name).await
    }

    async fn erase(&self, subject: &Subject) -> Result<Erasure> {
        self.store.erase(subject).await
    }

    async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool> {
        self.store.lease(name, holder, now, until).await
    }

    async fn erasures(&self) -> Result<u64> {
        self.store.erasures().await
    }
}

/// Creates a slow store of more than one page, each of which takes `minutes`.
fn slow(minutes: i64) -> Slow {
    let (store, clock) = store_of(30, 60.0, 5);
    let records = block_on(store.scan(ScanOrder::Known, None, usize::MAX)).unwrap().records.len();
    assert!(records > SCAN_PAGE, "{records} records are one page");
    Slow { store, clock, minutes, pages: AtomicU64::default(), taken: AtomicU64::default() }
}

#[test]
fn a_read_longer_than_the_lease_keeps_it() {
    for cached in [false, true] {
        let (slow, cache) = (slow(9), ReplayCache::default());
        let (registry, engineer) = (MemoryRegistry::new(), FeatureEngineer::default());
        let schedule = TrainingSchedule::default();
        let training = Training::new(&slow, &registry, &engineer, &slow.clock);
        let training = if cached { training.with_replay(&cache) } else { training };
        let claim = block_on(schedule.claim(&training, "success", TrainingSignals::default()));
        let claim = claim.unwrap().unwrap();
        let began = slow.clock.now();
        let result = block_on(training.with_claim(&claim).run(&SuccessTrainer::default()));
        let lasted = slow.clock.now() - began;
        assert!(lasted > TimeDelta::minutes(i64::from(schedule.lease_minutes)), "{lasted}");
        assert_eq!(slow.taken.load(Ordering::SeqCst), 0, "of {:?} pages, cached {cached}", slow.pages);
        assert!(result.is_ok(), "{result:?}");
        block_on(claim.conclude(&result)).unwrap();
    }
}

#[test]
fn a_read_whose_lease_was_lost_ends() {
    let slow = slow(11);
    let (registry, engineer) = (MemoryRegistry::new(), FeatureEngineer::default());
    let training =
        Training::new(&slow, &registry, &engineer, &slow.clock).with_options(TrainingOptions::default());
    let schedule = TrainingSchedule::default();
    let claim = block_on(schedule.claim(&training, "success", TrainingSignals::default()));
    let claim = claim.unwrap().unwrap();
    let error = block_on(training.with_claim(&claim).run(&SuccessTrainer::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(slow.taken.load(Ordering::SeqCst), 1);
    assert_eq!(slow.pages.load(Ordering::SeqCst), 1, "the second page is not read");
}
