//! Backtest on recorded events: trains on one part and predicts the rest, each generation from what was known
//! at its start.
//!
//! ```sh
//! cargo run --release --example backtest -- EVENTS.jsonl[.gz] [--split time:0.8] [--json OUT]
//! ```

#[path = "common/out.rs"]
#[macro_use]
mod out;

#[path = "common/columns.rs"]
mod columns;
mod common;
#[path = "common/fields.rs"]
mod fields;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use devmatrix_ml::dataset::Target;
use devmatrix_ml::event::GenerationEvent;
use devmatrix_ml::training::{BacktestOptions, BacktestReport, BacktestSplit, backtest};
use fields::field_of;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Trains on one part of the events and predicts the rest.
#[derive(Parser)]
struct Args {
    /// Events in JSON Lines, optionally gzipped
    events: PathBuf,
    /// Target to predict
    #[arg(long, default_value = "success")]
    target: Target,
    /// time:SHARE, group:FIELD:SHARE or field:PATH=VALUE
    #[arg(long, default_value = "time:0.8")]
    split: BacktestSplit,
    /// Label delay after which a generation without approval counts as a failure (14d, 36h)
    #[arg(long, value_parser = duration)]
    deadline: Option<TimeDelta>,
    /// End of the recorded period (2025-06-04T00:00:00Z)
    #[arg(long, value_parser = moment)]
    as_of: Option<DateTime<Utc>>,
    /// Retrain never, daily (at each 02:00 UTC, for a split by time), or after so many predicted rows, whose outcomes
    /// are learned then (rows:100, for the other splits)
    #[arg(long, value_parser = retrain, default_value = "never")]
    retrain: Retrain,
    /// One backtest for each value of this field
    #[arg(long)]
    by: Option<String>,
    /// Field with the host's own complexity label (`metadata.story_points`)
    #[arg(long)]
    label: Option<String>,
    /// The scale of --label, LO..HI; by default from 0 to the largest
    #[arg(long, value_parser = range, requires = "label", allow_hyphen_values = true)]
    range: Option<(f64, f64)>,
    /// Field with columns of the host's own that were known before the start: an object (`metadata.ratings`) or one
    /// value; may be given several times
    #[arg(long)]
    columns: Vec<String>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Permute the outcomes first: no skill may remain
    #[arg(long)]
    shuffle: bool,
    /// Skip lines that cannot be read
    #[arg(long)]
    skip_bad: bool,
    /// Write the report as JSON to this file (- for standard output, without the table)
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq)]
enum Retrain {
    Never,
    Daily,
    Rows(usize),
}

fn retrain(text: &str) -> Result<Retrain, String> {
    let rows = |text: &str| text.strip_prefix("rows:").unwrap_or(text).parse().ok().filter(|rows| *rows > 0);
    match text {
        "never" => Ok(Retrain::Never),
        "daily" => Ok(Retrain::Daily),
        _ => rows(text)
            .map(Retrain::Rows)
            .ok_or_else(|| "expected never, daily or rows:N, N at least 1".to_owned()),
    }
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
    if let Some(path) = args.json.as_deref().filter(|_| args.table()) {
        // An unwritable path is reported before the work.
        OpenOptions::new().append(true).create(true).open(path).with_context(|| cannot_write(path))?;
    }
    let read = common::read_events(&args.events, args.skip_bad)?;
    for (line, error) in &read.bad {
        eprintln!("line {line} skipped: {error:#}");
    }
    let mut events = read.events;
    let mut unit = 1.0;
    if let Some(path) = &args.label {
        unit = label_complexity(&mut events, path, args.range)?;
    }
    let mut options = options(args);
    if !args.columns.is_empty() {
        options.features.columns = columns::declare(&mut events, &args.columns)?;
    }
    let report = if let Some(field) = &args.by {
        by_value(events, field, &options, unit, args.table())?
    } else {
        let mut report = backtest(events, &options)?;
        rescale(&mut report, unit);
        if args.table() {
            print_table(&report);
        }
        serde_json::to_value(report)?
    };
    write_json(args, &report)
}

impl Args {
    /// Returns whether the table goes to standard output.
    fn table(&self) -> bool {
        self.json.as_deref() != Some(Path::new("-"))
    }
}

fn options(args: &Args) -> BacktestOptions {
    let mut options = BacktestOptions::default();
    options.target = args.target;
    options.split = args.split.clone();
    options.deadline = args.deadline;
    options.as_of = args.as_of;
    options.retrain_daily = args.retrain == Retrain::Daily;
    options.retrain_rows = match args.retrain {
        Retrain::Rows(rows) => Some(rows),
        Retrain::Never | Retrain::Daily => None,
    };
    options.shuffle = args.shuffle;
    options.seed = args.seed;
    options
}

/// Runs one backtest per value; values with too few events are reported and left out.
fn by_value(
    events: Vec<GenerationEvent>,
    field: &str,
    options: &BacktestOptions,
    unit: f64,
    table: bool,
) -> anyhow::Result<Value> {
    if !has_field(&events, field)? {
        bail!("no event has a field {field}");
    }
    let mut groups = BTreeMap::<String, Vec<GenerationEvent>>::new();
    for event in events {
        let value = field_of(&event, field)?.map_or_else(|| "null".to_owned(), |v| text(&v));
        groups.entry(value).or_default().push(event);
    }
    let mut reports = BTreeMap::new();
    for (value, events) in groups {
        match backtest(events, options) {
            Ok(mut report) => {
                rescale(&mut report, unit);
                if table {
                    println!("\n{field} = {value}");
                    print_table(&report);
                }
                reports.insert(value, report);
            }
            Err(error) => eprintln!("{field} = {value} is left out: {error:#}"),
        }
    }
    if reports.is_empty() {
        bail!("no value of {field} has enough events");
    }
    let all: Vec<_> = reports.values().cloned().collect();
    let mean = mean_scores(&all);
    if table {
        println!("\nmean of {} values of {field}: {}", all.len(), line_of(&mean));
    }
    let sum = |f: fn(&BacktestReport) -> usize| all.iter().map(f).sum::<usize>();
    Ok(json!({
        "target": options.target.name(), "split": options.split.to_string(), "by": field,
        "n_events": sum(|r| r.n_events), "n_train": sum(|r| r.n_train), "n_test": sum(|r| r.n_test),
        "groups": reports, "mean": mean,
    }))
}

/// Returns the scores averaged over the reports that have them.
fn mean_scores(reports: &[BacktestReport]) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::<String, (f64, f64)>::new();
    for (name, value) in reports.iter().flat_map(|report| report.metrics.clone()) {
        let sum = sums.entry(name).or_default();
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    sums.into_iter().map(|(name, (sum, n))| (name, sum / n)).collect()
}

/// Scales the host's complexity labels to 0..10; returns one point of it in the host's unit.
fn label_complexity(
    events: &mut [GenerationEvent],
    path: &str,
    range: Option<(f64, f64)>,
) -> anyhow::Result<f64> {
    if !has_field(events, path)? {
        bail!("no event has a field {path}");
    }
    let (low, high) = match range {
        Some(range) => range,
        None => (0.0, largest(events, path)?),
    };
    for event in events.iter_mut() {
        if let Some(value) = field_of(event, path)? {
            let value = value
                .as_f64()
                .with_context(|| format!("{}: {path} is {value}, not a number", event.event_id))?;
            let scaled = (value.clamp(low, high) - low) / (high - low) * 10.0;
            event.started.value.complexity_label = Some(scaled);
        }
    }
    Ok((high - low) / 10.0)
}

/// Converts errors and widths to the unit of the host's label.
fn rescale(report: &mut BacktestReport, unit: f64) {
    let by_task = report.by_task.values_mut().flat_map(BTreeMap::values_mut);
    let all = std::iter::once(&mut report.metrics).chain(report.baselines.values_mut()).chain(by_task);
    for (name, value) in all.flatten() {
        if matches!(name.as_str(), "mae" | "rmse" | "median_ae" | "bias") || name.starts_with("width_") {
            *value *= unit;
        }
    }
}

/// Returns the largest value of the field, above 0.
fn largest(events: &[GenerationEvent], path: &str) -> anyhow::Result<f64> {
    let mut largest = f64::MIN_POSITIVE;
    for event in events {
        largest = largest.max(field_of(event, path)?.and_then(|v| v.as_f64()).unwrap_or(0.0));
    }
    Ok(largest)
}

fn has_field(events: &[GenerationEvent], path: &str) -> anyhow::Result<bool> {
    for event in events {
        if field_of(event, path)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn print_table(report: &BacktestReport) {
    let cut = report.cut.map(|cut| format!(", cut at {}", cut.format("%Y-%m-%d %H:%M"))).unwrap_or_default();
    println!(
        "{} events: trained on {}, predicted {} ({}{cut})",
        report.n_events, report.n_train, report.n_test, report.split
    );
    let columns = match report.target.as_str() {
        "success" => SUCCESS_COLUMNS,
        _ => NUMBER_COLUMNS,
    };
    report.remarks.iter().for_each(|(remark, n)| println!("{n} {remark}"));
    let head: String = columns.iter().map(|name| format!("{name:>13}")).collect();
    println!("{:<22}{head}", "");
    print_row("model", columns, &report.metrics);
    for (name, scores) in &report.baselines {
        print_row(name, columns, scores);
    }
    for (kind, scores) in &report.by_task {
        scores.iter().for_each(|(name, scores)| print_row(&format!("{kind} {name}"), columns, scores));
    }
    let promoted = report.models.iter().filter(|m| m.promoted).count();
    println!("models: {} trained, {promoted} promoted; the first:", report.models.len());
    for reason in report.models.first().map(|m| m.reasons.as_slice()).unwrap_or_default() {
        println!("  {reason}");
    }
    let timing = &report.timing;
    println!(
        "prediction status {:?}; features {:.1} us an event, training {:.2} s, one prediction {:.0} us (p99 {:.0})",
        report.status_counts,
        timing["features_us_per_event"],
        timing["fit_s"],
        timing["predict_us_p50"],
        timing["predict_us_p99"]
    );
}

const SUCCESS_COLUMNS: &[&str] = &["auc", "logloss", "brier", "ece", "accuracy", "f1"];
const NUMBER_COLUMNS: &[&str] =
    &["mae", "median_ae", "bias", "coverage_80", "width_80", "coverage_90", "width_90"];

fn print_row(name: &str, columns: &[&str], scores: &BTreeMap<String, f64>) {
    let cell = |column: &&str| scores.get(*column).map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
    let cells: String = columns.iter().map(|column| format!("{:>13}", cell(column))).collect();
    println!("{name:<22}{cells}");
}

fn line_of(scores: &BTreeMap<String, f64>) -> String {
    scores.iter().map(|(name, value)| format!("{name} {value:.3}")).collect::<Vec<_>>().join(", ")
}

fn write_json(args: &Args, report: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    match &args.json {
        None => Ok(()),
        Some(path) if path.as_os_str() == "-" => {
            println!("{text}");
            Ok(())
        }
        Some(path) => std::fs::write(path, text).with_context(|| cannot_write(path)),
    }
}

fn cannot_write(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}

/// Parses `2025-06-04T00:00:00Z`.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse().map_err(|_| format!("{text:?}: expected a time like 2025-06-04T00:00:00Z"))
}

/// Parses `14d`, `36h`, `90m`.
fn duration(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("{text:?}: expected a number and d, h or m, like 14d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let duration = match unit {
        'd' => TimeDelta::try_days(number),
        'h' => TimeDelta::try_hours(number),
        'm' => TimeDelta::try_minutes(number),
        _ => None,
    };
    duration.filter(|d| *d > TimeDelta::zero()).ok_or_else(wrong)
}

/// Parses `0..100`.
fn range(text: &str) -> Result<(f64, f64), String> {
    let wrong = || format!("{text:?}: expected LO..HI, like 0..100 or -10..10");
    let (low, high) = text.split_once("..").ok_or_else(wrong)?;
    let number = |t: &str| t.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(wrong);
    let (low, high) = (number(low)?, number(high)?);
    if low < high { Ok((low, high)) } else { Err(wrong()) }
}
