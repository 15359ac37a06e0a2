//! Adaptive intervals keep their coverage while the world drifts away from the training set.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::dataset::Target;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::models::Estimate;
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStore, MemoryStore};
use devmatrix_ml::training::{Training, TrainingOptions};
use futures_executor::block_on;
use std::sync::{Arc, LazyLock};

struct World {
    registry: MemoryRegistry,
    history: Arc<SharedHistory>,
    clock: ManualClock,
    /// Generations after the training.
    later: Vec<Generation>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (150, 20.0);
    let mut all: Vec<_> = Simulator::new(options).unwrap().collect();
    let later = all.split_off(all.len() / 3);
    let (store, registry) = (MemoryStore::new(), MemoryRegistry::new());
    let mut records: Vec<_> = all.into_iter().flat_map(|g| g.into_event().into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    let clock = ManualClock::at(records.last().unwrap().known_at());
    block_on(store.append(records)).unwrap();
    let mut options = TrainingOptions::default();
    options.gate.baselines = false; // promotes every model: skill is not tested here
    block_on(
        Training::new(&store, &registry, &FeatureEngineer::default(), &clock).with_options(options).run_all(),
    )
    .unwrap();
    let history = Arc::new(block_on(SharedHistory::open(&store)).unwrap());
    World { registry, history, clock, later }
});

fn service() -> PredictionService {
    let clock = Arc::new(WORLD.clock.clone());
    let service = PredictionService::new(WORLD.history.clone(), FeatureEngineer::default(), clock);
    block_on(service.reload(&WORLD.registry)).unwrap();
    service
}

/// Each generation takes longer than the one before, at the end three times as long as it would have:
/// returns the empirical coverage of the 80 % and 90 % intervals.
fn coverage(observed: bool) -> [f64; 2] {
    let service = service().without_explanations();
    let mut covered = [0.0; 2];
    let mut n = 0.0;
    for (i, generation) in WORLD.later.iter().enumerate() {
        let Some(seconds) = generation.completion.generation_time_seconds else { continue };
        let drifted = seconds * (1.0 + 2.0 * i as f64 / WORLD.later.len() as f64);
        let given = service.predict_all(&generation.context).unwrap().time.estimate;
        assert_eq!(given.model_version, 1);
        for (covered, (low, high)) in covered.iter_mut().zip([given.interval_80, given.interval_90]) {
            *covered += f64::from((low..=high).contains(&drifted));
        }
        n += 1.0;
        if observed {
            service.observe(Target::Time, &given, drifted).unwrap();
        }
    }
    assert!(n > 1000.0);
    covered.map(|covered| covered / n)
}

#[test]
fn adaptive_intervals_keep_their_coverage_under_drift_and_static_ones_do_not() {
    let (still, adapted) = (coverage(false), coverage(true));
    println!("without observing {still:?}, observing {adapted:?}");
    assert!(still[0] < 0.6 && still[1] < 0.7, "the drift must matter: {still:?}");
    assert!((adapted[0] - 0.8).abs() <= 0.03 && (adapted[1] - 0.9).abs() <= 0.03, "{adapted:?}");
}

#[test]
fn outcomes_without_a_prediction_of_the_model_change_nothing() {
    let service = service().without_explanations();
    let task = &WORLD.later[0].context;
    let before = service.predict_all(task).unwrap();
    let given = &before.time.estimate;
    let mut of_another = given.clone();
    of_another.model_version = 0;
    for _ in 0..100 {
        service.observe(Target::Time, &of_another, 1e6).unwrap();
        service.observe(Target::Quality, &before.quality.estimate, 5.0).unwrap();
        for bad in [f64::NAN, f64::INFINITY] {
            let error = service.observe(Target::Time, given, bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
    assert_eq!(service.predict_all(task).unwrap().time, before.time);
    let error = service.observe(Target::Success, given, 1.0).unwrap_err();
    assert!(format!("{error:#}").contains("complexity, time, quality, cost or tokens"), "{error}");
}

/// Any observation leaves the intervals ordered and within their range.
#[test]
fn misses_widen_intervals_within_the_range() {
    let service = service().without_explanations();
    let task = &WORLD.later[0].context;
    let width = |e: &Estimate| e.interval_90.1 - e.interval_90.0;
    for target in [Target::Time, Target::Quality, Target::Complexity] {
        let estimate = || {
            let all = service.predict_all(task).unwrap();
            match target {
                Target::Time => all.time.estimate,
                Target::Quality => all.quality.estimate,
                _ => all.complexity.estimate,
            }
        };
        let first = estimate();
        assert_eq!(first.model_version, 1, "{target}");
        for actual in [1e9, -1e9] {
            (0..300).for_each(|_| service.observe(target, &estimate(), actual).unwrap());
            let after = estimate();
            let (narrow, wide) = (after.interval_80, after.interval_90);
            assert!(wide.0 <= narrow.0 && narrow.0 <= after.value, "{after:?}");
            assert!(after.value <= narrow.1 && narrow.1 <= wide.1 && wide.0 >= 0.0, "{after:?}");
            assert!(width(&after) >= width(&first), "{target}: {after:?}");
        }
        (0..2000).for_each(|_| service.observe(target, &first, first.value).unwrap());
        assert!(width(&estimate()) <= width(&first), "{target}: hits narrow");
    }
}
