//! State of a running search: trials are sampled, scored on the folds, and passed back to the samplers.

use super::sampler::Sampler;
use super::trial_log::Journal;
use super::{Hyperparameter, Trial, Tunable, TuningOptions};
use crate::dataset::Fold;
use crate::error::{Error, Result};
use crate::execution;
use crate::models::Trainer;
use crate::training::losses::{UnitLosses, points};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// State of a running search.
pub(super) struct Search<'a, T> {
    trainer: &'a T,
    folds: &'a [Fold],
    space: &'a [Hyperparameter],
    options: &'a TuningOptions,
    defaults: Value,
    samplers: Vec<Sampler>,
    pub(super) trials: Vec<Trial>,
    /// Row losses of the best trial on the newest fold.
    bar: Vec<f64>,
}

impl<'a, T: Tunable> Search<'a, T> {
    pub(super) fn new(
        trainer: &'a T,
        folds: &'a [Fold],
        space: &'a [Hyperparameter],
        options: &'a TuningOptions,
    ) -> Result<Self> {
        let samplers = space.iter().map(Sampler::of).collect::<Result<_>>()?;
        let (defaults, trials, bar) = (trainer.parameters(), Vec::new(), Vec::new());
        Ok(Self { trainer, folds, space, options, defaults, samplers, trials, bar })
    }

    /// Runs trials until the budget is used up; returns the reason for stopping.
    pub(super) fn run(&mut self, begun: Instant, key: &str) -> Result<String> {
        let (options, work) = (self.options, execution::current());
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
    pub(super) fn best(&self) -> usize {
        let whole = self.trials.iter().filter(|trial| !trial.stopped);
        let best = whole.min_by(|a, b| a.loss().total_cmp(&b.loss()).then(a.number.cmp(&b.number)));
        best.map_or(0, |trial| trial.number)
    }

    pub(super) fn trainer_of(&self, trial: &Trial) -> Result<T> {
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
        trial.folds.extend(execution::map(&others, score)?.iter().map(mean));
        let beaten = self.trials.get(self.best()).is_none_or(|best| trial.loss() < best.loss());
        if beaten {
            self.bar = first;
        }
        Ok(trial)
    }

    fn learn(&mut self, trial: Trial) -> Result<()> {
        if trial.number > 0 {
            // The loss of a pruned trial is estimated from its excess over the best on the newest fold.
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
    let points = points(&trainer.fit(&fold.earlier)?, &fold.later)?;
    Ok(UnitLosses::of(trainer, &points, &fold.later)?.losses)
}

/// Returns true if losses exceed those of the best by two standard errors.
fn clearly_worse(losses: &[f64], best: &[f64]) -> bool {
    let n = losses.len() as f64;
    if best.len() != losses.len() {
        return false;
    }
    let mean = losses.iter().zip(best).map(|(a, b)| a - b).sum::<f64>() / n;
    let square = losses.iter().zip(best).map(|(a, b)| (a - b - mean).powi(2)).sum::<f64>();
    mean > 2.0 * (square / (n - 1.0).max(1.0) / n).sqrt()
}
