//! The predictions that a service gives.

use super::compute::ranked;
use super::predictions::{CandidatePrediction, Predictions};
use super::service::{COST, PredictionService, QUALITY, TIME, TOKENS};
use super::telemetry::{self, Call, Of};
use crate::code_metrics::CodeOptions;
use crate::collect::measure;
use crate::error::{Error, Result};
use crate::event::{Completion, TaskContext};
use crate::features::{FEATURES, FeatureRow, index_of};
use crate::models::{
    AnyTrainer, Predictor, QualityPrediction, SimilarOutcomes, Status, SuccessPrediction, TemplateRanker,
    TemplateRanking, TemplateView, TimePrediction, Trainer,
};
use crate::text::TaskText;
use std::collections::BTreeMap;

impl PredictionService {
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

    /// Predicts success from features by their names (`rag_avg_quality`, …), as a caller gives them that has no task at hand;
    /// what is not given is as for a task of which nothing is known. Without explanations.
    ///
    /// ```
    /// # use devmatrix_ml::{clock::SystemClock, features::FeatureEngineer, history::SharedHistory, serving::PredictionService};
    /// # use std::{collections::BTreeMap, sync::Arc};
    /// # let history = Arc::new(SharedHistory::default());
    /// let service = PredictionService::new(history, FeatureEngineer::default(), Arc::new(SystemClock));
    /// let given = BTreeMap::from([("agent_past_performance".to_owned(), 0.9)]);
    /// assert!(service.predict_features(&given)?.success_probability > 0.0);
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` naming the feature that there is not, or whose value is not finite.
    pub fn predict_features(&self, given: &BTreeMap<String, f64>) -> Result<SuccessPrediction> {
        telemetry::predicted(Call::Success, || {
            let mut inputs = self.inputs(&TaskContext::of("features")?, false)?;
            for (name, value) in given {
                let at = index_of(name).ok_or_else(|| {
                    let near = FEATURES.iter().min_by_key(|f| strsim::damerau_levenshtein(f.name, name));
                    let near = near.map_or("", |feature| feature.name);
                    Error::invalid(format!(
                        "there is no feature `{}`, did you mean {near}?",
                        name.escape_debug()
                    ))
                })?;
                if !(*value as f32).is_finite() {
                    return Err(Error::invalid(format!("{name} is {value}: leave it out when unknown")));
                }
                let Some(place) = inputs.row.values.get_mut(at) else {
                    return Err(Error::invalid(format!("{name} is known after the end only: leave it out")));
                };
                *place = *value as f32;
            }
            Ok(self.success(&self.models.load().production, inputs, false))
        })
    }

    /// Predicts with all models, with explanations; the features are made once.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the task that is out of range.
    pub fn predict_all(&self, task: &TaskContext) -> Result<Predictions> {
        self.predict(task, self.explains)
    }

    /// Predicts success, time, cost and tokens, on which a choice depends, of one task with each of several settings, in order,
    /// without explanations: similar tasks are sought once, from one set of models and at one moment; `text` is their
    /// description, [read](Self::read) before.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of a candidate that is out of range, or when the candidates are not of
    /// one task with one description.
    pub(crate) fn predict_candidates(
        &self,
        candidates: &[TaskContext],
        text: &TaskText,
    ) -> Result<Vec<CandidatePrediction>> {
        telemetry::predicted(Call::Candidates, || {
            self.each_candidate(candidates, text, |models, inputs| {
                let time = self.estimate(models, TIME, &inputs.row, false);
                let cost = self.estimate(models, COST, &inputs.row, false);
                let tokens = self.estimate(models, TOKENS, &inputs.row, false);
                let success = self.success(models, inputs, false);
                CandidatePrediction {
                    cost,
                    tokens,
                    time: TimePrediction::new(time, Some(success.success_probability)),
                    success,
                }
            })
        })
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
        let named = |other: &AnyTrainer| other.name() == trainer.name();
        let at = self.trainers.iter().position(named).ok_or_else(|| {
            let names: Vec<_> = self.model_names().collect();
            let (name, names) = (trainer.name(), names.join(", "));
            Error::invalid(format!("no model {name} is served, only {names}: add it by with_model"))
        })?;
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

    /// Predicts the quality of a generation whose code is there.
    ///
    /// ```
    /// # use devmatrix_ml::clock::SystemClock;
    /// # use devmatrix_ml::features::FeatureEngineer;
    /// # use devmatrix_ml::history::SharedHistory;
    /// # use devmatrix_ml::serving::PredictionService;
    /// # use devmatrix_ml::{Completion, TaskContext};
    /// # let history = std::sync::Arc::new(SharedHistory::new());
    /// # let clock = std::sync::Arc::new(SystemClock);
    /// # let service = PredictionService::new(history, FeatureEngineer::default(), clock);
    /// let mut done = Completion::default();
    /// done.generated_code = Some("def add(a, b):\n    return a + b\n".into());
    /// let quality = service.predict_quality_of(&TaskContext::of("TASK-7")?, &done)?;
    /// assert!((0.0..=10.0).contains(&quality.estimate.value));
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` naming the field that is out of range.
    pub fn predict_quality_of(
        &self,
        task: &TaskContext,
        completion: &Completion,
    ) -> Result<QualityPrediction> {
        telemetry::predicted(Call::Code, || {
            self.engineer.validate_completion(completion)?;
            let mut row = self.features(task)?;
            let mut measured = completion.clone();
            measure(&mut measured, task.language.as_deref(), &CodeOptions::default());
            let known = self.engineer.add_completion(&mut row, &measured);
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
    pub(crate) fn rank_templates(&self, task: &TaskContext) -> Result<TemplateRanking> {
        telemetry::predicted(Call::Templates, || {
            self.engineer.validate(task)?;
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
        self.engineer.validate(task)?;
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
}
