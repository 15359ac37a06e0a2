//! Latency of a prediction by all models, and cost of training them.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::code_metrics::analyze;
use devmatrix_ml::event::{Record, TaskContext};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::models::{TemplateCatalogue, TemplateTrainer};
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStore, MemoryStore};
use devmatrix_ml::training::Training;
use futures_executor::block_on;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn simulator() -> Simulator {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (365, 44.0);
    Simulator::new(options).unwrap()
}

/// Simulates the facts of 10,000 generations, with the code measured as the collector does.
fn records() -> Vec<Record> {
    let mut records: Vec<_> = simulator()
        .take(10_000)
        .flat_map(|mut generation: Generation| {
            let language = generation.context.language.clone();
            let done = &mut generation.completion;
            let metrics = analyze(done.generated_code.as_deref().unwrap_or_default(), language.as_deref());
            done.lines_of_code = Some(metrics.lines.physical);
            if let Some(structure) = &metrics.structure {
                done.cyclomatic_complexity = structure.cyclomatic.map(|c| f64::from(c.total));
                done.num_functions = Some(structure.num_functions + structure.num_methods);
                done.num_classes = Some(structure.num_classes);
                done.has_tests = Some(structure.num_tests > 0);
            }
            generation.into_records().unwrap()
        })
        .collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    records
}

fn all(c: &mut Criterion) {
    let records = records();
    let tasks = common::tasks(&records);
    let store = MemoryStore::new();
    block_on(store.append(records.clone())).unwrap();
    let clock = ManualClock::at(records.last().unwrap().known_at());
    let (engineer, registry) = (FeatureEngineer::default(), MemoryRegistry::new());
    let timer = Instant::now();
    let templates = TemplateCatalogue::from(&simulator());
    let trainer = TemplateTrainer::default().with_catalogue(templates.clone());
    let training = Training::new(&store, &registry, &engineer, &clock);
    let trained = block_on(training.run_all()).unwrap();
    let ranking = training.run(&trainer);
    let ranking = block_on(ranking).map(|report| report.promoted);
    println!("training all five on 10,000 generations, evaluation and gate included: {:?}", timer.elapsed());
    println!("  templates ({}): promoted {ranking:?}", templates.iter().count());
    for (target, report) in trained {
        println!("  {target}: promoted {}", report.is_ok_and(|report| report.promoted));
    }
    let history = Arc::new(block_on(SharedHistory::open(&store)).unwrap());
    let service = PredictionService::new(history, engineer, Arc::new(clock)).with_templates(templates);
    block_on(service.reload(&registry)).unwrap();
    let quick = service.without_explanations();
    let mut group = c.benchmark_group("all models, from the task's text");
    let mut next = tasks.iter().cycle();
    group.bench_function("with intervals", |b| {
        b.iter(|| black_box(quick.predict_all(next.next().unwrap()).unwrap()));
    });
    group.bench_function("with intervals and explanations", |b| {
        b.iter(|| black_box(service.predict_all(next.next().unwrap()).unwrap()));
    });
    group.finish();
    quantiles("with intervals", &tasks, |task| drop(black_box(quick.predict_all(task).unwrap())));
    quantiles("with explanations", &tasks, |task| drop(black_box(service.predict_all(task).unwrap())));
}

fn quantiles(name: &str, tasks: &[TaskContext], predict: impl Fn(&TaskContext)) {
    let mut took: Vec<Duration> = tasks
        .iter()
        .cycle()
        .take(20_000)
        .map(|task| {
            let timer = Instant::now();
            predict(task);
            timer.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("20,000 {name}: p50 {:?}, p99 {:?}", took[10_000], took[19_800]);
}

criterion_group!(benches, all);
criterion_main!(benches);
