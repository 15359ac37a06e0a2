//! A file of events that is replaced as a whole. Until then the facts stand in a store beside it, from which an import that was
//! interrupted goes on.

use crate::common;
use anyhow::{Context, bail};
use devmatrix_ml::event::{EventId, Fact};
use devmatrix_ml::import::{Format, ImportOptions, ImportReport, import};
use devmatrix_ml::store::{Cursor, Durability, EventStore, ScanOrder, SqliteOptions, SqliteStore};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_executor::block_on;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Records read at a time.
const PAGE: usize = 4096;

/// Adds what `import` finds to the events of a file.
pub(crate) fn into_file(
    path: &Path,
    import_all: impl FnOnce(&dyn EventStore) -> anyhow::Result<ImportReport>,
) -> anyhow::Result<ImportReport> {
    let beside = |more: &str| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(more);
        path.with_file_name(name)
    };
    let (staging, unfinished) = (beside(".importing"), beside(".unfinished"));
    let goes_on = staging.exists();
    if goes_on {
        eprintln!("{}: an earlier import was interrupted; this one goes on with it", staging.display());
    }
    let mut options = SqliteOptions::default();
    // What a power cut takes is read again.
    options.durability = Durability::Normal;
    let store = SqliteStore::open_with(&staging, options)?;
    if path.exists() {
        let before = [(path.display().to_string(), common::open(path)?)];
        let told = block_on(import(&store, Format::Jsonl, before, &ImportOptions::default()));
        if let Err(error) = told.map_err(Into::into).and_then(|told| whole(path, &told)) {
            if !goes_on {
                drop(store);
                remove(&staging);
            }
            return Err(error);
        }
    }
    let report = import_all(&store)?;
    let told = serde_json::to_value(&report)?;
    let is_new = |field: &str| told[field].as_u64().is_some_and(|count| count > 0);
    if goes_on || !path.exists() || is_new("imported") || is_new("updated") {
        write(&store, &unfinished).with_context(|| format!("{}: cannot be written", unfinished.display()))?;
        std::fs::rename(&unfinished, path)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    drop(store);
    remove(&staging);
    Ok(report)
}

/// Removes a store with its log.
fn remove(staging: &Path) {
    for more in ["", "-wal", "-shm"] {
        let mut name = staging.as_os_str().to_owned();
        name.push(more);
        let _ = std::fs::remove_file(name);
    }
}

/// Refuses to replace a file of which something would be lost.
fn whole(path: &Path, told: &ImportReport) -> anyhow::Result<()> {
    let told = serde_json::to_value(told)?;
    let first = ["skipped_examples", "conflicts"].into_iter().find_map(|kind| {
        let examples = told[kind].get("examples").unwrap_or(&told[kind]);
        examples.get(0)?.as_str().map(str::to_owned)
    });
    match first {
        None => Ok(()),
        Some(first) => bail!(
            "{} holds what cannot be kept when it is extended; mend it, or import into another file: {first}",
            path.display()
        ),
    }
}

/// Writes all events in the order of their starts.
fn write(store: &dyn EventStore, path: &PathBuf) -> anyhow::Result<()> {
    let file = BufWriter::with_capacity(1 << 17, File::create(path)?);
    let name = path.to_string_lossy();
    let packing = name.trim_end_matches(".unfinished").rsplit('.').next();
    if packing == Some("gz") {
        let mut packed = GzEncoder::new(file, Compression::fast());
        lines(store, &mut packed)?;
        packed.finish()?.flush()?;
    } else if packing == Some("zst") {
        let mut packed = zstd::Encoder::new(file, 3)?;
        lines(store, &mut packed)?;
        packed.finish()?.flush()?;
    } else {
        let mut file = file;
        lines(store, &mut file)?;
        file.flush()?;
    }
    File::open(path)?.sync_all()?;
    Ok(())
}

fn lines(store: &dyn EventStore, to: &mut impl Write) -> anyhow::Result<()> {
    let mut cursor: Option<Cursor> = None;
    // A packer clears its buffer for each piece that is written.
    let mut some = Vec::new();
    loop {
        let page = block_on(store.scan(ScanOrder::Known, cursor.as_ref(), PAGE))?;
        let starts = page.records.iter().filter(|record| matches!(record.fact(), Fact::Started(_)));
        let ids: Vec<EventId> = starts.map(|record| record.event_id().clone()).collect();
        for event in block_on(store.get(&ids))?.into_iter().flatten() {
            serde_json::to_writer(&mut some, &event)?;
            some.push(b'\n');
        }
        to.write_all(&some)?;
        some.clear();
        cursor = page.next;
        if page.records.len() < PAGE {
            return Ok(());
        }
    }
}
