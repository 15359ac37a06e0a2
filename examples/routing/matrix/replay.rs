//! Rounds of a replay: each has one task, a player chooses an arm that has a cell, and one of its recorded tries is told.

use super::read::{Matrix, Try};
use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::event::{Completion, EventId, Feedback, GenerationEvent, Known, TaskContext, UserAction};
use devmatrix_ml::routing::{Candidate, Choice, Request, Router, RouterOptions};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Rounds in which a policy may explore; figures rest on the rounds after them.
pub(crate) const WARM_UP: usize = 1_000;

/// Tries of a task at most in a cascade.
const MOST_TRIES: usize = 3;

/// True expectations of a round: means over the recorded tries of the cells.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Round {
    pub(crate) utility: f64,
    pub(crate) success: f64,
    pub(crate) cost_usd: f64,
    /// True if the task was not seen before.
    pub(crate) first_visit: bool,
}

/// Who plays.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Player {
    /// A policy of the crate; with the columns or without.
    Policy { name: String, columns: bool },
    /// A policy that, where a try failed, goes on to another arm, the cheapest per success first.
    Cascade { name: String },
    /// Any arm.
    Random,
    /// The arm that was best so far; it is told the outcomes of all arms.
    FollowTheLeader,
    /// The best arm of each task.
    Oracle,
}

impl Player {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Policy { name, columns: true } => name.clone(),
            Self::Policy { name, columns: false } => format!("{name} without columns"),
            Self::Cascade { .. } => "cascade".into(),
            Self::Random => "random".into(),
            Self::FollowTheLeader => "follow the leader".into(),
            Self::Oracle => "oracle".into(),
        }
    }
}

/// Returns the tasks of the rounds: those that are there from the start for [`WARM_UP`] rounds, then the new ones; each
/// group again in another order when all had their turn. Without new tasks all are there from the start.
pub(crate) fn order(matrix: &Matrix, seed: u64, rounds: usize) -> Vec<usize> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let of = |new: bool| (0..matrix.tasks.len()).filter(|at| matrix.is_new[*at] == new).collect();
    let groups: [Vec<usize>; 2] = [of(false), of(true)];
    let mut left = Vec::new();
    let mut order = Vec::with_capacity(rounds);
    for round in 0..rounds {
        if round == WARM_UP && !groups[1].is_empty() {
            left.clear();
        }
        if left.is_empty() {
            left.clone_from(&groups[usize::from(round >= WARM_UP && !groups[1].is_empty())]);
            left.shuffle(&mut rng);
        }
        order.extend(left.pop());
    }
    order
}

/// A replay of one order of tasks.
pub(crate) struct Replay<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) value: f64,
    pub(crate) seed: u64,
    pub(crate) order: &'a [usize],
}

impl Replay<'_> {
    /// Returns the utility of an arm at a task; `None` where the cell is missing.
    pub(crate) fn utility(&self, task: usize, arm: usize) -> Option<f64> {
        let (success, cost) = self.matrix.expected(task, arm)?;
        Some(self.value * success - cost)
    }

    pub(crate) fn play(&self, player: &Player) -> anyhow::Result<Vec<Round>> {
        match player {
            Player::Policy { name, columns } => self.routed(name, *columns, false),
            Player::Cascade { name } => self.routed(name, true, true),
            Player::Random => Ok(self.with(|task, arms, rng| {
                let at = rng.random_range(0..arms.len());
                self.expected(task, arms[at])
            })),
            Player::Oracle => Ok(self.with(|task, arms, _| {
                let all = arms.iter().map(|arm| self.expected(task, *arm));
                all.max_by(|a, b| a.utility.total_cmp(&b.utility)).unwrap_or_default()
            })),
            Player::FollowTheLeader => {
                let mut seen = vec![(0.0, 0.0); self.matrix.arms.len()];
                Ok(self.with(|task, arms, _| {
                    let mean = |arm: usize| seen[arm].0 / f64::max(seen[arm].1, 1.0);
                    let best = arms.iter().copied().max_by(|a, b| mean(*a).total_cmp(&mean(*b)));
                    for arm in arms {
                        seen[*arm].0 += self.utility(task, *arm).unwrap_or_default();
                        seen[*arm].1 += 1.0;
                    }
                    self.expected(task, best.unwrap_or_default())
                }))
            }
        }
    }

    /// Plays by `choose`, which gets the task, the arms that have a cell and a source of randomness.
    fn with(&self, mut choose: impl FnMut(usize, &[usize], &mut Pcg64Mcg) -> Round) -> Vec<Round> {
        let mut rng = Pcg64Mcg::seed_from_u64(self.seed ^ 0x5eed);
        let mut visits = vec![0; self.matrix.tasks.len()];
        let each = |task: &usize| {
            visits[*task] += 1;
            let round = choose(*task, &self.arms(*task), &mut rng);
            Round { first_visit: visits[*task] == 1, ..round }
        };
        self.order.iter().map(each).collect()
    }

    fn arms(&self, task: usize) -> Vec<usize> {
        let cells = self.matrix.cells[task].iter().enumerate();
        cells.filter(|(_, tries)| !tries.is_empty()).map(|(arm, _)| arm).collect()
    }

    fn expected(&self, task: usize, arm: usize) -> Round {
        let (success, cost_usd) = self.matrix.expected(task, arm).unwrap_or_default();
        Round { utility: self.value * success - cost_usd, success, cost_usd, first_visit: false }
    }

    fn routed(&self, policy: &str, columns: bool, cascade: bool) -> anyhow::Result<Vec<Round>> {
        let mut options = RouterOptions::default();
        options.seed = self.seed;
        options.objective.usd_per_success = self.value;
        let router = Router::new(crate::policy(policy, 1024)?, options)?;
        let now = "2025-09-01T00:00:00Z".parse()?;
        let mut host = Host { replay: self, router, now, rng: Pcg64Mcg::seed_from_u64(self.seed ^ 0x7e11) };
        let mut visits = vec![0; self.matrix.tasks.len()];
        let each = |(round, task): (usize, &usize)| {
            visits[*task] += 1;
            let mut context = self.matrix.tasks[*task].clone();
            if !columns {
                context.columns.clear();
            }
            let arms = self.arms(*task);
            let played = if cascade && round >= WARM_UP {
                host.cascade(*task, &context, arms)?
            } else {
                host.choose(*task, &context, &arms)?.1
            };
            Ok(Round { first_visit: visits[*task] == 1, ..played })
        };
        self.order.iter().enumerate().map(each).collect()
    }
}

/// An orchestrator that asks a router and tells it the recorded outcomes.
struct Host<'a> {
    replay: &'a Replay<'a>,
    router: Router,
    now: DateTime<Utc>,
    rng: Pcg64Mcg,
}

impl Host<'_> {
    fn candidates(&self, arms: &[usize]) -> Vec<Candidate> {
        arms.iter().map(|arm| self.replay.matrix.arms[*arm].clone()).collect()
    }

    /// Does a task as the router chooses; returns whether it succeeded, and what was to be expected.
    fn choose(
        &mut self,
        task: usize,
        context: &TaskContext,
        arms: &[usize],
    ) -> anyhow::Result<(bool, Round)> {
        let candidates = self.candidates(arms);
        let choice = self.router.choose(&Request::new(context, &candidates, self.now))?;
        let at = candidates.iter().position(|c| c.name == choice.decision.chosen).unwrap_or(0);
        let attempt = self.told(task, arms[at], &choice)?;
        Ok((attempt.success, self.replay.expected(task, arms[at])))
    }

    /// Tells the router one of the recorded tries of a cell.
    fn told(&mut self, task: usize, arm: usize, choice: &Choice) -> anyhow::Result<Try> {
        let tries = &self.replay.matrix.cells[task][arm];
        let attempt = tries[self.rng.random_range(0..tries.len())];
        self.now += TimeDelta::minutes(1);
        let mut done = Completion::default();
        if !self.replay.matrix.counts.costs_unknown {
            done.cost_usd = Some(attempt.cost_usd);
        }
        self.router.completed(&choice.task, &done, self.now);
        let id = EventId::new(format!("e{}", self.now.timestamp()))?;
        let mut event = GenerationEvent::new(id, self.now, choice.started());
        event.completion = Some(Known { known_at: self.now, value: done });
        let action = if attempt.success { UserAction::Approve } else { UserAction::Reject };
        event.feedback = vec![Known { known_at: self.now, value: Feedback::new(action) }];
        self.router.feedback(&event);
        Ok(attempt)
    }

    /// Tries arms in the order of their expected cost for a success (Weitzman 1979), as long as one is expected to be
    /// worth its cost. A round sums what its tries cost; it counts as done as often as the recorded tries say.
    fn cascade(&mut self, task: usize, context: &TaskContext, mut arms: Vec<usize>) -> anyhow::Result<Round> {
        let mut round = Round::default();
        for _ in 0..MOST_TRIES {
            let candidates = self.candidates(&arms);
            let request = Request::new(context, &candidates, self.now);
            let known = self.router.choose(&request)?.arms;
            let posteriors = self.router.policy().posteriors(&known);
            let worth = |at: &usize| self.replay.value * posteriors[*at].success > known[*at].cost_usd;
            let usd_per_success = |at: &usize| known[*at].cost_usd / posteriors[*at].success.max(1e-9);
            let worthwhile = (0..arms.len()).filter(worth);
            let next = worthwhile.min_by(|a, b| usd_per_success(a).total_cmp(&usd_per_success(b)));
            let Some(next) = next else { break };
            let only = [candidates[next].clone()];
            let choice = self.router.choose(&Request::new(context, &only, self.now))?;
            let attempt = self.told(task, arms[next], &choice)?;
            round.cost_usd += attempt.cost_usd;
            if attempt.success {
                round.success = 1.0;
                break;
            }
            arms.remove(next);
            if arms.is_empty() {
                break;
            }
        }
        round.utility = self.replay.value * round.success - round.cost_usd;
        Ok(round)
    }
}
