//! Allocations of a prediction are bounded, independent of the length of the history.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use allocation_counter::{AllocationInfo, measure};
use common::world::store_of;
use devmatrix_ml::event::{Fact, TaskContext};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::store::{EventStore, ScanOrder};
use devmatrix_ml::training::{Training, TrainingOptions};
use futures_executor::block_on;
use std::sync::Arc;

/// Creates a service of all models after `days` days, and tasks of its history.
fn service(days: u32) -> (PredictionService, Vec<TaskContext>) {
    let (store, clock) = store_of(days, 20.0, 1);
    let (engineer, registry) = (FeatureEngineer::default(), MemoryRegistry::new());
    let mut options = TrainingOptions::default();
    options.gate.baselines = false;
    let training = Training::new(store.as_ref(), &registry, &engineer, &clock).with_options(options);
    block_on(training.run_all())
        .unwrap()
        .into_iter()
        .for_each(|(_, report)| assert!(report.unwrap().promoted));
    let history = Arc::new(block_on(SharedHistory::open(store.as_ref())).unwrap());
    let service = PredictionService::new(history, engineer, Arc::new(clock));
    block_on(service.reload(&registry)).unwrap();
    let records = block_on(store.scan(ScanOrder::Known, None, 600)).unwrap().records;
    let tasks = records.iter().filter_map(|record| match record.fact() {
        Fact::Started(started) => Some(started.context.clone()),
        _ => None,
    });
    (service, tasks.collect())
}

/// Returns the largest allocation count of the calls, each after a warm-up call.
fn most(tasks: &[TaskContext], call: impl Fn(&TaskContext)) -> AllocationInfo {
    tasks.iter().for_each(&call);
    let calls = tasks.iter().map(|task| measure(|| call(task)));
    calls.max_by_key(|info| info.count_total).unwrap()
}

#[test]
fn predictions_allocate_a_bounded_number_of_times() {
    for days in [30, 120] {
        let (service, tasks) = service(days);
        let quick = service.without_explanations();
        let plain = most(&tasks, |task| drop(quick.predict_all(task).unwrap()));
        let explained = most(&tasks, |task| drop(service.predict_all(task).unwrap()));
        println!("{days} days: {plain:?}, with explanations {explained:?}");
        assert!(plain.count_total <= 200, "{plain:?}");
        assert!(explained.count_total <= 3000, "{explained:?}");
        assert_eq!(plain.count_current, 0, "nothing leaks: {plain:?}");
        assert_eq!(explained.count_current, 0, "nothing leaks: {explained:?}");
    }
}
