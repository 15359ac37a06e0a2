//! Features by name.

use crate::error::{Error, Result};
use crate::features::{FEATURES, index_of};
use crate::ml::ExternalTrees;
use std::collections::HashSet;

/// Longer names are not compared with known ones.
const LONGEST: usize = 64;

/// The places in the table of features of a model's columns.
pub(super) fn places(names: &[String], external: &ExternalTrees) -> Result<Vec<usize>> {
    let width = external.trees.width();
    if names.is_empty() {
        return Err(Error::invalid(format!(
            "the model does not name its {width} features: train it with names, or give them (names)"
        )));
    }
    if names.len() != width {
        return Err(Error::invalid(format!(
            "{} names are given, the model has {width} features",
            names.len()
        )));
    }
    let mut seen = HashSet::new();
    let place = |(column, name): (usize, &String)| {
        let place = index_of(name).ok_or_else(|| unknown(column, name))?;
        if !seen.insert(place) {
            return Err(Error::invalid(format!("feature {name:?} is named twice")));
        }
        Ok(place)
    };
    names.iter().enumerate().map(place).collect()
}

fn unknown(column: usize, name: &str) -> Error {
    let shown: String = name.chars().take(LONGEST).collect();
    let nearest = FEATURES
        .iter()
        .filter(|_| name.len() <= LONGEST)
        .min_by_key(|feature| strsim::damerau_levenshtein(feature.name, name));
    let hint = nearest.map(|feature| format!(", the nearest is {:?}", feature.name)).unwrap_or_default();
    Error::invalid(format!("feature {column} of the model, {shown:?}, is not in the table{hint}"))
}
