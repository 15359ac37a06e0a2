//! The gate's verdict: the decision of all its checks, with their reasons.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Decision of the gate on an evaluated model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GateDecision {
    /// It is significantly better: it may go live.
    Promote,
    /// It may be better, but there are too few outcomes to decide.
    #[serde(alias = "hold")]
    Inconclusive,
    /// It is worse, or not good enough.
    #[serde(alias = "refuse")]
    Reject,
}

/// Verdict of the gate on a model, with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GateVerdict {
    /// The decision.
    pub(crate) decision: GateDecision,
    /// Each check with its figures.
    pub(crate) reasons: Vec<String>,
    /// Estimate of how many more outcomes it takes to decide, where it is inconclusive and seems better.
    pub(crate) more_outcomes: Option<usize>,
}

impl GateVerdict {
    /// Returns whether the model may go live.
    pub(crate) fn promotes(&self) -> bool {
        self.decision == GateDecision::Promote
    }
}

impl fmt::Display for GateDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promote => "promote",
            Self::Inconclusive => "inconclusive",
            Self::Reject => "reject",
        })
    }
}

/// One check of a gate.
#[derive(Debug)]
pub(crate) struct Check {
    decision: GateDecision,
    reason: String,
    more: Option<usize>,
}

impl Check {
    pub(crate) fn pass(reason: String) -> Self {
        Self { decision: GateDecision::Promote, reason, more: None }
    }

    pub(crate) fn inconclusive(reason: String, more: Option<usize>) -> Self {
        Self { decision: GateDecision::Inconclusive, reason, more }
    }

    pub(crate) fn reject(reason: String) -> Self {
        Self { decision: GateDecision::Reject, reason, more: None }
    }
}

/// Combines checks: one that rejects decides, then one that is inconclusive.
pub(crate) fn decide(checks: Vec<Check>) -> GateVerdict {
    let any = |decision| checks.iter().any(|check| check.decision == decision);
    let decision = if any(GateDecision::Reject) {
        GateDecision::Reject
    } else if any(GateDecision::Inconclusive) {
        GateDecision::Inconclusive
    } else {
        GateDecision::Promote
    };
    let more_outcomes =
        checks.iter().filter_map(|c| c.more).max().filter(|_| decision == GateDecision::Inconclusive);
    GateVerdict { decision, reasons: checks.into_iter().map(|c| c.reason).collect(), more_outcomes }
}
