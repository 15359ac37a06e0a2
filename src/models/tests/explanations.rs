//! Attributions add up to the prediction, and importance is measured on new rows.

#[cfg(test)]
use crate::clock::Clock;
use crate::common::world::store_of;
use crate::dataset::{Dataset, Target};
use crate::features::FeatureEngineer;
use crate::models::{Predictor, SuccessTrainer, Trainer, permutation_importance};
use crate::training::replay;
use futures_executor::block_on;

fn dataset(days: u32, seed: u64) -> Dataset {
    let (store, clock) = store_of(days, 60.0, seed);
    block_on(replay(store.as_ref(), &FeatureEngineer::default(), Target::Success, clock.now(), 50_000))
        .unwrap()
}

/// Contributions add up to the log-odds, and the prediction follows from them.
#[test]
fn contributions_add_up() {
    let data = dataset(15, 9);
    let model = SuccessTrainer::default().fit(&data).unwrap();
    for example in &data.examples {
        let (base, features, wording) = model.contributions(&example.features);
        let sum = base + features.iter().sum::<f64>() + wording;
        let margin = model.margin(&example.features);
        assert!((sum - margin).abs() < 1e-4, "{sum} against {margin}");
    }
}

/// Features that the outcome depends on are important, irrelevant ones are not.
#[test]
fn permutation_importance_is_measured_on_new_rows() {
    let data = dataset(20, 9);
    let (earlier, later) = data.split_by_time(0.3).unwrap();
    let trainer = SuccessTrainer::default();
    let model = trainer.fit(&earlier).unwrap();
    let loss = |point: f64, label: f64| trainer.loss(point, label);
    let found = permutation_importance(&model, loss, &later, 3, 1).unwrap();
    assert_eq!(
        found,
        permutation_importance(&model, loss, &later, 3, 1).unwrap(),
        "it depends on the seed alone"
    );
    assert!(found.is_sorted_by(|a, b| a.increase >= b.increase));
    let of = |name: &str| found.iter().find(|f| f.feature == name).map(|f| f.increase);
    assert!(found[0].increase > 0.005, "{:?}", &found[..3]);
    assert_eq!(of("lines_of_code"), None, "unknown before a generation, so constant");
    assert_eq!(of("agent_type_encoded"), Some(0.0), "the model uses no codes here");
    let gains = model.gains();
    assert!((gains.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(gains.is_sorted_by(|a, b| a.1 >= b.1) && gains[0].1 > 0.0);
    assert!(permutation_importance(&model, loss, &later[..1], 3, 1).is_err());
    assert!(permutation_importance(&model, loss, &later, 0, 1).is_err());
}
