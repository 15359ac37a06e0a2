//! A digest over a whole Parquet file, inside it: damage is found before anything is parsed.
//!
//! The digest stands in the file's own key-value metadata, as 64 digits that count as zeros in it.

use crate::error::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// The key of the digest in the file's metadata.
pub(super) const KEY: &str = "devmatrix_ml.sha256";

/// What stands there until the file is whole.
pub(super) const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A footer longer than this is refused. It grows by some kilobytes with every row group.
const MAX_FOOTER: u64 = 64 << 20;

const MAGIC: &[u8; 4] = b"PAR1";

/// Writes the digest into a file that is otherwise whole; the digest.
pub(super) fn put(file: &mut File) -> Result<String> {
    let place = place(file)?;
    let digest = digest(file, &place)?;
    file.seek(SeekFrom::Start(place.start))
        .and_then(|_| file.write_all(digest.as_bytes()))
        .map_err(failed)?;
    Ok(digest)
}

/// Refuses a file that is not, byte for byte, as it was written.
pub(super) fn verify(file: &mut File) -> Result<()> {
    let place = place(file)?;
    let mut written = [0; BLANK.len()];
    file.seek(SeekFrom::Start(place.start)).and_then(|_| file.read_exact(&mut written)).map_err(failed)?;
    if digest(file, &place)?.as_bytes() == written {
        Ok(())
    } else {
        Err(Error::corrupt("its bytes are not those that were written: export it again, or restore it"))
    }
}

/// Where the digest stands.
fn place(file: &mut File) -> Result<Range<u64>> {
    let length = file.metadata().map_err(failed)?.len();
    let mut head = [0; 4];
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    if length < 12 || file.read_exact(&mut head).is_err() || &head != MAGIC {
        return Err(Error::invalid("no Parquet file"));
    }
    let mut tail = [0; 8];
    file.seek(SeekFrom::Start(length - 8)).and_then(|_| file.read_exact(&mut tail)).map_err(failed)?;
    let footer = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if &tail[4..] != MAGIC || footer > MAX_FOOTER || footer > length - 12 {
        return Err(Error::corrupt("a Parquet file without its end: export it again, or restore it"));
    }
    let begin = length - 8 - footer;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(begin)).map_err(failed)?;
    file.take(footer).read_to_end(&mut bytes).map_err(failed)?;
    let at = find(&bytes).ok_or_else(|| {
        Error::invalid("a Parquet file that was not written here, or by another tool since: it has no digest")
    })?;
    Ok(begin + at.start as u64..begin + at.end as u64)
}

/// The digits after the key, as Thrift's compact protocol lays out a pair of texts.
fn find(footer: &[u8]) -> Option<Range<usize>> {
    let mut marker = vec![0x18, KEY.len() as u8];
    marker.extend_from_slice(KEY.as_bytes());
    marker.extend([0x18, BLANK.len() as u8]);
    let begin = footer.windows(marker.len()).position(|window| window == marker)? + marker.len();
    let place = begin..begin + BLANK.len();
    footer.get(place.clone())?.iter().all(u8::is_ascii_hexdigit).then_some(place)
}

/// SHA-256 of the file with zeros in `place`, in hexadecimal digits.
fn digest(file: &mut File, place: &Range<u64>) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |from: &mut dyn Read| io::copy(from, &mut Hashing(&mut hash)).map_err(failed);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    add(&mut (&mut *file).take(place.start))?;
    add(&mut BLANK.as_bytes())?;
    file.seek(SeekFrom::Start(place.end)).map_err(failed)?;
    add(file)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "it cannot be read or written").with_source(error)
}
