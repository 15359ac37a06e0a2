//! The form in which bytes travel: what they are, how many, and proof that they are whole.
//!
//! | Bytes | What |
//! |---|---|
//! | 8 | magic |
//! | 2 | format version, little-endian |
//! | 32 | SHA-256 of everything before and after it |
//! | 1 | length of the kind |
//! | up to 64 | the kind |
//! | 8 | length of the payload, little-endian |
//! | the rest | the payload |
//!
//! Every format version keeps the first three lines, so that a reader can tell a newer envelope
//! from a damaged one. The checksum proves the bytes whole, not who made them: whoever can write
//! the file can seal another.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"DEVMXML\x01";
const FORMAT: u16 = 1;
const DIGEST_BYTES: usize = 32;
const MAX_KIND_BYTES: usize = 64;
/// The most that an envelope adds to its payload.
const MAX_OVERHEAD: usize = MAGIC.len() + 2 + DIGEST_BYTES + 1 + MAX_KIND_BYTES + 8;

/// Wraps `payload` as a `kind`, with its length and a SHA-256 of it all.
///
///
/// # Errors
/// `InvalidInput` when `kind` is empty or longer than 64 bytes.
pub fn seal(kind: &str, payload: &[u8]) -> Result<Vec<u8>> {
    if !(1..=MAX_KIND_BYTES).contains(&kind.len()) {
        return Err(Error::invalid(format!(
            "envelope kind has {} bytes, expected 1 to {MAX_KIND_BYTES}",
            kind.len()
        )));
    }
    let mut bytes = Vec::with_capacity(MAX_OVERHEAD + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    let digest_at = bytes.len();
    bytes.extend_from_slice(&[0; DIGEST_BYTES]);
    bytes.push(kind.len() as u8);
    bytes.extend_from_slice(kind.as_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(payload);
    let digest = digest(&bytes[..digest_at], &bytes[digest_at + DIGEST_BYTES..]);
    bytes[digest_at..digest_at + DIGEST_BYTES].copy_from_slice(&digest);
    Ok(bytes)
}

/// The payload of an envelope of `kind` that is whole and holds at most `limit` bytes.
///
/// Nothing is allocated, and nothing but the magic is believed before the SHA-256 is verified.
///
/// # Errors
/// `Corrupt` for bytes that are damaged, no envelope, or too many; `Incompatible` for a whole
/// envelope of another kind or of a newer format.
pub(crate) fn open<'a>(bytes: &'a [u8], kind: &str, limit: usize) -> Result<&'a [u8]> {
    if bytes.len() > limit.saturating_add(MAX_OVERHEAD) {
        return Err(too_large(bytes.len(), limit));
    }
    let (format, sealed) = verify(bytes)?;
    if format != FORMAT {
        return Err(Error::incompatible(format!(
            "the envelope has format {format}, this version reads {FORMAT}: upgrade or retrain"
        )));
    }
    let (found, payload) = split(sealed).ok_or_else(|| damaged("its lengths do not add up"))?;
    if found != kind.as_bytes() {
        return Err(Error::incompatible(format!(
            "the envelope holds a {:?}, expected a {kind:?}",
            String::from_utf8_lossy(found)
        )));
    }
    if payload.len() > limit {
        return Err(too_large(payload.len(), limit));
    }
    Ok(payload)
}

/// The format version, and what follows the checksum, once that is verified.
fn verify(bytes: &[u8]) -> Result<(u16, &[u8])> {
    let short = || damaged("it is too short");
    if !bytes.starts_with(MAGIC) {
        return Err(damaged("it does not begin with the magic bytes"));
    }
    let (head, rest) = bytes.split_at_checked(MAGIC.len() + 2).ok_or_else(short)?;
    let (stored, sealed) = rest.split_first_chunk::<DIGEST_BYTES>().ok_or_else(short)?;
    if digest(head, sealed) != *stored {
        return Err(damaged("its SHA-256 does not match"));
    }
    let format = head.last_chunk::<2>().ok_or_else(short)?;
    Ok((u16::from_le_bytes(*format), sealed))
}

/// Kind and payload; `None` unless the lengths say exactly what is there.
fn split(sealed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (kind_length, rest) = sealed.split_first()?;
    let (kind, rest) = rest.split_at_checked(usize::from(*kind_length))?;
    let (length, payload) = rest.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*length) == payload.len() as u64).then_some((kind, payload))
}

fn digest(before: &[u8], after: &[u8]) -> [u8; DIGEST_BYTES] {
    Sha256::new().chain_update(before).chain_update(after).finalize().into()
}

fn damaged(how: &str) -> Error {
    Error::corrupt(format!("the envelope is damaged, {how}: restore it from a copy"))
}

fn too_large(bytes: usize, limit: usize) -> Error {
    Error::corrupt(format!("the envelope has {bytes} bytes, at most {limit} are read here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// An envelope whose checksum is right, whatever else is wrong with it.
    fn forged(format: u16, sealed: &[u8]) -> Vec<u8> {
        let head = [MAGIC.as_slice(), &format.to_le_bytes()].concat();
        let digest = digest(&head, sealed);
        [head.as_slice(), &digest, sealed].concat()
    }

    fn kind_of(bytes: &[u8]) -> ErrorKind {
        open(bytes, "k", 1000).unwrap_err().kind()
    }

    #[test]
    fn a_whole_newer_envelope_is_incompatible_and_a_damaged_one_corrupt() {
        let newer = forged(FORMAT + 1, b"whatever comes");
        assert_eq!(kind_of(&newer), ErrorKind::Incompatible);
        let mut damaged = newer;
        damaged[9] ^= 0x40;
        assert_eq!(kind_of(&damaged), ErrorKind::Corrupt);
    }

    #[test]
    fn lengths_that_lie_under_a_right_checksum_are_corrupt() {
        assert_eq!(open(&forged(FORMAT, b"\x01k\x01\0\0\0\0\0\0\0x"), "k", 1).unwrap(), b"x");
        for sealed in [
            b"".as_slice(),
            b"\xff",
            b"\xffk",
            b"\x01k",
            b"\x01k\x01\0\0\0",
            b"\x01k\xff\xff\xff\xff\xff\xff\xff\xffx",
            b"\x01k\x02\0\0\0\0\0\0\0x",
            b"\x01k\0\0\0\0\0\0\0\0x",
        ] {
            assert_eq!(kind_of(&forged(FORMAT, sealed)), ErrorKind::Corrupt, "{sealed:?}");
        }
    }

    #[test]
    fn the_limit_is_on_the_payload() {
        let bytes = seal("k", &[7; 100]).unwrap();
        assert!(open(&bytes, "k", 100).is_ok());
        assert_eq!(open(&bytes, "k", 99).unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(open(&bytes, "k", usize::MAX).is_ok());
    }

    #[test]
    fn a_kind_must_fit() {
        assert_eq!(seal("", b"").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(seal(&"k".repeat(64), b"").is_ok());
        assert!(seal(&"k".repeat(65), b"").is_err());
    }
}
