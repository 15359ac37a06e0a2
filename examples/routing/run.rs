//! Runs one policy in one simulated world.

use super::nightly::Nightly;
use super::scenarios::Scenario;
use chrono::{DateTime, Utc};
use devmatrix_ml::event::{ShownPrediction, TaskContext};
use devmatrix_ml::routing::{Candidate, Request, Router, RouterOptions};
use devmatrix_ml::simulate::{Expected, Generation, Simulator};
use std::collections::BTreeMap;

/// True expectations of each generation, by policy.
#[derive(Debug, Default, Clone)]
pub(crate) struct Run {
    /// Those of the chosen candidate.
    pub(crate) policy: Vec<Truth>,
    /// Those of the design's baseline.
    pub(crate) baseline: Vec<Truth>,
    /// Those of the candidate with the highest utility.
    pub(crate) oracle: Vec<Truth>,
    /// Those of each constant plan; shorter for plans of an LLM that arrives later.
    pub(crate) constants: Vec<Vec<Truth>>,
}

/// True expected utility of a generation, and its parts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Truth {
    pub(crate) utility: f64,
    pub(crate) success: f64,
    pub(crate) cost_usd: f64,
    pub(crate) seconds: f64,
}

/// An observation of a generation.
struct Observation {
    /// True for its end, false for its feedback.
    ended: bool,
    generation: Generation,
    predictions: Vec<ShownPrediction>,
}

/// Observations in flight, by time and number of the generation.
type Pending = BTreeMap<(DateTime<Utc>, usize), Observation>;

pub(crate) fn run(scenario: &Scenario, policy: &str, seed: u64, generations: usize) -> anyhow::Result<Run> {
    let mut options = RouterOptions::default();
    (options.objective, options.seed) = (scenario.objective.clone(), seed);
    let mut router = Router::new(super::policy(policy, 1024)?, options)?;
    let mut nightly = if policy == "boosted" { Some(Nightly::new()?) } else { None };
    let mut run = Run::default();
    let mut pending = Pending::new();
    let mut world = Simulator::new(Scenario::world(seed, generations))?;
    let mut degraded = false;
    for number in 0..generations {
        let Some(generation) = world.next() else { break };
        let now = generation.context.started_at.unwrap_or_default();
        if !degraded && scenario.degrades == Some(number) {
            degraded = true;
            world = degrade(seed, generations, now, number)?;
        }
        while let Some(due) = pending.first_entry().filter(|due| due.key().0 <= now) {
            let ((at, _), observation) = due.remove_entry();
            observe(&mut router, nightly.as_mut(), observation, at)?;
        }
        let task = unassigned(&generation);
        let candidates = scenario.candidates(number);
        let request = Request::new(&task, &candidates, now);
        let choice = match &mut nightly {
            Some(nightly) => {
                nightly.train_if_due(now)?;
                router.choose_predicted(&nightly.service, &request)?
            }
            None => router.choose(&request)?,
        };
        let truths: Vec<_> = candidates
            .iter()
            .enumerate()
            .map(|(at, c)| truth(scenario, &world, &generation, &c.plan.apply(&task), at))
            .collect();
        run.add(&candidates, &truths, &choice.decision.chosen, scenario);
        let mut acted = world.act(&generation, choice.task.clone(), choice.decision.clone());
        if scenario.equal {
            let at = candidates.iter().position(|c| c.name == choice.decision.chosen).unwrap_or(0);
            acted.completion.cost_usd = acted.completion.cost_usd.map(|_| truths[at].cost_usd);
        }
        if let Some(nightly) = &mut nightly {
            nightly.started(&acted, &choice)?;
        }
        let ended = acted.completion.completed_at.unwrap_or(now);
        if let Some((at, _)) = acted.feedback {
            let (generation, predictions) = (acted.clone(), choice.predictions.clone());
            pending.insert((at, number), Observation { ended: false, generation, predictions });
        }
        let predictions = choice.predictions;
        pending.insert((ended, number), Observation { ended: true, generation: acted, predictions });
    }
    Ok(run)
}

/// Creates the world again from here on, with the baseline's LLM degraded from today.
fn degrade(seed: u64, generations: usize, now: DateTime<Utc>, number: usize) -> anyhow::Result<Simulator> {
    let mut options = Scenario::world(seed, generations);
    options.degraded_llm_day = Some((now - options.start).num_days() as u32);
    let mut world = Simulator::new(options)?;
    // The random draws do not depend on it.
    for _ in 0..=number {
        world.next();
    }
    Ok(world)
}

/// Returns the task as the router receives it, without LLM and agent.
fn unassigned(generation: &Generation) -> TaskContext {
    let mut task = generation.context.clone();
    (task.model_used, task.agent_type) = (None, None);
    task
}

fn truth(
    scenario: &Scenario,
    world: &Simulator,
    generation: &Generation,
    task: &TaskContext,
    at: usize,
) -> Truth {
    let expected: Expected = world.expected(generation, task);
    let cost_usd = if scenario.equal { 0.004 * (at + 1) as f64 } else { expected.cost_usd };
    Truth {
        utility: scenario.objective.utility(expected.success, cost_usd, expected.seconds),
        success: expected.success,
        cost_usd,
        seconds: expected.seconds,
    }
}

fn observe(
    router: &mut Router,
    nightly: Option<&mut Nightly>,
    observation: Observation,
    at: DateTime<Utc>,
) -> anyhow::Result<()> {
    let Observation { ended, generation, predictions } = observation;
    if let Some(nightly) = nightly {
        nightly.known(&generation, ended)?;
    }
    if ended {
        router.completed(&generation.context, &generation.completion, at);
    } else {
        let mut event = generation.into_event();
        event.started.value.predictions = predictions;
        router.feedback(&event);
    }
    Ok(())
}

impl Run {
    fn add(&mut self, candidates: &[Candidate], truths: &[Truth], chosen: &str, scenario: &Scenario) {
        if self.constants.is_empty() {
            self.constants = vec![Vec::new(); truths.len()];
        }
        for (constant, truth) in self.constants.iter_mut().zip(truths) {
            constant.push(*truth);
        }
        let at = candidates.iter().position(|c| c.name == chosen).unwrap_or(0);
        self.policy.push(truths[at]);
        self.baseline.push(truths[scenario.baseline]);
        let best = truths.iter().copied().max_by(|a, b| a.utility.total_cmp(&b.utility));
        self.oracle.push(best.unwrap_or_default());
    }
}
