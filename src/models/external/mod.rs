//! Models that XGBoost or LightGBM trained elsewhere: read, checked, calibrated on what this host has
//! seen since, and served like any other.

mod importer;
mod names;
mod trees;

pub(crate) use importer::{Adopt, Importer};
pub(crate) use trees::ImportedTrees;
pub(in crate::models) use trees::{StoredTrees, is_imported, open_imported, seal_imported};

use crate::dataset::Target;
use crate::error::{Error, Result};
use crate::features::{FEATURES, Kind, KnownWhen};
use crate::ml::{ExternalTrees, Margin};
use crate::models::targets;
use crate::registry::sha256_hex;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Metadata that an external model file does not contain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ExternalModelOptions {
    /// The features' names in the order of its columns, for a model without or with others; each one of
    /// [`FEATURES`].
    pub names: Option<Vec<String>>,
    /// It learned ln(1 + label), as suits seconds; only where the label is a number.
    pub log_label: bool,
}

/// A model that was trained elsewhere and can be served here;
/// [`Training::import`](crate::training::Training::import) registers it.
///
/// ```
/// use devmatrix_ml::dataset::Target;
/// use devmatrix_ml::models::{ExternalModel, ExternalModelOptions};
/// let (until, options) = ("2025-03-01T00:00:00Z".parse().unwrap(), ExternalModelOptions::default());
/// let error = ExternalModel::read(b"GIF89a", Target::Success, until, &options).unwrap_err();
/// assert!(error.to_string().contains("no model of XGBoost"));
/// ```
#[derive(Debug, Clone)]
pub struct ExternalModel {
    target: Target,
    trained_until: DateTime<Utc>,
    trees: ImportedTrees,
    origin: Origin,
}

/// Where a model came from; kept among the parameters of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Origin {
    format: String,
    objective: String,
    sha256: String,
    features: Vec<&'static str>,
    log_label: bool,
    trained_until: DateTime<Utc>,
}

impl ExternalModel {
    /// Reads and checks a model from bytes that nobody has verified: what XGBoost's `save_model` wrote as
    /// JSON or UBJSON, or LightGBM's as text. They go to readers that check every bound, never to C++.
    ///
    /// No row that started before `trained_until` will calibrate or judge it: the model may have learned
    /// from it.
    ///
    /// # Errors
    /// `Corrupt` for damaged bytes; `InvalidInput` for names or options that do not fit, and for a model
    /// that is too large; `Incompatible` for one that is whole but cannot serve `target`, with the reason.
    pub fn read(
        bytes: &[u8],
        target: Target,
        trained_until: DateTime<Utc>,
        options: &ExternalModelOptions,
    ) -> Result<Self> {
        if targets::of(target).is_none_or(|model| model.import.is_none()) {
            return Err(Error::invalid(format!("no model of {target} can be imported")));
        }
        let external = ExternalTrees::read(bytes)?;
        check_margin(&external, target, options)?;
        let places = names::places(options.names.as_deref().unwrap_or(&external.names), &external)?;
        check_features(&places, &external, target)?;
        let origin = Origin {
            format: external.format.to_string(),
            objective: external.objective,
            sha256: sha256_hex(bytes),
            features: places.iter().map(|place| FEATURES[*place].name).collect(),
            log_label: options.log_label,
            trained_until,
        };
        let ExternalTrees { trees, margin, .. } = external;
        let trees = ImportedTrees { trees, places, margin, log_label: options.log_label };
        // What cannot be written could not be served from the registry.
        trees.store().map_err(|e| Error::incompatible("the model cannot be kept").with_source(e))?;
        Ok(Self { target, trained_until, trees, origin })
    }

    /// Returns the target that it predicts.
    pub(crate) fn target(&self) -> Target {
        self.target
    }

    /// Rows that started before may have taught it.
    pub(crate) fn trained_until(&self) -> DateTime<Utc> {
        self.trained_until
    }

    /// The sum of its trees for a row of features, as the library that trained it has it.
    pub fn margin(&self, row: &crate::features::FeatureRow) -> f64 {
        self.trees.margin(row)
    }
}

/// Whether what the trees add up to is what is predicted.
fn check_margin(external: &ExternalTrees, target: Target, options: &ExternalModelOptions) -> Result<()> {
    let wanted = match target {
        Target::Success => "log-odds: train it for binary:logistic, or LightGBM's binary",
        _ => "a number: train it for squared or absolute error",
    };
    let fits = match external.margin {
        Margin::LogOdds => target == Target::Success,
        Margin::Value | Margin::LogValue => target != Target::Success,
        Margin::Score => {
            return Err(Error::incompatible(format!(
                "the model ranks ({}): its scores have no unit, and templates are ranked by features of \
                 their own, for which models are trained here",
                external.objective
            )));
        }
    };
    if !fits {
        return Err(Error::incompatible(format!(
            "the model's objective is {}, {target} needs {wanted}",
            external.objective
        )));
    }
    if options.log_label && target == Target::Success {
        return Err(Error::invalid("log_label is set, but success is yes or no"));
    }
    Ok(())
}

/// Checks that each feature is known at prediction time and split according to its kind.
fn check_features(places: &[usize], external: &ExternalTrees, target: Target) -> Result<()> {
    for (column, place) in places.iter().enumerate() {
        let feature = &FEATURES[*place];
        if feature.known == KnownWhen::After && target != Target::Quality {
            return Err(Error::incompatible(format!(
                "the model looks at {}, which is known once the generation has ended: {target} is predicted \
                 before",
                feature.name
            )));
        }
        if external.categorical.contains(&column) && feature.kind != Kind::Category {
            return Err(Error::incompatible(format!(
                "the model takes {} for a category, which it is not: train it as a number",
                feature.name
            )));
        }
    }
    Ok(())
}
