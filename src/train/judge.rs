//! Fit, evaluate on rows that were never seen, and let the gate judge.

use super::gate::{Gate, GateVerdict};
use crate::dataset::{Dataset, Example, Target};
use crate::error::{Error, Result};
use crate::evaluate::{PairedComparison, compare_paired};
use crate::models::{Predictor, Trainer};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::thread;

/// Fewer clusters than this say too little of how much they vary.
const FEWEST_CLUSTERS: usize = 10;

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
    /// Seed of every random choice.
    pub seed: u64,
}

impl Default for TrainingOptions {
    fn default() -> Self {
        Self { test_fraction: 0.2, split: Split::Time, gate: Gate::default(), max_rows: 50_000, seed: 42 }
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
    /// The loss against each baseline's.
    pub against_baselines: BTreeMap<String, PairedComparison>,
    /// The loss against that of the model in production.
    pub against_champion: Option<PairedComparison>,
}

/// A fitted and judged model.
#[derive(Debug)]
#[non_exhaustive]
pub struct Judged<M> {
    /// Fitted on everything: the one to serve.
    pub model: M,
    /// Fitted without the rows that judged: the one to compare the next challenger with, on rows
    /// that neither has seen.
    pub twin: M,
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
        self.gate.verify()
    }
}

/// Fits on all but the rows that judge, and judges; meanwhile a second thread fits on everything.
///
/// # Errors
/// Those of the trainer; `NotEnoughData` when no rows are left to judge.
pub fn fit_and_judge<T: Trainer>(
    trainer: &T,
    data: &Dataset,
    champion: Option<&T::Model>,
    options: &TrainingOptions,
) -> Result<Judged<T::Model>> {
    options.verify()?;
    let (train, test) = match options.split {
        Split::Time => data.split_by_time(options.test_fraction)?,
        Split::StratifiedRandom => split_at_random(data, options.test_fraction, options.seed)?,
    };
    let (judged, model) = thread::scope(|scope| {
        let model = scope.spawn(|| trainer.fit(data));
        let judged = trainer.fit(&train).and_then(|twin| {
            let evaluation = evaluate(trainer, &twin, champion, &train, &test, options.seed)?;
            Ok((twin, evaluation))
        });
        (judged, model.join().unwrap_or_else(|_| Err(Error::internal("fitting on everything panicked"))))
    });
    let (twin, evaluation) = judged?;
    let gate = match trainer.target() {
        Target::Success => options.gate.clone(),
        _ => options.gate.without_probability_floors(),
    };
    let verdict =
        gate.judge(&evaluation.metrics, &evaluation.against_baselines, evaluation.against_champion.as_ref());
    Ok(Judged { model: model?, twin, evaluation, verdict })
}

fn evaluate<T: Trainer>(
    trainer: &T,
    model: &T::Model,
    champion: Option<&T::Model>,
    train: &Dataset,
    test: &[Example],
    seed: u64,
) -> Result<Evaluation> {
    let labels: Vec<_> = test.iter().map(|e| e.label).collect();
    let clusters = clusters(test);
    let losses = |points: &[f64]| -> Vec<f64> {
        points.iter().zip(&labels).map(|(p, y)| trainer.loss(*p, *y)).collect()
    };
    let points_of =
        |model: &T::Model| -> Vec<f64> { test.iter().map(|e| model.point(&e.features)).collect() };
    let points = points_of(model);
    let own = losses(&points);
    let compare = |theirs: &[f64]| compare_paired(&own, &losses(theirs), &clusters, seed);
    let mut evaluation = Evaluation {
        metrics: trainer.scores(&points, &labels)?,
        rows: (train.examples.len(), test.len()),
        against_champion: champion.map(|c| compare(&points_of(c))).transpose()?,
        ..Evaluation::default()
    };
    for (name, points) in trainer.baselines(train, test) {
        evaluation.baselines.insert(name.clone(), trainer.scores(&points, &labels)?);
        evaluation.against_baselines.insert(name, compare(&points)?);
    }
    Ok(evaluation)
}

/// Rows that rise and fall together: those of one project, or where there are few projects those of
/// one task; where there are few tasks too, every row stands for itself.
fn clusters(test: &[Example]) -> Vec<u64> {
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
