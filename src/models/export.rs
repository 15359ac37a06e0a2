//! Models taken apart, for who predicts with them outside of this crate: numbers as JSON, trees as files of
//! their own.

use super::{Predictor, Trainer, open_artefact};
use crate::error::{Error, Result};
use crate::features::{FEATURES, KnownWhen};
use crate::ml::Trees;
use crate::models::column_encoder::ColumnEncoder;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The tree files and features that the JSON of a model refers to.
#[derive(Debug, Default)]
pub(crate) struct Export {
    /// Trees in XGBoost's UBJSON format, by the names of their files.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// The features that the model uses, by index.
    features: BTreeMap<usize, String>,
}

impl Export {
    /// Returns the features that the model uses, in the order of their table.
    pub(crate) fn features(&self) -> impl Iterator<Item = &str> {
        self.features.values().map(String::as_str)
    }

    /// Records that the feature at `place` is used and returns its name.
    pub(super) fn name(&mut self, place: usize) -> String {
        self.look_at(place, FEATURES[place].name)
    }

    pub(super) fn names(&mut self, places: &[usize]) -> Vec<String> {
        places.iter().map(|place| self.name(*place)).collect()
    }

    /// Records that what is at `places` is used, features and the host's own columns, and returns their names.
    pub(super) fn names_with(&mut self, encoder: &ColumnEncoder, places: &[usize]) -> Vec<String> {
        let named = places.iter().filter_map(|place| Some((*place, encoder.name_of(*place)?)));
        named.map(|(place, name)| self.look_at(place, name)).collect()
    }

    /// Records a used feature of another table than [`FEATURES`] and returns its name.
    pub(super) fn look_at(&mut self, place: usize, name: &str) -> String {
        // Parts of a model may have the columns in different places.
        if !self.features.values().any(|known| known == name) {
            let after = self.features.keys().next_back().map_or(0, |last| last + 1);
            let free = if self.features.contains_key(&place) { after } else { place };
            self.features.insert(free, name.to_owned());
        }
        name.to_owned()
    }

    /// The features by which a row shows that the generated code is known.
    pub(super) fn of_code(&mut self) -> Vec<String> {
        let known = FEATURES.iter().enumerate().filter(|(_, f)| f.known == KnownWhen::After);
        known.map(|(place, _)| self.name(place)).collect()
    }

    /// Trees over `features`, in this order.
    pub(super) fn trees(&mut self, trees: &Trees, features: &[String]) -> Result<Value> {
        let file = format!("trees-{}.ubj", self.files.len() + 1);
        self.files.push((file.clone(), trees.to_bytes()?));
        Ok(json!({ "file": file, "features": features }))
    }
}

/// What serde makes of it.
pub(super) fn plain(part: &impl Serialize) -> Result<Value> {
    serde_json::to_value(part)
        .map_err(|e| Error::internal("a part of a model cannot be written as JSON").with_source(e))
}

/// A trainer whose models can be taken apart.
pub(crate) trait Exportable: Trainer + Default {
    /// Takes a model apart: its JSON, what that refers to in `to`.
    fn export(model: &Self::Model, to: &mut Export) -> Result<Value>;
}

/// Takes the artefact of a model apart: made of features of this fingerprint, into this.
pub(crate) type ExportArtefact = fn(&[u8], u64, &mut Export) -> Result<Value>;

/// Takes models of one kind apart.
#[derive(Debug)]
pub(crate) struct Exporter(ExportArtefact);

impl Exporter {
    pub(super) const fn of<T: Exportable>() -> Self {
        Self(|artefact, schema, to| T::export(&opened(&T::default(), artefact, schema)?, to))
    }

    pub(crate) fn export(&self, artefact: &[u8], host_schema: u64, to: &mut Export) -> Result<Value> {
        (self.0)(artefact, host_schema, to)
    }
}

/// The columns of predictions of a number.
pub(super) const NUMBER_COLUMNS: &[&str] = &["value", "lower_80", "upper_80", "lower_90", "upper_90"];

/// The model, whose features stand where the table of this release has them.
fn opened<T: Trainer>(trainer: &T, artefact: &[u8], host_schema: u64) -> Result<T::Model> {
    let model = open_artefact(trainer, artefact)?;
    let (name, own, here) = (trainer.name(), model.schema(), trainer.schema(host_schema));
    if own == here {
        return Ok(model);
    }
    Err(Error::incompatible(format!(
        "{name} was made from features {own:016x}, here they are {here:016x}: give the host's FeatureOptions"
    )))
}

/// Why an imported model is not taken apart.
pub(super) fn imported() -> Error {
    Error::incompatible("the model was trained elsewhere: Python runs it from the file that it came from")
}
