//! Figures of the runs, as a table and as JSON.

use super::read::Counts;
use super::replay::{Player, Replay, Round, WARM_UP};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that a replay found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) matrix: Counts,
    pub(crate) runs: Vec<Run>,
}

/// A policy at one value of a success: means over the orders, of the rounds after the first 1,000 (of all rounds where
/// there are not more).
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    value: f64,
    policy: String,
    seeds: usize,
    rounds: usize,
    utility: f64,
    success: f64,
    cost: f64,
    best_constant: BestConstant,
    oracle: Utility,
    gap_closed: Option<f64>,
    gap_closed_low: Option<f64>,
    gap_closed_high: Option<f64>,
    /// Share of the oracle's utility that is missing to the best constant's; 0 where the policy is not below.
    below_constant: f64,
    /// Rounds on which no task was seen before, among the same rounds.
    first_visits: Option<Part>,
    /// All rounds.
    whole: Part,
    by_round: Vec<ByRound>,
}

/// The arm that is best in hindsight.
#[derive(Debug, Serialize)]
struct BestConstant {
    arm: String,
    utility: f64,
}

#[derive(Debug, Serialize)]
struct Utility {
    utility: f64,
}

/// Figures of some of the rounds.
#[derive(Debug, Serialize)]
struct Part {
    rounds: f64,
    utility: f64,
    success: f64,
    cost: f64,
    gap_closed: Option<f64>,
    gap_closed_low: Option<f64>,
    gap_closed_high: Option<f64>,
}

/// Figures of all rounds up to one.
#[derive(Debug, Serialize)]
struct ByRound {
    round: usize,
    utility: f64,
    success: f64,
    cost: f64,
    /// Utility that the oracle of each task has more, summed over the rounds.
    regret: f64,
}

/// An arm must be known on this share of the rounds to be the best constant.
const KNOWN: f64 = 0.9;

pub(crate) fn print_counts(counts: &Counts) {
    println!("{} tasks, {} of them new; {} arms", counts.tasks, counts.new_tasks, counts.arms);
    println!("{} cells, {} missing", counts.cells, counts.missing_cells);
    if counts.costs_unknown {
        println!("no event has a cost: utility is value x success");
    }
    println!(
        "{} events; left out: {} without outcome, {} without arm, {} without cost",
        counts.events, counts.without_outcome, counts.without_arm, counts.without_cost
    );
}

impl Run {
    pub(crate) fn new(
        player: &Player,
        replays: &[Replay<'_>],
        played: &[Vec<Round>],
        oracles: &[Vec<Round>],
    ) -> Self {
        let rounds = played.first().map_or(0, Vec::len);
        let from = if rounds > WARM_UP { WARM_UP } else { 0 };
        let after = part(replays, played, oracles, |at, _| at >= from);
        let whole = part(replays, played, oracles, |_, _| true);
        let first = part(replays, played, oracles, |at, round| at >= from && round.first_visit);
        let constants: Vec<_> =
            replays.iter().map(|replay| best_constant(replay, &|at| at >= from)).collect();
        let mean_of = |of: &dyn Fn(usize) -> f64| mean(&(0..replays.len()).map(of).collect::<Vec<_>>());
        let utility = |at: usize, all: &[Vec<Round>]| mean_utility(&all[at][from..]);
        let below = mean_of(&|at| (constants[at].1 - utility(at, played)) / utility(at, oracles));
        let mut arms = BTreeMap::<usize, usize>::new();
        constants.iter().for_each(|(arm, _)| *arms.entry(*arm).or_default() += 1);
        let arm = arms.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(arm, _)| arm);
        let best_constant = BestConstant {
            arm: replays.first().map_or(String::new(), |replay| replay.matrix.arms[arm].name.clone()),
            utility: mean_of(&|at| constants[at].1),
        };
        Self {
            value: replays.first().map_or(0.0, |replay| replay.value),
            policy: player.name(),
            seeds: replays.len(),
            rounds,
            utility: after.utility,
            success: after.success,
            cost: after.cost,
            best_constant,
            oracle: Utility { utility: mean_of(&|at| utility(at, oracles)) },
            gap_closed: after.gap_closed,
            gap_closed_low: after.gap_closed_low,
            gap_closed_high: after.gap_closed_high,
            below_constant: below.max(0.0),
            first_visits: (first.rounds > 0.0).then_some(first),
            whole,
            by_round: by_round(played, oracles),
        }
    }

    pub(crate) fn print(&self) {
        let gap = |part: (Option<f64>, Option<f64>, Option<f64>)| match part {
            (Some(mean), Some(low), Some(high)) => {
                format!("{:+.1} % ({:+.1} to {:+.1})", mean * 100.0, low * 100.0, high * 100.0)
            }
            _ => "no gap".into(),
        };
        println!(
            "  {:<28} utility {:8.4}, success {:.4}, ${:.4}; best constant {:.4} ({}), oracle {:.4}; gap closed {}; below the constant by {:.2} % of the oracle",
            self.policy,
            self.utility,
            self.success,
            self.cost,
            self.best_constant.utility,
            self.best_constant.arm,
            self.oracle.utility,
            gap((self.gap_closed, self.gap_closed_low, self.gap_closed_high)),
            self.below_constant * 100.0,
        );
        if let Some(first) = &self.first_visits {
            println!(
                "    on the {:.0} first visits: utility {:.4}, success {:.4}, ${:.4}; gap closed {}",
                first.rounds,
                first.utility,
                first.success,
                first.cost,
                gap((first.gap_closed, first.gap_closed_low, first.gap_closed_high))
            );
        }
        let levels =
            self.by_round.iter().map(|at| format!("{} {:.4}/{:.4}", at.round, at.utility, at.success));
        println!("    utility/success of the first rounds: {}", levels.collect::<Vec<_>>().join(", "));
    }
}

/// Returns the figures of the rounds that `is_in` names.
fn part(
    replays: &[Replay<'_>],
    played: &[Vec<Round>],
    oracles: &[Vec<Round>],
    is_in: impl Fn(usize, &Round) -> bool,
) -> Part {
    let mut closed = Vec::new();
    let mut sums = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for ((replay, ours), oracle) in replays.iter().zip(played).zip(oracles) {
        let chosen = |all: &[Round]| {
            let all = all.iter().enumerate().filter(|(at, round)| is_in(*at, round));
            all.map(|(_, round)| *round).collect::<Vec<_>>()
        };
        let (ours_in, oracle_in) = (chosen(ours), chosen(oracle));
        let constant = best_constant(replay, &|at| is_in(at, &ours[at])).1;
        let gap = mean_utility(&oracle_in) - constant;
        if gap > 1e-12 {
            closed.push((mean_utility(&ours_in) - constant) / gap);
        }
        let of = |field: fn(&Round) -> f64| mean(&ours_in.iter().map(field).collect::<Vec<_>>());
        let figures = [of(|r| r.utility), of(|r| r.success), of(|r| r.cost_usd), ours_in.len() as f64];
        sums.iter_mut().zip(figures).for_each(|(sum, figure)| sum.push(figure));
    }
    let (gap_closed, low, high) = interval(&closed);
    let [utility, success, cost, rounds] = sums.map(|all| mean(&all));
    Part { rounds, utility, success, cost, gap_closed, gap_closed_low: low, gap_closed_high: high }
}

/// Returns the arm with the highest mean utility over the rounds that `is_in` names; of a cell that is missing nothing is
/// known, so an arm must have a cell on most of the rounds.
fn best_constant(replay: &Replay<'_>, is_in: &dyn Fn(usize) -> bool) -> (usize, f64) {
    let rounds: Vec<_> = (0..replay.order.len()).filter(|at| is_in(*at)).map(|at| replay.order[at]).collect();
    let mean_of = |arm: usize| {
        let known: Vec<_> = rounds.iter().filter_map(|task| replay.utility(*task, arm)).collect();
        (known.len() as f64 >= KNOWN * rounds.len() as f64).then(|| (arm, mean(&known)))
    };
    let all = (0..replay.matrix.arms.len()).filter_map(mean_of);
    all.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

fn by_round(played: &[Vec<Round>], oracles: &[Vec<Round>]) -> Vec<ByRound> {
    let rounds = played.first().map_or(0, Vec::len);
    let mut ends: Vec<_> = [100, 200, 400, 800, 1_000, 1_600, 3_200, 5_200, 10_000, 20_000].into();
    ends.retain(|end| *end < rounds);
    ends.push(rounds);
    let at = |round: usize| {
        let of = |all: &[Vec<Round>], field: fn(&Round) -> f64| {
            let each = all.iter().map(|all| mean(&all[..round].iter().map(field).collect::<Vec<_>>()));
            mean(&each.collect::<Vec<_>>())
        };
        let utility = of(played, |r| r.utility);
        ByRound {
            round,
            utility,
            success: of(played, |r| r.success),
            cost: of(played, |r| r.cost_usd),
            regret: (of(oracles, |r| r.utility) - utility) * round as f64,
        }
    };
    ends.into_iter().filter(|end| *end > 0).map(at).collect()
}

fn mean_utility(rounds: &[Round]) -> f64 {
    mean(&rounds.iter().map(|round| round.utility).collect::<Vec<_>>())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Returns the mean and its 95 % interval (Student's t); the mean alone of one value.
fn interval(values: &[f64]) -> (Option<f64>, Option<f64>, Option<f64>) {
    if values.is_empty() {
        return (None, None, None);
    }
    let (n, center) = (values.len() as f64, mean(values));
    if values.len() < 2 {
        return (Some(center), None, None);
    }
    let variance = values.iter().map(|v| (v - center).powi(2)).sum::<f64>() / (n - 1.0);
    let half = t_975(n - 1.0) * (variance / n).sqrt();
    (Some(center), Some(center - half), Some(center + half))
}

/// Returns the 97.5 % quantile of Student's t by its expansion around the normal's (Abramowitz and Stegun 26.7.5).
fn t_975(freedom: f64) -> f64 {
    let x = 1.959_964_f64;
    let terms = [
        (x.powi(3) + x) / 4.0,
        (5.0 * x.powi(5) + 16.0 * x.powi(3) + 3.0 * x) / 96.0,
        (3.0 * x.powi(7) + 19.0 * x.powi(5) + 17.0 * x.powi(3) - 15.0 * x) / 384.0,
    ];
    terms.iter().enumerate().fold(x, |sum, (at, term)| sum + term / freedom.powi(at as i32 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_students_t() {
        assert!((t_975(19.0) - 2.093).abs() < 1e-3 && (t_975(4.0) - 2.776).abs() < 0.02);
        let (mean, low, high) = interval(&[1.0, 2.0, 3.0]);
        assert_eq!(mean, Some(2.0));
        assert!(low.unwrap() < 1.0 && high.unwrap() > 3.0);
        assert_eq!(interval(&[1.0]), (Some(1.0), None, None));
    }
}
