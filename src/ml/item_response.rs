//! How able who tries is, and how hard what is tried is.
use crate::execution;
use crate::stats::sigmoid;
use std::collections::BTreeMap;

/// Rasch's model (1960): the log-odds of success are mean + ability − difficulty, found together
/// from who tried what, with normal priors that draw both to 0 where little was tried.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ItemResponse {
    /// Log-odds of the average solver on the average task.
    pub(crate) mean: f64,
    /// Ability by solver, in log-odds above the average.
    pub(crate) abilities: BTreeMap<u64, f64>,
    /// By task.
    pub(crate) difficulties: BTreeMap<u64, Difficulty>,
}

/// Difficulty of a task, in log-odds below the average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difficulty {
    /// The most likely value.
    pub(crate) value: f64,
    /// Posterior variance (Laplace approximation).
    pub(crate) variance: f64,
}

/// One try: who, what, whether it succeeded (or how likely it did).
pub(crate) type Attempt = (u64, u64, f64);

/// Precisions of the normal priors: abilities within ±1, difficulties within ±2.
const OF_ABILITIES: f64 = 1.0;
const OF_DIFFICULTIES: f64 = 0.25;
/// The mean has none, but for what keeps it finite.
const UNKNOWN: f64 = 1e-6;

const SWEEPS: usize = 200;
const CLOSE: f64 = 1e-7;

impl ItemResponse {
    /// Fits mean, abilities and difficulties by penalised maximum likelihood with coordinate-wise Newton steps.
    pub(crate) fn fit(attempts: &[Attempt]) -> Self {
        let (solvers, by_solver) = numbered(attempts.iter().map(|a| a.0));
        let (tasks, by_task) = numbered(attempts.iter().map(|a| a.1));
        let rows: Vec<_> = attempts.iter().map(|a| (by_solver[&a.0], by_task[&a.1], a.2)).collect();
        let mut mean = 0.0;
        let (mut able, mut hard) = (vec![0.0; solvers.len()], vec![0.0; tasks.len()]);
        for _ in 0..SWEEPS {
            if execution::check().is_err() {
                break;
            }
            let log_odds = |mean: f64, able: &[f64], hard: &[f64], number: fn(usize, usize) -> usize| {
                let row = |(s, t, y): &(usize, usize, f64)| (number(*s, *t), mean + able[*s] - hard[*t], *y);
                rows.iter().map(row).collect::<Vec<_>>()
            };
            let now = log_odds(mean, &able, &hard, |_, _| 0);
            let mut longest = stepped(std::slice::from_mut(&mut mean), &now, UNKNOWN, 1.0);
            let now = log_odds(mean, &able, &hard, |solver, _| solver);
            longest = longest.max(stepped(&mut able, &now, OF_ABILITIES, 1.0));
            let now = log_odds(mean, &able, &hard, |_, task| task);
            if longest.max(stepped(&mut hard, &now, OF_DIFFICULTIES, -1.0)) < CLOSE {
                break;
            }
        }
        let mut information = vec![OF_DIFFICULTIES; tasks.len()];
        for (s, t, _) in &rows {
            let p = sigmoid(mean + able[*s] - hard[*t]);
            information[*t] += p * (1.0 - p);
        }
        let difficulty = |(value, information): (f64, f64)| Difficulty { value, variance: 1.0 / information };
        Self {
            mean,
            abilities: solvers.into_iter().zip(able).collect(),
            difficulties: tasks.into_iter().zip(hard.into_iter().zip(information).map(difficulty)).collect(),
        }
    }
}

/// One Newton step for each of `values`, of which row (which, log-odds, label) has one with `sign`;
/// the longest step.
fn stepped(values: &mut [f64], rows: &[(usize, f64, f64)], precision: f64, sign: f64) -> f64 {
    let mut sums: Vec<_> = values.iter().map(|v| (precision * v, precision)).collect();
    for (which, log_odds, label) in rows {
        let p = sigmoid(*log_odds);
        sums[*which].0 += sign * (p - label);
        sums[*which].1 += p * (1.0 - p);
    }
    let mut longest = 0.0_f64;
    for (value, (gradient, curvature)) in values.iter_mut().zip(sums) {
        // Far out the curvature is small and a whole step would overshoot.
        let step = (gradient / curvature).clamp(-1.0, 1.0);
        *value -= step;
        longest = longest.max(step.abs());
    }
    longest
}

/// Distinct keys in order, and the number of each.
fn numbered(keys: impl Iterator<Item = u64>) -> (Vec<u64>, BTreeMap<u64, usize>) {
    let mut numbers: BTreeMap<u64, usize> = keys.map(|key| (key, 0)).collect();
    numbers.values_mut().enumerate().for_each(|(i, number)| *number = i);
    (numbers.keys().copied().collect(), numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};

    fn tries(rng: &mut impl Rng, able: &[f64], hard: &[f64], times: usize) -> Vec<Attempt> {
        let mut found = Vec::new();
        for (s, a) in able.iter().enumerate() {
            for (t, h) in hard.iter().enumerate() {
                for _ in 0..times {
                    let hit = rng.random::<f64>() < sigmoid(a - h);
                    found.push((s as u64, t as u64, f64::from(u8::from(hit))));
                }
            }
        }
        found
    }

    #[test]
    fn abilities_and_difficulties_are_found_again() {
        let (able, hard) = ([-1.0, 0.0, 1.0], [-1.5, -0.5, 0.5, 1.5]);
        let rows = tries(&mut rand_pcg::Pcg64::seed_from_u64(7), &able, &hard, 400);
        let fitted = ItemResponse::fit(&rows);
        for (s, a) in able.iter().enumerate() {
            let found = fitted.abilities[&(s as u64)];
            assert!((found - a).abs() < 0.15, "{found} for {a}");
        }
        for (t, h) in hard.iter().enumerate() {
            let found = fitted.difficulties[&(t as u64)];
            assert!((found.value - h - fitted.mean).abs() < 0.3, "{found:?} for {h}");
            assert!(found.variance < 0.02);
        }
    }

    #[test]
    fn what_always_fails_stays_finite_and_the_gradient_vanishes() {
        let rows: Vec<Attempt> = (0..40).map(|i| (i % 4, i % 5, f64::from(u8::from(i % 5 != 0)))).collect();
        let fitted = ItemResponse::fit(&rows);
        let hardest = fitted.difficulties[&0];
        assert!(hardest.value > 1.0 && hardest.value < 20.0, "{hardest:?}");
        // At the optimum the pull of the prior equals that of the rows.
        let pull: f64 = rows
            .iter()
            .filter(|(_, t, _)| *t == 0)
            .map(|(s, _, y)| y - sigmoid(fitted.mean + fitted.abilities[s] - hardest.value))
            .sum();
        assert!((pull + OF_DIFFICULTIES * hardest.value).abs() < 1e-5, "{pull}");
    }

    #[test]
    fn nothing_tried_is_no_fault() {
        let fitted = ItemResponse::fit(&[]);
        assert!(fitted.abilities.is_empty() && fitted.mean == 0.0);
    }
}
