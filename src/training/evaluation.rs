//! Fits a model, evaluates it on a test set, and applies the gate.

use super::forward_blocks::{self, BlockView, ForwardBlock};
use super::gate::{AgainstChampion, Champion, GateVerdict, TaskKind};
use super::label_noise::{self, AnomalousLabeler};
use super::leaks;
use super::losses::{UnitLosses, clusters, points};
use super::options::{Split, TrainingOptions};
use super::slices::{CalibrationBin, Slice, calibration_table, slices};
use crate::dataset::{Dataset, Example, LabelKind, response_weights};
use crate::error::{Error, Result};
use crate::execution;
use crate::ml::metrics::{PairedComparison, compare_auc, compare_paired};
use crate::models::{Trainer, is_seen};
use chrono::{DateTime, Utc};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::thread;

/// Scores of a model and of the baselines on the test set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// The model's scores by name.
    pub metrics: BTreeMap<String, f64>,
    /// The baselines' scores.
    pub(crate) baselines: BTreeMap<String, BTreeMap<String, f64>>,
    /// Number of training rows and of test rows.
    pub(crate) rows: (usize, usize),
    /// Mean loss and its upper confidence bound at the gate's confidence.
    pub(crate) loss: (f64, f64),
    /// Paired comparison of the loss with each baseline's.
    pub(crate) against_baselines: BTreeMap<String, PairedComparison>,
    /// Comparison with the model in production on the rows that neither was fitted on.
    pub(crate) against_champion: Option<AgainstChampion>,
    /// Number of test rows that the model in production was not fitted on; `None` without one.
    pub(crate) new_to_champion: Option<usize>,
    /// End of the holdout model's training data: it has not seen rows since then.
    #[serde(alias = "learnt_until")]
    pub(crate) trained_until: Option<DateTime<Utc>>,
    /// Scores by slice.
    pub(crate) slices: Vec<Slice>,
    /// Calibration table, for binary outcomes.
    pub(crate) calibration: Vec<CalibrationBin>,
    /// Sources whose labels contradict the predictions of a model fitted on all sources.
    #[serde(alias = "susp\u{65}cts")]
    pub(crate) anomalous_labelers: Vec<AnomalousLabeler>,
    /// Losses of the model and of the best baseline on generations of new tasks and of those seen before.
    #[serde(default)]
    pub(crate) by_task: BTreeMap<String, TaskKind>,
    /// The host's own columns that seem to leak the outcome, and columns that no model uses.
    #[serde(default)]
    pub(crate) column_warnings: Vec<String>,
}

/// The model in production, for comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incumbent<'a, M> {
    /// Its holdout model, which was fitted without the test set of its training run.
    pub(crate) holdout_model: &'a M,
    /// End of the holdout model's training data; `None` if it has seen no row of the test set.
    pub(crate) trained_until: Option<DateTime<Utc>>,
}

/// A fitted and evaluated model.
#[derive(Debug)]
pub(crate) struct Evaluated<M> {
    /// The model to serve, fitted on all rows.
    pub(crate) model: M,
    /// The model fitted without the test set, with which the next challenger is compared on rows that
    /// neither has seen.
    pub(crate) holdout_model: M,
    /// Evaluation of the holdout model.
    pub(crate) evaluation: Evaluation,
    /// Verdict of the gate.
    pub(crate) verdict: GateVerdict,
}

/// Fits on the training set and evaluates on the test set; with two threads, the model to serve is fitted
/// on all rows in parallel.
///
/// # Errors
/// Those of the trainer; `NotEnoughData` when the test set is empty; `Cancelled`.
pub(crate) fn fit_and_evaluate<T: Trainer>(
    trainer: &T,
    data: &Dataset,
    champion: Option<Incumbent<'_, T::Model>>,
    options: &TrainingOptions,
) -> Result<Evaluated<T::Model>> {
    options.validate()?;
    let (train, test) = match options.split {
        Split::Time => data.split_by_time(options.test_fraction)?,
        Split::StratifiedRandom => split_at_random(data, options.test_fraction, options.seed)?,
    };
    let mut holdout_model = trainer.fit_points(&train)?;
    let find =
        || label_noise::find(trainer, (&train, &holdout_model), (&test, &points(&holdout_model, &test)?));
    let (anomalous_labelers, model) = with_both(find, || trainer.fit_beside(data, &train, &holdout_model));
    let (anomalous_labelers, mut model) = (anomalous_labelers?, model?);
    let excluded = label_noise::excluded(&anomalous_labelers);
    if options.exclude_anomalous_labelers && !excluded.is_empty() {
        let (fewer, all) = (label_noise::without(&train, &excluded), label_noise::without(data, &excluded));
        holdout_model = trainer.fit_points(&fewer)?;
        model = trainer.fit_beside(&all, &fewer, &holdout_model)?;
    }
    let earlier = match (&champion, options.split) {
        (None, Split::Time) if options.gate.baselines => {
            forward_blocks::earlier(trainer, &train, test.len())?
        }
        _ => Vec::new(),
    };
    let is_first = champion.is_none();
    let judge = Judge { trainer, train: &train, test: &test, earlier: &earlier, options };
    let (mut evaluation, mut verdict) = judge.decide(&holdout_model, champion)?;
    if is_first && !verdict.promotes() {
        let judge = Judge { earlier: &[], ..judge };
        if let Some(baseline) = judge.baseline(data, &verdict)? {
            Evaluated { model, holdout_model, evaluation, verdict } = baseline;
        }
    }
    evaluation.anomalous_labelers = anomalous_labelers;
    evaluation.column_warnings = leaks::warnings(data)?;
    evaluation.trained_until = match options.split {
        Split::Time => test.first().map(|e| e.started_at),
        Split::StratifiedRandom => data.examples.last().map(|e| e.started_at),
    };
    execution::check()?;
    Ok(Evaluated { model, holdout_model, evaluation, verdict })
}

/// Runs both, in parallel if two threads are available.
pub(super) fn with_both<A, B: Send>(
    first: impl FnOnce() -> Result<A>,
    second: impl FnOnce() -> Result<B> + Send,
) -> (Result<A>, Result<B>) {
    if execution::threads(2) < 2 {
        let first = first();
        // If the first failed or was cancelled, the second is not needed.
        let second = if first.is_ok() { second() } else { Err(Error::internal("not tried")) };
        return (first, second);
    }
    let half = execution::current().shared(2);
    thread::scope(|scope| {
        let inside = half.clone();
        let second = scope.spawn(move || inside.run(second));
        let first = half.run(first);
        (first, second.join().unwrap_or_else(|_| Err(Error::internal("a fit on a second thread panicked"))))
    })
}

impl Evaluation {
    /// Returns the incumbent that the gate compares with.
    pub(crate) fn champion(&self) -> Champion<'_> {
        match (&self.against_champion, self.new_to_champion) {
            (Some(with), _) => Champion::Compared(with),
            (None, Some(rows)) => Champion::TooFewRows(rows),
            (None, None) => Champion::None,
        }
    }
}

/// Fewest outcomes for a comparison with the incumbent.
const FEWEST_ROWS: usize = 30;

/// Inputs of an evaluation.
struct Judge<'a, T> {
    trainer: &'a T,
    train: &'a Dataset,
    test: &'a [Example],
    /// Earlier blocks, on which a first model is compared with the baselines too.
    earlier: &'a [ForwardBlock],
    options: &'a TrainingOptions,
}

impl<T: Trainer> Judge<'_, T> {
    /// Evaluates a model and applies the gate.
    fn decide(
        &self,
        model: &T::Model,
        champion: Option<Incumbent<'_, T::Model>>,
    ) -> Result<(Evaluation, GateVerdict)> {
        let evaluation = self.evaluate(model, champion)?;
        let verdict = self.verdict(&evaluation, evaluation.champion());
        Ok((evaluation, verdict))
    }

    fn verdict(&self, evaluation: &Evaluation, champion: Champion<'_>) -> GateVerdict {
        let gate = &self.options.gate;
        let gate =
            if self.trainer.target().is_binary() { gate.clone() } else { gate.without_probability_floors() };
        let mut verdict = gate.evaluate(&evaluation.metrics, &evaluation.against_baselines, champion);
        verdict.reasons.extend(gate.of_tasks(&evaluation.by_task));
        verdict
    }

    /// The trainer's strongest baseline as a model, where it passes the gate that held the full one.
    fn baseline(&self, data: &Dataset, held: &GateVerdict) -> Result<Option<Evaluated<T::Model>>> {
        let Some(holdout_model) = self.trainer.fit_baseline(self.train)? else { return Ok(None) };
        let evaluation = self.evaluate(&holdout_model, None)?;
        let mut verdict = self.verdict(&evaluation, Champion::Baseline);
        let model = if verdict.promotes() { self.trainer.fit_baseline(data)? } else { None };
        Ok(model.map(|model| {
            let decisive =
                |reason: &&String| reason.starts_with("inconclusive") || reason.starts_with("rejected");
            let why = held.reasons.iter().find(decisive).map_or("", String::as_str);
            verdict
                .reasons
                .insert(0, format!("answers with the baseline where that is stronger, since of the full model it was found: {why}"));
            Evaluated { model, holdout_model, evaluation, verdict }
        }))
    }

    fn evaluate(&self, model: &T::Model, champion: Option<Incumbent<'_, T::Model>>) -> Result<Evaluation> {
        let Self { trainer, train, test, earlier, options } = self;
        let points = points(model, test)?;
        let weights = response_weights(test);
        let own = UnitLosses::of(*trainer, &points, test)?;
        let (weighted, clusters) = (own.weighted(&weights), own.select(&clusters(test)));
        let binary = trainer.target().is_binary();
        let mut evaluation = Evaluation {
            metrics: trainer.scores_of_rows(&points, test, Some(&weights))?,
            rows: (train.examples.len(), test.len()),
            loss: at_most(&weighted, &clusters, options)?,
            ..Evaluation::default()
        };
        // The rows of a ranking's group have one loss: no slice of them has its own.
        if trainer.target().kind() != LabelKind::Ranking {
            evaluation.slices = slices(test, &points, &own.losses, &weights, binary);
        }
        if binary {
            let labels: Vec<_> = test.iter().map(|e| e.label).collect();
            evaluation.calibration = calibration_table(&points, &labels, &weights);
        }
        let mut of_baselines = BTreeMap::new();
        for (name, theirs) in trainer.baselines(train, test) {
            execution::check()?;
            let scores = trainer.scores_of_rows(&theirs, test, Some(&weights))?;
            evaluation.baselines.insert(name.clone(), scores);
            of_baselines.insert(name, UnitLosses::of(*trainer, &theirs, test)?.weighted(&weights));
        }
        if trainer.target().kind() != LabelKind::Ranking {
            evaluation.by_task = by_task(test, &weighted, &of_baselines, options);
        }
        let newest = BlockView { train, test, points: &points };
        let blocks: Vec<_> = earlier.iter().map(ForwardBlock::view).chain([newest]).collect();
        evaluation.against_baselines = forward_blocks::against_baselines(*trainer, &blocks, options)?;
        if let Some(incumbent) = champion {
            let new: Vec<_> = test
                .iter()
                .zip(&points)
                .filter(|(e, _)| incumbent.trained_until.is_none_or(|until| e.started_at >= until))
                .collect();
            evaluation.new_to_champion = Some(new.len());
            if new.len() >= FEWEST_ROWS {
                let (rows, points): (Vec<Example>, Vec<f64>) =
                    new.into_iter().map(|(e, p)| (e.clone(), *p)).unzip();
                let compared = against(*trainer, &rows, &points, incumbent.holdout_model, options)?;
                evaluation.against_champion = Some(compared);
            }
        }
        Ok(evaluation)
    }
}

/// Compares the model with the best baseline on new tasks and on those seen before, each apart.
fn by_task(
    test: &[Example],
    own: &[f64],
    baselines: &BTreeMap<String, Vec<f64>>,
    options: &TrainingOptions,
) -> BTreeMap<String, TaskKind> {
    let mut kinds = BTreeMap::new();
    for (name, seen) in [("new", false), ("seen", true)] {
        let at: Vec<_> = (0..test.len()).filter(|row| is_seen(&test[*row].features) == seen).collect();
        if at.len() < FEWEST_ROWS {
            continue;
        }
        let of = |losses: &[f64]| -> Vec<f64> { at.iter().map(|row| losses[*row]).collect() };
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let losses = of(own);
        let best = baselines.iter().map(|(name, theirs)| (name, of(theirs)));
        let Some((best, theirs)) = best.min_by(|a, b| mean(&a.1).total_cmp(&mean(&b.1))) else { continue };
        let rows: Vec<_> = at.iter().map(|row| test[*row].clone()).collect();
        let compared =
            compare_paired(&losses, &theirs, &clusters(&rows), options.gate.confidence, options.seed);
        let kind = TaskKind {
            rows: at.len(),
            loss: mean(&losses),
            best_baseline: (best.clone(), mean(&theirs)),
            against_best: compared.ok(),
        };
        kinds.insert(name.to_owned(), kind);
    }
    kinds
}

/// Compares predictions with those of the model in production.
fn against<T: Trainer>(
    trainer: &T,
    rows: &[Example],
    points: &[f64],
    champion: &T::Model,
    options: &TrainingOptions,
) -> Result<AgainstChampion> {
    let theirs = self::points(champion, rows)?;
    let weights = response_weights(rows);
    let (own, other) = (UnitLosses::of(trainer, points, rows)?, UnitLosses::of(trainer, &theirs, rows)?);
    let auc = if trainer.target().is_binary() {
        let outcomes: Vec<_> = rows.iter().map(|e| e.label >= 0.5).collect();
        compare_auc(points, &theirs, &outcomes)?
    } else {
        None
    };
    let (confidence, clusters) = (options.gate.confidence, own.select(&clusters(rows)));
    let (own, other) = (own.weighted(&weights), other.weighted(&weights));
    Ok(AgainstChampion::once(&own, &other, &clusters, confidence, options.seed)?.with_auc(auc))
}

/// Returns the mean of `losses` and its upper confidence bound.
fn at_most(losses: &[f64], clusters: &[u64], options: &TrainingOptions) -> Result<(f64, f64)> {
    let nothing = vec![0.0; losses.len()];
    let found = compare_paired(losses, &nothing, clusters, options.gate.confidence, options.seed)?;
    Ok((found.difference, found.upper))
}

fn split_at_random(data: &Dataset, fraction: f64, seed: u64) -> Result<(Dataset, Vec<Example>)> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut chosen = HashSet::new();
    let mut labels: Vec<_> = data.certain().map(|e| e.label).collect();
    labels.sort_by(f64::total_cmp);
    let middle =
        if data.target.is_binary() { 0.5 } else { labels.get(labels.len() / 2).copied().unwrap_or(0.0) };
    for upper in [false, true] {
        let certain = data.examples.iter().enumerate().filter(|(_, e)| e.known_at.is_some());
        let mut rows: Vec<_> =
            certain.filter(|(_, e)| (e.label >= middle) == upper).map(|(i, _)| i).collect();
        rows.shuffle(&mut rng);
        rows.truncate((rows.len() as f64 * fraction).round() as usize);
        chosen.extend(rows);
    }
    let test = data.filter(|i, _| chosen.contains(&i)).examples;
    let train = data.filter(|i, _| !chosen.contains(&i));
    if test.is_empty() || train.certain().next().is_none() {
        return Err(data.cannot_be_split());
    }
    Ok((train, test))
}
