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
use crate::history::{NearestTask, SharedHistory};
use crate::models::{
    Attribution, AttributionGroup, ComplexityPrediction, ComplexityTrainer, English, Estimate, Locale,
    Predictor, QualityPrediction, QualityTrainer, RegressionModel, RegressionTarget, RegressionTrainer,
    SimilarOutcomes, SuccessPrediction, TemplateCatalogue, TemplateRanker, TemplateRanking, TemplateView,
    TimePrediction, TimeTrainer, prior,
};
use crate::registry::ModelRegistry;
use crate::similarity::EmbeddedTasks;
use crate::stats::fnv;
use crate::text::MAX_TEXT_BYTES;
use arc_swap::ArcSwap;
pub(crate) use interval_levels::Adapted;
use models::{Loaded, ModelSet, Served};
use std::sync::Arc;
use telemetry::Call;

/// Answers from the models in production, and swaps them while answering.
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
#[derive(Debug)]
pub struct PredictionService {
    history: Arc<SharedHistory>,
    engineer: FeatureEngineer,
    schema: u64,
    clock: Arc<dyn Clock>,
    models: ArcSwap<Served>,
    adapted: ArcSwap<Adapted>,
    catalogue: Option<TemplateCatalogue>,
    /// The host's words for reasons; English without.
    locale: Option<Arc<dyn Locale>>,
    /// The host's own embeddings of past tasks.
    embedded: Option<Arc<EmbeddedTasks>>,
    /// Share of tasks that challengers answer.
    canary: f64,
}

/// What is looked at once for all models.
struct Seen {
    row: FeatureRow,
    nearest: Vec<NearestTask>,
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// The models that changed; empty when all stayed.
    pub changes: Vec<ModelChange>,
}

impl Reloaded {
    /// What happened to one model.
    pub fn of(&self, model: &str) -> Option<&ModelChange> {
        self.changes.iter().find(|change| change.model == model)
    }
}

impl PredictionService {
    /// A service that answers from the past alone until models are loaded.
    pub fn new(history: Arc<SharedHistory>, engineer: FeatureEngineer, clock: Arc<dyn Clock>) -> Self {
        let schema = engineer.fingerprint();
        Self {
            history,
            engineer,
            schema,
            clock,
            models: ArcSwap::default(),
            adapted: ArcSwap::default(),
            catalogue: None,
            locale: None,
            embedded: None,
            canary: 0.0,
        }
    }

    /// The same with the host's templates to rank.
    #[must_use]
    pub fn with_templates(self, catalogue: TemplateCatalogue) -> Self {
        Self { catalogue: Some(catalogue), ..self }
    }

    /// The same with reasons in the host's words.
    #[must_use]
    pub fn with_locale(self, locale: Arc<dyn Locale>) -> Self {
        Self { locale: Some(locale), ..self }
    }

    /// The same with similar tasks found by the host's embeddings; the host takes new tasks into
    /// `tasks` itself.
    #[must_use]
    pub fn with_embedded_tasks(self, tasks: Arc<EmbeddedTasks>) -> Self {
        Self { embedded: Some(tasks), ..self }
    }

    /// The same with challengers on trial answering this share (0 to 1) of tasks, always the same ones:
    /// what they change in the host's choices is then seen on a few before it is on all. Each answer
    /// says the version that gave it.
    ///
    /// # Errors
    /// `InvalidInput` for a share that is not from 0 to 1.
    pub fn with_canary(self, share: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::invalid(format!("the canary's share is {share}, expected 0 to 1")));
        }
        Ok(Self { canary: share, ..self })
    }

    /// How likely `task` is approved without modification, with what speaks against it.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_success(&self, task: &TaskContext) -> Result<SuccessPrediction> {
        self.success_of(task, true)
    }

    /// The same without reasons, several times quicker.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_success_only(&self, task: &TaskContext) -> Result<SuccessPrediction> {
        self.success_of(task, false)
    }

    /// What all models say of `task`, with their reasons; the features are made once.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_all(&self, task: &TaskContext) -> Result<Predictions> {
        self.all(task, true)
    }

    /// The same without reasons, several times quicker.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_all_only(&self, task: &TaskContext) -> Result<Predictions> {
        self.all(task, false)
    }

    /// What the challengers on trial say of `task`, the models in production standing in where there is
    /// none, without reasons and without effect; `None` where nothing is on trial. Their record for the
    /// gate is kept by [`Training::review`](crate::training::Training::review), which makes the same
    /// predictions again from the store; this is for a host that wants to see them.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_challenger(&self, task: &TaskContext) -> Result<Option<Predictions>> {
        let served = self.models.load();
        served.challenging.as_ref().map(|models| self.all_of(models, task, false)).transpose()
    }

    /// What all models say of each task, in order, without reasons; one bad task spoils no other.
    pub fn predict_batch(&self, tasks: &[TaskContext]) -> Vec<Result<Predictions>> {
        tasks.iter().map(|task| self.all(task, false)).collect()
    }

    /// What all models say of one task done in each of several ways, in order, without reasons: the
    /// description is read and the tasks most alike are sought once, from one set of models and at
    /// one moment. Templates are not ranked.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of a way that is out of range, or when the ways are not of the
    /// same task with the same description.
    pub fn predict_what_if(&self, ways: &[TaskContext]) -> Result<Vec<Predictions>> {
        telemetry::predicted(Call::WhatIf, || {
            self.what_if(ways, |models, seen| self.all_seen(models, seen, None, false))
        })
    }

    /// The same of success and time alone, which is what a choice hangs on; several times quicker.
    ///
    /// # Errors
    /// Those of [`PredictionService::predict_what_if`].
    pub fn predict_candidates(&self, ways: &[TaskContext]) -> Result<Vec<CandidatePrediction>> {
        telemetry::predicted(Call::WhatIf, || {
            self.what_if(ways, |models, seen| {
                let time = self.estimate(models.time.as_deref(), &TimeTrainer::default(), &seen.row, false);
                let success = self.success(models, seen, false);
                CandidatePrediction {
                    time: TimePrediction::new(time, Some(success.success_probability)),
                    success,
                }
            })
        })
    }

    /// Learns what became of an estimate that was given, so that the intervals of its model go on
    /// holding eight and nine in ten while the world drifts; a host calls it when it knows. Kept in
    /// memory, and begun anew with each version of the model, which was calibrated anew.
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

    /// How good the code of a generation will be judged, now that it is there.
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
            let models = self.answering(&served, task);
            let estimate = self.estimate(models.quality.as_deref(), &QualityTrainer::default(), &row, true);
            Ok(QualityPrediction::new(estimate, known))
        })
    }

    /// The host's templates, the one that fits best first.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range, or when the service has no
    /// catalogue ([`PredictionService::with_templates`]).
    pub fn rank_templates(&self, task: &TaskContext) -> Result<TemplateRanking> {
        telemetry::predicted(Call::Templates, || {
            task.validate()?;
            let catalogue = self.catalogue.as_ref();
            let catalogue =
                catalogue.ok_or_else(|| Error::invalid("the service has no templates: give it some"))?;
            Ok(self.rank(&self.models.load().production, &task.as_stored(), catalogue))
        })
    }

    /// The `most` past tasks most like `task` with what came of them: by their descriptions' words and
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

    /// The features of `task` as they are now.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn features(&self, task: &TaskContext) -> Result<FeatureRow> {
        self.look(task).map(|seen| seen.row)
    }

    /// The version of the success model that answers now; `None` for the prior.
    pub fn success_version(&self) -> Option<u64> {
        self.models.load().production.success.as_ref().map(|loaded| loaded.version)
    }

    /// Loads the models in production and swaps them in, all at once. Predictions under way end
    /// with the models that they began with. When one is bad, all the old ones stay.
    ///
    /// # Errors
    /// Those of the registry; `Incompatible` when a model was made from other features; `Corrupt`
    /// when its bytes are damaged.
    pub async fn reload(&self, registry: &dyn ModelRegistry) -> Result<Reloaded> {
        let held = self.models.load_full();
        let (renewed, changes, changed) = held.renewed(registry, self.schema).await?;
        if changed {
            self.models.store(Arc::new(renewed));
        }
        changes.iter().for_each(telemetry::serves);
        Ok(Reloaded { changes })
    }

    /// The models that answer for `task`.
    fn answering<'a>(&self, served: &'a Served, task: &TaskContext) -> &'a ModelSet {
        let canary = || (mixed(task.task_id.as_str()) >> 11) as f64 / (1_u64 << 53) as f64;
        match &served.challenging {
            Some(challenging) if self.canary > 0.0 && canary() < self.canary => challenging,
            _ => &served.production,
        }
    }

    fn look(&self, task: &TaskContext) -> Result<Seen> {
        task.validate()?;
        let task = task.as_stored();
        let (text, now) = (self.engineer.read(&task), self.clock.now());
        let view = self.history.with(|history| history.view_of(&task, text.grams.clone(), now));
        Ok(Seen { row: self.engineer.row_of(&task, &view, &text), nearest: view.into_nearest() })
    }

    fn success_of(&self, task: &TaskContext, explained: bool) -> Result<SuccessPrediction> {
        telemetry::predicted(Call::Success, || {
            let seen = self.look(task)?;
            let served = self.models.load();
            Ok(self.success(self.answering(&served, task), seen, explained))
        })
    }

    fn what_if<R>(&self, ways: &[TaskContext], answer: impl Fn(&ModelSet, Seen) -> R) -> Result<Vec<R>> {
        let Some(first) = ways.first() else { return Ok(Vec::new()) };
        for way in ways {
            way.validate()?;
            if (&way.task_id, &way.task_description) != (&first.task_id, &first.task_description) {
                return Err(Error::invalid("what if takes ways to do one task, here are two tasks"));
            }
        }
        let served = self.models.load();
        let models = self.answering(&served, first);
        let ways: Vec<_> = ways.iter().map(TaskContext::as_stored).collect();
        let (read, now) = (self.engineer.read(&ways[0]), self.clock.now());
        let view = self.history.with(|history| history.view_of(&ways[0], read.grams.clone(), now));
        let views: Vec<_> =
            self.history.with(|history| ways.iter().map(|way| view.of_same_task(history, way)).collect());
        let rows = ways.iter().zip(&views).map(|(way, view)| self.engineer.row_of(way, view, &read));
        Ok(rows.map(|row| answer(models, Seen { row, nearest: Vec::new() })).collect())
    }

    fn all(&self, task: &TaskContext, explained: bool) -> Result<Predictions> {
        telemetry::predicted(Call::All, || {
            let served = self.models.load();
            self.all_of(self.answering(&served, task), task, explained)
        })
    }

    fn all_of(&self, models: &ModelSet, task: &TaskContext, explained: bool) -> Result<Predictions> {
        let seen = self.look(task)?;
        let templates = self.catalogue.as_ref().map(|all| self.rank(models, &task.as_stored(), all));
        Ok(self.all_seen(models, seen, templates, explained))
    }

    fn all_seen(
        &self,
        models: &ModelSet,
        seen: Seen,
        templates: Option<TemplateRanking>,
        explained: bool,
    ) -> Predictions {
        let complexity =
            self.estimate(models.complexity.as_deref(), &ComplexityTrainer::default(), &seen.row, explained);
        let time = self.estimate(models.time.as_deref(), &TimeTrainer::default(), &seen.row, explained);
        let quality =
            self.estimate(models.quality.as_deref(), &QualityTrainer::default(), &seen.row, explained);
        let success = self.success(models, seen, explained);
        Predictions {
            complexity: ComplexityPrediction::new(complexity),
            time: TimePrediction::new(time, Some(success.success_probability)),
            quality: QualityPrediction::new(quality, false),
            templates,
            success,
        }
    }

    fn success(&self, models: &ModelSet, seen: Seen, explained: bool) -> SuccessPrediction {
        let row = &seen.row;
        let mut prediction = match &models.success {
            Some(loaded) => SuccessPrediction { model_version: loaded.version, ..loaded.model.predict(row) },
            None => prior::prediction(row, self.schema),
        };
        if explained {
            prediction.similar_tasks = Some(SimilarOutcomes::new(seen.nearest, self.locale()));
        }
        if let Some(loaded) = models.success.as_ref().filter(|_| explained) {
            let (reasons, by_topic) = self.worded(loaded.model.reasons(row));
            (prediction.risk_factors, prediction.attributions_by_topic) = (reasons, by_topic);
            prediction.risk_factors.retain(|reason| reason.contribution < 0.0);
        }
        prediction.notes.extend(note_on(row));
        prediction
    }

    fn estimate<Q: RegressionTarget>(
        &self,
        loaded: Option<&Loaded<RegressionModel<Q>>>,
        trainer: &RegressionTrainer<Q>,
        row: &FeatureRow,
        explained: bool,
    ) -> Estimate {
        let mut estimate = match loaded {
            Some(Loaded { version, model }) => {
                let levels = self.adapted.load().levels(Q::TARGET, *version);
                Estimate { model_version: *version, ..model.predict_at(row, levels) }
            }
            None => trainer.prior_estimate(row, self.schema),
        };
        if let Some(loaded) = loaded.filter(|_| explained) {
            (estimate.factors, estimate.factors_by_topic) = self.worded(loaded.model.reasons(row));
        }
        estimate.notes.extend(note_on(row));
        estimate
    }

    fn locale(&self) -> &dyn Locale {
        self.locale.as_deref().unwrap_or(&English)
    }

    /// The reasons in the host's words, and what they come to by topic.
    fn worded(&self, mut reasons: Vec<Attribution>) -> (Vec<Attribution>, Vec<AttributionGroup>) {
        if let Some(locale) = &self.locale {
            reasons.iter_mut().for_each(|reason| reason.text = locale.sentence(reason));
        }
        let by_topic = Attribution::by_topic(&reasons, self.locale());
        (reasons, by_topic)
    }

    fn rank(&self, models: &ModelSet, task: &TaskContext, catalogue: &TemplateCatalogue) -> TemplateRanking {
        let view = TemplateView::of_shared(&self.history, task, catalogue, self.clock.now());
        match &models.template {
            Some(loaded) => {
                let ranking = loaded.model.rank(task, &view, catalogue);
                TemplateRanking { model_version: loaded.version, ..ranking }
            }
            None => TemplateRanker::prior().rank(task, &view, catalogue),
        }
    }
}

/// A number for a text, all of whose bits hang on all of the text.
fn mixed(text: &str) -> u64 {
    let hash = text.bytes().fold(fnv::SEED, fnv::step);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// What else to know of a row.
fn note_on(row: &FeatureRow) -> Option<String> {
    row.truncated.then(|| format!("only the first {MAX_TEXT_BYTES} bytes of the description were read"))
}
