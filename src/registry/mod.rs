//! draft
#[allow(missing_docs)]
pub mod envelope {
    use crate::error::Result;
    pub fn seal(_kind: &str, payload: &[u8]) -> Result<Vec<u8>> { Ok(payload.to_vec()) }
    pub fn open<'a>(bytes: &'a [u8], _kind: &str, _limit: usize) -> Result<&'a [u8]> { Ok(bytes) }
}
