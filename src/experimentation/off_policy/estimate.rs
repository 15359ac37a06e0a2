//! The value of a policy that did not choose.

use super::overlap::{InsufficientOverlap, Overlap};
use super::row::LoggedChoice;
use crate::error::{Error, Result, in_range};
use crate::ml::metrics::{Ratio, studentised};
use crate::routing::Objective;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the value of a target policy is estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// Inverse propensity scoring (Horvitz and Thompson 1952): unbiased, wide.
    Ips,
    /// The same divided by the sum of the weights (Swaminathan and Joachims 2015): slightly biased,
    /// narrower.
    SelfNormalised,
    /// A model of the reward, corrected by weighted residuals (Dudík, Langford and Li 2011): narrower
    /// the better the model is, right without it. The rows need `predicted`.
    #[default]
    DoublyRobust,
}

/// What can be set of an off-policy estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OffPolicyOptions {
    /// The most of the target policy's choices that may have had no chance of being logged, 0 to 0.5; by
    /// default 0.001.
    pub max_unsupported: f64,
    /// The least that the rows must be worth, from 2; by default 100.
    pub min_effective_rows: f64,
    /// The fewest clusters, from 2; by default 20.
    pub min_clusters: usize,
    /// Parts of the clusters, each predicted from the others, 2 to 100; by default 5.
    pub folds: u32,
    /// What a success and an hour are worth, for utility.
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
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Standard error of the estimate.
    pub standard_error: f64,
}

/// What is known of a target policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyAnswer {
    /// Its mean reward.
    Estimated {
        /// The mean reward of the target policy.
        value: Interval95,
        /// By how much it is above the logged mean.
        gain: Interval95,
        /// The gain as a share of the logged mean; `None` where that is not above 0.
        relative: Option<Interval95>,
    },
    /// The log does not hold enough.
    InsufficientOverlap(InsufficientOverlap),
}

/// A target policy's mean reward, beside that of the choices that were made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PolicyEstimate {
    /// How it was estimated.
    pub estimator: Estimator,
    /// The mean reward of the choices that were made.
    pub logged: f64,
    /// The target policy's.
    pub answer: PolicyAnswer,
    /// How much of what the target policy would do the log holds.
    pub overlap: Overlap,
}

/// Each end of an interval that is to hold 95 % of the time.
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
    ///
    /// # Errors
    /// `InvalidInput` naming the option and its value.
    pub fn verify(&self) -> Result<()> {
        in_range("max_unsupported", self.max_unsupported, 0.0, 0.5)?;
        in_range("min_effective_rows", self.min_effective_rows, 2.0, 1e9)?;
        in_range("min_clusters", self.min_clusters as f64, 2.0, 1e9)?;
        in_range("folds", f64::from(self.folds), 2.0, 100.0)?;
        self.objective.verify()
    }
}

/// The mean reward that the target policy of `rows` would have reached, with a 95 % interval from a
/// studentised bootstrap over the clusters, or why that cannot be told. The order of the rows does
/// not matter beyond rounding.
///
/// ```
/// use devmatrix_ml::experimentation::off_policy::{Estimator, LoggedChoice, OffPolicyOptions, PolicyAnswer, estimate_policy};
/// // Two candidates, tried equally often; the second succeeds twice as often.
/// let row = |i: u64| {
///     let chosen = (i % 2) as usize;
///     let reward = f64::from(u8::from(i / 2 % 3 <= chosen as u64));
///     LoggedChoice::new(chosen, 0.5, vec![0.0, 1.0], reward, i)
/// };
/// let rows: Vec<_> = (0..1200).map(row).collect();
/// let found = estimate_policy(&rows, Estimator::SelfNormalised, &OffPolicyOptions::default())?;
/// let PolicyAnswer::Estimated { value, .. } = found.answer else { panic!("{found:?}") };
/// assert!((value.value - 2.0 / 3.0).abs() < 1e-9 && found.overlap.effective_rows == 600.0);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for no rows, a propensity of 0, odds that do not add up to 1, a chosen candidate that
/// is none, values that are not finite, or a doubly robust estimate without predictions.
pub fn estimate_policy(
    rows: &[LoggedChoice],
    estimator: Estimator,
    options: &OffPolicyOptions,
) -> Result<PolicyEstimate> {
    options.verify()?;
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
    /// The target policy's mean reward, where it can be told.
    pub fn value(&self) -> Option<Interval95> {
        match self.answer {
            PolicyAnswer::Estimated { value, .. } => Some(value),
            PolicyAnswer::InsufficientOverlap(_) => None,
        }
    }

    /// By how much it is above what was reached, where it can be told.
    pub fn gain(&self) -> Option<Interval95> {
        match self.answer {
            PolicyAnswer::Estimated { gain, .. } => Some(gain),
            PolicyAnswer::InsufficientOverlap(_) => None,
        }
    }
}

impl Interval95 {
    /// Half the interval's width.
    pub fn half_width(&self) -> f64 {
        (self.upper - self.lower) / 2.0
    }

    /// Whether `truth` lies in the interval.
    pub fn contains(&self, truth: f64) -> bool {
        (self.lower..=self.upper).contains(&truth)
    }
}

impl From<Ratio> for Interval95 {
    fn from(Ratio { value, lower, upper, standard_error }: Ratio) -> Self {
        Self { value, lower, upper, standard_error }
    }
}

/// Every row's part in the estimate, which is their mean; then the same against what was reached.
fn estimated(rows: &[LoggedChoice], estimator: Estimator, logged: f64, seed: u64) -> PolicyAnswer {
    let mean_weight = weighted_mean(rows, LoggedChoice::importance);
    let normalised = weighted_mean(rows, |row| row.importance() * row.reward) / mean_weight;
    let part = |row: &LoggedChoice| match estimator {
        Estimator::Ips => row.importance() * row.reward,
        // The mean is the ratio itself; the spread is its influence function's.
        Estimator::SelfNormalised => normalised + row.importance() * (row.reward - normalised) / mean_weight,
        Estimator::DoublyRobust => {
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
