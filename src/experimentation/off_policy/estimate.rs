//! Off-policy estimates of the value of a policy.

use super::overlap::{InsufficientOverlap, Overlap};
use super::row::LoggedChoice;
use crate::error::{Error, Result, in_range};
use crate::experimentation::unbounded;
use crate::ml::metrics::{Ratio, studentised};
use crate::routing::Objective;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Estimator of the value of a target policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Estimator {
    /// Inverse propensity scoring (Horvitz and Thompson 1952): unbiased, wide.
    Ips,
    /// IPS divided by the sum of the weights (Swaminathan and Joachims 2015): slightly biased,
    /// narrower.
    #[serde(alias = "self_normalised")]
    SelfNormalized,
    /// A model of the reward, corrected by weighted residuals (Dudík, Langford and Li 2011): narrower
    /// the better the model is, right without it. The rows need `predicted`.
    #[default]
    DoublyRobust,
    /// A model of the reward alone, with the mean residual of each candidate where it was chosen: for amounts that depend on
    /// the candidate and hardly on why it was chosen, as price times tokens does. It needs no overlap, only that the
    /// candidates were tried somewhere.
    DirectMethod,
}

/// Options of an off-policy estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OffPolicyOptions {
    /// The share of the target policy's choices that may lack support in the log, 0 to 0.5; by default 0.001.
    pub max_unsupported: f64,
    /// The least effective sample size, from 2; by default 100.
    pub min_effective_rows: f64,
    /// The fewest clusters, from 2; by default 20.
    pub min_clusters: usize,
    /// Parts of the clusters, each predicted from the others, 2 to 100; by default 5.
    pub folds: u32,
    /// The value of a success and the cost of an hour, for utility.
    pub objective: Objective,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// A number with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interval95 {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    #[serde(deserialize_with = "unbounded::below")]
    pub lower: f64,
    /// Upper end.
    #[serde(deserialize_with = "unbounded::above")]
    pub upper: f64,
    /// Standard error of the estimate.
    #[serde(deserialize_with = "unbounded::above")]
    pub(crate) standard_error: f64,
}

/// The estimate, or the reason why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PolicyAnswer {
    /// The mean reward of the target policy.
    Estimated {
        value: Interval95,
        /// Minus the logged mean.
        gain: Interval95,
        /// The gain as a share of the logged mean; `None` where that is not above 0.
        relative: Option<Interval95>,
    },
    #[serde(alias = "cannot_tell")]
    InsufficientOverlap(InsufficientOverlap),
}

/// The mean reward of a target policy and of the logged choices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PolicyEstimate {
    pub(crate) estimator: Estimator,
    /// The mean reward of the logged choices.
    pub logged: f64,
    pub(crate) answer: PolicyAnswer,
    pub(crate) overlap: Overlap,
}

/// Upper quantile of a 95 % interval.
const END: f64 = 0.975;

impl Default for OffPolicyOptions {
    fn default() -> Self {
        Self {
            max_unsupported: 0.001,
            min_effective_rows: 100.0,
            min_clusters: 20,
            folds: 5,
            objective: Objective::default(),
            seed: 42,
        }
    }
}

impl OffPolicyOptions {
    /// Checks every range.
    pub(crate) fn validate(&self) -> Result<()> {
        in_range("max_unsupported", self.max_unsupported, 0.0, 0.5)?;
        in_range("min_effective_rows", self.min_effective_rows, 2.0, 1e9)?;
        in_range("min_clusters", self.min_clusters as f64, 2.0, 1e9)?;
        in_range("folds", f64::from(self.folds), 2.0, 100.0)?;
        self.objective.validate()
    }
}

/// Estimates the mean reward of the target policy of `rows`, with a 95 % interval from a studentized bootstrap over the
/// clusters, or returns the reason why it cannot be estimated. The order of the rows does not matter beyond rounding.
///
/// # Errors
/// `InvalidInput` for no rows, a propensity of 0, probabilities that do not add up to 1, a chosen index out of range,
/// values that are not finite, or a doubly robust estimate without predictions.
pub(crate) fn estimate_policy(
    rows: &[LoggedChoice],
    estimator: Estimator,
    options: &OffPolicyOptions,
) -> Result<PolicyEstimate> {
    options.validate()?;
    if rows.is_empty() {
        return Err(Error::invalid("off-policy: no logged choices: give at least one"));
    }
    rows.iter().enumerate().try_for_each(|(i, row)| row.verify(i))?;
    if estimator == Estimator::DoublyRobust && rows.iter().any(|row| row.predicted.is_empty()) {
        return Err(Error::invalid(
            "off-policy: a doubly robust estimate needs what a model predicts of every row: cross_fit first",
        ));
    }
    let overlap = Overlap::of(rows);
    let logged = weighted_mean(rows, |row| row.reward);
    let complete = rows.iter().all(|row| !row.logged.is_empty());
    let answer = match overlap.refusal(options, complete) {
        Some(why) => PolicyAnswer::InsufficientOverlap(why),
        None => estimated(rows, estimator, logged, options.seed),
    };
    Ok(PolicyEstimate { estimator, logged, answer, overlap })
}

impl PolicyEstimate {
    /// Returns the mean reward of the target policy; `None` for insufficient overlap.
    pub fn value(&self) -> Option<Interval95> {
        match self.answer {
            PolicyAnswer::Estimated { value, .. } => Some(value),
            PolicyAnswer::InsufficientOverlap(_) => None,
        }
    }

    /// Returns the gain over the logged choices; `None` for insufficient overlap.
    pub(crate) fn gain(&self) -> Option<Interval95> {
        match self.answer {
            PolicyAnswer::Estimated { gain, .. } => Some(gain),
            PolicyAnswer::InsufficientOverlap(_) => None,
        }
    }
}

impl Interval95 {
    pub(crate) fn half_width(&self) -> f64 {
        (self.upper - self.lower) / 2.0
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, truth: f64) -> bool {
        (self.lower..=self.upper).contains(&truth)
    }
}

impl From<Ratio> for Interval95 {
    fn from(Ratio { value, lower, upper, standard_error }: Ratio) -> Self {
        Self { value, lower, upper, standard_error }
    }
}

/// Returns the means of the rows' contributions to value and gain, with their intervals.
fn estimated(rows: &[LoggedChoice], estimator: Estimator, logged: f64, seed: u64) -> PolicyAnswer {
    let mean_weight = weighted_mean(rows, LoggedChoice::importance);
    let normalised = weighted_mean(rows, |row| row.importance() * row.reward) / mean_weight;
    let part = |row: &LoggedChoice| match estimator {
        Estimator::Ips => row.importance() * row.reward,
        // The mean is the ratio itself; the spread is its influence function's.
        Estimator::SelfNormalized => normalised + row.importance() * (row.reward - normalised) / mean_weight,
        Estimator::DoublyRobust | Estimator::DirectMethod => {
            let expected: f64 = row.target.iter().zip(&row.predicted).map(|(p, q)| p * q).sum();
            expected + row.importance() * (row.reward - row.predicted[row.chosen])
        }
    };
    let interval = |over: &dyn Fn(&LoggedChoice) -> (f64, f64)| {
        let mut groups = BTreeMap::<u64, (f64, f64)>::new();
        for row in rows {
            let (above, below) = over(row);
            let group = groups.entry(row.cluster).or_default();
            group.0 += row.weight * above;
            group.1 += row.weight * below;
        }
        Interval95::from(studentised(&groups.into_values().collect::<Vec<_>>(), END, seed))
    };
    PolicyAnswer::Estimated {
        value: interval(&|row| (part(row), 1.0)),
        gain: interval(&|row| (part(row) - row.reward, 1.0)),
        relative: (logged > 0.0).then(|| interval(&|row| (part(row) - row.reward, row.reward))),
    }
}

fn weighted_mean(rows: &[LoggedChoice], of: impl Fn(&LoggedChoice) -> f64) -> f64 {
    let (sum, count) = rows.iter().fold((0.0, 0.0), |(s, n), row| (s + row.weight * of(row), n + row.weight));
    sum / count
}
