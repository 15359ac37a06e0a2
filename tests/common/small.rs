//! A small simulated world, and a small model of it.

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::dataset::{Dataset, DatasetBuilder};
use devmatrix_ml::event::{GenerationEvent, Record};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{SuccessModel, SuccessParams, SuccessTrainer, Trainer};
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};

/// Simulates events in the order of their start.
pub fn events(days: u32, per_day: f64, seed: u64) -> Vec<GenerationEvent> {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.seed) = (days, per_day, seed);
    Simulator::new(options).unwrap().map(Generation::into_event).collect()
}

/// Builds the dataset of 20 simulated days, and the time after them.
pub fn world() -> (DatasetBuilder, DateTime<Utc>) {
    let mut records: Vec<Record> =
        events(20, 25.0, 11).into_iter().flat_map(|e| e.into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    records.iter().for_each(|r| builder.apply(r));
    (builder, records.last().unwrap().known_at() + TimeDelta::hours(1))
}

/// Fits a model with both components, a few kilobytes large.
pub fn model(data: &Dataset) -> SuccessModel {
    let mut params = SuccessParams::default();
    (params.min_samples, params.min_texts, params.boost.rounds) = (20, 12, 8);
    SuccessTrainer::new(params).unwrap().fit(data).unwrap()
}
