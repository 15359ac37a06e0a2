//! Compares routing policies by true expected success, cost and utility in the simulated world, beside the
//! design's baseline (one good LLM for all tasks), the best constant plan and the oracle.
//!
//! ```sh
//! cargo run --release --example routing -- --seeds 20 --generations 20000
//! cargo run --release --example routing -- --tasks terminal_tasks.jsonl.gz
//! ```

#[path = "../common/out.rs"]
#[macro_use]
mod out;

mod nightly;
mod run;
mod scenarios;
mod summary;
mod tasks;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use devmatrix_ml::routing::{OnlineParams, POLICIES, Policy};
use std::path::PathBuf;

/// Compares routing policies in simulated worlds or on recorded outcomes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Repetitions, each in its own world.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Seed of the first world; the next ones follow.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Generations per repetition.
    #[arg(long, default_value_t = 20_000)]
    generations: usize,
    /// Policies.
    #[arg(long, value_delimiter = ',', default_value = "thompson,linucb,epsilon", value_parser = policy_names())]
    policies: Vec<String>,
    /// Scenarios: success, cost, floor, time, arrival, equal.
    #[arg(long, value_delimiter = ',', default_value = "success,cost,time,arrival,equal")]
    scenarios: Vec<String>,
    /// Replay this gzipped file of recorded attempts instead.
    #[arg(long)]
    tasks: Option<PathBuf>,
}

/// Creates a policy by its name.
fn policy(name: &str, most_weights: usize) -> anyhow::Result<Box<dyn Policy>> {
    let mut online = OnlineParams::default();
    online.most_weights = most_weights;
    let found = POLICIES.iter().find(|(known, _)| *known == name);
    let (_, create) = found.ok_or_else(|| anyhow::anyhow!("there is no policy {name:?}"))?;
    Ok(create(online)?)
}

/// Returns the names that `--policies` takes.
fn policy_names() -> PossibleValuesParser {
    PossibleValuesParser::new(POLICIES.iter().map(|(name, _)| *name))
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
            let timer = std::time::Instant::now();
            let runs: Vec<_> = (arguments.first_seed..arguments.first_seed + arguments.seeds)
                .map(|seed| run::run(&scenario, name, seed, arguments.generations))
                .collect::<anyhow::Result<_>>()?;
            summary::print(name, &scenario, &runs, timer.elapsed());
        }
    }
    Ok(())
}
