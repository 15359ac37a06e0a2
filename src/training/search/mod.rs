//! Looking for better settings within a budget: engine parameters, the family of the model and the
//! features it looks at. This is the honest small form of architecture search.

mod sampler;
mod search;
mod trial_log;

use super::evaluation::{FEWEST_CLUSTERS, clusters, losses, points};
use crate::dataset::{Dataset, Example, FoldOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::execution;
use crate::ml::metrics::{PairedComparison, compare_paired};
use crate::models::Trainer;
use search::Search;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

/// A trainer whose parameters can be searched.
pub trait Tunable: Trainer + Sized {
    /// The same trainer with other parameters, in the form of [`Trainer::parameters`].
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range or unknown.
    fn with_parameters(&self, parameters: &Value) -> Result<Self>;

    /// What may be searched.
    fn space(&self) -> Vec<Hyperparameter>;

    /// The same trainer with its corrections blind to these features too.
    ///
    /// # Errors
    /// `InvalidInput` naming a feature that there is not.
    fn without(&self, features: &BTreeSet<String>) -> Result<Self>;
}

/// A parameter, and from where to where to search it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hyperparameter {
    /// Where it stands in the trainer's parameters, as a JSON pointer (`/boost/l2`; RFC 6901).
    pub path: String,
    /// What it may be.
    pub range: Range,
}

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// A number above 0 between two, searched on a logarithmic scale.
    Log(f64, f64),
    /// A number between two.
    Linear(f64, f64),
    /// A whole number above 0 between two, searched on a logarithmic scale.
    Whole(u32, u32),
    /// One of these.
    OneOf(Vec<Value>),
}

/// How a search goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TuningOptions {
    /// Trials at most, the defaults among them, from 1 to 100,000.
    pub trials: usize,
    /// Seconds after which no new trial begins; `None` for no bound. What is found then depends on the
    /// machine; by trials alone it does not.
    pub seconds: Option<f64>,
    /// Trials without a better one after which to stop.
    pub patience: usize,
    /// How trials are judged: each fold is predicted from what was known before it.
    pub folds: FoldOptions,
    /// Share of the newest outcomes that no trial sees, in (0, 1): they decide whether the best one is
    /// taken instead of the defaults.
    pub validation_fraction: f64,
    /// How sure that must be, 0.5 to 0.999.
    pub confidence: f64,
    /// Seed of every random choice.
    pub seed: u64,
    /// A file of the trials so far: a search that was broken off goes on from there.
    #[serde(skip)]
    pub journal: Option<PathBuf>,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trial {
    /// Its number; 0 for the defaults.
    pub number: usize,
    /// What differs from the defaults, by path.
    pub settings: BTreeMap<String, Value>,
    /// Mean loss on each fold, the newest first; fewer than the folds where it was stopped early.
    pub folds: Vec<f64>,
    /// Whether it was stopped after the newest fold, being clearly worse than the best there.
    pub stopped: bool,
}

/// What a search did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StudyRecord {
    /// What was to be done.
    pub options: TuningOptions,
    /// What was searched.
    pub space: Vec<Hyperparameter>,
    /// Every trial in order.
    pub trials: Vec<Trial>,
    /// The number of the one with the least loss on the folds.
    pub best: usize,
    /// Its loss against that of the defaults on outcomes that no trial has seen; the upper end holds
    /// with any one agent left out. `None` where the defaults are best.
    pub against_defaults: Option<PairedComparison>,
    /// The loss of the defaults on those outcomes.
    pub defaults_loss: f64,
    /// Whether it was taken.
    pub taken: bool,
    /// Why, or why not, and what ended the search.
    pub reasons: Vec<String>,
    /// How long it took in all, in seconds.
    pub seconds: f64,
}

/// What a search found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Study<T> {
    /// The trainer to train with: the best one, or the defaults where it is not better beyond doubt.
    pub trainer: T,
    /// What was tried, and why it was taken or not.
    pub record: StudyRecord,
}

impl Hyperparameter {
    /// A parameter to search.
    pub fn new(path: impl Into<String>, range: Range) -> Self {
        Self { path: path.into(), range }
    }
}

impl Default for TuningOptions {
    fn default() -> Self {
        Self {
            trials: 60,
            seconds: None,
            patience: 40,
            folds: FoldOptions::default(),
            validation_fraction: 0.25,
            confidence: 0.9,
            seed: 42,
            journal: None,
        }
    }
}

impl TuningOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the option and its value.
    pub fn verify(&self) -> Result<()> {
        if !(1..=100_000).contains(&self.trials) {
            return Err(Error::invalid(format!("trials is {}, expected 1 to 100000", self.trials)));
        }
        if let Some(seconds) = self.seconds.filter(|s| !(*s > 0.0 && s.is_finite())) {
            return Err(Error::invalid(format!("seconds is {seconds}, expected above 0")));
        }
        if !(self.validation_fraction > 0.0 && self.validation_fraction < 1.0) {
            let given = self.validation_fraction;
            return Err(Error::invalid(format!("validation_fraction is {given}, expected between 0 and 1")));
        }
        if !(0.5..=0.999).contains(&self.confidence) {
            return Err(Error::invalid(format!("confidence is {}, expected 0.5 to 0.999", self.confidence)));
        }
        self.folds.validate()
    }
}

/// Searches the trainer's space by tree-structured Parzen estimators (Bergstra et al. 2011), each trial
/// on folds in the order of time, and takes the best one where it is better than the trainer as it is on
/// newer outcomes that no trial has seen. Run it within a [`ExecutionContext`](crate::execution::Work) to
/// watch, bound or
/// cancel it.
///
/// With the same data, options and seed, and no bound of time, it finds the same, on any number of
/// threads.
///
/// # Errors
/// `NotEnoughData`; `InvalidInput` for options out of range; `Cancelled`, and then the journal keeps
/// what was done; `Unavailable` or `Incompatible` when the journal cannot be used.
pub fn tune<T: Tunable>(trainer: T, data: &Dataset, options: &TuningOptions) -> Result<Study<T>> {
    options.verify()?;
    let (begun, space) = (Instant::now(), trainer.space());
    let (searched, validation) = data.split_by_time(options.validation_fraction)?;
    let mut folds = searched.folds(&options.folds)?;
    folds.reverse();
    let mut search = Search::new(&trainer, &folds, &space, options)?;
    let ended = search.run(begun, &trial_log::key(&trainer, data, options))?;
    let best = search.best();
    let mut reasons = vec![ended];
    let chosen = search.trainer_of(&search.trials[best])?;
    let against = against_defaults(&trainer, (best > 0).then_some(&chosen), &searched, &validation, options)?;
    let (defaults_loss, compared) = against;
    let taken = compared.is_some_and(|c| c.is_better());
    reasons.push(match compared {
        None => "the defaults were best on the folds".to_owned(),
        Some(c) => format!(
            "trial {best} {}: loss {:+.4} ({:+.4} to {:+.4}) against the defaults on {} newer outcomes",
            if taken { "is taken" } else { "is not taken, the defaults stay" },
            c.difference,
            c.lower,
            c.upper,
            c.rows
        ),
    });
    let trials = std::mem::take(&mut search.trials);
    let record = StudyRecord {
        options: options.clone(),
        space,
        trials,
        best,
        against_defaults: compared,
        defaults_loss,
        taken,
        reasons,
        seconds: begun.elapsed().as_secs_f64(),
    };
    Ok(Study { trainer: if taken { chosen } else { trainer }, record })
}

/// The loss of the defaults on `later`, and that of `chosen` against it.
pub(super) fn against_defaults<T: Trainer>(
    defaults: &T,
    chosen: Option<&T>,
    earlier: &Dataset,
    later: &[Example],
    options: &TuningOptions,
) -> Result<(f64, Option<PairedComparison>)> {
    let labels: Vec<_> = later.iter().map(|e| e.label).collect();
    let score = |trainer: &&T| Ok(losses(*trainer, &points(&trainer.fit(earlier)?, later)?, &labels));
    let both: Vec<&T> = std::iter::once(defaults).chain(chosen).collect();
    let scored: Vec<Vec<f64>> = execution::map(&both, score)?;
    let mean = scored[0].iter().sum::<f64>() / labels.len() as f64;
    let compare =
        |own: &Vec<f64>| compare_carefully(own, &scored[0], later, options.confidence, options.seed);
    Ok((mean, scored.get(1).map(compare).transpose()?))
}

/// By project or task, and by agent: whichever leaves more doubt. Settings that suit the agents of one
/// month need not suit those of the next, so where agents are too few to resample, what is found must
/// hold with any one of them left out.
fn compare_carefully(
    first: &[f64],
    second: &[f64],
    rows: &[Example],
    confidence: f64,
    seed: u64,
) -> Result<PairedComparison> {
    let of_rows = clusters(rows);
    let compared = compare_paired(first, second, &of_rows, confidence, seed)?;
    let mut numbers = BTreeMap::new();
    let number = |row: &'_ Example| {
        let next = numbers.len() as u64;
        *numbers.entry(row.about.agent.clone()).or_insert(next)
    };
    let agents: Vec<u64> = rows.iter().map(number).collect();
    let count = numbers.len();
    if count >= FEWEST_CLUSTERS {
        let by_agent = compare_paired(first, second, &agents, confidence, seed)?;
        return Ok(if by_agent.upper > compared.upper { by_agent } else { compared });
    }
    let mut upper = compared.upper;
    for left_out in (0..count as u64).filter(|_| count > 1) {
        let kept: Vec<usize> = (0..rows.len()).filter(|row| agents[*row] != left_out).collect();
        let of = |losses: &[f64]| kept.iter().map(|row| losses[*row]).collect::<Vec<_>>();
        let ids: Vec<u64> = kept.iter().map(|row| of_rows[*row]).collect();
        upper = match compare_paired(&of(first), &of(second), &ids, confidence, seed) {
            // Nothing to hold without it.
            Err(e) if matches!(e.kind(), ErrorKind::NotEnoughData { .. }) => upper.max(0.0),
            found => upper.max(found?.upper),
        };
    }
    Ok(PairedComparison { upper, ..compared })
}
