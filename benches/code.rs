//! Cost of code metrics: typical completions, growing size, and worst cases.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use devmatrix_ml::code_metrics::{CodeOptions, analyze, analyze_with};
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use std::hint::black_box;
use std::time::Duration;

/// Returns about `bytes` of code, composed of the simulator's programs in the language of `ending`.
fn program(ending: &str, bytes: usize) -> String {
    let mut options = SimulatorOptions::default();
    options.days = 20;
    let mut code = String::with_capacity(bytes + 4096);
    for generation in Simulator::new(options).into_iter().flatten().cycle().take(1_000_000) {
        let done = &generation.completion;
        if done.file_path.as_deref().is_some_and(|path| path.ends_with(ending)) {
            code.push_str(done.generated_code.as_deref().unwrap_or_default());
        }
        if code.len() >= bytes {
            break;
        }
    }
    code
}

fn completion(c: &mut Criterion) {
    let mut group = c.benchmark_group("completion of 3 KB");
    for ending in ["py", "ts", "js", "rs", "sql", "html"] {
        let code = program(&format!(".{ending}"), 3 << 10);
        group.throughput(Throughput::Bytes(code.len() as u64));
        group.bench_function(ending, |b| b.iter(|| analyze(black_box(&code), Some(ending))));
    }
    group.finish();
}

fn growth(c: &mut Criterion) {
    let mut options = CodeOptions::default();
    options.time_budget = Duration::from_mins(1);
    options.max_bytes = 4 << 20;
    let mut group = c.benchmark_group("Python of growing size");
    group.sample_size(10);
    for kilobytes in [1, 8, 64, 512, 2048] {
        let code = program(".py", kilobytes << 10);
        group.throughput(Throughput::Bytes(code.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(kilobytes), |b| {
            b.iter(|| analyze_with(&options, black_box(&code), Some("py")));
        });
    }
    group.finish();
}

/// The time budget is 100 ms: none of these may exceed it by more than a tenth.
fn worst(c: &mut Criterion) {
    let mut group = c.benchmark_group("worst-case inputs");
    group.sample_size(10);
    let inputs = [
        ("html", "<div>", 400_000),
        ("js", "the quick brown fox, it jumps. ", 60_000),
        ("java", "a<b<", 400_000),
        ("py", "x.", 1_000_000),
        ("py", "\0", 2_000_000),
        ("ts", "<T>", 600_000),
        ("sql", "case when ", 200_000),
        ("css", "a ", 1_000_000),
    ];
    for (hint, piece, count) in inputs {
        let code = piece.repeat(count);
        let name = format!("{hint} {piece:?} {count} times");
        group.bench_function(name, |b| b.iter(|| analyze(black_box(&code), Some(hint))));
    }
    group.finish();
}

criterion_group!(benches, completion, growth, worst);
criterion_main!(benches);
