//! Overhead of counters, histograms and spans: a prediction without a recorder, and with one.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

#[path = "../../../benches/common/mod.rs"]
mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::store::{EventStore, MemoryStore};
use futures_executor::block_on;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::hint::black_box;
use std::sync::Arc;

fn cost(c: &mut Criterion) {
    let records = common::records(2_000);
    let tasks = common::tasks(&records);
    let store = MemoryStore::new();
    block_on(store.append(records.clone())).unwrap();
    let history = Arc::new(block_on(SharedHistory::open(&store)).unwrap());
    let clock = ManualClock::at(records.last().unwrap().known_at());
    let service =
        PredictionService::new(history, FeatureEngineer::default(), Arc::new(clock)).without_explanations();
    let mut group = c.benchmark_group("telemetry");
    // The recorder belongs to the process: it can be installed once and not be removed.
    for recorder in ["no recorder", "Prometheus"] {
        if recorder == "Prometheus" {
            metrics::set_global_recorder(PrometheusBuilder::new().build_recorder()).unwrap();
        }
        // Everything that a prediction by all models records.
        group.bench_function(format!("{recorder}: a histogram and four counters"), |b| {
            b.iter(|| {
                metrics::histogram!("seconds", "call" => "all").record(black_box(0.001));
                metrics::counter!("answers", "model" => "success", "status" => "calibrated").increment(1);
                metrics::counter!("answers", "model" => "complexity", "status" => "calibrated").increment(1);
                metrics::counter!("answers", "model" => "time", "status" => "calibrated").increment(1);
                metrics::counter!("answers", "model" => "quality", "status" => "calibrated").increment(1);
            });
        });
        let mut next = tasks.iter().cycle();
        group.bench_function(format!("{recorder}: a prediction of all models"), |b| {
            b.iter(|| black_box(service.predict_all(next.next().unwrap()).unwrap()));
        });
    }
    group.finish();
}

criterion_group!(benches, cost);
criterion_main!(benches);
