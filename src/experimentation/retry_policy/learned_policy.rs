//! The learned retry policy.

use super::action::{RetryAction, RetryPolicy};
use super::baseline_policy::BaselinePolicy;
use super::learn::RetryLearningOptions;
use super::q_function::{Columns, QFunction};
use super::reward::TrajectoryReward;
use super::state::RetryState;
use super::trajectory::{MOST_STEPS, Trajectory};
use crate::error::{Error, Result};
use crate::ml::Trees;
use crate::registry::envelope;
use crate::stats::fnv;
use serde::{Deserialize, Serialize};

/// Takes the action with the highest Q-value, and with a small probability any other that was tried often enough. Where
/// fewer than two actions were tried often enough after as many failed attempts, it abstains: the rule it was compared
/// with decides.
#[derive(Debug, Clone)]
pub struct LearnedRetryPolicy {
    q_function: QFunction,
    rest: Rest,
    name: String,
}

/// All but the trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rest {
    rule: BaselinePolicy,
    explore: f64,
    min_steps: u32,
    /// How often each action was taken, by the number of failed attempts from 1.
    taken: Vec<[u32; 4]>,
    #[serde(alias = "episodes")]
    trajectories: usize,
}

/// A policy as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    trees: Vec<u8>,
    columns: Columns,
    reward: TrajectoryReward,
    rest: Rest,
}

/// Kind of the stored bytes; kept since the format was fixed, so that stored policies are read.
const KIND: &str = "learn\u{74}-steps-1";
/// Larger bytes are refused.
const MAX_BYTES: usize = 1 << 28;

impl LearnedRetryPolicy {
    /// Fits the Q-function under the greedy policy over actions that were tried often enough, or the rule where it
    /// abstains.
    pub(super) fn fit(
        trajectories: &[&Trajectory],
        rule: &BaselinePolicy,
        options: &RetryLearningOptions,
    ) -> Result<Self> {
        let rest = Rest {
            rule: rule.clone(),
            explore: options.explore,
            min_steps: options.min_steps,
            taken: taken(trajectories),
            trajectories: trajectories.len(),
        };
        let q_function =
            QFunction::fit(trajectories, &options.reward, &options.forest, |state, q_function| {
                let Some(known) = rest.known(state) else {
                    return rule.propensities(state).iter().zip(q_function).map(|(p, q)| p * q).sum();
                };
                let values = known.iter().zip(q_function).filter(|(known, _)| **known).map(|(_, q)| *q);
                values.fold(f64::NEG_INFINITY, f64::max)
            })?;
        let name = name(&q_function.trees.to_bytes()?, &rest)?;
        Ok(Self { q_function, rest, name })
    }

    /// Returns the Q-value of each action in US dollars, in the order of [`RetryAction::ALL`]; `None` where it abstains,
    /// and for actions that were tried too seldom.
    pub(super) fn q_values(&self, state: &RetryState) -> [Option<f64>; 4] {
        let Some(known) = self.rest.known(state) else { return [None; 4] };
        let values = self.q_function.of(state);
        let values = RetryAction::ALL.map(|action| known[action.index()].then_some(values[action.index()]));
        // NaN cannot be compared.
        if values.iter().flatten().all(|value| value.is_finite()) { values } else { [None; 4] }
    }

    /// Returns the best action; `None` where no value is known.
    fn best(values: &[Option<f64>; 4]) -> Option<(RetryAction, f64)> {
        let known = RetryAction::ALL.into_iter().filter_map(|action| Some((action, values[action.index()]?)));
        known.reduce(|best, other| if other.1 > best.1 { other } else { best })
    }

    /// Returns the policy as bytes, the same for the same policy.
    ///
    /// # Errors
    /// `Internal` when it cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let stored = Stored {
            trees: self.q_function.trees.to_bytes()?,
            columns: self.q_function.columns.clone(),
            reward: self.q_function.reward.clone(),
            rest: self.rest.clone(),
        };
        let payload = postcard::to_stdvec(&stored)
            .map_err(|e| Error::internal("the retry policy cannot be written").with_source(e))?;
        envelope::seal(KIND, &payload)
    }

    /// Reads a policy back from verified bytes.
    ///
    /// # Errors
    /// `Corrupt` when they are damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let payload = envelope::open(bytes, KIND, MAX_BYTES)?;
        let (stored, left): (Stored, _) = postcard::take_from_bytes(payload)
            .map_err(|e| Error::corrupt("the retry policy cannot be read").with_source(e))?;
        let Stored { trees, columns, reward, rest } = stored;
        let name = name(&trees, &rest)?;
        let trees = Trees::from_bytes(&trees)?;
        let fits = left.is_empty()
            && trees.width() == columns.width()
            && (0.0..=0.5).contains(&rest.explore)
            && rest.min_steps > 0
            && rest.taken.len() <= MOST_STEPS;
        if !fits {
            return Err(Error::corrupt("the parts of the retry policy do not fit together"));
        }
        reward.validate().map_err(|e| Error::corrupt("the reward of the retry policy").with_source(e))?;
        Ok(Self { q_function: QFunction { trees, columns, reward }, rest, name })
    }
}

impl Rest {
    /// Returns which actions were taken often enough after as many failed attempts; `None` where fewer than two were.
    fn known(&self, state: &RetryState) -> Option<[bool; 4]> {
        let taken = self.taken.get((state.tries as usize).wrapping_sub(1))?;
        let known = taken.map(|count| count >= self.min_steps);
        (known.iter().filter(|known| **known).count() >= 2).then_some(known)
    }
}

/// Counts how often each action was taken, by the number of failed attempts from 1.
fn taken(trajectories: &[&Trajectory]) -> Vec<[u32; 4]> {
    let mut taken = vec![[0; 4]; MOST_STEPS];
    for step in trajectories.iter().flat_map(|trajectory| &trajectory.steps) {
        if let Some(counts) = taken.get_mut((step.state.tries as usize).wrapping_sub(1)) {
            counts[step.action.index()] += 1;
        }
    }
    let used = taken.iter().rposition(|counts| *counts != [0; 4]).map_or(0, |last| last + 1);
    taken.truncate(used);
    taken
}

/// Returns a name that two policies share only if they are the same.
fn name(trees: &[u8], rest: &Rest) -> Result<String> {
    let rest = postcard::to_stdvec(rest)
        .map_err(|e| Error::internal("the retry policy cannot be written").with_source(e))?;
    let hash = trees.iter().chain(&rest).copied().fold(fnv::SEED, fnv::step);
    Ok(format!("learned retry policy {hash:016x}"))
}

impl RetryPolicy for LearnedRetryPolicy {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn propensities(&self, state: &RetryState) -> [f64; 4] {
        let values = self.q_values(state);
        let Some((best, _)) = Self::best(&values) else { return self.rest.rule.propensities(state) };
        let known = values.map(|value| value.is_some());
        let others = known.iter().filter(|known| **known).count() as f64 - 1.0;
        let each = self.rest.explore / (others + 1.0);
        let mut propensities = known.map(|known| if known { each } else { 0.0 });
        propensities[best.index()] = 1.0 - others * each;
        propensities
    }

    fn reason(&self, state: &RetryState, action: RetryAction) -> String {
        let tries =
            if state.tries == 1 { "1 failed attempt" } else { &format!("{} failed attempts", state.tries) };
        let values = self.q_values(state);
        let Some((best, value)) = Self::best(&values) else {
            let reason = self.rest.rule.reason(state, action);
            return format!("{reason}; too few actions were logged after {tries} to learn from");
        };
        if action != best {
            return format!(
                "{action} after {tries}, to explore; the expected value of {best} is {value:.2} $"
            );
        }
        let others = RetryAction::ALL.into_iter().filter(|other| *other != best);
        let next = others.filter_map(|other| Some((other, values[other.index()]?)));
        let next = next.max_by(|a, b| a.1.total_cmp(&b.1));
        let against = next.map_or(String::new(), |(other, less)| format!(", {other} {less:.2} $"));
        let trajectories = self.rest.trajectories;
        format!(
            "{action} after {tries}: expected value {value:.2} ${against} (learned from {trajectories} tasks)"
        )
    }
}
