//! A registry in a folder, to be shared by the processes of one machine.

use super::stages::Stages;
use super::version::{MAX_ARTEFACT_BYTES, ModelVersion, NewVersion, Stage, Verdict, check_name, sha256_hex};
use super::{ModelRegistry, document, files, is_damage, not_found, set_aside};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOCK: &str = ".lock";
const STAGES: &str = "stages.json";
const RECORD: &str = "version.json";
const ARTEFACT: &str = "artefact.bin";
const EVALUATION: &str = "evaluation.bin";

/// Keeps every version in a folder of its own, durably.
///
/// ```text
/// <folder>/<model>/<number>/version.json  artefact.bin  evaluation.bin
/// <folder>/<model>/stages.json
/// ```
///
/// A version's folder is written under another name and renamed when it is complete, so it is
/// there whole or not at all; `stages.json` is replaced in the same way. Both JSON files carry a
/// SHA-256 of themselves, and the record carries those of the artefacts. A version whose record is damaged is set aside: the
/// others go on. A model's folder that is a link is read, but not written. Writers, of whichever
/// process, wait for each other on a lock file; readers wait for nobody, and can read a folder
/// that they may not write. The lock is the operating system's and ends with its process: use a
/// file system on which that works, which not every network file system is.
///
/// The methods block on file I/O, writers also on the disk's flush and on other writers: call
/// them from a blocking pool where a few tens of milliseconds matter.
#[derive(Debug)]
pub struct DiskRegistry {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

impl DiskRegistry {
    /// The registry in `folder`, which is made where it is missing.
    ///
    /// Remains of an interrupted write are removed if nobody is writing now.
    ///
    /// # Errors
    /// `Unavailable` when the folder cannot be made.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        // The process may change its directory later.
        let folder = std::path::absolute(folder.as_ref())
            .map_err(|error| Error::invalid("the registry's folder has no path").with_source(error))?;
        files::make_folders(&folder)?;
        let registry = Self { folder, clock: Arc::new(SystemClock) };
        if let Err(error) = registry.sweep() {
            // Leftovers are ignored anyway, and who may only read must be able to open.
            tracing::debug!(error = %format_args!("{error:#}"), "did not look for what interrupted writes had left");
        }
        Ok(registry)
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn sweep(&self) -> Result<()> {
        let Some(_lock) = files::Lock::try_now(&self.folder.join(LOCK))? else { return Ok(()) };
        for model in files::names(&self.folder)?.iter().filter(|name| check_name(name).is_ok()) {
            let folder = self.model(model)?;
            if folder.writable().is_ok() {
                files::sweep(&folder.path)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> Result<files::Lock> {
        files::Lock::wait(&self.folder.join(LOCK))
    }

    fn model(&self, model: &str) -> Result<ModelFolder> {
        check_name(model)?;
        Ok(ModelFolder { path: self.folder.join(model), model: model.to_owned() })
    }

    /// Changes the state of the model of a version that exists, while nobody else does.
    fn change(
        &self,
        model: &str,
        number: u64,
        change: impl FnOnce(&ModelFolder, &mut Stages) -> Result<()>,
    ) -> Result<()> {
        let folder = self.model(model)?;
        // Before the lock: a mistake in the number should not wait, nor make a lock file.
        folder.record(number)?;
        folder.writable()?;
        let _lock = self.lock()?;
        let mut stages = folder.stages()?;
        let before = stages.clone();
        change(&folder, &mut stages)?;
        if stages == before { Ok(()) } else { folder.put_stages(&stages) }
    }
}

#[async_trait]
impl ModelRegistry for DiskRegistry {
    async fn register(&self, version: NewVersion) -> Result<ModelVersion> {
        version.validate()?;
        let folder = self.model(&version.about.model)?;
        folder.writable()?;
        let _lock = self.lock()?;
        folder.prepare()?;
        let number = folder.next_number()?;
        let record = version.record(number, self.clock.now())?;
        let json = document::write(&record)?;
        let mut parts = vec![(RECORD, json.as_slice()), (ARTEFACT, &version.artefact)];
        parts.extend(version.evaluation_artefact.as_deref().map(|bytes| (EVALUATION, bytes)));
        files::put_folder(&folder.of(number), &parts)?;
        Ok(record)
    }

    async fn versions(&self, model: &str) -> Result<Vec<ModelVersion>> {
        let folder = self.model(model)?;
        let numbers = folder.numbers()?;
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let stages = folder.stages()?;
        let records = numbers.into_iter().map(|number| (number, folder.record(number)));
        let whole = set_aside(model, records)?;
        Ok(whole.into_iter().map(|record| stages.apply(record)).collect())
    }

    async fn damaged(&self, model: &str) -> Result<Vec<(u64, Error)>> {
        let folder = self.model(model)?;
        let records = folder.numbers()?.into_iter().map(|number| (number, folder.record(number)));
        Ok(records
            .filter_map(|(number, record)| record.err().filter(is_damage).map(|e| (number, e)))
            .collect())
    }

    async fn version(&self, model: &str, number: u64) -> Result<ModelVersion> {
        let folder = self.model(model)?;
        let record = folder.record(number)?;
        Ok(folder.stages()?.apply(record))
    }

    async fn production(&self, model: &str) -> Result<Option<ModelVersion>> {
        let folder = self.model(model)?;
        let stages = folder.stages()?;
        stages.production().map(|number| Ok(stages.apply(folder.serving(number)?))).transpose()
    }

    async fn artefact(&self, model: &str, number: u64) -> Result<Vec<u8>> {
        let folder = self.model(model)?;
        folder.blob(number, ARTEFACT, &folder.record(number)?.artefact_sha256)
    }

    async fn evaluation_artefact(&self, model: &str, number: u64) -> Result<Option<Vec<u8>>> {
        let folder = self.model(model)?;
        let sha256 = folder.record(number)?.evaluation_sha256;
        sha256.map(|sha256| folder.blob(number, EVALUATION, &sha256)).transpose()
    }

    async fn promote(&self, model: &str, number: u64, expected: Option<u64>) -> Result<()> {
        self.change(model, number, |folder, stages| {
            stages.expect(expected)?;
            folder.verify(number)?;
            stages.promote(number);
            Ok(())
        })
    }

    async fn roll_back(&self, model: &str) -> Result<ModelVersion> {
        let folder = self.model(model)?;
        folder.stages()?.previous()?;
        folder.writable()?;
        let _lock = self.lock()?;
        let mut stages = folder.stages()?;
        let record = folder.verify(stages.roll_back()?)?;
        folder.put_stages(&stages)?;
        Ok(stages.apply(record))
    }

    async fn set_stage(&self, model: &str, number: u64, stage: Stage) -> Result<()> {
        self.change(model, number, |_, stages| stages.set(number, stage))
    }

    async fn note_verdict(&self, model: &str, number: u64, verdict: Verdict) -> Result<()> {
        verdict.validate()?;
        self.change(model, number, |_, stages| {
            stages.note(number, verdict.storable());
            Ok(())
        })
    }
}

/// The folder of one model, whose name was checked.
#[derive(Debug)]
struct ModelFolder {
    path: PathBuf,
    model: String,
}

impl ModelFolder {
    fn of(&self, number: u64) -> PathBuf {
        self.path.join(number.to_string())
    }

    /// Refuses a folder that is a link: what is behind it may be anybody's.
    fn writable(&self) -> Result<()> {
        if !self.path.is_symlink() {
            return Ok(());
        }
        let what =
            format!("{} is a link, behind which nothing is written: put a folder there", self.path.display());
        Err(Error::new(ErrorKind::Unavailable, what))
    }

    /// Ready for its next version; under the lock.
    ///
    /// The state is there before the first version, so that versions without it mean that it was
    /// lost, not that nothing was ever promoted.
    fn prepare(&self) -> Result<()> {
        files::make_folders(&self.path)?;
        files::sweep(&self.path)?;
        if self.numbers()?.is_empty() && !self.path.join(STAGES).exists() {
            self.put_stages(&Stages::new(&self.model))?;
        }
        self.stages().map(drop)
    }

    /// The numbers of its versions, in order; an empty folder is none.
    fn numbers(&self) -> Result<Vec<u64>> {
        let mut numbers = self.taken()?;
        numbers.retain(|number| !files::is_empty_folder(&self.of(*number)));
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The numbers that folders have, whatever is in them.
    fn taken(&self) -> Result<Vec<u64>> {
        Ok(files::names(&self.path)?.iter().filter_map(|n| number(n)).collect())
    }

    fn next_number(&self) -> Result<u64> {
        let last = self.taken()?.into_iter().max().unwrap_or(0);
        last.checked_add(1)
            .ok_or_else(|| Error::corrupt(format!("{}: no number follows {last}", self.path.display())))
    }

    fn stages(&self) -> Result<Stages> {
        let path = self.path.join(STAGES);
        let Some(bytes) = files::read_file(&path, document::MAX_BYTES)? else {
            // Listed after the state was looked for: a first version may just be arriving.
            return if self.numbers()?.is_empty() || path.exists() {
                Ok(Stages::new(&self.model))
            } else {
                Err(missing(&path))
            };
        };
        let stages: Stages = document::read(&bytes).map_err(|error| error.context(path.display()))?;
        if stages.model() != self.model {
            return Err(external(&path, &format!("model {}", stages.model())));
        }
        Ok(stages)
    }

    fn put_stages(&self, stages: &Stages) -> Result<()> {
        files::replace_file(&self.path.join(STAGES), &document::write(stages)?)
    }

    /// The registered version, without later changes.
    fn record(&self, number: u64) -> Result<ModelVersion> {
        let path = self.of(number).join(RECORD);
        let Some(bytes) = files::read_file(&path, document::MAX_BYTES)? else {
            return Err(if self.of(number).exists() {
                missing(&path)
            } else {
                not_found(&self.model, number)
            });
        };
        let record: ModelVersion = document::read(&bytes).map_err(|error| error.context(path.display()))?;
        if record.model != self.model || record.version != number {
            return Err(external(&path, &format!("model {}, version {}", record.model, record.version)));
        }
        Ok(record)
    }

    /// The record of a version that the state names: its absence is damage, not a mistake.
    fn serving(&self, number: u64) -> Result<ModelVersion> {
        if !self.of(number).exists() {
            return Err(missing(&self.of(number)));
        }
        self.record(number)
    }

    /// The record of a version whose artefact is whole.
    fn verify(&self, number: u64) -> Result<ModelVersion> {
        let record = self.serving(number)?;
        self.blob(number, ARTEFACT, &record.artefact_sha256)?;
        Ok(record)
    }

    fn blob(&self, number: u64, name: &str, sha256: &str) -> Result<Vec<u8>> {
        let path = self.of(number).join(name);
        let bytes = files::read_file(&path, MAX_ARTEFACT_BYTES)?.ok_or_else(|| missing(&path))?;
        if sha256_hex(&bytes) == sha256 {
            return Ok(bytes);
        }
        Err(Error::corrupt(format!(
            "{}: its SHA-256 is not that of the record: restore it from a copy",
            path.display()
        )))
    }
}

/// The number that a folder's name says, in the one way in which it is written.
fn number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == name)
}

fn missing(path: &Path) -> Error {
    Error::corrupt(format!("{}: it is missing: restore it from a copy", path.display()))
}

fn external(path: &Path, of: &str) -> Error {
    Error::corrupt(format!("{}: it belongs to {of}: restore it from a copy", path.display()))
}
