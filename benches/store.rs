//! Throughput of writing to SQLite: one by one, by 64 concurrent recorders, and in batches.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use devmatrix_ml::event::Record;
use devmatrix_ml::store::{EventStore, SqliteStore};
use futures_executor::block_on;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records of one recorder, call by call.
type Calls = Vec<Vec<Record>>;

/// Measures writes to a fresh store; the records are created before the timer starts.
fn measured(parts: Vec<Calls>, write: impl Fn(&Arc<SqliteStore>, Vec<Calls>)) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path().join("events.db")).unwrap());
    let timer = Instant::now();
    write(&store, parts);
    timer.elapsed()
}

/// Splits `records` among `recorders`, `a_call` per call.
fn parts(records: &[Record], recorders: usize, a_call: usize) -> Vec<Calls> {
    let each = records.chunks(records.len().div_ceil(recorders));
    each.map(|part| part.chunks(a_call).map(<[Record]>::to_vec).collect()).collect()
}

fn by_threads(store: &Arc<SqliteStore>, parts: Vec<Calls>) {
    std::thread::scope(|scope| {
        for part in parts {
            scope
                .spawn(move || part.into_iter().for_each(|call| drop(block_on(store.append(call)).unwrap())));
        }
    });
}

/// Writes with one future per recorder on two threads, as an async host would.
fn by_tasks(store: &Arc<SqliteStore>, parts: Vec<Calls>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = parts
        .into_iter()
        .map(|part| {
            let store = Arc::clone(store);
            runtime.spawn(async move {
                for call in part {
                    store.append(call).await.unwrap();
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| runtime.block_on(task).unwrap());
}

/// Writes the same rows, columns and indexes by rusqlite alone.
fn plain(records: &[Record]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let mut db = rusqlite::Connection::open(folder.path().join("plain.db")).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE facts (seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, kind INTEGER NOT NULL,
           part TEXT NOT NULL, known_at INTEGER NOT NULL, user_id TEXT, project_id TEXT, body BLOB NOT NULL,
           crc INTEGER NOT NULL, UNIQUE (event_id, kind, part)) STRICT;
         CREATE INDEX facts_known ON facts (known_at, event_id, kind, part);
         CREATE INDEX facts_user ON facts (user_id) WHERE user_id IS NOT NULL;
         CREATE INDEX facts_project ON facts (project_id) WHERE project_id IS NOT NULL;",
    )
    .unwrap();
    let timer = Instant::now();
    for batch in records.chunks(1000) {
        let transaction = db.transaction().unwrap();
        let sql = "INSERT INTO facts (event_id, kind, part, known_at, user_id, project_id, body, crc)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        for record in batch {
            let (key, body) = (record.key(), serde_json::to_vec(record.fact()).unwrap());
            let mut insert = transaction.prepare_cached(sql).unwrap();
            let who = (key.kind == 0).then_some("someone");
            let known_at = record.known_at().timestamp_micros();
            let id = key.event_id.as_str();
            insert.execute(rusqlite::params![id, key.kind, key.part, known_at, who, who, body, 1]).unwrap();
        }
        transaction.commit().unwrap();
    }
    timer.elapsed()
}

fn ingest(c: &mut Criterion) {
    let records = common::records(8_000);
    let few = &records[..2_000];
    let mut group = c.benchmark_group("sqlite ingest");
    group.sample_size(10).throughput(Throughput::Elements(1));
    let scaled = |took: Duration, done: usize, wanted: u64| took.mul_f64(wanted as f64 / done as f64);
    group.bench_function("1 recorder", |b| {
        b.iter_custom(|n| scaled(measured(parts(few, 1, 1), by_threads), few.len(), n));
    });
    group.bench_function("64 threads", |b| {
        b.iter_custom(|n| scaled(measured(parts(&records, 64, 1), by_threads), records.len(), n));
    });
    group.bench_function("64 async tasks", |b| {
        b.iter_custom(|n| scaled(measured(parts(&records, 64, 1), by_tasks), records.len(), n));
    });
    group.bench_function("batches of 1000", |b| {
        b.iter_custom(|n| scaled(measured(parts(&records, 1, 1000), by_threads), records.len(), n));
    });
    group.bench_function("batches of 1000, rusqlite alone", |b| {
        b.iter_custom(|n| scaled(plain(&records), records.len(), n));
    });
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
