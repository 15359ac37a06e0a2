//! Simulated events in a store, and a clock that stands after them.

use chrono::TimeDelta;
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::event::Record;
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStore, MemoryStore};
use futures_executor::block_on;
use std::sync::Arc;

/// Simulates about `per_day` times `days` generations, with all their facts.
pub fn store_of(days: u32, per_day: f64, seed: u64) -> (Arc<MemoryStore>, ManualClock) {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.seed) = (days, per_day, seed);
    store_from(options)
}

/// Simulates a world with any options.
pub fn store_from(options: SimulatorOptions) -> (Arc<MemoryStore>, ManualClock) {
    let events = Simulator::new(options).unwrap().map(Generation::into_event);
    let mut records: Vec<Record> = events.flat_map(|e| e.into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    let end = records.last().unwrap().known_at() + TimeDelta::hours(1);
    let store = Arc::new(MemoryStore::new());
    block_on(store.append(records)).unwrap();
    (store, ManualClock::at(end))
}
