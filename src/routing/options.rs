//! Options of a router.

use super::objective::Objective;
use super::safety::Safety;
use crate::error::{Result, in_range};
use crate::event::Prices;
use crate::text::Lexicon;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// Options of a [`Router`](super::Router).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RouterOptions {
    /// The objective.
    pub objective: Objective,
    /// Limits on exploration.
    pub safety: Safety,
    /// Whether all tasks of a session get the choice of its first one; by default not.
    pub sticky_sessions: bool,
    /// Whether tasks repeat, so that candidates are learned for each task id; by default not.
    pub by_task: bool,
    /// The least probability that the best candidate is better than the default, 0.5 to 1; else the router abstains, and
    /// the default (without one the best constant so far, before there is one the cheapest) is the greedy choice. By default 0.7. Higher values save money, lower ones
    /// follow weak evidence; `cargo run --release --example routing -- --seeds 20` measures the regret.
    pub certainty: f64,
    /// Probability of all cold-start LLMs together, 0 to 1; by default 0.05.
    #[serde(alias = "newcomer_share")]
    pub cold_start_share: f64,
    /// Outcomes below which an LLM is in cold start; by default 30.
    #[serde(alias = "newcomer_outcomes")]
    pub cold_start_outcomes: u64,
    /// Prices of LLMs: what a generation cost where its end tells tokens alone. An [`Engine`](crate::Engine) gives them to
    /// its collector too.
    #[serde(skip_serializing_if = "Prices::is_empty")]
    pub prices: Prices,
    /// The zone whose days a budget goes by; an [`Engine`](crate::Engine) sets the host's.
    pub zone: Tz,
    /// Minutes for which a budget reserves what a try may cost, 1 to 1e5; after them a try that has not ended counts as what was
    /// expected of it, until it ends. By default 60.
    pub reserve_minutes: f64,
    /// Seed of the draws: equal seeds and equal calls give equal choices.
    pub seed: u64,
    /// The lexicon that descriptions are read with. An [`Engine`](crate::Engine) sets that of its features; a router
    /// that chooses by the predictions of a service should have the service's.
    #[serde(skip_serializing_if = "is_built_in")]
    pub lexicon: Lexicon,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            safety: Safety::default(),
            sticky_sessions: false,
            by_task: false,
            certainty: 0.7,
            cold_start_share: 0.05,
            cold_start_outcomes: 30,
            prices: Prices::default(),
            zone: Tz::UTC,
            reserve_minutes: 60.0,
            seed: 7,
            lexicon: Lexicon::default(),
        }
    }
}

fn is_built_in(lexicon: &Lexicon) -> bool {
    lexicon.fingerprint().is_none()
}

impl RouterOptions {
    pub(super) fn validate(&self) -> Result<()> {
        self.objective.validate()?;
        self.safety.validate()?;
        in_range("certainty", self.certainty, 0.5, 1.0)?;
        in_range("reserve_minutes", self.reserve_minutes, 1.0, 1e5)?;
        in_range("cold_start_share", self.cold_start_share, 0.0, 1.0)
    }
}
