//! The reasoning effort of an LLM, which hosts give as a name or as a number.

use crate::error::{Error, Result};
use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longer names are refused: an effort is one of a few levels, or a number of tokens.
const MAX_BYTES: usize = 256;

/// An effort as a file gives it; a number becomes its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct GivenEffort(pub(super) String);

impl<'de> Deserialize<'de> for GivenEffort {
    fn deserialize<D: Deserializer<'de>>(input: D) -> std::result::Result<Self, D::Error> {
        input.deserialize_any(NameOrNumber).map(Self)
    }
}

struct NameOrNumber;

impl Visitor<'_> for NameOrNumber {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an effort: a name such as \"high\", or a number")
    }

    fn visit_str<E>(self, name: &str) -> std::result::Result<String, E> {
        Ok(name.to_owned())
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> std::result::Result<String, E> {
        if number.is_finite() {
            Ok(number.to_string())
        } else {
            Err(E::custom("an effort is no finite number: leave it out when unknown"))
        }
    }
}

/// Reads an effort that may be missing.
pub(crate) fn read<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<Option<String>, D::Error> {
    let given = Option::<GivenEffort>::deserialize(input).map_err(D::Error::custom)?;
    Ok(given.map(|given| given.0))
}

/// Refuses an effort that is too long to be one; `field` names it.
pub(crate) fn validate(field: &str, effort: Option<&str>) -> Result<()> {
    match effort {
        Some(text) if text.len() > MAX_BYTES => Err(Error::invalid(format!(
            "{field} has {} bytes, expected at most {MAX_BYTES}: give a short name such as \"high\", or a number",
            text.len()
        ))),
        _ => Ok(()),
    }
}

/// Levels by the names that LLMs' makers give them.
const LEVELS: &[(&str, f32)] = &[
    ("none", 0.0),
    ("off", 0.0),
    ("minimal", 1.0),
    ("low", 2.0),
    ("medium", 3.0),
    ("high", 4.0),
    ("xhigh", 5.0),
    ("max", 5.0),
];

/// Returns the level of an effort: its number, or that of a well-known name; NaN where it has none.
pub(crate) fn level(effort: Option<&str>) -> f32 {
    let Some(text) = effort.map(str::trim) else { return f32::NAN };
    let named = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, level)| *level);
    let number = || text.parse().ok().filter(|number: &f32| number.is_finite());
    named.or_else(number).unwrap_or(f32::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(json: &str) -> std::result::Result<Option<String>, String> {
        read(&mut serde_json::Deserializer::from_str(json)).map_err(|e| e.to_string())
    }

    #[test]
    fn a_name_and_a_number_are_read_as_text() {
        let texts = [r#""High""#, "8192", "-1", "0.5", "null"].map(|json| given(json).unwrap());
        let expected = [Some("High"), Some("8192"), Some("-1"), Some("0.5"), None];
        assert_eq!(texts, expected.map(|text| text.map(str::to_owned)));
        for bad in ["true", "[]", "{}"] {
            assert!(given(bad).unwrap_err().contains("an effort: a name"), "{bad}");
        }
        assert!(
            validate("effort", Some(&"x".repeat(257))).unwrap_err().to_string().contains("effort has 257")
        );
    }

    #[test]
    fn levels_of_names_are_ordered_and_numbers_stand_for_themselves() {
        let names = ["none", "minimal", "Low", "MEDIUM", " high ", "xhigh"].map(|name| level(Some(name)));
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert_eq!([level(Some("8192")), level(Some("0.5"))], [8192.0, 0.5]);
        assert!(
            [None, Some("thorough"), Some(""), Some("nan"), Some("inf")].iter().all(|e| level(*e).is_nan())
        );
    }
}
