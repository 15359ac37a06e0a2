//! Identifiers, each a type of its own so that one cannot stand in for another.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The longest identifier accepted, in bytes.
pub(crate) const MAX_ID_BYTES: usize = 1024;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// Not empty, at most 1024 bytes long, free of control characters; cheap to clone.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `id` and wraps it.
            ///
            /// # Errors
            /// `InvalidInput` when `id` is empty, too long or holds a control character.
            pub fn new(id: impl AsRef<str>) -> Result<Self> {
                check(stringify!($name), id.as_ref()).map(|id| Self(id.into()))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(id: String) -> Result<Self> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// One generation: one try at a task.
    EventId,
    /// The task that a generation tries to solve; several tries share it.
    TaskId,
    /// The project that a task belongs to.
    ProjectId,
    /// The person who asked for the generation.
    UserId,
    /// The working session of the host.
    SessionId,
    /// The template that a generation used.
    TemplateId,
    /// One piece of feedback, so that sending it twice records it once.
    FeedbackId,
}

fn check<'a>(kind: &str, id: &'a str) -> Result<&'a str> {
    if id.is_empty() {
        return Err(Error::invalid(format!("{kind} is empty: give the host's own identifier")));
    }
    if id.len() > MAX_ID_BYTES {
        return Err(Error::invalid(format!(
            "{kind} has {} bytes, at most {MAX_ID_BYTES} are kept: hash it",
            id.len()
        )));
    }
    if let Some(c) = id.chars().find(|c| c.is_control()) {
        return Err(Error::invalid(format!("{kind} {id:?} holds the control character {c:?}: remove it")));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_identifiers_are_refused_with_the_name_and_the_value() {
        assert!(EventId::new("").unwrap_err().to_string().contains("EventId is empty"));
        assert!(TaskId::new("a\0b").unwrap_err().to_string().contains(r#"TaskId "a\0b""#));
        assert!(TaskId::new("x".repeat(MAX_ID_BYTES + 1)).is_err());
        assert!(serde_json::from_str::<UserId>("\"\"").is_err());
    }
}
