//! Imports history that stands elsewhere into one file of events or a store: pull requests, traces, spend logs, agents'
//! trajectories, tables. The same files again change nothing; one that was interrupted goes on.
//!
//! ```sh
//! cargo run --release --example import -- github pulls.json --into events.jsonl.gz
//! cargo run --release --example import -- --format jsonl --explain events.jsonl
//! ```

#[path = "../common/out.rs"]
#[macro_use]
mod out;

#[path = "../common/mod.rs"]
mod common;
mod explain;
mod input;
mod output;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Parser;
use devmatrix_ml::config;
use devmatrix_ml::import::{Format, ImportOptions, ImportReport, import};
use devmatrix_ml::store::{EventStore, SqliteStore};
use futures_executor::block_on;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Imports files of one format.
#[derive(Parser)]
struct Args {
    /// Format (unless --format says it), then files; - is standard input
    #[arg(value_name = "FORMAT FILES")]
    words: Vec<String>,
    /// Format: jsonl, github, csv, matrix, litellm, langfuse, otlp, trajectories, mlflow, tensorzero
    #[arg(long)]
    format: Option<Format>,
    /// Write or extend this file of events (.jsonl, .jsonl.gz, .jsonl.zst)
    #[arg(long, conflicts_with = "store")]
    into: Option<PathBuf>,
    /// Write into this store (SQLite)
    #[arg(long)]
    store: Option<PathBuf>,
    /// Field by field: what is understood in this file, what goes to metadata, what is missing and what it would bring
    #[arg(long, conflicts_with_all = ["store", "into"])]
    explain: Option<PathBuf>,
    /// Take personal data and secrets out of texts, replace persons' names by digests
    #[arg(long)]
    redact: bool,
    /// JSON object: field of an event to column, or to =CONSTANT
    #[arg(long)]
    mapping: Option<PathBuf>,
    /// JSON object: agent to the marks of its pull requests (`{"bot": ["author:my-bot", "branch:bot/"]}`)
    #[arg(long)]
    agents: Option<PathBuf>,
    /// Import pull requests too whose agent is not recognized
    #[arg(long)]
    all_authors: bool,
    /// Name of a score or feedback that is a verdict; may be given several times
    #[arg(long)]
    verdict: Vec<String>,
    /// When events of files without times started (2025-06-04T00:00:00Z)
    #[arg(long)]
    started_at: Option<DateTime<Utc>>,
    /// Write the report as JSON to this file (- for standard output, without the text)
    #[arg(long)]
    json: Option<PathBuf>,
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
    let (format, files) = words(args)?;
    if let Some(file) = &args.explain {
        if format != Format::Jsonl {
            bail!(
                "--explain reads the flat form: --format jsonl; import {format} first, then explain the result"
            );
        }
        return explain::explain(file);
    }
    if files.is_empty() {
        bail!("no file: import FORMAT FILES --into events.jsonl.gz");
    }
    for file in files.iter().filter(|file| *file != "-") {
        std::fs::File::open(file).with_context(|| format!("{file}: cannot be opened"))?;
    }
    let options = options(args)?;
    let report = match (&args.into, &args.store) {
        (Some(path), _) => output::into_file(path, |store| all(store, format, &files, &options))?,
        (None, Some(path)) => all(&SqliteStore::open(path)?, format, &files, &options)?,
        (None, None) => bail!("where to? --into events.jsonl.gz or --store events.db"),
    };
    tell(args, &report)
}

/// Returns format and files.
fn words(args: &Args) -> anyhow::Result<(Format, Vec<String>)> {
    let mut words = args.words.clone();
    let format = match args.format {
        Some(format) => format,
        None if words.is_empty() => bail!("no format: import FORMAT FILES --into events.jsonl.gz"),
        None => words.remove(0).parse()?,
    };
    Ok((format, words))
}

fn options(args: &Args) -> anyhow::Result<ImportOptions> {
    let mut options = ImportOptions::default();
    options.redact = args.redact;
    options.all_authors = args.all_authors;
    options.verdicts.clone_from(&args.verdict);
    options.started_at = args.started_at;
    if let Some(path) = &args.mapping {
        options.mapping = object(path)?;
    }
    if let Some(path) = &args.agents {
        options.agents = object(path)?;
    }
    Ok(options)
}

fn object<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    config::from_json(text.trim_start_matches('\u{FEFF}')).with_context(|| path.display().to_string())
}

fn all(
    store: &dyn EventStore,
    format: Format,
    files: &[String],
    options: &ImportOptions,
) -> anyhow::Result<ImportReport> {
    let inputs = files.iter().map(|file| (file.clone(), input::Input::new(file)));
    Ok(block_on(import(store, format, inputs, options))?)
}

fn tell(args: &Args, report: &ImportReport) -> anyhow::Result<()> {
    if args.json.as_deref() != Some(Path::new("-")) {
        println!("{}", report.to_string().trim_end());
    }
    let Some(path) = &args.json else { return Ok(()) };
    let json = serde_json::to_string_pretty(report)?;
    if path.as_os_str() == "-" {
        println!("{json}");
        return Ok(());
    }
    std::fs::write(path, json).with_context(|| format!("{}: cannot be written", path.display()))
}
