//! JSON that a host writes: strict reading, and errors that name the likely key.

use crate::error::{Error, Result};
use crate::json::{self, Unread};
use serde::de::DeserializeOwned;

/// Reads options, rules, a specification or a part of an event that a host wrote as JSON.
///
/// A field that does not exist and a key given twice are errors at any depth; a lone surrogate escape becomes
/// U+FFFD. `serde_json::from_str` passes over the first in the parts of events, and for options it lists every
/// right key; this names the nearest.
///
/// ```
/// use devmatrix_ml::{config, routing::RiskPolicy};
/// let text = r#"{"rules": [{"name": "legal", "risk_at_least": "hihg", "plan": {}}]}"#;
/// let error = config::from_json::<RiskPolicy>(text).unwrap_err();
/// assert!(error.to_string().contains("unknown variant `hihg`, did you mean `high`?"));
/// ```
///
/// # Errors
/// `InvalidInput` with line and column, and for an unknown key or variant the nearest right one.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    let name = std::any::type_name::<T>();
    let name = name.rsplit("::").next().unwrap_or(name);
    let text = json::mended(text).map_err(|e| e.context(name))?;
    json::read(&text).map_err(|error| match error {
        Unread::Refused(error) => Error::invalid(format!("{name}: {}", did_you_mean(&error.to_string()))),
        Unread::NoField(path) => {
            Error::invalid(format!("{name}: there is no field `{}`", path.escape_debug()))
        }
    })
}

/// Puts the nearest right name into serde's message about an unknown one.
fn did_you_mean(message: &str) -> String {
    nearest(message).unwrap_or_else(|| message.to_owned())
}

/// Reads "unknown field `x`, expected one of `a`, `b` at line 1 column 2".
fn nearest(message: &str) -> Option<String> {
    let (kind, rest) =
        ["unknown field `", "unknown variant `"].iter().find_map(|k| Some((k, message.strip_prefix(k)?)))?;
    let (unknown, expected) = rest.split_once("`, expected ")?;
    let right = expected.split('`').skip(1).step_by(2);
    let name = right.min_by_key(|right| strsim::damerau_levenshtein(&unknown.to_lowercase(), right))?;
    Some(format!("{kind}{unknown}`, did you mean `{name}`? Expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Rule {
        name: String,
        when_reason: Option<String>,
        level: Option<Level>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Level {
        High,
        Low,
    }

    fn error(text: &str) -> String {
        let error = from_json::<Rule>(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.to_string()
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_right_one_and_its_position() {
        let text = error(r#"{"name": "a", "when_reasn": "b"}"#);
        assert!(text.starts_with("Rule: unknown field `when_reasn`, did you mean `when_reason`?"), "{text}");
        assert!(text.ends_with("at line 1 column 26"), "{text}");
        let text = error(r#"{"name": "a", "`odd`, expected key": 1}"#);
        assert!(text.contains("did you mean `"), "{text}");
    }

    #[test]
    fn an_unknown_variant_is_named_with_the_nearest_right_one() {
        let text = error(r#"{"name": "a", "level": "hihg"}"#);
        assert!(
            text.contains("unknown variant `hihg`, did you mean `high`? Expected `high` or `low`"),
            "{text}"
        );
    }

    #[test]
    fn other_errors_keep_their_message() {
        let text = error(r#"{"when_reason": "b"}"#);
        assert!(text.starts_with("Rule: missing field `name`"), "{text}");
        assert!(matches!(from_json::<Rule>(r#"{"name": "a"}"#), Ok(rule) if rule.name == "a"));
        assert!(matches!(from_json::<Level>("\"low\""), Ok(Level::Low)));
        assert!(matches!(from_json::<Level>("\"high\""), Ok(Level::High)));
    }
}
