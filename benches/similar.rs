//! Latency of finding similar tasks among the 20,000 that a history keeps.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::event::{Record, TaskContext};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::serving::PredictionService;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const GENERATIONS: usize = 60_000;

fn similar(c: &mut Criterion) {
    let records = common::records(GENERATIONS);
    let tasks = common::tasks(&records);
    let timer = Instant::now();
    let history = SharedHistory::new();
    history.apply(&records);
    println!("{} records of {} tasks taken in after {:?}", records.len(), tasks.len(), timer.elapsed());
    let clock = ManualClock::at(records.last().map_or_else(Default::default, Record::known_at));
    let service = PredictionService::new(Arc::new(history), FeatureEngineer::default(), Arc::new(clock));
    let find = |task: &TaskContext| service.similar_tasks(task, 10).unwrap();
    let mut next = tasks.iter().cycle();
    c.bench_function("ten similar tasks with their outcomes", |b| {
        b.iter(|| black_box(find(next.next().unwrap())));
    });
    let took = tasks.iter().take(20_000).map(|task| {
        let timer = Instant::now();
        black_box(find(task));
        timer.elapsed()
    });
    let mut took: Vec<Duration> = took.collect();
    took.sort_unstable();
    println!("p50 {:?}, p99 {:?}", took[took.len() / 2], took[took.len() * 99 / 100]);
}

criterion_group!(benches, similar);
criterion_main!(benches);
