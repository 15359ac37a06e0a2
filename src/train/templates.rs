//! The ranking of templates, from the store to the registry.

use super::judge::{Evaluation, TrainingOptions};
use super::pipeline::{Champion, MAX_ARTEFACT_BYTES, TrainingReport, register};
use crate::clock::Clock;
use crate::error::Result;
use crate::evaluate::{PairedComparison, compare_paired, ndcg};
use crate::event::Record;
use crate::models::{
    TemplateCatalogue, TemplateDataset, TemplateDatasetBuilder, TemplateRanker, TemplateTrainer,
};
use crate::registry::{ModelRegistry, ModelVersion, NewVersion, envelope};
use crate::store::{EventStore, EventStoreExt, ScanOrder};

/// Trains the ranking of `catalogue` on all that `store` knows, registers it, and promotes it if it
/// orders the newest generations no worse (NDCG at 3) than the past alone and the ranking in
/// production.
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
    options.verify()?;
    let now = clock.now();
    let mut builder = TemplateDatasetBuilder::new(catalogue.clone());
    let mut each = |record: Record| {
        if record.known_at() <= now {
            builder.apply(&record);
        }
        Ok(())
    };
    store.for_each(ScanOrder::Known, &mut each).await?;
    let data = builder.rows(now);
    let (earlier, later) = data.split_by_time(1.0 - options.test_fraction, 1.0);
    let twin = trainer.fit(&earlier)?;
    let champion = registry.production(trainer.name()).await?;
    let rival = match &champion {
        Some(version) => rival(trainer, registry, version).await?,
        None => None,
    };
    let mut evaluation = Evaluation { rows: (earlier.rows.len(), later.rows.len()), ..Evaluation::default() };
    evaluation.metrics = trainer.scores(&twin, &later)?.to_map();
    let prior = TemplateRanker::prior();
    evaluation.baselines.insert("prior".to_owned(), trainer.scores(&prior, &later)?.to_map());
    let against = compare(&twin, &prior, &later, options.seed)?;
    evaluation.against_baselines.insert("prior".to_owned(), against);
    evaluation.against_champion =
        rival.map(|rival| compare(&twin, &rival, &later, options.seed)).transpose()?;
    let verdict = options.gate.without_probability_floors().judge(
        &evaluation.metrics,
        &evaluation.against_baselines,
        evaluation.against_champion.as_ref(),
    );
    let seal = |ranker: &TemplateRanker| envelope::seal(trainer.name(), &ranker.to_bytes()?);
    let mut version = NewVersion::new(trainer.name(), seal(&trainer.fit(&data)?)?);
    version.evaluation_artefact = Some(seal(&twin)?);
    version.parameters = serde_json::json!({ "model": trainer.parameters(), "training": options });
    version.feature_schema = data.schema;
    version.data_from = data.rows.first().map(|row| row.started_at);
    version.data_until = Some(now);
    version.rows = data.rows.len();
    register(registry, version, evaluation, &verdict, Champion::of(champion.as_ref()), now).await
}

/// The twin of the ranking in production; a damaged or older one is no rival.
async fn rival(
    trainer: &TemplateTrainer,
    registry: &dyn ModelRegistry,
    version: &ModelVersion,
) -> Result<Option<TemplateRanker>> {
    let bytes = registry.evaluation_artefact(trainer.name(), version.version).await?;
    let read = |bytes: &Vec<u8>| {
        envelope::open(bytes, trainer.name(), MAX_ARTEFACT_BYTES).and_then(TemplateRanker::from_bytes)
    };
    Ok(bytes.as_ref().and_then(|bytes| {
        read(bytes)
            .inspect_err(|error| {
                tracing::warn!(version = version.version, %error, "the ranking in production cannot be compared with");
            })
            .ok()
    }))
}

/// The loss, 1 - NDCG at 3, of two rankings in each group.
fn compare(
    first: &TemplateRanker,
    second: &TemplateRanker,
    data: &TemplateDataset,
    seed: u64,
) -> Result<PairedComparison> {
    let (mut losses, mut groups) = ((Vec::new(), Vec::new()), Vec::new());
    for (number, group) in data.groups().iter().enumerate() {
        let relevances: Vec<_> = group.iter().map(|at| f64::from(data.rows[*at].relevance)).collect();
        let of = |ranker: &TemplateRanker| {
            let points: Vec<_> = group.iter().map(|at| ranker.point(&data.rows[*at].features)).collect();
            ndcg(&points, &relevances, 3)
        };
        if let (Some(a), Some(b)) = (of(first)?, of(second)?) {
            losses.0.push(1.0 - a);
            losses.1.push(1.0 - b);
            groups.push(number as u64);
        }
    }
    compare_paired(&losses.0, &losses.1, &groups, seed)
}
