//! A registry in memory: for tests, and for hosts that want no model on disk.

use super::stages::Stages;
use super::version::{ModelVersion, NewVersion, Stage, Verdict, check_name};
use super::{ModelRegistry, not_found};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keeps every version in memory, and loses it with the process.
#[derive(Debug)]
pub struct MemoryRegistry {
    models: Mutex<BTreeMap<String, Model>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Model {
    stages: Stages,
    /// Version `n` stands at `n - 1`.
    versions: Vec<Stored>,
}

#[derive(Debug)]
struct Stored {
    record: ModelVersion,
    artefact: Vec<u8>,
    evaluation: Option<Vec<u8>>,
}

impl MemoryRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The model with this version, to read or to change.
    fn with<T>(&self, model: &str, number: u64, then: impl FnOnce(&mut Model) -> Result<T>) -> Result<T> {
        check_name(model)?;
        let mut models = self.models();
        let found = models.get_mut(model).ok_or_else(|| not_found(model, number))?;
        found.stored(number)?;
        then(found)
    }

    fn models(&self) -> MutexGuard<'_, BTreeMap<String, Model>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        Self { models: Mutex::default(), clock: Arc::new(SystemClock) }
    }
}

#[async_trait]
impl ModelRegistry for MemoryRegistry {
    async fn register(&self, version: NewVersion) -> Result<ModelVersion> {
        version.validate()?;
        let mut models = self.models();
        let next = models.get(&version.about.model).map_or(0, |m| m.versions.len()) as u64 + 1;
        let record = version.record(next, self.clock.now())?;
        let model = models.entry(version.about.model).or_insert_with_key(|name| Model::new(name));
        model.versions.push(Stored {
            record: record.clone(),
            artefact: version.artefact,
            evaluation: version.evaluation_artefact,
        });
        Ok(record)
    }

    async fn versions(&self, model: &str) -> Result<Vec<ModelVersion>> {
        check_name(model)?;
        Ok(self.models().get(model).map_or_else(Vec::new, Model::all))
    }

    async fn version(&self, model: &str, number: u64) -> Result<ModelVersion> {
        self.with(model, number, |found| found.version(number))
    }

    async fn production(&self, model: &str) -> Result<Option<ModelVersion>> {
        check_name(model)?;
        let models = self.models();
        let Some(found) = models.get(model) else { return Ok(None) };
        found.stages.production().map(|number| found.version(number)).transpose()
    }

    async fn artefact(&self, model: &str, number: u64) -> Result<Vec<u8>> {
        self.with(model, number, |found| Ok(found.stored(number)?.artefact.clone()))
    }

    async fn evaluation_artefact(&self, model: &str, number: u64) -> Result<Option<Vec<u8>>> {
        self.with(model, number, |found| Ok(found.stored(number)?.evaluation.clone()))
    }

    async fn promote(&self, model: &str, number: u64, expected: Option<u64>) -> Result<()> {
        self.with(model, number, |found| {
            found.stages.expect(expected)?;
            found.stages.promote(number);
            Ok(())
        })
    }

    async fn roll_back(&self, model: &str) -> Result<ModelVersion> {
        check_name(model)?;
        let mut models = self.models();
        let Some(found) = models.get_mut(model) else {
            return Err(Stages::new(model).previous().map_or_else(|error| error, |n| not_found(model, n)));
        };
        let number = found.stages.roll_back()?;
        found.version(number)
    }

    async fn set_stage(&self, model: &str, number: u64, stage: Stage) -> Result<()> {
        self.with(model, number, |found| found.stages.set(number, stage))
    }

    async fn note_verdict(&self, model: &str, number: u64, verdict: Verdict) -> Result<()> {
        verdict.validate()?;
        self.with(model, number, |found| {
            found.stages.note(number, verdict.storable());
            Ok(())
        })
    }
}

impl Model {
    fn new(name: &str) -> Self {
        Self { stages: Stages::new(name), versions: Vec::new() }
    }

    fn stored(&self, number: u64) -> Result<&Stored> {
        let at = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        at.and_then(|at| self.versions.get(at)).ok_or_else(|| not_found(self.stages.model(), number))
    }

    fn version(&self, number: u64) -> Result<ModelVersion> {
        Ok(self.stages.apply(self.stored(number)?.record.clone()))
    }

    fn all(&self) -> Vec<ModelVersion> {
        self.versions.iter().map(|stored| self.stages.apply(stored.record.clone())).collect()
    }
}
