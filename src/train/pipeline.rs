//! From the store to the registry: replay, fit, evaluate, register, gate.

use super::gate::GateVerdict;
use super::judge::{Evaluation, Judged, TrainingOptions, fit_and_judge};
use crate::clock::Clock;
use crate::dataset::{Dataset, DatasetBuilder, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::features::FeatureEngineer;
use crate::models::{ComplexityTrainer, Predictor, QualityTrainer, SuccessTrainer, TimeTrainer, Trainer};
use crate::registry::{ModelRegistry, ModelVersion, NewVersion, Verdict, envelope};
use crate::store::{EventStore, EventStoreExt, ScanOrder};
use chrono::{DateTime, Utc};

/// What a training run did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainingReport {
    /// The registered version, promoted or not.
    pub version: ModelVersion,
    /// Whether it is in production now.
    pub promoted: bool,
    /// Why, or why not.
    pub reasons: Vec<String>,
    /// How good it was on rows that it had not seen.
    pub evaluation: Evaluation,
}

/// An artefact is refused when it is larger.
pub(crate) const MAX_ARTEFACT_BYTES: usize = 256 << 20;

/// Trains on all that `store` knows, registers the model, and promotes it if the gate lets it.
///
/// Fitting takes the calling thread for seconds: call it on the host's blocking pool (for tokio
/// `spawn_blocking` with `Handle::block_on`).
///
/// # Errors
/// `NotEnoughData` (then nothing is registered); those of the store and the registry.
pub async fn train<T: Trainer>(
    trainer: &T,
    store: &dyn EventStore,
    registry: &dyn ModelRegistry,
    engineer: &FeatureEngineer,
    clock: &dyn Clock,
    options: &TrainingOptions,
) -> Result<TrainingReport> {
    let now = clock.now();
    let data = replay(store, engineer, trainer.target(), now, options.max_rows).await?;
    Box::pin(train_on(trainer, &data, registry, now, options)).await
}

/// Trains success, complexity, time and quality from one reading of the store; each with what came
/// of it, by name. A model that has too little to learn from is no reason not to train the others.
///
/// # Errors
/// Those of reading the store.
pub async fn train_all(
    store: &dyn EventStore,
    registry: &dyn ModelRegistry,
    engineer: &FeatureEngineer,
    clock: &dyn Clock,
    options: &TrainingOptions,
) -> Result<Vec<(Target, Result<TrainingReport>)>> {
    let now = clock.now();
    let builder = read_all(store, engineer, now).await?;
    let success = train_usual::<SuccessTrainer>(&builder, registry, now, options).await;
    let complexity = train_usual::<ComplexityTrainer>(&builder, registry, now, options).await;
    let time = train_usual::<TimeTrainer>(&builder, registry, now, options).await;
    let quality = train_usual::<QualityTrainer>(&builder, registry, now, options).await;
    Ok(vec![
        (Target::Success, success),
        (Target::Complexity, complexity),
        (Target::Time, time),
        (Target::Quality, quality),
    ])
}

async fn train_usual<T: Trainer + Default>(
    builder: &DatasetBuilder,
    registry: &dyn ModelRegistry,
    now: DateTime<Utc>,
    options: &TrainingOptions,
) -> Result<TrainingReport> {
    let trainer = T::default();
    let data = builder.rows(trainer.target(), now, options.max_rows);
    Box::pin(train_on(&trainer, &data, registry, now, options)).await
}

async fn train_on<T: Trainer>(
    trainer: &T,
    data: &Dataset,
    registry: &dyn ModelRegistry,
    now: DateTime<Utc>,
    options: &TrainingOptions,
) -> Result<TrainingReport> {
    let champion = registry.production(trainer.name()).await?;
    let rival = match &champion {
        Some(version) => load_twin(trainer, registry, version).await?,
        None => None,
    };
    let judged = fit_and_judge(trainer, data, rival.as_ref().filter(|m| m.schema() == data.schema), options)?;
    let version = new_version(trainer, data, &judged, now, options)?;
    register(registry, version, judged.evaluation, &judged.verdict, Champion::of(champion.as_ref()), now)
        .await
}

/// The version that a new one must do better than, if any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Champion(Option<u64>);

impl Champion {
    pub(super) fn of(version: Option<&ModelVersion>) -> Self {
        Self(version.map(|version| version.version))
    }
}

/// Registers a judged version with its figures, and promotes it where the verdict lets it.
pub(super) async fn register(
    registry: &dyn ModelRegistry,
    mut version: NewVersion,
    evaluation: Evaluation,
    verdict: &GateVerdict,
    Champion(champion): Champion,
    now: DateTime<Utc>,
) -> Result<TrainingReport> {
    version.metrics.clone_from(&evaluation.metrics);
    for (name, scores) in &evaluation.baselines {
        let named = scores.iter().map(|(score, value)| (format!("{name}.{score}"), *value));
        version.metrics.extend(named);
    }
    version.parent = champion;
    if !verdict.promote {
        let mut refusal = Verdict::new(now, false, verdict.reasons.clone());
        refusal.compared_with = champion;
        version.verdicts.push(refusal);
    }
    let version = registry.register(version).await?;
    let (promoted, reasons) = promote(registry, &version, verdict, champion, now).await?;
    let version = registry.version(&version.model, version.version).await?;
    tracing::info!(model = version.model, version = version.version, promoted, ?reasons, "trained");
    Ok(TrainingReport { version, promoted, reasons, evaluation })
}

/// The rows for `target` of all that `store` knew at `now`.
///
/// # Errors
/// Those of reading the store.
pub async fn replay(
    store: &dyn EventStore,
    engineer: &FeatureEngineer,
    target: Target,
    now: DateTime<Utc>,
    max_rows: usize,
) -> Result<Dataset> {
    Ok(read_all(store, engineer, now).await?.rows(target, now, max_rows))
}

async fn read_all(
    store: &dyn EventStore,
    engineer: &FeatureEngineer,
    now: DateTime<Utc>,
) -> Result<DatasetBuilder> {
    let mut builder = DatasetBuilder::new(engineer.clone());
    let mut each = |record: crate::event::Record| {
        if record.known_at() <= now {
            builder.apply(&record);
        }
        Ok(())
    };
    store.for_each(ScanOrder::Known, &mut each).await?;
    Ok(builder)
}

/// Reads a model from the verified bytes of its artefact.
///
/// # Errors
/// `Corrupt` or `Incompatible`.
pub fn open_artefact<T: Trainer>(trainer: &T, bytes: &[u8]) -> Result<T::Model> {
    trainer.read(envelope::open(bytes, trainer.name(), MAX_ARTEFACT_BYTES)?)
}

fn seal<T: Trainer>(trainer: &T, model: &T::Model) -> Result<Vec<u8>> {
    envelope::seal(trainer.name(), &model.to_bytes()?)
}

/// The champion's twin; a damaged or older one is no rival, and no reason to stop training.
async fn load_twin<T: Trainer>(
    trainer: &T,
    registry: &dyn ModelRegistry,
    version: &ModelVersion,
) -> Result<Option<T::Model>> {
    let bytes = match registry.evaluation_artefact(trainer.name(), version.version).await {
        Err(e) if e.kind() == ErrorKind::Corrupt => Err(e),
        found => Ok(found?),
    };
    match bytes.and_then(|bytes| bytes.map(|b| open_artefact(trainer, &b)).transpose()) {
        Ok(model) => Ok(model),
        Err(error) => {
            tracing::warn!(version = version.version, %error, "the model in production cannot be compared with");
            Ok(None)
        }
    }
}

fn new_version<T: Trainer>(
    trainer: &T,
    data: &Dataset,
    judged: &Judged<T::Model>,
    now: DateTime<Utc>,
    options: &TrainingOptions,
) -> Result<NewVersion> {
    let mut version = NewVersion::new(trainer.name(), seal(trainer, &judged.model)?);
    version.evaluation_artefact = Some(seal(trainer, &judged.twin)?);
    version.parameters = serde_json::json!({ "model": trainer.parameters(), "training": options });
    version.feature_schema = data.schema;
    version.data_from = data.examples.first().map(|e| e.started_at);
    version.data_until = Some(now);
    version.rows = data.examples.len();
    Ok(version)
}

/// Puts the version into production if the gate lets it and nobody else was quicker, and notes
/// the verdict.
async fn promote(
    registry: &dyn ModelRegistry,
    version: &ModelVersion,
    verdict: &GateVerdict,
    champion: Option<u64>,
    now: DateTime<Utc>,
) -> Result<(bool, Vec<String>)> {
    let mut reasons = verdict.reasons.clone();
    if !verdict.promote {
        return Ok((false, reasons));
    }
    let promoted = match registry.promote(&version.model, version.version, champion).await {
        Ok(()) => true,
        Err(e) if e.kind() == ErrorKind::Conflict => {
            reasons.push(format!("refused: another version went live meanwhile ({e})"));
            false
        }
        Err(e) => return Err(Error::context(e, "promotion")),
    };
    let mut verdict = Verdict::new(now, promoted, reasons.clone());
    verdict.compared_with = champion;
    registry.note_verdict(&version.model, version.version, verdict).await?;
    Ok((promoted, reasons))
}
