//! How a policy was judged, for a person to read.

use super::judge::StepEstimate;
use crate::decide::offpolicy::Interval95;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A policy beside the one in force, on stored episodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The policy.
    pub policy: String,
    /// The one in force.
    pub in_force: String,
    /// What to do.
    pub verdict: StepVerdict,
    /// Episodes that it was learnt from; 0 where it was given.
    pub learnt_from: usize,
    /// Episodes that it was judged on.
    pub judged_on: usize,
    /// What an episode was worth as it was, in US dollars.
    pub logged: f64,
    /// What the policy would have made of an episode.
    pub policy_estimate: StepEstimate,
    /// What the one in force would have.
    pub in_force_estimate: StepEstimate,
    /// By how much the policy is above the one in force, doubly robust; `None` where it cannot be told.
    pub gain: Option<Interval95>,
}

/// Whether a policy may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepVerdict {
    /// It is better than the one in force beyond chance.
    Adopt,
    /// The one in force stays.
    Keep,
}

/// `adopt learnt steps …: 0.31 $ an episode, against 0.12 $ …`.
impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (policy, in_force) = (&self.policy, &self.in_force);
        match self.verdict {
            StepVerdict::Adopt => write!(f, "adopt {policy} in place of {in_force}: ")?,
            StepVerdict::Keep => write!(f, "keep {in_force}, not {policy}: ")?,
        }
        for (whose, found) in [("it", &self.policy_estimate), ("the one in force", &self.in_force_estimate)] {
            if let Some(why) = found.cannot_tell {
                return write!(f, "cannot tell what {whose} would have done: {why}");
            }
        }
        let values = [&self.policy_estimate, &self.in_force_estimate].map(|e| e.doubly_robust);
        if let ([Some(new), Some(old)], Some(gain)) = (values, self.gain) {
            write!(f, "{:.3} $ a task against {:.3} $, ", new.value, old.value)?;
            write!(f, "gain {:+.3} ({:+.3} to {:+.3})", gain.value, gain.lower, gain.upper)?;
        }
        let (n, worth) = (self.judged_on, self.policy_estimate.overlap.effective_rows);
        write!(f, "; judged on {n} tasks, worth {worth:.0} of its own, ")?;
        write!(f, "learnt from {} others", self.learnt_from)
    }
}
