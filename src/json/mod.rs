//! JSON as every door of the crate reads it: one rule for lone surrogates, doubled keys and unknown fields.

mod values;

pub(crate) use values::{MAX_VALUE_BYTES, Values};

use crate::error::{Error, Result};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

/// Reads a value, after [`mended`]; `Err` is what serde says, or the path of a field that does not exist.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> std::result::Result<T, Unread> {
    let mut unknown = None;
    let mut input = serde_json::Deserializer::from_str(text);
    let value = serde_ignored::deserialize(&mut input, |path| {
        unknown.get_or_insert_with(|| path.to_string());
    });
    let value = value.and_then(|value| input.end().map(|()| value)).map_err(Unread::Refused)?;
    match unknown {
        Some(path) => Err(Unread::NoField(path.replace(".?", ""))),
        None => Ok(value),
    }
}

/// Why a value cannot be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// By serde.
    Refused(serde_json::Error),
    /// There is no field of this path.
    NoField(String),
}

/// Returns the text with lone surrogates mended.
///
/// # Errors
/// `InvalidInput` when an object has a key twice: which of the two values counts is anybody's guess.
pub(crate) fn mended(text: &str) -> Result<Cow<'_, str>> {
    let text = mend_surrogates(text);
    let doubled = RefCell::new(None);
    let mut input = serde_json::Deserializer::from_str(&text);
    // What is not JSON at all is left to whoever reads it.
    let _ = Keys { path: String::new(), doubled: &doubled }.deserialize(&mut input);
    match doubled.into_inner() {
        Some(path) => Err(Error::invalid(format!("the field `{path}` is given twice: keep one"))),
        None => Ok(text),
    }
}

/// JSON text with every lone surrogate escape (`\ud800` without its pair) turned into `\ufffd`.
///
/// Rust text cannot hold a lone surrogate, so without this a whole line from a host written in
/// JavaScript, Java or Python would be lost for one damaged emoji.
pub(crate) fn mend_surrogates(json: &str) -> Cow<'_, str> {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return json.into();
    }
    let bytes = json.as_bytes();
    let mut out = String::with_capacity(json.len());
    let (mut at, mut kept) = (0, 0);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        let step = match unit(bytes, at) {
            Some(0xD800..=0xDBFF) if matches!(unit(bytes, at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                out.push_str(&json[kept..at]);
                out.push_str("\\ufffd");
                kept = at + 6;
                6
            }
            Some(_) => 6,
            None => 2,
        };
        at += step;
    }
    out.push_str(&json[kept.min(json.len())..]);
    out.into()
}

/// The code unit of the `\uXXXX` escape that starts at `at`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Whole numbers that readers of JSON in doubles would round: above 2^53 they are written as text.
pub(crate) mod wide {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{Serialize, Serializer};

    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Given {
        Number(u64),
        Text(String),
    }

    #[allow(clippy::trivially_copy_pass_by_ref)] // so serde asks for it
    pub(crate) fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() && *number > 1 << 53 {
            to.collect_str(number)
        } else {
            number.serialize(to)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        if !from.is_human_readable() {
            return u64::deserialize(from);
        }
        match Given::deserialize(from)? {
            Given::Number(number) => Ok(number),
            Given::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

/// Looks at every object of a text for a key that it has twice.
struct Keys<'a> {
    path: String,
    doubled: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> std::result::Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            if !seen.insert(key) {
                *self.doubled.borrow_mut() = Some(path);
                return Err(serde::de::Error::custom("a key is given twice"));
            }
            map.next_value_seed(Keys { path, doubled: self.doubled })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<(), A::Error> {
        let item = || Keys { path: format!("{}[]", self.path), doubled: self.doubled };
        while items.next_element_seed(item())?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> std::result::Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[test]
    fn lone_surrogates_are_mended_and_pairs_are_kept() {
        assert_eq!(mend_surrogates(r#""a\ud800b""#), r#""a\ufffdb""#);
        assert_eq!(mend_surrogates(r#""\ude00""#), r#""\ufffd""#);
        assert_eq!(mend_surrogates(r#""\ud83d\ude00""#), r#""\ud83d\ude00""#);
        assert_eq!(mend_surrogates(r#""\\ud800""#), r#""\\ud800""#);
        assert_eq!(mend_surrogates(r#""\ud800"#), r#""\ufffd"#);
        assert_eq!(mend_surrogates(r"\ud8"), r"\ud8");
    }

    #[test]
    fn a_key_given_twice_is_named_wherever_it_stands() {
        for (json, path) in [
            (r#"{"a":1,"b":2,"a":1}"#, "a"),
            (r#"{"a":{"b":[{"c":1,"c":2}]}}"#, "a.b[].c"),
            (r#"[{"a\u0062":1,"ab":2}]"#, "[].ab"),
        ] {
            let error = mended(json).unwrap_err().to_string();
            assert!(error.contains(&format!("`{path}` is given twice")), "{json}: {error}");
        }
        for json in [r#"{"a":{"a":1},"b":{"a":[1.5,-2,null,true,"x"]}}"#, "{\"a\":", "", &"[".repeat(100_000)]
        {
            assert_eq!(mended(json).unwrap(), json);
        }
    }

    #[test]
    fn numbers_that_a_double_would_round_are_text() {
        #[derive(Debug, PartialEq, serde::Serialize, Deserialize)]
        struct Kept(#[serde(with = "wide")] u64);
        for (number, json) in
            [(7, "7"), (1 << 53, "9007199254740992"), (u64::MAX, "\"18446744073709551615\"")]
        {
            assert_eq!(serde_json::to_string(&Kept(number)).unwrap(), json);
            assert_eq!(serde_json::from_str::<Kept>(json).unwrap(), Kept(number));
            let bytes = postcard::to_stdvec(&Kept(number)).unwrap();
            assert_eq!(bytes, postcard::to_stdvec(&number).unwrap());
            assert_eq!(postcard::from_bytes::<Kept>(&bytes).unwrap(), Kept(number));
        }
        assert_eq!(
            serde_json::from_str::<Kept>("18446744073709551615").unwrap(),
            Kept(u64::MAX),
            "as it was"
        );
        assert!(serde_json::from_str::<Kept>("\"x\"").is_err());
    }

    #[test]
    fn a_field_that_does_not_exist_is_named_with_its_path() {
        #[derive(Debug, Deserialize)]
        struct Inner {
            #[allow(dead_code)]
            a: Option<u8>,
        }
        #[derive(Debug, Deserialize)]
        struct Outer {
            #[allow(dead_code)]
            inner: Option<Vec<Inner>>,
        }
        let no_field = |json: &str| match read::<Outer>(json) {
            Err(Unread::NoField(path)) => path,
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(no_field(r#"{"innr":null}"#), "innr");
        assert_eq!(no_field(r#"{"inner":[{"a":1},{"b":1}]}"#), "inner.1.b");
        assert!(read::<Outer>(r#"{"inner":[{"a":1}]}"#).is_ok());
        assert!(matches!(read::<Outer>("{} x"), Err(Unread::Refused(_))));
    }
}
