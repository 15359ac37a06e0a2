//! Fit, evaluate on rows that were never seen, and let the gate judge.

use super::gate::{AgainstChampion, Champion, Gate, GateVerdict};
use super::label_noise::{self, AnomalousLabeler};
use super::slices::{CalibrationBin, Slice, calibration_table, slices};
use crate::dataset::{Dataset, Example, FoldOptions, Target, response_weights};
use crate::error::{Error, Result};
use crate::execution;
use crate::ml::metrics::{PairedComparison, compare_auc, compare_paired};
use crate::models::{Predictor, Trainer};
use chrono::{DateTime, Utc};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::thread;

/// Fewer clusters than this say too little of how much they vary.
pub(super) const FEWEST_CLUSTERS: usize = 10;

/// How the rows that judge are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Split {
    /// The newest, as it will be in use.
    Time,
    /// At random, as many successes and failures on both sides, or as many of the labels' upper half.
    StratifiedRandom,
}

/// How a training run goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TrainingOptions {
    /// Share of the labelled generations that judge, in (0, 1).
    pub test_fraction: f64,
    /// How they are chosen.
    pub split: Split,
    /// What the model must reach.
    pub gate: Gate,
    /// Generations to learn from, at most: the newest.
    pub max_rows: usize,
    /// Learn nothing from sources whose outcomes run against what all others teach
    /// ([`Evaluation::anomalous_labelers`]); they are named either way.
    #[serde(alias = "exclude_suspects")]
    pub exclude_anomalous_labelers: bool,
    /// Seed of every random choice.
    pub seed: u64,
    /// What it takes to go live where a model is in production.
    pub promotion: Promotion,
    /// Outcomes after which a challenger on trial that is still not better is given up.
    pub trial_outcomes: usize,
    /// Days after a rollback during which nothing is promoted or rolled back, up to 3,650.
    pub cool_down_days: u32,
    /// Folds in the order of time whose scores are recorded too; each costs a fit. `None` for none.
    pub folds: Option<FoldOptions>,
}

/// What it takes to go live where a model is in production.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promotion {
    /// The gate's look at the rows held out. Each new model has its own look: over many nights some
    /// that are no better pass, about one in twenty of them.
    #[default]
    OneLook,
    /// A trial beside the model in production, without effect, on outcomes since both were trained,
    /// compared in such a way that looking every night errs no more often than once. A model that the
    /// gate does not refuse goes on trial unless another is.
    Trial,
}

impl Default for TrainingOptions {
    fn default() -> Self {
        Self {
            test_fraction: 0.2,
            split: Split::Time,
            gate: Gate::default(),
            max_rows: 50_000,
            exclude_anomalous_labelers: true,
            seed: 42,
            promotion: Promotion::OneLook,
            trial_outcomes: 5_000,
            cool_down_days: 3,
            folds: None,
        }
    }
}

/// How good a model was on the rows held out, beside the simplest predictors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// The model's scores by name.
    pub metrics: BTreeMap<String, f64>,
    /// The baselines' scores.
    pub baselines: BTreeMap<String, BTreeMap<String, f64>>,
    /// Rows fitted on, and rows judged on.
    pub rows: (usize, usize),
    /// The mean loss, and the most that it is with the gate's confidence.
    pub loss: (f64, f64),
    /// The loss against each baseline's.
    pub against_baselines: BTreeMap<String, PairedComparison>,
    /// Beside the model in production, on the rows that are new to both.
    pub against_champion: Option<AgainstChampion>,
    /// Where there is a model in production: how many of the rows are new to it.
    pub new_to_champion: Option<usize>,
    /// The moment until which the twin learned: rows since then are new to it.
    #[serde(alias = "learnt_until")]
    pub trained_until: Option<DateTime<Utc>>,
    /// For whom it is how good.
    pub slices: Vec<Slice>,
    /// What happened to rows by what was predicted, where outcomes are yes or no.
    pub calibration: Vec<CalibrationBin>,
    /// Sources whose outcomes go against what all others teach.
    #[serde(alias = "suspects")]
    pub anomalous_labelers: Vec<AnomalousLabeler>,
}

/// The model in production, as a rival.
#[derive(Debug, Clone, Copy)]
pub struct Incumbent<'a, M> {
    /// Its twin, which was fitted without the newest rows of its time.
    pub holdout_model: &'a M,
    /// The moment until which the twin learned; `None` where every row that judges is new to it.
    pub trained_until: Option<DateTime<Utc>>,
}

/// A fitted and judged model.
#[derive(Debug)]
#[non_exhaustive]
pub struct Evaluated<M> {
    /// Fitted on everything: the one to serve.
    pub model: M,
    /// Fitted without the rows that judged: the one to compare the next challenger with, on rows
    /// that neither has seen.
    pub holdout_model: M,
    /// How good the twin was.
    pub evaluation: Evaluation,
    /// What the gate says.
    pub verdict: GateVerdict,
}

impl TrainingOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the option and its value.
    pub fn verify(&self) -> Result<()> {
        if !(self.test_fraction > 0.0 && self.test_fraction < 1.0) {
            return Err(Error::invalid(format!(
                "test_fraction is {}, expected between 0 and 1",
                self.test_fraction
            )));
        }
        if self.max_rows == 0 {
            return Err(Error::invalid("max_rows is 0, expected at least 1"));
        }
        if self.cool_down_days > 3650 {
            return Err(Error::invalid(format!(
                "cool_down_days is {}, expected 0 to 3650",
                self.cool_down_days
            )));
        }
        self.folds.as_ref().map_or(Ok(()), FoldOptions::validate)?;
        self.gate.verify()
    }
}

/// Fits on all but the rows that judge, and judges; meanwhile, where there are two threads, a second
/// fits on everything.
///
/// # Errors
/// Those of the trainer; `NotEnoughData` when no rows are left to judge; `Cancelled`.
pub fn fit_and_evaluate<T: Trainer>(
    trainer: &T,
    data: &Dataset,
    champion: Option<Incumbent<'_, T::Model>>,
    options: &TrainingOptions,
) -> Result<Evaluated<T::Model>> {
    options.verify()?;
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
    let mut evaluation =
        Judge { trainer, train: &train, test: &test, options }.evaluate(&holdout_model, champion)?;
    evaluation.anomalous_labelers = anomalous_labelers;
    evaluation.trained_until = match options.split {
        Split::Time => test.first().map(|e| e.started_at),
        Split::StratifiedRandom => data.examples.last().map(|e| e.started_at),
    };
    execution::check()?;
    let gate = match trainer.target() {
        Target::Success => options.gate.clone(),
        _ => options.gate.without_probability_floors(),
    };
    let verdict = gate.judge(&evaluation.metrics, &evaluation.against_baselines, evaluation.champion());
    Ok(Evaluated { model, holdout_model, evaluation, verdict })
}

/// Runs both, at the same time where the work may take two threads.
pub(super) fn with_both<A, B: Send>(
    first: impl FnOnce() -> Result<A>,
    second: impl FnOnce() -> Result<B> + Send,
) -> (Result<A>, Result<B>) {
    if execution::threads(2) < 2 {
        let first = first();
        // What was cancelled or failed needs no second.
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
    /// What the gate compares with.
    pub(crate) fn champion(&self) -> Champion<'_> {
        match (&self.against_champion, self.new_to_champion) {
            (Some(with), _) => Champion::Compared(with),
            (None, Some(rows)) => Champion::TooFewRows(rows),
            (None, None) => Champion::None,
        }
    }
}

/// Fewer outcomes than this compare nothing.
const FEWEST_ROWS: usize = 30;

/// What a model is judged by.
struct Judge<'a, T> {
    trainer: &'a T,
    train: &'a Dataset,
    test: &'a [Example],
    options: &'a TrainingOptions,
}

impl<T: Trainer> Judge<'_, T> {
    fn evaluate(&self, model: &T::Model, champion: Option<Incumbent<'_, T::Model>>) -> Result<Evaluation> {
        let Self { trainer, train, test, options } = self;
        let labels: Vec<_> = test.iter().map(|e| e.label).collect();
        let clusters = clusters(test);
        let points = points(model, test)?;
        let weights = response_weights(test);
        let plain = losses(*trainer, &points, &labels);
        let own = weighted_losses(*trainer, &points, &labels, &weights);
        let yes_or_no = trainer.target() == Target::Success;
        let mut evaluation = Evaluation {
            metrics: trainer.weighted_scores(&points, &labels, &weights)?,
            rows: (train.examples.len(), test.len()),
            loss: at_most(&own, &clusters, options)?,
            slices: slices(test, &points, &plain, &weights, yes_or_no),
            ..Evaluation::default()
        };
        if yes_or_no {
            evaluation.calibration = calibration_table(&points, &labels, &weights);
        }
        for (name, theirs) in trainer.baselines(train, test) {
            execution::check()?;
            let scores = trainer.weighted_scores(&theirs, &labels, &weights)?;
            evaluation.baselines.insert(name.clone(), scores);
            let theirs = weighted_losses(*trainer, &theirs, &labels, &weights);
            let compared = compare_paired(&own, &theirs, &clusters, options.gate.confidence, options.seed)?;
            evaluation.against_baselines.insert(name, compared);
        }
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

/// Predictions beside those of the model in production.
fn against<T: Trainer>(
    trainer: &T,
    rows: &[Example],
    points: &[f64],
    champion: &T::Model,
    options: &TrainingOptions,
) -> Result<AgainstChampion> {
    let labels: Vec<_> = rows.iter().map(|e| e.label).collect();
    let theirs = self::points(champion, rows)?;
    let weights = response_weights(rows);
    let own = weighted_losses(trainer, points, &labels, &weights);
    let other = weighted_losses(trainer, &theirs, &labels, &weights);
    let outcomes: Vec<_> = labels.iter().map(|y| *y >= 0.5).collect();
    let auc = match trainer.target() {
        Target::Success => compare_auc(points, &theirs, &outcomes)?,
        _ => None,
    };
    let confidence = options.gate.confidence;
    Ok(AgainstChampion::once(&own, &other, &clusters(rows), confidence, options.seed)?.with_auc(auc))
}

/// The mean of `losses`, and the most that it is with the gate's confidence.
fn at_most(losses: &[f64], clusters: &[u64], options: &TrainingOptions) -> Result<(f64, f64)> {
    let nothing = vec![0.0; losses.len()];
    let found = compare_paired(losses, &nothing, clusters, options.gate.confidence, options.seed)?;
    Ok((found.difference, found.upper))
}

/// What a model says of rows.
pub(super) fn points<P: Predictor>(model: &P, rows: &[Example]) -> Result<Vec<f64>> {
    rows.iter().map(|e| execution::check().map(|()| model.point(&e.features))).collect()
}

pub(super) fn losses<T: Trainer>(trainer: &T, points: &[f64], labels: &[f64]) -> Vec<f64> {
    points.iter().zip(labels).map(|(p, y)| trainer.loss(*p, *y)).collect()
}

/// Losses of rows that count by these weights, 1 on average: their mean is that of all generations, not
/// of those that were answered.
fn weighted_losses<T: Trainer>(trainer: &T, points: &[f64], labels: &[f64], weights: &[f64]) -> Vec<f64> {
    losses(trainer, points, labels).iter().zip(weights).map(|(loss, weight)| loss * weight).collect()
}

/// Rows that rise and fall together: those of one project, or where there are few projects those of
/// one task; where there are few tasks too, every row stands for itself.
pub(super) fn clusters(test: &[Example]) -> Vec<u64> {
    let project: Vec<_> = test.iter().map(|e| e.project).collect();
    let task: Vec<_> = test.iter().map(|e| e.task).collect();
    let many = |ids: &Vec<u64>| ids.iter().collect::<HashSet<_>>().len() >= FEWEST_CLUSTERS;
    let rows = (0..test.len() as u64).collect();
    [project, task].into_iter().find(many).unwrap_or(rows)
}

fn split_at_random(data: &Dataset, fraction: f64, seed: u64) -> Result<(Dataset, Vec<Example>)> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut chosen = HashSet::new();
    let mut labels: Vec<_> = data.certain().map(|e| e.label).collect();
    labels.sort_by(f64::total_cmp);
    let middle = match data.target {
        Target::Success => 0.5,
        _ => labels.get(labels.len() / 2).copied().unwrap_or(0.0),
    };
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
        return Err(crate::dataset::not_enough(data.certain().count()));
    }
    Ok((train, test))
}
