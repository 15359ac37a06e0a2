//! The prediction service: what it is made of, and how its models are swapped.

use super::interval_levels::Adapted;
use super::models::{ModelChange, Served};
use super::telemetry;
use crate::clock::Clock;
use crate::dataset::Target;
use crate::error::{Error, Result};
use crate::features::FeatureEngineer;
use crate::history::SharedHistory;
use crate::models::{AnyTrainer, Estimate, Locale, TemplateCatalogue, Trainer, targets};
use crate::registry::ModelRegistry;
use crate::similarity::EmbeddedTasks;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The places of the models that have a prediction of their own, among the served ones and so among the trainers of
/// a service.
pub(super) const SUCCESS: usize = 0;
pub(super) const COMPLEXITY: usize = 1;
pub(super) const TIME: usize = 2;
pub(super) const QUALITY: usize = 3;
pub(super) const TEMPLATE: usize = 4;
/// Where further models begin.
pub(super) const OTHERS: usize = 5;
pub(super) const COST: usize = 5;
pub(super) const TOKENS: usize = 6;

/// Predicts with the models in production, and swaps them while predicting.
///
/// A clone shares the models that are loaded.
///
/// ```
/// use devmatrix_ml::clock::SystemClock;
/// use devmatrix_ml::event::{TaskContext, TaskId};
/// use devmatrix_ml::features::FeatureEngineer;
/// use devmatrix_ml::history::SharedHistory;
/// use devmatrix_ml::models::Status;
/// use devmatrix_ml::serving::PredictionService;
/// use std::sync::Arc;
/// let history = Arc::new(SharedHistory::new());
/// let service = PredictionService::new(history, FeatureEngineer::default(), Arc::new(SystemClock));
/// let prediction = service.predict_success(&TaskContext::new(TaskId::new("TASK-7")?))?;
/// assert_eq!(prediction.status, Status::InsufficientEvidence); // nothing is known yet, and it says so
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone)]
#[doc(alias = "MLPredictor")]
pub struct PredictionService {
    pub(super) history: Arc<SharedHistory>,
    pub(super) engineer: FeatureEngineer,
    pub(super) schema: u64,
    pub(super) clock: Arc<dyn Clock>,
    /// Of the served models, then of the host's own.
    pub(super) trainers: Vec<AnyTrainer>,
    pub(super) models: Arc<ArcSwap<Served>>,
    pub(super) adapted: Arc<ArcSwap<Adapted>>,
    pub(super) catalogue: Option<TemplateCatalogue>,
    /// The host's wording of attributions; English without.
    pub(super) locale: Option<Arc<dyn Locale>>,
    /// The host's own embeddings of past tasks.
    pub(super) embedded: Option<Arc<EmbeddedTasks>>,
    /// Models of this crate whose place a host's own has taken.
    replaced: Vec<&'static str>,
    /// Share of tasks that challengers predict.
    pub(super) canary: f64,
    pub(super) explains: bool,
}

impl PredictionService {
    /// Creates a service that predicts from group statistics alone until models are loaded.
    pub fn new(history: Arc<SharedHistory>, engineer: FeatureEngineer, clock: Arc<dyn Clock>) -> Self {
        let schema = engineer.model_schema();
        Self {
            history,
            engineer,
            schema,
            clock,
            trainers: targets::SERVED.iter().map(|served| (served.trainer)()).collect(),
            models: Arc::default(),
            adapted: Arc::default(),
            catalogue: None,
            locale: None,
            embedded: None,
            replaced: Vec::new(),
            canary: 0.0,
            explains: true,
        }
    }

    /// Sets the host's templates to rank.
    #[must_use]
    pub fn with_templates(self, catalogue: TemplateCatalogue) -> Self {
        Self { catalogue: Some(catalogue), ..self }
    }

    /// Adds a host's own model, also one of cost or tokens in place of the usual: [`reload`](Self::reload) loads it from the registry by its trainer's name, and
    /// [`predict_all`](Self::predict_all) predicts with it beside the others, [`predict_with`](Self::predict_with) in
    /// its own type.
    ///
    /// # Errors
    /// `InvalidInput` when a model of that name is served already.
    pub fn with_model<T: Trainer<Model: 'static> + 'static>(self, trainer: T) -> Result<Self> {
        self.with_trainer(AnyTrainer::new(trainer))
    }

    pub(crate) fn with_trainer(self, trainer: AnyTrainer) -> Result<Self> {
        let (name, mut trainers) = (trainer.name(), self.trainers);
        // A host's own model of cost or tokens takes the place of the usual one.
        if let Some(place) = (OTHERS..targets::SERVED.len()).find(|at| trainers[*at].name() == name)
            && !self.replaced.contains(&name)
        {
            trainers[place] = trainer;
            let replaced = self.replaced.iter().copied().chain([name]).collect();
            return Ok(Self { trainers, replaced, models: Arc::default(), ..self });
        }
        if trainers.iter().any(|other| other.name() == name) {
            return Err(Error::invalid(format!(
                "a model named {name} is served already: give it another name"
            )));
        }
        trainers.push(trainer);
        // A clone made before knows nothing of it, so the models are no longer shared.
        Ok(Self { trainers, models: Arc::default(), ..self })
    }

    /// Sets the host's wording of attributions.
    #[must_use]
    pub fn with_locale(self, locale: Arc<dyn Locale>) -> Self {
        Self { locale: Some(locale), ..self }
    }

    /// Sets the host's embeddings, by which similar tasks are found; the host takes new tasks into `tasks` itself.
    #[must_use]
    pub fn with_embedded_tasks(self, tasks: Arc<EmbeddedTasks>) -> Self {
        Self { embedded: Some(tasks), ..self }
    }

    /// Sets the share (0 to 1) of tasks that challengers on trial predict, always the same ones: what they change
    /// in the host's choices is then seen on a few before it is on all. Each prediction has the version of the
    /// model that made it. A clone with a share of 1, whose predictions a host only looks at, is a shadow.
    ///
    /// # Errors
    /// `InvalidInput` for a share that is not from 0 to 1.
    pub fn with_canary(self, share: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::invalid(format!("the canary's share is {share}, expected 0 to 1")));
        }
        Ok(Self { canary: share, ..self })
    }

    /// Returns a clone, with the same models, that leaves explanations (attributions and similar tasks) out of its
    /// predictions, which is several times quicker.
    ///
    /// ```
    /// use devmatrix_ml::clock::SystemClock;
    /// use devmatrix_ml::event::{TaskContext, TaskId};
    /// use devmatrix_ml::features::FeatureEngineer;
    /// use devmatrix_ml::history::SharedHistory;
    /// use devmatrix_ml::serving::PredictionService;
    /// use std::sync::Arc;
    /// let history = Arc::new(SharedHistory::new());
    /// let service = PredictionService::new(history, FeatureEngineer::default(), Arc::new(SystemClock));
    /// let (task, quick) = (TaskContext::new(TaskId::new("TASK-7")?), service.without_explanations());
    /// assert!(service.predict_success(&task)?.similar_tasks.is_some());
    /// assert!(quick.predict_success(&task)?.similar_tasks.is_none());
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    #[must_use]
    pub fn without_explanations(&self) -> Self {
        Self { explains: false, ..self.clone() }
    }

    pub(super) fn model_names(&self) -> impl Iterator<Item = &'static str> {
        self.trainers.iter().map(Trainer::name)
    }

    /// Returns the version that is served now of each model of this crate, then of the host's own; `None` for the
    /// prior.
    pub fn versions(&self) -> Vec<(&'static str, Option<u64>)> {
        let served = self.models.load();
        let version = |(at, name)| (name, served.production.version(at));
        self.model_names().enumerate().map(version).collect()
    }

    /// Loads the models in production, the host's own among them, and swaps them in, all at once. Predictions in
    /// flight end with the models that they began with. When one is bad, all the old ones stay. Returns what changed.
    ///
    /// # Errors
    /// Those of the registry; `Incompatible` when a model was made from other features; `Corrupt`
    /// when its bytes are damaged.
    pub async fn reload(&self, registry: &dyn ModelRegistry) -> Result<Vec<ModelChange>> {
        let held = self.models.load_full();
        let (renewed, changes, changed) = held.renewed(registry, &self.trainers, self.schema).await?;
        if changed {
            self.models.store(Arc::new(renewed));
        }
        changes.iter().for_each(telemetry::serves);
        Ok(changes)
    }

    /// Takes in the label of a prediction that was given, so that the intervals of its model keep their coverage of
    /// 80 and 90 % while the world drifts; a host calls it when it knows. Kept in memory, and reset with each
    /// version of the model, which was calibrated anew.
    ///
    /// # Errors
    /// `InvalidInput` when `actual` is not finite, or `target` is none of complexity, time, quality, cost and tokens.
    pub fn observe(&self, target: Target, given: &Estimate, actual: f64) -> Result<()> {
        let mut outcome = Ok(());
        self.adapted.rcu(|adapted| match adapted.with(target, given, actual) {
            Ok(adapted) => Arc::new(adapted),
            Err(error) => {
                outcome = Err(error);
                Arc::clone(adapted)
            }
        });
        outcome
    }

    /// Returns the levels at which intervals are asked for now.
    pub(crate) fn adapted(&self) -> Adapted {
        **self.adapted.load()
    }

    /// Takes up levels that [`adapted`](Self::adapted) returned.
    pub(crate) fn adapt(&self, adapted: &Adapted) {
        self.adapted.store(Arc::new(*adapted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_with_a_prediction_of_their_own_are_where_they_are_looked_for() {
        let places = [
            (SUCCESS, Target::Success),
            (COMPLEXITY, Target::Complexity),
            (TIME, Target::Time),
            (QUALITY, Target::Quality),
            (TEMPLATE, Target::Template),
        ];
        assert_eq!(places.len(), OTHERS);
        let places = places.into_iter().chain([(COST, Target::Cost), (TOKENS, Target::Tokens)]);
        places.for_each(|(at, target)| assert_eq!(targets::SERVED[at].target, target));
    }
}
