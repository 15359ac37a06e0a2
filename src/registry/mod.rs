//! Which models there are, which one serves, and why: versions, stages, artefacts, lineage.
//!
//! A model has a name and numbered versions. A version never changes once it is registered; what
//! changes is its [`Stage`] and the [`Verdict`]s on it. At most one version of a model is in
//! production, and it gets there by compare-and-set, so that of two trainers only one wins.
//!
//! ```
//! # futures_executor::block_on(async {
//! use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry, NewVersion};
//!
//! let registry = MemoryRegistry::new();
//! let first = registry.register(NewVersion::new("success", b"the model".to_vec())).await?;
//! registry.promote("success", first.version, None).await?;
//!
//! let second = registry.register(NewVersion::new("success", b"a better one".to_vec())).await?;
//! registry.promote("success", second.version, Some(first.version)).await?;
//! assert_eq!(registry.production("success").await?.map(|v| v.version), Some(2));
//!
//! assert_eq!(registry.roll_back("success").await?.version, 1);
//! # Ok::<(), devmatrix_ml::Error>(())
//! # }).unwrap();
//! ```

#[cfg(feature = "testing")]
pub mod conformance;
#[cfg(test)]
mod damage_tests;
mod disk;
mod document;
pub mod envelope;
mod files;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod stages;
mod version;

pub use disk::DiskRegistry;
pub use memory::MemoryRegistry;
#[cfg(feature = "postgres")]
pub use postgres::PostgresRegistry;
pub(crate) use version::sha256_hex;
pub use version::{ModelVersion, NewVersion, Stage, Verdict};

use crate::error::{Error, ErrorKind, Result};
use async_trait::async_trait;
use std::fmt::Debug;

/// A durable, versioned home of models.
///
/// A registry is used when a model is trained and when it is loaded, never on the request path,
/// so an implementation may block on file I/O. It must work under any async runtime, or none.
/// `conformance::check` (feature `testing`) proves an implementation right.
///
/// Every method answers `InvalidInput` for a name that is not 1 to 64 lower-case letters, digits, `-` and `_`, and `Unavailable`
/// when the storage cannot serve now.
#[async_trait]
pub trait ModelRegistry: Send + Sync + Debug {
    /// Keeps a new version under the model's next number, whole and durably before it returns.
    ///
    /// A crash leaves all of it or nothing. It serves nobody before it is
    /// [promoted](Self::promote).
    ///
    /// # Errors
    /// `InvalidInput` for a name or a number out of range; `Unavailable`, and then nothing
    /// was registered unless only the last acknowledgement of the storage is missing.
    async fn register(&self, version: NewVersion) -> Result<ModelVersion>;

    /// Every version of `model` whose record is whole, by ascending number; none for a model never heard of.
    ///
    /// [`damaged`](Self::damaged) names those that are left out.
    ///
    /// # Errors
    /// `Corrupt` when the state of the model is damaged.
    async fn versions(&self, model: &str) -> Result<Vec<ModelVersion>>;

    /// The versions of `model` whose records are damaged, with the errors: they are set aside, so that the others
    /// go on. By default none.
    ///
    /// # Errors
    /// Those of listing the versions.
    async fn damaged(&self, model: &str) -> Result<Vec<(u64, Error)>> {
        let _ = model;
        Ok(Vec::new())
    }

    /// One version.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` when its record is damaged.
    async fn version(&self, model: &str, number: u64) -> Result<ModelVersion>;

    /// The version in production; `None` while none was ever promoted.
    ///
    /// # Errors
    /// `Corrupt` when its record is damaged.
    async fn production(&self, model: &str) -> Result<Option<ModelVersion>>;

    /// The bytes of a version, verified against the SHA-256 of its record.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` when they are damaged or missing.
    async fn artefact(&self, model: &str, number: u64) -> Result<Vec<u8>>;

    /// The bytes of its holdout model (fitted without the evaluation rows), verified likewise; `None` when
    /// it was
    /// registered without one.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` when they are damaged or missing.
    async fn evaluation_artefact(&self, model: &str, number: u64) -> Result<Option<Vec<u8>>>;

    /// Puts a version into production if `expected` is there now; the old one becomes archived.
    ///
    /// A version in production already stays there, as a success. Its artefact is verified first.
    ///
    /// # Errors
    /// `Conflict` when production is not `expected`; `NotFound`; `Corrupt` when the version or
    /// its artefact is damaged. Then nothing changed.
    async fn promote(&self, model: &str, number: u64, expected: Option<u64>) -> Result<()>;

    /// Puts the version that was in production before back there, and archives the present one.
    ///
    /// Called again, it goes one step further back. The artefact is verified first.
    ///
    /// # Errors
    /// `NotFound` when none was before; `Corrupt` when that version or its artefact is damaged.
    async fn roll_back(&self, model: &str) -> Result<ModelVersion>;

    /// Moves a version between the stages other than production.
    ///
    /// # Errors
    /// `InvalidInput` for [`Stage::Production`], which only [`promote`](Self::promote) gives;
    /// `Conflict` when the version is in production; `NotFound`.
    async fn set_stage(&self, model: &str, number: u64, stage: Stage) -> Result<()>;

    /// Adds a verdict to the version's history.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for a time that cannot be stored.
    async fn note_verdict(&self, model: &str, number: u64, verdict: Verdict) -> Result<()>;
}

/// Takes the records that are whole; of the others the log tells.
fn set_aside(
    model: &str,
    records: impl Iterator<Item = (u64, Result<ModelVersion>)>,
) -> Result<Vec<ModelVersion>> {
    let mut whole = Vec::new();
    for (version, record) in records {
        match record {
            Ok(record) => whole.push(record),
            Err(error) if is_damage(&error) => {
                tracing::error!(model, version, error = %format_args!("{error:#}"), "a damaged version is set aside");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

/// Returns whether a record that gave this error will give it again until somebody mends it.
fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible)
}

fn not_found(model: &str, number: u64) -> Error {
    Error::new(ErrorKind::NotFound, format!("model {model}: there is no version {number}"))
}
