//! Reproduction of a past training run.

use super::evaluation::fit_and_evaluate;
use super::facts::{Reading, TrainingFacts};
use super::fitting::seal;
use super::run_record::RunRecord;
use super::search::Tunable;
use crate::error::{Error, ErrorKind, Result};
use crate::execution::ExecutionContext;
use crate::features::FeatureEngineer;
use crate::registry::{ModelVersion, sha256_hex};
use crate::store::EventStore;

/// Reads the store as it was when `version` was trained, and fits again with the parameters and
/// options of its record. Returns true where rows and model are equal to the byte, false where the store has
/// other rows now: events erased, or imported later with an earlier date, change them. Registers nothing.
///
/// # Errors
/// `NotFound` when the version has no record; `Incompatible` when its record is another crate version's, its
/// features were others, or equal rows give another model; those of the store and of fitting.
pub async fn reproduce<T: Tunable>(
    trainer: &T,
    store: &dyn EventStore,
    engineer: &FeatureEngineer,
    version: &ModelVersion,
) -> Result<bool> {
    let of = format!("{} version {}", version.model, version.version);
    let run = RunRecord::of(version)?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{of}: it has no training record")))?;
    let here = trainer.schema(engineer.model_schema());
    if here != run.data.schema {
        return Err(Error::incompatible(format!(
            "{of}: it was made from other features ({:016x}) than this engineer's ({:016x})",
            run.data.schema, here
        )));
    }
    let trainer = trainer.with_parameters(&run.parameters)?;
    let work = ExecutionContext::new();
    let reading = Reading { store, engineer, now: run.as_of, work: &work, lease: None };
    let facts = TrainingFacts::read([&trainer], reading, None).await?;
    let data = facts.rows(&trainer, run.as_of, run.options.max_rows);
    if data.fingerprint() != run.data.sha256 {
        return Ok(false);
    }
    let evaluated = fit_and_evaluate(&trainer, &data, None, &run.options)?;
    let artefact = seal(&trainer, &evaluated.model)?;
    if sha256_hex(&artefact) == version.artefact_sha256 {
        return Ok(true);
    }
    Err(Error::incompatible(format!(
        "{of}: the same rows give another model here than where it was trained, by devmatrix-ml {}",
        run.library_version
    )))
}
