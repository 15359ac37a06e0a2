//! Replays recorded attempts as a bandit: each round has one task, the policy chooses a submission, and the
//! outcome of one of its attempts is the reward.

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::event::{Completion, EventId, Feedback, GenerationEvent, Known, TaskContext, UserAction};
use devmatrix_ml::routing::{Candidate, Plan, Request, Router, RouterOptions};
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Recorded outcomes by task and submission.
struct Outcomes {
    tasks: Vec<TaskContext>,
    submissions: Vec<(String, Plan)>,
    by_pair: BTreeMap<(usize, usize), Vec<bool>>,
}

pub(crate) fn replay(file: &Path, policies: &[String], seeds: u64) -> anyhow::Result<()> {
    let recorded = read(file)?;
    println!("{} tasks, {} submissions", recorded.tasks.len(), recorded.submissions.len());
    let rate = |t: usize, s: usize| recorded.rate(t, s);
    let all = |f: &dyn Fn(usize) -> f64| {
        (0..recorded.tasks.len()).map(f).sum::<f64>() / recorded.tasks.len() as f64
    };
    let count = recorded.submissions.len();
    let constants: Vec<_> = (0..count).map(|s| all(&|t| rate(t, s))).collect();
    println!("random {:.4}", constants.iter().sum::<f64>() / count as f64);
    println!("best constant {:.4}", constants.iter().copied().fold(0.0, f64::max));
    let best = |t: usize| (0..count).map(|s| rate(t, s)).fold(0.0, f64::max);
    println!("oracle by task {:.4}", all(&best));
    for policy in policies {
        for rounds in [400, 1600, 5200] {
            let runs: Vec<Vec<f64>> =
                (1..=seeds).map(|seed| recorded.play(policy, seed, rounds)).collect::<anyhow::Result<_>>()?;
            let n = seeds as f64;
            let of = |part: &dyn Fn(&[f64]) -> f64| {
                let each: Vec<_> = runs.iter().map(|run| part(run)).collect();
                let mean = each.iter().sum::<f64>() / n;
                let variance = each.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
                (mean, 1.96 * (variance / n).sqrt())
            };
            let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
            let (whole, newest) = (of(&mean), of(&|all| mean(&all[all.len() * 4 / 5..])));
            println!(
                "{policy}, {rounds} rounds: {:.4} ± {:.4}; newest fifth {:.4} ± {:.4}",
                whole.0, whole.1, newest.0, newest.1
            );
        }
    }
    Ok(())
}

impl Outcomes {
    fn rate(&self, task: usize, submission: usize) -> f64 {
        let attempts = self.by_pair.get(&(task, submission)).map_or(&[][..], Vec::as_slice);
        attempts.iter().filter(|y| **y).count() as f64 / attempts.len().max(1) as f64
    }

    /// Returns the expected reward of each round: the success rate of the chosen submission on the task.
    fn play(&self, policy: &str, seed: u64, rounds: usize) -> anyhow::Result<Vec<f64>> {
        let mut options = RouterOptions::default();
        (options.seed, options.by_task) = (seed, true);
        options.objective.usd_per_success = 1000.0;
        let mut router = Router::new(super::policy(policy, 2048)?, options)?;
        let candidates: Vec<_> =
            self.submissions.iter().map(|(name, plan)| Candidate::new(name.clone(), plan.clone())).collect();
        let mut order = Vec::new();
        let mut rng = Pcg64Mcg::new(u128::from(seed) << 1 | 1);
        let mut now: DateTime<Utc> = "2025-09-01T00:00:00Z".parse()?;
        let mut rewards = Vec::new();
        for round in 0..rounds {
            if order.is_empty() {
                order = (0..self.tasks.len()).collect();
                order.shuffle(&mut rng);
            }
            let task = order.pop().unwrap_or(0);
            let choice = router.choose(&Request::new(&self.tasks[task], &candidates, now))?;
            let at = candidates.iter().position(|c| c.name == choice.decision.chosen).unwrap_or(0);
            rewards.push(self.rate(task, at));
            let attempts = &self.by_pair[&(task, at)];
            let success = attempts[(round / self.tasks.len() + at) % attempts.len()];
            now += TimeDelta::minutes(1);
            let mut event = GenerationEvent::new(EventId::new(format!("e{round}"))?, now, choice.started());
            event.completion = Some(Known { known_at: now, value: Completion::default() });
            let action = if success { UserAction::Approve } else { UserAction::Reject };
            event.feedback = vec![Known { known_at: now, value: Feedback::new(action) }];
            router.feedback(&event);
        }
        Ok(rewards)
    }
}

fn read(file: &Path) -> anyhow::Result<Outcomes> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file)?).read_to_string(&mut text)?;
    let (mut tasks, mut submissions) = (Vec::<TaskContext>::new(), Vec::<(String, Plan)>::new());
    let mut by_pair: BTreeMap<(usize, usize), Vec<bool>> = BTreeMap::new();
    for line in text.lines() {
        let event = GenerationEvent::from_json(line)?;
        let Some(success) = event.outcome().and_then(|outcome| outcome.success) else { continue };
        let context = event.started.value.context;
        let name = context.session_id.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut plan = Plan::default();
        (plan.llm, plan.agent) = (context.model_used.clone(), context.agent_type.clone());
        let submission = index_of(&mut submissions, |(known, _)| *known == name, || (name.clone(), plan));
        let mut task = TaskContext::new(context.task_id.clone());
        task.task_description.clone_from(&context.task_description);
        let task = index_of(&mut tasks, |known| known.task_id == context.task_id, || task);
        by_pair.entry((task, submission)).or_default().push(success);
    }
    Ok(Outcomes { tasks, submissions, by_pair })
}

fn index_of<T>(all: &mut Vec<T>, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> usize {
    all.iter().position(is).unwrap_or_else(|| {
        all.push(make());
        all.len() - 1
    })
}
