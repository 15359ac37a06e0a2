//! The cost of a generation, where the host gives tokens alone.

use super::in_flight::PricedBy;
use super::{DataCollector, telemetry};
use crate::error::Result;
use crate::event::{Completion, EventId};
use chrono::{DateTime, Utc};

/// LLMs without a price that the log names at most; of further ones only the counter tells.
const MOST_NAMED: usize = 1_000;

impl DataCollector {
    /// Sets the cost of a generation that ends without one, by its tokens and the price of its LLM; says so where that
    /// cannot be done.
    pub(super) async fn price(&self, id: &EventId, done: &mut Completion, now: DateTime<Utc>) -> Result<()> {
        if done.cost_usd.is_some() {
            telemetry::priced("host");
            return Ok(());
        }
        let by = self.priced_by(id).await?;
        done.cost_from_prices = false;
        if done.tokens().is_some() {
            done.cost_usd = self.cost_of(&by, done, done.completed_at.unwrap_or(now));
            done.cost_from_prices = done.cost_usd.is_some();
        }
        telemetry::priced(if done.cost_from_prices { "prices" } else { "nothing" });
        if !done.cost_from_prices {
            self.say_unpriced(id, by.llm, done.tokens().is_some());
        }
        Ok(())
    }

    /// Returns the cost by the table, or by the chosen candidate's price where that has no better.
    fn cost_of(&self, by: &PricedBy, done: &Completion, at: DateTime<Utc>) -> Option<f64> {
        let candidate = by.usd_per_1k_tokens.zip(done.tokens()).map(|(usd, all)| usd / 1000.0 * all as f64);
        let table = by.llm.as_deref().and_then(|llm| self.options.prices.cost_usd(llm, done, at));
        // The host's price for all kinds of tokens is better than a guess of the kinds.
        let parts_are_known = done.token_parts().iter().any(Option::is_some);
        let cost = if parts_are_known { table.or(candidate) } else { candidate.or(table) };
        cost.filter(|usd| (0.0..=1e9).contains(usd))
    }

    async fn priced_by(&self, id: &EventId) -> Result<PricedBy> {
        if let Some(generation) = self.state().get(id) {
            return Ok(generation.priced.clone());
        }
        let stored = self.store.get(std::slice::from_ref(id)).await?.into_iter().flatten().next();
        Ok(stored.map(|event| PricedBy::of(&event.started.value)).unwrap_or_default())
    }

    /// Warns once of each LLM.
    fn say_unpriced(&self, id: &EventId, llm: Option<String>, has_tokens: bool) {
        let mut state = self.state();
        if state.unpriced.len() >= MOST_NAMED || !state.unpriced.insert(llm.clone()) {
            return;
        }
        let why =
            if has_tokens { "its tokens are known and no price of its LLM is" } else { "it has no tokens" };
        let llm = llm.unwrap_or_default();
        tracing::warn!(event = %id, llm, "the generation has no cost_usd, and {why}: budget and cost model go by what is expected; give cost_usd, or tokens and prices");
    }
}
