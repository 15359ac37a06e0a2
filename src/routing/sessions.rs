//! Sticky sessions.

use super::state::sound;
use crate::error::Result;
use crate::event::Decision;
use crate::verify::Verify;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// The decision of each session's first task; the oldest sessions are dropped first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sessions {
    drawn: BTreeMap<String, Drawn>,
    order: VecDeque<String>,
}

/// The repeated part of a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Drawn {
    policy: String,
    candidates: Vec<String>,
    #[serde(alias = "od\u{64}s")]
    propensities: Vec<f64>,
    chosen: usize,
    inputs: Option<String>,
    versions: BTreeMap<String, u64>,
    terms: Option<String>,
}

/// Sessions at most, some megabytes.
const MOST_SESSIONS: usize = 10_000;

impl Sessions {
    /// Keeps the decision of its unit.
    pub(super) fn keep(&mut self, decision: &Decision) {
        let at = decision.candidates.iter().position(|name| *name == decision.chosen);
        let (Some(unit), Some(chosen)) = (&decision.unit, at) else { return };
        let drawn = Drawn {
            policy: decision.policy.clone(),
            candidates: decision.candidates.clone(),
            propensities: decision.propensities.clone(),
            chosen,
            inputs: decision.inputs.clone(),
            versions: decision.versions.clone(),
            terms: decision.terms.clone(),
        };
        if self.drawn.insert(unit.clone(), drawn).is_none() {
            self.order.push_back(unit.clone());
        }
        if self.order.len() > MOST_SESSIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.drawn.remove(&oldest);
        }
    }

    /// Returns the repeated decision of a session, with the propensities of its draw.
    pub(super) fn drawn(&self, session: &str) -> Option<Result<Decision>> {
        // One that a host made without them cannot be drawn again.
        let drawn = self.drawn.get(session).filter(|drawn| !drawn.propensities.is_empty())?;
        Some(drawn.decision().map(|decision| Decision {
            inputs: drawn.inputs.clone(),
            versions: drawn.versions.clone(),
            terms: drawn.terms.clone(),
            reason: Some(format!("{}: the choice of the session's first task", decision.chosen)),
            unit: Some(session.to_owned()),
            repeated: true,
            ..decision
        }))
    }
}

impl Drawn {
    fn is_sound(&self) -> bool {
        if self.propensities.is_empty() {
            return self.chosen < self.candidates.len();
        }
        self.decision().is_ok()
    }

    fn decision(&self) -> Result<Decision> {
        Decision::drawn(&self.policy, self.candidates.clone(), self.propensities.clone(), self.chosen)
    }
}

impl Verify for Sessions {
    fn verify(&self) -> Result<()> {
        let known = self.order.iter().filter(|session| self.drawn.contains_key(*session)).count();
        let sizes = [self.order.len(), self.drawn.len()];
        sound("the order of sessions", sizes == [known; 2] && known <= MOST_SESSIONS)?;
        sound("the choice of a session", self.drawn.values().all(Drawn::is_sound))
    }
}
