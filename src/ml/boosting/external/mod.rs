//! Trees that XGBoost or LightGBM grew elsewhere, read by readers that check every bound and never by
//! C++.

pub(super) mod lightgbm_text;
pub(super) mod ubjson;
mod xgboost;

use super::Trees;
use super::document;
use super::ranges::{self, TrainingRanges};
use crate::error::{Error, Result};
use hessboost::error::HessboostError;
use hessboost::model::{BoostedModel, ModelFormat};
use hessboost::objective::Objective as Loss;
use hessboost::tree::RegTree;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// The largest model that is read, in bytes; reading takes up to thirty times as many.
pub(crate) const MAX_EXTERNAL_MODEL_BYTES: usize = 32 << 20;

/// More trees than this are refused.
const MOST_TREES: usize = 10_000;

/// More nodes than this in all trees are refused.
const MOST_NODES: usize = 4_000_000;

/// Library that wrote a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub(crate) enum ExternalFormat {
    /// XGBoost's `save_model("m.json")`.
    XgboostJson,
    /// XGBoost's `save_model("m.ubj")`.
    XgboostUbjson,
    /// LightGBM's `save_model("m.txt")`, of version 4.
    LightgbmText,
}

/// Unit of the raw margin, the sum of the trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub(crate) enum Margin {
    /// Log-odds.
    LogOdds,
    /// The mean or the median in the label's unit.
    Value,
    /// Its logarithm.
    LogValue,
    /// A ranking score without a unit.
    Score,
}

/// A model that was trained elsewhere.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub(crate) struct ExternalTrees {
    /// Its trees.
    pub(crate) trees: Trees,
    /// Library that wrote it.
    pub(crate) format: ExternalFormat,
    /// Its objective, by XGBoost's name.
    pub(crate) objective: String,
    /// Unit of its raw margin.
    pub(crate) margin: Margin,
    /// The features' names; none where it does not have them.
    pub(crate) names: Vec<String>,
    /// Features that splits by sets of categories look at.
    pub(crate) categorical: BTreeSet<usize>,
}

impl fmt::Display for ExternalFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::XgboostJson => "XGBoost (JSON)",
            Self::XgboostUbjson => "XGBoost (UBJSON)",
            Self::LightgbmText => "LightGBM (text)",
        })
    }
}

impl ExternalTrees {
    /// Reads a model of one output from bytes that nobody has verified.
    ///
    /// Its margins are added up as the library does that wrote it: by XGBoost in single precision, by
    /// LightGBM in double. All its trees are taken: LightGBM writes those up to the best round, XGBoost those of all rounds,
    /// by which its `Booster.predict` goes too.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are damaged; `Incompatible` for a model that is whole but none that is
    /// served here, with what is the matter; `InvalidInput` for one that is too large.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_EXTERNAL_MODEL_BYTES {
            return Err(Error::invalid(format!(
                "the model has {} bytes, at most {MAX_EXTERNAL_MODEL_BYTES} are read",
                bytes.len()
            )));
        }
        let (format, library_format) = sniff(bytes)?;
        let model = readable(bytes, format)
            .and_then(|bytes| BoostedModel::decode(&bytes, library_format).map_err(|e| unreadable(format, e)))
            .map_err(|error| xgboost::unless_before_3(bytes, error))?;
        let margin = check(&model)?;
        let names = names(bytes, format)?;
        if !names.is_empty() && names.len() != model.n_features() {
            return Err(Error::corrupt(format!(
                "the {format} model names {} features and has {}",
                names.len(),
                model.n_features()
            )));
        }
        let categorical = categorical(&model);
        let objective = model.objective().name().to_owned();
        let ranges = training_ranges(bytes, format, &model)?;
        let trees = Trees::new(model, format == ExternalFormat::LightgbmText, ranges);
        Ok(Self { trees, format, objective, margin, names, categorical })
    }
}

/// Tells a start that is no finite margin, as XGBoost writes it where all labels are of one class or 0, from damage.
fn unreadable(format: ExternalFormat, error: HessboostError) -> Error {
    if error.to_string().contains("base_score must hold one finite value") {
        return Error::incompatible(format!(
            "the {format} model starts from an infinite margin, as of labels that are all of one class, or all 0: train it on \
             labels that differ, or give it a base_score"
        ));
    }
    Error::corrupt(format!("the {format} model cannot be read")).with_source(error)
}

/// Returns what hessboost's reader takes: the bytes, or the same model in the form that it knows.
fn readable(bytes: &[u8], format: ExternalFormat) -> Result<Cow<'_, [u8]>> {
    match format {
        ExternalFormat::LightgbmText => {
            let text = lightgbm_text(bytes)?;
            lightgbm_text::check_kind(text)?;
            Ok(match lightgbm_text::with_whole_leaves(text) {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            })
        }
        ExternalFormat::XgboostJson => xgboost::readable_json(bytes),
        ExternalFormat::XgboostUbjson => {
            let path = ["learner", "gradient_booster", "name"];
            xgboost::check_booster(ubjson::find(bytes, &path)?.as_ref())?;
            Ok(document::with_listed_base_score(bytes))
        }
    }
}

/// Returns the ranges of training, where the model states them.
fn training_ranges(bytes: &[u8], format: ExternalFormat, model: &BoostedModel) -> Result<TrainingRanges> {
    let stated = match format {
        ExternalFormat::LightgbmText => {
            let infos = lightgbm_text(bytes)?.lines().find_map(|line| line.strip_prefix("feature_infos="));
            return Ok(TrainingRanges::of_lightgbm(infos.unwrap_or_default(), model));
        }
        ExternalFormat::XgboostJson => {
            let root: Value = xgboost::parsed(bytes)?;
            root.pointer("/learner/attributes").and_then(|all| all.get(ranges::ATTRIBUTE)).cloned()
        }
        ExternalFormat::XgboostUbjson => ubjson::find(bytes, &["learner", "attributes", ranges::ATTRIBUTE])?,
    };
    match stated.as_ref().and_then(Value::as_str) {
        Some(stated) => TrainingRanges::from_json(stated, model.n_features()),
        None => Ok(TrainingRanges::default()),
    }
}

fn lightgbm_text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::corrupt("the LightGBM model is no text"))
}

fn sniff(bytes: &[u8]) -> Result<(ExternalFormat, ModelFormat)> {
    match ModelFormat::detect(bytes) {
        Some(found @ ModelFormat::XgboostJson) => Ok((ExternalFormat::XgboostJson, found)),
        Some(found @ ModelFormat::XgboostUbjson) => Ok((ExternalFormat::XgboostUbjson, found)),
        Some(found @ ModelFormat::LightgbmText) => Ok((ExternalFormat::LightgbmText, found)),
        _ if bytes.starts_with(b"binf") => Err(Error::incompatible(
            "the model is in XGBoost's former binary format: load it by the version that wrote it, and save it as JSON",
        )),
        _ => Err(Error::corrupt(
            "the bytes are no model of XGBoost (JSON, UBJSON) or LightGBM (text): give what save_model wrote",
        )),
    }
}

/// Returns the unit of a model's raw margin, or an error if the model cannot be served.
fn check(model: &BoostedModel) -> Result<Margin> {
    let refused = |why: String| Err(Error::incompatible(format!("the model {why}")));
    let trees = model.trees();
    let nodes: usize = trees.iter().map(RegTree::num_nodes).sum();
    if !(1..=MOST_TREES).contains(&trees.len()) || nodes > MOST_NODES {
        return refused(format!(
            "has {} trees of {nodes} nodes, expected 1 to {MOST_TREES} trees of at most {MOST_NODES} nodes",
            trees.len()
        ));
    }
    if model.n_outputs() != 1 || model.has_vector_leaves() {
        return refused(format!("has {} outputs, expected one", model.n_outputs()));
    }
    if model.linear().is_some() || trees.iter().any(|tree| tree.linear_leaves().is_some()) {
        return refused("is linear, or has linear leaves: train it without linear_tree".to_owned());
    }
    let finite = |tree: &RegTree| tree.nodes().iter().all(|n| n.leaf_value.is_finite());
    if !(trees.iter().all(finite) && model.base_score().is_finite()) {
        return Err(Error::corrupt("the model has a leaf or a start that is no finite number"));
    }
    let name = model.objective().name();
    match model.objective().built_in() {
        Some(Loss::BinaryLogistic(_) | Loss::BinaryLogitRaw(_) | Loss::RegLogistic(_)) => Ok(Margin::LogOdds),
        Some(Loss::Quantile(levels)) if levels.alpha() != [0.5] => refused(format!(
            "predicts the quantile at {:?}, expected the median (0.5) or the mean",
            levels.alpha()
        )),
        Some(
            Loss::SquaredError(_)
            | Loss::SquaredLogError
            | Loss::PseudoHuber(_)
            | Loss::AbsoluteError
            | Loss::Quantile(_),
        ) => Ok(Margin::Value),
        Some(Loss::Poisson | Loss::Gamma(_) | Loss::Tweedie(_)) => Ok(Margin::LogValue),
        Some(Loss::RankPairwise(_) | Loss::RankNdcg(_) | Loss::RankMap(_)) => Ok(Margin::Score),
        _ => refused(format!("has the objective {name:?}, which says nothing that is predicted here")),
    }
}

fn categorical(model: &BoostedModel) -> BTreeSet<usize> {
    let nodes = model.trees().iter().flat_map(RegTree::nodes);
    nodes.filter(|n| n.is_categorical && !n.is_leaf()).map(|n| n.split_feature as usize).collect()
}

/// The names of the features, as they stand in bytes that could be read.
fn names(bytes: &[u8], format: ExternalFormat) -> Result<Vec<String>> {
    match format {
        ExternalFormat::LightgbmText => lightgbm_names(bytes),
        ExternalFormat::XgboostJson => {
            let root = xgboost::parsed(bytes)?;
            if holds_something(root.pointer("/learner/gradient_booster/model/cats")) {
                return Err(coded_elsewhere());
            }
            texts(root.pointer("/learner/feature_names"))
        }
        ExternalFormat::XgboostUbjson => {
            let find = |path: &[&str]| ubjson::find(bytes, path);
            if holds_something(find(&["learner", "gradient_booster", "model", "cats"])?.as_ref()) {
                return Err(coded_elsewhere());
            }
            texts(find(&["learner", "feature_names"])?.as_ref())
        }
    }
}

/// LightGBM gives names to those without: such are none.
fn lightgbm_names(bytes: &[u8]) -> Result<Vec<String>> {
    let text = lightgbm_text(bytes)?;
    let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    // The last line, past the part that is read for the trees.
    let coded = line("pandas_categorical:").map(str::trim);
    if coded.is_some_and(|coded| !matches!(coded, "null" | "[]" | "")) {
        return Err(coded_elsewhere());
    }
    let names: Vec<_> =
        line("feature_names=").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    let made_up = names.iter().enumerate().all(|(i, name)| *name == format!("Column_{i}"));
    Ok(if made_up { Vec::new() } else { names })
}

/// Whether any list within is not empty.
fn holds_something(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(map)) => {
            map.iter().any(|(key, inner)| key == "enc" && holds_something(Some(inner)))
        }
        _ => false,
    }
}

fn texts(value: Option<&Value>) -> Result<Vec<String>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let names = value.as_array().and_then(|names| {
        names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    });
    names.ok_or_else(|| Error::corrupt("the XGBoost model's feature_names are no list of texts"))
}

fn coded_elsewhere() -> Error {
    Error::incompatible(
        "the model numbers its categories itself (as pandas does): give it the codes of this crate's features",
    )
}

#[cfg(test)]
mod tests;
