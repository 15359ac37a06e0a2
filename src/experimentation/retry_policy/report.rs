//! How a policy was judged, for a person to read.

use super::evaluation::RetryEstimate;
use crate::experimentation::off_policy::Interval95;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A policy beside the one in force, on stored episodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RetryReport {
    /// The policy.
    pub policy: String,
    /// The one in force.
    #[serde(alias = "in_force")]
    pub baseline: String,
    /// What to do.
    pub verdict: RetryVerdict,
    /// Episodes that it was learned from; 0 where it was given.
    #[serde(alias = "learnt_from")]
    pub learned_from: usize,
    /// Episodes that it was judged on.
    #[serde(alias = "judged_on")]
    pub evaluated_on: usize,
    /// What an episode was worth as it was, in US dollars.
    pub logged: f64,
    /// What the policy would have made of an episode.
    pub policy_estimate: RetryEstimate,
    /// What the one in force would have.
    #[serde(alias = "in_force_estimate")]
    pub baseline_estimate: RetryEstimate,
    /// By how much the policy is above the one in force, doubly robust; `None` where it cannot be told.
    pub gain: Option<Interval95>,
}

/// Whether a policy may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryVerdict {
    /// It is better than the one in force beyond chance.
    Adopt,
    /// The one in force stays.
    Keep,
}

/// `adopt learned steps …: 0.31 $ an trajectory, against 0.12 $ …`.
impl fmt::Display for RetryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (policy, baseline) = (&self.policy, &self.baseline);
        match self.verdict {
            RetryVerdict::Adopt => write!(f, "adopt {policy} in place of {baseline}: ")?,
            RetryVerdict::Keep => write!(f, "keep {baseline}, not {policy}: ")?,
        }
        for (whose, found) in [("it", &self.policy_estimate), ("the one in force", &self.baseline_estimate)] {
            if let Some(why) = found.cannot_tell {
                return write!(f, "cannot tell what {whose} would have done: {why}");
            }
        }
        let values = [&self.policy_estimate, &self.baseline_estimate].map(|e| e.doubly_robust);
        if let ([Some(new), Some(old)], Some(gain)) = (values, self.gain) {
            write!(f, "{:.3} $ a task against {:.3} $, ", new.value, old.value)?;
            write!(f, "gain {:+.3} ({:+.3} to {:+.3})", gain.value, gain.lower, gain.upper)?;
        }
        let (n, q_function) = (self.evaluated_on, self.policy_estimate.overlap.effective_rows);
        write!(f, "; judged on {n} tasks, worth {q_function:.0} of its own, ")?;
        write!(f, "learnt from {} others", self.learned_from)
    }
}
