//! Outcomes by unit.

use super::spec::{Experiment, ExperimentSpec};
use crate::dataset::Seen;
use crate::error::{Error, Result};
use crate::event::{Assignment, GenerationEvent};
use crate::routing::logged::{attributed, check_span, for_each_generation, outcome_weights, response};
use crate::store::EventStore;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;

/// The outcome of one generation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Observation {
    /// True if the generation was approved without modification.
    pub(super) success: bool,
    /// Its cost in US dollars.
    pub(super) cost: Option<f64>,
    /// Its seconds.
    pub(super) seconds: Option<f64>,
    /// The probability of success that was predicted from what was known before the arm took effect.
    pub(super) predicted: Option<f64>,
    /// How many generations it stands for: above 1 where such outcomes are seldom known, else 1.
    pub(super) weight: f64,
}

impl Observation {
    /// Creates an observation of success alone.
    pub(super) fn new(success: bool) -> Self {
        Self { success, cost: None, seconds: None, predicted: None, weight: 1.0 }
    }
}

/// Sums over the generations of each unit, added as outcomes become known.
#[derive(Debug, Clone)]
pub struct ExperimentData {
    pub(super) experiment: Experiment,
    pub(super) units: Vec<UnitSums>,
    indices: HashMap<String, usize>,
    /// Units that were seen in a second arm.
    pub(super) moved: usize,
    /// Generations younger than the attribution window.
    pub(super) young: usize,
    /// Generations older than the window by arm, and the labelled ones among them.
    pub(super) labelled: Vec<(u64, u64)>,
}

/// Sums over a unit's generations.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct UnitSums {
    pub(super) arm: usize,
    moved: bool,
    pub(super) success: Sum,
    pub(super) cost: Sum,
    pub(super) seconds: Sum,
    pub(super) predicted: Sum,
}

/// A weighted sum, and the sum of the weights.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) total: f64,
    pub(super) weight: f64,
}

/// A labelled generation before its weight is known.
struct Labelled {
    unit: String,
    observation: Observation,
    response: Seen,
}

impl ExperimentData {
    /// Creates empty data of `experiment`.
    pub(super) fn new(experiment: &Experiment) -> Self {
        let labelled = vec![(0, 0); experiment.spec().arms.len()];
        let (units, indices) = (Vec::new(), HashMap::new());
        Self { experiment: experiment.clone(), units, indices, moved: 0, young: 0, labelled }
    }

    /// Reads every generation of the experiment from `store`, with the outcome known `window` after its start;
    /// generations younger than that are counted only. `covariate` names the shown prediction of success that was
    /// made before the arm took effect, where there is one.
    ///
    /// # Errors
    /// Those of reading the store; `InvalidInput` when the experiment is invalid, the window is not above 0, an arm is unknown, or no
    /// generation was shown a prediction of the covariate's name.
    pub async fn read(
        store: &dyn EventStore,
        experiment: &ExperimentSpec,
        window: TimeDelta,
        covariate: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        check_span("window", window)?;
        let mut data = Self::new(&Experiment::new(experiment.clone())?);
        let (mut rows, mut responses) = (Vec::new(), Vec::new());
        for_each_generation(store, window, |event| {
            let outcome = attributed(&event, window, now);
            let response = response(&event, outcome.as_ref());
            responses.push(response);
            let Some(assignment) = data.assignment(&event).cloned() else { return Ok(()) };
            let arm = data.expose(&assignment.unit, &assignment.arm)?;
            let Some(outcome) = outcome else {
                data.young += 1;
                return Ok(());
            };
            data.labelled[arm].0 += 1;
            let Some(success) = outcome.success else { return Ok(()) };
            data.labelled[arm].1 += 1;
            let mut observation = Observation::new(success);
            (observation.cost, observation.seconds) = (outcome.cost, outcome.seconds);
            let shown = event.started.value.predictions.iter();
            let mut shown = shown.filter(|shown| Some(shown.target.as_str()) == covariate);
            observation.predicted = shown.next().map(|shown| shown.value);
            rows.push(Labelled { unit: assignment.unit, observation, response });
            Ok(())
        })
        .await?;
        if let Some(name) = covariate
            && !rows.is_empty()
            && rows.iter().all(|row| row.observation.predicted.is_none())
        {
            return Err(Error::invalid(format!(
                "none of {} generations of {:?} was shown a prediction of {name:?}: name one that is stored with their \
                 starts, or none",
                rows.len(),
                experiment.name
            )));
        }
        let weight = outcome_weights(&responses, window, now);
        for Labelled { unit, mut observation, response } in rows {
            observation.weight = weight(&response);
            data.observe(&unit, observation)?;
        }
        Ok(data)
    }

    fn assignment<'a>(&self, event: &'a GenerationEvent) -> Option<&'a Assignment> {
        let name = &self.experiment.spec().name;
        event.started.value.experiments.iter().find(|assignment| assignment.experiment == *name)
    }

    /// Counts a unit in its arm, once, and returns the arm's index. Count it when it is assigned, not when its
    /// outcome is known.
    ///
    /// # Errors
    /// `InvalidInput` for an arm that the experiment does not have.
    pub(super) fn expose(&mut self, unit: &str, arm: &str) -> Result<usize> {
        let arms = &self.experiment.spec().arms;
        let index = arms.iter().position(|known| known.name == arm).ok_or_else(|| {
            Error::invalid(format!("experiment {:?} has no arm {arm:?}", self.experiment.spec().name))
        })?;
        let Some(known) = self.indices.get(unit) else {
            self.indices.insert(unit.to_owned(), self.units.len());
            self.units.push(UnitSums { arm: index, ..UnitSums::default() });
            return Ok(index);
        };
        let known = &mut self.units[*known];
        if known.arm != index && !known.moved {
            known.moved = true;
            self.moved += 1;
        }
        Ok(known.arm)
    }

    /// Adds the outcome of a generation of a unit that was counted.
    ///
    /// # Errors
    /// `InvalidInput` for a unit that was not counted, or a number that is not finite.
    pub(super) fn observe(&mut self, unit: &str, observation: Observation) -> Result<()> {
        let index = self.indices.get(unit).copied();
        let sums = index.and_then(|index| self.units.get_mut(index)).ok_or_else(|| {
            Error::invalid(format!("unit {unit:?} was observed before it was counted: call expose first"))
        })?;
        let Observation { success, cost, seconds, predicted, weight } = observation;
        let numbers = [cost, seconds, predicted, Some(weight)];
        if !numbers.into_iter().flatten().all(|v| v.abs() <= 1e9) || weight < 1e-9 {
            return Err(Error::invalid(format!(
                "unit {unit:?}: numbers must be within ±1e9 and the weight from 1e-9: {observation:?}"
            )));
        }
        sums.success.add(f64::from(u8::from(success)), weight);
        let rest = [(&mut sums.cost, cost), (&mut sums.seconds, seconds), (&mut sums.predicted, predicted)];
        for (sum, value) in rest {
            value.into_iter().for_each(|value| sum.add(value, weight));
        }
        Ok(())
    }
}

impl Sum {
    fn add(&mut self, value: f64, weight: f64) {
        self.total += weight * value;
        self.weight += weight;
    }
}
