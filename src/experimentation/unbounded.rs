//! Ends of intervals that are not bounded yet: JSON has no infinity, so they are written as `null`.

use serde::{Deserialize, Deserializer};

/// Reads a lower end.
pub(super) fn below<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NEG_INFINITY))
}

/// Reads an upper end.
pub(super) fn above<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::INFINITY))
}
