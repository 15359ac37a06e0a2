//! What writing to SQLite costs: one by one, by 64 recorders at once, and in batches.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use devmatrix_ml::event::Record;
use devmatrix_ml::store::{EventStore, SqliteStore};
use futures_executor::block_on;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A store of its own for each measurement, and records that it has not seen.
fn measured(records: &[Record], write: impl Fn(&Arc<SqliteStore>, &[Record])) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path().join("events.db")).unwrap());
    let begun = Instant::now();
    write(&store, records);
    begun.elapsed()
}

fn one_by_one(store: &Arc<SqliteStore>, records: &[Record]) {
    for record in records {
        block_on(store.append(vec![record.clone()])).unwrap();
    }
}

fn by_recorders(store: &Arc<SqliteStore>, records: &[Record], recorders: usize) {
    std::thread::scope(|scope| {
        for part in records.chunks(records.len().div_ceil(recorders)) {
            scope.spawn(move || one_by_one(store, part));
        }
    });
}

/// As many futures as recorders on two threads, as an async host would.
fn by_tasks(store: &Arc<SqliteStore>, records: &[Record], recorders: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let parts = records.chunks(records.len().div_ceil(recorders)).map(<[Record]>::to_vec);
    let tasks: Vec<_> = parts
        .map(|part| {
            let store = Arc::clone(store);
            runtime.spawn(async move {
                for record in part {
                    store.append(vec![record]).await.unwrap();
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| runtime.block_on(task).unwrap());
}

/// The same rows, columns and indexes by rusqlite alone, encoded beforehand.
fn plain(rows: &[(String, u8, String, i64, Vec<u8>)]) -> Duration {
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
    let begun = Instant::now();
    for batch in rows.chunks(1000) {
        let transaction = db.transaction().unwrap();
        let sql = "INSERT INTO facts (event_id, kind, part, known_at, user_id, project_id, body, crc)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        for (id, kind, part, known_at, body) in batch {
            let mut insert = transaction.prepare_cached(sql).unwrap();
            let who = (*kind == 0).then_some("someone");
            insert.execute(rusqlite::params![id, kind, part, known_at, who, who, body, 1]).unwrap();
        }
        transaction.commit().unwrap();
    }
    begun.elapsed()
}

fn ingest(c: &mut Criterion) {
    let records = common::records(4_000);
    let mut group = c.benchmark_group("sqlite ingest");
    group.sample_size(10).throughput(Throughput::Elements(1));
    let scaled = |took: Duration, done: usize, wanted: u64| took.mul_f64(wanted as f64 / done as f64);
    group.bench_function("1 recorder", |b| {
        b.iter_custom(|n| scaled(measured(&records[..2000], one_by_one), 2000, n));
    });
    for (name, write) in [
        ("64 threads", by_recorders as fn(&Arc<SqliteStore>, &[Record], usize)),
        ("64 async tasks", by_tasks),
    ] {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_custom(|n| scaled(measured(&records, |s, r| write(s, r, 64)), records.len(), n));
        });
    }
    group.bench_function("batches of 1000", |b| {
        b.iter_custom(|n| {
            let took = measured(&records, |store, records| {
                for batch in records.chunks(1000) {
                    block_on(store.append(batch.to_vec())).unwrap();
                }
            });
            scaled(took, records.len(), n)
        });
    });
    let rows: Vec<_> = records
        .iter()
        .map(|r| {
            let (key, body) = (r.key(), serde_json::to_vec(r.fact()).unwrap());
            (key.event_id.to_string(), key.kind, key.part, r.known_at().timestamp_micros(), body)
        })
        .collect();
    group.bench_function("batches of 1000, rusqlite alone", |b| {
        b.iter_custom(|n| scaled(plain(&rows), rows.len(), n));
    });
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
