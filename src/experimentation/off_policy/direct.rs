//! The direct method: what a policy would have cost, where the log has no overlap with it.

use super::estimate::{Estimator, Interval95, PolicyAnswer, PolicyEstimate};
use super::row::LoggedChoice;
use std::collections::BTreeMap;

/// A candidate that was chosen less often is not extrapolated: the interval rests on the spread of its own residuals.
const FEWEST: f64 = 30.0;

/// Upper quantile of a normal distribution for an interval of 95 %.
const NORMAL: f64 = 1.96;

/// Returns `refused` with the answer of the direct method, where every candidate that the policy chooses was chosen often
/// enough; `refused` as it is where one was not. `columns` say what kind of task each row is, and `names` name its candidates.
pub(super) fn estimate(
    rows: &mut [LoggedChoice],
    columns: &[Vec<String>],
    names: &[Vec<String>],
    refused: PolicyEstimate,
) -> PolicyEstimate {
    predict(rows, columns, names);
    let rows = &*rows;
    let residuals = Residuals::of(rows, names);
    let Some(parts) = residuals.parts(rows, names) else { return refused };
    let interval = |of: &dyn Fn(usize) -> f64, scale: f64| {
        let (mean, variance) = moments(rows, of);
        let error = (variance + residuals.variance(rows, names)).sqrt();
        let value = Interval95 {
            value: mean / scale,
            lower: (mean - NORMAL * error) / scale,
            upper: (mean + NORMAL * error) / scale,
            standard_error: error / scale,
        };
        (value, mean)
    };
    let logged = refused.logged;
    let gain = |row: usize| parts[row] - rows[row].reward;
    let answer = PolicyAnswer::Estimated {
        value: interval(&|row| parts[row], 1.0).0,
        gain: interval(&gain, 1.0).0,
        relative: (logged > 0.0).then(|| interval(&gain, logged).0),
    };
    PolicyEstimate { estimator: Estimator::DirectMethod, answer, ..refused }
}

/// Rounds in which means of candidates and factors of kinds of tasks are fitted to each other.
const ROUNDS: usize = 5;

/// Kinds of tasks are shrunk toward all as if so many more rows were like these.
const STRENGTH: f64 = 20.0;

/// Predicts an amount as the mean of its candidate times a factor of its kind of task. Where each kind has candidates of its
/// own, what they have in common is the candidates': amounts depend on these first.
fn predict(rows: &mut [LoggedChoice], columns: &[Vec<String>], names: &[Vec<String>]) {
    let mut means = BTreeMap::<&str, f64>::new();
    let mut factors = BTreeMap::<&[String], f64>::new();
    let ratio = |(above, below): (f64, f64)| if below > 0.0 { above / below } else { 0.0 };
    let all =
        ratio(rows.iter().fold((0.0, 0.0), |(sum, n), row| (sum + row.weight * row.reward, n + row.weight)));
    for _ in 0..ROUNDS {
        let mut of_candidates = BTreeMap::<&str, (f64, f64)>::new();
        for ((row, columns), names) in rows.iter().zip(columns).zip(names) {
            let sums = of_candidates.entry(&names[row.chosen]).or_default();
            sums.0 += row.weight * row.reward;
            sums.1 += row.weight * factors.get(columns.as_slice()).unwrap_or(&1.0);
        }
        means = of_candidates.into_iter().map(|(name, sums)| (name, ratio(sums))).collect();
        let mut of_kinds = BTreeMap::<&[String], (f64, f64)>::new();
        for ((row, columns), names) in rows.iter().zip(columns).zip(names) {
            let sums = of_kinds.entry(columns.as_slice()).or_insert((STRENGTH * all, STRENGTH * all));
            sums.0 += row.weight * row.reward;
            sums.1 += row.weight * means[names[row.chosen].as_str()];
        }
        factors = of_kinds.into_iter().map(|(kind, sums)| (kind, ratio(sums))).collect();
    }
    for ((row, columns), names) in rows.iter_mut().zip(columns).zip(names) {
        let factor = factors.get(columns.as_slice()).unwrap_or(&1.0);
        row.predicted = names.iter().map(|name| factor * means.get(name.as_str()).unwrap_or(&all)).collect();
    }
}

/// Residuals of the model by candidate, where it was chosen.
struct Residuals<'a>(BTreeMap<&'a str, Sums>);

#[derive(Default)]
struct Sums {
    weight: f64,
    sum: f64,
    squares: f64,
}

impl<'a> Residuals<'a> {
    fn of(rows: &[LoggedChoice], names: &'a [Vec<String>]) -> Self {
        let mut all = BTreeMap::<&str, Sums>::new();
        for (row, names) in rows.iter().zip(names) {
            let Some(missed) = row.predicted.get(row.chosen).map(|predicted| row.reward - predicted) else {
                continue;
            };
            let sums = all.entry(&names[row.chosen]).or_default();
            sums.weight += row.weight;
            sums.sum += row.weight * missed;
            sums.squares += row.weight * missed * missed;
        }
        Self(all)
    }

    /// Returns the expected reward of the policy at each row; `None` where it chooses what was seldom chosen.
    fn parts(&self, rows: &[LoggedChoice], names: &[Vec<String>]) -> Option<Vec<f64>> {
        let of_row = |(row, names): (&LoggedChoice, &Vec<String>)| {
            let chosen = row.target.iter().zip(names).enumerate().filter(|(_, (p, _))| **p > 0.0);
            let mut sum = 0.0;
            for (at, (p, name)) in chosen {
                let known = self.0.get(name.as_str()).filter(|sums| sums.weight >= FEWEST)?;
                sum += p * (row.predicted.get(at)? + known.sum / known.weight);
            }
            Some(sum)
        };
        rows.iter().zip(names).map(of_row).collect()
    }

    /// Returns the variance that comes from not knowing the candidates' means better.
    fn variance(&self, rows: &[LoggedChoice], names: &[Vec<String>]) -> f64 {
        let (mut shares, mut total) = (BTreeMap::<&str, f64>::new(), 0.0);
        for (row, names) in rows.iter().zip(names) {
            total += row.weight;
            for (p, name) in row.target.iter().zip(names) {
                *shares.entry(name).or_default() += row.weight * p;
            }
        }
        let of = |(name, share): (&&str, &f64)| {
            let sums = self.0.get(name)?;
            let mean = sums.sum / sums.weight;
            let spread = (sums.squares / sums.weight - mean * mean).max(0.0);
            Some((share / total).powi(2) * spread / sums.weight)
        };
        shares.iter().filter_map(of).sum()
    }
}

/// Returns the weighted mean of `of` over the rows and the variance of that mean, by cluster.
fn moments(rows: &[LoggedChoice], of: &dyn Fn(usize) -> f64) -> (f64, f64) {
    let total: f64 = rows.iter().map(|row| row.weight).sum();
    let mean = rows.iter().enumerate().map(|(at, row)| row.weight * of(at)).sum::<f64>() / total;
    let mut clusters = BTreeMap::<u64, f64>::new();
    for (at, row) in rows.iter().enumerate() {
        *clusters.entry(row.cluster).or_default() += row.weight * (of(at) - mean);
    }
    (mean, clusters.values().map(|sum| sum * sum).sum::<f64>() / (total * total))
}
