//! Compares routing policies by true expected success, cost and utility in the simulated world or on recorded tasks × arms,
//! beside the design's baseline (one good LLM for all tasks), the best constant plan and the oracle.
//!
//! ```sh
//! cargo run --release --example routing -- --seeds 20 --generations 20000
//! cargo run --release --example routing -- --matrix EVENTS.jsonl.gz --value 1,5 --new-tasks metadata.half=holdout
//! ```

#[path = "../common/out.rs"]
#[macro_use]
mod out;

#[path = "../common/columns.rs"]
mod columns;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/fields.rs"]
mod fields;

mod matrix;
mod nightly;
mod run;
mod scenarios;
mod summary;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use devmatrix_ml::routing::{OnlineParams, POLICIES, Policy};
use std::path::PathBuf;

/// Compares routing policies in simulated worlds or on recorded outcomes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Repetitions, each in its own world or order of tasks.
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
    /// Replays these events (JSON Lines, optionally gzipped) of tasks × arms instead.
    #[arg(long, alias = "tasks")]
    matrix: Option<PathBuf>,
    /// US dollars that a success is worth; several are replayed one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1", requires = "matrix", value_parser = positive)]
    value: Vec<f64>,
    /// Fields of an event that together name its arm.
    #[arg(long, value_delimiter = ',', default_value = "model_used", requires = "matrix")]
    arms: Vec<String>,
    /// Rounds of a replay; figures rest on those after the first 1,000.
    #[arg(long, default_value_t = 2_000, requires = "matrix", value_parser = rounds)]
    rounds: usize,
    /// Tasks that arrive after the first 1,000 rounds, in which the others do: FIELD=VALUE or group:FIELD:SHARE.
    #[arg(long, requires = "matrix")]
    new_tasks: Option<matrix::NewTasks>,
    /// Fields that become columns of the task; an object gives one for each key.
    #[arg(long, value_delimiter = ',', requires = "matrix")]
    columns: Vec<String>,
    /// Writes the figures of the replay to this file.
    #[arg(long, requires = "matrix")]
    json: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (f64::MIN_POSITIVE..=1e9).contains(value));
    value.ok_or_else(|| "expected dollars above 0, at most 1e9".into())
}

fn rounds(text: &str) -> Result<usize, String> {
    let value = text.parse().ok().filter(|value| (1..=1_000_000).contains(value));
    value.ok_or_else(|| "expected 1 to 1000000 rounds".into())
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
    if let Some(file) = arguments.matrix {
        return matrix::replay(&matrix::Options {
            file,
            values: arguments.value,
            arms: arguments.arms,
            rounds: arguments.rounds,
            seeds: arguments.seeds,
            policies: arguments.policies,
            new_tasks: arguments.new_tasks,
            columns: arguments.columns,
            json: arguments.json,
        });
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
