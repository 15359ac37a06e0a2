//! Experiments and the assignment of units to arms.

use crate::error::{Error, Result};
use crate::event::{Assignment, TaskContext};
use crate::experimentation::Unit;
use crate::stats::bucket::place as bucket;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// An experiment as data; [`Experiments::new`] validates it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ExperimentSpec {
    /// Its name, which salts the assignment: another name randomizes all units again.
    pub name: String,
    /// The unit of randomization.
    pub unit: Unit,
    /// The arms, the control first.
    pub arms: Vec<Arm>,
    /// The part of a layer that it takes; experiments in other parts never share a unit. `None` for all units.
    #[serde(default)]
    #[serde(alias = "slot")]
    pub layer: Option<Layer>,
    /// Share of the units that take part, by time, never falling; empty for all of them from the
    /// beginning. Those already in stay in their arms.
    #[serde(default)]
    pub ramp: Vec<RampStep>,
}

/// One arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Share of the units, above 0; all arms' add up to 1.
    pub share: f64,
}

/// A part of a layer: the units whose hash, as a number from 0 to 1, lies in `from..to`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The layer's name.
    #[serde(alias = "slot")]
    pub layer: String,
    /// Where the part begins, from 0.
    pub from: f64,
    /// Where it ends, up to 1.
    pub to: f64,
}

/// A step of the ramp-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RampStep {
    /// From when on.
    pub from: DateTime<Utc>,
    /// The share of the units that take part, 0 to 1.
    pub share: f64,
}

/// A validated experiment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Experiment {
    spec: ExperimentSpec,
}

/// Experiments that run at the same time.
///
/// ```
/// use devmatrix_ml::experimentation::{Unit, ab_tests::{ExperimentSpec, Experiments}};
/// use devmatrix_ml::event::{Started, TaskContext, TaskId, UserId};
/// let experiments = Experiments::new(vec![ExperimentSpec::new("short-prompt", Unit::User, &["now", "short"])])?;
/// let mut task = TaskContext::new(TaskId::new("TASK-7")?);
/// task.user_id = Some(UserId::new("ana")?);
/// let assignments = experiments.assign(&task, "2025-03-03T09:00:00Z".parse().unwrap());
/// let mut started = Started::from(task);
/// started.experiments = assignments; // stored with the event
/// assert_eq!(started.experiments[0].probability, 0.5);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Experiments {
    all: Vec<Experiment>,
}

impl ExperimentSpec {
    /// Creates an experiment on all units with equal shares, the control first.
    pub fn new(name: impl Into<String>, unit: Unit, arms: &[&str]) -> Self {
        let share = 1.0 / arms.len() as f64;
        let arms = arms.iter().map(|name| Arm { name: (*name).to_owned(), share }).collect();
        Self { name: name.into(), unit, arms, layer: None, ramp: Vec::new() }
    }
}

impl Experiment {
    /// Validates `spec`.
    ///
    /// # Errors
    /// `InvalidInput` when a name is empty or used twice, fewer than two arms are given, shares are not above 0 or do not
    /// add up to 1, a layer's part is not within 0 to 1, or the ramp falls.
    pub(super) fn new(spec: ExperimentSpec) -> Result<Self> {
        let refuse = |what: String| Err(Error::invalid(format!("experiment {:?}: {what}", spec.name)));
        if spec.name.is_empty() || spec.arms.iter().any(|arm| arm.name.is_empty()) {
            return refuse("a name is empty".into());
        }
        let names: HashSet<_> = spec.arms.iter().map(|arm| &arm.name).collect();
        if spec.arms.len() < 2 || names.len() < spec.arms.len() {
            return refuse(format!(
                "{} arms, {} of them distinct: give at least two",
                spec.arms.len(),
                names.len()
            ));
        }
        let sum: f64 = spec.arms.iter().map(|arm| arm.share).sum();
        if !(spec.arms.iter().all(|arm| arm.share > 0.0) && (sum - 1.0).abs() <= 1e-9) {
            return refuse(format!("shares must be above 0 and add up to 1, they add up to {sum}"));
        }
        if let Some(Layer { from, to, .. }) = &spec.layer
            && !(0.0 <= *from && from < to && *to <= 1.0)
        {
            return refuse(format!("layer is {from} to {to}, expected a part of 0 to 1"));
        }
        let rises = |w: &[RampStep]| w[0].from < w[1].from && w[0].share <= w[1].share;
        if !spec.ramp.iter().all(|step| (0.0..=1.0).contains(&step.share)) || !spec.ramp.windows(2).all(rises)
        {
            return refuse(
                "ramp: shares must be 0 to 1 and never fall: units that take part keep their arm".into(),
            );
        }
        Ok(Self { spec })
    }

    pub(super) fn spec(&self) -> &ExperimentSpec {
        &self.spec
    }

    /// Assigns the unit that `task` belongs to; `None` where it takes no part at `now`, or the host does not know the
    /// unit. A unit is always in the same arm.
    pub(super) fn assign(&self, task: &TaskContext, now: DateTime<Utc>) -> Option<Assignment> {
        let unit = self.spec.unit.of(task).filter(|unit| !unit.is_empty())?;
        let arm = self.arm_of(unit, now)?;
        let Arm { name, share } = &self.spec.arms[arm];
        Assignment::new(&self.spec.name, name, unit, share.min(1.0)).ok()
    }

    /// Returns the index of the arm of `unit` at `now`; `None` where it takes no part.
    pub(super) fn arm_of(&self, unit: &str, now: DateTime<Utc>) -> Option<usize> {
        let spec = &self.spec;
        let in_layer =
            |layer: &Layer| (layer.from..layer.to).contains(&bucket(["layer", &layer.layer, unit]));
        if !spec.layer.as_ref().is_none_or(in_layer)
            || bucket(["entry", &spec.name, unit]) >= self.share_at(now)
        {
            return None;
        }
        let (at, mut sum) = (bucket(["arm", &spec.name, unit]), 0.0);
        let below = |arm: &Arm| {
            sum += arm.share;
            at < sum
        };
        // Shares may add up to a little less than 1.
        Some(spec.arms.iter().position(below).unwrap_or(spec.arms.len() - 1))
    }

    fn share_at(&self, now: DateTime<Utc>) -> f64 {
        let ramp = &self.spec.ramp;
        let last = ramp.iter().take_while(|step| step.from <= now).last();
        last.map_or(if ramp.is_empty() { 1.0 } else { 0.0 }, |step| step.share)
    }
}

impl Experiments {
    /// Validates experiments that run at the same time.
    ///
    /// # Errors
    /// `InvalidInput` when a name is empty or used twice, fewer than two arms are given, shares are not above 0 or do not
    /// add up to 1, a ramp falls, or two experiments overlap in a layer.
    pub fn new(specs: Vec<ExperimentSpec>) -> Result<Self> {
        let all = specs.into_iter().map(Experiment::new).collect::<Result<Vec<_>>>()?;
        for (i, one) in all.iter().enumerate() {
            for other in &all[..i] {
                if one.spec.name == other.spec.name {
                    return Err(Error::invalid(format!("two experiments are named {:?}", one.spec.name)));
                }
                if let (Some(a), Some(b)) = (&one.spec.layer, &other.spec.layer)
                    && a.layer == b.layer
                    && (a.from < b.to && b.from < a.to || one.spec.unit != other.spec.unit)
                {
                    return Err(Error::invalid(format!(
                        "experiments {:?} and {:?} share a part of layer {:?}, or differ in their units",
                        one.spec.name, other.spec.name, a.layer
                    )));
                }
            }
        }
        Ok(Self { all })
    }

    /// Assigns `task` in each experiment that it takes part in at `now`; the assignments are stored with its event.
    pub fn assign(&self, task: &TaskContext, now: DateTime<Utc>) -> Vec<Assignment> {
        self.all.iter().filter_map(|experiment| experiment.assign(task, now)).collect()
    }
}
