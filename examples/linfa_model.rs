//! Estimators of `linfa` as models: three go through the gate and are served; then the success model in rules.

#[path = "common/out.rs"]
#[macro_use]
mod out;

use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::dataset::{DatasetBuilder, Target};
use devmatrix_ml::event::{GenerationEvent, Record};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{LinfaTrainer, Predictor, SuccessTrainer, Trainer};
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStoreExt, MemoryStore};
use devmatrix_ml::{Engine, Result};
use futures_executor::block_on;
use linfa::prelude::*;
use linfa_elasticnet::ElasticNet;
use linfa_logistic::{FittedLogisticRegression, LogisticRegression};
use linfa_svm::Svm;
use std::sync::Arc;

fn main() -> Result<()> {
    let past: Vec<_> = Simulator::new(SimulatorOptions::default())?.map(Generation::into_event).collect();
    let task = past[past.len() - 1].started.value.context.clone();
    let mut facts = past.into_iter().map(GenerationEvent::into_records).collect::<Result<Vec<_>>>()?.concat();
    facts.sort_by_key(Record::known_at);
    let now = facts[facts.len() - 1].known_at();
    let clock = Arc::new(ManualClock::at(now));
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    facts.iter().for_each(|fact| builder.apply(fact));
    let logistic = LinfaTrainer::new(
        "success_logistic",
        Target::Success,
        |rows| LogisticRegression::default().alpha(20.0).fit(&rows.map_targets(|y| *y > 0.5)),
        |model: &FittedLogisticRegression<f64, bool>, rows| model.predict_probabilities(rows),
    );
    let svm = LinfaTrainer::new(
        "success_svm",
        Target::Success,
        |rows| Svm::<_, bool>::params().pos_neg_weights(0.1, 0.1).fit(&rows.map_targets(|y| *y > 0.5)),
        |svm: &Svm<f64, bool>, rows| rows.outer_iter().map(|row| svm.weighted_sum(&row) - svm.rho).collect(),
    );
    let elastic_net = LinfaTrainer::new(
        "seconds_elastic_net",
        Target::Time,
        |rows| ElasticNet::params().penalty(0.05).l1_ratio(0.5).fit(&rows.map_targets(|y| y.ln_1p())),
        |model: &ElasticNet<f64>, rows| model.predict(rows).mapv(f64::exp_m1),
    );
    block_on(async {
        let (store, registry) = (Arc::new(MemoryStore::new()), Arc::new(MemoryRegistry::new()));
        store.append_all(facts).await?;
        let engine = Engine::builder().with_store(store).with_registry(registry).with_clock(clock);
        let engine = engine.with_model(logistic).with_model(svm).with_model(elastic_net).open().await?;
        println!("{}", engine.run_nightly().await?);
        for (name, found) in engine.predict(&task)?.others {
            println!("{name}: {:.3}, version {}", found.value, found.model_version);
        }
        engine.close().await
    })?;
    let rows = builder.rows(Target::Success, now, 5_000);
    println!("success in rules: {}", SuccessTrainer::default().fit(&rows)?.surrogate(&rows)?);
    Ok(())
}
