//! Damaged and forged Parquet files: an error, never a panic, never other rows than were written.
//! `DEVMATRIX_FUZZ=N` sets the number of files.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use allocation_counter::measure;
use common::world::store_of;
use devmatrix_ml::clock::Clock;
use devmatrix_ml::dataset::{DatasetBuilder, Target};
use devmatrix_ml::export::{ExportOptions, read_dataset, read_events, write_dataset, write_events};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::store::{EventStoreExt, MemoryStore, ScanOrder};
use devmatrix_ml::{Error, ErrorKind};
use futures_executor::block_on;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::{TempDir, tempdir};

/// A file of events, a file of a training set, and its fingerprint.
struct Files {
    events: Vec<u8>,
    facts: u64,
    dataset: Vec<u8>,
    fingerprint: String,
}

static FILES: LazyLock<Files> = LazyLock::new(|| {
    let (store, clock) = store_of(10, 8.0, 9);
    let folder = tempdir().unwrap();
    let (events, dataset) = (folder.path().join("events"), folder.path().join("dataset"));
    let facts = block_on(write_events(store.as_ref(), &events, &ExportOptions::default())).unwrap().rows;
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    let mut each = |record| {
        builder.apply(&record);
        Ok(())
    };
    block_on(store.for_each(ScanOrder::Known, &mut each)).unwrap();
    let rows = builder.rows(Target::Success, clock.now(), usize::MAX);
    write_dataset(&rows, &dataset).unwrap();
    let [events, dataset] = [events, dataset].map(|path| fs::read(path).unwrap());
    Files { events, facts, dataset, fingerprint: rows.fingerprint() }
});

#[test]
fn a_truncated_file_is_rejected() {
    let folder = tempdir().unwrap();
    for whole in [&FILES.events, &FILES.dataset] {
        let ends = (0..64).chain((64..whole.len()).step_by(997)).chain(whole.len() - 64..whole.len());
        for end in ends {
            let errors = read_both(&folder, &whole[..end]);
            errors.into_iter().for_each(|error| assert_rejected(&error.unwrap_err()));
        }
    }
}

#[test]
fn a_changed_byte_is_detected() {
    let folder = tempdir().unwrap();
    let mut random = Pcg64Mcg::seed_from_u64(1);
    for whole in [&FILES.events, &FILES.dataset] {
        for _ in 0..tries() {
            let mut bytes = whole.clone();
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
            read_both(&folder, &bytes).into_iter().for_each(|error| assert_rejected(&error.unwrap_err()));
        }
    }
}

/// A changed file with a recomputed digest gives an error, or sound rows.
#[test]
fn forged_files_are_errors_or_sound_rows_in_bounded_memory() {
    // The Parquet reader may panic, which is caught: its messages are silenced.
    std::panic::set_hook(Box::new(|_| {}));
    let folder = tempdir().unwrap();
    let mut random = Pcg64Mcg::seed_from_u64(2);
    let (mut read, mut most) = (0, 0);
    for whole in [&FILES.events, &FILES.dataset] {
        for i in 0..tries() {
            let mut bytes = whole.clone();
            let begin = if i % 2 == 0 { 4 } else { bytes.len() - footer(&bytes) - 8 };
            for _ in 0..random.random_range(1..4) {
                let (at, end) = (random.random_range(begin..bytes.len()), bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] ^= 1 << random.random_range(0..8),
                    1 => bytes[at] = random.random_range(0..=255),
                    _ => random.fill_bytes(&mut bytes[at..(at + 4).min(end)]),
                }
            }
            seal(&mut bytes);
            let info = measure(|| read += read_both(&folder, &bytes).iter().filter(|r| r.is_ok()).count());
            most = most.max(info.bytes_max);
        }
    }
    println!("{read} of {} forged files could be read; at most {most} bytes at a time", 2 * tries());
    drop(std::panic::take_hook());
}

/// Reads the bytes as events and as a training set; asserts that readable ones are sound.
fn read_both(folder: &TempDir, bytes: &[u8]) -> Vec<Result<(), Error>> {
    let path = folder.path().join("damaged");
    fs::write(&path, bytes).unwrap();
    let whole = bytes == FILES.events || bytes == FILES.dataset;
    let as_dataset = dataset(&path);
    let as_events =
        block_on(read_events(&path, &MemoryStore::new())).map(|read| assert!(read.new <= FILES.facts));
    if whole { Vec::new() } else { vec![as_dataset, as_events] }
}

fn dataset(path: &Path) -> Result<(), Error> {
    let read = read_dataset(path, &FeatureEngineer::default())?;
    assert_eq!(read.fingerprint().len(), FILES.fingerprint.len());
    assert!(read.examples.iter().all(|e| e.label.is_finite() && e.weight.is_finite()));
    Ok(())
}

fn assert_rejected(error: &Error) {
    let expected = [ErrorKind::Corrupt, ErrorKind::InvalidInput, ErrorKind::Incompatible];
    assert!(expected.contains(&error.kind()), "{error}");
}

fn tries() -> usize {
    std::env::var("DEVMATRIX_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

fn footer(bytes: &[u8]) -> usize {
    let at = bytes.len() - 8;
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Recomputes the digest where one is stored.
fn seal(bytes: &mut [u8]) {
    let key = b"devmatrix_ml.sha256";
    let Some(at) = bytes.windows(key.len()).rposition(|window| window == key) else { return };
    let range = at + key.len() + 2..at + key.len() + 66;
    let Some(digits) = bytes.get_mut(range.clone()) else { return };
    digits.fill(b'0');
    let digest: String = Sha256::digest(&*bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes[range].copy_from_slice(digest.as_bytes());
}
