//! Off-policy evaluation of retry policies on stored trajectories.

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

/// The mean value of a trajectory under a policy, in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RetryEstimate {
    /// By importance sampling per decision (Precup, Sutton and Singh 2000); `None` for insufficient overlap.
    pub(crate) importance: Option<Interval95>,
    /// Doubly robust (Jiang and Li 2016): the Q-function, corrected by weighted residuals; `None` for insufficient
    /// overlap.
    pub(crate) doubly_robust: Option<Interval95>,
    /// The reason why there is no estimate.
    #[serde(alias = "cannot_tell")]
    pub(crate) insufficient_overlap: Option<InsufficientOverlap>,
    /// Overlap of the logged trajectories with the policy; its rows are trajectories.
    pub(crate) overlap: Overlap,
}

/// Upper quantile of a 95 % interval.
const END: f64 = 0.975;

/// Compares `policy` with `baseline` on stored trajectories; neither may have been learned from them. The Q-function is
/// cross-fitted, so that no trajectory is predicted from itself.
///
/// ```
/// # #[cfg(feature = "simulate")] {
/// use devmatrix_ml::experimentation::retry_policy::{Trajectories, RetryAction, RetryLearningOptions, BaselinePolicy, compare_retry_policies};
/// use devmatrix_ml::simulate::{RetryWorld, RetryWorldOptions};
/// let world = RetryWorld::new(RetryWorldOptions::default());
/// let retry = BaselinePolicy::retry_up_to(3)?;
/// let logged = world.trajectories(&retry.clone().exploring(0.5)?, 0..1500)?;
/// let switch = BaselinePolicy::new([RetryAction::SwitchModel, RetryAction::Retry])?;
/// let report = compare_retry_policies(&logged.trajectories, &switch, &retry, &RetryLearningOptions::default())?;
/// println!("{report}");
/// let reward = RetryLearningOptions::default().reward;
/// let truth = world.value(&switch, &reward, 0..500) - world.value(&retry, &reward, 0..500);
/// let gain = report.gain.unwrap();
/// assert!((gain.value - truth).abs() < 0.15, "{gain:?}, true gain {truth}");
/// # }
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for an option out of range, no trajectory, or invalid propensities; `NotEnoughData` where every action
/// was to stop; `Cancelled`.
pub fn compare_retry_policies(
    trajectories: &[Trajectory],
    policy: &dyn RetryPolicy,
    baseline: &dyn RetryPolicy,
    options: &RetryLearningOptions,
) -> Result<RetryReport> {
    options.validate()?;
    verify(trajectories)?;
    let folds = assign_folds(trajectories, options.off_policy.folds);
    let mut of_both = [Vec::new(), Vec::new()];
    for fold in 0..options.off_policy.folds {
        let pick = |own: bool| {
            let with = trajectories.iter().zip(&folds).filter(move |(_, at)| (**at == fold) == own);
            with.map(|(trajectory, _)| trajectory).collect::<Vec<_>>()
        };
        let (held_out, rest) = (pick(true), pick(false));
        if held_out.is_empty() || rest.is_empty() {
            continue;
        }
        for (contributions, policy) in of_both.iter_mut().zip([policy, baseline]) {
            let q_function = fit_q_function(policy, &rest, options)?;
            contributions.extend(evaluate_all(&held_out, policy, &q_function, &options.reward)?);
        }
    }
    let [of_policy, of_baseline] = of_both;
    Ok(compare([policy, baseline], &of_policy, &of_baseline, options))
}

/// Fits the Q-function of `policy` on `trajectories`.
pub(super) fn fit_q_function(
    policy: &dyn RetryPolicy,
    trajectories: &[&Trajectory],
    options: &RetryLearningOptions,
) -> Result<QFunction> {
    QFunction::fit(trajectories, &options.reward, &options.forest, |state, q_function| {
        policy.propensities(state).iter().zip(q_function).map(|(p, q)| p * q).sum()
    })
}

/// The contribution of one trajectory to the estimates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contribution {
    importance: f64,
    doubly_robust: f64,
    /// Its logged return.
    logged: f64,
    /// Importance weight: the probability of its actions under the policy over their propensities.
    weight: f64,
    /// The policy's probability of an action that could not have been logged.
    unsupported: f64,
    cluster: u64,
}

/// Returns the contribution of every trajectory; `q_function` must not have been fitted on them.
pub(super) fn evaluate_all(
    trajectories: &[&Trajectory],
    policy: &dyn RetryPolicy,
    q_function: &QFunction,
    reward: &TrajectoryReward,
) -> Result<Vec<Contribution>> {
    trajectories.iter().map(|trajectory| contribution(trajectory, policy, q_function, reward)).collect()
}

fn contribution(
    trajectory: &Trajectory,
    policy: &dyn RetryPolicy,
    q_function: &QFunction,
    reward: &TrajectoryReward,
) -> Result<Contribution> {
    let rewards = trajectory.rewards(reward);
    let mut propensities = Vec::with_capacity(trajectory.steps.len());
    let (mut weight, mut unsupported) = (1.0, 0.0);
    for step in &trajectory.steps {
        let target = policy.propensities(&step.state);
        let sum: f64 = target.iter().sum();
        if !(target.iter().all(|p| (0.0..=1.0).contains(p)) && (sum - 1.0).abs() <= 1e-6) {
            return Err(Error::invalid(format!(
                "policy {}: propensities add up to {sum}, not to 1",
                policy.name()
            )));
        }
        let lacking = target.iter().zip(&step.propensities).filter(|(_, logged)| **logged == 0.0);
        unsupported += weight * lacking.map(|(p, _)| p).sum::<f64>();
        weight *= target[step.action.index()] / step.propensities[step.action.index()];
        propensities.push(target);
    }
    let (mut importance, mut doubly_robust) = (0.0, 0.0);
    for ((step, target), reward) in trajectory.steps.iter().zip(&propensities).zip(&rewards).rev() {
        let index = step.action.index();
        let ratio = target[index] / step.propensities[index];
        let values = q_function.of(&step.state);
        let expected: f64 = target.iter().zip(&values).map(|(p, q)| p * q).sum();
        importance = ratio * (reward + importance);
        doubly_robust = expected + ratio * (reward + doubly_robust - values[index]);
    }
    if !(f64::is_finite(importance) && f64::is_finite(doubly_robust)) {
        return Err(Error::corrupt("the value of a trajectory is not a number"));
    }
    let (logged, cluster) = (rewards.iter().sum(), trajectory.cluster);
    Ok(Contribution { importance, doubly_robust, logged, weight, unsupported, cluster })
}

/// Returns the estimates with the verdict.
pub(super) fn compare(
    [policy, baseline]: [&dyn RetryPolicy; 2],
    of_policy: &[Contribution],
    of_baseline: &[Contribution],
    options: &RetryLearningOptions,
) -> RetryReport {
    let (policy_estimate, baseline_estimate) = (estimate(of_policy, options), estimate(of_baseline, options));
    let pairs = of_policy.iter().zip(of_baseline);
    let gain = interval(pairs.map(|(a, b)| (a.cluster, a.doubly_robust - b.doubly_robust)), options);
    let is_estimated =
        [&policy_estimate, &baseline_estimate].iter().all(|e| e.insufficient_overlap.is_none());
    let gain = is_estimated.then_some(gain);
    let better = gain.is_some_and(|gain| gain.lower > 0.0);
    let logged =
        of_policy.iter().map(|contribution| contribution.logged).sum::<f64>() / of_policy.len().max(1) as f64;
    RetryReport {
        policy: policy.name(),
        baseline: baseline.name(),
        verdict: if better { RetryVerdict::Adopt } else { RetryVerdict::Keep },
        learned_from: 0,
        evaluated_on: of_policy.len(),
        logged,
        policy_estimate,
        baseline_estimate,
        gain,
    }
}

fn estimate(contributions: &[Contribution], options: &RetryLearningOptions) -> RetryEstimate {
    let overlap = overlap(contributions);
    let insufficient_overlap = overlap.refusal(&options.off_policy, true);
    let of = |value: fn(&Contribution) -> f64| {
        let all = contributions.iter().map(|contribution| (contribution.cluster, value(contribution)));
        insufficient_overlap.is_none().then(|| interval(all, options))
    };
    RetryEstimate {
        importance: of(|contribution| contribution.importance),
        doubly_robust: of(|contribution| contribution.doubly_robust),
        insufficient_overlap,
        overlap,
    }
}

/// Returns the mean over trajectories with a studentized bootstrap interval over their clusters.
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

fn overlap(parts: &[Contribution]) -> Overlap {
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
        return Err(Error::invalid(
            "no trajectory: store the next action and its propensities with every failed attempt",
        ));
    }
    trajectories.iter().enumerate().try_for_each(|(index, trajectory)| trajectory.verify(index))
}

/// Returns a fold from 0 to below `folds` for every trajectory; whole clusters, about as many in each.
pub(super) fn assign_folds(trajectories: &[Trajectory], folds: u32) -> Vec<u32> {
    let mut clusters: Vec<_> = trajectories.iter().map(|trajectory| trajectory.cluster).collect();
    clusters.sort_unstable();
    clusters.dedup();
    clusters.sort_by_key(|cluster| (fnv::hash(&cluster.to_le_bytes()), *cluster));
    let turn = |(index, cluster): (usize, u64)| (cluster, index as u32 % folds);
    let turns: HashMap<_, _> = clusters.into_iter().enumerate().map(turn).collect();
    trajectories.iter().map(|trajectory| turns[&trajectory.cluster]).collect()
}
