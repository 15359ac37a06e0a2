//! Outcomes by unit.

use super::spec::Experiment;
use crate::error::{Error, Result};
use crate::event::GenerationEvent;
use crate::routing::logged::{check_span, generations, matured, outcome_weights};
use crate::store::EventStore;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;

/// What came of one generation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Observation {
    /// Whether it was approved without modification.
    pub success: bool,
    /// Its cost in US dollars.
    pub cost: Option<f64>,
    /// Its seconds.
    pub seconds: Option<f64>,
    /// The probability of success that was predicted from what was known before the arm took effect.
    pub predicted: Option<f64>,
    /// How many generations it stands for: above 1 where such outcomes are seldom known. 1 else.
    pub weight: f64,
}

impl Observation {
    /// An outcome of which nothing more is known.
    pub fn new(success: bool) -> Self {
        Self { success, cost: None, seconds: None, predicted: None, weight: 1.0 }
    }
}

/// Units and what came of their generations, added as it becomes known.
#[derive(Debug, Clone)]
pub struct ExperimentData {
    pub(super) experiment: Experiment,
    pub(super) units: Vec<UnitSums>,
    places: HashMap<String, usize>,
    /// Units that were seen in a second arm.
    pub(super) moved: usize,
    /// Generations whose outcome has not had time to become known.
    pub(super) young: usize,
    /// Generations old enough by arm, and those of them that somebody judged.
    pub(super) answered: Vec<(u64, u64)>,
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

impl ExperimentData {
    /// Data of `experiment`, empty as yet.
    pub fn new(experiment: &Experiment) -> Self {
        let answered = vec![(0, 0); experiment.spec().arms.len()];
        let (units, places) = (Vec::new(), HashMap::new());
        Self { experiment: experiment.clone(), units, places, moved: 0, young: 0, answered }
    }

    /// Every generation of the experiment in `store` that started `window` ago or earlier, with what
    /// had come of it `window` after its start. `covariate` names the shown prediction of success that
    /// was made before the arm took effect, where there is one.
    ///
    /// # Errors
    /// Those of reading the store; `InvalidInput` when the window is not above 0, an arm is unknown, or no
    /// generation was shown a prediction of the covariate's name.
    pub async fn read(
        store: &dyn EventStore,
        experiment: &Experiment,
        window: TimeDelta,
        covariate: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        Self::of(&generations(store).await?, experiment, window, covariate, now)
    }

    /// The same of given generations, in the order of their start.
    ///
    /// # Errors
    /// `InvalidInput` when the window is not above 0, an arm is unknown, or no generation was shown a
    /// prediction of the covariate's name.
    pub fn of(
        events: &[GenerationEvent],
        experiment: &Experiment,
        window: TimeDelta,
        covariate: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        check_span("window", window)?;
        let mut data = Self::new(experiment);
        let weight = outcome_weights(events, window, now);
        let mut foretold = false;
        for event in events {
            let started = &event.started.value;
            let of_this = |a: &&crate::event::Assignment| a.experiment == experiment.spec().name;
            let Some(assignment) = started.experiments.iter().find(of_this) else { continue };
            let arm = data.expose(&assignment.unit, &assignment.arm)?;
            let Some(outcome) = matured(event, window, now) else {
                data.young += 1;
                continue;
            };
            data.answered[arm].0 += 1;
            let Some(success) = outcome.success else { continue };
            let shown = started.predictions.iter().find(|p| Some(p.target.as_str()) == covariate);
            let mut observation = Observation::new(success);
            (observation.cost, observation.seconds) = (outcome.cost, outcome.seconds);
            observation.predicted = shown.map(|p| p.value);
            foretold |= shown.is_some();
            observation.weight = weight(event, success);
            data.answered[arm].1 += 1;
            data.observe(&assignment.unit, observation)?;
        }
        let judged = data.answered.iter().map(|(_, judged)| judged).sum::<u64>();
        if let Some(name) = covariate.filter(|_| judged > 0 && !foretold) {
            return Err(Error::invalid(format!(
                "none of {judged} generations of {:?} was shown a prediction of {name:?}: name one that is stored \
                 with their starts, or none",
                experiment.spec().name
            )));
        }
        Ok(data)
    }

    /// Counts a unit in its arm, once; the place of the arm. Count it when it is assigned, not when
    /// something has come of it.
    ///
    /// # Errors
    /// `InvalidInput` for an arm that the experiment does not have.
    pub fn expose(&mut self, unit: &str, arm: &str) -> Result<usize> {
        let arms = &self.experiment.spec().arms;
        let place = arms.iter().position(|known| known.name == arm).ok_or_else(|| {
            Error::invalid(format!("experiment {:?} has no arm {arm:?}", self.experiment.spec().name))
        })?;
        let Some(at) = self.places.get(unit) else {
            self.places.insert(unit.to_owned(), self.units.len());
            self.units.push(UnitSums { arm: place, ..UnitSums::default() });
            return Ok(place);
        };
        let known = &mut self.units[*at];
        if known.arm != place && !known.moved {
            known.moved = true;
            self.moved += 1;
        }
        Ok(known.arm)
    }

    /// Adds what came of a generation of a unit that was counted.
    ///
    /// # Errors
    /// `InvalidInput` for a unit that was not counted, or a number that is not finite.
    pub fn observe(&mut self, unit: &str, observation: Observation) -> Result<()> {
        let place = self.places.get(unit).copied();
        let sums = place.and_then(|at| self.units.get_mut(at)).ok_or_else(|| {
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
