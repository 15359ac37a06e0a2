//! Hyperparameter search within a budget: engine parameters, the family of the model and its features, a small
//! form of architecture search.

mod sampler;
mod study;
mod trial_log;

use super::losses::{FEWEST_CLUSTERS, UnitLosses, clusters, points};
use crate::dataset::{Dataset, Example, FoldOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::execution;
use crate::ml::metrics::{PairedComparison, compare_paired};
use crate::models::Trainer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Instant;
use study::Search;

/// A trainer whose parameters can be searched.
pub trait Tunable: Trainer + Sized {
    /// Returns the trainer with other parameters, in the form of [`Trainer::parameters`].
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range or unknown.
    fn with_parameters(&self, parameters: &Value) -> Result<Self>;

    /// Returns the search space.
    fn space(&self) -> Vec<Hyperparameter>;

    /// Returns the trainer with these features left out of its correction as well.
    ///
    /// # Errors
    /// `InvalidInput` naming an unknown feature.
    fn without(&self, features: &BTreeSet<String>) -> Result<Self>;
}

/// A hyperparameter and its search range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hyperparameter {
    /// Its path in the trainer's parameters, as a JSON pointer (`/boost/l2`; RFC 6901).
    pub path: String,
    /// Search range.
    pub range: Range,
}

/// Search range of a hyperparameter.
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

/// Options of a hyperparameter search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TuningOptions {
    /// Maximum number of trials, the defaults included, from 1 to 100,000.
    pub trials: usize,
    /// Time limit in seconds after which no new trial begins; `None` for none. With a limit the result depends
    /// on the machine.
    pub seconds: Option<f64>,
    /// Trials without improvement after which the search stops.
    pub patience: usize,
    /// Time-ordered cross-validation of the trials: each fold is predicted from earlier data.
    pub folds: FoldOptions,
    /// Fraction of the newest outcomes held out from all trials, in (0, 1); on them the best trial is compared
    /// with the defaults.
    pub validation_fraction: f64,
    /// Confidence of that comparison, 0.5 to 0.999.
    pub confidence: f64,
    /// Random seed.
    pub seed: u64,
    /// Trial log from which an interrupted search resumes.
    #[serde(skip)]
    pub journal: Option<PathBuf>,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// Its number; 0 for the defaults.
    pub(crate) number: usize,
    /// Values that differ from the defaults, by path.
    pub(crate) settings: BTreeMap<String, Value>,
    /// Mean loss on each fold, the newest first; fewer than the folds where it was stopped early.
    pub(crate) folds: Vec<f64>,
    /// True if it was pruned after the newest fold because its loss was more than two standard errors above
    /// the best.
    pub(crate) stopped: bool,
}

/// A hyperparameter search: its trials and the reasons of the decision. It is data (serde): store it with the model,
/// `training.with_note("search", …)`. Its
/// `Display` form says what was tried, the decision, and the settings where others than the defaults are taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Study {
    /// Options of the search.
    pub(crate) options: TuningOptions,
    /// Search space.
    pub(crate) space: Vec<Hyperparameter>,
    /// All trials in order.
    pub(crate) trials: Vec<Trial>,
    /// Number of the trial with the lowest loss on the folds.
    pub(crate) best: usize,
    /// Paired comparison of its loss with that of the defaults on held-out outcomes; the upper bound is the
    /// largest over leaving out any one agent. `None` if the defaults are best.
    pub(crate) against_defaults: Option<PairedComparison>,
    /// Loss of the defaults on those outcomes.
    pub(crate) defaults_loss: f64,
    /// True if the best trial replaces the defaults.
    pub taken: bool,
    /// Reasons of the decision, and the stopping criterion.
    pub(crate) reasons: Vec<String>,
    /// Total duration in seconds.
    pub(crate) seconds: f64,
}

impl fmt::Display for Study {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = self.reasons.join("; ");
        write!(f, "{} trials in {:.0} s; {reasons}", self.trials.len(), self.seconds)?;
        match self.trials.get(self.best).filter(|_| self.taken) {
            Some(best) => write!(f, "\nsettings: {}", serde_json::json!(best.settings)),
            None => Ok(()),
        }
    }
}

impl Hyperparameter {
    /// Creates a hyperparameter.
    pub(crate) fn new(path: impl Into<String>, range: Range) -> Self {
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
    pub(crate) fn validate(&self) -> Result<()> {
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

/// Searches the trainer's space by tree-structured Parzen estimators (Bergstra et al. 2011), scoring each
/// trial by time-ordered cross-validation, and replaces the defaults by the best trial if that is significantly
/// better on newer, held-out outcomes: returns the trainer to use and the search. Run it within an
/// [`ExecutionContext`](crate::execution::ExecutionContext) to observe, bound or cancel it.
///
/// The result is deterministic for the same data, options and seed without a time limit, on any number of
/// threads.
///
/// # Errors
/// `NotEnoughData`; `InvalidInput` for options out of range; `Cancelled`, in which case the trial log
/// keeps the finished trials; `Unavailable` or `Incompatible` when the trial log cannot be used.
pub fn tune<T: Tunable>(trainer: T, data: &Dataset, options: &TuningOptions) -> Result<(T, Study)> {
    options.validate()?;
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
    let study = Study {
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
    Ok((if taken { chosen } else { trainer }, study))
}

/// The loss of the defaults on `later`, and that of `chosen` against it.
pub(super) fn against_defaults<T: Trainer>(
    defaults: &T,
    chosen: Option<&T>,
    earlier: &Dataset,
    later: &[Example],
    options: &TuningOptions,
) -> Result<(f64, Option<PairedComparison>)> {
    let score = |trainer: &&T| UnitLosses::of(*trainer, &points(&trainer.fit(earlier)?, later)?, later);
    let both: Vec<&T> = std::iter::once(defaults).chain(chosen).collect();
    let scored: Vec<UnitLosses> = execution::map(&both, score)?;
    let defaults = &scored[0];
    let mean = defaults.losses.iter().sum::<f64>() / defaults.losses.len() as f64;
    let rows: Vec<_> = defaults.rows().map(|row| later[row].clone()).collect();
    let compare = |own: &UnitLosses| {
        compare_carefully(&own.losses, &defaults.losses, &rows, options.confidence, options.seed)
    };
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
