//! Range checks that name the field, and the one way in which text is made storable.

use crate::error::{Error, Result};
use chrono::{DateTime, Datelike, Utc};
use serde_json::{Map, Value};

/// The host's own key-value pairs, kept as they are.
pub type Metadata = Map<String, Value>;

/// Key in the metadata of a start or an end that was recorded while its host's clock was not believed: the clock's reading.
pub(crate) const CLOCK_DOUBTED: &str = "clock_doubted";

/// Metadata nested deeper than this is refused: every store must be able to read it back.
const MAX_METADATA_DEPTH: usize = 64;

/// A part of an event that can be checked and made storable.
pub(crate) trait Checked {
    /// Refuses what is out of range, naming field and value.
    fn validate(&self) -> Result<()>;
    /// Refuses what earlier releases took in: it is still read, but nothing new may have it.
    fn admit(&self) -> Result<()> {
        Ok(())
    }
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

/// Microseconds since 1970 are what every backend keeps. They have no leap second: half past 23:59:60 is half past the next
/// midnight, in every store alike.
pub(crate) fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
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
