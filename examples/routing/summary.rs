//! Means over all repetitions, each with its 95 % confidence interval.

use super::run::{Run, Truth};
use super::scenarios::Scenario;
use std::time::Duration;

/// Generations per window.
const WINDOW: usize = 1000;
/// First windows, left out of the worst-window figures: the policy is still exploring.
const WARM_UP: usize = 3;

/// A field of a generation's expectations.
type Field = fn(&Truth) -> f64;

pub(crate) fn print(policy: &str, scenario: &Scenario, runs: &[Run], took: Duration) {
    println!("  {policy} ({} runs, {:.0} s)", runs.len(), took.as_secs_f64());
    let last = |all: &[Truth]| all[all.len().saturating_sub(5 * WINDOW)..].to_vec();
    let show = |what: &str, of: &dyn Fn(&Run) -> f64| {
        let (mean, half) = interval(&runs.iter().map(of).collect::<Vec<_>>());
        // Runs shorter than the warm-up have no window to show.
        if mean.is_finite() {
            println!("    {what:<58} {mean:9.4} ± {half:.4}");
        }
    };
    let fields: [(&str, Field); 4] = [
        ("success", |t| t.success),
        ("US dollars", |t| t.cost_usd),
        ("utility", |t| t.utility),
        ("seconds of generation per approval", |t| t.seconds / t.success),
    ];
    for (what, field) in fields {
        for (series, of) in [("baseline", 0), ("policy", 1), ("best constant", 2), ("oracle", 3)] {
            show(&format!("{what}, newest 5,000: {series}"), &|run| mean(&last(run.series(of)), field));
        }
    }
    let utility = |t: &Truth| t.utility;
    // Where the cheapest candidate is best for all tasks there is no gap.
    if !scenario.equal {
        show("gap from best constant to oracle closed, newest 5,000", &|run| closed(run, &last));
        show("gap from best constant to oracle closed, all", &|run| closed(run, &|all| all.to_vec()));
    }
    show("cost relative to the baseline, newest 5,000", &|run| {
        mean(&last(&run.policy), |t| t.cost_usd) / mean(&last(&run.baseline), |t| t.cost_usd) - 1.0
    });
    show("time to approval relative to the baseline, newest 5,000", &|run| {
        let of = |all: &[Truth]| mean(&last(all), |t| t.seconds / t.success);
        of(&run.policy) / of(&run.baseline) - 1.0
    });
    show("worst window after 3,000 minus best constant, utility", &|run| worst(run, |t| t.utility));
    show("worst window after 3,000 minus best constant, success", &|run| worst(run, |t| t.success));
    show("share of runs with a window a point worse, utility", &|run| below(worst(run, |t| t.utility)));
    show("share of runs with a window a point worse, success", &|run| below(worst(run, |t| t.success)));
    show("relative regret to the oracle (utility), newest 5,000", &|run| {
        1.0 - mean(&last(&run.policy), utility) / mean(&last(&run.oracle), utility)
    });
    for (what, at) in [("arrival", scenario.arrives), ("degradation", scenario.degrades)] {
        let Some(at) = at else { continue };
        let level = |run: &Run, from: usize, to: usize| {
            let part = |all: &[Truth]| mean(&all[from.min(all.len())..to.min(all.len())], utility);
            part(&run.policy) / part(&run.oracle)
        };
        show(&format!("{what}: share of the oracle's utility, 2,000 before"), &|run| {
            level(run, at - 2000, at)
        });
        for from in [0, 500, 1000, 1500] {
            show(&format!("{what}: from {from} to {} after", from + 500), &|run| {
                level(run, at + from, at + from + 500)
            });
        }
    }
}

impl Run {
    fn series(&self, of: usize) -> &[Truth] {
        match of {
            0 => &self.baseline,
            1 => &self.policy,
            2 => self.best_constant(),
            _ => &self.oracle,
        }
    }

    /// Returns the constant plan with the highest total utility.
    fn best_constant(&self) -> &[Truth] {
        let total = |all: &&Vec<Truth>| all.iter().map(|t| t.utility).sum::<f64>();
        let longest = self.constants.iter().filter(|all| all.len() == self.policy.len());
        longest.max_by(|a, b| total(a).total_cmp(&total(b))).map_or(&[], Vec::as_slice)
    }
}

fn closed(run: &Run, part: &dyn Fn(&[Truth]) -> Vec<Truth>) -> f64 {
    let of = |all: &[Truth]| mean(&part(all), |t| t.utility);
    let (constant, oracle) = (of(run.best_constant()), of(&run.oracle));
    (of(&run.policy) - constant) / (oracle - constant)
}

/// Returns the lowest mean difference of a window to the best constant.
fn worst(run: &Run, field: fn(&Truth) -> f64) -> f64 {
    let windows = run.policy.chunks(WINDOW).zip(run.best_constant().chunks(WINDOW));
    windows
        .skip(WARM_UP)
        .map(|(ours, theirs)| mean(ours, field) - mean(theirs, field))
        .fold(f64::INFINITY, f64::min)
}

/// Returns 1 where a difference is more than a point below zero, else 0.
fn below(difference: f64) -> f64 {
    f64::from(u8::from(difference < -0.01))
}

fn mean(all: &[Truth], field: impl Fn(&Truth) -> f64) -> f64 {
    all.iter().map(field).sum::<f64>() / all.len() as f64
}

/// Returns the mean and half the width of its 95 % interval (normal).
fn interval(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, 1.96 * (variance / n).sqrt())
}
