//! Range checks that name the field, and the one way in which text is made storable.

use crate::error::{Error, Result};
use chrono::{DateTime, Datelike, SubsecRound, Utc};
use serde_json::{Map, Value};

/// The host's own key-value pairs, kept as they are.
pub type Metadata = Map<String, Value>;

/// Metadata nested deeper than this is refused: every store must be able to read it back.
const MAX_METADATA_DEPTH: usize = 64;

/// A part of an event that can be checked and made storable.
pub(crate) trait Checked {
    /// Refuses what is out of range, naming field and value.
    fn validate(&self) -> Result<()>;
    /// Brings text and times to the form that every store keeps.
    fn clean(&mut self) -> Result<()>;
}

/// Written so that NaN fails.
pub(crate) fn range(field: &str, value: Option<f64>, low: f64, high: f64) -> Result<()> {
    match value {
        Some(v) if !(low..=high).contains(&v) => Err(Error::invalid(format!(
            "{field} is {v}, expected {low} to {high}: leave it out when unknown"
        ))),
        _ => Ok(()),
    }
}

/// Whether every backend can store the moment.
pub(crate) fn is_recordable(time: DateTime<Utc>) -> bool {
    (1900..=9999).contains(&time.year())
}

pub(crate) fn time(field: &str, value: Option<DateTime<Utc>>) -> Result<()> {
    match value {
        Some(t) if !is_recordable(t) => {
            Err(Error::invalid(format!("{field} is {t}, expected a year from 1900 to 9999")))
        }
        _ => Ok(()),
    }
}

/// Microseconds are what every backend keeps.
pub(crate) fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}

/// NUL cannot be stored everywhere: it becomes U+FFFD in every store alike.
pub(crate) fn clean_text(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{FFFD}");
    }
}

pub(crate) fn clean_option(text: &mut Option<String>) {
    if let Some(text) = text {
        clean_text(text);
    }
}

pub(crate) fn clean_metadata(metadata: &mut Metadata) -> Result<()> {
    clean_map(metadata, 0)
}

fn clean_map(map: &mut Metadata, depth: usize) -> Result<()> {
    if map.keys().any(|k| k.contains('\0')) {
        *map = std::mem::take(map).into_iter().map(|(k, v)| (k.replace('\0', "\u{FFFD}"), v)).collect();
    }
    map.values_mut().try_for_each(|v| clean_value(v, depth + 1))
}

fn clean_value(value: &mut Value, depth: usize) -> Result<()> {
    if depth > MAX_METADATA_DEPTH {
        return Err(Error::invalid(format!(
            "metadata is nested deeper than {MAX_METADATA_DEPTH} levels: flatten it"
        )));
    }
    match value {
        Value::String(text) => {
            clean_text(text);
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|v| clean_value(v, depth + 1)),
        Value::Object(map) => clean_map(map, depth),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// JSON text with every lone surrogate escape (`\ud800` without its pair) turned into `\ufffd`.
///
/// Rust text cannot hold a lone surrogate, so without this a whole line from a host written in
/// JavaScript, Java or Python would be lost for one damaged emoji.
pub(crate) fn mend_surrogates(json: &str) -> std::borrow::Cow<'_, str> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_refuse_nan_and_name_the_field() {
        assert!(range("temperature", Some(f64::NAN), 0.0, 2.0).is_err());
        let error = range("temperature", Some(7.5), 0.0, 2.0).unwrap_err().to_string();
        assert!(error.contains("temperature is 7.5"), "{error}");
        assert!(range("temperature", None, 0.0, 2.0).is_ok());
    }

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
    fn metadata_too_deep_is_refused() {
        let mut value = Value::Null;
        for _ in 0..200 {
            value = Value::Array(vec![value]);
        }
        let mut map = Map::from_iter([("deep".to_owned(), value)]);
        assert!(clean_metadata(&mut map).unwrap_err().to_string().contains("nested deeper"));
    }

    #[test]
    fn nul_becomes_a_replacement_character_in_keys_too() {
        let mut map = Map::from_iter([("a\0".to_owned(), Value::from("b\0"))]);
        clean_metadata(&mut map).unwrap();
        assert_eq!(map["a\u{FFFD}"], "b\u{FFFD}");
    }
}
