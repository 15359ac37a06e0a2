//! An import that is killed loses nothing and doubles nothing: the same import again goes on.
//!
//! The children are this test binary itself, started again with a file's path in the environment.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping
#![cfg(all(feature = "sqlite", unix))]

use devmatrix_ml::event::GenerationEvent;
use devmatrix_ml::import::{Format, ImportOptions, ImportReport, import};
use devmatrix_ml::store::{
    Durability, EventStore, EventStoreExt, MemoryStore, ScanOrder, SqliteOptions, SqliteStore,
};
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Result};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Variable with the store that a child imports into.
const FILE: &str = "DEVMATRIX_TEST_FILE";

const KILLS: u64 = 50;
const PULLS: usize = 6_000;

/// Pull requests as one array, made while they are read; each third is reverted at the end.
struct Pulls {
    next: usize,
    all: usize,
    text: Vec<u8>,
}

impl Pulls {
    fn new(all: usize) -> BufReader<Self> {
        BufReader::new(Self { next: 0, all, text: b"[".to_vec() })
    }
}

impl Read for Pulls {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        while self.text.is_empty() && self.next <= self.all {
            let (n, comma) = (self.next, if self.next == 0 { "" } else { "," });
            self.next += 1;
            let words = "the cart totals are wrong ".repeat(1 + n % 9);
            let state = [
                r#""MERGED","mergedAt":"2026-11-02T10:00:00Z""#,
                r#""CLOSED","closedAt":"2026-11-02T10:00:00Z""#,
            ][n % 2];
            let text = if n == self.all {
                "]".to_owned()
            } else if n % 3 == 2 {
                format!(
                    r#"{comma}{{"url":"https://github.example/o/r/pull/{n}","title":"Revert \"x\"","body":"Reverts o/r#{}","author":{{"login":"app/copilot-swe-agent"}},"createdAt":"2026-11-01T10:00:00Z","state":{state}}}"#,
                    n - 2
                )
            } else {
                format!(
                    r#"{comma}{{"url":"https://github.example/o/r/pull/{n}","title":"fix: {n}","body":"{words}","author":{{"login":"app/copilot-swe-agent"}},"createdAt":"2026-11-01T10:00:00Z","state":{state}}}"#
                )
            };
            self.text = text.into_bytes();
        }
        let n = self.text.len().min(out.len());
        out[..n].copy_from_slice(&self.text[..n]);
        self.text.drain(..n);
        Ok(n)
    }
}

fn import_all(store: &dyn EventStore) -> ImportReport {
    block_on(import(
        store,
        Format::Github,
        [("pulls".to_owned(), Pulls::new(PULLS))],
        &ImportOptions::default(),
    ))
    .unwrap()
}

fn open(path: &Path) -> SqliteStore {
    let mut options = SqliteOptions::default();
    options.durability = Durability::Normal;
    SqliteStore::open_with(path, options).unwrap()
}

fn events(store: &dyn EventStore) -> BTreeMap<String, GenerationEvent> {
    let mut records = BTreeMap::<String, Vec<_>>::new();
    block_on(store.for_each(ScanOrder::Known, &mut |record| {
        records.entry(record.event_id().to_string()).or_default().push(record);
        Ok(())
    }))
    .unwrap();
    records.into_iter().filter_map(|(id, of)| Some((id, GenerationEvent::from_records(of)?))).collect()
}

#[test]
fn an_import_that_is_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut before = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_imports_until_it_is_killed"])
            .env(FILE, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(5 + kill * 7 % 120));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = events(&open(&path)).len();
        assert!(found >= before, "{found} events after {before}");
        before = found;
    }
    let report = serde_json::to_value(import_all(&open(&path))).unwrap();
    assert_eq!(
        (&report["read"], &report["skipped"], &report["conflicts"]["count"]),
        (&PULLS.into(), &0.into(), &0.into())
    );
    let whole = MemoryStore::new();
    import_all(&whole);
    let found = events(&open(&path));
    assert_eq!(found.len(), PULLS);
    assert!(found == events(&whole), "what was imported in pieces differs");
    assert_eq!(
        found["https://github.example/o/r/pull/0"].outcome().unwrap().success,
        Some(false),
        "reverted"
    );
}

/// Not a test of its own: the child that is killed.
#[test]
fn child_imports_until_it_is_killed() {
    let Ok(path) = std::env::var(FILE) else { return };
    import_all(&open(Path::new(&path)));
}
