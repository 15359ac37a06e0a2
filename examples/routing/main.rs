//! What routing is worth, in true expected success and cost: policies act in the simulated world beside
//! the design's baseline (one good LLM for all), the best constant plan and the oracle.
//!
//! ```sh
//! cargo run --release --example routing -- --seeds 20 --generations 20000
//! cargo run --release --example routing -- --tasks terminal_tasks.jsonl.gz
//! ```

mod nightly;
mod run;
mod scenarios;
mod summary;
mod tasks;

use clap::Parser;
use devmatrix_ml::routing::{Boosted, EpsilonGreedy, LinUcb, OnlineParams, Policy, Thompson, ThompsonParams};
use std::path::PathBuf;

/// What is asked for.
#[derive(Debug, Parser)]
struct Arguments {
    /// Repetitions, each in a world of its own.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// The first world's seed; the others have those that follow.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Generations in each.
    #[arg(long, default_value_t = 20_000)]
    generations: usize,
    /// Policies: thompson, linucb, epsilon, boosted.
    #[arg(long, value_delimiter = ',', default_value = "thompson,linucb,epsilon")]
    policies: Vec<String>,
    /// What to measure: success, cost, time, arrival, equal.
    #[arg(long, value_delimiter = ',', default_value = "success,cost,time,arrival,equal")]
    scenarios: Vec<String>,
    /// Replays this file of tasks, submissions and tries instead.
    #[arg(long)]
    tasks: Option<PathBuf>,
}

/// A policy by its name.
fn policy(name: &str, most_weights: usize) -> anyhow::Result<Box<dyn Policy>> {
    let mut online = OnlineParams::default();
    online.most_weights = most_weights;
    Ok(match name {
        "thompson" => {
            let mut params = ThompsonParams::default();
            params.online = online;
            Box::new(Thompson::new(params)?)
        }
        "linucb" => {
            let mut params = devmatrix_ml::routing::UcbParams::default();
            params.online = online;
            Box::new(LinUcb::new(params)?)
        }
        "epsilon" => {
            let mut params = devmatrix_ml::routing::EpsilonParams::default();
            params.online = online;
            Box::new(EpsilonGreedy::new(params)?)
        }
        "boosted" => {
            let mut params = ThompsonParams::default();
            params.online = online;
            Box::new(Boosted::new(params)?)
        }
        other => anyhow::bail!("there is no policy {other:?}"),
    })
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(file) = &arguments.tasks {
        return tasks::replay(file, &arguments.policies, arguments.seeds);
    }
    for scenario in &arguments.scenarios {
        let scenario = scenarios::named(scenario, arguments.generations)?;
        println!("\n{}", scenario.title);
        for name in &arguments.policies {
            let begun = std::time::Instant::now();
            let runs: Vec<_> = (arguments.first_seed..arguments.first_seed + arguments.seeds)
                .map(|seed| run::run(&scenario, name, seed, arguments.generations))
                .collect::<anyhow::Result<_>>()?;
            summary::print(name, &scenario, &runs, begun.elapsed());
        }
    }
    Ok(())
}
