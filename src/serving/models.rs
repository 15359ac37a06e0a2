//! The models in memory, and how they are loaded from the registry.

use crate::error::{Error, Result};
use crate::models::{AnyModel, AnyTrainer, Predictor, Trainer, open_artefact};
use crate::registry::{ModelRegistry, Stage};
use std::sync::Arc;

/// A model with its version.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) version: u64,
    pub(super) model: AnyModel,
}

/// A model in production, or none yet.
type Slot = Option<Arc<Loaded>>;

/// The models that predict together, in the order of the service's trainers; shorter where none is loaded yet.
#[derive(Debug, Default, Clone)]
pub(super) struct ModelSet(Vec<Slot>);

/// The models in production, and those that predict where challengers on trial do.
#[derive(Debug, Default)]
pub(super) struct Served {
    pub(super) production: ModelSet,
    /// Challengers where there are any, the others as in production; `None` where there is none.
    pub(super) challenging: Option<ModelSet>,
    challengers: ModelSet,
}

/// The change of one model by a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelChange {
    /// The model's name.
    pub model: &'static str,
    /// The version that was served before; `None` for the prior.
    pub before: Option<u64>,
    /// The version that is served now.
    pub now: Option<u64>,
}

impl Served {
    /// Returns what the registry has now, with what stays as it is taken from `self`; what changes in
    /// production; and whether anything does.
    pub(super) async fn renewed(
        &self,
        registry: &dyn ModelRegistry,
        trainers: &[AnyTrainer],
        schema: u64,
    ) -> Result<(Self, Vec<ModelChange>, bool)> {
        let (production, changes) = self.production.renewed(registry, trainers, schema).await?;
        let mut challengers = ModelSet::default();
        for (at, trainer) in trainers.iter().enumerate() {
            challengers.0.push(on_trial(registry, trainer, self.challengers.slot(at), schema).await?);
        }
        let changed = !changes.is_empty()
            || (0..trainers.len()).any(|at| challengers.version(at) != self.challengers.version(at));
        let challenging = challengers.0.iter().any(Option::is_some).then(|| {
            let each = challengers.0.iter().zip(&production.0);
            ModelSet(each.map(|(challenger, served)| challenger.clone().or_else(|| served.clone())).collect())
        });
        Ok((Self { production, challenging, challengers }, changes, changed))
    }
}

impl ModelSet {
    /// The model of the trainer at this index.
    pub(super) fn get(&self, at: usize) -> Option<&Loaded> {
        self.slot(at).map(AsRef::as_ref)
    }

    /// Returns the model at `at` with its version, if it is an `M`.
    pub(super) fn typed<M: 'static>(&self, at: usize) -> Option<(u64, &M)> {
        let loaded = self.get(at)?;
        Some((loaded.version, loaded.model.downcast_ref()?))
    }

    pub(super) fn version(&self, at: usize) -> Option<u64> {
        self.get(at).map(|loaded| loaded.version)
    }

    fn slot(&self, at: usize) -> Option<&Arc<Loaded>> {
        self.0.get(at)?.as_ref()
    }

    /// The set in production, with what stays as it is taken from `self`; and what changes.
    async fn renewed(
        &self,
        registry: &dyn ModelRegistry,
        trainers: &[AnyTrainer],
        schema: u64,
    ) -> Result<(Self, Vec<ModelChange>)> {
        let (mut renewed, mut changes) = (Self::default(), Vec::new());
        for (at, trainer) in trainers.iter().enumerate() {
            let (model, before) = (trainer.name(), self.version(at));
            let now = registry.production(model).await?.map(|version| version.version);
            if before != now {
                changes.push(ModelChange { model, before, now });
            }
            renewed.0.push(match now {
                Some(version) if before != now => Some(load(registry, trainer, version, schema).await?),
                Some(_) => self.slot(at).cloned(),
                None => None,
            });
        }
        Ok((renewed, changes))
    }
}

/// The challenger on trial, if any. One that cannot be loaded is none: it must not keep what serves
/// from being renewed.
async fn on_trial(
    registry: &dyn ModelRegistry,
    trainer: &AnyTrainer,
    held: Option<&Arc<Loaded>>,
    schema: u64,
) -> Result<Slot> {
    let name = trainer.name();
    let versions = registry.versions(name).await?;
    let Some(staged) = versions.iter().rev().find(|v| v.stage == Stage::Staging) else { return Ok(None) };
    let version = staged.version;
    if let Some(held) = held.filter(|held| held.version == version) {
        return Ok(Some(Arc::clone(held)));
    }
    match load(registry, trainer, version, schema).await {
        Ok(loaded) => Ok(Some(loaded)),
        Err(error) => {
            tracing::warn!(model = name, version, error = %format_args!("{error:#}"), "the challenger on trial cannot be loaded");
            Ok(None)
        }
    }
}

async fn load(
    registry: &dyn ModelRegistry,
    trainer: &AnyTrainer,
    version: u64,
    host_schema: u64,
) -> Result<Arc<Loaded>> {
    let name = trainer.name();
    let bytes = registry.artefact(name, version).await?;
    let model = open_artefact(trainer, &bytes).map_err(|e| e.context(format!("{name} version {version}")))?;
    let (made_from, here) = (model.schema(), trainer.schema(host_schema));
    if made_from == here {
        return Ok(Arc::new(Loaded { version, model }));
    }
    Err(Error::incompatible(format!(
        "{name} version {version} was made from features {made_from:016x}, here they are {here:016x}: train anew"
    )))
}
