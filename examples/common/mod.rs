//! Helpers that several examples share.

mod gzip;

use anyhow::Context;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::event::{JsonLines, read_jsonl};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Opens a file, packed by gzip or zstd or not.
pub(crate) fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    let file = File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
    unpacked(BufReader::new(file)).with_context(|| format!("{}: cannot be read", path.display()))
}

/// Returns the bytes of a file, unpacked by what its first ones say.
pub(crate) fn unpacked(mut file: impl BufRead + 'static) -> std::io::Result<Box<dyn BufRead>> {
    // A folder is opened, and cannot be read.
    let head = file.fill_buf()?;
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::new(gzip::Reader::new(file)))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(BufReader::new(gzip::Zstd::new(file)?))
    } else {
        Box::new(file)
    })
}

/// Reads a JSONL file, packed or not; a bad line is an error with its number, or is skipped with
/// `skip_bad`.
pub(crate) fn read_events(path: &Path, skip_bad: bool) -> anyhow::Result<JsonLines> {
    read_jsonl(open(path)?, skip_bad).map_err(|error| {
        let hint = if error.kind() == ErrorKind::InvalidInput { " (--skip-bad skips bad lines)" } else { "" };
        anyhow::anyhow!("{}: {error:#}{hint}", path.display())
    })
}
