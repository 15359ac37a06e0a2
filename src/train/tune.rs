//! Looking for better settings within a budget: engine parameters, the family of the model and the
//! features it looks at. This is the honest small form of architecture search.

use super::judge::{FEWEST_CLUSTERS, clusters, losses, points};
use crate::dataset::{Dataset, Example, Fold, FoldOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::{PairedComparison, compare_paired};
use crate::models::Trainer;
use crate::work;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tpe::{TpeOptimizer, categorical_range, histogram_estimator, parzen_estimator};

/// A trainer whose parameters can be searched.
pub trait Tunable: Trainer + Sized {
    /// The same trainer with other parameters, in the form of [`Trainer::parameters`].
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range or unknown.
    fn with_parameters(&self, parameters: &Value) -> Result<Self>;

    /// What may be searched.
    fn space(&self) -> Vec<Knob>;

    /// The same trainer with its corrections blind to these features too.
    ///
    /// # Errors
    /// `InvalidInput` naming a feature that there is not.
    fn without(&self, features: &BTreeSet<String>) -> Result<Self>;
}

/// A parameter, and from where to where to search it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Knob {
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
pub struct TuningRecord {
    /// What was to be done.
    pub options: TuningOptions,
    /// What was searched.
    pub space: Vec<Knob>,
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
pub struct Tuned<T> {
    /// The trainer to train with: the best one, or the defaults where it is not better beyond doubt.
    pub trainer: T,
    /// What was tried, and why it was taken or not.
    pub record: TuningRecord,
}

impl Knob {
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
        self.folds.verify()
    }
}

/// Searches the trainer's space by tree-structured Parzen estimators (Bergstra et al. 2011), each trial
/// on folds in the order of time, and takes the best one where it is better than the trainer as it is on
/// newer outcomes that no trial has seen. Run it within a [`Work`](crate::work::Work) to watch, bound or
/// cancel it.
///
/// With the same data, options and seed, and no bound of time, it finds the same, on any number of
/// threads.
///
/// # Errors
/// `NotEnoughData`; `InvalidInput` for options out of range; `Cancelled`, and then the journal keeps
/// what was done; `Unavailable` or `Incompatible` when the journal cannot be used.
pub fn tune<T: Tunable>(trainer: T, data: &Dataset, options: &TuningOptions) -> Result<Tuned<T>> {
    options.verify()?;
    let (begun, space) = (Instant::now(), trainer.space());
    let (searched, validation) = data.split_by_time(options.validation_fraction)?;
    let mut folds = searched.folds(&options.folds)?;
    folds.reverse();
    let mut search = Search::new(&trainer, &folds, &space, options)?;
    let ended = search.run(begun, &journal_key(&trainer, data, options))?;
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
    let record = TuningRecord {
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
    Ok(Tuned { trainer: if taken { chosen } else { trainer }, record })
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
    let scored: Vec<Vec<f64>> = work::map(&both, score)?;
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

/// A search under way.
struct Search<'a, T> {
    trainer: &'a T,
    folds: &'a [Fold],
    space: &'a [Knob],
    options: &'a TuningOptions,
    defaults: Value,
    samplers: Vec<Sampler>,
    trials: Vec<Trial>,
    /// The row losses of the best trial on the newest fold.
    bar: Vec<f64>,
}

impl<'a, T: Tunable> Search<'a, T> {
    fn new(trainer: &'a T, folds: &'a [Fold], space: &'a [Knob], options: &'a TuningOptions) -> Result<Self> {
        let samplers = space.iter().map(Sampler::of).collect::<Result<_>>()?;
        let (defaults, trials, bar) = (trainer.parameters(), Vec::new(), Vec::new());
        Ok(Self { trainer, folds, space, options, defaults, samplers, trials, bar })
    }

    /// Tries until the budget is used up; what ended it.
    fn run(&mut self, begun: Instant, key: &str) -> Result<String> {
        let (options, work) = (self.options, work::current());
        let mut steps = work.begin();
        let mut journal = options.journal.as_deref().map(|path| Journal::open(path, key)).transpose()?;
        let limit = options.seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
        for number in 0..options.trials {
            let used = limit.map_or(0.0, |limit| begun.elapsed().as_secs_f64() / limit.as_secs_f64());
            if number > 0 && used >= 1.0 {
                return Ok(format!("ended after {number} trials: the time was up"));
            }
            if number > self.best() + options.patience {
                return Ok(format!(
                    "ended after {number} trials: none of the last {} was better",
                    options.patience
                ));
            }
            steps.at(
                &format!("trial {number} of {}", options.trials),
                used.max(number as f64 / options.trials as f64),
            );
            let known = journal.as_ref().and_then(|journal| journal.trials.get(number).cloned());
            let trial = match known {
                Some(trial) => trial,
                None => self.try_out(number)?,
            };
            if let Some(journal) = &mut journal {
                journal.note(number, &trial)?;
            }
            self.learn(trial)?;
        }
        Ok(format!("ended after {} trials, as many as were asked for", options.trials))
    }

    /// The trial with the least loss on all folds.
    fn best(&self) -> usize {
        let whole = self.trials.iter().filter(|trial| !trial.stopped);
        let best = whole.min_by(|a, b| a.loss().total_cmp(&b.loss()).then(a.number.cmp(&b.number)));
        best.map_or(0, |trial| trial.number)
    }

    fn trainer_of(&self, trial: &Trial) -> Result<T> {
        let mut parameters = self.defaults.clone();
        for (path, value) in &trial.settings {
            let place = parameters.pointer_mut(path).ok_or_else(|| {
                Error::invalid(format!("the space names {path}, which the parameters do not have"))
            })?;
            *place = value.clone();
        }
        self.trainer.with_parameters(&parameters)
    }

    fn try_out(&mut self, number: usize) -> Result<Trial> {
        let mut trial = Trial { number, settings: BTreeMap::new(), folds: Vec::new(), stopped: false };
        if number > 0 {
            // A source of its own, so that a search resumed goes on as it would have.
            let mut rng = Pcg64Mcg::seed_from_u64(self.options.seed.wrapping_add(number as u64));
            for (knob, sampler) in self.space.iter().zip(&mut self.samplers) {
                trial.settings.insert(knob.path.clone(), sampler.ask(&mut rng)?);
            }
        }
        let trainer = self.trainer_of(&trial)?;
        let score = |fold: &&Fold| losses_on(&trainer, fold);
        let mean = |losses: &Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
        let (newest, others) = (&self.folds[0], self.folds[1..].iter().collect::<Vec<_>>());
        // A search resumed knows the best trial from the journal, but not its losses row by row.
        if let Some(best) = self.trials.get(self.best()).filter(|_| self.bar.is_empty()) {
            self.bar = losses_on(&self.trainer_of(best)?, newest)?;
        }
        let first = score(&newest)?;
        trial.folds.push(mean(&first));
        if number > 0 && clearly_worse(&first, &self.bar) {
            trial.stopped = true;
            return Ok(trial);
        }
        trial.folds.extend(work::map(&others, score)?.iter().map(mean));
        let beaten = self.trials.get(self.best()).is_none_or(|best| trial.loss() < best.loss());
        if beaten {
            self.bar = first;
        }
        Ok(trial)
    }

    fn learn(&mut self, trial: Trial) -> Result<()> {
        if trial.number > 0 {
            // What was stopped is judged by how much worse it was than the best on the same fold.
            let best = &self.trials[self.best()];
            let loss = if trial.stopped {
                best.loss() + (trial.folds[0] - best.folds[0]).max(0.0)
            } else {
                trial.loss()
            };
            for (knob, sampler) in self.space.iter().zip(&mut self.samplers) {
                if let Some(value) = trial.settings.get(&knob.path) {
                    sampler.tell(value, loss)?;
                }
            }
        }
        self.trials.push(trial);
        Ok(())
    }
}

impl Trial {
    /// The mean over its folds.
    fn loss(&self) -> f64 {
        self.folds.iter().sum::<f64>() / self.folds.len().max(1) as f64
    }
}

fn losses_on<T: Trainer>(trainer: &T, fold: &Fold) -> Result<Vec<f64>> {
    let labels: Vec<_> = fold.later.iter().map(|e| e.label).collect();
    Ok(losses(trainer, &points(&trainer.fit(&fold.earlier)?, &fold.later)?, &labels))
}

/// Whether losses are above those of the best by two standard errors.
fn clearly_worse(losses: &[f64], best: &[f64]) -> bool {
    let n = losses.len() as f64;
    if best.len() != losses.len() {
        return false;
    }
    let mean = losses.iter().zip(best).map(|(a, b)| a - b).sum::<f64>() / n;
    let square = losses.iter().zip(best).map(|(a, b)| (a - b - mean).powi(2)).sum::<f64>();
    mean > 2.0 * (square / (n - 1.0).max(1.0) / n).sqrt()
}

/// What proposes values for one parameter.
struct Sampler {
    range: Range,
    optimizer: TpeOptimizer,
}

impl Sampler {
    fn of(knob: &Knob) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("the space of {}: {why}", knob.path));
        let real = |low: f64, high: f64| {
            let range = tpe::range(low, high).map_err(|_| wrong("its lower end must be below the upper"))?;
            Ok::<_, Error>(TpeOptimizer::new(parzen_estimator(), range))
        };
        let optimizer = match &knob.range {
            Range::Log(low, high) if *low > 0.0 => real(low.ln(), high.ln())?,
            Range::Linear(low, high) => real(*low, *high)?,
            Range::Whole(low, high) if *low > 0 => {
                real((f64::from(*low) - 0.5).ln(), (f64::from(*high) + 0.5).ln())?
            }
            Range::Log(..) | Range::Whole(..) => {
                return Err(wrong("a logarithmic scale begins above 0"));
            }
            Range::OneOf(values) => {
                let range =
                    categorical_range(values.len()).map_err(|_| wrong("there is nothing to choose"))?;
                TpeOptimizer::new(histogram_estimator(), range)
            }
        };
        Ok(Self { range: knob.range.clone(), optimizer })
    }

    fn ask(&mut self, rng: &mut Pcg64Mcg) -> Result<Value> {
        let at = self.optimizer.ask(rng).map_err(|e| Error::internal("no trial came").with_source(e))?;
        Ok(match &self.range {
            Range::Log(..) => Value::from(at.exp()),
            Range::Linear(..) => Value::from(at),
            Range::Whole(low, high) => Value::from((at.exp().round() as u32).clamp(*low, *high)),
            Range::OneOf(values) => values[(at as usize).min(values.len() - 1)].clone(),
        })
    }

    fn tell(&mut self, value: &Value, loss: f64) -> Result<()> {
        let number = || value.as_f64().unwrap_or(f64::NAN);
        let at = match &self.range {
            Range::Log(..) | Range::Whole(..) => number().ln(),
            Range::Linear(..) => number(),
            Range::OneOf(values) => values.iter().position(|v| v == value).map_or(f64::NAN, |at| at as f64),
        };
        self.optimizer.tell(at, loss).map_err(|e| {
            Error::invalid(format!("a trial with {value} and loss {loss} cannot be learnt from"))
                .with_source(e)
        })
    }
}

/// The trials so far, in a file of JSON lines under a head that says which search they belong to.
struct Journal {
    path: PathBuf,
    trials: Vec<Trial>,
    written: usize,
}

impl Journal {
    fn open(path: &Path, key: &str) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(unavailable(path, e)),
        };
        // A last line without an end was cut off by a crash.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        match lines.next() {
            None => write(path, &format!("{key}\n"))?,
            Some(head) if head == key => {}
            Some(_) => {
                return Err(Error::incompatible(format!(
                    "{}: it is the journal of another search (other data, options or parameters): name another file",
                    path.display()
                )));
            }
        }
        let trials: Vec<Trial> = lines.map_while(|line| serde_json::from_str(line).ok()).collect();
        let trials: Vec<_> =
            trials.into_iter().enumerate().take_while(|(at, t)| *at == t.number).map(|(_, t)| t).collect();
        if whole.len() < text.len() {
            let kept = trials.iter().filter_map(|t| serde_json::to_string(t).ok());
            let lines: Vec<_> = std::iter::once(key.to_owned()).chain(kept).collect();
            write(path, &(lines.join("\n") + "\n"))?;
        }
        Ok(Self { path: path.to_owned(), written: trials.len(), trials })
    }

    fn note(&mut self, number: usize, trial: &Trial) -> Result<()> {
        if number < self.written {
            return Ok(());
        }
        let line = serde_json::to_string(trial)
            .map_err(|e| Error::internal("a trial cannot be written as JSON").with_source(e))?;
        let append = || {
            let mut file = OpenOptions::new().append(true).open(&self.path)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        };
        append().map_err(|e| unavailable(&self.path, e))?;
        self.written += 1;
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| unavailable(path, e))
}

fn unavailable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the journal {} cannot be used", path.display()))
        .with_source(error)
}

/// What tells one search from another; a bound of time or trials may change.
fn journal_key<T: Tunable>(trainer: &T, data: &Dataset, options: &TuningOptions) -> String {
    serde_json::json!({
        "model": trainer.name(),
        "parameters": trainer.parameters(),
        "space": trainer.space(),
        "data": data.fingerprint(),
        "folds": options.folds,
        "validation_fraction": options.validation_fraction,
        "seed": options.seed,
    })
    .to_string()
}
