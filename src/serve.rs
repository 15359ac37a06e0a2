//! Predictions from memory: no I/O, no lock held while computing, one consistent set of models.

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::TaskContext;
use crate::features::{FeatureEngineer, FeatureRow};
use crate::history::SharedHistory;
use crate::models::{Predictor, SuccessModel, SuccessPrediction, SuccessTrainer, Trainer, prior};
use crate::registry::ModelRegistry;
use crate::text::MAX_TEXT_BYTES;
use crate::train::open_artefact;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Answers from the models in production, and swaps them while answering.
///
/// ```
/// use devmatrix_ml::clock::SystemClock;
/// use devmatrix_ml::event::{TaskContext, TaskId};
/// use devmatrix_ml::features::FeatureEngineer;
/// use devmatrix_ml::history::SharedHistory;
/// use devmatrix_ml::models::Status;
/// use devmatrix_ml::serve::PredictionService;
/// use std::sync::Arc;
/// let history = Arc::new(SharedHistory::new());
/// let service = PredictionService::new(history, FeatureEngineer::default(), Arc::new(SystemClock));
/// let prediction = service.predict_success(&TaskContext::new(TaskId::new("TASK-7")?))?;
/// assert_eq!(prediction.status, Status::InsufficientEvidence); // nothing is known yet, and it says so
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug)]
pub struct PredictionService {
    history: Arc<SharedHistory>,
    engineer: FeatureEngineer,
    schema: u64,
    clock: Arc<dyn Clock>,
    models: ArcSwap<ModelSet>,
}

/// The models that answer together.
#[derive(Debug, Default)]
struct ModelSet {
    success: Option<Loaded<SuccessModel>>,
}

#[derive(Debug)]
struct Loaded<M> {
    version: u64,
    model: M,
}

/// What a reload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// The version that answered before; `None` for the prior.
    pub before: Option<u64>,
    /// The version that answers now.
    pub now: Option<u64>,
}

impl PredictionService {
    /// A service that answers from the past alone until models are loaded.
    pub fn new(history: Arc<SharedHistory>, engineer: FeatureEngineer, clock: Arc<dyn Clock>) -> Self {
        let schema = engineer.fingerprint();
        Self { history, engineer, schema, clock, models: ArcSwap::default() }
    }

    /// How likely `task` is approved without modification, with what speaks against it.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_success(&self, task: &TaskContext) -> Result<SuccessPrediction> {
        let row = self.features(task)?;
        let models = self.models.load();
        let mut prediction = self.answer(&models, &row);
        if let Some(loaded) = &models.success {
            prediction.risk_factors = loaded.model.reasons(&row);
            prediction.risk_factors.retain(|reason| reason.contribution < 0.0);
        }
        Ok(prediction)
    }

    /// The same without reasons, several times quicker.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_success_only(&self, task: &TaskContext) -> Result<SuccessPrediction> {
        let row = self.features(task)?;
        Ok(self.answer(&self.models.load(), &row))
    }

    /// The features of `task` as they are now.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn features(&self, task: &TaskContext) -> Result<FeatureRow> {
        task.validate()?;
        let task = task.as_stored();
        let view = self.history.view(&task, self.clock.now());
        Ok(self.engineer.row(&task, &view))
    }

    /// The version that answers now; `None` for the prior.
    pub fn success_version(&self) -> Option<u64> {
        self.models.load().success.as_ref().map(|loaded| loaded.version)
    }

    /// Loads the models in production and swaps them in, all at once. Predictions under way end
    /// with the models that they began with. When a model is bad, the old ones stay.
    ///
    /// # Errors
    /// Those of the registry; `Incompatible` when a model was made from other features; `Corrupt`
    /// when its bytes are damaged.
    pub async fn reload(&self, registry: &dyn ModelRegistry) -> Result<Reloaded> {
        let trainer = SuccessTrainer::default();
        let before = self.success_version();
        let production = registry.production(trainer.name()).await?;
        let now = production.as_ref().map(|version| version.version);
        if before == now {
            return Ok(Reloaded { before, now });
        }
        let success = match now {
            Some(version) => Some(Loaded { version, model: self.load(registry, &trainer, version).await? }),
            None => None,
        };
        self.models.store(Arc::new(ModelSet { success }));
        Ok(Reloaded { before, now })
    }

    async fn load<T: Trainer>(
        &self,
        registry: &dyn ModelRegistry,
        trainer: &T,
        version: u64,
    ) -> Result<T::Model> {
        let bytes = registry.artefact(trainer.name(), version).await?;
        let model = open_artefact(trainer, &bytes)
            .map_err(|e| e.context(format!("{} version {version}", trainer.name())))?;
        if model.schema() != self.schema {
            return Err(Error::incompatible(format!(
                "{} version {version} was made from features {:016x}, here they are {:016x}: train anew",
                trainer.name(),
                model.schema(),
                self.schema
            )));
        }
        Ok(model)
    }

    fn answer(&self, models: &ModelSet, row: &FeatureRow) -> SuccessPrediction {
        let mut prediction = match &models.success {
            Some(loaded) => SuccessPrediction { model_version: loaded.version, ..loaded.model.predict(row) },
            None => prior::prediction(row, self.schema),
        };
        if row.truncated {
            prediction
                .notes
                .push(format!("only the first {MAX_TEXT_BYTES} bytes of the description were read"));
        }
        prediction
    }
}
