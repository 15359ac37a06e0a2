//! The guard of every policy: the best constant so far, from which a policy deviates on evidence only, and, where the goal is
//! utility, a limit on what exploration may cost.

use super::objective::{Goal, Objective};
use super::policies::{Arm, Posterior};
use super::state::sound;
use super::task_memory::TaskMemory;
use crate::error::Result;
use crate::event::{ColumnValue, TaskContext};
use crate::history::category;
use crate::stats::fnv;
use crate::verify::Verify;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of the guard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Guard {
    /// Outcomes by the key of the arm.
    arms: BTreeMap<u64, Outcomes>,
    outcomes: u64,
    pub(super) memory: TaskMemory,
    columns: BTreeMap<String, Scale>,
}

/// Outcomes of an arm over all tasks; the newest [`MOST_EFFECTIVE`] count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Outcomes {
    n: f64,
    successes: f64,
    /// How many outcomes of any arm came before its first.
    first: u64,
}

/// Mean and spread of a column of numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Scale {
    n: f64,
    mean: f64,
    squares: f64,
}

/// Effective outcomes of an arm at most, so that a change of the world is followed.
const MOST_EFFECTIVE: f64 = 1_000.0;
/// Arms at most: names are unbounded.
const MOST_ARMS: usize = 10_000;
/// Columns at most.
const MOST_COLUMNS: usize = 64;
/// Values of a column count as this at most: the squares of larger ones are no numbers.
const MOST_VALUE: f64 = 1e100;
/// Outcomes below which an arm is no incumbent.
const FEWEST: f64 = 10.0;
/// Error probability of the confidence sequences.
const ALPHA: f64 = 0.2;
/// Outcomes at which the confidence sequences are narrowest. These bounds, what exploration may cost and when it is limited were
/// chosen on 24 divisions of a recorded matrix of 255 tasks × 41 arms at four values; again by
/// `cargo run --release --example routing -- --matrix FILE --new-tasks group:task_id:0.8 --seeds 20`.
const NARROWEST: f64 = 100.0;
/// Exploration is not limited in the first so many outcomes of each arm, at least [`FREE`] outcomes of all.
const FREE_OF_AN_ARM: u64 = 20;
const FREE: u64 = 1_000;
/// Share of the value of the greedy choice's expected success that exploration may cost after that.
const EXPLORATION_COST: f64 = 0.001;

impl Guard {
    /// Learns an outcome of an arm, `None` where it tells of its task alone: `success` is as expected at any task.
    pub(super) fn learn(&mut self, arm: u64, task: &TaskContext, success: Option<f64>) {
        self.outcomes = self.outcomes.saturating_add(1);
        for (name, value) in &task.columns {
            let ColumnValue::Number(x) = value else { continue };
            if x.is_finite() && (self.columns.len() < MOST_COLUMNS || self.columns.contains_key(name)) {
                self.columns.entry(name.clone()).or_default().learn(*x);
            }
        }
        if let Some(success) = success
            && (self.arms.len() < MOST_ARMS || self.arms.contains_key(&arm))
        {
            let first = self.outcomes;
            let known = self.arms.entry(arm).or_insert(Outcomes { first, ..Outcomes::default() });
            let kept = if known.n >= MOST_EFFECTIVE { 1.0 - 1.0 / MOST_EFFECTIVE } else { 1.0 };
            known.n = known.n * kept + 1.0;
            known.successes = (known.successes * kept + success).clamp(0.0, known.n);
        }
    }

    /// Returns the outcomes of an arm.
    pub(super) fn outcomes(&self, arm: &Arm) -> f64 {
        self.arms.get(&arm.key).map_or(0.0, |known| known.n)
    }

    /// Returns whether arms have had so many outcomes that what a task's earlier outcomes say is followed; before, an arm that
    /// succeeded at a task would keep others from being tried there.
    pub(super) fn recalls(&self) -> bool {
        self.outcomes >= FREE_OF_AN_ARM * self.arms.len() as u64
    }

    /// Returns whether at most so many outcomes came since the arm's first.
    pub(super) fn is_fresh(&self, arm: &Arm, outcomes: f64) -> bool {
        self.arms
            .get(&arm.key)
            .is_none_or(|known| self.outcomes.saturating_sub(known.first) as f64 <= outcomes)
    }

    /// Returns the index of the best constant so far: by lower bounds of success that hold at all times.
    pub(super) fn incumbent(&self, arms: &[Arm], objective: &Objective) -> Option<usize> {
        let known: Vec<_> =
            arms.iter().map(|arm| self.arms.get(&arm.key).copied().unwrap_or_default()).collect();
        let lows: Vec<_> = known.iter().map(Outcomes::low).collect();
        let best = objective.best(arms, &lows);
        (known.get(best)?.n >= FEWEST).then_some(best)
    }

    /// Limits what the exploration of arms costs where the goal is utility: those that are worse and not `free` lose probability
    /// to the greedy choice `best`.
    pub(super) fn limit(
        &self,
        propensities: &mut [f64],
        arms: &[Arm],
        posteriors: &[Posterior],
        best: usize,
        objective: &Objective,
        free: &[usize],
    ) {
        if objective.goal != Goal::Utility || self.outcomes < FREE.max(FREE_OF_AN_ARM * arms.len() as u64) {
            return;
        }
        let utility =
            |at: usize| objective.utility(posteriors[at].success, arms[at].cost_usd, arms[at].seconds);
        let is_limited = |at: &usize| *at != best && !free.contains(at) && utility(*at) < utility(best);
        let loss = |at: usize, p: f64| p * (utility(best) - utility(at)).max(0.0);
        let limited = || (0..arms.len()).filter(is_limited);
        let cost: f64 = limited().map(|at| loss(at, propensities[at])).sum();
        let allowed = EXPLORATION_COST * objective.usd_per_success * posteriors[best].success;
        if cost > allowed {
            let scale = allowed / cost;
            for at in limited() {
                propensities[best] += propensities[at] * (1.0 - scale);
                propensities[at] *= scale;
            }
        }
    }

    /// Returns the columns of a task as features with their prior scales: numbers in standard deviations.
    pub(super) fn columns(&self, task: &TaskContext) -> Vec<(u64, f64)> {
        /// Prior scales in log-odds, of all numbers together and of a category or flag. Chosen, not tuned.
        const NUMBERS: f64 = 0.5;
        const CATEGORY: f64 = 0.3;
        let scale = NUMBERS / (task.columns.len().max(1) as f64).sqrt();
        let feature = |(name, value): (&String, &ColumnValue)| {
            let hash = fnv::hash(format!("column {name}").as_bytes());
            match value {
                ColumnValue::Number(x) => {
                    let standardized = self.columns.get(name)?.standardized(*x)?;
                    Some((hash, scale * standardized.clamp(-3.0, 3.0)))
                }
                ColumnValue::Flag(yes) => Some((hash, if *yes { CATEGORY } else { -CATEGORY })),
                ColumnValue::Category(of) => {
                    Some((fnv::hash(format!("column {name} {of}").as_bytes()), CATEGORY))
                }
            }
        };
        task.columns.iter().take(MOST_COLUMNS).filter_map(feature).collect()
    }
}

impl Outcomes {
    /// Returns a lower bound of the success rate: a normal mixture's confidence sequence (Robbins 1970) around the rate,
    /// which is shrunk toward a half by two outcomes.
    fn low(&self) -> f64 {
        if self.n < 1.0 {
            return 0.0;
        }
        let rate = (self.successes + 1.0) / (self.n + 2.0);
        let (spent, prior) = (self.n * rate * (1.0 - rate), NARROWEST * rate * (1.0 - rate));
        let radius =
            (2.0 * (spent + prior) * (((spent + prior) / prior).sqrt() / ALPHA).ln()).sqrt() / self.n;
        (rate - radius).max(0.0)
    }
}

impl Scale {
    fn learn(&mut self, x: f64) {
        let x = x.clamp(-MOST_VALUE, MOST_VALUE);
        self.n += 1.0;
        let off = x - self.mean;
        self.mean += off / self.n;
        self.squares += off * (x - self.mean);
    }

    /// Returns a value in standard deviations from the mean; `None` where these are not known yet.
    fn standardized(&self, x: f64) -> Option<f64> {
        const FEWEST: f64 = 20.0;
        let sd = (self.squares / self.n).sqrt();
        let x = x.clamp(-MOST_VALUE, MOST_VALUE);
        (self.n >= FEWEST && sd > 1e-12 && x.is_finite()).then(|| (x - self.mean) / sd)
    }
}

/// Returns the key of the arm that does a task with its plan: its LLM, agent, template and settings.
pub(super) fn key(task: &TaskContext) -> u64 {
    let template = task.template_id.as_ref().map(crate::event::TemplateId::as_str);
    let names = [task.model_used.as_deref(), task.agent_type.as_deref(), template, task.effort.as_deref()];
    let names = names.map(|name| category(name).unwrap_or(0));
    let settings = [
        task.temperature.map_or(0, f64::to_bits),
        u64::from(task.max_tokens.unwrap_or(0)),
        u64::from(task.rag_examples_count.unwrap_or(0)),
    ];
    let bytes = names.into_iter().chain(settings).flat_map(u64::to_le_bytes);
    bytes.fold(fnv::SEED, fnv::step)
}

impl Verify for Guard {
    fn verify(&self) -> Result<()> {
        let outcomes = |known: &Outcomes| {
            (0.0..=MOST_EFFECTIVE + 1.0).contains(&known.n)
                && (0.0..=known.n * (1.0 + 1e-6)).contains(&known.successes)
        };
        sound("the outcomes of an arm", self.arms.len() <= MOST_ARMS && self.arms.values().all(outcomes))?;
        let scale = |scale: &Scale| {
            scale.n >= 0.0 && scale.mean.is_finite() && (0.0..=f64::MAX).contains(&scale.squares)
        };
        sound("a column", self.columns.len() <= MOST_COLUMNS && self.columns.values().all(scale))?;
        self.memory.verify()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TaskId;

    fn task() -> TaskContext {
        TaskContext::new(TaskId::new("t").unwrap())
    }

    fn arm(key: u64, cost_usd: f64) -> Arm {
        Arm { cost_usd, key, ..Arm::default() }
    }

    #[test]
    fn a_column_of_huge_numbers_can_be_restored() {
        let mut guard = Guard::default();
        for x in [1e300, 0.0, f64::MAX, f64::MIN] {
            let mut task = task();
            task.columns.insert("x".into(), ColumnValue::Number(x));
            guard.learn(1, &task, Some(1.0));
        }
        guard.verify().unwrap();
    }

    /// Arm 1 succeeds in nine of ten of 900 tries, arm 2 in one of two of 200, arm 3 in two of two.
    fn lived() -> Guard {
        let mut guard = Guard::default();
        (0..900).for_each(|i| guard.learn(1, &task(), Some(f64::from(u8::from(i % 10 != 0)))));
        (0..200).for_each(|i| guard.learn(2, &task(), Some(f64::from(u8::from(i % 2 == 0)))));
        (0..2).for_each(|_| guard.learn(3, &task(), Some(1.0)));
        guard
    }

    #[test]
    fn the_incumbent_is_the_best_by_its_lower_bound_and_by_cost() {
        let (guard, objective) = (lived(), Objective::default());
        let arms = |usd: [f64; 3]| [arm(1, usd[0]), arm(2, usd[1]), arm(3, usd[2])];
        assert_eq!(guard.incumbent(&arms([0.1; 3]), &objective), Some(0));
        assert_eq!(guard.incumbent(&arms([0.9, 0.1, 0.1]), &objective), Some(1));
        assert_eq!(guard.incumbent(&[arm(9, 0.0), arm(3, 0.0)], &objective), None);
    }

    #[test]
    fn exploration_costs_no_more_than_its_share() {
        let (guard, objective) = (lived(), Objective::default());
        let arms = [arm(1, 0.1), arm(2, 0.1), arm(3, 0.1)];
        let posteriors = [0.9, 0.5, 0.9].map(|p| Posterior::new(p, (p, p)));
        let mut propensities = [0.5, 0.3, 0.2];
        guard.limit(&mut propensities, &arms, &posteriors, 0, &objective, &[]);
        assert!((propensities[1] * 0.4 - EXPLORATION_COST * 0.9).abs() < 1e-12, "{propensities:?}");
        assert!((propensities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // An arm that is free of the limit keeps its share, and before the limit begins all do.
        let mut free = [0.5, 0.3, 0.2];
        guard.limit(&mut free, &arms, &posteriors, 0, &objective, &[1]);
        Guard::default().limit(&mut free, &arms, &posteriors, 0, &objective, &[]);
        assert_eq!(free, [0.5, 0.3, 0.2]);
    }

    #[test]
    fn columns_of_numbers_are_standardized() {
        let mut guard = Guard::default();
        let with = |x: f64| {
            let mut task = task();
            task.columns.insert("rating".into(), x.into());
            task
        };
        assert!(guard.columns(&with(3.0)).is_empty());
        (0..100).for_each(|i| guard.learn(1, &with(f64::from(i % 5)), Some(1.0)));
        let value = |x| guard.columns(&with(x))[0].1;
        assert!(value(2.0).abs() < 1e-9 && (value(4.0) - 0.5 * 2_f64.sqrt()).abs() < 1e-9);
        assert!(guard.columns(&with(f64::NAN)).is_empty());
    }
}
