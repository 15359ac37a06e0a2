//! A host's own model is trained, tried and served by the engine as the built-in ones are.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use chrono::TimeDelta;
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::dataset::{Dataset, Example, Target};
use devmatrix_ml::engine::NightlySummary;
use devmatrix_ml::event::TemplateId;
use devmatrix_ml::features::FeatureRow;
use devmatrix_ml::models::{Attribution, Predictor, Status, TemplateCatalogue, TemplateProfile, Trainer};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry, Stage};
use devmatrix_ml::store::MemoryStore;
use devmatrix_ml::training::{NightlyReport, Promotion, TrainingOptions};
use devmatrix_ml::{
    Completion, Engine, EngineBuilder, Error, ErrorKind, Feedback, Result, TaskContext, UserAction,
};
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Predicts the mean number of tokens.
#[derive(Debug)]
struct MeanTokens(&'static str);

#[derive(Debug)]
struct Mean {
    mean: f64,
    schema: u64,
}

impl Trainer for MeanTokens {
    type Model = Mean;

    fn name(&self) -> &'static str {
        self.0
    }

    fn target(&self) -> Target {
        Target::Tokens
    }

    fn fit(&self, data: &Dataset) -> Result<Mean> {
        let sum: f64 = data.examples.iter().map(|example| example.label).sum();
        Ok(Mean { mean: sum / data.examples.len() as f64, schema: data.schema })
    }

    fn read(&self, bytes: &[u8]) -> Result<Mean> {
        let (mean, schema) = bytes.split_at(8);
        let number = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).unwrap();
        Ok(Mean { mean: f64::from_le_bytes(number(mean)), schema: u64::from_le_bytes(number(schema)) })
    }

    fn prior(&self, _row: &FeatureRow) -> (f64, Status) {
        (7.0, Status::InsufficientEvidence)
    }

    fn loss(&self, point: f64, label: f64) -> f64 {
        (point - label).abs()
    }

    fn baselines(&self, _train: &Dataset, _test: &[Example]) -> Vec<(String, Vec<f64>)> {
        Vec::new()
    }

    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        let sum: f64 = points.iter().zip(labels).map(|(point, label)| self.loss(*point, *label)).sum();
        Ok([("mae".to_owned(), sum / points.len() as f64)].into())
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

impl Predictor for Mean {
    type Prediction = f64;

    fn predict(&self, _row: &FeatureRow) -> f64 {
        self.mean
    }

    fn point(&self, row: &FeatureRow) -> f64 {
        self.predict(row)
    }

    fn reasons(&self, _row: &FeatureRow) -> Vec<Attribution> {
        Vec::new()
    }

    fn schema(&self) -> u64 {
        self.schema
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok([self.mean.to_le_bytes(), self.schema.to_le_bytes()].concat())
    }
}

fn builder(clock: &ManualClock, registry: &Arc<MemoryRegistry>) -> EngineBuilder {
    Engine::builder()
        .with_store(Arc::new(MemoryStore::new()))
        .with_registry(registry.clone())
        .with_clock(Arc::new(clock.clone()))
}

fn task(i: u64) -> TaskContext {
    let mut task = TaskContext::of(format!("TASK-{i}")).unwrap();
    task.task_type = Some(["backend", "database"][(i % 2) as usize].into());
    task.task_description = format!("Write part {} of the service", i % 17);
    task
}

/// Records generations that take `tokens` tokens each, half of them approved.
async fn record(engine: &Engine, clock: &ManualClock, count: u64, tokens: u64) {
    for i in 0..count {
        let event = engine.start(task(i)).await.unwrap();
        let mut done = Completion::default();
        done.tokens_used = Some(tokens);
        engine.complete(&event, done).await.unwrap();
        let action = if i.is_multiple_of(2) { UserAction::Approve } else { UserAction::Reject };
        engine.feedback(&event, Feedback::new(action)).await.unwrap();
        clock.advance(TimeDelta::minutes(10));
    }
}

/// Returns what happened to one model.
fn of<'a>(summary: &'a NightlySummary, model: &str) -> &'a NightlyReport {
    summary.models.iter().find(|report| report.model == model).unwrap()
}

#[test]
fn an_engine_trains_tries_and_serves_a_hosts_own_model() {
    let clock = ManualClock::at("2025-03-03T09:00:00Z".parse().unwrap());
    let registry = Arc::new(MemoryRegistry::new().with_clock(Arc::new(clock.clone())));
    let mut options = TrainingOptions::default();
    options.promotion = Promotion::Trial;
    let builder = builder(&clock, &registry).with_training(options).with_model(MeanTokens("tokens"));
    block_on(async {
        let engine = builder.open().await.unwrap();
        let tokens = || engine.predict(&task(1)).unwrap().others["tokens"].clone();
        assert_eq!((tokens().value, tokens().status), (7.0, Status::InsufficientEvidence));
        record(&engine, &clock, 60, 1_000).await;
        let summary = engine.run_nightly().await.unwrap();
        let report = of(&summary, "tokens");
        assert!(report.trained.as_ref().unwrap().promoted, "{summary}");
        assert_eq!((tokens().value, tokens().model_version), (1_000.0, 1));
        let typed = engine.service().predict_with(&MeanTokens("tokens"), &task(1)).unwrap();
        assert_eq!(typed, Some(1_000.0));
        let shown = engine.predict(&task(1)).unwrap().shown();
        assert!(shown.iter().any(|shown| shown.target == "tokens@80"), "{shown:?}");

        // The world has changed: the next version goes on trial beside it.
        clock.advance(TimeDelta::days(1));
        record(&engine, &clock, 120, 3_000).await;
        let summary = engine.run_nightly().await.unwrap();
        assert!(of(&summary, "tokens").trained.as_ref().unwrap().on_trial, "{summary}");
        assert_eq!(tokens().model_version, 1);
        let shadow = engine.service().clone().with_canary(1.0).unwrap();
        let challenger = shadow.predict_all(&task(1)).unwrap();
        assert_eq!(challenger.others["tokens"].model_version, 2);
        assert!(challenger.others["tokens"].value > 2_000.0);

        // And is promoted by what it predicted of what came since.
        let mut promoted = false;
        for _ in 0..5 {
            clock.advance(TimeDelta::days(1));
            record(&engine, &clock, 120, 3_000).await;
            engine.run_nightly().await.unwrap();
            promoted |= tokens().model_version == 2;
        }
        assert!(promoted, "{:?}", registry.versions("tokens").await.unwrap());
        assert_eq!(registry.version("tokens", 1).await.unwrap().stage, Stage::Archived);
    });
}

#[test]
fn two_models_of_one_name_are_an_error() {
    let clock = ManualClock::at("2025-03-03T09:00:00Z".parse().unwrap());
    let registry = Arc::new(MemoryRegistry::new());
    for second in ["tokens", "success"] {
        let builder = builder(&clock, &registry);
        let builder = builder.with_model(MeanTokens("tokens")).with_model(MeanTokens(second));
        let error: Error = block_on(builder.open()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&format!("a model named {second} is served already")), "{error}");
    }
}

#[test]
fn an_engine_ranks_the_hosts_templates() {
    let clock = ManualClock::at("2025-03-03T09:00:00Z".parse().unwrap());
    let registry = Arc::new(MemoryRegistry::new());
    let profile = |topic: &str| {
        let mut profile = TemplateProfile::new(TemplateId::new(topic).unwrap());
        profile.description = format!("for {topic}");
        profile.tags = vec![topic.to_owned()];
        profile
    };
    let catalogue = TemplateCatalogue::new(["service", "database"].map(profile)).unwrap();
    let engine = block_on(builder(&clock, &registry).with_templates(catalogue).open()).unwrap();
    let ranking = engine.rank_templates(&task(1)).unwrap();
    assert_eq!(Some(ranking), engine.predict(&task(1)).unwrap().templates);
    let without = block_on(builder(&clock, &registry).open()).unwrap();
    let error = without.rank_templates(&task(1)).unwrap_err();
    assert!(error.to_string().contains("has no templates"), "{error}");
}
