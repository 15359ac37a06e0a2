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
/// hundred hardly count. They are robust: a value far beyond what the group is like counts as one at its edge, so that one
/// wrong row moves nothing, while a change of price is followed within some dozen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct CostModel {
    groups: BTreeMap<u64, Sums>,
}

/// Cost and seconds that are expected of a generation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expected {
    pub(super) usd: f64,
    /// The upper end of what `usd` may be, as far as it is known: 90 %.
    pub(super) upper_usd: f64,
    pub(super) seconds: f64,
}

/// An amount that counts for less than it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outlier {
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    pub(crate) usual: f64,
    pub(crate) counts: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    cost: Mean,
    seconds: Mean,
    tokens: Mean,
}

/// Decayed sums of amounts, and of the logarithms of those above 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Mean {
    n: f64,
    sum: f64,
    positive: f64,
    logs: f64,
    squares: f64,
    /// The first amounts, until they are enough to tell by their median what is far beyond the others.
    first: Vec<f64>,
}

/// Strength of the parent in generations: an LLM's own costs dominate after a handful, since costs vary little.
const STRENGTH: f64 = 5.0;
/// Decay with each generation: the effective sample is the last 400.
const DECAY: f64 = 1.0 - 1.0 / 400.0;
/// Groups at most: names are unbounded.
const MOST_GROUPS: usize = 20_000;
/// US dollars, seconds and tokens of a generation before any was seen.
const UNKNOWN: (f64, f64, f64) = (0.01, 30.0, 2000.0);
/// Amounts from which a group tells what is far beyond it.
const TELLS: usize = 9;
/// Amounts above 0 of an LLM from which they tell what is far beyond a kind of task that has few.
const PARENT_TELLS: f64 = 20.0;
/// An amount counts at most as one so many standard deviations of the logarithm from the mean; as those of an LLM's costs are
/// about .5, a factor of 7 and more.
const FARTHEST: f64 = 4.0;
/// The least standard deviation of logarithms: costs of a price times a fixed number of tokens hardly vary.
const LEAST_SPREAD: f64 = 0.5;
/// The mean is at most so many times that of the log-normal distribution with the same logarithms: above it, it rests on a few
/// early rows.
const ABOVE_LOG_NORMAL: f64 = 3.0;
/// An outlier is named from so many times the usual amount.
const NAMED: f64 = 20.0;
/// Rows that all cost nothing, from which an LLM is free.
const FREE: f64 = 2.5;
/// Standard normal quantile of 90 %.
const UPPER: f64 = 1.2816;
/// The standard deviation of an LLM's mean log cost before any was seen.
const UNSEEN_SPREAD: f64 = 0.6;

impl CostModel {
    /// Learns what a generation took; `cost_usd` is its cost, as far as that is known or follows from prices.
    pub(super) fn learn(&mut self, task: &TaskContext, done: &Completion, cost_usd: Option<f64>) {
        let keys = keys(task);
        // What is possible for a new kind of task, where its LLM is known.
        let llm = keys[1].and_then(|key| self.groups.get(&key)).cloned().unwrap_or_default();
        let none = Sums::default();
        for (level, key) in keys.into_iter().enumerate() {
            let Some(key) = key else { continue };
            if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&key) {
                continue;
            }
            let parent = if level > 1 { &llm } else { &none };
            let group = self.groups.entry(key).or_default();
            group.cost.add(cost_usd, &parent.cost);
            group.seconds.add(done.generation_time_seconds, &parent.seconds);
            group.tokens.add(done.tokens().map(|tokens| tokens as f64), &parent.tokens);
        }
    }

    /// Returns the cost or the seconds of a generation that are so far from what its LLM usually takes that they count for less.
    pub(super) fn outlier(
        &self,
        task: &TaskContext,
        done: &Completion,
        cost_usd: Option<f64>,
    ) -> Option<Outlier> {
        let llm = self.groups.get(&keys(task)[1]?)?;
        let of = |what, mean: &Mean, value: Option<f64>| {
            let value = value.filter(|value| POSSIBLE.contains(value))?;
            let typical = mean.typical().filter(|_| mean.first.is_empty())?;
            let (usual, counts) = (typical.0.exp(), within(value, Some(typical), LEAST_SPREAD));
            (value > NAMED * usual && value > counts).then_some(Outlier { what, value, usual, counts })
        };
        let cost = of("cost in US dollars", &llm.cost, cost_usd);
        cost.or_else(|| of("time in seconds", &llm.seconds, done.generation_time_seconds))
    }

    /// Returns what `task` is expected to take; `price` is the host's, for a thousand tokens: one of 0 is free.
    pub(super) fn expected(&self, task: &TaskContext, price: Option<f64>) -> Expected {
        let keys = keys(task);
        let [all, llm, settings, kind] = keys.map(|key| key.and_then(|key| self.groups.get(&key)));
        let none = Sums::default();
        let (all, llm) = (all.unwrap_or(&none), llm.unwrap_or(&none));
        let (settings, kind) = (settings.unwrap_or(&none), kind.unwrap_or(&none));
        let tokens = all.tokens.shrunk_toward(UNKNOWN.2);
        let cost = price.map_or_else(|| all.cost.shrunk_toward(UNKNOWN.0), |price| price / 1000.0 * tokens);
        let expected = |read: fn(&Sums) -> &Mean, start: f64| {
            let of_llm = read(llm).shrunk_toward(start);
            read(kind).shrunk_toward(read(settings).shrunk_toward(of_llm))
        };
        let is_free = price.map_or(llm.cost.positive <= 0.0 && llm.cost.n > FREE, |price| price == 0.0);
        let usd = if is_free { 0.0 } else { expected(|s| &s.cost, cost) };
        let seconds = expected(|s| &s.seconds, all.seconds.shrunk_toward(UNKNOWN.1));
        Expected { usd, upper_usd: usd * (UPPER * llm.cost.error()).exp(), seconds }
    }
}

impl Verify for CostModel {
    fn verify(&self) -> Result<()> {
        let all = || self.groups.values().flat_map(|group| [&group.cost, &group.seconds, &group.tokens]);
        sound("the size of the cost model", self.groups.len() <= MOST_GROUPS)?;
        sound("a mean cost, duration or number of tokens", all().all(Mean::is_sound))
    }
}

impl Mean {
    /// Returns true if it may have come from what is added.
    fn is_sound(&self) -> bool {
        const ROUNDING: f64 = 1.0 + 1e-6;
        /// Of the smallest number above 0.
        const LARGEST_LOG: f64 = 745.0;
        let most = self.n * POSSIBLE.end() * ROUNDING;
        let logs = self.positive * LARGEST_LOG * ROUNDING;
        (0.0..=ROUNDING / (1.0 - DECAY)).contains(&self.n)
            && (0.0..=most).contains(&self.sum)
            && (0.0..=self.n * ROUNDING).contains(&self.positive)
            && (-logs..=logs).contains(&self.logs)
            && (0.0..=logs * LARGEST_LOG).contains(&self.squares)
            && self.first.len() < TELLS
            && self.first.iter().all(|value| POSSIBLE.contains(value))
    }

    /// Adds an amount; the parent tells what is possible where this group has too few to tell.
    fn add(&mut self, value: Option<f64>, parent: &Self) {
        let Some(value) = value.filter(|v| POSSIBLE.contains(v)) else { return };
        if self.n > 0.0 && self.first.is_empty() {
            return self.count(within(value, self.typical(), LEAST_SPREAD));
        }
        let possible = (parent.positive >= PARENT_TELLS).then(|| parent.typical()).flatten();
        self.first.push(within(value, possible, LEAST_SPREAD));
        let first = std::mem::take(&mut self.first);
        *self = Self::default();
        let median = median_log(&first);
        first.iter().for_each(|value| self.count(within(*value, median, LEAST_SPREAD)));
        if first.len() < TELLS {
            self.first = first;
        }
    }

    fn count(&mut self, value: f64) {
        let decayed = |sum: f64, by: f64| sum * DECAY + by;
        (self.n, self.sum) = (decayed(self.n, 1.0), decayed(self.sum, value));
        let (one, log) = if value > 0.0 { (1.0, value.ln()) } else { (0.0, 0.0) };
        self.positive = decayed(self.positive, one);
        (self.logs, self.squares) = (decayed(self.logs, log), decayed(self.squares, log * log));
    }

    /// Returns mean and standard deviation of the logarithms; `None` where too few amounts are above 0.
    fn typical(&self) -> Option<(f64, f64)> {
        (self.positive > 0.5 * TELLS as f64).then(|| (self.logs / self.positive, self.spread()))
    }

    fn spread(&self) -> f64 {
        let mean = self.logs / self.positive;
        (self.squares / self.positive - mean * mean).max(0.0).sqrt()
    }

    /// Returns the standard error of the mean logarithm.
    fn error(&self) -> f64 {
        let spread = if self.positive < 2.9 { UNSEEN_SPREAD } else { self.spread().max(0.2) };
        spread / (self.positive + 1.0).sqrt()
    }

    /// Returns the mean, which a few early rows do not dominate; of at least one.
    fn mean(&self) -> f64 {
        if self.positive <= 0.0 {
            return 0.0;
        }
        let log_normal = (self.logs / self.positive + 0.5 * self.spread().powi(2)).exp();
        (self.sum / self.n).min(ABOVE_LOG_NORMAL * log_normal * self.positive / self.n)
    }

    /// Returns the mean shrunk toward that of the parent.
    fn shrunk_toward(&self, parent: f64) -> f64 {
        (self.n * self.mean() + STRENGTH * parent) / (self.n + STRENGTH)
    }
}

/// Returns `value`, at most as far beyond the mean of the logarithms as an amount may count.
fn within(value: f64, typical: Option<(f64, f64)>, least_spread: f64) -> f64 {
    let Some((mean, spread)) = typical.filter(|_| value > 0.0) else { return value };
    let far = FARTHEST * spread.max(least_spread);
    value.max((mean - far).exp()).min((mean + far).exp()).min(*POSSIBLE.end())
}

/// Returns median and spread (by the median distance from it) of the logarithms of three and more amounts above 0.
fn median_log(values: &[f64]) -> Option<(f64, f64)> {
    let median = |mut of: Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of.get(of.len() / 2).copied()
    };
    let logs: Vec<_> = values.iter().filter(|value| **value > 0.0).map(|value| value.ln()).collect();
    if logs.len() < 3 {
        return None;
    }
    let middle = median(logs.clone())?;
    let distance = median(logs.into_iter().map(|log| (log - middle).abs()).collect())?;
    Some((middle, 1.4826 * distance))
}

/// Returns the keys of all, the LLM, the LLM at these settings, and those at this type of task.
fn keys(task: &TaskContext) -> [Option<u64>; 4] {
    let with = |key: u64, more: u64| more.to_le_bytes().into_iter().fold(key, fnv::step);
    let llm = category(task.model_used.as_deref()).map(|llm| with(fnv::SEED, llm));
    let settings = llm.map(|llm| {
        let examples = u64::from(task.rag_examples_count.unwrap_or(0).min(10));
        let key = with(with(llm, examples), u64::from(task.max_tokens.unwrap_or(0)));
        let key = category(task.agent_type.as_deref()).map_or(key, |agent| with(key, agent));
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
    fn calls_that_failed_at_once_make_no_llm_free_at_that_type() {
        let (mut cost_model, mut odd) = (CostModel::default(), task("a"));
        odd.task_type = Some("odd".into());
        (0..1000).for_each(|_| cost_model.learn(&task("a"), &Completion::default(), Some(1.0)));
        (0..5).for_each(|_| cost_model.learn(&odd, &Completion::default(), Some(0.0)));
        assert!(cost_model.expected(&odd, None).usd > 0.1);
        (0..3).for_each(|_| cost_model.learn(&task("own"), &Completion::default(), Some(0.0)));
        assert_eq!(cost_model.expected(&task("own"), None).usd, 0.0);
    }

    #[test]
    fn own_costs_outweigh_price_and_parents() {
        let mut cost_model = CostModel::default();
        let unknown = cost_model.expected(&task("a"), None);
        assert_eq!((unknown.usd, unknown.seconds), (0.01, 30.0));
        assert!(unknown.upper_usd > 0.02);
        assert!((cost_model.expected(&task("a"), Some(0.5)).usd - 1.0).abs() < 1e-9);
        let mut done = Completion::default();
        (done.cost_usd, done.generation_time_seconds, done.tokens_used) =
            (Some(0.04), Some(12.0), Some(4000));
        (0..200).for_each(|_| cost_model.learn(&task("a"), &done, done.cost_usd));
        let Expected { usd: cost, seconds, upper_usd } = cost_model.expected(&task("a"), Some(0.5));
        assert!(upper_usd > cost && upper_usd < 1.05 * cost, "{cost} {upper_usd}");
        // A price fifty times the record still shows a little.
        assert!((cost - 0.04).abs() < 0.005 && (seconds - 12.0).abs() < 0.2, "{cost} {seconds}");
        // Another LLM: its price times the tokens of all; the seconds of all.
        let Expected { usd: cost, seconds, .. } = cost_model.expected(&task("b"), Some(0.002));
        assert!((cost - 0.008).abs() < 0.001 && (seconds - 12.0).abs() < 1.0, "{cost} {seconds}");
    }

    /// Costs and seconds around .007 and 20, one of which `outlier` replaces at `place`.
    fn with_outlier(place: usize, outlier: (f64, f64)) -> Expected {
        let mut cost_model = CostModel::default();
        for i in 0..750 {
            let noise = (i as f64 * 2.399).sin() * 0.8;
            let mut done = Completion::default();
            let (cost, seconds) =
                if i == place { outlier } else { (0.007 * noise.exp(), 20.0 * noise.exp()) };
            (done.cost_usd, done.generation_time_seconds) = (Some(cost), Some(seconds));
            cost_model.learn(&task(["a", "b"][i % 2]), &done, done.cost_usd);
        }
        cost_model.expected(&task("a"), None)
    }

    #[test]
    fn one_wrong_row_moves_nothing() {
        let usual = with_outlier(usize::MAX, (0.0, 0.0));
        assert!((0.006..0.011).contains(&usual.usd) && (17.0..32.0).contains(&usual.seconds), "{usual:?}");
        for place in [0, 2, 8, 100, 600, 748] {
            for outlier in [(500.0, 1e9), (1e9, 1e6), (1e-9, 1e-9)] {
                let found = with_outlier(place, outlier);
                let moved = [found.usd / usual.usd, found.seconds / usual.seconds];
                assert!(moved.iter().all(|by| (0.75..1.35).contains(by)), "{place} {outlier:?}: {moved:?}");
            }
        }
    }

    #[test]
    fn a_new_price_is_followed_within_some_dozen() {
        let mut cost_model = CostModel::default();
        let mut done = Completion::default();
        for (usd, rows) in [(0.01, 300), (1.0, 200)] {
            done.cost_usd = Some(usd);
            (0..rows).for_each(|_| cost_model.learn(&task("a"), &done, done.cost_usd));
        }
        let found = cost_model.expected(&task("a"), None).usd;
        assert!((0.3..1.1).contains(&found), "{found}");
    }

    #[test]
    fn what_has_cost_nothing_is_free_and_a_price_of_0_too() {
        let mut cost_model = CostModel::default();
        let mut done = Completion::default();
        for i in 0..40 {
            done.cost_usd = Some(if i % 2 == 0 { 0.02 } else { 0.0 });
            cost_model.learn(&task(["a", "free"][i % 2]), &done, done.cost_usd);
        }
        let usd = |llm: &str, price| cost_model.expected(&task(llm), price).usd;
        assert_eq!((usd("free", None), usd("new", Some(0.0)), usd("a", Some(0.0))), (0.0, 0.0, 0.0));
        assert!(usd("a", None) > 0.01 && usd("new", None) > 0.0);
    }
}
