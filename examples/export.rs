//! Exports events to Parquet, imports them, and trains a model from a Parquet file: for notebooks and for
//! training on another machine.
//!
//! ```sh
//! cargo run --release --features export --example export -- EVENTS.jsonl[.gz]|STORE.db OUT_FOLDER
//! ```

#[path = "common/out.rs"]
#[macro_use]
mod out;

mod common;
#[path = "common/interrupt.rs"]
mod interrupt;

use anyhow::{Context, bail};
use chrono::Utc;
use clap::Parser;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::dataset::{DatasetBuilder, Target};
use devmatrix_ml::event::{FeatureVector, Record};
use devmatrix_ml::export::{
    ExportOptions, Exported, read_dataset, read_events, write_dataset, write_events, write_features,
};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{Predictor, SuccessTrainer, Trainer};
use devmatrix_ml::store::{EventStore, EventStoreExt, MemoryStore, ScanOrder, SqliteStore};
use futures_executor::block_on;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Exports events and trains from the exported files.
#[derive(Parser)]
struct Args {
    /// Events in JSON Lines, optionally gzipped, or a store's file, named .db or .sqlite
    events: PathBuf,
    /// Output folder of events.parquet, features.parquet and success.parquet
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.folder)?;
    let folder = args.folder.clone();
    interrupt::then(move || remove_unfinished(&folder))?;
    let store = open(&args.events)?;
    let engineer = FeatureEngineer::default();
    let path = |name: &str| args.folder.join(name);

    // 1. The events, and back: another store replays them to the same features.
    let timer = Instant::now();
    let all = ExportOptions::default();
    let events = block_on(write_events(store.as_ref(), path("events.parquet"), &all))?;
    say("events.parquet", &events, timer);
    let (other, timer) = (MemoryStore::new(), Instant::now());
    let read = block_on(read_events(path("events.parquet"), &other))?;
    println!("read back: {} facts in {:.2?}", read.new, timer.elapsed());

    // 2. The training set, and a model from the file: the same bytes as from the store.
    let mut builder = DatasetBuilder::new(engineer.clone());
    let mut latest = None;
    let mut each = |record: Record| {
        latest = latest.max(Some(record.known_at()));
        builder.apply(&record);
        Ok(())
    };
    block_on(other.for_each(ScanOrder::Known, &mut each))?;
    let rows = builder.rows(Target::Success, latest.unwrap_or_else(Utc::now), usize::MAX);
    let timer = Instant::now();
    say("success.parquet", &write_dataset(&rows, path("success.parquet"))?, timer);
    let timer = Instant::now();
    let from_file = read_dataset(path("success.parquet"), &engineer)?;
    println!("read back: {} rows in {:.2?}", from_file.examples.len(), timer.elapsed());
    let trainer = SuccessTrainer::default();
    match trainer.fit(&from_file) {
        Err(error) if matches!(error.kind(), ErrorKind::NotEnoughData { .. }) => {
            println!("no model is trained from the file: {error}");
        }
        model => {
            let artefact = model?.to_bytes()?;
            if artefact != trainer.fit(&rows)?.to_bytes()? {
                bail!("the model trained from the file differs from the one trained from the store");
            }
            let bytes = artefact.len();
            println!("trained from the file: {bytes} bytes, identical to the model trained from the store");
        }
    }

    // 3. Feature vectors, which a collector keeps beside the events it records; an imported event has none yet.
    let vectors = rows.examples.iter().map(|e| {
        let row = e.completed.as_ref().unwrap_or(&e.features);
        FeatureVector::new(e.event_id.clone(), rows.schema, &row.values)
    });
    block_on(other.put_features(vectors.collect()))?;
    let timer = Instant::now();
    let features = block_on(write_features(&other, &engineer, path("features.parquet"), &all))?;
    say("features.parquet", &features, timer);
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Box<dyn EventStore>> {
    if path.extension().is_some_and(|kind| kind == "db" || kind == "sqlite") {
        // Opening would create a missing store.
        std::fs::metadata(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        return Ok(Box::new(SqliteStore::open(path)?));
    }
    let store = MemoryStore::new();
    for event in common::read_events(path, false)?.events {
        block_on(store.append_all(event.into_records()?))?;
    }
    Ok(Box::new(store))
}

fn say(name: &str, written: &Exported, timer: Instant) {
    println!("{name}: {} rows, {} bytes in {:.2?}", written.rows, written.bytes, timer.elapsed());
}

/// Removes the file that this process was writing: it would be whole only under its own name.
fn remove_unfinished(folder: &Path) {
    let end = format!(".{}-", std::process::id());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(".tmp") && name.contains(&end) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
