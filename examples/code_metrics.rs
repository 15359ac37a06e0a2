//! Code metrics of source files: one JSON object per file, or one line per function.
//!
//! ```sh
//! cargo run --release --example code_metrics -- src/lib.rs
//! find . -name '*.py' | cargo run --release --example code_metrics -- --functions -
//! ```

use anyhow::Context;
use clap::Parser;
use devmatrix_ml::code_metrics::{CodeMetrics, CodeOptions, FunctionMetrics, Structure, analyze_with};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Measures source code.
#[derive(Parser)]
struct Args {
    /// Files; `-` reads their names from standard input
    files: Vec<PathBuf>,
    /// Language, where the names do not determine it
    #[arg(long)]
    language: Option<String>,
    /// Print one line per function: file, first line, name, complexity
    #[arg(long)]
    functions: bool,
    /// Print only the amount read and the time it took
    #[arg(long)]
    time: bool,
    /// Time limit per file in milliseconds
    #[arg(long, default_value_t = 10_000)]
    budget: u64,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough (`| head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run(args: &Args) -> anyhow::Result<()> {
    let mut options = CodeOptions::default();
    options.time_budget = Duration::from_millis(args.budget);
    options.max_bytes = 64 << 20;
    let mut files = Vec::new();
    for file in &args.files {
        if file.as_os_str() == "-" {
            let lines = std::io::stdin().lock().lines().collect::<Result<Vec<_>, _>>()?;
            files.extend(lines.into_iter().map(PathBuf::from));
        } else {
            files.push(file.clone());
        }
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let (mut bytes, mut spent, mut slowest) = (0, Duration::ZERO, Duration::ZERO);
    for file in &files {
        let code = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.display().to_string();
        let hint = args.language.as_deref().unwrap_or(&name);
        let timer = Instant::now();
        let metrics = analyze_with(&options, &code, Some(hint));
        let took = timer.elapsed();
        (bytes, spent, slowest) = (bytes + code.len(), spent + took, slowest.max(took));
        if args.functions {
            functions(&mut out, &name, &metrics)?;
        } else if !args.time {
            writeln!(out, "{}", serde_json::json!({ "file": name, "metrics": metrics }))?;
        }
    }
    if args.time {
        let seconds = spent.as_secs_f64();
        writeln!(
            out,
            "{} files, {bytes} bytes, {seconds:.3} s, {:.2} MB/s, the slowest {:.1} ms",
            files.len(),
            bytes as f64 / 1e6 / seconds.max(1e-9),
            slowest.as_secs_f64() * 1e3
        )?;
    }
    // Dropping it would not tell of a full disk.
    Ok(out.flush()?)
}

fn functions(out: &mut impl Write, file: &str, metrics: &CodeMetrics) -> std::io::Result<()> {
    let Some(Structure { functions, .. }) = &metrics.structure else { return Ok(()) };
    for FunctionMetrics { name, line, complexity, .. } in functions {
        writeln!(out, "{file}\t{line}\t{}\t{complexity}", name.replace(['\t', '\n', '\r'], " "))?;
    }
    Ok(())
}
