//! Models of this crate on trees grown by LightGBM.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::world::store_of;
use devmatrix_ml::clock::Clock;
use devmatrix_ml::dataset::Target;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::ml::BoostingLibrary;
use devmatrix_ml::models::open_artefact;
use devmatrix_ml::models::{
    Predictor, RegressionParams, SuccessParams, SuccessTrainer, TimeTrainer, Trainer, conformance,
};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry};
use devmatrix_ml::training::{Training, replay};
use futures_executor::block_on;

fn success() -> SuccessTrainer {
    let mut params = SuccessParams::default();
    params.boost.library = BoostingLibrary::Lightgbm;
    SuccessTrainer::new(params).unwrap()
}

#[test]
fn models_on_lightgbm_conform() {
    let (store, clock) = store_of(12, 60.0, 1);
    let rows = |target| {
        block_on(replay(store.as_ref(), &FeatureEngineer::default(), target, clock.now(), 50_000)).unwrap()
    };
    conformance::check(&success(), &rows(Target::Success));
    let mut params = RegressionParams::default();
    params.boost.library = BoostingLibrary::Lightgbm;
    conformance::check(&TimeTrainer::new(params).unwrap(), &rows(Target::Time));
}

#[test]
fn a_lightgbm_model_is_promoted_and_read_by_a_default_trainer() {
    let (store, clock) = store_of(15, 60.0, 4);
    let (registry, engineer) = (MemoryRegistry::new(), FeatureEngineer::default());
    let training = Training::new(store.as_ref(), &registry, &engineer, &clock);
    let report = block_on(training.run(&success())).unwrap();
    assert!(report.promoted, "{:?}", report.reasons);
    assert_eq!(report.version.parameters["model"]["boost"]["library"], "lightgbm");
    let bytes = block_on(registry.artefact("success", 1)).unwrap();
    let served = open_artefact(&SuccessTrainer::default(), &bytes).unwrap();
    let data = block_on(replay(store.as_ref(), &engineer, Target::Success, clock.now(), 50_000)).unwrap();
    let fitted = success().fit(&data).unwrap();
    for example in data.examples.iter().take(100) {
        assert_eq!(served.point(&example.features), fitted.point(&example.features));
    }
    assert!(!served.gains().is_empty());
}
