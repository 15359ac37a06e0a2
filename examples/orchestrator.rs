//! The integration: predict before generating, choose a careful strategy where the risk is very
//! high, generate, record, take the feedback, learn at night.
//!
//! ```sh
//! cargo run --release --example orchestrator
//! ```

use chrono::TimeDelta;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::event::{
    Completion, Decision, EventId, Feedback, ShownPrediction, Started, TaskContext, TaskId, UserAction,
};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{RiskLevel, SuccessPrediction, SuccessTrainer};
use devmatrix_ml::registry::{DiskRegistry, ModelRegistry};
use devmatrix_ml::serve::PredictionService;
use devmatrix_ml::store::{EventStore, SqliteStore};
use devmatrix_ml::train::{Gate, TrainingOptions, train};
use std::sync::Arc;

/// What a host keeps.
struct Orchestrator {
    collector: DataCollector,
    predictions: PredictionService,
    store: Arc<dyn EventStore>,
    registry: DiskRegistry,
    clock: ManualClock,
}

impl Orchestrator {
    async fn open(folder: &std::path::Path, clock: ManualClock) -> devmatrix_ml::Result<Self> {
        let store: Arc<dyn EventStore> = Arc::new(SqliteStore::open(folder.join("events.db"))?);
        let time = Arc::new(clock.clone());
        let collector = DataCollector::open(store.clone(), FeatureEngineer::default(), time.clone()).await?;
        let predictions = PredictionService::new(collector.history(), FeatureEngineer::default(), time);
        let registry = DiskRegistry::open(folder.join("models"))?;
        predictions.reload(&registry).await?;
        Ok(Self { collector, predictions, store, registry, clock })
    }

    /// Predicts, adapts, generates and records.
    async fn execute(&self, mut task: TaskContext) -> devmatrix_ml::Result<(EventId, SuccessPrediction)> {
        let prediction = self.predictions.predict_success(&task)?;
        let strategy = choose_strategy(&mut task, &prediction);
        let mut started = Started::from(task.clone());
        started.predictions = vec![ShownPrediction::new(
            "success",
            prediction.success_probability,
            prediction.interval,
            format!("{:?}", prediction.status),
            prediction.model_version,
        )];
        started.decision =
            Some(Decision::new("risk rule 1", vec!["plain".into(), "careful".into()], strategy, 1.0)?);
        let event = self.collector.start(started).await?;
        self.collector.complete(&event, generate(&task)).await?;
        Ok((event, prediction))
    }

    /// What the host's scheduler calls at 02:00.
    async fn nightly(&self) -> devmatrix_ml::Result<()> {
        let mut options = TrainingOptions::default();
        options.gate = Gate::relative();
        let (trainer, engineer) = (SuccessTrainer::default(), FeatureEngineer::default());
        match train(&trainer, self.store.as_ref(), &self.registry, &engineer, &self.clock, &options).await {
            Ok(report) => println!(
                "trained version {}: promoted {}, {:?}",
                report.version.version, report.promoted, report.reasons
            ),
            Err(error) => println!("not trained: {error}"),
        }
        let swapped = self.predictions.reload(&self.registry).await?;
        for change in swapped.changes {
            println!("{}: serving version {:?}, before {:?}", change.model, change.now, change.before);
        }
        Ok(())
    }
}

/// Very high risk: cooler, with more examples.
fn choose_strategy(task: &mut TaskContext, prediction: &SuccessPrediction) -> &'static str {
    if prediction.risk_level != RiskLevel::VeryHigh {
        return "plain";
    }
    task.temperature = Some(0.05);
    task.rag_enabled = Some(true);
    task.rag_examples_count = Some(5);
    "careful"
}

/// Stands for the LLM: a real host calls its agent here.
fn generate(task: &TaskContext) -> Completion {
    let mut done = Completion::default();
    done.generated_code = Some(format!("# {}\ndef handler():\n    return 200\n", task.task_description));
    done.generation_time_seconds = Some(14.2);
    done.tokens_used = Some(1_850);
    done.self_review_score = Some(7.5);
    done
}

fn task(i: u64) -> devmatrix_ml::Result<TaskContext> {
    let kind = ["documentation", "backend", "database"][(i % 3) as usize];
    let mut task = TaskContext::new(TaskId::new(format!("TASK-{i}"))?);
    task.task_type = Some(kind.into());
    task.task_description = format!("Write the {kind} part of feature {}", i % 17);
    task.language = Some("python".into());
    task.agent_type = Some("implementation".into());
    task.model_used = Some("claude-sonnet-4.5".into());
    task.temperature = Some(0.1);
    task.max_tokens = Some(8000);
    Ok(task)
}

/// Stands for the user: database work is rarely taken as it is.
fn review(i: u64) -> Feedback {
    let taken = [9, 7, 2][(i % 3) as usize] > (i * 7919) % 10;
    Feedback::new(if taken { UserAction::Approve } else { UserAction::Reject })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("devmatrix-orchestrator-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let clock = ManualClock::at("2025-03-03T09:00:00Z".parse()?);
    let host = Orchestrator::open(&folder, clock.clone()).await?;
    for i in 0..400 {
        let (event, _) = host.execute(task(i)?).await?;
        clock.advance(TimeDelta::minutes(30));
        host.collector.feedback(&event, review(i)).await?;
    }
    host.collector.flush().await?;
    println!("{} recorded; it is {}", 400, clock.now());
    host.nightly().await?;
    for i in 400..403 {
        let prediction = host.execute(task(i)?).await?.1;
        println!(
            "{}: {:.0} % ({:?})",
            task(i)?.task_description,
            prediction.success_probability * 100.0,
            prediction.risk_level
        );
        for group in prediction.reasons_by_topic.iter().take(3) {
            println!("  {:+.2}  {}", group.contribution, group.text);
        }
        if let Some(similar) = prediction.similar_tasks {
            println!("         {}", similar.text);
        }
    }
    println!("versions kept: {}", host.registry.versions("success").await?.len());
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
