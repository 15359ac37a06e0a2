//! The host's own columns: their declaration, and how values become numbers.

use super::inputs::Inputs;
use super::table::{KnownWhen, fill};
use crate::error::{Error, Result};
use crate::event::{ColumnValue, Columns, MAX_COLUMN_BYTES};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// The columns that a host adds to those that the crate computes, in the order of their declaration.
///
/// Every part of the success, complexity, time, quality, cost and token models learns from them (template ranking, imported models and
/// a host's own models do not), explanations say their phrases, and an event with a column that is not declared, or of
/// another kind or range, is refused by name. A column that is not given is missing, never made up.
///
/// ```
/// use devmatrix_ml::features::{FeatureOptions, HostColumn, HostColumns};
/// let columns = HostColumns::new([
///     HostColumn::number("test_coverage").unit("%").range(0.0, 100.0).phrase("{} % of the code is tested"),
///     HostColumn::flag("has_design").phrase("the task {has a|has no} design"),
///     HostColumn::category("priority").phrase("the ticket's priority is {}"),
/// ])?;
/// let options = FeatureOptions::default().with_columns(columns);
/// assert_ne!(options, FeatureOptions::default());
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<HostColumn>", into = "Vec<HostColumn>")]
pub struct HostColumns(Arc<Declared>);

// No end of a range is NaN.
impl Eq for HostColumns {}

#[derive(Debug, Default, PartialEq)]
struct Declared {
    columns: Vec<HostColumn>,
    places: BTreeMap<String, usize>,
}

/// One declared column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HostColumn {
    /// Name, by which events give it.
    pub name: String,
    /// Kind of its values.
    pub kind: ColumnKind,
    /// Unit of its numbers, for explanations.
    #[serde(default)]
    pub unit: String,
    /// When it is known; in JSON `"Before"` (the default) or `"After"`.
    #[serde(default = "before")]
    pub known: KnownWhen,
    /// Sentence about a value: `{}` stands for it, `{one|other}` for the first form where a flag is true or a number 1.
    #[serde(default)]
    pub phrase: String,
    /// Least and largest number.
    #[serde(default)]
    pub range: Option<(f64, f64)>,
}

/// Kind of the values of a host's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// A number.
    Number,
    /// Yes or no.
    Flag,
    /// One of some names, of which there may be thousands.
    Category,
}

/// More columns than these are refused: fitting would take hours and find chance.
const MOST_COLUMNS: usize = 1_000;

/// Names of what stands beside the features in rows and explanations.
const RESERVED: [&str; 3] = ["task_description", "ngram_buckets", "ngram_weights"];

/// Longer names are not compared with each declared one.
const MOST_TO_COMPARE: usize = 64;

impl HostColumns {
    /// Declares columns.
    ///
    /// # Errors
    /// `InvalidInput` for more than 1,000 columns; else naming the column whose name is empty, longer than 256 bytes, holds a
    /// NUL byte, is declared twice or is that of a feature of the crate, or whose range does not go from a smaller to a
    /// larger number.
    pub fn new(columns: impl IntoIterator<Item = HostColumn>) -> Result<Self> {
        Self::try_from(columns.into_iter().collect::<Vec<_>>())
    }

    /// Returns the columns in the order of their declaration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &HostColumn> {
        self.0.columns.iter()
    }

    #[cfg(feature = "export")]
    pub(crate) fn len(&self) -> usize {
        self.0.columns.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.columns.is_empty()
    }

    pub(crate) fn get(&self, place: usize) -> Option<&HostColumn> {
        self.0.columns.get(place)
    }

    /// Returns the place of the column of this name and kind; it is likely to be `near`.
    pub(crate) fn place(&self, name: &str, kind: ColumnKind, near: usize) -> Option<usize> {
        let is = |column: &HostColumn| column.name == name && column.kind == kind;
        if self.get(near).is_some_and(is) {
            return Some(near);
        }
        self.0.places.get(name).copied().filter(|place| self.get(*place).is_some_and(is))
    }

    /// Checks that `columns` holds nothing but declared columns that are known then, each of its kind and in its range.
    ///
    /// # Errors
    /// `InvalidInput` naming the column.
    pub(crate) fn validate(&self, columns: &Columns, known: KnownWhen) -> Result<()> {
        for (name, value) in columns {
            let column = self.0.places.get(name).and_then(|place| self.get(*place));
            column.ok_or_else(|| self.undeclared(name))?.validate(value, known)?;
        }
        Ok(())
    }

    /// Returns the values of `columns`, one a declared column: a category as its code, a flag as 1 or 0; NaN where missing
    /// or not of the declared kind.
    pub(super) fn values(&self, columns: &Columns, known: KnownWhen) -> Vec<f32> {
        let value = |column: &HostColumn| {
            let given = columns.get(&column.name).filter(|_| column.known == known);
            given.and_then(|value| column.as_number(value)).unwrap_or(f32::NAN)
        };
        self.iter().map(value).collect()
    }

    /// Returns the names of the categories in `columns` by their places.
    pub(super) fn categories(&self, columns: &Columns) -> BTreeMap<usize, String> {
        let name = |(place, column): (usize, &HostColumn)| match columns.get(&column.name)? {
            ColumnValue::Category(name) => Some((place, name.clone())),
            _ => None,
        };
        self.iter().enumerate().filter_map(name).collect()
    }

    /// A text that differs where the meaning of values does.
    pub(crate) fn meaning(&self) -> String {
        self.iter().fold(String::new(), |mut text, HostColumn { name, kind, unit, known, .. }| {
            let _ = write!(text, "\ncolumn {name:?} {kind:?} {unit:?} {known:?}");
            text
        })
    }

    fn undeclared(&self, name: &str) -> Error {
        let near = self.iter().filter(|column| name.len().max(column.name.len()) <= MOST_TO_COMPARE);
        let nearest = near.min_by_key(|column| strsim::damerau_levenshtein(&column.name, name));
        let hint = match nearest {
            Some(column) => format!("did you mean {}? Declare it in the features' HostColumns", column.name),
            None if self.is_empty() => "no column is: declare it in the features' HostColumns".to_owned(),
            None => "declare it in the features' HostColumns".to_owned(),
        };
        Error::invalid(format!("columns.{name} is not declared: {hint}, or leave it out"))
    }
}

impl HostColumn {
    /// Creates a column of numbers known before the start.
    pub fn number(name: impl Into<String>) -> Self {
        Self::of(name, ColumnKind::Number)
    }

    /// Creates a column of yes or no known before the start.
    pub fn flag(name: impl Into<String>) -> Self {
        Self::of(name, ColumnKind::Flag)
    }

    /// Creates a column of names known before the start.
    pub fn category(name: impl Into<String>) -> Self {
        Self::of(name, ColumnKind::Category)
    }

    fn of(name: impl Into<String>, kind: ColumnKind) -> Self {
        let (unit, phrase) = (String::new(), String::new());
        Self { name: name.into(), kind, unit, known: KnownWhen::Before, phrase, range: None }
    }

    /// Sets the unit of its numbers.
    #[must_use]
    pub fn unit(self, unit: impl Into<String>) -> Self {
        Self { unit: unit.into(), ..self }
    }

    /// Sets the sentence that explanations say about a value.
    #[must_use]
    pub fn phrase(self, phrase: impl Into<String>) -> Self {
        Self { phrase: phrase.into(), ..self }
    }

    /// Sets the range of its numbers.
    #[must_use]
    pub fn range(self, least: f64, largest: f64) -> Self {
        Self { range: Some((least, largest)), ..self }
    }

    /// Says that it is known only once the generation has ended: given with the completion, it is used by what is predicted
    /// from then on.
    #[must_use]
    pub fn known_after(self) -> Self {
        Self { known: KnownWhen::After, ..self }
    }

    /// Returns the sentence about a value written as `shown`.
    pub(crate) fn sentence(&self, value: f64, shown: &str) -> String {
        if !self.phrase.is_empty() {
            return fill(&self.phrase, value, shown);
        }
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        match self.kind {
            ColumnKind::Flag => format!("{} is {}", self.name, if value > 0.5 { "true" } else { "false" }),
            _ => format!("{} is {shown}{unit}", self.name),
        }
    }

    fn validate(&self, value: &ColumnValue, known: KnownWhen) -> Result<()> {
        let name = &self.name;
        if self.known != known {
            let (when, place) = match self.known {
                KnownWhen::Before => ("before the start", "task"),
                KnownWhen::After => ("after the end", "completion"),
            };
            return Err(Error::invalid(format!(
                "columns.{name} is declared as known {when}: give it with the {place}"
            )));
        }
        match (self.kind, value) {
            (ColumnKind::Number, ColumnValue::Number(number)) if number.abs() > f64::from(f32::MAX) => {
                Err(Error::invalid(format!(
                    "columns.{name} is {number}, expected at most {} either way",
                    f32::MAX
                )))
            }
            (ColumnKind::Number, ColumnValue::Number(number)) => match self.range {
                Some((least, largest)) if !(least..=largest).contains(number) => {
                    Err(Error::invalid(format!(
                        "columns.{name} is {number}, expected {least} to {largest}: leave it out when unknown"
                    )))
                }
                _ => Ok(()),
            },
            (ColumnKind::Flag, ColumnValue::Flag(_)) | (ColumnKind::Category, ColumnValue::Category(_)) => {
                Ok(())
            }
            (kind, _) => {
                let (kind, value) = (kind.in_words(), shown(value));
                Err(Error::invalid(format!("columns.{name} is {value}, it is declared as {kind}")))
            }
        }
    }

    fn as_number(&self, value: &ColumnValue) -> Option<f32> {
        match (self.kind, value) {
            (ColumnKind::Number, ColumnValue::Number(number)) => {
                Some(*number as f32).filter(|v| v.is_finite())
            }
            (ColumnKind::Flag, ColumnValue::Flag(yes)) => Some(f32::from(u8::from(*yes))),
            (ColumnKind::Category, ColumnValue::Category(name)) => Some(Inputs::category(Some(name))),
            _ => None,
        }
    }
}

impl ColumnKind {
    fn in_words(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Flag => "yes or no (true or false)",
            Self::Category => "a category (text)",
        }
    }
}

impl TryFrom<Vec<HostColumn>> for HostColumns {
    type Error = Error;

    fn try_from(columns: Vec<HostColumn>) -> Result<Self> {
        if columns.len() > MOST_COLUMNS {
            return Err(Error::invalid(format!(
                "{} columns are declared, expected at most {MOST_COLUMNS}: of so many chance alone finds some that seem to \
                 tell something; declare those that may",
                columns.len()
            )));
        }
        let mut places = BTreeMap::new();
        for (place, HostColumn { name, range, .. }) in columns.iter().enumerate() {
            let wrong = |why: String| Err(Error::invalid(format!("the column {name:?}: {why}")));
            if name.trim().is_empty() || name.len() > MAX_COLUMN_BYTES || name.contains('\0') {
                return wrong(format!("give it a name of 1 to {MAX_COLUMN_BYTES} bytes"));
            }
            if super::index_of(name).is_some() || RESERVED.contains(&name.as_str()) {
                return wrong("a feature of this crate has this name: give it another".to_owned());
            }
            let ordered =
                |(least, largest): &(f64, f64)| least.is_finite() && largest.is_finite() && least < largest;
            if let Some((least, largest)) = range.filter(|range| !ordered(range)) {
                return wrong(format!(
                    "its range is {least} to {largest}: give two finite ends, the smaller first"
                ));
            }
            if places.insert(name.clone(), place).is_some() {
                return wrong("it is declared twice".to_owned());
            }
        }
        Ok(Self(Arc::new(Declared { columns, places })))
    }
}

impl From<HostColumns> for Vec<HostColumn> {
    fn from(columns: HostColumns) -> Self {
        columns.0.columns.clone()
    }
}

fn before() -> KnownWhen {
    KnownWhen::Before
}

fn shown(value: &ColumnValue) -> String {
    match value {
        ColumnValue::Flag(yes) => yes.to_string(),
        ColumnValue::Number(number) => number.to_string(),
        ColumnValue::Category(name) => format!("{:?}", &name[..name.floor_char_boundary(40)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> HostColumns {
        HostColumns::new([
            HostColumn::number("coverage").unit("%").range(0.0, 100.0),
            HostColumn::flag("has_design").phrase("the task {has a|has no} design"),
            HostColumn::category("priority").phrase("the priority is {}"),
            HostColumn::number("review_minutes").known_after(),
        ])
        .unwrap()
    }

    fn given(name: &str, value: impl Into<ColumnValue>) -> Columns {
        [(name.to_owned(), value.into())].into()
    }

    #[test]
    fn what_is_not_declared_so_is_named() {
        let error = |columns_given: &Columns| {
            columns().validate(columns_given, KnownWhen::Before).unwrap_err().to_string()
        };
        assert!(
            error(&given("coverag", 1.0)).contains("columns.coverag is not declared: did you mean coverage?")
        );
        assert!(error(&given("coverage", 101.0)).contains("columns.coverage is 101, expected 0 to 100"));
        assert!(error(&given("coverage", "high")).contains("is \"high\", it is declared as a number"));
        assert!(error(&given("priority", 1.0)).contains("is 1, it is declared as a category"));
        assert!(
            error(&given("review_minutes", 1.0)).contains("known after the end: give it with the completion")
        );
        assert!(columns().validate(&given("review_minutes", 1.0), KnownWhen::After).is_ok());
        let none = HostColumns::default().validate(&given("a", 1.0), KnownWhen::Before).unwrap_err();
        assert!(none.to_string().contains("no column is"), "{none}");
    }

    #[test]
    fn what_cannot_be_declared_is_named() {
        let error = |columns: Vec<HostColumn>| HostColumns::new(columns).unwrap_err().to_string();
        assert!(error(vec![HostColumn::flag("a"), HostColumn::number("a")]).contains("declared twice"));
        assert!(error(vec![HostColumn::flag(" ")]).contains("give it a name"));
        assert!(
            error(vec![HostColumn::number("num_words")]).contains("a feature of this crate has this name")
        );
        assert!(error(vec![HostColumn::number("a").range(1.0, 1.0)]).contains("its range is 1 to 1"));
        assert!(error(vec![HostColumn::number("a").range(f64::NAN, 1.0)]).contains("its range is NaN to 1"));
        assert!(
            error(vec![HostColumn::number("a").range(0.0, f64::INFINITY)]).contains("give two finite ends")
        );
        assert!(
            error(vec![HostColumn::number("ngram_buckets")])
                .contains("a feature of this crate has this name")
        );
        assert!(
            error((0..=1_000).map(|i| HostColumn::flag(i.to_string())).collect()).contains("1001 columns")
        );
    }

    #[test]
    fn values_are_numbers_and_missing_where_not_given() {
        let mut all = given("coverage", 83.0);
        all.extend(given("priority", "urgent"));
        all.extend(given("has_design", 1.0)); // of another kind
        let values = columns().values(&all, KnownWhen::Before);
        assert_eq!(values[0], 83.0);
        assert!(values[1].is_nan() && values[3].is_nan());
        assert_eq!(values[2], Inputs::category(Some("urgent")));
        assert_ne!(values[2], Inputs::category(Some("low")));
    }

    #[test]
    fn sentences_use_the_phrase_or_the_name() {
        let columns = columns();
        let sentence = |place: usize, value, shown| columns.get(place).unwrap().sentence(value, shown);
        assert_eq!(sentence(0, 83.0, "83"), "coverage is 83 %");
        assert_eq!(sentence(1, 1.0, ""), "the task has a design");
        assert_eq!(sentence(1, 0.0, ""), "the task has no design");
        assert_eq!(sentence(2, 7.0, "urgent"), "the priority is urgent");
    }

    #[test]
    fn a_declaration_is_read_back_and_strict() {
        let json = serde_json::to_string(&columns()).unwrap();
        assert_eq!(serde_json::from_str::<HostColumns>(&json).unwrap(), columns());
        let text = r#"[{"name": "a", "kind": "number", "rnage": [0, 1]}]"#;
        let error = crate::config::from_json::<HostColumns>(text).unwrap_err().to_string();
        assert!(error.contains("unknown field `rnage`, did you mean `range`?"), "{error}");
    }
}
