//! Growth of the training time of all five models with the number of generations.
//!
//! `cargo bench --bench growth -- 10000 30000 100000 300000`; by default 10,000 and 20,000.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::TemplateTrainer;
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::store::{EventStore, MemoryStore};
use devmatrix_ml::training::{Training, TrainingOptions};
use futures_executor::block_on;
use std::time::Instant;

fn main() {
    let mut sizes: Vec<usize> = std::env::args().filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 20_000];
    }
    println!("{:>12} {:>10} {:>24}", "generations", "seconds", "us / (n * log2 n)");
    for size in sizes {
        let records = common::records(size);
        let clock = ManualClock::at(records.last().unwrap().known_at());
        let store = MemoryStore::new();
        records.chunks(10_000).for_each(|batch| drop(block_on(store.append(batch.to_vec())).unwrap()));
        drop(records);
        let mut options = TrainingOptions::default();
        options.max_rows = size;
        let timer = Instant::now();
        let (registry, engineer) = (MemoryRegistry::new(), FeatureEngineer::default());
        let ranking = TemplateTrainer::default().with_catalogue((&common::simulator(size)).into());
        let training = Training::new(&store, &registry, &engineer, &clock).with_options(options);
        let training = training.with_model(ranking);
        for (_, report) in block_on(training.run_all()).unwrap() {
            report.unwrap();
        }
        let (seconds, n) = (timer.elapsed().as_secs_f64(), size as f64);
        println!("{size:>12} {seconds:>10.1} {:>24.2}", 1e6 * seconds / (n * n.log2()));
    }
}
