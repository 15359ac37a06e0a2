//! What generations cost and take, by LLM, settings and type of task.

use super::budget::POSSIBLE;
use crate::event::{Completion, TaskContext};
use crate::history::category;
use crate::stats::fnv;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Running means of cost, seconds and tokens.
///
/// Each is drawn to its parent's (the LLM at these settings, the LLM, all) by how little it rests on.
/// They forget: what is more than some hundred generations ago hardly counts.
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

/// A parent counts for as many generations.
const STRENGTH: f64 = 5.0;
/// So much of the past is kept with each generation.
const KEPT: f64 = 1.0 - 1.0 / 400.0;
/// Groups at most: names may be without end.
const MOST_GROUPS: usize = 20_000;
/// What a generation costs and takes where nothing at all is known.
const UNKNOWN: (f64, f64, f64) = (0.01, 30.0, 2000.0);

impl CostModel {
    pub(super) fn learn(&mut self, task: &TaskContext, done: &Completion) {
        for key in keys(task).into_iter().flatten() {
            if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&key) {
                continue;
            }
            let group = self.groups.entry(key).or_default();
            group.cost.add(done.cost_usd);
            group.seconds.add(done.generation_time_seconds);
            group.tokens.add(done.tokens_used.map(|tokens| tokens as f64));
        }
    }

    /// Expected US dollars and seconds of `task`; `price` is the host's, for a thousand tokens.
    pub(super) fn expected(&self, task: &TaskContext, price: Option<f64>) -> (f64, f64) {
        let keys = keys(task);
        let [all, llm, settings, kind] = keys.map(|key| key.and_then(|key| self.groups.get(&key)));
        let none = Sums::default();
        let (all, llm) = (all.unwrap_or(&none), llm.unwrap_or(&none));
        let (settings, kind) = (settings.unwrap_or(&none), kind.unwrap_or(&none));
        let tokens = all.tokens.drawn_to(UNKNOWN.2);
        let cost = price.map_or_else(|| all.cost.drawn_to(UNKNOWN.0), |price| price / 1000.0 * tokens);
        let drawn = |read: fn(&Sums) -> Mean, start: f64| {
            let of_llm = read(llm).drawn_to(start);
            read(kind).drawn_to(read(settings).drawn_to(of_llm))
        };
        (drawn(|s| s.cost, cost), drawn(|s| s.seconds, all.seconds.drawn_to(UNKNOWN.1)))
    }
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value.filter(|v| POSSIBLE.contains(v)) {
            (self.n, self.sum) = (self.n * KEPT + 1.0, self.sum * KEPT + value);
        }
    }

    fn drawn_to(self, parent: f64) -> f64 {
        (self.sum + STRENGTH * parent) / (self.n + STRENGTH)
    }
}

/// All, the LLM, the LLM at these settings, the same at this type of task.
fn keys(task: &TaskContext) -> [Option<u64>; 4] {
    let with = |key: u64, more: u64| more.to_le_bytes().into_iter().fold(key, fnv::step);
    let llm = category(task.model_used.as_deref()).map(|llm| with(fnv::SEED, llm));
    let settings = llm.map(|llm| {
        let examples = u64::from(task.rag_examples_count.unwrap_or(0).min(10));
        with(with(llm, examples), u64::from(task.max_tokens.unwrap_or(0)))
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
    fn a_record_of_its_own_outweighs_price_and_parents() {
        let mut cost_model = CostModel::default();
        assert_eq!(cost_model.expected(&task("a"), None), (0.01, 30.0));
        assert!((cost_model.expected(&task("a"), Some(0.5)).0 - 1.0).abs() < 1e-9);
        let mut done = Completion::default();
        (done.cost_usd, done.generation_time_seconds, done.tokens_used) =
            (Some(0.04), Some(12.0), Some(4000));
        (0..200).for_each(|_| cost_model.learn(&task("a"), &done));
        let (cost, seconds) = cost_model.expected(&task("a"), Some(0.5));
        // A price fifty times the record still shows a little.
        assert!((cost - 0.04).abs() < 0.005 && (seconds - 12.0).abs() < 0.2, "{cost} {seconds}");
        // Another LLM: its price times the tokens of all; the seconds of all.
        let (cost, seconds) = cost_model.expected(&task("b"), Some(0.002));
        assert!((cost - 0.008).abs() < 0.001 && (seconds - 12.0).abs() < 1.0, "{cost} {seconds}");
    }
}
