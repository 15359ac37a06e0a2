//! The trials so far, so that a search that was broken off goes on.

use super::{Trial, Tunable, TuningOptions};
use crate::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The trials so far, in a file of JSON lines under a head that says which search they belong to.
pub(super) struct Journal {
    path: PathBuf,
    pub(super) trials: Vec<Trial>,
    written: usize,
}

impl Journal {
    pub(super) fn open(path: &Path, key: &str) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(unavailable(path, e)),
        };
        // A last line without an end was cut off by a crash.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        match lines.next() {
            None => write(path, &format!("{key}\n"))?,
            Some(head) if head == key => {}
            Some(_) => {
                return Err(Error::incompatible(format!(
                    "{}: it is the journal of another search (other data, options or parameters): name another file",
                    path.display()
                )));
            }
        }
        let trials: Vec<Trial> = lines.map_while(|line| serde_json::from_str(line).ok()).collect();
        let trials: Vec<_> =
            trials.into_iter().enumerate().take_while(|(at, t)| *at == t.number).map(|(_, t)| t).collect();
        if whole.len() < text.len() {
            let kept = trials.iter().filter_map(|t| serde_json::to_string(t).ok());
            let lines: Vec<_> = std::iter::once(key.to_owned()).chain(kept).collect();
            write(path, &(lines.join("\n") + "\n"))?;
        }
        Ok(Self { path: path.to_owned(), written: trials.len(), trials })
    }

    pub(super) fn note(&mut self, number: usize, trial: &Trial) -> Result<()> {
        if number < self.written {
            return Ok(());
        }
        let line = serde_json::to_string(trial)
            .map_err(|e| Error::internal("a trial cannot be written as JSON").with_source(e))?;
        let append = || {
            let mut file = OpenOptions::new().append(true).open(&self.path)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        };
        append().map_err(|e| unavailable(&self.path, e))?;
        self.written += 1;
        Ok(())
    }
}

/// What tells one search from another; a bound of time or trials may change.
pub(super) fn key<T: Tunable>(trainer: &T, data: &Dataset, options: &TuningOptions) -> String {
    serde_json::json!({
        "model": trainer.name(),
        "parameters": trainer.parameters(),
        "space": trainer.space(),
        "data": data.fingerprint(),
        "folds": options.folds,
        "validation_fraction": options.validation_fraction,
        "seed": options.seed,
    })
    .to_string()
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| unavailable(path, e))
}

fn unavailable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the journal {} cannot be used", path.display()))
        .with_source(error)
}
