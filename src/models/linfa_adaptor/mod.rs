//! Estimators of `linfa` as trainers and models of this crate.

mod encoder;
mod output;

use super::regression::{Complexity, Quality, RegressionTrainer, Time};
use super::{Attribution, Estimate, Predictor, Status, SuccessTrainer, Trainer};
use crate::dataset::{Dataset, Example, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{FeatureId, FeatureRow};
use crate::ml::metrics::RegressionScores;
use encoder::{LinfaDataset, RecordEncoder};
use ndarray::{Array1, Array2, Ix1};
use output::Output;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Trains any estimator of `linfa` as a model of this crate: on encoded rows ([`Dataset::to_linfa`]), calibrated (or given
/// intervals) on the newest fifth of them, evaluated, promoted, monitored and served as the built-in models are.
///
/// ```
/// use devmatrix_ml::dataset::Target;
/// use devmatrix_ml::models::LinfaTrainer;
/// use linfa::prelude::*;
/// use linfa_trees::DecisionTree;
/// let trainer = LinfaTrainer::new(
///     "success_tree",
///     Target::Success,
///     |rows| DecisionTree::params().max_depth(Some(4)).fit(&rows.map_targets(|label| *label > 0.5)),
///     |model: &DecisionTree<f64, bool>, rows| model.predict(rows).mapv(|yes| f64::from(u8::from(yes))),
/// );
/// let builder = devmatrix_ml::Engine::builder().with_model(trainer);
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "linfa")))]
pub struct LinfaTrainer<M> {
    name: &'static str,
    target: Target,
    fit: Box<dyn Fn(LinfaDataset) -> Result<M> + Send + Sync>,
    score: Arc<Score<M>>,
}

/// A fitted estimator of `linfa` with what makes its numbers predictions.
struct LinfaModel<M> {
    stored: Stored<M>,
    target: Target,
    score: Arc<Score<M>>,
}

type Score<M> = dyn Fn(&M, &Array2<f64>) -> Array1<f64> + Send + Sync;

/// A model as it is written, in JSON: its reader bounds how deep a tree may be, and its keys have an order, which those of
/// a hash map in an estimator have not.
#[derive(Serialize, Deserialize)]
struct Stored<M> {
    linfa_model: u32,
    schema: u64,
    encoder: RecordEncoder,
    output: Output,
    estimator: M,
}

/// The format of [`Stored`].
const FORMAT: u32 = 1;

/// Fewer labelled generations than these teach no estimator anything.
const FEWEST: usize = 50;

/// Fewer held-out rows than these calibrate nothing.
const FEWEST_HELD_OUT: usize = 30;

/// Share of the newest examples that calibrates.
const CALIBRATION_SHARE: f64 = 0.2;

impl<M> LinfaTrainer<M> {
    /// Creates a trainer of the model `name` for `target`. `fit` fits the estimator to labels as they are (1 for success, 0
    /// for failure; seconds; tokens), and `score` gives one number a row: for success a probability or any number that
    /// grows with it, such as a class or a distance; else the prediction in the unit of the label.
    pub fn new<E: std::error::Error + Send + Sync + 'static>(
        name: &'static str,
        target: Target,
        fit: impl Fn(linfa::Dataset<f64, f64, Ix1>) -> std::result::Result<M, E> + Send + Sync + 'static,
        score: impl Fn(&M, &Array2<f64>) -> Array1<f64> + Send + Sync + 'static,
    ) -> Self {
        let failed = move |e: E| Error::invalid(format!("{name} cannot be fitted")).with_source(e);
        let fit = Box::new(move |rows: LinfaDataset| fit(rows).map_err(failed));
        Self { name, target, fit, score: Arc::new(score) }
    }
}

impl<M: Serialize + DeserializeOwned + Send + Sync> LinfaTrainer<M> {
    fn fit_to(&self, rows: &[&Example]) -> Result<(RecordEncoder, M)> {
        let (encoder, rows) = RecordEncoder::fit(rows)?;
        let panicked = |_| Error::invalid(format!("{} cannot be fitted: its estimator panicked", self.name));
        let estimator = catch_unwind(AssertUnwindSafe(|| (self.fit)(rows))).map_err(panicked)??;
        Ok((encoder, estimator))
    }

    /// Learns from held-out rows what the estimator's numbers mean.
    fn output(&self, data: &Dataset) -> Result<Output> {
        let Ok((earlier, held_out)) = data.split_by_time(CALIBRATION_SHARE) else {
            return Ok(Output::default());
        };
        let earlier: Vec<_> = earlier.certain().collect();
        if held_out.len() < FEWEST_HELD_OUT || self.check(&earlier).is_err() {
            return Ok(Output::default());
        }
        let (encoder, estimator) = self.fit_to(&earlier)?;
        let rows = encoder.encode(held_out.iter().map(|e| e.features.as_ref()))?;
        let scores = scores_of(self.score.as_ref(), &estimator, &rows).ok_or_else(|| self.not_finite())?;
        Output::fit(self.target, &scores, &held_out)
    }

    fn check(&self, rows: &[&Example]) -> Result<()> {
        let (have, name) = (rows.len(), self.name);
        let few = |need, why| Err(Error::new(ErrorKind::NotEnoughData { have, need }, why));
        if have < FEWEST {
            return few(
                FEWEST,
                format!("{name}: {have} labelled generations, {FEWEST} are needed: record more"),
            );
        }
        if self.target.is_binary() {
            let successes = rows.iter().filter(|e| e.label >= 0.5).count();
            if successes == 0 || successes == have {
                let all = if successes == 0 { "failures" } else { "successes" };
                return few(
                    have + 1,
                    format!("{name}: all {have} labelled generations are {all}: record both"),
                );
            }
        }
        Ok(())
    }

    fn open(&self, bytes: &[u8]) -> Result<LinfaModel<M>> {
        let unread = |e| Error::corrupt(format!("the model {} cannot be read", self.name)).with_source(e);
        let stored: Stored<M> = serde_json::from_slice(bytes).map_err(unread)?;
        if stored.linfa_model != FORMAT {
            let why = format!("{}: format {} of its model is not read here", self.name, stored.linfa_model);
            return Err(Error::incompatible(why));
        }
        let stored = Stored { encoder: stored.encoder.opened()?, ..stored };
        stored.output.validate()?;
        let model = LinfaModel { stored, target: self.target, score: self.score.clone() };
        let average = Array2::zeros((1, model.stored.encoder.width()));
        let answer = scores_of(model.score.as_ref(), &model.stored.estimator, &average);
        answer.map(|_| model).ok_or_else(|| {
            Error::corrupt(format!("the model {} gives no number for an average task", self.name))
        })
    }

    fn not_finite(&self) -> Error {
        Error::invalid(format!("{}: its estimator does not give one finite number a row", self.name))
    }
}

/// Runs the estimator: `None` where it panics or does not give a finite number a row.
fn scores_of<M>(score: &Score<M>, estimator: &M, rows: &Array2<f64>) -> Option<Vec<f64>> {
    let scores = catch_unwind(AssertUnwindSafe(|| score(estimator, rows))).ok()?;
    let sound = scores.len() == rows.nrows() && scores.iter().all(|score| score.is_finite());
    sound.then(|| scores.to_vec())
}

/// Evaluates `$call` with the built-in trainer of a target as `$trainer`, else `$other`.
macro_rules! with_trainer_of {
    ($target:expr, |$trainer:ident| $call:expr, $other:expr) => {
        match $target {
            Target::Success => {
                let $trainer = SuccessTrainer::default();
                $call
            }
            Target::Complexity => {
                let $trainer = RegressionTrainer::<Complexity>::default();
                $call
            }
            Target::Time => {
                let $trainer = RegressionTrainer::<Time>::default();
                $call
            }
            Target::Quality => {
                let $trainer = RegressionTrainer::<Quality>::default();
                $call
            }
            _ => $other,
        }
    };
}

impl<M: Serialize + DeserializeOwned + Send + Sync + 'static> Trainer for LinfaTrainer<M> {
    type Model = Box<dyn Predictor<Prediction = f64>>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn target(&self) -> Target {
        self.target
    }

    /// Calibrates on the newest fifth with a fit to the rest, then fits to everything. The model must be read back as it
    /// was written, so that no version is registered that cannot be served.
    fn fit(&self, data: &Dataset) -> Result<Self::Model> {
        let rows: Vec<_> = data.certain().collect();
        self.check(&rows)?;
        let output = self.output(data)?;
        let (encoder, estimator) = self.fit_to(&rows)?;
        let stored = Stored { linfa_model: FORMAT, schema: data.schema, encoder, output, estimator };
        let unusable = |e: Error| self.not_finite().with_source(e);
        let model = self.open(&bytes_of(&stored).map_err(unusable)?).map_err(unusable)?;
        Ok(Box::new(model))
    }

    fn read(&self, bytes: &[u8]) -> Result<Self::Model> {
        Ok(Box::new(self.open(bytes)?))
    }

    fn prior(&self, row: &FeatureRow) -> (f64, Status) {
        with_trainer_of!(self.target, |trainer| trainer.prior(row), tokens_before(row))
    }

    fn loss(&self, point: f64, label: f64) -> f64 {
        with_trainer_of!(self.target, |trainer| trainer.loss(point, label), (point - label).abs())
    }

    /// Those of the built-in model of its target.
    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)> {
        with_trainer_of!(self.target, |trainer| trainer.baselines(train, test), {
            let mut labels: Vec<_> = train.certain().map(|e| e.label).collect();
            labels.sort_by(f64::total_cmp);
            let median = labels.get(labels.len() / 2).copied().unwrap_or(0.0);
            vec![("constant".to_owned(), vec![median; test.len()])]
        })
    }

    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        with_trainer_of!(
            self.target,
            |trainer| trainer.scores(points, labels),
            Ok(RegressionScores::of(points, labels)?.to_map())
        )
    }

    fn weighted_scores(
        &self,
        points: &[f64],
        labels: &[f64],
        weights: &[f64],
    ) -> Result<BTreeMap<String, f64>> {
        with_trainer_of!(
            self.target,
            |trainer| trainer.weighted_scores(points, labels, weights),
            self.scores(points, labels)
        )
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({ "linfa": std::any::type_name::<M>() })
    }
}

/// Predicts what the LLM's generations use, where that is known.
fn tokens_before(row: &FeatureRow) -> (f64, Status) {
    match row.values.get(FeatureId::AvgTokensPerTask as usize) {
        Some(mean) if !mean.is_nan() => (f64::from(*mean).exp_m1(), Status::ColdStart),
        _ => (0.0, Status::InsufficientEvidence),
    }
}

impl<M: Serialize + Send + Sync> Predictor for LinfaModel<M> {
    type Prediction = f64;

    fn predict(&self, row: &FeatureRow) -> f64 {
        self.point(row)
    }

    /// Predicts a row that the estimator gives no number for as the average task.
    fn point(&self, row: &FeatureRow) -> f64 {
        let Stored { encoder, output, estimator, .. } = &self.stored;
        let score = |rows: &Array2<f64>| Some(scores_of(self.score.as_ref(), estimator, rows)?[0]);
        let here = encoder.encode(std::iter::once(row)).ok().and_then(|rows| score(&rows));
        let score = here.or_else(|| score(&Array2::zeros((1, encoder.width()))));
        output.point(self.target, score.unwrap_or(0.0))
    }

    fn intervals(&self, row: &FeatureRow) -> Option<[(f64, f64); 2]> {
        self.stored.output.intervals(self.target, self.point(row), super::LEVELS)
    }

    fn estimate(&self, row: &FeatureRow, levels: [f64; 2]) -> Estimate {
        let point = self.point(row);
        let intervals = self.stored.output.intervals(self.target, point, levels);
        let intervals = intervals.unwrap_or([output::range(self.target); 2]);
        Estimate::new(point, intervals, Status::Calibrated, self.schema())
    }

    /// None: an estimator of `linfa` does not attribute.
    fn reasons(&self, _row: &FeatureRow) -> Vec<Attribution> {
        Vec::new()
    }

    fn schema(&self) -> u64 {
        self.stored.schema
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        bytes_of(&self.stored)
    }
}

fn bytes_of<M: Serialize>(stored: &Stored<M>) -> Result<Vec<u8>> {
    let value = serde_json::to_value(stored).and_then(|value| serde_json::to_vec(&value));
    value.map_err(|e| Error::internal("the model cannot be written").with_source(e))
}

impl<M> fmt::Debug for LinfaTrainer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, target, .. } = self;
        f.debug_struct("LinfaTrainer").field("name", name).field("target", target).finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for LinfaModel<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stored { schema, encoder, output, .. } = &self.stored;
        let mut shown = f.debug_struct("LinfaModel");
        shown.field("schema", schema).field("encoder", encoder).field("output", output);
        shown.finish_non_exhaustive()
    }
}
