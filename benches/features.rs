//! Latency of computing a task's features: its history, similar tasks, text statistics and n-grams.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use devmatrix_ml::dataset::DatasetBuilder;
use devmatrix_ml::features::FeatureEngineer;
use std::hint::black_box;

fn features(c: &mut Criterion) {
    let records = common::records(10_000);
    let tasks = common::tasks(&records);
    let now = records.last().map_or_else(Default::default, devmatrix_ml::event::Record::known_at);
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    records.iter().for_each(|record| builder.apply(record));
    let mut group = c.benchmark_group("features");
    group.throughput(Throughput::Elements(1));
    let mut next = tasks.iter().cycle();
    group.bench_function("of a simulated task", |b| {
        b.iter(|| black_box(builder.look(next.next().unwrap(), now)));
    });
    let mut long = tasks[0].clone();
    long.task_description = "Add the REST endpoint for orders, with validation and authentication.\n\
                             - it must keep the cart\n"
        .repeat(20);
    group.bench_function("of a description of 1,900 bytes", |b| {
        b.iter(|| black_box(builder.look(&long, now)));
    });
    group.finish();
}

criterion_group!(benches, features);
criterion_main!(benches);
