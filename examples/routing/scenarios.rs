//! Scenarios: worlds, objectives and candidates.

use devmatrix_ml::routing::{Candidate, Goal, Objective, Plan};
use devmatrix_ml::simulate::SimulatorOptions;

/// A world, its objective and its candidates.
pub(crate) struct Scenario {
    pub(crate) title: &'static str,
    pub(crate) objective: Objective,
    /// Index of the design's baseline among the candidates.
    pub(crate) baseline: usize,
    /// Generation at which the last LLM becomes available; `None` where all are from the start.
    pub(crate) arrives: Option<usize>,
    /// Generation from which the baseline's LLM is degraded.
    pub(crate) degrades: Option<usize>,
    /// Whether all candidates succeed equally often, each costing more than the one before.
    pub(crate) equal: bool,
}

/// Generations a day.
pub(crate) const PER_DAY: f64 = 400.0;

const LLMS: [(&str, f64); 4] =
    [("claude-sonnet-4.5", 0.009), ("deepseek-v3", 0.001), ("gpt-4.1-mini", 0.002), ("claude-opus-5", 0.020)];
const AGENTS: [&str; 5] = ["generalist", "implementation", "frontend", "testing", "devops"];

/// Returns a scenario by its name.
pub(crate) fn named(name: &str, generations: usize) -> anyhow::Result<Scenario> {
    let plain = Scenario {
        title: "success: one dollar per success, minus the LLM's cost",
        objective: Objective::default(),
        baseline: 0,
        arrives: None,
        degrades: None,
        equal: false,
    };
    let with = |change: fn(&mut Objective)| {
        let mut objective = Objective::default();
        change(&mut objective);
        objective
    };
    Ok(match name {
        "success" => plain,
        "cost" => Scenario {
            title: "cost: eight cents per success, minus the LLM's cost",
            objective: with(|o| o.usd_per_success = 0.08),
            ..plain
        },
        "floor" => Scenario {
            title: "floor: the cheapest candidate whose success probability is at least the baseline's",
            objective: with(|o| (o.goal, o.min_success) = (Goal::Cheapest, Some(0.72))),
            ..plain
        },
        "time" => Scenario {
            title: "time: an hour of generation costs twenty dollars",
            objective: with(|o| o.usd_per_hour = 20.0),
            ..plain
        },
        "arrival" => Scenario {
            title: "arrival: a new LLM becomes available, the baseline's LLM degrades",
            arrives: Some(generations * 2 / 5),
            degrades: Some(generations * 7 / 10),
            ..plain
        },
        "equal" => Scenario {
            title: "equal: all candidates succeed equally often, at different prices",
            equal: true,
            ..plain
        },
        other => anyhow::bail!("there is no scenario {other:?}"),
    })
}

impl Scenario {
    /// Returns every LLM with every agent; without the LLM that is not yet available.
    pub(crate) fn candidates(&self, generation: usize) -> Vec<Candidate> {
        if self.equal {
            let like = |n: u32| Candidate::by_llm(format!("llm{n}")).with_price(0.004 * f64::from(n + 1));
            return (0..6).map(like).collect();
        }
        let arrived = self.arrives.is_none_or(|at| generation >= at);
        let there = if arrived { LLMS.len() } else { LLMS.len() - 1 };
        LLMS[..there]
            .iter()
            .flat_map(|(llm, price)| {
                AGENTS.iter().map(move |agent| {
                    let mut plan = Plan::by_llm(*llm);
                    (plan.agent, plan.temperature) = (Some((*agent).into()), Some(0.1));
                    Candidate::new(format!("{llm} with {agent}"), plan).with_price(*price)
                })
            })
            .collect()
    }

    pub(crate) fn world(seed: u64, generations: usize) -> SimulatorOptions {
        let mut options = SimulatorOptions::default();
        (options.seed, options.per_day) = (seed, PER_DAY);
        options.days = (generations as f64 / PER_DAY * 1.15) as u32 + 8;
        (options.retry_share, options.drift_day, options.new_model_day) = (0.0, None, None);
        options.llm_fit = 3.0;
        options.degraded_llm_day = None;
        options
    }
}
