//! One value out of a UBJSON document, the rest skipped; every length is checked against what is there.
//! See <https://ubjson.org/type-reference/>; the model itself is read by hessboost's own reader.

use crate::error::{Error, Result};
use serde_json::Value;

/// Containers nested deeper than this are refused.
const MAX_DEPTH: usize = 64;

/// The value that stands under `path`, keys from the outermost object on; lists of numbers are given as
/// lists of nulls, since only their length is of use.
pub(in crate::ml::boosting) fn find(bytes: &[u8], path: &[&str]) -> Result<Option<Value>> {
    let mut reader = Reader { rest: bytes };
    let kind = reader.kind()?;
    reader.value(kind, path, MAX_DEPTH)
}

struct Reader<'a> {
    rest: &'a [u8],
}

/// Counts and the one type of a container's items, where it states them.
struct Header {
    kind: Option<u8>,
    count: Option<usize>,
}

impl<'a> Reader<'a> {
    /// Reads a value of `kind`. With keys left in `path` it answers the value there, if any; with none left
    /// the value itself.
    fn value(&mut self, kind: u8, path: &[&str], depth: usize) -> Result<Option<Value>> {
        let depth = depth.checked_sub(1).ok_or_else(|| damaged("it is nested too deep"))?;
        let found = match kind {
            b'{' => return self.object(path, depth),
            b'[' => Some(self.array(depth)?),
            b'S' | b'H' => Some(Value::String(self.text()?)),
            _ => {
                self.take(width(kind)?)?;
                Some(Value::Null)
            }
        };
        Ok(found.filter(|_| path.is_empty()))
    }

    fn object(&mut self, path: &[&str], depth: usize) -> Result<Option<Value>> {
        let Header { kind, count } = self.header()?;
        let mut found = path.is_empty().then(|| Value::Object(serde_json::Map::new()));
        let mut read = 0;
        while self.goes_on(count, read, b'}')? {
            read += 1;
            let key = self.text()?;
            let kind = kind.map_or_else(|| self.kind(), Ok)?;
            match path.split_first() {
                None => {
                    let value = self.value(kind, &[], depth)?;
                    if let (Some(Value::Object(map)), Some(value)) = (&mut found, value) {
                        map.insert(key, value);
                    }
                }
                Some((first, rest)) if *first == key => found = self.value(kind, rest, depth)?,
                // Under a key that is nobody's, nothing is on the way.
                Some(_) => drop(self.value(kind, &["\0"], depth)?),
            }
        }
        Ok(found)
    }

    fn array(&mut self, depth: usize) -> Result<Value> {
        let Header { kind, count } = self.header()?;
        if let (Some(kind), Some(count)) = (kind, count)
            && !matches!(kind, b'{' | b'[' | b'S' | b'H')
        {
            // Items of no width would let a few bytes claim any number.
            let bytes = width(kind)?.checked_mul(count).filter(|bytes| *bytes >= count);
            self.take(bytes.ok_or_else(|| damaged("a list is too long"))?)?;
            return Ok(Value::Array(vec![Value::Null; count.min(1)]));
        }
        let (mut items, mut read) = (Vec::new(), 0);
        while self.goes_on(count, read, b']')? {
            read += 1;
            let kind = kind.map_or_else(|| self.kind(), Ok)?;
            items.extend(self.value(kind, &[], depth)?);
        }
        Ok(Value::Array(items))
    }

    /// Whether another item comes.
    fn goes_on(&mut self, count: Option<usize>, read: usize, end: u8) -> Result<bool> {
        if let Some(count) = count {
            return Ok(read < count);
        }
        self.skip_nothings();
        match self.rest.split_first() {
            Some((first, rest)) if *first == end => {
                self.rest = rest;
                Ok(false)
            }
            Some(_) => Ok(true),
            None => Err(damaged("it ends early")),
        }
    }

    fn header(&mut self) -> Result<Header> {
        let mut kind = None;
        if self.rest.first() == Some(&b'$') {
            self.take(1)?;
            kind = Some(self.byte()?);
        }
        let mut count = None;
        if self.rest.first() == Some(&b'#') {
            self.take(1)?;
            count = Some(self.length()?);
        }
        if kind.is_some() && count.is_none() {
            return Err(damaged("a container has a type and no count"));
        }
        Ok(Header { kind, count })
    }

    fn text(&mut self) -> Result<String> {
        self.skip_nothings();
        let length = self.length()?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| damaged("a text is not UTF-8"))?;
        Ok(text.to_owned())
    }

    fn length(&mut self) -> Result<usize> {
        let kind = self.byte()?;
        if !matches!(kind, b'i' | b'U' | b'I' | b'l' | b'L') {
            return Err(damaged("a length is no whole number"));
        }
        let bytes = self.take(width(kind)?)?;
        // Big-endian; below 0 in its own width is above every length of this document.
        let number = bytes.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let negative = kind != b'U' && bytes.first().is_some_and(|first| first & 0x80 != 0);
        usize::try_from(number).ok().filter(|_| !negative).ok_or_else(|| damaged("a length is negative"))
    }

    fn kind(&mut self) -> Result<u8> {
        self.skip_nothings();
        self.byte()
    }

    fn skip_nothings(&mut self) {
        while let Some((b'N', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or_else(|| damaged("it ends early"))?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Bytes of a value of `kind`, past its marker.
fn width(kind: u8) -> Result<usize> {
    match kind {
        b'Z' | b'T' | b'F' => Ok(0),
        b'i' | b'U' | b'C' => Ok(1),
        b'I' => Ok(2),
        b'l' | b'd' => Ok(4),
        b'L' | b'D' => Ok(8),
        _ => Err(damaged("a type is unknown")),
    }
}

fn damaged(how: &str) -> Error {
    Error::corrupt(format!("the XGBoost model (UBJSON) is damaged: {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DOCUMENT: &[u8] =
        b"{U\x01a{U\x01x[$d#U\x02\0\0\0\0\0\0\0\0U\x05names[SU\x01pSU\x01qN]}U\x01bI\x01\x02}";

    #[test]
    fn what_stands_under_a_path_is_found_and_the_rest_skipped() {
        assert_eq!(find(DOCUMENT, &["a", "names"]).unwrap(), Some(json!(["p", "q"])));
        assert_eq!(find(DOCUMENT, &["b"]).unwrap(), Some(json!(null)));
        for path in [["names"].as_slice(), &["a", "b"], &["b", "a"]] {
            assert_eq!(find(DOCUMENT, path).unwrap(), None, "{path:?}");
        }
        assert_eq!(find(b"{#U\x01U\x01a[#U\x01SU\x01p", &["a"]).unwrap(), Some(json!(["p"])));
    }

    #[test]
    fn lengths_that_lie_and_depths_without_end_are_errors() {
        for end in 0..DOCUMENT.len() {
            assert!(find(&DOCUMENT[..end], &["a", "names"]).is_err(), "{end}");
        }
        let deep = b"[".repeat(100_000);
        for bytes in [
            b"{U\x01a[$Z#L\x7f\xff\xff\xff\xff\xff\xff\xff}".as_slice(),
            b"{U\x01a[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff}",
            b"{U\x01aSL\xff\xff\xff\xff\xff\xff\xff\xff}",
            b"{U\x01a[$i]}",
            b"{U\x01a?}",
            &deep,
        ] {
            assert!(find(bytes, &["a"]).is_err(), "{:?}", &bytes[..bytes.len().min(20)]);
        }
    }
}
