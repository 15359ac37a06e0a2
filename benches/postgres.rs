//! Writing to PostgreSQL one record at a time and in batches, from one host and from several at once, and
//! catching up with records of others. Needs a server:
//!
//! ```sh
//! PG_FSYNC=on .ci/with_postgres cargo bench --features postgres --bench postgres
//! ```
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use devmatrix_ml::event::Record;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::postgres::{Postgres, PostgresOptions};
use devmatrix_ml::store::{EventStore, EventStoreExt, PostgresStore, ScanOrder};
use futures_executor::block_on;
use std::time::{Duration, Instant};

fn main() {
    let Ok(url) = std::env::var("DEVMATRIX_TEST_POSTGRES_URL") else {
        return println!("skipped: DEVMATRIX_TEST_POSTGRES_URL names no server");
    };
    let records = common::records(40_000);
    let rate = |what: &str, count: usize, took: Duration| {
        println!("{what:<44} {:>8.0} records a second", count as f64 / took.as_secs_f64());
        count as f64 / took.as_secs_f64()
    };
    let write = |name: &str, batch: usize, count: usize| {
        let store = store(&url, name);
        let timer = Instant::now();
        records[..count]
            .chunks(batch)
            .for_each(|batch| drop(block_on(store.append(batch.to_vec())).unwrap()));
        timer.elapsed()
    };
    let single = rate("one at a time", 2_000, write("single", 1, 2_000));
    let batches = rate("batches of 500", 50_000, write("batches", 500, 50_000));
    println!("{:<44} {:>8.1} times", "batches beside single inserts", batches / single);
    let timer = Instant::now();
    let (monthly, months) = (store_by_month(&url, "months"), &records[..50_000]);
    months.chunks(500).for_each(|batch| drop(block_on(monthly.append(batch.to_vec())).unwrap()));
    let partitioned = rate("batches of 500, a partition a month", 50_000, timer.elapsed());
    println!("{:<44} {:>8.2} times", "beside one table", partitioned / batches);
    for (what, store) in [("one table", store(&url, "batches")), ("partitions", monthly)] {
        let (history, timer) = (SharedHistory::new(), Instant::now());
        assert_eq!(block_on(history.catch_up(&store)).unwrap(), 50_000);
        rate(&format!("catching up from {what}"), 50_000, timer.elapsed());
        let timer = Instant::now();
        let mut count = 0;
        let mut each = |_| {
            count += 1;
            Ok(())
        };
        block_on(store.for_each(ScanOrder::Known, &mut each)).unwrap();
        rate(&format!("replay from {what}"), count, timer.elapsed());
    }
    rate("one at a time, eight hosts", 4_000, hosts(&url, &records[..4_000], 1));
    rate("batches of 500, four hosts", 48_000, hosts(&url, &records[..48_000], 500));
    catch_up(&url, &records);
}

fn store(url: &str, name: &str) -> PostgresStore {
    open(url, name, PostgresOptions::default())
}

fn store_by_month(url: &str, name: &str) -> PostgresStore {
    let mut options = PostgresOptions::default();
    options.monthly_partitions = true;
    open(url, name, options)
}

fn open(url: &str, name: &str, mut options: PostgresOptions) -> PostgresStore {
    options.schema = format!("bench_{name}_{}", std::process::id());
    PostgresStore::new(&block_on(Postgres::connect(url, options)).unwrap())
}

/// Measures concurrent hosts: eight that write one record at a time, or four in batches.
fn hosts(url: &str, records: &[Record], batch: usize) -> Duration {
    let count = if batch == 1 { 8 } else { 4 };
    let name = format!("hosts{batch}");
    let stores: Vec<_> = (0..count).map(|_| store(url, &name)).collect();
    let timer = Instant::now();
    std::thread::scope(|scope| {
        for (store, share) in stores.iter().zip(records.chunks(records.len() / count)) {
            scope.spawn(move || {
                share.chunks(batch).for_each(|b| drop(block_on(store.append(b.to_vec())).unwrap()));
            });
        }
    });
    timer.elapsed()
}

/// Measures a host that starts, and one that is notified of what another writes.
fn catch_up(url: &str, records: &[Record]) {
    let (writer, reader) = (store(url, "catch_up"), store(url, "catch_up"));
    let (all, last) = records.split_at(100_000);
    all.chunks(2_000).for_each(|batch| drop(block_on(writer.append(batch.to_vec())).unwrap()));
    let (history, timer) = (SharedHistory::new(), Instant::now());
    assert_eq!(block_on(history.catch_up(&reader)).unwrap(), all.len());
    println!("catching up with {} facts takes {:.2?}", all.len(), timer.elapsed());
    let mut waits: Vec<_> =
        last[..200].iter().map(|record| heard(&writer, &reader, &history, record)).collect();
    waits.sort_unstable();
    println!(
        "a commit is in another host's history after p50 {:.1?}, at most {:.1?}",
        waits[100], waits[199]
    );
}

/// Measures the time from the acknowledgement of a commit until it is in another host's history.
fn heard(
    writer: &PostgresStore,
    reader: &PostgresStore,
    history: &SharedHistory,
    record: &Record,
) -> Duration {
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            loop {
                block_on(reader.news(Duration::from_secs(1)));
                if block_on(history.catch_up(reader)).unwrap() > 0 {
                    return Instant::now();
                }
            }
        });
        block_on(writer.append(vec![record.clone()])).unwrap();
        let written = Instant::now();
        reading.join().unwrap().saturating_duration_since(written)
    })
}
