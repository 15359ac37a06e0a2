//! Fields of recorded events by their paths.

use devmatrix_ml::event::GenerationEvent;
use serde_json::Value;

/// Returns what is at `path` (`metadata.story_points`) in the flat form of `event`; `None` for null.
pub(crate) fn field_of(event: &GenerationEvent, path: &str) -> anyhow::Result<Option<Value>> {
    let json = serde_json::to_value(event)?;
    let found = path.split('.').try_fold(&json, |value, name| value.get(name));
    Ok(found.filter(|v| !v.is_null()).cloned())
}
