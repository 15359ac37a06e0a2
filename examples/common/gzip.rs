//! Packed files: gzip as gzip itself reads it (several members, zeros after the last) and zstd; but no bomb.

use flate2::bufread::GzDecoder;
use std::io::{BufRead, Error, ErrorKind, Read, Result};

/// JSON Lines shrink to a tenth. What unpacks to more than this many times its size, after so many bytes, is not read.
const MOST_GROWTH: u64 = 200;
const FREE_BYTES: u64 = 64 << 20;

/// The largest window of zstd, as a power of two: what `zstd --long` writes and reads.
const MOST_WINDOW: u32 = 27;

/// The unpacked bytes of all members of a file.
pub(crate) struct Reader<R> {
    /// `None` between two members and at the end.
    member: Option<GzDecoder<Counted<R>>>,
    between: Option<Counted<R>>,
    unpacked: u64,
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { member: None, between: Some(Counted { inner, bytes: 0 }), unpacked: 0 }
    }

    /// Goes to the next member; false at the end. gzip pads blocks of tapes and disks with zeros.
    fn open_next(&mut self) -> Result<bool> {
        let Some(mut input) = self.between.take() else { return Ok(false) };
        if input.bytes > 0 && input.fill_buf()?.first() == Some(&0) {
            while let bytes @ [_, ..] = input.fill_buf()? {
                if bytes.iter().any(|byte| *byte != 0) {
                    return Err(Error::new(
                        ErrorKind::InvalidData,
                        "other bytes after the zeros that end a gzip file",
                    ));
                }
                let n = bytes.len();
                input.consume(n);
            }
        }
        if input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.member = Some(GzDecoder::new(input));
        Ok(true)
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(member) = &mut self.member else {
                if self.open_next()? {
                    continue;
                }
                return Ok(0);
            };
            let n = member.read(out)?;
            if n == 0 {
                self.between = self.member.take().map(GzDecoder::into_inner);
                continue;
            }
            self.unpacked += n as u64;
            return no_bomb(self.unpacked, member.get_ref().bytes).map(|()| n);
        }
    }
}

/// The unpacked bytes of a file of zstd.
pub(crate) struct Zstd<R: BufRead> {
    inner: zstd::Decoder<'static, Counted<R>>,
    unpacked: u64,
}

impl<R: BufRead> Zstd<R> {
    pub(crate) fn new(inner: R) -> Result<Self> {
        let mut inner = zstd::Decoder::with_buffer(Counted { inner, bytes: 0 })?;
        inner.window_log_max(MOST_WINDOW)?;
        Ok(Self { inner, unpacked: 0 })
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let n = self.inner.read(out)?;
        self.unpacked += n as u64;
        no_bomb(self.unpacked, self.inner.get_ref().bytes).map(|()| n)
    }
}

fn no_bomb(unpacked: u64, packed: u64) -> Result<()> {
    if unpacked <= FREE_BYTES.max(packed.saturating_mul(MOST_GROWTH)) {
        return Ok(());
    }
    let what =
        format!("it unpacks to more than {MOST_GROWTH} times its size: unpack it first if it is right");
    Err(Error::new(ErrorKind::InvalidData, what))
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let n = self.inner.read(out)?;
        self.bytes += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.inner.consume(n);
        self.bytes += n as u64;
    }
}
