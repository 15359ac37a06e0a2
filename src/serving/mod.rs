//! Predictions from memory: no I/O, no lock held while computing, one consistent set of models.

mod interval_levels;
mod models;
mod predictions;
mod telemetry;

pub use models::ModelChange;
pub use predictions::{CandidatePrediction, Predictions};

use crate::clock::Clock;
use crate::code_metrics::CodeOptions;
use crate::collect::measure;
use crate::dataset::Target;
use crate::error::{Error, Result};
use crate::event::{Completion, TaskContext};
use crate::features::{FeatureEngineer, FeatureRow};
use crate::history::{HistoryView, NearestTask, SharedHistory};
use crate::models::{
    AnyTrainer, Attribution, AttributionGroup, ComplexityPrediction, English, Estimate, Locale, Predictor,
    QualityPrediction, SimilarOutcomes, Status, SuccessModel, SuccessPrediction, TemplateCatalogue,
    TemplateRanker, TemplateRanking, TemplateView, TimePrediction, Trainer, prior, targets,
};
use crate::registry::ModelRegistry;
use crate::similarity::EmbeddedTasks;
use crate::stats::fnv;
use crate::text::MAX_TEXT_BYTES;
use arc_swap::ArcSwap;
pub(crate) use interval_levels::Adapted;
use models::{ModelSet, Served};
use std::collections::BTreeMap;
use std::sync::Arc;
use telemetry::{Call, Of};

/// The places of the models that have a prediction of their own, among the served ones and so among the trainers of
/// a service.
const SUCCESS: usize = 0;
const COMPLEXITY: usize = 1;
const TIME: usize = 2;
const QUALITY: usize = 3;
const TEMPLATE: usize = 4;
/// Where further models begin.
const OTHERS: usize = 5;

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
    history: Arc<SharedHistory>,
    engineer: FeatureEngineer,
    schema: u64,
    clock: Arc<dyn Clock>,
    /// Of the served models, then of the host's own.
    trainers: Vec<AnyTrainer>,
    models: Arc<ArcSwap<Served>>,
    adapted: Arc<ArcSwap<Adapted>>,
    catalogue: Option<TemplateCatalogue>,
    /// The host's wording of attributions; English without.
    locale: Option<Arc<dyn Locale>>,
    /// The host's own embeddings of past tasks.
    embedded: Option<Arc<EmbeddedTasks>>,
    /// Share of tasks that challengers predict.
    canary: f64,
    explains: bool,
}

/// The inputs read once for all models: feature row, nearest tasks and template statistics.
struct Inputs {
    row: FeatureRow,
    nearest: Vec<NearestTask>,
    templates: Option<TemplateView>,
}

/// The changes by a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// The models that changed; empty when all stayed.
    pub changes: Vec<ModelChange>,
}

impl Reloaded {
    /// Returns the change of one model.
    pub fn of(&self, model: &str) -> Option<&ModelChange> {
        self.changes.iter().find(|change| change.model == model)
    }
}

impl PredictionService {
    /// Creates a service that predicts from group statistics alone until models are loaded.
    pub fn new(history: Arc<SharedHistory>, engineer: FeatureEngineer, clock: Arc<dyn Clock>) -> Self {
        let schema = engineer.fingerprint();
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
            canary: 0.0,
            explains: true,
        }
    }

    /// Sets the host's templates to rank.
    #[must_use]
    pub fn with_templates(self, catalogue: TemplateCatalogue) -> Self {
        Self { catalogue: Some(catalogue), ..self }
    }

    /// Adds a host's own model: [`reload`](Self::reload) loads it from the registry by its trainer's name, and
    /// [`predict_all`](Self::predict_all) and [`predict_custom`](Self::predict_custom) predict with it.
    ///
    /// # Errors
    /// `InvalidInput` when a model of that name is served already.
    pub fn with_model<T: Trainer<Model: 'static> + 'static>(self, trainer: T) -> Result<Self> {
        let (name, mut trainers) = (trainer.name(), self.trainers);
        if trainers.iter().any(|other| other.name() == name) {
            return Err(Error::invalid(format!(
                "a model named {name} is served already: give it another name"
            )));
        }
        trainers.push(AnyTrainer::new(trainer));
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
    /// model that made it.
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

    /// Predicts how likely `task` is approved without modification, with its risk factors.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_success(&self, task: &TaskContext) -> Result<SuccessPrediction> {
        telemetry::predicted(Call::Success, || {
            let inputs = self.inputs(task, false)?;
            let served = self.models.load();
            Ok(self.success(self.serving(&served, task), inputs, self.explains))
        })
    }

    /// Predicts with all models, with explanations; the features are made once.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_all(&self, task: &TaskContext) -> Result<Predictions> {
        self.predict(task, self.explains)
    }

    /// Predicts with the challengers on trial, with the models in production where there is none, without
    /// explanations and without effect; `None` where nothing is on trial. Their record for the gate is kept by
    /// [`Training::review`](crate::training::Training::review), which makes the same predictions again from the
    /// store; this is for a host that wants to see them.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_challenger(&self, task: &TaskContext) -> Result<Option<Predictions>> {
        let served = self.models.load();
        served.challenging.as_ref().map(|models| self.all_of(models, task, false)).transpose()
    }

    /// Predicts with all models for each task, in order, without explanations; one bad task spoils no other.
    pub fn predict_batch(&self, tasks: &[TaskContext]) -> Vec<Result<Predictions>> {
        tasks.iter().map(|task| self.predict(task, false)).collect()
    }

    /// Predicts success and time, on which a choice depends, of one task with each of several settings, in order,
    /// without explanations: the description is read and similar tasks are sought once, from one set of models and
    /// at one moment.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of a candidate that is out of range, or when the candidates are not of
    /// one task with one description.
    pub fn predict_candidates(&self, candidates: &[TaskContext]) -> Result<Vec<CandidatePrediction>> {
        telemetry::predicted(Call::Candidates, || {
            self.each_candidate(candidates, |models, inputs| {
                let time = self.estimate(models, TIME, &inputs.row, false);
                let success = self.success(models, inputs, false);
                CandidatePrediction {
                    time: TimePrediction::new(time, Some(success.success_probability)),
                    success,
                }
            })
        })
    }

    /// Predicts with the model of this name: a host's own, or another that predicts a number. Without a model in
    /// production it is the trainer's [prior](Trainer::prior).
    ///
    /// # Errors
    /// `InvalidInput` when no such model [is served](Self::with_model), or naming the field of the task that is
    /// out of range.
    pub fn predict_custom(&self, name: &str, task: &TaskContext) -> Result<Estimate> {
        let at = self.place(name)?;
        let predicted = telemetry::predicted(Call::Custom, || {
            let inputs = self.inputs(task, false)?;
            let served = self.models.load();
            let estimate = self.estimate(self.serving(&served, task), at, &inputs.row, self.explains);
            Ok(Of(self.trainers[at].name(), estimate.status, estimate))
        })?;
        Ok(predicted.2)
    }

    /// Predicts with the model of a host's trainer, in its own type; `None` while no version is in production.
    ///
    /// # Errors
    /// `InvalidInput` when the trainer's model [is not served](Self::with_model), or naming the field of the task
    /// that is out of range.
    pub fn predict_with<T: Trainer<Model: 'static>>(
        &self,
        trainer: &T,
        task: &TaskContext,
    ) -> Result<Option<<T::Model as Predictor>::Prediction>> {
        let at = self.place(trainer.name())?;
        let predicted = telemetry::predicted(Call::Custom, || {
            let inputs = self.inputs(task, false)?;
            let served = self.models.load();
            let typed = self.serving(&served, task).typed::<T::Model>(at);
            let prediction = typed.map(|(_, model)| model.predict(&inputs.row));
            let status = if prediction.is_some() { Status::Calibrated } else { Status::ColdStart };
            Ok(Of(trainer.name(), status, prediction))
        })?;
        Ok(predicted.2)
    }

    /// Takes in the label of a prediction that was given, so that the intervals of its model keep their coverage of
    /// 80 and 90 % while the world drifts; a host calls it when it knows. Kept in memory, and reset with each
    /// version of the model, which was calibrated anew.
    ///
    /// # Errors
    /// `InvalidInput` when `actual` is not finite, or `target` is neither complexity, time nor quality.
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
    pub(crate) fn adapt(&self, adapted: Adapted) {
        self.adapted.store(Arc::new(adapted));
    }

    /// Predicts the quality of a generation whose code is there.
    ///
    /// # Errors
    /// `InvalidInput` naming the field that is out of range.
    pub fn predict_quality_of(
        &self,
        task: &TaskContext,
        completion: &Completion,
    ) -> Result<QualityPrediction> {
        telemetry::predicted(Call::Code, || {
            completion.validate()?;
            let mut row = self.features(task)?;
            let mut measured = completion.clone();
            measure(&mut measured, task.language.as_deref(), &CodeOptions::default());
            let known = self.engineer.add_code(&mut row.values, &measured);
            let served = self.models.load();
            let models = self.serving(&served, task);
            let estimate = self.estimate(models, QUALITY, &row, self.explains);
            Ok(QualityPrediction::new(estimate, known))
        })
    }

    /// Ranks the host's templates, the one that fits best first.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range, or when the service has no
    /// catalogue ([`PredictionService::with_templates`]).
    #[doc(alias = "TemplateSelector")]
    pub fn rank_templates(&self, task: &TaskContext) -> Result<TemplateRanking> {
        telemetry::predicted(Call::Templates, || {
            task.validate()?;
            let catalogue = self.catalogue.as_ref();
            let catalogue =
                catalogue.ok_or_else(|| Error::invalid("the service has no templates: give it some"))?;
            let (task, served) = (task.as_stored(), self.models.load());
            let view = TemplateView::of_shared(&self.history, &task, catalogue, self.clock.now());
            let rank = |ranker: &TemplateRanker| ranker.rank(&task, &view, catalogue);
            Ok(ranked(self.serving(&served, &task), rank))
        })
    }

    /// Finds the `most` past tasks most similar to `task` with their outcomes: by their descriptions' words and
    /// character n-grams or, where the service was given them, by the host's embeddings.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range; those of the embedder.
    pub fn similar_tasks(&self, task: &TaskContext, most: usize) -> Result<SimilarOutcomes> {
        task.validate()?;
        let (task, now) = (task.as_stored(), self.clock.now());
        let tasks = match &self.embedded {
            Some(embedded) => {
                let alike = embedded.nearest(&task.task_description, most, Some(&task.task_id))?;
                let alike = alike.into_iter().filter(|task| task.similarity > 0.0);
                self.history.with(|history| history.with_outcomes(alike, now))
            }
            None => self.history.with(|history| history.nearest(&task, most, now)),
        };
        Ok(SimilarOutcomes::new(tasks, self.locale()))
    }

    /// Returns the features of `task` as they are now.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn features(&self, task: &TaskContext) -> Result<FeatureRow> {
        self.inputs(task, false).map(|inputs| inputs.row)
    }

    /// Returns the version of the success model that is served now; `None` for the prior.
    pub fn success_version(&self) -> Option<u64> {
        self.models.load().production.version(SUCCESS)
    }

    /// Loads the models in production, the host's own among them, and swaps them in, all at once. Predictions in
    /// flight end with the models that they began with. When one is bad, all the old ones stay.
    ///
    /// # Errors
    /// Those of the registry; `Incompatible` when a model was made from other features; `Corrupt`
    /// when its bytes are damaged.
    pub async fn reload(&self, registry: &dyn ModelRegistry) -> Result<Reloaded> {
        let held = self.models.load_full();
        let (renewed, changes, changed) = held.renewed(registry, &self.trainers, self.schema).await?;
        if changed {
            self.models.store(Arc::new(renewed));
        }
        changes.iter().for_each(telemetry::serves);
        Ok(Reloaded { changes })
    }

    /// The place of a model of a number by its name.
    fn place(&self, name: &str) -> Result<usize> {
        let own = |at: &usize| ![SUCCESS, TEMPLATE].contains(at);
        let found = self.trainers.iter().position(|trainer| trainer.name() == name).filter(own);
        found.ok_or_else(|| {
            let names = (0..self.trainers.len()).filter(own).map(|at| self.trainers[at].name());
            let names = names.collect::<Vec<_>>().join(", ");
            Error::invalid(format!("no model {name} is served, only {names}: add it by with_model"))
        })
    }

    /// The models that predict for `task`.
    fn serving<'a>(&self, served: &'a Served, task: &TaskContext) -> &'a ModelSet {
        let canary = || (mixed(task.task_id.as_str()) >> 11) as f64 / (1_u64 << 53) as f64;
        match &served.challenging {
            Some(challenging) if self.canary > 0.0 && canary() < self.canary => challenging,
            _ => &served.production,
        }
    }

    /// Reads the clock, the history and the description of `task`, each once.
    fn inputs(&self, task: &TaskContext, with_templates: bool) -> Result<Inputs> {
        task.validate()?;
        let task = task.as_stored();
        let (text, now) = (self.engineer.read(&task), self.clock.now());
        let (view, templates) = self.history.with(|history| {
            let view = history.view_of(&task, text.grams.clone(), now);
            let catalogue = self.catalogue.as_ref().filter(|_| with_templates);
            let templates =
                catalogue.map(|all| TemplateView::with_groups(history, &task, all, view.groups()));
            (view, templates)
        });
        Ok(Inputs { row: self.engineer.row_of(&task, &view, &text), nearest: view.into_nearest(), templates })
    }

    fn each_candidate<R>(
        &self,
        candidates: &[TaskContext],
        predict: impl Fn(&ModelSet, Inputs) -> R,
    ) -> Result<Vec<R>> {
        let Some(first) = candidates.first() else { return Ok(Vec::new()) };
        for candidate in candidates {
            candidate.validate()?;
            if (&candidate.task_id, &candidate.task_description) != (&first.task_id, &first.task_description)
            {
                return Err(Error::invalid("the candidates are of two tasks: compare settings of one task"));
            }
        }
        let served = self.models.load();
        let models = self.serving(&served, first);
        let candidates: Vec<_> = candidates.iter().map(TaskContext::as_stored).collect();
        let read = self.engineer.read(&candidates[0]);
        let now = self.clock.now();
        let views: Vec<HistoryView> = self.history.with(|history| {
            let view = history.view_of(&candidates[0], read.grams.clone(), now);
            candidates.iter().map(|candidate| view.of_same_task(history, candidate)).collect()
        });
        let rows = candidates.iter().zip(&views).map(|(task, view)| self.engineer.row_of(task, view, &read));
        let inputs = rows.map(|row| Inputs { row, nearest: Vec::new(), templates: None });
        Ok(inputs.map(|inputs| predict(models, inputs)).collect())
    }

    /// Predicts with all models, with explanations or without.
    pub(crate) fn predict(&self, task: &TaskContext, explained: bool) -> Result<Predictions> {
        telemetry::predicted(Call::All, || {
            let served = self.models.load();
            self.all_of(self.serving(&served, task), task, explained)
        })
    }

    fn all_of(&self, models: &ModelSet, task: &TaskContext, explained: bool) -> Result<Predictions> {
        let mut inputs = self.inputs(task, true)?;
        let row = &inputs.row;
        let ranking = inputs.templates.take().zip(self.catalogue.as_ref());
        let templates = ranking.map(|(view, catalogue)| {
            let task = task.as_stored();
            ranked(models, |ranker| ranker.rank_row(&task, row, &view, catalogue))
        });
        let complexity = self.estimate(models, COMPLEXITY, row, explained);
        let time = self.estimate(models, TIME, row, explained);
        let quality = self.estimate(models, QUALITY, row, explained);
        let others: BTreeMap<_, _> = (OTHERS..self.trainers.len())
            .map(|at| (self.trainers[at].name().to_owned(), self.estimate(models, at, row, explained)))
            .collect();
        let success = self.success(models, inputs, explained);
        Ok(Predictions {
            complexity: ComplexityPrediction::new(complexity),
            time: TimePrediction::new(time, Some(success.success_probability)),
            quality: QualityPrediction::new(quality, false),
            templates,
            success,
            others,
        })
    }

    fn success(&self, models: &ModelSet, inputs: Inputs, explained: bool) -> SuccessPrediction {
        let row = &inputs.row;
        let loaded = models.typed::<SuccessModel>(SUCCESS);
        let mut prediction = match loaded {
            Some((version, model)) => SuccessPrediction { model_version: version, ..model.predict(row) },
            None => prior::prediction(row, self.schema),
        };
        if explained {
            prediction.similar_tasks = Some(SimilarOutcomes::new(inputs.nearest, self.locale()));
            let attributions = match loaded {
                Some((_, model)) => model.reasons(row),
                None => prior::attributions(row),
            };
            (prediction.risk_factors, prediction.attributions_by_topic) = self.worded(attributions);
            prediction.risk_factors.retain(|attribution| attribution.contribution < 0.0);
        }
        prediction.notes.extend(note_on(row));
        prediction
    }

    fn estimate(&self, models: &ModelSet, at: usize, row: &FeatureRow, explained: bool) -> Estimate {
        let (trainer, loaded) = (&self.trainers[at], models.get(at));
        let mut estimate = match loaded {
            Some(loaded) => {
                let levels = self.adapted.load().levels(trainer.target(), loaded.version);
                Estimate { model_version: loaded.version, ..loaded.model.estimate(row, levels) }
            }
            None => trainer.prior_estimate(row, self.schema),
        };
        if explained {
            let attributions = match loaded {
                Some(loaded) => loaded.model.reasons(row),
                None => trainer.prior_attributions(row),
            };
            (estimate.factors, estimate.factors_by_topic) = self.worded(attributions);
        }
        estimate.notes.extend(note_on(row));
        estimate
    }

    fn locale(&self) -> &dyn Locale {
        self.locale.as_deref().unwrap_or(&English)
    }

    /// The attributions in the host's words, and their sums by topic.
    fn worded(&self, mut attributions: Vec<Attribution>) -> (Vec<Attribution>, Vec<AttributionGroup>) {
        if let Some(locale) = &self.locale {
            attributions.iter_mut().for_each(|one| one.text = locale.sentence(one));
        }
        let by_topic = Attribution::by_topic(&attributions, self.locale());
        (attributions, by_topic)
    }
}

/// A ranking by the model in production, or by the past alone.
fn ranked(models: &ModelSet, rank: impl FnOnce(&TemplateRanker) -> TemplateRanking) -> TemplateRanking {
    match models.typed::<TemplateRanker>(TEMPLATE) {
        Some((version, ranker)) => TemplateRanking { model_version: version, ..rank(ranker) },
        None => rank(&TemplateRanker::prior()),
    }
}

/// A number for a text, all of whose bits depend on all of the text.
fn mixed(text: &str) -> u64 {
    let hash = text.bytes().fold(fnv::SEED, fnv::step);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The limits of a row that a prediction mentions.
fn note_on(row: &FeatureRow) -> Option<String> {
    row.truncated.then(|| format!("only the first {MAX_TEXT_BYTES} bytes of the description were read"))
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
        places.iter().for_each(|(at, target)| assert_eq!(targets::SERVED[*at].target, *target));
    }
}
