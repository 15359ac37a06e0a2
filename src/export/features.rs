//! Feature vectors: a row a generation.

use super::column::{Cell, Holds, Spec};
use super::file::FileWriter;
use super::{ExportOptions, Exported};
use crate::error::Result;
use crate::event::FeatureVector;
use crate::event::{EventId, Fact, Record};
use crate::features::{FEATURES, FeatureEngineer};
use crate::store::{EventStore, ScanOrder};
use crate::text::SparseText;
use std::path::Path;

const KIND: &str = "features 1";

/// Records read at a time.
const BATCH: usize = 512;

/// Writes the stored feature vectors of the generations that started in the time that [`ExportOptions`] asks
/// for to a Parquet file, in the order of their start, with the n-grams of their descriptions.
///
/// Generations without a vector, and those with one of another schema than `engineer`'s, are skipped and
/// counted. Memory, file and blocking are as with [`write_events`](super::write_events).
///
/// # Errors
/// Those of the store; `Unavailable` when the file cannot be written; then there is none, or the old one.
pub async fn write_features(
    store: &dyn EventStore,
    engineer: &FeatureEngineer,
    path: impl AsRef<Path> + Send,
    options: &ExportOptions,
) -> Result<Exported> {
    let mut file = FileWriter::create(path.as_ref(), KIND, specs())?;
    file.note(super::SCHEMA, super::digits(engineer.fingerprint()));
    let (mut cursor, mut skipped) = (options.cursor(), 0);
    loop {
        let page = store.scan(ScanOrder::Known, cursor.as_ref(), BATCH).await?;
        let last = page.records.last().map(Record::known_at);
        let more = page.records.len() == BATCH && !last.is_some_and(|at| options.is_after(at));
        cursor = page.next;
        let asked = |at| !options.is_before(at) && !options.is_after(at);
        let wanted = page.records.into_iter().filter(|record| asked(record.known_at()));
        let (mut ids, mut starts) = (Vec::new(), Vec::new());
        for (id, known_at, fact) in wanted.map(Record::into_parts) {
            if let Fact::Started(started) = fact {
                ids.push(id);
                starts.push((known_at.timestamp_micros(), started.context.task_description));
            }
        }
        for ((id, start), vector) in ids.iter().zip(starts).zip(store.features(&ids).await?) {
            match vector.filter(|v| {
                v.schema == engineer.fingerprint()
                    && v.values.len() == FEATURES.len() + engineer.columns().len()
            }) {
                Some(vector) => file.push(cells(id, start, &vector))?,
                None => skipped += 1,
            }
        }
        if !more {
            return file.finish(skipped);
        }
    }
}

pub(super) fn specs() -> Vec<Spec> {
    let fixed = [
        Spec::required("event_id", Holds::Text),
        Spec::required("started_at", Holds::Time),
        Spec::new("target_success", Holds::Bool),
        Spec::new("target_quality_score", Holds::Double),
        Spec::new("target_time_seconds", Holds::Double),
    ];
    let features = FEATURES.iter().map(|feature| Spec::new(feature.name, Holds::Float));
    fixed
        .into_iter()
        .chain(features)
        .chain(ngrams())
        .chain([Spec::required("columns", Holds::Floats)])
        .collect()
}

/// The columns of a description's n-grams.
pub(super) fn ngrams() -> [Spec; 2] {
    [Spec::required("ngram_buckets", Holds::Ints), Spec::required("ngram_weights", Holds::Floats)]
}

/// Their cells.
pub(super) fn ngram_cells(text: &SparseText) -> [Cell; 2] {
    let (buckets, weights) = text.iter().map(|(bucket, weight)| (bucket as i32, weight)).unzip();
    [Cell::Ints(buckets), Cell::Floats(weights)]
}

fn cells(id: &EventId, (started_at, description): (i64, String), vector: &FeatureVector) -> Vec<Cell> {
    let fixed = [
        Cell::Text(id.to_string()),
        Cell::Int(started_at),
        vector.target_success.map_or(Cell::Empty, Cell::Bool),
        vector.target_quality_score.map_or(Cell::Empty, Cell::Double),
        vector.target_time_seconds.map_or(Cell::Empty, Cell::Double),
    ];
    let (values, own) = vector.values.split_at(FEATURES.len());
    let values = values.iter().map(|value| value.map_or(Cell::Empty, Cell::Float));
    let own = Cell::Floats(own.iter().map(|value| value.unwrap_or(f32::NAN)).collect());
    fixed
        .into_iter()
        .chain(values)
        .chain(ngram_cells(&SparseText::read(&description).1))
        .chain([own])
        .collect()
}
