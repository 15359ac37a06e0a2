//! Events: a row a fact.

use super::column::{Cell, Holds, Spec};
use super::file::{FileReader, FileWriter, Row};
use super::{ExportOptions, Exported, Imported};
use crate::error::{Error, Result};
use crate::event::{EventId, Fact, Record};
use crate::store::{Appended, Cursor, EventStore, ScanOrder};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::Path;

/// Which facts have a column, and where in them it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The task of a start.
    Task,
    /// A start.
    Start,
    /// The task of a start, and a feedback.
    TaskAndFeedback,
    /// A start and an end.
    StartAndEnd,
    /// An end.
    End,
    /// An end and a feedback.
    EndAndFeedback,
    /// A feedback.
    Feedback,
}

/// Kind and version of this layout in the file's metadata.
const KIND: &str = "events 1";

/// Records read and written at a time.
const BATCH: usize = 512;

const NAMES: [&str; 3] = ["started", "completed", "feedback"];

/// A part of an event with a column of its own. What is nested, or is none of these, is JSON text.
#[rustfmt::skip]
const FIELDS: &[(&str, Holds, Of)] = &[
    ("schema_version", Holds::Int, Of::Start),
    ("task_id", Holds::Text, Of::Task),
    ("project_id", Holds::Text, Of::Task),
    ("user_id", Holds::Text, Of::Task),
    ("reviewer_id", Holds::Text, Of::TaskAndFeedback),
    ("session_id", Holds::Text, Of::Task),
    ("started_at", Holds::Time, Of::Task),
    ("task_type", Holds::Text, Of::Task),
    ("task_description", Holds::Text, Of::Task),
    ("language", Holds::Text, Of::Task),
    ("framework", Holds::Text, Of::Task),
    ("agent_type", Holds::Text, Of::Task),
    ("model_used", Holds::Text, Of::Task),
    ("temperature", Holds::Double, Of::Task),
    ("effort", Holds::Text, Of::Task),
    ("max_tokens", Holds::Int, Of::Task),
    ("rag_enabled", Holds::Bool, Of::Task),
    ("rag_examples_count", Holds::Int, Of::Task),
    ("rag_examples_ids", Holds::Json, Of::Task),
    ("rag_avg_similarity", Holds::Double, Of::Task),
    ("rag_avg_quality", Holds::Double, Of::Task),
    ("template_id", Holds::Text, Of::Task),
    ("num_files_to_generate", Holds::Int, Of::Task),
    ("estimated_lines_of_code", Holds::Int, Of::Task),
    ("num_dependencies", Holds::Int, Of::Task),
    ("current_queue_size", Holds::Int, Of::Task),
    ("system_load", Holds::Double, Of::Task),
    ("regeneration_of", Holds::Text, Of::Task),
    ("attempt", Holds::Int, Of::Task),
    ("complexity_label", Holds::Double, Of::Start),
    ("decision", Holds::Json, Of::Start),
    ("predictions", Holds::Json, Of::Start),
    ("metadata", Holds::Json, Of::StartAndEnd),
    ("completed_at", Holds::Time, Of::End),
    ("generated_code", Holds::Text, Of::End),
    ("file_path", Holds::Text, Of::End),
    ("lines_of_code", Holds::Int, Of::End),
    ("cyclomatic_complexity", Holds::Double, Of::End),
    ("num_functions", Holds::Int, Of::End),
    ("num_classes", Holds::Int, Of::End),
    ("has_type_hints", Holds::Bool, Of::End),
    ("has_docstrings", Holds::Bool, Of::End),
    ("has_tests", Holds::Bool, Of::End),
    ("syntax_errors", Holds::Int, Of::End),
    ("host_metrics", Holds::Json, Of::End),
    ("self_review_score", Holds::Double, Of::End),
    ("self_review_feedback", Holds::Text, Of::End),
    ("generation_time_seconds", Holds::Double, Of::End),
    ("tokens_used", Holds::Int, Of::End),
    ("cost_usd", Holds::Double, Of::End),
    ("input_tokens", Holds::Int, Of::End),
    ("output_tokens", Holds::Int, Of::End),
    ("cache_read_tokens", Holds::Int, Of::End),
    ("cache_write_tokens", Holds::Int, Of::End),
    ("cost_from_prices", Holds::Bool, Of::End),
    ("num_regenerations", Holds::Int, Of::End),
    ("success", Holds::Bool, Of::EndAndFeedback),
    ("approved", Holds::Bool, Of::EndAndFeedback),
    ("final_quality_score", Holds::Double, Of::EndAndFeedback),
    ("feedback_id", Holds::Text, Of::Feedback),
    ("given_at", Holds::Time, Of::Feedback),
    ("user_action", Holds::Text, Of::Feedback),
    ("user_feedback", Holds::Text, Of::Feedback),
    ("modifications_requested", Holds::Text, Of::Feedback),
];

/// Columns that files of earlier releases do not have.
const LATER: &[&str] = &[
    "reviewer_id",
    "effort",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_from_prices",
];

type Field = (&'static str, Holds, Of);

/// Returns the columns of a file, with or without those that came later.
fn fields(with_later: bool) -> Vec<Field> {
    FIELDS.iter().filter(|(name, ..)| with_later || !LATER.contains(name)).copied().collect()
}

/// Writes the facts of `store` that [`ExportOptions`] asks for to a Parquet file, in the order in which they
/// became known.
///
/// They are read and written some at a time: memory does not depend on how many there are.
/// The file is there whole or not at all. Writing blocks the caller's thread.
///
/// ```
/// # futures_executor::block_on(async {
/// use devmatrix_ml::export::{ExportOptions, read_events, write_events};
/// use devmatrix_ml::store::MemoryStore;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("events.parquet");
/// let (store, other) = (MemoryStore::new(), MemoryStore::new());
/// let written = write_events(&store, &path, &ExportOptions::default()).await?;
/// let read = read_events(&path, &other).await?;
/// assert_eq!(read.new, written.rows);
/// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// Those of the store; `Unavailable` when the file cannot be written; then there is none, or the old one.
pub async fn write_events(
    store: &dyn EventStore,
    path: impl AsRef<Path> + Send,
    options: &ExportOptions,
) -> Result<Exported> {
    write(store, path.as_ref(), options, &fields(true)).await
}

async fn write(
    store: &dyn EventStore,
    path: &Path,
    options: &ExportOptions,
    fields: &[Field],
) -> Result<Exported> {
    let mut file = FileWriter::create(path, KIND, specs_of(fields))?;
    let mut cursor = options.cursor();
    loop {
        let page = store.scan(ScanOrder::Known, cursor.as_ref(), BATCH).await?;
        let full = page.records.len() == BATCH;
        cursor = page.next;
        for record in page.records {
            if options.is_after(record.known_at()) {
                return file.finish(0);
            }
            if !options.is_before(record.known_at()) {
                file.push(cells(record, fields)?)?;
            }
        }
        if !full {
            return file.finish(0);
        }
    }
}

/// Puts the facts of a file made by [`write_events`] into `store`; those that it has stay as they are.
///
/// A store that had none of them then replays to the same features, bit for bit. A failure leaves the rows
/// before it written; after mending it, read the file again.
///
/// # Errors
/// Those of the store; `NotFound`; `InvalidInput` for a file that is no Parquet, or was not written by this
/// crate; `Corrupt` when its bytes are not those that were written; `Incompatible` when it holds something
/// else, or events of a newer release.
pub async fn read_events(path: impl AsRef<Path> + Send, store: &dyn EventStore) -> Result<Imported> {
    let path = path.as_ref();
    let later = FileReader::open(path, KIND, specs());
    let with_later = later.is_ok();
    let fields = fields(with_later);
    // The columns of this release are named where the file has those of neither.
    let mut file =
        later.or_else(|error| FileReader::open(path, KIND, specs_of(&fields)).map_err(|_| error))?;
    let (mut done, mut row) = (Imported::default(), 0_u64);
    while let Some(mut group) = file.next()? {
        loop {
            let mut records = Vec::with_capacity(BATCH);
            while let Some(cells) = if records.len() < BATCH { group.next() } else { None } {
                row += 1;
                let record = record(cells, &fields)
                    .map_err(|e| e.context(format!("{}: row {row}", path.display())))?;
                records.push(record);
            }
            if records.is_empty() {
                break;
            }
            let answers = store.append(records).await?;
            answers.iter().for_each(|answer| done.count(*answer));
        }
    }
    Ok(done)
}

impl ExportOptions {
    /// A place shortly before the first moment that is asked for.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        // A cursor names an event: this stands for the last one known a microsecond before.
        let before = |from: DateTime<Utc>| from.timestamp_micros().saturating_sub(1);
        self.from.map(|from| Cursor::Known(before(from), "~".to_owned(), 2, String::new()))
    }

    pub(super) fn is_before(&self, known_at: DateTime<Utc>) -> bool {
        self.from.is_some_and(|from| known_at < from)
    }

    pub(super) fn is_after(&self, known_at: DateTime<Utc>) -> bool {
        self.until.is_some_and(|until| known_at >= until)
    }
}

impl Imported {
    fn count(&mut self, answer: Appended) {
        let counter = match answer {
            Appended::New => &mut self.new,
            Appended::Duplicate => &mut self.duplicates,
            Appended::Conflict => &mut self.conflicts,
            Appended::Erased => &mut self.erased,
        };
        *counter += 1;
    }
}

pub(super) fn specs() -> Vec<Spec> {
    specs_of(&fields(true))
}

fn specs_of(fields: &[Field]) -> Vec<Spec> {
    let fixed = [
        Spec::required("event_id", Holds::Text),
        Spec::required("fact", Holds::Text),
        Spec::required("known_at", Holds::Time),
    ];
    let fields = fields.iter().map(|(name, holds, _)| Spec::new(name, *holds));
    fixed.into_iter().chain(fields).chain([Spec::new("other", Holds::Json)]).collect()
}

/// The parts of a fact by name; those of a task stand in `task`.
#[derive(Default)]
struct Parts {
    task: Map<String, Value>,
    own: Map<String, Value>,
}

impl Parts {
    fn of(&mut self, kind: usize, of: Of) -> Option<&mut Map<String, Value>> {
        match of {
            Of::Task => (kind == 0).then_some(&mut self.task),
            Of::TaskAndFeedback if kind == 0 => Some(&mut self.task),
            Of::Start => (kind == 0).then_some(&mut self.own),
            Of::StartAndEnd => (kind < 2).then_some(&mut self.own),
            Of::End => (kind == 1).then_some(&mut self.own),
            Of::EndAndFeedback => (kind > 0).then_some(&mut self.own),
            Of::Feedback | Of::TaskAndFeedback => (kind == 2).then_some(&mut self.own),
        }
    }
}

fn cells(record: Record, fields: &[Field]) -> Result<Vec<Cell>> {
    let (event_id, known_at, fact) = record.into_parts();
    let (kind, value) = match &fact {
        Fact::Started(fact) => (0, serde_json::to_value(fact)),
        Fact::Completed(fact) => (1, serde_json::to_value(fact)),
        Fact::Feedback(fact) => (2, serde_json::to_value(fact)),
    };
    let value = value.map_err(|e| Error::internal("a fact cannot be written").with_source(e))?;
    let mut parts = Parts { task: Map::new(), own: object(value) };
    if let Some(task) = parts.own.remove("context") {
        parts.task = object(task);
    }
    let mut row = Vec::with_capacity(fields.len() + 4);
    row.push(Cell::Text(event_id.to_string()));
    row.push(Cell::Text(NAMES[kind].to_owned()));
    row.push(Cell::Int(known_at.timestamp_micros()));
    for (name, holds, of) in fields {
        let part = parts.of(kind, *of);
        row.push(part.map_or(Cell::Empty, |part| take(part, name, *holds)));
    }
    // What this table does not know is kept all the same.
    if !parts.task.is_empty() {
        parts.own.insert("context".to_owned(), Value::Object(parts.task));
    }
    parts.own.retain(|_, value| !value.is_null());
    row.push(if parts.own.is_empty() {
        Cell::Empty
    } else {
        Cell::Text(Value::Object(parts.own).to_string())
    });
    Ok(row)
}

/// Takes what fits into a column; the rest stays.
fn take(part: &mut Map<String, Value>, name: &str, holds: Holds) -> Cell {
    let Some(value) = part.remove(name) else { return Cell::Empty };
    let cell = match (&value, holds) {
        (Value::Null, _) => Some(Cell::Empty),
        (Value::Array(_) | Value::Object(_), Holds::Json) => Some(Cell::Text(value.to_string())),
        (Value::String(text), Holds::Text) => Some(Cell::Text(text.clone())),
        (Value::Bool(value), Holds::Bool) => Some(Cell::Bool(*value)),
        (Value::Number(number), Holds::Int) => number.as_i64().map(Cell::Int),
        (Value::Number(number), Holds::Double) if number.is_f64() => number.as_f64().map(Cell::Double),
        (Value::String(text), Holds::Time) => micros(text).map(Cell::Int),
        _ => None,
    };
    cell.unwrap_or_else(|| {
        part.insert(name.to_owned(), value);
        Cell::Empty
    })
}

/// The microseconds of a moment that has nothing finer.
fn micros(text: &str) -> Option<i64> {
    let time: DateTime<Utc> = text.parse().ok()?;
    let micros = time.timestamp_micros();
    (DateTime::from_timestamp_micros(micros) == Some(time)).then_some(micros)
}

fn record(mut row: Row<'_>, fields: &[Field]) -> Result<Record> {
    let event_id = EventId::new(row.text()?.unwrap_or_default())?;
    let name = row.text()?.unwrap_or_default();
    let kind = NAMES.iter().position(|known| *known == name);
    let kind = kind.ok_or_else(|| Error::corrupt(format!("fact is {name:?}, expected one of {NAMES:?}")))?;
    let known_at = moment(row.int()?.unwrap_or_default())?;
    let mut parts = Parts::default();
    for (name, holds, of) in fields {
        let value = value(row.take()?, name, *holds)?;
        if let (Some(value), Some(part)) = (value, parts.of(kind, *of)) {
            part.insert((*name).to_owned(), value);
        }
    }
    if let Some(text) = row.text()? {
        let mut other = object(json("other", &text)?);
        parts.task.extend(other.remove("context").map(object).into_iter().flatten());
        parts.own.extend(other);
    }
    if kind == 0 {
        parts.own.insert("context".to_owned(), Value::Object(parts.task));
    }
    let whole = Value::Object(parts.own);
    let fact = match kind {
        0 => Fact::Started(read(whole)?),
        1 => Fact::Completed(read(whole)?),
        _ => Fact::Feedback(read(whole)?),
    };
    Record::stored(event_id, known_at, fact)
}

fn value(cell: Cell, name: &str, holds: Holds) -> Result<Option<Value>> {
    Ok(Some(match cell {
        Cell::Empty => return Ok(None),
        Cell::Text(text) if holds == Holds::Json => json(name, &text)?,
        Cell::Text(text) => text.into(),
        Cell::Bool(value) => value.into(),
        Cell::Int(micros) if holds == Holds::Time => serde_json::to_value(moment(micros)?)
            .map_err(|e| Error::internal("a moment cannot be written").with_source(e))?,
        Cell::Int(value) => value.into(),
        Cell::Double(value) => value.into(),
        other => return Err(Error::internal(format!("{name}: unexpected {other:?}"))),
    }))
}

fn json(name: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| Error::corrupt(format!("{name} is no JSON")).with_source(e))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn moment(micros: i64) -> Result<DateTime<Utc>> {
    let time = DateTime::from_timestamp_micros(micros);
    time.ok_or_else(|| Error::corrupt(format!("{micros} microseconds since 1970 is no moment")))
}

fn read<T: DeserializeOwned>(whole: Value) -> Result<Box<T>> {
    let read = serde_json::from_value(whole);
    read.map(Box::new).map_err(|e| Error::incompatible("not a fact of this release").with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Feedback, TaskContext, UserAction, UserId};
    use crate::store::{EventStoreExt, MemoryStore};

    /// A part without a column stands in `other`, so a file of an earlier release reads the same.
    #[test]
    fn a_file_without_the_later_columns_is_read() {
        futures_executor::block_on(async {
            let reviewer = Some(UserId::new("ann").unwrap());
            let mut task = TaskContext::of("t").unwrap();
            (task.effort, task.reviewer_id) = (Some("high".into()), reviewer.clone());
            let mut feedback = Feedback::new(UserAction::Approve);
            feedback.reviewer_id = reviewer;
            let facts = [Fact::Started(Box::new(task.into())), Fact::Feedback(Box::new(feedback))];
            let id = EventId::new("e").unwrap();
            let records: Vec<_> = facts
                .into_iter()
                .map(|fact| Record::new(id.clone(), DateTime::UNIX_EPOCH, fact).unwrap())
                .collect();
            let store = MemoryStore::new();
            store.append(records).await.unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("events.parquet");
            for with_later in [false, true] {
                write(&store, &path, &ExportOptions::default(), &fields(with_later)).await.unwrap();
                let read = MemoryStore::new();
                read_events(&path, &read).await.unwrap();
                assert_eq!(read.event(&id).await.unwrap(), store.event(&id).await.unwrap());
            }
        });
    }
}
