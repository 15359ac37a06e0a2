//! Values of the host's own columns.

use super::check;
use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// A value of one of the host's own columns.
///
/// ```
/// use devmatrix_ml::event::{ColumnValue, TaskContext};
/// let mut task = TaskContext::of("TASK-7")?;
/// task.columns.insert("test_coverage".into(), 0.83.into());
/// task.columns.insert("has_design".into(), true.into());
/// task.columns.insert("priority".into(), "urgent".into());
/// assert_eq!(task.columns["priority"], ColumnValue::Category("urgent".into()));
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ColumnValue {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(f64),
    /// One of some names.
    Category(String),
}

/// The values of a generation's columns by their names; what is missing is not in it.
pub(crate) type Columns = BTreeMap<String, ColumnValue>;

/// More columns than these, or longer names and categories, are refused.
pub(crate) const MOST_COLUMNS: usize = 10_000;
pub(crate) const MAX_COLUMN_BYTES: usize = 256;

impl From<bool> for ColumnValue {
    fn from(yes: bool) -> Self {
        Self::Flag(yes)
    }
}

impl From<f64> for ColumnValue {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for ColumnValue {
    fn from(category: &str) -> Self {
        Self::Category(category.to_owned())
    }
}

impl From<String> for ColumnValue {
    fn from(category: String) -> Self {
        Self::Category(category)
    }
}

/// Columns as a file gives them, where null is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct GivenColumns(pub(super) Columns);

impl<'de> Deserialize<'de> for GivenColumns {
    fn deserialize<D: Deserializer<'de>>(input: D) -> std::result::Result<Self, D::Error> {
        let given = BTreeMap::<String, Option<ColumnValue>>::deserialize(input)?;
        Ok(Self(given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()))
    }
}

/// Reads columns where null is missing, a value or all of them.
pub(super) fn given<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<Columns, D::Error> {
    Option::<GivenColumns>::deserialize(input).map(|given| given.unwrap_or_default().0)
}

/// Refuses what no store keeps or no model can read.
pub(super) fn validate(columns: &Columns) -> Result<()> {
    if columns.len() > MOST_COLUMNS {
        return Err(Error::invalid(format!(
            "columns has {} values, expected at most {MOST_COLUMNS}: leave out those that no model needs",
            columns.len()
        )));
    }
    for (name, value) in columns {
        if name.is_empty() || name.len() > MAX_COLUMN_BYTES {
            let start = &name[..name.floor_char_boundary(40)];
            return Err(Error::invalid(format!(
                "columns: the name {start:?} has {} bytes, expected 1 to {MAX_COLUMN_BYTES}",
                name.len()
            )));
        }
        match value {
            ColumnValue::Number(number) if !number.is_finite() => {
                return Err(Error::invalid(format!("columns.{name} is {number}: leave it out when unknown")));
            }
            ColumnValue::Category(category) if category.len() > MAX_COLUMN_BYTES => {
                return Err(Error::invalid(format!(
                    "columns.{name} is a category of {} bytes, expected at most {MAX_COLUMN_BYTES}: a category is a \
                     short name, long text belongs into the task's description",
                    category.len()
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn clean(columns: &mut Columns) {
    let dirty = |(name, value): (&String, &ColumnValue)| {
        name.contains('\0') || matches!(value, ColumnValue::Category(text) if text.contains('\0'))
    };
    if columns.iter().any(dirty) {
        let cleaned = std::mem::take(columns).into_iter().map(|(mut name, mut value)| {
            check::clean_text(&mut name);
            if let ColumnValue::Category(text) = &mut value {
                check::clean_text(text);
            }
            (name, value)
        });
        *columns = cleaned.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, value: ColumnValue) -> String {
        validate(&[(name.to_owned(), value)].into()).unwrap_err().to_string()
    }

    #[test]
    fn what_no_model_can_read_is_named() {
        assert!(error("coverage", f64::NAN.into()).contains("columns.coverage is NaN"));
        assert!(error("coverage", f64::INFINITY.into()).contains("columns.coverage is inf"));
        let long = "x".repeat(1 << 20);
        assert!(error("team", long.as_str().into()).contains("columns.team is a category of 1048576 bytes"));
        assert!(error(&long, true.into()).contains("1048576 bytes"));
        assert!(error("", true.into()).contains("0 bytes"));
        let many: Columns = (0..=MOST_COLUMNS).map(|i| (format!("c{i}"), true.into())).collect();
        assert!(validate(&many).unwrap_err().to_string().contains("columns has 10001 values"));
    }

    #[test]
    fn each_kind_is_written_as_json_has_it() {
        let columns: Columns =
            [("a".into(), 1.5.into()), ("b".into(), true.into()), ("c".into(), "x".into())].into();
        let json = serde_json::to_string(&columns).unwrap();
        assert_eq!(json, r#"{"a":1.5,"b":true,"c":"x"}"#);
        assert_eq!(serde_json::from_str::<Columns>(&json).unwrap(), columns);
        assert_eq!(serde_json::from_str::<ColumnValue>("3").unwrap(), ColumnValue::Number(3.0));
        let GivenColumns(given) = serde_json::from_str(r#"{"a": null, "b": false}"#).unwrap();
        assert_eq!(given, [("b".to_owned(), false.into())].into());
    }
}
