//! Item response: the abilities of agents and the difficulties of tasks are separated.

#[cfg(test)]
use crate::common::abilities::{AGENTS, context, records, success_probability};
use crate::dataset::{Dataset, DatasetBuilder, Target};
use crate::features::{FeatureEngineer, FeatureRow, index_of};
use crate::models::{Predictor, SuccessModel, SuccessTrainer, Trainer};
use crate::stats::logit;
use chrono::TimeDelta;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::LazyLock;

/// A world of tasks that every agent attempts, and later tasks with known probabilities.
struct World {
    data: Dataset,
    /// Rows of tasks without attempts, with their true probabilities.
    later: Vec<(FeatureRow, f64)>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let records = records();
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    records.iter().for_each(|r| builder.apply(r));
    let now = records.last().unwrap().known_at() + TimeDelta::hours(1);
    let later = (100..140).flat_map(|task| (0..AGENTS.len()).map(move |agent| (task, agent)));
    let later = later
        .map(|(task, agent)| (builder.look(&context(task, agent), now), success_probability(task, agent)));
    World { data: builder.rows(Target::Success, now, 10_000), later: later.collect() }
});

fn model() -> SuccessModel {
    SuccessTrainer::default().fit(&WORLD.data).unwrap()
}

#[test]
fn new_tasks_are_predicted_from_their_text_and_the_agent() {
    let model = model();
    let off = |predicted: &dyn Fn(&FeatureRow) -> f64| {
        let errors = WORLD.later.iter().map(|(row, truth)| (predicted(row) - truth).abs());
        errors.sum::<f64>() / WORLD.later.len() as f64
    };
    let agent = index_of("agent_past_performance").unwrap();
    let (by_model, by_agent) = (off(&|row| model.point(row)), off(&|row| f64::from(row.values[agent])));
    assert!(by_model < 0.5 * by_agent, "mean error {by_model:.3}, of the agent's rate {by_agent:.3}");
}

#[test]
fn the_log_odds_are_the_sum_of_their_parts() {
    let model = model();
    for (row, _) in &WORLD.later {
        let (base, features, text) = model.contributions(row);
        let sum = base + features.iter().sum::<f64>() + text;
        assert!((sum - model.margin(row)).abs() < 1e-4, "{sum} for {}", model.margin(row));
    }
}

#[test]
fn one_of_two_probabilities_is_near_the_prediction() {
    let model = model();
    for (row, _) in &WORLD.later {
        let found = model.predict(row);
        let (p0, p1) = found.venn_abers.unwrap();
        assert!((0.0..=1.0).contains(&p0) && p0 <= p1 && p1 <= 1.0, "{p0} {p1}");
        let near = |p: f64| (logit(p) - logit(found.success_probability)).abs() < 2.0;
        assert!(near(p0.max(0.02)) || near(p1.min(0.98)), "{p0} {p1} {}", found.success_probability);
    }
}

#[test]
fn the_model_round_trips_and_fits_deterministically() {
    let model = model();
    let bytes = model.to_bytes().unwrap();
    assert_eq!(SuccessTrainer::default().fit(&WORLD.data).unwrap().to_bytes().unwrap(), bytes);
    let back = SuccessTrainer::default().read(&bytes).unwrap();
    assert!(WORLD.later.iter().all(|(row, _)| back.predict(row) == model.predict(row)));
    let stored = String::from_utf8_lossy(&bytes);
    assert!(
        ["scheduler", "ledger", "novice"].iter().all(|word| !stored.contains(word)),
        "a word is stored in clear text"
    );
}

/// Damage behind a valid checksum: an error, or a model with sound predictions.
#[test]
fn forged_abilities_are_rejected_or_harmless() {
    let bytes = model().to_bytes().unwrap();
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let mut opened = 0;
    for i in 0..4000 {
        let mut forged = bytes.clone();
        for _ in 0..rng.random_range(1..=3) {
            let at = rng.random_range(0..forged.len());
            forged[at] = if rng.random_bool(0.3) { 0xFF } else { rng.next_u32() as u8 };
        }
        let Ok(model) = SuccessTrainer::default().read(&forged) else { continue };
        opened += 1;
        for (row, _) in WORLD.later.iter().take(3) {
            let found = model.predict(row);
            let (low, high) = found.interval;
            assert!(0.0 <= low && low <= found.success_probability, "{i}: {found:?}");
            assert!(found.success_probability <= high && high <= 1.0, "{i}: {found:?}");
            assert!(model.reasons(row).iter().all(|r| r.contribution.is_finite()), "{i}");
        }
    }
    assert!(opened > 400, "{opened}: too few forgeries open to test anything");
}
