//! What is read from outside is checked before it is there.

use crate::error::Result;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A part that can be wrong.
pub(crate) trait Verify {
    /// Refuses what is out of range or does not fit together.
    fn verify(&self) -> Result<()>;
}

/// For `#[serde(deserialize_with = "verified")]`: reads a part and checks it.
pub(crate) fn verified<'de, D: Deserializer<'de>, T: Deserialize<'de> + Verify>(
    from: D,
) -> std::result::Result<T, D::Error> {
    let part = T::deserialize(from)?;
    part.verify().map_err(|error| D::Error::custom(format_args!("{error:#}")))?;
    Ok(part)
}
