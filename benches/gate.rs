//! Cost of evaluating a challenger and of a hyperparameter search, and latency of cancellation.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use devmatrix_ml::dataset::{Dataset, DatasetBuilder, FoldOptions, Target};
use devmatrix_ml::event::Record;
use devmatrix_ml::execution::{CancellationToken, ExecutionContext};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::ml::metrics::{BinaryScores, compare_paired};
use devmatrix_ml::models::{SuccessTrainer, Trainer};
use devmatrix_ml::training::{TuningOptions, tune};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

const ROWS: usize = 10_000;

fn dataset(generations: usize) -> Dataset {
    let records = common::records(generations);
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    records.iter().for_each(|record| builder.apply(record));
    builder.rows(Target::Success, records.last().map(Record::known_at).unwrap(), 1_000_000)
}

/// Simulates outcomes, and predictions of two models and three baselines.
fn predictions() -> (Vec<bool>, Vec<Vec<f64>>) {
    let mut rng = Pcg64Mcg::seed_from_u64(42);
    let probabilities: Vec<f64> = (0..ROWS).map(|_| rng.random_range(0.1..0.95)).collect();
    let outcomes = probabilities.iter().map(|p| rng.random_bool(*p)).collect();
    let mut predicted = |noise: f64| {
        probabilities
            .iter()
            .map(|p| (p + rng.random_range(-noise..noise)).clamp(0.01, 0.99))
            .collect::<Vec<_>>()
    };
    (outcomes, [0.10, 0.12, 0.3, 0.4, 0.5].map(&mut predicted).into())
}

fn gate(c: &mut Criterion) {
    let (outcomes, predicted) = predictions();
    let clusters: Vec<u64> = (0..ROWS as u64).map(|row| row / 2).collect(); // two rows per task
    let losses: Vec<Vec<f64>> = predicted
        .iter()
        .map(|predicted| {
            predicted.iter().zip(&outcomes).map(|(p, y)| -if *y { *p } else { 1.0 - p }.ln()).collect()
        })
        .collect();
    let mut group = c.benchmark_group("gate, 10,000 rows");
    group.sample_size(20);
    group.bench_function("fixed-horizon test against a champion and three baselines", |b| {
        b.iter(|| {
            let against =
                |other: usize| compare_paired(&losses[0], &losses[other], &clusters, 0.95, 42).unwrap();
            let scores = BinaryScores::of(&predicted[0], &outcomes).unwrap();
            black_box(([1, 2, 3, 4].map(against), scores))
        });
    });
    group.finish();
}

fn search(c: &mut Criterion) {
    let data = dataset(3_000);
    let mut group = c.benchmark_group("hyperparameter search, 3,000 rows");
    group.sample_size(10);
    let trainer = SuccessTrainer::default();
    group.bench_function("one fit", |b| b.iter(|| trainer.fit(&data).unwrap()));
    let mut options = TuningOptions::default();
    (options.trials, options.folds) = (10, FoldOptions::default());
    group.bench_function("ten trials on three folds", |b| {
        b.iter(|| tune(trainer.clone(), &data, &options).unwrap());
    });
    group.finish();
}

/// Measures the time from cancellation to the end of a fit, at many times of the fit.
fn cancellation(_: &mut Criterion) {
    let data = dataset(ROWS);
    let trainer = SuccessTrainer::default();
    let timer = Instant::now();
    trainer.fit(&data).unwrap();
    let whole = timer.elapsed();
    let mut waits: Vec<_> =
        (0..40).filter_map(|at| wait(&trainer, &data, whole.mul_f64(f64::from(at) / 40.0))).collect();
    waits.sort_unstable();
    println!(
        "a fit of 10,000 rows takes {whole:.2?}; cancelled at {} times, it ends after p50 {:.1?}, at most {:.1?}",
        waits.len(),
        waits[waits.len() / 2],
        waits.last().unwrap()
    );
}

/// Returns the time to end after a cancellation `after` the start; `None` where the fit had ended.
fn wait(trainer: &SuccessTrainer, data: &Dataset, after: Duration) -> Option<Duration> {
    let cancel = CancellationToken::new();
    thread::scope(|scope| {
        let switch = scope.spawn(|| {
            thread::sleep(after);
            cancel.cancel();
            Instant::now()
        });
        let fitted = ExecutionContext::new().with_cancel(&cancel).run(|| trainer.fit(data));
        let ended = Instant::now();
        let cancelled = switch.join().unwrap();
        fitted.is_err().then(|| ended.saturating_duration_since(cancelled))
    })
}

criterion_group!(benches, gate, search, cancellation);
criterion_main!(benches);
