//! The ranking of templates, from the store to the registry.

use super::evaluation::{Evaluation, TrainingOptions};
use super::gate::AgainstChampion;
use super::pipeline::{TrainingReport, run_id};
use super::register::Registering;
use super::run_record::{DataRecord, RunRecord};
use super::telemetry;
use crate::clock::Clock;
use crate::error::Result;
use crate::event::Record;
use crate::ml::metrics::{compare_paired, ndcg};
use crate::models::MAX_MODEL_BYTES;
use crate::models::{
    TemplateCatalogue, TemplateDataset, TemplateDatasetBuilder, TemplateRanker, TemplateTrainer,
};
use crate::registry::{ModelRegistry, ModelVersion, NewVersion, envelope};
use crate::store::{EventStore, EventStoreExt, ScanOrder};
use std::collections::BTreeMap;
use std::time::Instant;

/// Trains the ranking of `catalogue` on all that `store` knows, registers it, and promotes it if it
/// orders the newest generations better (NDCG at 3) than the ranking in production or, while there is
/// none, than the past alone.
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
    let training = evaluate_and_register(trainer, store, registry, catalogue, clock, options);
    telemetry::trained(trainer.name(), Box::pin(training)).await
}

async fn evaluate_and_register(
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
    let begun = Instant::now();
    let holdout_model = trainer.fit(&earlier)?;
    let champion = registry.production(trainer.name()).await?;
    let incumbent = match &champion {
        Some(version) => incumbent(trainer, registry, version).await?,
        None => None,
    };
    let evaluation = evaluate(trainer, &holdout_model, incumbent.as_ref(), (&earlier, &later), options)?;
    let verdict = options.gate.without_probability_floors().judge(
        &evaluation.metrics,
        &evaluation.against_baselines,
        evaluation.champion(),
    );
    let seal = |ranker: &TemplateRanker| envelope::seal(trainer.name(), &ranker.to_bytes()?);
    let artefact = seal(&trainer.fit(&data)?)?;
    let data_record = DataRecord {
        from: data.rows.first().map(|row| row.started_at),
        until: data.rows.last().map(|row| row.started_at),
        rows: data.rows.len(),
        certain: data.rows.len(),
        schema: data.schema,
        sha256: data.fingerprint(),
    };
    let record = RunRecord {
        run_id: run_id(trainer.name(), now, &data_record),
        model: trainer.name().to_owned(),
        version: None,
        as_of: now,
        data: data_record,
        parameters: trainer.parameters(),
        options: options.clone(),
        evaluation,
        folds: Vec::new(),
        importance: Vec::new(),
        importance_drift: Vec::new(),
        verdict,
        seconds: BTreeMap::from([("fitting".to_owned(), begun.elapsed().as_secs_f64())]),
        library_version: env!("CARGO_PKG_VERSION").to_owned(),
        notes: BTreeMap::new(),
    };
    let mut version = NewVersion::new(trainer.name(), artefact).described_by(&record);
    version.evaluation_artefact = Some(seal(&holdout_model)?);
    Registering { registry, tracker: None, now }.register(version, record, champion.as_ref()).await
}

fn evaluate(
    trainer: &TemplateTrainer,
    holdout_model: &TemplateRanker,
    incumbent: Option<&TemplateRanker>,
    (earlier, later): (&TemplateDataset, &TemplateDataset),
    options: &TrainingOptions,
) -> Result<Evaluation> {
    let prior = TemplateRanker::prior();
    let losses = |ranker: &TemplateRanker| losses(ranker, later);
    let (own, groups) = losses(holdout_model)?;
    let compare =
        |theirs: &[f64]| compare_paired(&own, theirs, &groups, options.gate.confidence, options.seed);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    let mut evaluation = Evaluation {
        metrics: trainer.scores(holdout_model, later)?.to_map(),
        rows: (earlier.rows.len(), later.rows.len()),
        trained_until: later.rows.first().map(|row| row.started_at),
        loss: (mean(&own), mean(&own)),
        ..Evaluation::default()
    };
    evaluation.baselines.insert("prior".to_owned(), trainer.scores(&prior, later)?.to_map());
    evaluation.against_baselines.insert("prior".to_owned(), compare(&losses(&prior)?.0)?);
    if let Some(incumbent) = incumbent {
        let theirs = losses(incumbent)?.0;
        evaluation.new_to_champion = Some(theirs.len());
        let confidence = options.gate.confidence;
        let compared = AgainstChampion::once(&own, &theirs, &groups, confidence, options.seed)?;
        evaluation.against_champion = Some(compared);
    }
    Ok(evaluation)
}

/// Returns the holdout model of the ranking in production; `None` if its artefact is missing, corrupt or of an
/// older format.
async fn incumbent(
    trainer: &TemplateTrainer,
    registry: &dyn ModelRegistry,
    version: &ModelVersion,
) -> Result<Option<TemplateRanker>> {
    let bytes = registry.evaluation_artefact(trainer.name(), version.version).await?;
    let read = |bytes: &Vec<u8>| {
        envelope::open(bytes, trainer.name(), MAX_MODEL_BYTES).and_then(TemplateRanker::from_bytes)
    };
    Ok(bytes.as_ref().and_then(|bytes| {
        read(bytes)
            .inspect_err(|error| {
                tracing::warn!(version = version.version, %error, "the ranking in production cannot be compared with");
            })
            .ok()
    }))
}

/// Returns the loss, 1 - NDCG@3, of a ranking on each group for which NDCG is defined, with the groups' numbers.
fn losses(ranker: &TemplateRanker, data: &TemplateDataset) -> Result<(Vec<f64>, Vec<u64>)> {
    let (mut losses, mut groups) = (Vec::new(), Vec::new());
    for (number, group) in data.groups().iter().enumerate() {
        let relevances: Vec<_> = group.iter().map(|at| f64::from(data.rows[*at].relevance)).collect();
        let points: Vec<_> = group.iter().map(|at| ranker.point(&data.rows[*at].features)).collect();
        // Whether NDCG is defined depends on the relevances alone, so all rankings are compared on the same groups.
        if let Some(found) = ndcg(&points, &relevances, 3)? {
            losses.push(1.0 - found);
            groups.push(number as u64);
        }
    }
    Ok((losses, groups))
}
