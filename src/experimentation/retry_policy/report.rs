//! The comparison of a policy with the baseline, for a person to read.

use super::evaluation::RetryEstimate;
use crate::experimentation::off_policy::Interval95;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A policy compared with the baseline on stored trajectories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RetryReport {
    /// The policy.
    pub(crate) policy: String,
    /// The baseline: the policy in use.
    #[serde(alias = "in_force")]
    pub(crate) baseline: String,
    /// The recommendation.
    pub verdict: RetryVerdict,
    /// Trajectories that it was learned from; 0 where it was given.
    #[serde(alias = "learnt_from")]
    pub(crate) learned_from: usize,
    /// Trajectories that it was evaluated on.
    #[serde(alias = "judged_on")]
    pub(crate) evaluated_on: usize,
    /// The mean logged return of a trajectory, in US dollars.
    pub logged: f64,
    /// The value of the policy.
    pub(crate) policy_estimate: RetryEstimate,
    /// The value of the baseline.
    #[serde(alias = "in_force_estimate")]
    pub(crate) baseline_estimate: RetryEstimate,
    /// The policy's value minus the baseline's, doubly robust; `None` for insufficient overlap.
    pub gain: Option<Interval95>,
}

/// The recommendation for a learned policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryVerdict {
    /// Use it: it is significantly better than the baseline.
    Adopt,
    /// Keep the baseline.
    Keep,
}

/// `adopt learned retry policy … in place of retry rule 1: 0.310 $ a task vs 0.120 $, gain …`.
impl fmt::Display for RetryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (policy, baseline) = (&self.policy, &self.baseline);
        match self.verdict {
            RetryVerdict::Adopt => write!(f, "adopt {policy} in place of {baseline}: ")?,
            RetryVerdict::Keep => write!(f, "keep {baseline}, not {policy}: ")?,
        }
        for (whose, found) in
            [("the policy", &self.policy_estimate), ("the baseline", &self.baseline_estimate)]
        {
            if let Some(reason) = found.insufficient_overlap {
                return write!(f, "the value of {whose} cannot be estimated: {reason}");
            }
        }
        let values = [&self.policy_estimate, &self.baseline_estimate].map(|e| e.doubly_robust);
        if let ([Some(new), Some(old)], Some(gain)) = (values, self.gain) {
            write!(f, "{:.3} $ a task vs {:.3} $, ", new.value, old.value)?;
            write!(f, "gain {:+.3} (95 % CI {:+.3} to {:+.3})", gain.value, gain.lower, gain.upper)?;
        }
        let (n, effective) = (self.evaluated_on, self.policy_estimate.overlap.effective_rows);
        write!(f, "; evaluated on {n} tasks, effective sample size {effective:.0}, ")?;
        write!(f, "learned from {} others", self.learned_from)
    }
}
