//! Experiment tracking beside the registry.

use super::run_record::RunRecord;
use crate::error::{Error, ErrorKind, Result};
use async_trait::async_trait;
use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Keeps the records of training runs.
///
/// [`record`](Self::record) is called for every run after its version was registered. A failure does not undo
/// the run: the version holds the record too.
#[async_trait]
pub trait ExperimentTracker: Send + Sync + Debug {
    /// Stores a run durably before it returns.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be stored now.
    async fn record(&self, run: &RunRecord) -> Result<()>;
}

/// Appends runs to a file, one JSON object a line.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// use devmatrix_ml::training::JsonlTracker;
/// let tracker = JsonlTracker::new(folder.path().join("runs.jsonl"));
/// assert!(tracker.runs()?.is_empty());
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug)]
pub struct JsonlTracker {
    path: PathBuf,
    writing: Mutex<()>,
}

impl JsonlTracker {
    /// Creates a tracker on the file at `path`, which is created with the first run.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), writing: Mutex::default() }
    }

    /// Returns all runs in the file in the order in which they were recorded. A line truncated by a crash is
    /// skipped.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read; `Corrupt` naming a line that is no run.
    pub fn runs(&self) -> Result<Vec<RunRecord>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(unavailable("read", &self.path, e)),
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
        let read = |(number, line): (usize, &str)| match serde_json::from_str(line) {
            Ok(run) => Some(Ok(run)),
            Err(e) if e.is_eof() => None,
            Err(e) => {
                let place = format!("{}: line {} is no training run", self.path.display(), number + 1);
                Some(Err(Error::corrupt(format!("{place}: take it out")).with_source(e)))
            }
        };
        lines.filter_map(read).collect()
    }

    fn append(&self, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&self.path)?;
        // A line truncated by a crash must not swallow this one.
        let torn = ends_torn(&mut file)?;
        let line = format!("{}{line}\n", if torn { "\n" } else { "" });
        file.write_all(line.as_bytes())?;
        file.sync_all()
    }
}

#[async_trait]
impl ExperimentTracker for JsonlTracker {
    async fn record(&self, run: &RunRecord) -> Result<()> {
        let line = serde_json::to_string(run)
            .map_err(|e| Error::internal("a training run cannot be written as JSON").with_source(e))?;
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.append(&line).map_err(|e| unavailable("append to", &self.path, e))
    }
}

fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn unavailable(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot {what} {}", path.display())).with_source(error)
}
