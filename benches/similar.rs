//! Latency of finding similar tasks, among 20,000 and among 100,000.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use devmatrix_ml::event::TaskContext;
use devmatrix_ml::similarity::{SimilarTasks, TextGrams};
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use std::hint::black_box;
use std::time::{Duration, Instant};

fn tasks(most: usize) -> Vec<TaskContext> {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (365, most as f64 / 365.0 * 1.7);
    Simulator::new(options).unwrap().take(most).map(|generation| generation.context).collect()
}

fn index(tasks: &[TaskContext], capacity: usize) -> SimilarTasks {
    let mut index = SimilarTasks::new(capacity);
    for (i, task) in tasks.iter().enumerate() {
        index.insert(&task.task_id, i as i64, &TextGrams::of(&task.task_description));
    }
    index
}

fn similar(c: &mut Criterion) {
    let tasks = tasks(120_000);
    println!("{} tasks", tasks.len());
    let mut group = c.benchmark_group("similar tasks");
    for capacity in [20_000, 100_000] {
        let timer = Instant::now();
        let index = index(&tasks, capacity);
        println!("{} of {} tasks indexed in {:?}", index.len(), tasks.len(), timer.elapsed());
        let find = |task: &TaskContext| {
            index.nearest(&TextGrams::of(&task.task_description), 10, Some(&task.task_id))
        };
        let mut next = tasks.iter().cycle();
        group.bench_function(BenchmarkId::new("ten nearest", capacity), |b| {
            b.iter(|| black_box(find(next.next().unwrap())));
        });
        let mut took: Vec<Duration> = tasks
            .iter()
            .take(20_000)
            .map(|task| {
                let timer = Instant::now();
                black_box(find(task));
                timer.elapsed()
            })
            .collect();
        took.sort_unstable();
        println!("among {capacity}: p50 {:?}, p99 {:?}", took[took.len() / 2], took[took.len() * 99 / 100]);
    }
    let mut next = tasks.iter().cycle();
    group.bench_function("grams of a description", |b| {
        b.iter(|| black_box(TextGrams::of(&next.next().unwrap().task_description)));
    });
    group.finish();
}

criterion_group!(benches, similar);
criterion_main!(benches);
