//! The cost model: cost and seconds of generations by LLM, settings and type of task.

use super::budget::POSSIBLE;
use super::state::sound;
use crate::error::Result;
use crate::event::{Completion, TaskContext};
use crate::history::category;
use crate::stats::fnv;
use crate::verify::Verify;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Running means of cost, seconds and tokens.
///
/// Each is shrunk toward its parent's (the LLM at these settings, the LLM, all). They decay: generations older than some
/// hundred hardly count.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct CostModel {
    groups: BTreeMap<u64, Sums>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    cost: Mean,
    seconds: Mean,
    tokens: Mean,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Mean {
    n: f64,
    sum: f64,
}

/// Strength of the parent in generations: an LLM's own costs dominate after a handful, since costs vary little.
const STRENGTH: f64 = 5.0;
/// Decay with each generation: the effective sample is the last 400.
const DECAY: f64 = 1.0 - 1.0 / 400.0;
/// Groups at most: names are unbounded.
const MOST_GROUPS: usize = 20_000;
/// US dollars, seconds and tokens of a generation before any was seen.
const UNKNOWN: (f64, f64, f64) = (0.01, 30.0, 2000.0);

impl CostModel {
    /// Learns what a generation took; `cost_usd` is its cost, as far as that is known or follows from prices.
    pub(super) fn learn(&mut self, task: &TaskContext, done: &Completion, cost_usd: Option<f64>) {
        for key in keys(task).into_iter().flatten() {
            if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&key) {
                continue;
            }
            let group = self.groups.entry(key).or_default();
            group.cost.add(cost_usd);
            group.seconds.add(done.generation_time_seconds);
            group.tokens.add(done.tokens().map(|tokens| tokens as f64));
        }
    }

    /// Returns the expected US dollars and seconds of `task`; `price` is the host's, for a thousand tokens.
    pub(super) fn expected(&self, task: &TaskContext, price: Option<f64>) -> (f64, f64) {
        let keys = keys(task);
        let [all, llm, settings, kind] = keys.map(|key| key.and_then(|key| self.groups.get(&key)));
        let none = Sums::default();
        let (all, llm) = (all.unwrap_or(&none), llm.unwrap_or(&none));
        let (settings, kind) = (settings.unwrap_or(&none), kind.unwrap_or(&none));
        let tokens = all.tokens.shrunk_toward(UNKNOWN.2);
        let cost = price.map_or_else(|| all.cost.shrunk_toward(UNKNOWN.0), |price| price / 1000.0 * tokens);
        let expected = |read: fn(&Sums) -> Mean, start: f64| {
            let of_llm = read(llm).shrunk_toward(start);
            read(kind).shrunk_toward(read(settings).shrunk_toward(of_llm))
        };
        (expected(|s| s.cost, cost), expected(|s| s.seconds, all.seconds.shrunk_toward(UNKNOWN.1)))
    }
}

impl Verify for CostModel {
    fn verify(&self) -> Result<()> {
        let all = || self.groups.values().flat_map(|group| [group.cost, group.seconds, group.tokens]);
        sound("the size of the cost model", self.groups.len() <= MOST_GROUPS)?;
        sound("a mean cost, duration or number of tokens", all().all(Mean::is_sound))
    }
}

impl Mean {
    /// Returns true if it may have come from what is added.
    fn is_sound(self) -> bool {
        const ROUNDING: f64 = 1.0 + 1e-6;
        let most = self.n * POSSIBLE.end() * ROUNDING;
        (0.0..=ROUNDING / (1.0 - DECAY)).contains(&self.n) && (0.0..=most).contains(&self.sum)
    }

    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value.filter(|v| POSSIBLE.contains(v)) {
            (self.n, self.sum) = (self.n * DECAY + 1.0, self.sum * DECAY + value);
        }
    }

    fn shrunk_toward(self, parent: f64) -> f64 {
        (self.sum + STRENGTH * parent) / (self.n + STRENGTH)
    }
}

/// Returns the keys of all, the LLM, the LLM at these settings, and those at this type of task.
fn keys(task: &TaskContext) -> [Option<u64>; 4] {
    let with = |key: u64, more: u64| more.to_le_bytes().into_iter().fold(key, fnv::step);
    let llm = category(task.model_used.as_deref()).map(|llm| with(fnv::SEED, llm));
    let settings = llm.map(|llm| {
        let examples = u64::from(task.rag_examples_count.unwrap_or(0).min(10));
        let key = with(with(llm, examples), u64::from(task.max_tokens.unwrap_or(0)));
        category(task.effort.as_deref()).map_or(key, |effort| with(key, effort))
    });
    let kind = settings.zip(category(task.task_type.as_deref())).map(|(key, kind)| with(key, kind));
    [Some(fnv::SEED), llm, settings, kind]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TaskId;

    fn task(llm: &str) -> TaskContext {
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        task.model_used = Some(llm.into());
        task
    }

    #[test]
    fn own_costs_outweigh_price_and_parents() {
        let mut cost_model = CostModel::default();
        assert_eq!(cost_model.expected(&task("a"), None), (0.01, 30.0));
        assert!((cost_model.expected(&task("a"), Some(0.5)).0 - 1.0).abs() < 1e-9);
        let mut done = Completion::default();
        (done.cost_usd, done.generation_time_seconds, done.tokens_used) =
            (Some(0.04), Some(12.0), Some(4000));
        (0..200).for_each(|_| cost_model.learn(&task("a"), &done, done.cost_usd));
        let (cost, seconds) = cost_model.expected(&task("a"), Some(0.5));
        // A price fifty times the record still shows a little.
        assert!((cost - 0.04).abs() < 0.005 && (seconds - 12.0).abs() < 0.2, "{cost} {seconds}");
        // Another LLM: its price times the tokens of all; the seconds of all.
        let (cost, seconds) = cost_model.expected(&task("b"), Some(0.002));
        assert!((cost - 0.008).abs() < 0.001 && (seconds - 12.0).abs() < 1.0, "{cost} {seconds}");
    }
}
