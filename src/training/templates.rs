//! The ranking of templates, from the store to the registry.

use super::evaluation::TrainingOptions;
use super::pipeline::{Training, TrainingReport};
use crate::clock::Clock;
use crate::error::Result;
use crate::features::FeatureEngineer;
use crate::models::{TemplateCatalogue, TemplateTrainer};
use crate::registry::ModelRegistry;
use crate::store::EventStore;

/// Trains the ranking of `catalogue`: [`Training::run`] with nothing but options.
///
/// # Errors
/// `NotEnoughData` (then nothing is registered); those of the store and the registry.
pub async fn train_templates(
    trainer: &TemplateTrainer,
    store: &dyn EventStore,
    registry: &dyn ModelRegistry,
    catalogue: &TemplateCatalogue,
    clock: &dyn Clock,
    options: &TrainingOptions,
) -> Result<TrainingReport> {
    let engineer = FeatureEngineer::default();
    let trainer = trainer.clone().with_catalogue(catalogue.clone());
    Training::new(store, registry, &engineer, clock).with_options(options.clone()).run(&trainer).await
}
