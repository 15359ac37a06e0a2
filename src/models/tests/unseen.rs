//! Values that training never saw: clipped, named, counted.

#[cfg(test)]
use crate::clock::Clock;
use crate::common::world::store_of;
use crate::dataset::Target;
use crate::features::{FEATURES, FeatureEngineer, Kind};
use crate::models::{Predictor, SuccessTrainer, TimeTrainer, Trainer};
use crate::training::replay;
use futures_executor::block_on;

#[test]
fn far_values_are_answered_as_the_nearest_of_training_and_named() {
    let (store, clock) = store_of(20, 60.0, 5);
    let engineer = FeatureEngineer::default();
    let rows = |target| block_on(replay(store.as_ref(), &engineer, target, clock.now(), 50_000)).unwrap();
    let data = rows(Target::Success);
    let success = SuccessTrainer::default().fit(&data).unwrap();
    let success = SuccessTrainer::default().read(&success.to_bytes().unwrap()).unwrap();
    let time = TimeTrainer::default().fit(&rows(Target::Time)).unwrap();
    let time = TimeTrainer::default().read(&time.to_bytes().unwrap()).unwrap();
    let beyond = |notes: &[String]| notes.iter().any(|note| note.contains("beyond the training data"));
    let (mut of_success, mut of_time) = (0, 0);
    for row in data.examples.iter().map(|e| &e.features).take(50) {
        assert!(success.predict(row).unseen.0.is_empty());
        for times in [2.0_f32, 300.0] {
            let mut far = row.as_ref().clone();
            // Counters, which grow.
            for (value, _) in far.values.iter_mut().zip(FEATURES).filter(|(_, f)| f.kind == Kind::Count) {
                *value = times * (1000.0 + *value);
            }
            let found = success.predict(&far);
            of_success += found.unseen.0.len();
            assert_eq!(
                beyond(&found.notes),
                found.unseen.0.iter().any(|one| one.is_far() && !one.value.is_nan()),
                "{:?}",
                found.notes
            );
            let (base, features, wording) = success.contributions(&far);
            let sum = base + features.iter().sum::<f64>() + wording;
            assert!((sum - success.margin(&far)).abs() < 1e-3, "{sum} {}", success.margin(&far));
            let found = time.predict(&far);
            of_time += found.unseen.0.len();
            assert_eq!(
                beyond(&found.notes),
                found.unseen.0.iter().any(|one| one.is_far() && !one.value.is_nan()),
                "{:?}",
                found.notes
            );
        }
    }
    assert!(of_success > 0 && of_time > 0, "{of_success} {of_time}");
}
