//! The stores that come with the crate keep the rules that a host's own store must keep.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping
#![cfg(feature = "testing")]

use devmatrix_ml::store::{MemoryStore, conformance};

#[test]
fn the_store_in_memory_conforms_without_a_runtime() {
    futures_executor::block_on(conformance::check(|| async { MemoryStore::new() }));
}

#[tokio::test]
async fn the_store_in_memory_conforms_under_tokio() {
    conformance::check(|| async { MemoryStore::new() }).await;
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
    fn a_store_serves_as_an_object() {
        let folder = Folder::new();
        let store: Arc<dyn EventStore> = Arc::new(folder.store());
        assert_eq!(futures_executor::block_on(store.erasures()).unwrap(), 0);
    }
}
