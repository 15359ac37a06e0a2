//! External models: registered with a verdict on evidence, calibrated and explained.

#[cfg(test)]
use crate::clock::{Clock, ManualClock};
use crate::common::world::store_of;
use crate::dataset::{Dataset, Target};
use crate::features::{FEATURES, FeatureEngineer, Kind, KnownWhen, index_of};
use crate::ml::{BoostParams, FitRequest, Matrix, Objective, Sample, Trees};
use crate::models::{
    ExternalModel, ExternalModelOptions, Predictor, Status, SuccessTrainer, Trainer, open_artefact,
};
use crate::registry::{MemoryRegistry, ModelRegistry, Stage};
use crate::serving::PredictionService;
use crate::store::MemoryStore;
use crate::training::{Training, replay};
use crate::{ErrorKind, Result};
use chrono::{DateTime, Utc};
use futures_executor::block_on;

/// Trains trees in XGBoost's format on some features of a host's past rows.
fn trained_elsewhere(data: &Dataset, names: &[&str], log_label: bool) -> Vec<u8> {
    let places: Vec<_> = names.iter().map(|name| index_of(name).unwrap()).collect();
    let values: Vec<f32> =
        data.certain().flat_map(|e| places.iter().map(|p| e.features.values[*p])).collect();
    let labels: Vec<_> = data.certain().map(|e| if log_label { e.label.ln_1p() } else { e.label }).collect();
    let objective =
        if data.target == Target::Success { Objective::Logistic } else { Objective::AbsoluteError };
    let mut params = BoostParams::regression();
    (params.rounds, params.max_leaves) = (60, 8);
    let sample = Sample::new(Matrix { values: &values, width: places.len() }, &labels);
    Trees::fit(&params, &FitRequest::new(objective, sample)).unwrap().to_bytes().unwrap()
}

/// Returns the numeric features that are known before a generation.
fn before() -> Vec<&'static str> {
    let known = FEATURES.iter().filter(|f| f.known == KnownWhen::Before && f.kind != Kind::Category);
    known.map(|f| f.name).collect()
}

struct Host {
    store: std::sync::Arc<MemoryStore>,
    registry: MemoryRegistry,
    engineer: FeatureEngineer,
    clock: ManualClock,
}

impl Host {
    fn new(per_day: f64, seed: u64) -> Self {
        let (store, clock) = store_of(20, per_day, seed);
        Self { store, registry: MemoryRegistry::new(), engineer: FeatureEngineer::default(), clock }
    }

    fn rows(&self, target: Target) -> Dataset {
        block_on(replay(self.store.as_ref(), &self.engineer, target, self.clock.now(), 50_000)).unwrap()
    }

    /// Returns past rows, and the time at which they ended.
    fn past(&self, target: Target) -> (Dataset, DateTime<Utc>) {
        let all = self.rows(target);
        let until = all.examples[all.examples.len() * 3 / 5].started_at;
        (all.until(until), until)
    }

    fn import(&self, model: &ExternalModel) -> Result<crate::training::TrainingReport> {
        let training = Training::new(self.store.as_ref(), &self.registry, &self.engineer, &self.clock);
        block_on(training.import(model))
    }
}

fn options_for(names: &[&str], log_label: bool) -> ExternalModelOptions {
    let mut options = ExternalModelOptions::default();
    options.names = Some(names.iter().map(|name| (*name).to_owned()).collect());
    options.log_label = log_label;
    options
}

#[test]
fn an_external_model_is_promoted_on_evidence_and_explains_its_predictions() {
    let host = Host::new(400.0, 11);
    let names = before();
    let (past, until) = host.past(Target::Success);
    let bytes = trained_elsewhere(&past, &names, false);
    let model = ExternalModel::read(&bytes, Target::Success, until, &options_for(&names, false)).unwrap();
    let report = host.import(&model).unwrap();
    assert!(report.promoted, "{:?}", report.reasons);
    let version = block_on(host.registry.production("success")).unwrap().unwrap();
    assert!(version.metrics["auc"] > 0.55 && version.metrics.contains_key("agent_prior.logloss"));
    assert_eq!(version.parameters["model"]["imported"]["format"], "XGBoost (UBJSON)");
    assert_eq!(version.parameters["model"]["imported"]["sha256"].as_str().unwrap().len(), 64);
    assert!(version.data_from.unwrap() >= until, "only rows that it was not trained on");

    let artefact = block_on(host.registry.artefact("success", version.version)).unwrap();
    let served = open_artefact(&SuccessTrainer::default(), &artefact).unwrap();
    for example in host.rows(Target::Success).examples.iter().take(200) {
        let row = &example.features;
        assert_eq!(served.margin(row), model.margin(row));
        let (base, features, wording) = served.contributions(row);
        let sum = base + features.iter().sum::<f64>() + wording;
        assert!((sum - served.margin(row)).abs() < 1e-4, "{sum} {}", served.margin(row));
        let found = served.predict(row);
        let (p, (low, high), pair) = (found.success_probability, found.interval, found.venn_abers.unwrap());
        assert!(found.status == Status::Calibrated && low <= p && p <= high, "{found:?}");
        assert!(pair.0 <= p && p <= pair.1, "{found:?}");
    }
    assert!(served.gains().iter().map(|(_, share)| share).sum::<f64>() > 0.99);
    assert!(open_artefact(&SuccessTrainer::default(), &artefact[..artefact.len() - 1]).is_err());
    let payload = served.to_bytes().unwrap();
    for end in (0..payload.len()).step_by(997) {
        assert!(SuccessTrainer::default().read(&payload[..end]).is_err(), "cut at {end}");
    }

    let history = std::sync::Arc::new(crate::history::SharedHistory::new());
    let service =
        PredictionService::new(history, host.engineer.clone(), std::sync::Arc::new(host.clock.clone()));
    block_on(service.reload(&host.registry)).unwrap();
    let prediction = service.predict_success(&crate::common::task("TASK-9")).unwrap();
    assert_eq!((prediction.model_version, prediction.status), (version.version, Status::Calibrated));
}

#[test]
fn external_regression_models_get_calibrated_intervals() {
    let host = Host::new(100.0, 12);
    let names = before();
    for (target, log_label) in [(Target::Time, true), (Target::Quality, false), (Target::Complexity, false)] {
        let (past, until) = host.past(target);
        let bytes = trained_elsewhere(&past, &names, log_label);
        let model = ExternalModel::read(&bytes, target, until, &options_for(&names, log_label)).unwrap();
        let report = host.import(&model).unwrap();
        assert_eq!(report.version.model, target.name());
        assert!(!report.reasons.is_empty() && report.version.metrics.contains_key("mae"), "{target}");
        let artefact = block_on(host.registry.artefact(target.name(), report.version.version)).unwrap();
        let holdout_model =
            block_on(host.registry.evaluation_artefact(target.name(), report.version.version));
        assert!(
            holdout_model.unwrap().is_some_and(|holdout_model| holdout_model != artefact),
            "evaluated on rows that it was not calibrated on"
        );
    }
    let model = crate::models::TimeTrainer::default();
    let holdout_model = block_on(host.registry.evaluation_artefact("time", 1)).unwrap().unwrap();
    let holdout_model = open_artefact(&model, &holdout_model).unwrap();
    let (_, newest) = host.rows(Target::Time).split_by_time(0.08).unwrap();
    let covered = newest.iter().filter(|e| {
        let [_, (low, high)] = holdout_model.intervals(&e.features).unwrap();
        (low..=high).contains(&e.label)
    });
    let share = covered.count() as f64 / newest.len() as f64;
    assert!((0.8..=0.99).contains(&share), "{share} of {} within nine in ten", newest.len());
}

#[test]
fn a_worse_external_model_and_one_without_test_rows_are_not_promoted() {
    let host = Host::new(60.0, 13);
    let training = Training::new(host.store.as_ref(), &host.registry, &host.engineer, &host.clock);
    block_on(training.run(&SuccessTrainer::default())).unwrap();
    // A model trained on inverted labels.
    let (past, until) = host.past(Target::Success);
    let mut upside_down = past.clone();
    upside_down.examples.iter_mut().for_each(|e| e.label = 1.0 - e.label);
    let names = ["agent_past_performance", "temperature"];
    let read = |data: &Dataset, until| {
        let bytes = trained_elsewhere(data, &names, false);
        ExternalModel::read(&bytes, Target::Success, until, &options_for(&names, false)).unwrap()
    };
    let report = host.import(&read(&upside_down, until)).unwrap();
    assert!(!report.promoted && !report.reasons.is_empty());
    assert_eq!(report.version.stage, Stage::None);
    assert_eq!(report.version.parent, Some(1));
    let before = block_on(host.registry.versions("success")).unwrap().len();
    let error = host.import(&read(&past, host.clock.now())).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotEnoughData { have: 0, .. }), "{error}");
    assert_eq!(block_on(host.registry.versions("success")).unwrap().len(), before);
}
