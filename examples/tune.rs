//! Hyperparameter search and feature selection on the older part of recorded events, within a budget; the
//! results are scored beside the defaults on the newest part.
//!
//! ```sh
//! cargo run --release --example tune -- EVENTS.jsonl[.gz] [--target success] [--seconds 300]
//! ```

#[path = "common/out.rs"]
#[macro_use]
mod out;

mod common;

use clap::Parser;
use devmatrix_ml::Result;
use devmatrix_ml::dataset::{Dataset, Example, Target};
use devmatrix_ml::event::{GenerationEvent, Record};
use devmatrix_ml::execution::{ExecutionContext, Progress};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::ml::metrics::{PairedComparison, compare_paired};
use devmatrix_ml::models::{Predictor, QualityTrainer, SuccessTrainer, TimeTrainer};
use devmatrix_ml::store::{EventStoreExt, MemoryStore};
use devmatrix_ml::training::{SelectionOptions, Tunable, TuningOptions, replay, select_features, tune};
use futures_executor::block_on;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

/// Searches hyperparameters on older events and scores them on the newest.
#[derive(Parser)]
struct Args {
    /// Events in JSON Lines, optionally gzipped
    events: PathBuf,
    /// Target: success, time or quality
    #[arg(long, default_value = "success")]
    target: Target,
    /// Share of the newest outcomes held out from the search
    #[arg(long, default_value_t = 0.2, allow_hyphen_values = true)]
    newest: f64,
    /// Time limit of the search in seconds
    #[arg(long, allow_hyphen_values = true)]
    seconds: Option<f64>,
    /// Largest number of trials
    #[arg(long, default_value_t = 60)]
    trials: usize,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Trial log, to resume from after an interruption
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Print every trial as JSON
    #[arg(long)]
    trace: bool,
    /// Skip lines that cannot be read
    #[arg(long)]
    skip_bad: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let events = common::read_events(&args.events, args.skip_bad)?.events;
    let data = rows_of(events, args.target)?;
    match args.target {
        Target::Success => search(&SuccessTrainer::default(), &data, args),
        Target::Time => search(&TimeTrainer::default(), &data, args),
        Target::Quality => search(&QualityTrainer::default(), &data, args),
        other => anyhow::bail!("target {other}: expected success, time or quality"),
    }
}

/// Returns the training rows as of the newest event, as a host has them of its own store.
fn rows_of(events: Vec<GenerationEvent>, target: Target) -> anyhow::Result<Dataset> {
    let mut records = Vec::new();
    for event in events {
        records.extend(event.into_records()?);
    }
    let end = records.iter().map(Record::known_at).max().unwrap_or_default();
    let store = MemoryStore::new();
    let rows = async {
        store.append_all(records).await?;
        replay(&store, &FeatureEngineer::default(), target, end, usize::MAX).await
    };
    Ok(block_on(rows)?)
}

fn search<T: Tunable + Clone>(trainer: &T, data: &Dataset, args: &Args) -> anyhow::Result<()> {
    let (older, newest) = data.split_by_time(args.newest)?;
    println!(
        "{} generations to search on, {} newer outcomes to score on",
        older.examples.len(),
        newest.len()
    );
    let mut options = TuningOptions::default();
    (options.trials, options.seconds) = (args.trials, args.seconds);
    options.journal.clone_from(&args.journal);
    let work = ExecutionContext::new().with_threads(args.threads)?.with_progress(progress_lines());
    let (found, study) = work.run(|| tune(trainer.clone(), &older, &options))?;
    if args.trace {
        let study = serde_json::to_value(&study)?;
        study["trials"].as_array().into_iter().flatten().for_each(|trial| println!("{trial}"));
    }
    println!("search: {study}");
    let (selected, selection) =
        work.run(|| select_features(trainer.clone(), &older, &SelectionOptions::default()))?;
    println!("selection: {selection}");
    println!("on the newest outcomes:");
    let losses = |trainer: &T| losses(trainer, &older, &newest);
    let defaults = losses(trainer)?;
    compare("defaults", &defaults, &defaults, &newest)?;
    if study.taken {
        compare("found by the search", &losses(&found)?, &defaults, &newest)?;
    } else {
        println!("  the search keeps the defaults");
    }
    if selection.dropped.is_empty() {
        println!("  the selection keeps all features");
    } else {
        compare("with fewer features", &losses(&selected)?, &defaults, &newest)?;
    }
    Ok(())
}

/// Returns a listener that prints a line for every stage of the search, on standard error, whether or not that is a
/// terminal.
fn progress_lines() -> impl Fn(&Progress) + Send + Sync + 'static {
    let last = Mutex::new(String::new());
    move |progress| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != progress.stage {
            last.clone_from(&progress.stage);
            let left =
                progress.remaining.map_or(String::new(), |left| format!(", {} s left", left.as_secs()));
            eprintln!("{}: {:.0} %{left}", progress.stage, progress.fraction * 100.0);
        }
    }
}

fn losses<T: Tunable>(trainer: &T, older: &Dataset, newest: &[Example]) -> Result<Vec<f64>> {
    let model = trainer.fit(older)?;
    Ok(newest.iter().map(|e| trainer.loss(model.point(&e.features), e.label)).collect())
}

fn compare(name: &str, own: &[f64], defaults: &[f64], rows: &[Example]) -> Result<()> {
    let clusters: Vec<_> = rows.iter().map(|e| e.task).collect();
    let PairedComparison { difference, lower, upper, .. } =
        compare_paired(own, defaults, &clusters, 0.95, 42)?;
    println!(
        "  {name:<24} loss {:.4}, difference to the defaults {:+.4} ({:+.4} to {:+.4})",
        own.iter().sum::<f64>() / own.len() as f64,
        difference,
        lower,
        upper
    );
    Ok(())
}
