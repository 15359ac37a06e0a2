//! Memory of export and import does not depend on the number of events.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use allocation_counter::measure;
use devmatrix_ml::event::Record;
use devmatrix_ml::export::{ExportOptions, read_events, write_events};
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStore, MemoryStore};
use futures_executor::block_on;
use std::time::{Duration, Instant};
use tempfile::tempdir;

/// Returns the peak bytes allocated while `generations` generations are written, and while they are read into a
/// store that already has them.
fn most(generations: usize) -> (u64, u64) {
    let (folder, store) = (tempdir().unwrap(), MemoryStore::new());
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (365, generations as f64 / 365.0 * 1.6);
    let events = Simulator::new(options).unwrap().take(generations).map(Generation::into_event);
    let mut batch: Vec<Record> = Vec::new();
    for event in events {
        batch.extend(event.into_records().unwrap());
        if batch.len() > 1_000 {
            block_on(store.append(std::mem::take(&mut batch))).unwrap();
        }
    }
    block_on(store.append(batch)).unwrap();
    let path = folder.path().join("events.parquet");
    let (mut written, mut took) = (None, [Duration::ZERO; 2]);
    let write = measure(|| {
        let timer = Instant::now();
        written = Some(block_on(write_events(&store, &path, &ExportOptions::default())).unwrap());
        took[0] = timer.elapsed();
    });
    let written = written.unwrap();
    let read = measure(|| {
        let timer = Instant::now();
        assert_eq!(block_on(read_events(&path, &store)).unwrap().duplicates, written.rows);
        took[1] = timer.elapsed();
    });
    println!(
        "{generations} generations, {} facts, {} bytes: written in {:.1?} with {} bytes of memory, read in {:.1?} with {}",
        written.rows, written.bytes, took[0], write.bytes_max, took[1], read.bytes_max
    );
    (write.bytes_max, read.bytes_max)
}

/// `DEVMATRIX_EXPORT=20000,200000` sets the numbers of generations.
#[test]
fn memory_does_not_grow_with_the_number_of_events() {
    let sizes = std::env::var("DEVMATRIX_EXPORT").unwrap_or_else(|_| "6000,12000".to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(|n| n.parse().unwrap()).collect();
    let (few, many) = (most(sizes[0]), most(sizes[1]));
    assert!(many.0 < few.0 * 5 / 4 && many.1 < few.1 * 5 / 4, "{few:?} {many:?}");
    assert!(many.0 < 100 << 20 && many.1 < 100 << 20, "{many:?}");
}
