//! Models as Python runs them: `mlflow.pyfunc.load_model` answers as this crate does.
//!
//! The folder holds `MLmodel`; `code/devmatrix_model_v2`, the Python package that predicts; `data/model.json`,
//! all numbers of the model (`devmatrix_model/FORMAT.md` says what each is); and `data/trees-N.ubj`, each of
//! which `xgboost.Booster` loads on its own.

use crate::dataset::Target;
use crate::error::{Error, ErrorKind, Result};
use crate::features::{FEATURES, FeatureEngineer, FeatureOptions, FeatureRow};
use crate::models::export::Export;
use crate::models::{TEMPLATE_FEATURES, Trainer, targets};
use crate::registry::ModelVersion;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// The version of `model.json` and of the Python package that reads it: a new one with every change of what one
/// of them means to the other.
pub(super) const FORMAT: u32 = 2;

/// The Python package, whose name says the format: two of them can be loaded side by side.
const PACKAGE: &str = "devmatrix_model_v2";

const SOURCES: [(&str, &str); 7] = [
    ("FORMAT.md", include_str!("devmatrix_model/FORMAT.md")),
    ("__init__.py", include_str!("devmatrix_model/__init__.py")),
    ("rows.py", include_str!("devmatrix_model/rows.py")),
    ("parts.py", include_str!("devmatrix_model/parts.py")),
    ("success.py", include_str!("devmatrix_model/success.py")),
    ("number.py", include_str!("devmatrix_model/number.py")),
    ("template.py", include_str!("devmatrix_model/template.py")),
];

/// The Python under which it was tried, and what it must have installed.
const PYTHON: &str = "3.11.7";
const REQUIREMENTS: [&str; 4] = ["mlflow>=2.19", "numpy", "pandas", "xgboost>=2.0"];

/// The columns of the description's n-grams.
const NGRAMS: [(&str, &str); 2] = [("ngram_buckets", "long"), ("ngram_weights", "double")];

/// A file of the folder: its path within, and its bytes.
pub(super) type File = (String, Vec<u8>);

/// Writes a version of one of this crate's models into `folder`, made where it is missing, so that
/// `mlflow.pyfunc.load_model(folder)` loads it in Python without a server.
///
/// Its `predict` takes a `DataFrame` of rows as [`pyfunc_row`] writes them, with columns of numbers of any kind, and answers
/// as [`Predictor::predict`](crate::models::Predictor::predict) does, but for reasons: of success `success_probability`, `lower_90`, `upper_90`; of
/// complexity, time, quality, cost and tokens `value`, `lower_80`, `upper_80`, `lower_90`, `upper_90`; of templates, by rows
/// of the ranking's features, `approval`, the estimated share of approvals without the bonus for what was tried
/// seldom.
///
/// ```no_run
/// use devmatrix_ml::features::FeatureOptions;
/// use devmatrix_ml::mlflow::write_pyfunc;
/// use devmatrix_ml::registry::{DiskRegistry, ModelRegistry};
/// # async fn export(registry: &DiskRegistry) -> devmatrix_ml::Result<()> {
/// if let Some(version) = registry.production("success").await? {
///     let artefact = registry.artefact("success", version.version).await?;
///     write_pyfunc(&version, &artefact, &FeatureOptions::default(), "for-python".as_ref())?;
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// `InvalidInput` for a host's own model; `Corrupt` for an artefact that cannot be read; `Incompatible` for one
/// that was made of other features than those of this release with `features`; `Unavailable` where the folder
/// cannot be written.
pub fn write_pyfunc(
    version: &ModelVersion,
    artefact: &[u8],
    features: &FeatureOptions,
    folder: &Path,
) -> Result<()> {
    for (path, bytes) in files(version, artefact, features)? {
        let path = folder.join(path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, bytes));
        written.map_err(|e| {
            let why = format!("{} cannot be written: see its disk and rights", path.display());
            Error::new(ErrorKind::Unavailable, why).with_source(e)
        })?;
    }
    Ok(())
}

/// A row as the models in Python take it: a number a feature by its name, null where it is missing, and the
/// description's n-grams as `ngram_buckets` and `ngram_weights`.
///
/// ```
/// use devmatrix_ml::dataset::DatasetBuilder;
/// use devmatrix_ml::event::{TaskContext, TaskId};
/// use devmatrix_ml::features::FeatureEngineer;
/// use devmatrix_ml::mlflow::pyfunc_row;
/// let mut task = TaskContext::new(TaskId::new("t")?);
/// task.task_description = "Add a login page".into();
/// let rows = DatasetBuilder::new(FeatureEngineer::default());
/// let row = pyfunc_row(&rows.look(&task, "2025-03-01T10:00:00Z".parse().unwrap()));
/// assert_eq!(row["num_words"], 4.0);
/// assert!(row["temperature"].is_null());
/// assert_eq!(row["ngram_buckets"].as_array().unwrap().len(), 7); // four words and three pairs
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
pub fn pyfunc_row(row: &FeatureRow) -> Value {
    let named = FEATURES.iter().zip(&row.values);
    let mut found: Map<_, _> = named.map(|(f, v)| (f.name.to_owned(), json!(f64::from(*v)))).collect();
    for (column, value) in row.own.declared.iter().zip(&row.own.values) {
        found.insert(column.name.clone(), json!(f64::from(*value)));
    }
    let (buckets, weights): (Vec<_>, Vec<_>) = row.text.iter().unzip();
    found.insert(NGRAMS[0].0.to_owned(), json!(buckets));
    found.insert(NGRAMS[1].0.to_owned(), json!(weights));
    found.into()
}

/// The files of the folder.
pub(super) fn files(version: &ModelVersion, artefact: &[u8], features: &FeatureOptions) -> Result<Vec<File>> {
    let mut export = Export::default();
    let served = targets::named(&version.model).ok_or_else(|| {
        Error::invalid(format!("{} is no model of this crate: Python cannot run it", version.model))
    })?;
    let host_schema = FeatureEngineer::new(features.clone()).model_schema();
    let worded = served.target != Target::Template;
    let table: Vec<_> = if worded {
        FEATURES
            .iter()
            .map(|f| f.name)
            .chain(features.columns.iter().map(|column| column.name.as_str()))
            .collect()
    } else {
        TEMPLATE_FEATURES.iter().map(|f| f.name).collect()
    };
    let model = served.export.export(artefact, host_schema, &mut export)?;
    let (schema, output) = ((served.trainer)().schema(host_schema), served.columns);
    let columns: Vec<_> = export.features().collect();
    let signature = Signature::new(&table, &columns, worded, output);
    let described = json!({
        "format": FORMAT,
        "name": version.model,
        "version": version.version,
        "feature_schema": format!("{schema:016x}"),
        "columns": columns,
        "ngrams": worded,
        "output": output,
        "model": model,
    });
    let mut files = vec![
        ("MLmodel".to_owned(), ml_model(version, Some(&signature)).into_bytes()),
        ("artefact.bin".to_owned(), artefact.to_vec()),
        ("conda.yaml".to_owned(), conda().into_bytes()),
        ("python_env.yaml".to_owned(), python_env().into_bytes()),
        ("requirements.txt".to_owned(), (REQUIREMENTS.join("\n") + "\n").into_bytes()),
        ("data/model.json".to_owned(), described.to_string().into_bytes()),
    ];
    files.extend(export.files.into_iter().map(|(name, bytes)| (format!("data/{name}"), bytes)));
    files.extend(SOURCES.map(|(name, text)| (format!("code/{PACKAGE}/{name}"), text.as_bytes().to_vec())));
    Ok(files)
}

/// What goes where Python cannot run the model.
pub(super) fn files_without_python(version: &ModelVersion, artefact: &[u8]) -> Vec<File> {
    vec![
        ("MLmodel".to_owned(), ml_model(version, None).into_bytes()),
        ("artefact.bin".to_owned(), artefact.to_vec()),
    ]
}

fn conda() -> String {
    format!(
        "name: devmatrix\nchannels:\n- conda-forge\ndependencies:\n- python={PYTHON}\n- pip\n- pip:\n  - {}\n",
        REQUIREMENTS.join("\n  - ")
    )
}

fn python_env() -> String {
    format!("python: {PYTHON}\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n")
}

/// `MLmodel`: what lies beside it, and how Python loads it where it can.
fn ml_model(version: &ModelVersion, signature: Option<&Signature>) -> String {
    let mut text = format!(
        "flavors:\n  devmatrix_ml:\n    data: artefact.bin\n    model: {}\n    version: {}\n    sha256: {}\n",
        version.model, version.version, version.artefact_sha256,
    );
    if signature.is_some() {
        text += &format!(
            "  python_function:\n    loader_module: {PACKAGE}\n    code: code\n    data: data\n    env:\n      \
             conda: conda.yaml\n      virtualenv: python_env.yaml\n    python_version: {PYTHON}\n"
        );
    }
    text += &format!("utc_time_created: '{}'\n", version.created_at.format("%Y-%m-%d %H:%M:%S%.6f"));
    if let Some(Signature { inputs, outputs }) = signature {
        // JSON in YAML's single quotes, in which a quote is written twice.
        let inputs = inputs.to_string().replace('\'', "''");
        text += &format!("signature:\n  inputs: '{inputs}'\n  outputs: '{outputs}'\n  params: null\n");
    }
    text
}

/// What goes in and what comes out, as MLflow checks it.
struct Signature {
    inputs: Value,
    outputs: Value,
}

impl Signature {
    /// Every feature of the table may be given; those that the model looks at must.
    fn new(table: &[&str], columns: &[&str], worded: bool, output: &[&str]) -> Self {
        // pandas makes integers of counts and objects of what may be missing, which MLflow refuses where `double` is
        // stated: it checks the names, and the package the numbers.
        let column = |name: &&str, kind: &str, required: bool| json!({ "type": kind, "name": name, "required": required });
        let lists = NGRAMS.iter().filter(|_| worded).map(
            |(name, of)| json!({ "type": "array", "items": { "type": of }, "name": name, "required": true }),
        );
        Self {
            inputs: table
                .iter()
                .map(|name| column(name, "any", columns.contains(name)))
                .chain(lists)
                .collect(),
            outputs: output.iter().map(|name| column(name, "double", true)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{MemoryRegistry, ModelRegistry, NewVersion};
    use futures_executor::block_on;

    #[test]
    fn what_python_cannot_run_is_told() {
        let registry = MemoryRegistry::new();
        for (model, kind) in [("success", ErrorKind::Corrupt), ("own", ErrorKind::InvalidInput)] {
            let version = block_on(registry.register(NewVersion::new(model, b"by hand".to_vec()))).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let features = FeatureOptions::default();
            let error = write_pyfunc(&version, b"by hand", &features, folder.path()).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
