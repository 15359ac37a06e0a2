//! What is known of one version of a model.

use crate::error::{Error, Result};
use crate::event::Metadata;
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// The largest artefact that is taken or read, in bytes.
pub(crate) const MAX_ARTEFACT_BYTES: usize = 1 << 30;

/// The longest name of a model.
const MAX_NAME_BYTES: usize = 64;

/// JSON nested deeper than this is refused: every registry must be able to read it back.
const MAX_DEPTH: usize = 64;

/// One registered version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelVersion {
    /// The model's name.
    pub model: String,
    /// Its number, from 1.
    pub version: u64,
    /// Where it stands now.
    #[serde(default)]
    pub stage: Stage,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// The parameters it was fitted with.
    pub parameters: Value,
    /// Metrics by name.
    pub metrics: BTreeMap<String, f64>,
    /// The version of the feature schema that it reads.
    pub feature_schema: u64,
    /// When the first outcome it learned from became known.
    pub data_from: Option<DateTime<Utc>>,
    /// When the last outcome it learned from became known.
    pub data_until: Option<DateTime<Utc>>,
    /// Rows it was fitted on.
    pub rows: usize,
    /// The version it was made from or compared with.
    pub parent: Option<u64>,
    /// The version of this crate that made it.
    pub(crate) library_version: String,
    /// SHA-256 of its artefact, in lower-case hexadecimal digits.
    pub(crate) artefact_sha256: String,
    /// SHA-256 of the holdout model (fitted without the evaluation rows), where it has one.
    pub(crate) evaluation_sha256: Option<String>,
    /// What its training run found, as [`RunRecord`](crate::training::RunRecord) writes it; null where it
    /// was registered without.
    #[serde(default)]
    pub report: Value,
    /// Every verdict on it, in the order in which they were noted.
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
    /// The host's own notes.
    #[serde(default)]
    pub metadata: Metadata,
}

/// Where a version stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Registered, no more.
    #[default]
    None,
    /// On trial beside production.
    Staging,
    /// Serving.
    Production,
    /// Served once, or given up.
    Archived,
}

/// One judgement of a version: promoted or not, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verdict {
    /// When it was given.
    pub at: DateTime<Utc>,
    /// `true` if it put the version into production.
    pub promoted: bool,
    /// `true` if it took the version out of production again.
    #[serde(default)]
    pub rolled_back: bool,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// The version it was compared with.
    #[serde(default)]
    pub(crate) compared_with: Option<u64>,
}

/// A version to be registered.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct NewVersion {
    /// The model's bytes, best made by [`envelope::seal`](super::envelope::seal).
    pub artefact: Vec<u8>,
    /// Its holdout model (fitted without the evaluation rows), with which later versions are compared.
    pub evaluation_artefact: Option<Vec<u8>>,
    /// Its record, in which number, stage, time and digests are set by the registry: see [`record`](Self::record).
    pub about: ModelVersion,
}

impl NewVersion {
    /// Creates a version of `model` of which nothing but its bytes is known.
    pub fn new(model: impl Into<String>, artefact: Vec<u8>) -> Self {
        let about = ModelVersion {
            model: model.into(),
            version: 0,
            stage: Stage::None,
            created_at: DateTime::default(),
            parameters: Value::Null,
            metrics: BTreeMap::new(),
            feature_schema: 0,
            data_from: None,
            data_until: None,
            rows: 0,
            parent: None,
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            artefact_sha256: String::new(),
            evaluation_sha256: None,
            report: Value::Null,
            verdicts: Vec::new(),
            metadata: Metadata::new(),
        };
        Self { artefact, evaluation_artefact: None, about }
    }

    /// Refuses what no registry could give back as it was.
    ///
    /// # Errors
    /// `InvalidInput` naming the field and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        let about = &self.about;
        check_name(&about.model)?;
        check_artefact("artefact", &self.artefact)?;
        if let Some(evaluation) = &self.evaluation_artefact {
            check_artefact("evaluation_artefact", evaluation)?;
        }
        // JSON has no NaN: it would come back as nothing at all.
        if let Some((name, value)) = about.metrics.iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::invalid(format!("metrics[{name:?}] is {value}: leave it out")));
        }
        check_time("data_from", about.data_from)?;
        check_time("data_until", about.data_until)?;
        check_depth("parameters", std::iter::once(&about.parameters))?;
        check_depth("report", std::iter::once(&about.report))?;
        check_depth("metadata", about.metadata.values())?;
        about.verdicts.iter().try_for_each(Verdict::validate)
    }

    /// Returns the record of this version under its number, for whoever implements a registry.
    ///
    /// Times are cut to microseconds, which is what every backend keeps.
    ///
    /// # Errors
    /// `InvalidInput` for a name or a number out of range.
    pub fn record(&self, number: u64, created_at: DateTime<Utc>) -> Result<ModelVersion> {
        self.validate()?;
        let about = self.about.clone();
        Ok(ModelVersion {
            version: number,
            stage: Stage::None,
            created_at: to_micros(created_at),
            data_from: about.data_from.map(to_micros),
            data_until: about.data_until.map(to_micros),
            artefact_sha256: sha256_hex(&self.artefact),
            evaluation_sha256: self.evaluation_artefact.as_deref().map(sha256_hex),
            verdicts: about.verdicts.into_iter().map(Verdict::storable).collect(),
            ..about
        })
    }
}

/// Lengths stand for the blobs, which may have millions of bytes.
impl fmt::Debug for NewVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewVersion")
            .field("model", &self.about.model)
            .field("artefact_bytes", &self.artefact.len())
            .field("evaluation_bytes", &self.evaluation_artefact.as_ref().map(Vec::len))
            .field("parameters", &self.about.parameters)
            .field("metrics", &self.about.metrics)
            .field("rows", &self.about.rows)
            .finish_non_exhaustive()
    }
}

impl Verdict {
    /// A verdict with its reasons.
    pub fn new(
        at: DateTime<Utc>,
        promoted: bool,
        reasons: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            at,
            promoted,
            rolled_back: false,
            reasons: reasons.into_iter().map(Into::into).collect(),
            compared_with: None,
        }
    }

    /// Refuses what no registry could give back as it was.
    ///
    /// # Errors
    /// `InvalidInput` for a time before 1900 or after 9999.
    pub(crate) fn validate(&self) -> Result<()> {
        check_time("verdict.at", Some(self.at))
    }

    pub(super) fn storable(mut self) -> Self {
        self.at = to_micros(self.at);
        self
    }
}

/// Refuses a model's name that is not 1 to 64 of `a-z`, `0-9`, `_` and `-`.
///
/// Such a name is safe as a folder, a column's value and a part of an address.
///
/// # Errors
/// `InvalidInput` with the name.
pub(crate) fn check_name(model: &str) -> Result<()> {
    let fine = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=MAX_NAME_BYTES).contains(&model.len()) && model.bytes().all(fine) {
        return Ok(());
    }
    let shown: String = model.chars().take(2 * MAX_NAME_BYTES).collect();
    Err(Error::invalid(format!("model name {shown:?}: expected 1 to {MAX_NAME_BYTES} of a-z, 0-9, _ and -")))
}

/// The SHA-256 of `bytes` in lower-case hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn check_artefact(field: &str, bytes: &[u8]) -> Result<()> {
    if (1..=MAX_ARTEFACT_BYTES).contains(&bytes.len()) {
        return Ok(());
    }
    Err(Error::invalid(format!("{field} has {} bytes, expected 1 to {MAX_ARTEFACT_BYTES}", bytes.len())))
}

fn check_time(field: &str, time: Option<DateTime<Utc>>) -> Result<()> {
    match time {
        Some(t) if !(1900..=9999).contains(&t.year()) => {
            Err(Error::invalid(format!("{field} is {t}, expected a year from 1900 to 9999")))
        }
        _ => Ok(()),
    }
}

/// Without recursion, which too deep a value would drive off the stack.
fn check_depth<'a>(field: &str, roots: impl Iterator<Item = &'a Value>) -> Result<()> {
    let mut open: Vec<(&Value, usize)> = roots.map(|value| (value, 1)).collect();
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return Err(Error::invalid(format!(
                "{field} is nested deeper than {MAX_DEPTH} levels: flatten it"
            )));
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(map) => open.extend(map.values().map(|item| (item, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut NewVersion)) -> String {
        let mut version = NewVersion::new("m", vec![1]);
        version.validate().unwrap();
        change(&mut version);
        version.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        assert!(refusal(|v| v.artefact.clear()).contains("artefact has 0 bytes"));
        assert!(refusal(|v| v.evaluation_artefact = Some(vec![])).contains("evaluation_artefact has 0"));
        assert!(
            refusal(|v| v.about.metrics = [("auc".to_owned(), f64::NAN)].into())
                .contains(r#"["auc"] is NaN"#)
        );
        assert!(refusal(|v| v.about.data_from = Some(DateTime::<Utc>::MAX_UTC)).contains("data_from"));
        assert!(
            refusal(|v| v.about.verdicts = vec![Verdict::new(DateTime::<Utc>::MIN_UTC, true, ["x"])])
                .contains("verdict.at")
        );
        let deep = (0..200).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert!(refusal(|v| v.about.parameters = deep.clone()).contains("parameters is nested"));
        assert!(
            refusal(|v| v.about.metadata = Metadata::from_iter([("k".into(), deep)])).contains("metadata")
        );
    }

    #[test]
    fn names_are_safe_as_folders() {
        for name in ["success", "a", "9_-z", &"x".repeat(64)] {
            check_name(name).unwrap();
        }
        for name in ["", ".", "..", "a/b", "a\\b", "A", "é", "a\0", "a b", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_digest_is_the_known_one() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), known);
    }
}
