//! The Q-function: fitted Q iteration over a random forest.

use super::action::RetryAction;
use super::reward::TrajectoryReward;
use super::state::RetryState;
use super::trajectory::{Trajectory, TrajectoryStep};
use crate::error::{Error, ErrorKind, Result};
use crate::execution;
use crate::ml::{ForestParams, Matrix, Objective, Sample, Trees};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names that get a column of their own; more columns than this dilute the splits of a small log.
const MOST_NAMES: usize = 8;

/// Rounds of fitted Q iteration: tasks hardly have more attempts.
const MOST_ROUNDS: usize = 10;

/// Value of each action in a state. Stopping has the value of what is there already, so it is not learned.
#[derive(Debug, Clone)]
pub(super) struct QFunction {
    pub(super) trees: Trees,
    pub(super) columns: Columns,
    pub(super) reward: TrajectoryReward,
}

/// Columns of the forest: the names that have one of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Columns {
    task_types: Vec<String>,
    llms: Vec<String>,
}

/// A transition: an action, its reward and the next state, if any.
struct Transition<'a> {
    row: Vec<f32>,
    reward: f64,
    next: Option<&'a TrajectoryStep>,
}

impl QFunction {
    /// Fits by as many rounds as the longest trajectory has steps: each round learns an action's reward plus the value of
    /// the next state by the round before. `ahead` returns the value of a state from the values of its actions: their
    /// maximum (Ernst, Geurts and Wehenkel 2005), or their mean under a policy, which makes it the value of that policy.
    pub(super) fn fit(
        trajectories: &[&Trajectory],
        reward: &TrajectoryReward,
        forest: &ForestParams,
        ahead: impl Fn(&RetryState, &[f64; 4]) -> f64,
    ) -> Result<Self> {
        let columns = Columns::of(trajectories);
        let transitions = transitions(trajectories, reward, &columns);
        if transitions.is_empty() {
            let kind = ErrorKind::NotEnoughData { have: 0, need: 1 };
            return Err(Error::new(kind, "no action but stopping to learn from: explore the others first"));
        }
        let values: Vec<f32> = transitions.iter().flat_map(|t| t.row.iter().copied()).collect();
        let data = Matrix { values: &values, width: columns.width() };
        let longest = trajectories.iter().map(|trajectory| trajectory.steps.len()).max().unwrap_or(1);
        let mut fitted: Option<Self> = None;
        for _ in 0..longest.min(MOST_ROUNDS) {
            execution::check()?;
            let after = |next: &TrajectoryStep| match &fitted {
                Some(q_function) => ahead(&next.state, &q_function.of(&next.state)),
                None => reward.of_stopping(&next.state),
            };
            let labels: Vec<_> = transitions.iter().map(|t| t.reward + t.next.map_or(0.0, after)).collect();
            let trees = Trees::fit_forest(forest, Objective::SquaredError, &Sample::new(data, &labels))?;
            fitted = Some(Self { trees, columns: columns.clone(), reward: reward.clone() });
        }
        fitted.ok_or_else(|| Error::internal("a trajectory without a step was kept"))
    }

    /// Returns the value of each action, in the order of [`RetryAction::ALL`]; NaN where the trees have none.
    pub(super) fn of(&self, state: &RetryState) -> [f64; 4] {
        RetryAction::ALL.map(|action| match action {
            RetryAction::Stop => self.reward.of_stopping(state),
            _ => self.trees.margin(&self.columns.row(state, action)).unwrap_or(f64::NAN),
        })
    }
}

fn transitions<'a>(
    trajectories: &[&'a Trajectory],
    reward: &TrajectoryReward,
    columns: &Columns,
) -> Vec<Transition<'a>> {
    let mut found = Vec::new();
    for trajectory in trajectories {
        for (index, (step, reward)) in trajectory.steps.iter().zip(trajectory.rewards(reward)).enumerate() {
            if step.action != RetryAction::Stop {
                let row = columns.row(&step.state, step.action);
                found.push(Transition { row, reward, next: trajectory.steps.get(index + 1) });
            }
        }
    }
    found
}

impl Columns {
    fn of(trajectories: &[&Trajectory]) -> Self {
        let steps = || trajectories.iter().flat_map(|trajectory| &trajectory.steps);
        Self {
            task_types: most_common(steps().filter_map(|step| step.state.task_type.as_deref())),
            llms: most_common(steps().filter_map(|step| step.state.llm.as_deref())),
        }
    }

    pub(super) fn width(&self) -> usize {
        NUMBERS + self.task_types.len() + self.llms.len() + 3
    }

    /// Returns a state and an action as a row; unknown is NaN.
    fn row(&self, state: &RetryState, action: RetryAction) -> Vec<f32> {
        let s = state;
        let numbers: [Option<f64>; NUMBERS] = [
            Some(f64::from(s.tries)),
            Some(f64::from(s.switched)),
            Some(f64::from(s.asked)),
            Some(f64::from(u8::from(s.modified))),
            Some(s.cost_usd),
            s.quality,
            s.self_review,
            s.predicted,
        ];
        let numbers = numbers.map(|value| value.map_or(f32::NAN, |value| value as f32));
        let is = |yes: bool| f32::from(u8::from(yes));
        let types = self.task_types.iter().map(|name| is(s.task_type.as_ref() == Some(name)));
        let llms = self.llms.iter().map(|name| is(s.llm.as_ref() == Some(name)));
        let actions = RetryAction::ALL[..3].iter().map(|other| is(*other == action));
        let finite = |v: f32| if v.is_finite() { v } else { f32::NAN };
        numbers.into_iter().map(finite).chain(types).chain(llms).chain(actions).collect()
    }
}

/// Columns of numbers.
const NUMBERS: usize = 8;

/// Returns the most common names, the commonest first; equally common ones by the alphabet.
fn most_common<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().take(MOST_NAMES).map(|(name, _)| name.to_owned()).collect()
}
