//! A custom model: predicts how many tokens a generation will use, in place of the crate's own. It passes the public
//! conformance check and the backtest; an engine trains it through the gate and serves it beside the others.

#[path = "common/out.rs"]
#[macro_use]
mod out;

use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::dataset::{Dataset, DatasetBuilder, Example, Target};
use devmatrix_ml::event::{GenerationEvent, Record, TaskContext};
use devmatrix_ml::features::{self, FeatureEngineer, FeatureId, FeatureRow};
use devmatrix_ml::ml::metrics::RegressionScores;
use devmatrix_ml::ml::{BoostParams, FitRequest, Matrix, Objective, Sample, Trees};
use devmatrix_ml::models::{Attribution, Predictor, Status, Trainer, conformance};
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStoreExt, MemoryStore};
use devmatrix_ml::training::{BacktestOptions, TrainingOptions, backtest_with};
use devmatrix_ml::{Engine, Error, ErrorKind, Result};
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Features of the model.
const FEATURES: [FeatureId; 5] = [
    FeatureId::AvgTokensPerTask,
    FeatureId::TaskAvgTokens,
    FeatureId::TaskDescriptionLength,
    FeatureId::NumRequirements,
    FeatureId::MaxTokens,
];
/// Smallest training set.
const FEWEST: usize = 50;

#[derive(Debug, Default)]
struct TokensTrainer;
#[derive(Debug)]
struct TokensModel {
    /// The median of ln(1 + tokens).
    trees: Trees,
    schema: u64,
}

fn row_of(row: &FeatureRow) -> Vec<f32> {
    FEATURES.iter().map(|id| row.values[*id as usize]).collect()
}

impl Trainer for TokensTrainer {
    type Model = TokensModel;

    fn name(&self) -> &'static str {
        "tokens"
    }
    fn target(&self) -> Target {
        Target::Tokens
    }
    fn fit(&self, data: &Dataset) -> Result<TokensModel> {
        let rows: Vec<&Example> = data.certain().collect();
        let have = rows.len();
        if have < FEWEST {
            let kind = ErrorKind::NotEnoughData { have, need: FEWEST };
            return Err(Error::new(
                kind,
                format!("{have} generations with a token count, {FEWEST} are needed"),
            ));
        }
        let values: Vec<f32> = rows.iter().flat_map(|e| row_of(&e.features)).collect();
        let labels: Vec<f64> = rows.iter().map(|e| e.label.ln_1p()).collect();
        let weights: Vec<f64> = rows.iter().map(|e| e.weight).collect();
        let sample =
            Sample::new(Matrix { values: &values, width: FEATURES.len() }, &labels).weighted(&weights);
        let request = FitRequest::new(Objective::AbsoluteError, sample);
        Ok(TokensModel { trees: Trees::fit(&BoostParams::default(), &request)?, schema: data.schema })
    }
    fn read(&self, bytes: &[u8]) -> Result<TokensModel> {
        let cut = || Error::new(ErrorKind::Corrupt, "the tokens model is truncated");
        let (schema, trees) = bytes.split_first_chunk().ok_or_else(cut)?;
        Ok(TokensModel { trees: Trees::from_bytes(trees)?, schema: u64::from_le_bytes(*schema) })
    }
    fn prior(&self, row: &FeatureRow) -> (f64, Status) {
        match row_of(row)[0] {
            mean if mean.is_nan() => (1000.0, Status::InsufficientEvidence),
            mean => (f64::from(mean).exp_m1(), Status::ColdStart),
        }
    }
    fn loss(&self, point: f64, label: f64) -> f64 {
        (point - label).abs()
    }
    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)> {
        let mean = train.examples.iter().map(|e| e.label).sum::<f64>() / train.examples.len() as f64;
        let prior = test.iter().map(|e| self.prior(&e.features).0).collect();
        vec![("constant".to_owned(), vec![mean; test.len()]), ("llm_mean".to_owned(), prior)]
    }
    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        Ok(RegressionScores::of(points, labels)?.to_map())
    }
    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({ "features": FEATURES.map(|id| features::FEATURES[id as usize].name), "boost": BoostParams::default() })
    }
}

impl Predictor for TokensModel {
    type Prediction = f64;

    fn predict(&self, row: &FeatureRow) -> f64 {
        self.trees.margin(&row_of(row)).map_or(0.0, |log| log.clamp(0.0, 20.0).exp_m1())
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
        Ok([self.schema.to_le_bytes().to_vec(), self.trees.to_bytes()?].concat())
    }
}

/// Lets an engine train it through the gate, and serve it beside the others.
async fn serve(records: Vec<Record>, task: TaskContext) -> Result<()> {
    let clock = ManualClock::at(records.last().map_or_else(Default::default, Record::known_at));
    let store = Arc::new(MemoryStore::new());
    store.append_all(records).await?;
    let mut options = TrainingOptions::default();
    // Simulated tokens are mostly noise: no model is significantly better than the baselines here.
    options.gate.baselines = false;
    let engine = Engine::builder()
        .with_store(store)
        .with_registry(Arc::new(MemoryRegistry::new()))
        .with_clock(Arc::new(clock))
        .with_training(options)
        .with_model(TokensTrainer)
        .open()
        .await?;
    println!("{}", engine.run_nightly().await?);
    for (name, estimate) in &engine.predict(&task)?.others {
        println!("{name}, served by version {}: {:.3}", estimate.model_version, estimate.value);
    }
    let typed = engine.service().predict_with(&TokensTrainer, &task)?;
    println!("in the model's own type: {typed:?}");
    engine.close().await
}

fn main() -> Result<()> {
    let events: Vec<_> = Simulator::new(SimulatorOptions::default())?.map(Generation::into_event).collect();
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    let records = events.clone().into_iter().map(GenerationEvent::into_records);
    let mut records = records.collect::<Result<Vec<_>>>()?.concat();
    records.sort_by_key(Record::known_at);
    records.iter().for_each(|record| builder.apply(record));
    let now = records.last().map_or_else(Default::default, Record::known_at);
    conformance::check(&TokensTrainer, &builder.rows(Target::Tokens, now, 2000));
    let task = events.last().map(|event| event.started.value.context.clone());
    let report = backtest_with(TokensTrainer, events, &BacktestOptions::default())?;
    println!("mean absolute error: {:.0} tokens", report.metrics["mae"]);
    for (name, scores) in report.baselines {
        println!("  {name}: {:.0}", scores["mae"]);
    }
    task.map_or(Ok(()), |task| block_on(serve(records, task)))
}
