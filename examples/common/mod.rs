//! Helpers that several examples share.

mod gzip;

use anyhow::Context;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::event::{JsonLines, read_jsonl};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Reads a JSONL file, gzipped or not; a bad line is an error with its number, or is skipped with
/// `skip_bad`.
pub(crate) fn read_events(path: &Path, skip_bad: bool) -> anyhow::Result<JsonLines> {
    let file = File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
    let mut file = BufReader::new(file);
    let zipped = file.fill_buf().is_ok_and(|head| head.starts_with(&[0x1f, 0x8b]));
    let read = if zipped {
        read_jsonl(BufReader::new(gzip::Reader::new(file)), skip_bad)
    } else {
        read_jsonl(file, skip_bad)
    };
    read.map_err(|error| {
        let hint = if error.kind() == ErrorKind::InvalidInput { " (--skip-bad skips bad lines)" } else { "" };
        anyhow::anyhow!("{}: {error:#}{hint}", path.display())
    })
}
