//! Latency of computing a task's features.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::History;
use devmatrix_ml::text::{SparseText, TextFacts};
use std::hint::black_box;

fn features(c: &mut Criterion) {
    let records = common::records(10_000);
    let tasks = common::tasks(&records);
    let now = records.last().map_or_else(Default::default, devmatrix_ml::event::Record::known_at);
    let mut history = History::new();
    records.iter().for_each(|record| history.apply(record));
    let engineer = FeatureEngineer::default();
    let mut group = c.benchmark_group("features");
    group.throughput(Throughput::Elements(1));
    let mut next = tasks.iter().cycle();
    let mut task = || next.next().unwrap_or(&tasks[0]);
    group.bench_function("all, with n-grams", |b| {
        b.iter(|| {
            let task = task();
            black_box(engineer.row(task, &history.view(task, now)))
        });
    });
    group.bench_function("history alone", |b| b.iter(|| black_box(history.view(task(), now))));
    group.finish();
}

fn text(c: &mut Criterion) {
    let words =
        "Add the REST endpoint for orders, with validation and authentication.\n- it must keep the cart\n";
    let text = words.repeat(20);
    let mut group = c.benchmark_group("text");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("facts", |b| b.iter(|| TextFacts::of(black_box(&text))));
    group.bench_function("text statistics and n-grams", |b| b.iter(|| SparseText::read(black_box(&text))));
    group.finish();
}

criterion_group!(benches, features, text);
criterion_main!(benches);
