//! The models that answer together, and how they are loaded.

use crate::error::{Error, Result};
use crate::models::{
    ComplexityTrainer, Predictor, QualityTrainer, SuccessTrainer, TemplateRanker, TemplateTrainer,
    TimeTrainer, Trainer, template_schema,
};
use crate::models::{MAX_MODEL_BYTES, open_artefact};
use crate::registry::{ModelRegistry, Stage, envelope};
use std::sync::Arc;

/// A model with its version.
#[derive(Debug)]
pub(super) struct Loaded<M> {
    pub(super) version: u64,
    pub(super) model: M,
}

/// A model in production, or none yet.
type Layer<M> = Option<Arc<Loaded<M>>>;

/// The model that a trainer makes.
type ModelOf<T> = <T as Trainer>::Model;

/// The models that answer together.
#[derive(Debug, Default, Clone)]
pub(super) struct ModelSet {
    pub(super) success: Layer<ModelOf<SuccessTrainer>>,
    pub(super) complexity: Layer<ModelOf<ComplexityTrainer>>,
    pub(super) time: Layer<ModelOf<TimeTrainer>>,
    pub(super) quality: Layer<ModelOf<QualityTrainer>>,
    pub(super) template: Layer<TemplateRanker>,
}

/// The models in production, and what answers where challengers on trial do.
#[derive(Debug, Default)]
pub(super) struct Served {
    pub(super) production: ModelSet,
    /// Challengers where there are any, the others as in production; `None` where there is none.
    pub(super) challenging: Option<ModelSet>,
    challengers: ModelSet,
}

impl Served {
    /// What the registry has now, with what stays as it is taken from `self`; what changes in
    /// production; and whether anything does.
    pub(super) async fn renewed(
        &self,
        registry: &dyn ModelRegistry,
        schema: u64,
    ) -> Result<(Self, Vec<ModelChange>, bool)> {
        let (production, changes) = self.production.renewed(registry, schema).await?;
        let held = &self.challengers;
        let challengers = ModelSet {
            success: on_trial(registry, &SuccessTrainer::default(), held.success.as_ref(), schema).await?,
            complexity: on_trial(registry, &ComplexityTrainer::default(), held.complexity.as_ref(), schema)
                .await?,
            time: on_trial(registry, &TimeTrainer::default(), held.time.as_ref(), schema).await?,
            quality: on_trial(registry, &QualityTrainer::default(), held.quality.as_ref(), schema).await?,
            template: None,
        };
        let changed = !changes.is_empty() || challengers.versions() != held.versions();
        let challenging = challengers.versions().iter().any(Option::is_some).then(|| ModelSet {
            success: challengers.success.clone().or_else(|| production.success.clone()),
            complexity: challengers.complexity.clone().or_else(|| production.complexity.clone()),
            time: challengers.time.clone().or_else(|| production.time.clone()),
            quality: challengers.quality.clone().or_else(|| production.quality.clone()),
            template: production.template.clone(),
        });
        Ok((Self { production, challenging, challengers }, changes, changed))
    }
}

/// What a reload did to one model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelChange {
    /// The model's name.
    pub model: &'static str,
    /// The version that answered before; `None` for the prior.
    pub before: Option<u64>,
    /// The version that answers now.
    pub now: Option<u64>,
}

impl ModelSet {
    fn versions(&self) -> [Option<u64>; 4] {
        [
            self.success.as_ref().map(|loaded| loaded.version),
            self.complexity.as_ref().map(|loaded| loaded.version),
            self.time.as_ref().map(|loaded| loaded.version),
            self.quality.as_ref().map(|loaded| loaded.version),
        ]
    }

    /// The set in production, with what stays as it is taken from `self`; and what changes.
    async fn renewed(&self, registry: &dyn ModelRegistry, schema: u64) -> Result<(Self, Vec<ModelChange>)> {
        let mut changes = Vec::new();
        let renewed = Self {
            success: fresh(registry, &SuccessTrainer::default(), self.success.as_ref(), schema, &mut changes)
                .await?,
            complexity: fresh(
                registry,
                &ComplexityTrainer::default(),
                self.complexity.as_ref(),
                schema,
                &mut changes,
            )
            .await?,
            time: fresh(registry, &TimeTrainer::default(), self.time.as_ref(), schema, &mut changes).await?,
            quality: fresh(registry, &QualityTrainer::default(), self.quality.as_ref(), schema, &mut changes)
                .await?,
            template: fresh_ranker(registry, self.template.as_ref(), &mut changes).await?,
        };
        Ok((renewed, changes))
    }
}

/// The challenger on trial, if any. One that cannot be loaded is none: it must not keep what serves
/// from being renewed.
async fn on_trial<T: Trainer>(
    registry: &dyn ModelRegistry,
    trainer: &T,
    held: Option<&Arc<Loaded<T::Model>>>,
    schema: u64,
) -> Result<Layer<T::Model>> {
    let name = trainer.name();
    let versions = registry.versions(name).await?;
    let Some(staged) = versions.iter().rev().find(|v| v.stage == Stage::Staging) else { return Ok(None) };
    let version = staged.version;
    if let Some(held) = held.filter(|held| held.version == version) {
        return Ok(Some(Arc::clone(held)));
    }
    let bytes = registry.artefact(name, version).await;
    let model = bytes.and_then(|bytes| {
        let model = open_artefact(trainer, &bytes)?;
        fits(name, version, model.schema(), schema).map(|()| model)
    });
    match model {
        Ok(model) => Ok(Some(Arc::new(Loaded { version, model }))),
        Err(error) => {
            tracing::warn!(model = name, version, %error, "the challenger on trial cannot be loaded");
            Ok(None)
        }
    }
}

async fn fresh<T: Trainer>(
    registry: &dyn ModelRegistry,
    trainer: &T,
    held: Option<&Arc<Loaded<T::Model>>>,
    schema: u64,
    changes: &mut Vec<ModelChange>,
) -> Result<Layer<T::Model>> {
    let name = trainer.name();
    let Some(version) = changed(registry, name, held, changes).await? else { return Ok(held.cloned()) };
    let Some(version) = version else { return Ok(None) };
    let bytes = registry.artefact(name, version).await?;
    let model = open_artefact(trainer, &bytes).map_err(|e| e.context(format!("{name} version {version}")))?;
    fits(name, version, model.schema(), schema)?;
    Ok(Some(Arc::new(Loaded { version, model })))
}

async fn fresh_ranker(
    registry: &dyn ModelRegistry,
    held: Option<&Arc<Loaded<TemplateRanker>>>,
    changes: &mut Vec<ModelChange>,
) -> Result<Layer<TemplateRanker>> {
    let name = TemplateTrainer::default().name();
    let Some(version) = changed(registry, name, held, changes).await? else { return Ok(held.cloned()) };
    let Some(version) = version else { return Ok(None) };
    let bytes = registry.artefact(name, version).await?;
    let model = envelope::open(&bytes, name, MAX_MODEL_BYTES)
        .and_then(TemplateRanker::from_bytes)
        .map_err(|e| e.context(format!("{name} version {version}")))?;
    fits(name, version, model.schema(), template_schema())?;
    Ok(Some(Arc::new(Loaded { version, model })))
}

/// The version to load, `Some(None)` for none; `None` where the held one is in production.
async fn changed<M>(
    registry: &dyn ModelRegistry,
    model: &'static str,
    held: Option<&Arc<Loaded<M>>>,
    changes: &mut Vec<ModelChange>,
) -> Result<Option<Option<u64>>> {
    let before = held.map(|loaded| loaded.version);
    let now = registry.production(model).await?.map(|version| version.version);
    if before == now {
        return Ok(None);
    }
    changes.push(ModelChange { model, before, now });
    Ok(Some(now))
}

fn fits(name: &str, version: u64, made_from: u64, here: u64) -> Result<()> {
    if made_from == here {
        return Ok(());
    }
    Err(Error::incompatible(format!(
        "{name} version {version} was made from features {made_from:016x}, here they are {here:016x}: train anew"
    )))
}
