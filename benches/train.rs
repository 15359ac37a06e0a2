//! Cost of replay, training and prediction.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::dataset::{Dataset, DatasetBuilder, Target};
use devmatrix_ml::event::Record;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::models::{Predictor, SuccessTrainer, Trainer};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry, NewVersion, envelope};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::store::{EventStore, MemoryStore, SqliteStore};
use devmatrix_ml::training::{Training, replay};
use futures_executor::block_on;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

fn dataset(records: &[Record]) -> Dataset {
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    records.iter().for_each(|record| builder.apply(record));
    builder.rows(Target::Success, records.last().unwrap().known_at(), 1_000_000)
}

fn training(c: &mut Criterion) {
    let records = common::records(10_000);
    let data = dataset(&records);
    let mut group = c.benchmark_group("training, 10,000 rows");
    group.sample_size(10);
    let trainer = SuccessTrainer::default();
    group.bench_function("fit", |b| b.iter(|| trainer.fit(&data).unwrap()));
    let clock = ManualClock::at(records.last().unwrap().known_at());
    let (store, engineer) = (MemoryStore::new(), FeatureEngineer::default());
    block_on(store.append(records)).unwrap();
    group.bench_function("replay, fit, evaluate, gate, register", |b| {
        b.iter(|| {
            let registry = MemoryRegistry::new();
            let training = Training::new(&store, &registry, &engineer, &clock);
            block_on(training.run(&trainer)).unwrap().promoted
        });
    });
    group.finish();
}

fn replays(c: &mut Criterion) {
    let records = common::records(100_000);
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("events.db")).unwrap();
    records.chunks(10_000).for_each(|batch| drop(block_on(store.append(batch.to_vec())).unwrap()));
    let now = records.last().unwrap().known_at();
    let mut group = c.benchmark_group("replay, 100,000 generations");
    group.sample_size(10).throughput(Throughput::Elements(100_000));
    group.bench_function("from memory", |b| b.iter(|| dataset(&records)));
    let engineer = FeatureEngineer::default();
    group.bench_function("from SQLite", |b| {
        b.iter(|| block_on(replay(&store, &engineer, Target::Success, now, 1_000_000)).unwrap());
    });
    group.finish();
}

fn prediction(c: &mut Criterion) {
    let records = common::records(10_000);
    let (tasks, data) = (common::tasks(&records), dataset(&records));
    let model = SuccessTrainer::default().fit(&data).unwrap();
    let history = SharedHistory::new();
    history.apply(&records);
    let clock = ManualClock::at(records.last().unwrap().known_at());
    let service = PredictionService::new(Arc::new(history), FeatureEngineer::default(), Arc::new(clock));
    let registry = MemoryRegistry::new();
    let sealed = envelope::seal("success", &model.to_bytes().unwrap()).unwrap();
    block_on(registry.register(NewVersion::new("success", sealed))).unwrap();
    block_on(registry.promote("success", 1, None)).unwrap();
    block_on(service.reload(&registry)).unwrap();
    let mut rows = data.examples.iter().cycle();
    let mut group = c.benchmark_group("one prediction");
    group.bench_function("from a ready row", |b| {
        b.iter(|| black_box(model.predict(&rows.next().unwrap().features)));
    });
    group.bench_function("from a ready row, with explanations", |b| {
        b.iter(|| {
            let row = &rows.next().unwrap().features;
            black_box((model.predict(row), model.reasons(row)))
        });
    });
    let mut texts = tasks.iter().cycle();
    let quick = service.without_explanations();
    group.bench_function("from the task's text", |b| {
        b.iter(|| black_box(quick.predict_success(texts.next().unwrap()).unwrap()));
    });
    group.bench_function("from the task's text, with explanations", |b| {
        b.iter(|| black_box(service.predict_success(texts.next().unwrap()).unwrap()));
    });
    group.finish();
    let mut took: Vec<_> = tasks
        .iter()
        .cycle()
        .take(100_000)
        .map(|task| {
            let timer = Instant::now();
            black_box(service.predict_success(task).unwrap());
            timer.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!(
        "100,000 from the task's text, with explanations: p50 {:?}, p99 {:?}",
        took[50_000], took[99_000]
    );
}

criterion_group!(benches, prediction, training, replays);
criterion_main!(benches);
