//! XGBoost's JSON, where hessboost's reader is not enough: boosters other than trees, and the base score of versions before 3.1.

use crate::error::{Error, ErrorKind, Result};
use serde_json::Value;
use std::borrow::Cow;

/// Parses the document.
pub(super) fn parsed(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|e| Error::corrupt("the XGBoost model is no JSON").with_source(e))
}

/// Returns the document with its base score as the list that versions from 3.1 on write.
pub(super) fn readable_json(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    let mut root = parsed(bytes)?;
    check_booster(root.pointer("/learner/gradient_booster/name"))?;
    let base_score = root.pointer_mut("/learner/learner_model_param/base_score");
    let Some(Value::String(base_score)) = base_score.filter(|found| !listed(found)) else {
        return Ok(Cow::Borrowed(bytes));
    };
    *base_score = format!("[{base_score}]");
    let written = serde_json::to_vec(&root)
        .map_err(|e| Error::internal("the XGBoost model cannot be written").with_source(e))?;
    Ok(Cow::Owned(written))
}

/// Tells damage from what XGBoost before 3.0 wrote for a split by categories: a threshold that is no number.
pub(super) fn unless_before_3(bytes: &[u8], error: Error) -> Error {
    const KEYS: [&[u8]; 2] = [b"\"version\":[", b"version[#L\0\0\0\0\0\0\0\x03i"];
    // The version is at the end, so a document that was cut off has none.
    let major = |key: &[u8]| {
        let at = bytes.windows(key.len()).rposition(|window| window == key)?;
        bytes.get(at + key.len()).copied()
    };
    let is_older = KEYS.iter().any(|key| matches!(major(key), Some(b'1' | b'2' | 1 | 2)));
    if error.kind() == ErrorKind::Corrupt && is_older {
        let why = "the model was saved by XGBoost before 3.0 and cannot be read, as where it splits by categories: load it by \
                   XGBoost 3 and save it again";
        return Error::incompatible(why).with_source(error);
    }
    error
}

fn listed(base_score: &Value) -> bool {
    base_score.as_str().is_some_and(|text| text.starts_with('['))
}

/// Checks that the booster is none of the whole ones that are not served.
///
/// # Errors
/// `Incompatible` with its name.
pub(super) fn check_booster(name: Option<&Value>) -> Result<()> {
    match name.and_then(Value::as_str) {
        Some(name @ ("dart" | "gblinear")) => Err(Error::incompatible(format!(
            "the XGBoost model's booster is {name}, expected gbtree: train it with booster=gbtree"
        ))),
        _ => Ok(()),
    }
}
