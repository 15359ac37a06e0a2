//! Replays recorded tasks × arms with their true costs as a bandit.

mod read;
mod replay;
mod report;

use anyhow::Context;
pub(crate) use read::NewTasks;
use replay::{Player, Replay, order};
use report::{Report, Run};
use std::path::{Path, PathBuf};

/// What to replay.
pub(crate) struct Options {
    pub(crate) file: PathBuf,
    pub(crate) values: Vec<f64>,
    pub(crate) arms: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) seeds: u64,
    pub(crate) policies: Vec<String>,
    pub(crate) new_tasks: Option<NewTasks>,
    pub(crate) columns: Vec<String>,
    pub(crate) json: Option<PathBuf>,
}

pub(crate) fn replay(options: &Options) -> anyhow::Result<()> {
    let matrix = read::read(&options.file, &options.arms, options.new_tasks.as_ref(), &options.columns)?;
    report::print_counts(&matrix.counts);
    let mut players: Vec<_> =
        options.policies.iter().map(|name| Player::Policy { name: name.clone(), columns: true }).collect();
    if let Some(name) = options.policies.first() {
        if !options.columns.is_empty() {
            players.push(Player::Policy { name: name.clone(), columns: false });
        }
        players.push(Player::Cascade { name: name.clone() });
    }
    players.extend([Player::FollowTheLeader, Player::Random, Player::Oracle]);
    let mut report = Report { matrix: matrix.counts, runs: Vec::new() };
    let orders: Vec<_> =
        (1..=options.seeds).map(|seed| (seed, order(&matrix, seed, options.rounds))).collect();
    for value in &options.values {
        println!("\n${value} per success, {} orders of {} rounds", options.seeds, options.rounds);
        let replays: Vec<_> = orders
            .iter()
            .map(|(seed, order)| Replay { matrix: &matrix, value: *value, seed: *seed, order })
            .collect();
        let oracles = played(&replays, &Player::Oracle)?;
        for player in &players {
            let run = Run::new(player, &replays, &played(&replays, player)?, &oracles);
            run.print();
            report.runs.push(run);
        }
    }
    options.json.as_deref().map_or(Ok(()), |file| write(file, &report))
}

fn played(replays: &[Replay<'_>], player: &Player) -> anyhow::Result<Vec<Vec<replay::Round>>> {
    replays.iter().map(|replay| replay.play(player)).collect()
}

fn write(file: &Path, report: &Report) -> anyhow::Result<()> {
    std::fs::write(file, serde_json::to_string_pretty(report)?)
        .with_context(|| format!("{}: cannot be written", file.display()))
}
