//! History that stands elsewhere: pull requests, traces of LLM calls, spend logs, agents' trajectories, tables.
//!
//! Each format becomes the flat form of an event, and so the facts of the store. Ids are those of the source, so a file read
//! twice changes nothing, and a newer export adds what is new. A file is read as a stream, one value at a time.
//!
//! ```
//! use devmatrix_ml::import::{Format, ImportOptions, import};
//! use devmatrix_ml::store::{EventStoreExt, MemoryStore};
//! # futures_executor::block_on(async {
//! let pulls = r#"[{"url": "https://github.example/o/r/pull/7", "title": "fix: totals", "body": "Fixes #3",
//!     "author": {"login": "app/copilot-swe-agent", "is_bot": true}, "state": "MERGED",
//!     "createdAt": "2026-11-01T10:00:00Z", "mergedAt": "2026-11-02T11:00:00Z"}]"#;
//! let store = MemoryStore::new();
//! let files = [("pulls.json".to_owned(), pulls.as_bytes())];
//! let report = import(&store, Format::Github, files, &ImportOptions::default()).await?;
//! assert!(report.to_string().contains("1 imported"), "{report}");
//! let event = store.event(&"https://github.example/o/r/pull/7".to_owned().try_into()?).await?;
//! assert_eq!(event.started.value.context.agent_type.as_deref(), Some("Copilot"));
//! assert_eq!(event.outcome().unwrap().success, Some(true));
//! # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
//! ```

mod draft;
mod field;
mod format;
mod github;
mod langfuse;
mod litellm;
mod mapped;
mod matrix;
mod message;
mod mlflow;
mod options;
mod otlp;
mod out;
mod redact;
mod report;
mod source;
mod tensorzero;
#[cfg(test)]
mod tests;
mod trajectories;

pub use format::Format;
pub use options::ImportOptions;
pub use report::ImportReport;

use crate::error::{Error, Result};
use crate::store::EventStore;
use chrono::TimeDelta;
use out::Out;
use source::{Place, Row, Source};
use std::io::BufRead;

/// How far a clock may be ahead.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::days(1);

/// Values that are no event, with none that is, after which the file is taken for another one.
const MOST_BAD: u64 = 100_000;

/// What one format does with the values of its files.
trait Reader {
    /// Hands what the value tells to `out`.
    ///
    /// # Errors
    /// `InvalidInput` with the reason for which the value is skipped.
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()>;

    /// Ends a file.
    fn end_file(&mut self, _place: &Place<'_>, _out: &mut Out) {}

    /// Ends the import.
    fn end(&mut self, _out: &mut Out) {}
}

/// Reads files of one format, each with its name, into a store; a value that cannot be used is skipped and counted.
///
/// Verdicts on a trace, an episode or an instance find the generations of the same call; give the files of both together.
///
/// # Errors
/// `Unavailable` when a file cannot be read or the store cannot take facts now: what was written stays, and the same import
/// again goes on. `InvalidInput` when more than 100,000 values are read and none of them is of this format.
pub async fn import<R: BufRead>(
    store: &dyn EventStore,
    format: Format,
    files: impl IntoIterator<Item = (String, R)>,
    options: &ImportOptions,
) -> Result<ImportReport> {
    let mut out = Out::new(format, options)?;
    let mut writing = out::Writing::new(store);
    let mut reader = format.reader();
    for (name, input) in files {
        let mut source = Source::open(input, &name, format)?;
        let mut end = Place { file: &name, line: 1, nth: 1 };
        out.report.files += 1;
        while let Some((place, row)) = source.next()? {
            out.report.read += 1;
            if let Err(error) = row.and_then(|row| reader.read(row, &place, &mut out)) {
                out.skip(&place, &error);
                if out.report.skipped > MOST_BAD && out.is_idle() {
                    let what = format!(
                        "more than {MOST_BAD} values are skipped and none is imported: is it {format}?"
                    );
                    return Err(Error::invalid(what).with_source(error.context(place)));
                }
            }
            if out.is_full() {
                writing.write(&mut out).await?;
            }
            end = place;
        }
        reader.end_file(&end, &mut out);
    }
    reader.end(&mut out);
    writing.write(&mut out).await?;
    writing.finish(&mut out).await?;
    out.resolve(store).await?;
    writing.late = true;
    writing.write(&mut out).await?;
    writing.finish(&mut out).await?;
    out.report.finish();
    Ok(out.report)
}
