//! Simulated events for the benches.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each bench uses its own part

use devmatrix_ml::event::{Fact, Record, TaskContext};
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};

/// Returns the facts of the first `generations` generations, in the order in which they became known.
pub fn records(generations: usize) -> Vec<Record> {
    let events = simulator(generations).take(generations).map(Generation::into_event);
    let mut records: Vec<_> = events.flat_map(|e| e.into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    records
}

/// Creates a simulated year with at least `generations` generations.
pub fn simulator(generations: usize) -> Simulator {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (365, (generations as f64 / 365.0 * 1.6).max(1.0));
    Simulator::new(options).unwrap()
}

/// Returns the tasks that these facts start.
pub fn tasks(records: &[Record]) -> Vec<TaskContext> {
    let started = records.iter().filter_map(|r| match r.fact() {
        Fact::Started(started) => Some(started.context.clone()),
        _ => None,
    });
    started.collect()
}
