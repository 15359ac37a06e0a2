//! Tasks that recur: what earlier outcomes of a task say about its next try.
//!
//! Log-odds of success are those that the policy predicts, plus an effect of the task and one of the task with the arm, both
//! normal (a mixed-effects logistic regression, whose modes are found by Newton's method). The variances of the effects are
//! those under which the recurrences so far were most probable when they were predicted; where tasks do not recur, or
//! recur without resemblance, nothing is added.

use super::state::sound;
use crate::error::Result;
use crate::stats::sigmoid;
use crate::verify::Verify;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::f64::consts::PI;

/// The outcomes of the newest tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskMemory {
    tasks: BTreeMap<u64, Vec<Tried>>,
    order: VecDeque<u64>,
    /// Log-likelihood of the recurrences by the [`SPREADS`].
    likelihoods: Vec<f64>,
}

/// Outcomes of an arm at a task.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Tried {
    arm: u64,
    /// The log-odds that the policy predicted, without what is added here.
    margin: f64,
    n: u32,
    successes: u32,
}

/// Standard deviations of the effect of a task, and of that of a task with an arm.
const SPREADS: [[f64; 2]; 17] = {
    let (task, arm) = ([0.5, 1.0, 1.5, 2.5], [0.1, 0.7, 1.5, 4.0]);
    let mut all = [[0.0; 2]; 17];
    let mut at = 0;
    while at < 16 {
        all[at + 1] = [task[at / 4], arm[at % 4]];
        at += 1;
    }
    all
};
/// Log-likelihood by which an effect must explain the recurrences better than none: chance gains a unit or two.
const PENALTY: f64 = 3.0;
/// Tasks at most, and arms of each.
const MOST_TASKS: usize = 10_000;
const MOST_ARMS: usize = 64;
/// Outcomes of an arm at a task at which half are forgotten, so that a change is followed. Chosen, not tuned.
const MOST_TRIES: u32 = 20;
/// Tasks below which every outcome counts for its arm: a host may give all tasks the same id.
const FEWEST_TASKS: usize = 30;
/// Log-odds are not believed beyond this.
const MOST_MARGIN: f64 = 12.0;

impl TaskMemory {
    /// Returns what the outcomes of a task add to the log-odds of arms, each given by its key and the log-odds that the policy
    /// predicts.
    pub(super) fn shifts(&self, task: u64, arms: &[(u64, f64)]) -> Vec<f64> {
        let spread = SPREADS[self.most_likely()];
        match self.tasks.get(&task).filter(|_| spread[0] > 0.0) {
            Some(tried) => {
                let effects = Effects::of(tried, spread);
                arms.iter().map(|(arm, margin)| effects.predict(*arm, *margin) - margin).collect()
            }
            None => vec![0.0; arms.len()],
        }
    }

    /// Returns true if the task has outcomes.
    pub(super) fn knows(&self, task: u64) -> bool {
        self.tasks.contains_key(&task)
    }

    /// Returns whether an outcome of an arm at a task tells more than of this task: where many tasks recur and resemble
    /// themselves, an arm is chosen again where it succeeded, so that only its first outcome at each speaks for it.
    pub(super) fn is_news(&self, task: u64, arm: u64) -> bool {
        let known = self.tasks.get(&task).is_some_and(|tried| tried.iter().any(|tried| tried.arm == arm));
        !known || self.tasks.len() < FEWEST_TASKS || self.most_likely() == 0
    }

    /// Corrects the newest outcome of an arm at a task: it was told otherwise before.
    pub(super) fn correct(&mut self, task: u64, arm: u64, success: bool) {
        let tried =
            self.tasks.get_mut(&task).and_then(|tried| tried.iter_mut().find(|tried| tried.arm == arm));
        if let Some(tried) = tried {
            let successes = if success { tried.successes + 1 } else { tried.successes.saturating_sub(1) };
            tried.successes = successes.min(tried.n);
        }
    }

    /// Learns an outcome of an arm at a task, of which the policy predicted `margin`.
    pub(super) fn learn(&mut self, task: u64, arm: u64, margin: f64, success: bool) {
        if let Some(tried) = self.tasks.get(&task) {
            self.likelihoods.resize(SPREADS.len(), 0.0);
            for (sum, spread) in self.likelihoods.iter_mut().zip(SPREADS) {
                let p = sigmoid(Effects::of(tried, spread).predict(arm, margin));
                *sum += if success { p } else { 1.0 - p }.max(1e-6).ln();
            }
        } else {
            self.order.push_back(task);
            if self.order.len() > MOST_TASKS
                && let Some(oldest) = self.order.pop_front()
            {
                self.tasks.remove(&oldest);
            }
        }
        let tried = self.tasks.entry(task).or_default();
        if tried.iter().all(|tried| tried.arm != arm) && tried.len() < MOST_ARMS {
            let margin = margin.clamp(-MOST_MARGIN, MOST_MARGIN);
            tried.push(Tried { arm, margin, n: 0, successes: 0 });
        }
        if let Some(tried) = tried.iter_mut().find(|tried| tried.arm == arm) {
            if tried.n >= MOST_TRIES {
                (tried.n, tried.successes) = (tried.n / 2, tried.successes / 2);
            }
            tried.n = tried.n.saturating_add(1);
            tried.successes = tried.successes.saturating_add(u32::from(success));
        }
    }

    fn most_likely(&self) -> usize {
        let none = self.likelihoods.first().copied().unwrap_or(0.0);
        let mut best = (0, none + PENALTY);
        for (at, likelihood) in self.likelihoods.iter().enumerate().skip(1) {
            if *likelihood > best.1 {
                best = (at, *likelihood);
            }
        }
        best.0
    }
}

/// The modes of the effects of a task, and how far they may be off.
struct Effects<'a> {
    tried: &'a [Tried],
    /// Effect of the task.
    task: f64,
    /// Effect of the task with each of the tried arms.
    arms: Vec<f64>,
    task_variance: f64,
    arm_variances: Vec<f64>,
    spread: [f64; 2],
}

/// Variance of log-odds by which a logistic curve of normal log-odds is flattened (`MacKay` 1992).
fn flattened(variance: f64) -> f64 {
    (1.0 + PI * variance / 8.0).sqrt()
}

impl<'a> Effects<'a> {
    fn of(tried: &'a [Tried], spread: [f64; 2]) -> Self {
        const STEPS: usize = 8;
        let [task_precision, arm_precision] = spread.map(|sd| 1.0 / (sd * sd).max(1e-6));
        let scale = flattened(spread[0].powi(2) + spread[1].powi(2));
        let (mut task, mut arms) = (0.0_f64, vec![0.0_f64; tried.len()]);
        let mut task_variance = 0.0;
        let mut arm_variances = vec![0.0; tried.len()];
        for _ in 0..STEPS {
            let (mut gradient, mut hessian) = (-task_precision * task, task_precision);
            let mut parts = Vec::with_capacity(tried.len());
            for (tried, arm) in tried.iter().zip(&arms) {
                let n = f64::from(tried.n);
                let p = sigmoid(scale * tried.margin + task + arm);
                let residual = f64::from(tried.successes) - n * p;
                let weight = n * p * (1.0 - p);
                let own = weight + arm_precision;
                let own_gradient = residual - arm_precision * arm;
                gradient += residual - weight * own_gradient / own;
                hessian += weight - weight * weight / own;
                parts.push((weight, own, own_gradient));
            }
            let step = (gradient / hessian).clamp(-2.0, 2.0);
            task = (task + step).clamp(-MOST_MARGIN, MOST_MARGIN);
            task_variance = 1.0 / hessian;
            for ((arm, variance), (weight, own, own_gradient)) in
                arms.iter_mut().zip(&mut arm_variances).zip(parts)
            {
                let step = ((own_gradient - weight * step) / own).clamp(-2.0, 2.0);
                *arm = (*arm + step).clamp(-MOST_MARGIN, MOST_MARGIN);
                *variance = task_variance * (1.0 - weight / own).powi(2) + 1.0 / own;
            }
        }
        Self { tried, task, arms, task_variance, arm_variances, spread }
    }

    /// Returns the log-odds of an arm at this task, of which the policy predicts `margin`.
    fn predict(&self, arm: u64, margin: f64) -> f64 {
        if self.spread[0] == 0.0 {
            return margin;
        }
        let [task, own] = self.spread.map(|sd| sd * sd);
        let level = flattened(task + own) * margin.clamp(-MOST_MARGIN, MOST_MARGIN) + self.task;
        match self.tried.iter().position(|tried| tried.arm == arm) {
            Some(at) => (level + self.arms[at]) / flattened(self.arm_variances[at]),
            None => level / flattened(self.task_variance + own),
        }
    }
}

impl Verify for TaskMemory {
    fn verify(&self) -> Result<()> {
        let known = self.order.iter().filter(|task| self.tasks.contains_key(task)).count();
        let sizes = [self.order.len(), self.tasks.len()];
        sound("the order of known tasks", sizes == [known; 2] && known <= MOST_TASKS)?;
        let is_sound = |tried: &Tried| {
            tried.margin.abs() <= MOST_MARGIN && tried.successes <= tried.n && tried.n <= MOST_TRIES
        };
        let all = self.tasks.values();
        sound(
            "a known task",
            all.clone().all(|tried| tried.len() <= MOST_ARMS && tried.iter().all(is_sound)),
        )?;
        sound(
            "the likelihood of recurrences",
            self.likelihoods.len() <= SPREADS.len()
                && self.likelihoods.iter().all(|sum| (-1e15..=0.0).contains(sum)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// Tasks of which an arm always or never succeeds, each tried `times` by two arms of log-odds 1.
    fn lived(tasks: u64, times: u64, succeeds: impl Fn(u64, u64) -> bool) -> TaskMemory {
        let mut memory = TaskMemory::default();
        for round in 0..tasks * times {
            let (task, arm) = (round % tasks, round / tasks % 2);
            memory.learn(task, arm, 1.0, succeeds(task, arm));
        }
        memory
    }

    #[test]
    fn outcomes_that_recur_are_expected_again() {
        let memory = lived(40, 4, |task, arm| (task + arm) % 4 != 0);
        let of = |task| memory.shifts(task, &[(0, 1.0), (1, 1.0), (2, 1.0)]);
        // Task 4: arm 0 failed twice, arm 1 succeeded twice.
        let shifts = of(4);
        assert!(shifts[0] < -1.5 && shifts[1] > 0.3, "{shifts:?}");
        assert_eq!(of(1000), [0.0; 3]);
        assert!(memory.knows(4) && !memory.knows(1000));
    }

    #[test]
    fn an_arm_that_was_not_tried_is_judged_by_the_task() {
        // Hard tasks fail whoever tries, easy ones succeed.
        let memory = lived(60, 4, |task, _| task % 3 != 0);
        let (hard, easy) = (memory.shifts(3, &[(9, 1.0)])[0], memory.shifts(4, &[(9, 1.0)])[0]);
        assert!(hard < -1.0 && easy > 0.0, "{hard} {easy}");
    }

    #[test]
    fn a_corrected_outcome_is_one_try_and_old_ones_are_forgotten() {
        let mut memory = TaskMemory::default();
        memory.learn(1, 0, 0.0, true);
        memory.correct(1, 0, false);
        memory.correct(1, 9, false);
        memory.correct(2, 0, false);
        let tried = &memory.tasks[&1][0];
        assert_eq!((tried.n, tried.successes), (1, 0));
        (0..500).for_each(|_| memory.learn(1, 0, 0.0, true));
        (0..40).for_each(|_| memory.learn(1, 0, 0.0, false));
        let tried = &memory.tasks[&1][0];
        assert!(tried.successes * 2 < tried.n && tried.n <= MOST_TRIES, "{tried:?}");
        memory.verify().unwrap();
    }

    #[test]
    fn chance_is_not_remembered() {
        let mut rng = Pcg64Mcg::seed_from_u64(7);
        let mut memory = TaskMemory::default();
        for round in 0..2_000_u64 {
            memory.learn(round % 40, round / 40 % 2, 1.1, rng.random_bool(sigmoid(1.1)));
        }
        assert_eq!(memory.shifts(3, &[(0, 1.0)]), [0.0]);
    }
}
