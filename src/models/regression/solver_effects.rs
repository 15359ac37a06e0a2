//! Where several agents and LLMs try the same tasks: how much each of them takes, and how much a task takes that nobody has
//! tried, by similar ones.
//!
//! A row's number, on the scale of learning, is the level of its solver (agent with LLM) plus the task's effect times the
//! solver's slope: one that thinks longer the harder the task has a steep one. The effect of a new task is guessed by a
//! Gaussian process over texts, projects, the host's columns, and what similar tasks took.

use super::spec::{Scale, Spec};
use crate::dataset::Example;
use crate::error::Result;
use crate::execution;
use crate::features::{FeatureId, FeatureRow};
use crate::ml::{GaussianProcess, GpRow, MOST_OBSERVATIONS, Tfidf};
use crate::models::column_encoder::ColumnEncoder;
use crate::models::success::{Likeness, OwnScaler};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What solvers take, and what new tasks do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SolverEffects {
    /// Ascending by agent and LLM.
    pub(super) solvers: Vec<Solver>,
    /// An unknown solver, where the past says nothing of it either.
    pub(super) unknown: Solver,
    /// The feature that compares similar tasks with the average, its mean and the factor that makes its deviation 1.
    pub(super) nearest: (usize, f64, f64),
    pub(super) likeness: Likeness,
    pub(super) effects: GaussianProcess,
    /// Standardized residuals of tasks that were left out, at equally spaced levels from 0 to 1.
    pub(super) residuals: Vec<f64>,
}

/// An agent with its LLM, by the codes of their features.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Solver {
    pub(super) agent: u32,
    pub(super) model: u32,
    /// At the average task.
    pub(super) level: f64,
    /// Factor of the tasks' effects.
    pub(super) slope: f64,
    /// Deviation of its residuals at new tasks.
    pub(super) spread: f64,
}

/// The guess for a row: its parts and its spread.
pub(super) struct Guess {
    pub(super) level: f64,
    pub(super) effect: f64,
    pub(super) spread: f64,
}

/// A task tells how much it takes when it was tried this often, by two at least; of fewer such tasks nothing follows.
/// As for the item-response part of the success model.
const FEWEST_TRIES: usize = 3;
const FEWEST_TASKS: usize = 20;

/// Weight of the mean of all in a solver's level, in generations; chosen, not tuned: levels rest on tens of them.
const LEVEL_STRENGTH: f64 = 3.0;
/// Weight of 1 in a solver's slope and of the common spread in its own, in generations. Chosen on folds by task of one
/// matrix (34 LLMs, 255 tasks): 10 to 40 do as well.
const SLOPE_STRENGTH: f64 = 20.0;

/// Rounds in which levels, effects and slopes are fitted in turn; they settle within some ten.
const ROUNDS: usize = 20;

/// Number of steps between levels of residuals.
const STEPS: usize = 200;

/// Standardized values are kept within this many deviations.
const CLIP: f64 = 4.0;

impl SolverEffects {
    /// Fits where enough tasks were tried by several, else returns `None`; also returns what is said of each row as if its
    /// task had not been tried.
    pub(super) fn fit(
        spec: &Spec,
        rows: &[(&Example, &FeatureRow)],
        labels: &[f64],
        tfidf: &Tfidf,
        encoder: &ColumnEncoder,
    ) -> Result<Option<(Self, Vec<f64>)>> {
        let tried = tried_tasks(rows);
        if tried.len() < FEWEST_TASKS {
            return Ok(None);
        }
        let additive = Additive::fit(rows, labels);
        execution::check()?;
        // What similar tasks took is best known to a task's latest try.
        let latest: Vec<&FeatureRow> =
            tried.iter().map(|tries| rows[*tries.last().unwrap_or(&0)].1).collect();
        let place = nearest_place(spec);
        let likeness = Likeness {
            groups: vec![FeatureId::ProjectEncoded as usize],
            own: OwnScaler::fit(encoder, &latest),
            ..Likeness::default()
        };
        let nearest = moments(place, &latest);
        let inputs = latest.iter().map(|row| input(&likeness, nearest, tfidf, row)).collect();
        let known: Vec<_> = tried.iter().map(|tries| additive.tasks[&rows[tries[0]].0.task]).collect();
        let variances: Vec<_> =
            tried.iter().map(|tries| (additive.variance / tries.len() as f64).clamp(1e-6, 1e6)).collect();
        let effects = GaussianProcess::fit(inputs, &known, &variances)?;
        let left_out: BTreeMap<u64, f64> = tried
            .iter()
            .zip(effects.left_out())
            .map(|(tries, guess)| (rows[tries[0]].0.task, guess.mean))
            .collect();
        let middle = effects.mean();
        let guessed: Vec<_> = rows
            .iter()
            .map(|(example, row)| {
                let solver = additive.solvers[&solver_of(row)];
                solver.level + solver.slope * left_out.get(&example.task).copied().unwrap_or(middle)
            })
            .collect();
        let judged: Vec<usize> = tried.iter().flatten().copied().collect();
        let spreads = spreads(rows, &judged, |i| labels[i] - guessed[i]);
        let residuals = judged.iter().map(|i| (labels[*i] - guessed[*i]) / spreads.of(solver_of(rows[*i].1)));
        let residuals = at_levels(residuals.collect());
        let solvers: Vec<_> = additive
            .solvers
            .values()
            .map(|solver| Solver { spread: spreads.of((solver.agent, solver.model)), ..*solver })
            .collect();
        let unknown = unknown_of(&solvers, spreads.all);
        let fitted = Self { solvers, unknown, nearest, likeness, effects, residuals };
        Ok(Some((fitted, guessed)))
    }

    /// Returns what is said of a row; `expected` is what the past suggests for a solver that is not known.
    pub(super) fn guess(&self, tfidf: &Tfidf, row: &FeatureRow, expected: Option<f64>) -> Guess {
        let solver = match self.solvers.binary_search_by_key(&solver_of(row), |s| (s.agent, s.model)) {
            Ok(at) => self.solvers[at],
            Err(_) => Solver { level: expected.unwrap_or(self.unknown.level), ..self.unknown },
        };
        let effect = self.effects.expect(&input(&self.likeness, self.nearest, tfidf, row));
        Guess { level: solver.level, effect: solver.slope * effect, spread: solver.spread }
    }

    /// Returns the standardized residual at a level from 0 to 1.
    pub(super) fn residual(&self, level: f64) -> f64 {
        let last = self.residuals.len().saturating_sub(1);
        let at = level.clamp(0.0, 1.0) * last as f64;
        let (low, share) = (at.floor() as usize, at.fract());
        let value = |i: usize| self.residuals.get(i.min(last)).copied().unwrap_or(0.0);
        value(low) + share * (value(low + 1) - value(low))
    }

    /// Checks everything that a prediction relies on.
    pub(super) fn is_sound(&self, spec: &Spec) -> bool {
        let (place, mean, factor) = self.nearest;
        let mut lengths = self.likeness.lengths();
        lengths[1] += 1;
        let sound =
            |s: &Solver| [s.level, s.slope].iter().all(|v| v.abs() <= 1e6) && (0.0..=1e6).contains(&s.spread);
        place == nearest_place(spec)
            && mean.is_finite()
            && factor.is_finite()
            && self.likeness.is_sound()
            && self.effects.takes(lengths)
            && self.solvers.is_sorted_by_key(|s| (s.agent, s.model))
            && self.solvers.iter().chain([&self.unknown]).all(sound)
            && self.residuals.len() == STEPS + 1
            && self.residuals.is_sorted()
            && self.residuals.iter().all(|r| r.abs() <= 1e6)
    }
}

/// The feature that compares similar tasks with the average.
fn nearest_place(spec: &Spec) -> usize {
    let id = match spec.scale {
        Scale::Relative(floor) if floor < 1.0 => FeatureId::NearestTasksRelativeCost,
        _ => FeatureId::NearestTasksRelativeTokens,
    };
    id as usize
}

/// The features of agent and LLM.
pub(super) const SOLVER: [FeatureId; 2] = [FeatureId::AgentTypeEncoded, FeatureId::ModelUsedEncoded];

fn solver_of(row: &FeatureRow) -> (u32, u32) {
    let [agent, model] = SOLVER.map(|id| match row.values.get(id as usize) {
        Some(code) if !code.is_nan() => *code as u32,
        _ => u32::MAX,
    });
    (agent, model)
}

fn input(
    likeness: &Likeness,
    (place, mean, factor): (usize, f64, f64),
    tfidf: &Tfidf,
    row: &FeatureRow,
) -> GpRow {
    let mut input = likeness.of(tfidf, row);
    let value = row.values.get(place).map_or(f64::NAN, |v| (f64::from(*v) - mean) * factor);
    input.columns.push(if value.is_nan() { 0.0 } else { value.clamp(-CLIP, CLIP) as f32 });
    input
}

fn moments(place: usize, rows: &[&FeatureRow]) -> (usize, f64, f64) {
    let values = rows.iter().filter_map(|row| row.values.get(place)).filter(|v| v.is_finite());
    let (n, sum, square) = values.fold((0.0, 0.0, 0.0), |(n, s, q), v| {
        let v = f64::from(*v);
        (n + 1.0, s + v, q + v * v)
    });
    let mean = if n > 0.0 { sum / n } else { 0.0 };
    let deviation = if n > 0.0 { (square / n - mean * mean).max(0.0).sqrt() } else { 0.0 };
    (place, mean, if deviation > 1e-9 { 1.0 / deviation } else { 0.0 })
}

/// The rows of each task that was tried often enough, those tried most first, of those the newest; of too many the first.
fn tried_tasks(rows: &[(&Example, &FeatureRow)]) -> Vec<Vec<usize>> {
    let mut tasks = BTreeMap::<u64, Vec<usize>>::new();
    rows.iter().enumerate().for_each(|(i, (e, _))| tasks.entry(e.task).or_default().push(i));
    let by_several = |tries: &Vec<usize>| {
        tries.len() >= FEWEST_TRIES
            && tries.iter().map(|i| solver_of(rows[*i].1)).collect::<BTreeSet<_>>().len() > 1
    };
    let mut tried: Vec<_> = tasks.into_iter().filter(|(_, tries)| by_several(tries)).collect();
    // The task's number is a hash: what is left of ties is broken at random, the same everywhere.
    tried.sort_by_cached_key(|(task, tries)| {
        (Reverse(tries.len()), Reverse(tries.iter().map(|i| rows[*i].0.started_at).max()), *task)
    });
    tried.truncate(MOST_OBSERVATIONS);
    tried.into_iter().map(|(_, tries)| tries).collect()
}

/// Levels of solvers and effects of tasks, fitted in turn by least squares.
struct Additive {
    solvers: BTreeMap<(u32, u32), Solver>,
    tasks: BTreeMap<u64, f64>,
    /// Of the residuals.
    variance: f64,
}

impl Additive {
    fn fit(rows: &[(&Example, &FeatureRow)], labels: &[f64]) -> Self {
        let n = labels.len() as f64;
        let mean = labels.iter().sum::<f64>() / n;
        let first = |(agent, model)| Solver { agent, model, level: mean, slope: 1.0, spread: 0.0 };
        let of: Vec<_> = rows.iter().map(|(_, row)| solver_of(row)).collect();
        let mut solvers: BTreeMap<_, _> = of.iter().map(|key| (*key, first(*key))).collect();
        let mut tasks: BTreeMap<u64, f64> = rows.iter().map(|(e, _)| (e.task, 0.0)).collect();
        for round in 0..ROUNDS {
            let mut sums = BTreeMap::<(u32, u32), [f64; 4]>::new();
            for (((example, _), key), label) in rows.iter().zip(&of).zip(labels) {
                let (solver, effect) = (solvers[key], tasks[&example.task]);
                let sum = sums.entry(*key).or_default();
                *sum = [
                    sum[0] + 1.0,
                    sum[1] + label - solver.slope * effect,
                    sum[2] + effect * (label - solver.level),
                    sum[3] + effect * effect,
                ];
            }
            let spread = SLOPE_STRENGTH * tasks.values().map(|a| a * a).sum::<f64>() / tasks.len() as f64;
            for (key, [n, sum, product, square]) in sums {
                let Some(solver) = solvers.get_mut(&key) else { continue };
                solver.level = (sum + LEVEL_STRENGTH * mean) / (n + LEVEL_STRENGTH);
                // Effects must stand before slopes can.
                if round >= ROUNDS / 2 && spread > 1e-12 {
                    solver.slope = ((product + spread) / (square + spread)).clamp(0.2, 5.0);
                }
            }
            let mut sums = BTreeMap::<u64, (f64, f64)>::new();
            for (((example, _), key), label) in rows.iter().zip(&of).zip(labels) {
                let (solver, sum) = (solvers[key], sums.entry(example.task).or_default());
                *sum = (sum.0 + solver.slope * (label - solver.level), sum.1 + solver.slope * solver.slope);
            }
            tasks.iter_mut().for_each(|(task, effect)| *effect = sums[task].0 / sums[task].1);
        }
        let squares = rows.iter().zip(&of).zip(labels).map(|(((example, _), key), label)| {
            (label - solvers[key].level - solvers[key].slope * tasks[&example.task]).powi(2)
        });
        let freedom = (n - tasks.len() as f64 - solvers.len() as f64).max(1.0);
        let variance = (squares.sum::<f64>() / freedom).max(1e-6);
        Self { solvers, tasks, variance }
    }
}

/// Deviations of residuals by solver, shrunk toward that of all.
struct Spreads {
    own: BTreeMap<(u32, u32), f64>,
    all: f64,
}

impl Spreads {
    fn of(&self, solver: (u32, u32)) -> f64 {
        self.own.get(&solver).copied().unwrap_or(self.all)
    }
}

fn spreads(rows: &[(&Example, &FeatureRow)], judged: &[usize], residual: impl Fn(usize) -> f64) -> Spreads {
    let mut sums = BTreeMap::<(u32, u32), (f64, f64)>::new();
    for i in judged {
        let sum = sums.entry(solver_of(rows[*i].1)).or_default();
        *sum = (sum.0 + 1.0, sum.1 + residual(*i).powi(2));
    }
    let (n, square) = sums.values().fold((0.0, 0.0), |(n, s), (m, t)| (n + m, s + t));
    let all = square / f64::max(n, 1.0);
    let own =
        |(n, square): (f64, f64)| ((square + SLOPE_STRENGTH * all) / (n + SLOPE_STRENGTH)).sqrt().max(1e-6);
    Spreads { own: sums.into_iter().map(|(key, sum)| (key, own(sum))).collect(), all: all.sqrt().max(1e-6) }
}

/// The average solver; how solvers differ adds to what is not known of one.
fn unknown_of(solvers: &[Solver], spread: f64) -> Solver {
    let n = solvers.len().max(1) as f64;
    let level = solvers.iter().map(|s| s.level).sum::<f64>() / n;
    let variance = solvers.iter().map(|s| (s.level - level).powi(2)).sum::<f64>() / n;
    let spread = (spread * spread + variance).sqrt();
    Solver { agent: u32::MAX, model: u32::MAX, level, slope: 1.0, spread }
}

/// The values at equally spaced levels.
fn at_levels(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    let at = |step: usize| {
        let at = step as f64 / STEPS as f64 * last as f64;
        let low = at.floor() as usize;
        values[low] + at.fract() * (values[(low + 1).min(last)] - values[low])
    };
    (0..=STEPS).map(at).collect()
}
