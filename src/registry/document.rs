//! A JSON file that people can read and that proves itself whole.
//!
//! `{"sha256":"<64 digits>","format":1,"body":{…}}`: the digest covers every byte after it, as it
//! stands in the file, so that no second way of writing the same value is needed to verify it.

use super::version::sha256_hex;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The largest document that is written or read.
pub(super) const MAX_BYTES: usize = 16 << 20;

const FORMAT: u32 = 1;
const HEAD: &[u8] = b"{\"sha256\":\"";
const DIGITS: usize = 64;

#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Deserialize)]
struct Document<T> {
    body: T,
}

/// `body` as the bytes of a document.
pub(super) fn write<T: Serialize>(body: &T) -> Result<Vec<u8>> {
    let unfit = |error| Error::invalid("cannot be written as JSON").with_source(error);
    let json = serde_json::to_string_pretty(body).map_err(unfit)?;
    let rest = format!("\",\"format\":{FORMAT},\"body\":{json}}}\n");
    let bytes = [HEAD, sha256_hex(rest.as_bytes()).as_bytes(), rest.as_bytes()].concat();
    if bytes.len() > MAX_BYTES {
        return Err(Error::invalid(format!(
            "the record has {} bytes, at most {MAX_BYTES} are kept: shorten metadata or reasons",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// The body of a document that is whole.
pub(super) fn read<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T> {
    let rest = bytes.strip_prefix(HEAD).and_then(|rest| rest.split_at_checked(DIGITS));
    match rest {
        Some((digest, rest)) if sha256_hex(rest).as_bytes() == digest => {}
        _ => return Err(Error::corrupt("its SHA-256 does not match: restore the file from a copy")),
    }
    let head: Head = serde_json::from_slice(bytes).map_err(external)?;
    if head.format != FORMAT {
        return Err(Error::incompatible(format!(
            "it has format {}, this version reads {FORMAT}: upgrade",
            head.format
        )));
    }
    serde_json::from_slice::<Document<T>>(bytes).map(|document| document.body).map_err(external)
}

/// Whole, so somebody wrote it like this.
fn external(error: serde_json::Error) -> Error {
    Error::incompatible("it is whole, but not a record that this version reads").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = write(&vec![1.5, 2.25]).unwrap();
        assert_eq!(read::<Vec<f64>>(&bytes).unwrap(), [1.5, 2.25]);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(read::<Vec<f64>>(&damaged).unwrap_err().kind(), ErrorKind::Corrupt, "{at}");
            }
            assert_eq!(read::<Vec<f64>>(&bytes[..at]).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_whole_document_of_another_format_is_incompatible() {
        for rest in ["\",\"format\":2,\"body\":[]}", "\",\"format\":1,\"body\":{}}", "\"}", ""] {
            let bytes = [HEAD, sha256_hex(rest.as_bytes()).as_bytes(), rest.as_bytes()].concat();
            assert_eq!(read::<Vec<f64>>(&bytes).unwrap_err().kind(), ErrorKind::Incompatible, "{rest}");
        }
    }
}
