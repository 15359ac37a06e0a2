//! What would another policy have made of the stored episodes?

use super::action::RetryPolicy;
use super::learn::RetryLearningOptions;
use super::q_function::QFunction;
use super::report::{RetryReport, RetryVerdict};
use super::reward::TrajectoryReward;
use super::trajectory::Trajectory;
use crate::error::{Error, Result};
use crate::experimentation::off_policy::{InsufficientOverlap, Interval95, Overlap};
use crate::ml::metrics::{Moments, studentised};
use crate::stats::fnv;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// What a policy would have made of an episode, in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RetryEstimate {
    /// By importance sampling per decision (Precup, Sutton and Singh 2000); `None` where it cannot be
    /// told.
    pub importance: Option<Interval95>,
    /// Doubly robust (Jiang and Li 2016): a model of each step's worth, corrected by weighted residuals;
    /// `None` where it cannot be told.
    pub doubly_robust: Option<Interval95>,
    /// Why not.
    pub cannot_tell: Option<InsufficientOverlap>,
    /// How much of what the policy would do the episodes hold; its rows are episodes.
    pub overlap: Overlap,
}

/// Each end of an interval that is to hold 95 % of the time.
const END: f64 = 0.975;

/// Judges `policy` beside the one in `force` on stored episodes; neither may have been learned from them.
/// The model of each step's worth is cross-fitted, so that no episode is predicted from itself.
///
/// ```
/// # #[cfg(feature = "simulate")] {
/// use devmatrix_ml::experimentation::retry_policy::{Trajectories, RetryAction, RetryLearningOptions, BaselinePolicy, compare_retry_policies};
/// use devmatrix_ml::simulate::{RetryWorld, RetryWorldOptions};
/// let world = RetryWorld::new(RetryWorldOptions::default());
/// let retry = BaselinePolicy::retry_up_to(3)?;
/// let past = world.trajectories(&retry.clone().exploring(0.5)?, 0..1500)?;
/// let switch = BaselinePolicy::new([RetryAction::SwitchModel, RetryAction::Retry])?;
/// let report = compare_retry_policies(&past.trajectories, &switch, &retry, &RetryLearningOptions::default())?;
/// println!("{report}");
/// let truth = world.value(&switch, &RetryLearningOptions::default().reward, 0..500);
/// let found = report.policy_estimate.doubly_robust.unwrap();
/// assert!((found.value - truth).abs() < 0.1, "{found:?}, in truth {truth}");
/// # }
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for an option out of range, no episode, or odds that are none; `NotEnoughData` where
/// nothing but stopping was done; `Cancelled`.
pub fn compare_retry_policies(
    trajectories: &[Trajectory],
    policy: &dyn RetryPolicy,
    force: &dyn RetryPolicy,
    options: &RetryLearningOptions,
) -> Result<RetryReport> {
    options.verify()?;
    verify(trajectories)?;
    let folds = deal(trajectories, options.off_policy.folds);
    let mut of_both = [Vec::new(), Vec::new()];
    for fold in 0..options.off_policy.folds {
        let pick = |own: bool| {
            let with = trajectories.iter().zip(&folds).filter(move |(_, at)| (**at == fold) == own);
            with.map(|(trajectory, _)| trajectory).collect::<Vec<_>>()
        };
        let (apart, rest) = (pick(true), pick(false));
        if apart.is_empty() || rest.is_empty() {
            continue;
        }
        for (parts, policy) in of_both.iter_mut().zip([policy, force]) {
            let q_function = worth_of(policy, &rest, options)?;
            parts.extend(judge_all(&apart, policy, &q_function, &options.reward)?);
        }
    }
    let [of_policy, of_force] = of_both;
    Ok(conclude([policy, force], &of_policy, &of_force, options))
}

/// What each step is worth under `policy`, learned from `trajectories`.
pub(super) fn worth_of(
    policy: &dyn RetryPolicy,
    trajectories: &[&Trajectory],
    options: &RetryLearningOptions,
) -> Result<QFunction> {
    QFunction::fit(trajectories, &options.reward, &options.forest, |state, q_function| {
        policy.propensities(state).iter().zip(q_function).map(|(p, q)| p * q).sum()
    })
}

/// One episode's part in the estimates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    importance: f64,
    doubly_robust: f64,
    /// What came of it as it was.
    logged: f64,
    /// How much likelier the policy is to go that way.
    weight: f64,
    /// The policy's odds of leaving what could have been logged.
    unsupported: f64,
    cluster: u64,
}

/// Every episode's part; `q_function` must not have seen them.
pub(super) fn judge_all(
    trajectories: &[&Trajectory],
    policy: &dyn RetryPolicy,
    q_function: &QFunction,
    reward: &TrajectoryReward,
) -> Result<Vec<Part>> {
    trajectories.iter().map(|trajectory| part(trajectory, policy, q_function, reward)).collect()
}

fn part(
    trajectory: &Trajectory,
    policy: &dyn RetryPolicy,
    q_function: &QFunction,
    reward: &TrajectoryReward,
) -> Result<Part> {
    let rewards = trajectory.rewards(reward);
    let mut propensities = Vec::with_capacity(trajectory.steps.len());
    let (mut weight, mut unsupported) = (1.0, 0.0);
    for step in &trajectory.steps {
        let target = policy.propensities(&step.state);
        let sum: f64 = target.iter().sum();
        if !(target.iter().all(|p| (0.0..=1.0).contains(p)) && (sum - 1.0).abs() <= 1e-6) {
            return Err(Error::invalid(format!("policy {}: odds add up to {sum}, not to 1", policy.name())));
        }
        let lacking = target.iter().zip(&step.propensities).filter(|(_, logged)| **logged == 0.0);
        unsupported += weight * lacking.map(|(p, _)| p).sum::<f64>();
        weight *= target[step.step.place()] / step.propensities[step.step.place()];
        propensities.push(target);
    }
    let (mut importance, mut doubly_robust) = (0.0, 0.0);
    for ((step, target), reward) in trajectory.steps.iter().zip(&propensities).zip(&rewards).rev() {
        let place = step.step.place();
        let ratio = target[place] / step.propensities[place];
        let values = q_function.of(&step.state);
        let expected: f64 = target.iter().zip(&values).map(|(p, q)| p * q).sum();
        importance = ratio * (reward + importance);
        doubly_robust = expected + ratio * (reward + doubly_robust - values[place]);
    }
    if !(f64::is_finite(importance) && f64::is_finite(doubly_robust)) {
        return Err(Error::corrupt("an episode's worth is no number"));
    }
    let (logged, cluster) = (rewards.iter().sum(), trajectory.cluster);
    Ok(Part { importance, doubly_robust, logged, weight, unsupported, cluster })
}

/// The estimates and what follows from them.
pub(super) fn conclude(
    [policy, force]: [&dyn RetryPolicy; 2],
    of_policy: &[Part],
    of_force: &[Part],
    options: &RetryLearningOptions,
) -> RetryReport {
    let (policy_estimate, force_estimate) = (estimate(of_policy, options), estimate(of_force, options));
    let pairs = of_policy.iter().zip(of_force);
    let gain = interval(pairs.map(|(a, b)| (a.cluster, a.doubly_robust - b.doubly_robust)), options);
    let told = policy_estimate.cannot_tell.is_none() && force_estimate.cannot_tell.is_none();
    let gain = told.then_some(gain);
    let better = gain.is_some_and(|gain| gain.lower > 0.0);
    let logged = of_policy.iter().map(|part| part.logged).sum::<f64>() / of_policy.len().max(1) as f64;
    RetryReport {
        policy: policy.name(),
        baseline: force.name(),
        verdict: if better { RetryVerdict::Adopt } else { RetryVerdict::Keep },
        learned_from: 0,
        evaluated_on: of_policy.len(),
        logged,
        policy_estimate,
        baseline_estimate: force_estimate,
        gain,
    }
}

fn estimate(parts: &[Part], options: &RetryLearningOptions) -> RetryEstimate {
    let overlap = overlap(parts);
    let cannot_tell = overlap.refusal(&options.off_policy, true);
    let of = |value: fn(&Part) -> f64| {
        let all = parts.iter().map(|part| (part.cluster, value(part)));
        cannot_tell.is_none().then(|| interval(all, options))
    };
    RetryEstimate {
        importance: of(|part| part.importance),
        doubly_robust: of(|part| part.doubly_robust),
        cannot_tell,
        overlap,
    }
}

/// The mean over episodes, by a studentised bootstrap over their clusters.
fn interval(values: impl Iterator<Item = (u64, f64)>, options: &RetryLearningOptions) -> Interval95 {
    let mut groups = BTreeMap::<u64, (f64, f64)>::new();
    for (cluster, value) in values {
        let group = groups.entry(cluster).or_default();
        group.0 += value;
        group.1 += 1.0;
    }
    let groups: Vec<_> = groups.into_values().collect();
    Interval95::from(studentised(&groups, END, options.off_policy.seed))
}

fn overlap(parts: &[Part]) -> Overlap {
    let mut groups = BTreeMap::<u64, (f64, f64)>::new();
    for part in parts {
        let group = groups.entry(part.cluster).or_default();
        group.0 += part.weight;
        group.1 += 1.0;
    }
    let groups: Vec<_> = groups.into_values().collect();
    let Moments { mean, error } = Moments::of(&groups);
    let (sum, squares) = parts.iter().fold((0.0, 0.0), |(s, q), p| (s + p.weight, q + p.weight * p.weight));
    Overlap {
        rows: parts.len(),
        clusters: groups.len(),
        effective_rows: if squares > 0.0 { sum * sum / squares } else { 0.0 },
        mean_weight: mean,
        mean_weight_error: error,
        max_weight: parts.iter().map(|part| part.weight).fold(0.0, f64::max),
        unsupported: parts.iter().map(|part| part.unsupported).sum::<f64>() / parts.len().max(1) as f64,
    }
}

pub(super) fn verify(trajectories: &[Trajectory]) -> Result<()> {
    if trajectories.is_empty() {
        return Err(Error::invalid("no episode: store the next step and its odds with every failed try"));
    }
    trajectories.iter().enumerate().try_for_each(|(place, trajectory)| trajectory.verify(place))
}

/// A part from 0 to below `parts` for every episode; whole clusters, about as many in each.
pub(super) fn deal(trajectories: &[Trajectory], parts: u32) -> Vec<u32> {
    let mut clusters: Vec<_> = trajectories.iter().map(|trajectory| trajectory.cluster).collect();
    clusters.sort_unstable();
    clusters.dedup();
    clusters.sort_by_key(|cluster| (fnv::hash(&cluster.to_le_bytes()), *cluster));
    let turn = |(place, cluster): (usize, u64)| (cluster, place as u32 % parts);
    let turns: HashMap<_, _> = clusters.into_iter().enumerate().map(turn).collect();
    trajectories.iter().map(|trajectory| turns[&trajectory.cluster]).collect()
}
