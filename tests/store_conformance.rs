//! The stores of this crate against the conformance suite, and the suite against faulty stores.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping
#![cfg(feature = "testing")]

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use devmatrix_ml::Result;
use devmatrix_ml::event::FeatureVector;
use devmatrix_ml::event::{EventId, GenerationEvent, Record};
use devmatrix_ml::store::{
    Appended, Cursor, Erasure, EventStore, MemoryStore, Page, ScanOrder, Subject, conformance,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn the_store_in_memory_conforms_without_a_runtime() {
    futures_executor::block_on(conformance::check(|| async { MemoryStore::new() }));
}

#[tokio::test]
async fn the_store_in_memory_conforms_under_tokio() {
    conformance::check(|| async { MemoryStore::new() }).await;
}

#[test]
fn a_faulty_store_fails_with_the_rule() {
    for (fault, rule) in [
        (Fault::SaysNewToDuplicates, "the same record is kept once"),
        (Fault::SaysDuplicateToConflicts, "another record under the same key is refused"),
        (Fault::LosesTheLastOfABatch, "every field comes back"),
        (Fault::SortsWhatItGets, "get keeps the order asked for"),
        (Fault::IgnoresTheCursor, "scans are ordered and resume"),
        (Fault::IgnoresTheLimit, "scans are ordered and resume"),
        (Fault::ReadsArrivalByKnowledge, "scans are ordered and resume"),
        (Fault::TakesAnyCursor, "a cursor of the other order is refused"),
        (Fault::LeasesToEverybody, "a lease has one holder at a time"),
        (Fault::KeepsTheFirstCheckpoint, "checkpoints are put, replaced and removed"),
        (Fault::ErasesNothing, "erasing a user leaves nothing"),
        (Fault::CountsNoErasures, "erasing a user leaves nothing"),
        (Fault::ForgetsFeatures, "features are put, replaced and read"),
        (Fault::ListsAllWithoutLimit, "events judged since their features were put are listed"),
    ] {
        let run = AssertUnwindSafe(|| {
            futures_executor::block_on(conformance::check(|| async move {
                Faulty { inner: MemoryStore::new(), fault }
            }));
        });
        let panic = catch_unwind(run).expect_err("the suite passes a faulty store");
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains(&format!("store breaks the rule \"{rule}\"")), "{fault:?}: {message}");
    }
}

/// A store with one fault.
#[derive(Debug)]
struct Faulty {
    inner: MemoryStore,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    SaysNewToDuplicates,
    SaysDuplicateToConflicts,
    LosesTheLastOfABatch,
    SortsWhatItGets,
    IgnoresTheCursor,
    IgnoresTheLimit,
    ReadsArrivalByKnowledge,
    TakesAnyCursor,
    KeepsTheFirstCheckpoint,
    LeasesToEverybody,
    ErasesNothing,
    CountsNoErasures,
    ForgetsFeatures,
    ListsAllWithoutLimit,
}

#[async_trait]
impl EventStore for Faulty {
    async fn append(&self, mut records: Vec<Record>) -> Result<Vec<Appended>> {
        let lost = self.fault == Fault::LosesTheLastOfABatch && records.len() > 2;
        if lost {
            records.pop();
        }
        let mut appended = self.inner.append(records).await?;
        if lost {
            appended.push(Appended::New);
        }
        for outcome in &mut appended {
            *outcome = match (self.fault, *outcome) {
                (Fault::SaysNewToDuplicates, Appended::Duplicate) => Appended::New,
                (Fault::SaysDuplicateToConflicts, Appended::Conflict) => Appended::Duplicate,
                (_, outcome) => outcome,
            };
        }
        Ok(appended)
    }

    async fn get(&self, ids: &[EventId]) -> Result<Vec<Option<GenerationEvent>>> {
        let mut ids = ids.to_vec();
        if self.fault == Fault::SortsWhatItGets {
            ids.sort();
        }
        self.inner.get(&ids).await
    }

    async fn scan(&self, order: ScanOrder, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        match self.fault {
            Fault::IgnoresTheCursor => self.inner.scan(order, None, limit).await,
            Fault::IgnoresTheLimit => self.inner.scan(order, after, limit.saturating_add(1)).await,
            Fault::ReadsArrivalByKnowledge if after.is_none() => {
                let page = self.inner.scan(order, None, limit).await?;
                Ok(Page { records: self.inner.scan(ScanOrder::Known, None, limit).await?.records, ..page })
            }
            Fault::TakesAnyCursor => {
                let after = after.filter(|c| matches!(c, Cursor::Known(..)) == (order == ScanOrder::Known));
                self.inner.scan(order, after, limit).await
            }
            _ => self.inner.scan(order, after, limit).await,
        }
    }

    async fn put_features(&self, vectors: Vec<FeatureVector>) -> Result<()> {
        if self.fault == Fault::ForgetsFeatures { Ok(()) } else { self.inner.put_features(vectors).await }
    }

    async fn features(&self, ids: &[EventId]) -> Result<Vec<Option<FeatureVector>>> {
        self.inner.features(ids).await
    }

    async fn without_features(&self, after: Option<&EventId>, limit: usize) -> Result<Vec<EventId>> {
        let limit = if self.fault == Fault::ListsAllWithoutLimit { usize::MAX } else { limit };
        self.inner.without_features(after, limit).await
    }

    async fn put_checkpoint(&self, name: &str, bytes: Option<Vec<u8>>) -> Result<()> {
        let kept = self.inner.checkpoint(name).await?.is_some();
        let first_stays = self.fault == Fault::KeepsTheFirstCheckpoint && kept && bytes.is_some();
        if first_stays { Ok(()) } else { self.inner.put_checkpoint(name, bytes).await }
    }

    async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool> {
        let given = self.inner.lease(name, holder, now, until).await?;
        Ok(given || self.fault == Fault::LeasesToEverybody)
    }

    async fn checkpoint(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.inner.checkpoint(name).await
    }

    async fn erase(&self, subject: &Subject) -> Result<Erasure> {
        if self.fault == Fault::ErasesNothing {
            Ok(Erasure { events: 0 })
        } else {
            self.inner.erase(subject).await
        }
    }

    async fn erasures(&self) -> Result<u64> {
        if self.fault == Fault::CountsNoErasures { Ok(0) } else { self.inner.erasures().await }
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use devmatrix_ml::store::{EventStore, SqliteStore};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Makes stores in one folder that outlives them.
    struct Folder {
        folder: tempfile::TempDir,
        made: AtomicUsize,
    }

    impl Folder {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), made: AtomicUsize::new(0) }
        }

        fn store(&self) -> SqliteStore {
            let n = self.made.fetch_add(1, Ordering::Relaxed);
            SqliteStore::open(self.folder.path().join(format!("{n}.db"))).unwrap()
        }
    }

    #[test]
    fn the_store_on_sqlite_conforms_without_a_runtime() {
        let folder = Folder::new();
        futures_executor::block_on(conformance::check(|| async { folder.store() }));
    }

    #[tokio::test]
    async fn the_store_on_sqlite_conforms_on_one_thread_of_tokio() {
        let folder = Folder::new();
        conformance::check(|| async { folder.store() }).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_store_on_sqlite_conforms_on_a_task_of_tokio() {
        let folder = Folder::new();
        tokio::spawn(async move { conformance::check(|| async { folder.store() }).await }).await.unwrap();
    }

    #[test]
    fn a_store_is_dyn_compatible() {
        let folder = Folder::new();
        let store: Arc<dyn EventStore> = Arc::new(folder.store());
        assert_eq!(futures_executor::block_on(store.erasures()).unwrap(), 0);
    }
}
