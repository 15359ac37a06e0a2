//! How a prediction is computed: one reading of clock, history and description for all models.

use super::models::{ModelSet, Served};
use super::predictions::Predictions;
use super::service::{COMPLEXITY, OTHERS, PredictionService, QUALITY, SUCCESS, TEMPLATE, TIME};
use super::telemetry::{self, Call};
use crate::error::{Error, Result};
use crate::event::TaskContext;
use crate::features::FeatureRow;
use crate::history::{HistoryView, NearestTask};
use crate::models::{
    Attribution, AttributionGroup, ComplexityPrediction, English, Estimate, Locale, Predictor,
    QualityPrediction, SimilarOutcomes, SuccessModel, SuccessPrediction, TemplateRanker, TemplateRanking,
    TemplateView, TimePrediction, Trainer, prior,
};
use crate::stats::fnv;
use crate::text::{Lexicon, MAX_TEXT_BYTES, TaskText};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The inputs read once for all models: feature row, nearest tasks and template statistics.
pub(super) struct Inputs {
    pub(super) row: FeatureRow,
    pub(super) nearest: Vec<NearestTask>,
    pub(super) templates: Option<TemplateView>,
}

impl PredictionService {
    /// The models that predict for `task`.
    pub(super) fn serving<'a>(&self, served: &'a Served, task: &TaskContext) -> &'a ModelSet {
        let canary = || (mixed(task.task_id.as_str()) >> 11) as f64 / (1_u64 << 53) as f64;
        match &served.challenging {
            Some(challenging) if self.canary > 0.0 && canary() < self.canary => challenging,
            _ => &served.production,
        }
    }

    /// Reads the description of `task` with the lexicon of the features.
    pub(crate) fn read(&self, task: &TaskContext) -> Arc<TaskText> {
        self.engineer.read(&task.as_stored())
    }

    /// Returns the lexicon that descriptions are read with.
    pub(crate) fn lexicon(&self) -> &Lexicon {
        self.engineer.lexicon()
    }

    /// Reads the clock, the history and the description of `task`, each once.
    pub(super) fn inputs(&self, task: &TaskContext, with_templates: bool) -> Result<Inputs> {
        self.engineer.validate(task)?;
        self.inputs_read(task, &self.read(task), with_templates)
    }

    fn inputs_read(&self, task: &TaskContext, text: &TaskText, with_templates: bool) -> Result<Inputs> {
        self.engineer.validate(task)?;
        let (task, now) = (task.as_stored(), self.clock.now());
        let (view, templates) = self.history.with(|history| {
            let view = history.view_of(&task, &text.grams, now);
            let catalogue = self.catalogue.as_ref().filter(|_| with_templates);
            let templates =
                catalogue.map(|all| TemplateView::with_groups(history, &task, all, view.groups()));
            (view, templates)
        });
        Ok(Inputs { row: self.engineer.row_of(&task, &view, text), nearest: view.into_nearest(), templates })
    }

    pub(super) fn each_candidate<R>(
        &self,
        candidates: &[TaskContext],
        text: &TaskText,
        predict: impl Fn(&ModelSet, Inputs) -> R,
    ) -> Result<Vec<R>> {
        let Some(first) = candidates.first() else { return Ok(Vec::new()) };
        for candidate in candidates {
            self.engineer.validate(candidate)?;
            if (&candidate.task_id, &candidate.task_description) != (&first.task_id, &first.task_description)
            {
                return Err(Error::invalid("the candidates are of two tasks: compare settings of one task"));
            }
        }
        let served = self.models.load();
        let models = self.serving(&served, first);
        let candidates: Vec<_> = candidates.iter().map(TaskContext::as_stored).collect();
        let now = self.clock.now();
        let views: Vec<HistoryView> = self.history.with(|history| {
            let view = history.view_of(&candidates[0], &text.grams, now);
            candidates.iter().map(|candidate| view.of_same_task(history, candidate)).collect()
        });
        let rows = candidates.iter().zip(&views).map(|(task, view)| self.engineer.row_of(task, view, text));
        let inputs = rows.map(|row| Inputs { row, nearest: Vec::new(), templates: None });
        Ok(inputs.map(|inputs| predict(models, inputs)).collect())
    }

    /// Predicts with all models, with explanations or without.
    pub(crate) fn predict(&self, task: &TaskContext, explained: bool) -> Result<Predictions> {
        self.predict_with_inputs(task, || self.inputs(task, true), explained)
    }

    /// Predicts as [`predict_all`](Self::predict_all) does; the description was [read](Self::read) before.
    pub(crate) fn predict_read(&self, task: &TaskContext, text: &TaskText) -> Result<Predictions> {
        self.predict_with_inputs(task, || self.inputs_read(task, text, true), self.explains)
    }

    fn predict_with_inputs(
        &self,
        task: &TaskContext,
        inputs: impl FnOnce() -> Result<Inputs>,
        explained: bool,
    ) -> Result<Predictions> {
        telemetry::predicted(Call::All, || {
            let served = self.models.load();
            let predictions = self.all_of(self.serving(&served, task), task, inputs()?, explained);
            for name in self.model_names().skip(OTHERS) {
                predictions.others.get(name).into_iter().for_each(|other| {
                    telemetry::count(name, other.status);
                    telemetry::count_unseen(name, &other.unseen.0);
                });
            }
            Ok(predictions)
        })
    }

    fn all_of(
        &self,
        models: &ModelSet,
        task: &TaskContext,
        mut inputs: Inputs,
        explained: bool,
    ) -> Predictions {
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
        Predictions {
            complexity: ComplexityPrediction::new(complexity),
            time: TimePrediction::new(time, Some(success.success_probability)),
            quality: QualityPrediction::new(quality, false),
            templates,
            success,
            others,
        }
    }

    pub(super) fn success(&self, models: &ModelSet, inputs: Inputs, explained: bool) -> SuccessPrediction {
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

    pub(super) fn estimate(
        &self,
        models: &ModelSet,
        at: usize,
        row: &FeatureRow,
        explained: bool,
    ) -> Estimate {
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

    pub(super) fn locale(&self) -> &dyn Locale {
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
pub(super) fn ranked(
    models: &ModelSet,
    rank: impl FnOnce(&TemplateRanker) -> TemplateRanking,
) -> TemplateRanking {
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
