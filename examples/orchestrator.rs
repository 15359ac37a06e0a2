//! The integration: choose LLM and settings among candidates by what is predicted of each, take a
//! careful strategy where the risk is very high, generate, record, take the feedback, learn from it at
//! once (which candidate to choose) and at night (what to predict).
//!
//! ```sh
//! cargo run --release --example orchestrator
//! ```

use chrono::TimeDelta;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::event::{Completion, EventId, Feedback, TaskContext, TaskId, UserAction};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{SuccessPrediction, SuccessTrainer};
use devmatrix_ml::registry::{DiskRegistry, ModelRegistry};
use devmatrix_ml::routing::{Boosted, Candidate, Choice, Request, RiskPolicy, Router, RouterOptions};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::store::{EventStore, EventStoreExt, SqliteStore};
use devmatrix_ml::training::{Gate, TrainingOptions, train};
use std::sync::Arc;

/// What a host keeps.
struct Orchestrator {
    collector: DataCollector,
    predictions: PredictionService,
    router: Router,
    strategy: RiskPolicy,
    candidates: Vec<Candidate>,
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
        let router = Router::new(Box::new(Boosted::default()), RouterOptions::default())?;
        let llms = [("claude-sonnet-4.5", 0.009), ("claude-opus-5", 0.020), ("gpt-4.1-mini", 0.002)];
        let candidates = llms.map(|(llm, price)| Candidate::by_llm(llm).with_price(price)).into();
        let strategy = RiskPolicy::default();
        Ok(Self { collector, predictions, router, strategy, candidates, store, registry, clock })
    }

    /// Chooses, adapts, generates and records.
    async fn execute(
        &mut self,
        task: TaskContext,
    ) -> devmatrix_ml::Result<(EventId, Choice, SuccessPrediction)> {
        let request =
            Request::new(&task, &self.candidates, self.clock.now()).with_default("claude-sonnet-4.5");
        let mut choice = self.router.choose_predicted(&self.predictions, &request)?;
        let prediction = self.predictions.predict_success(&choice.task)?;
        let (plan, adjustments) = self.strategy.adjust(&choice.plan, &prediction)?;
        choice.task = plan.apply(&task);
        let mut started = choice.started();
        started.metadata.insert("adjustments".into(), serde_json::json!(adjustments));
        let event = self.collector.start(started).await?;
        let done = generate(&choice.task);
        self.router.completed(&choice.task, &done, self.clock.now());
        self.collector.complete(&event, done).await?;
        Ok((event, choice, prediction))
    }

    /// Records what the user says, and lets the router learn from it.
    async fn judged(&mut self, event: &EventId, feedback: Feedback) -> devmatrix_ml::Result<()> {
        self.collector.feedback(event, feedback).await?;
        self.router.feedback(&self.store.event(event).await?);
        Ok(())
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

/// Stands for the LLM: a real host calls its agent here.
fn generate(task: &TaskContext) -> Completion {
    let mut done = Completion::default();
    let price = if task.model_used.as_deref() == Some("claude-opus-5") { 0.037 } else { 0.0167 };
    done.cost_usd = Some(price);
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
    task.temperature = Some(0.1);
    task.max_tokens = Some(8000);
    Ok(task)
}

/// Stands for the user: database work is rarely taken as it is, unless the stronger LLM does it.
fn review(i: u64, task: &TaskContext) -> Feedback {
    let stronger = task.model_used.as_deref() == Some("claude-opus-5");
    let taken = [9, 7, if stronger { 8 } else { 2 }][(i % 3) as usize] > (i * 7919) % 10;
    Feedback::new(if taken { UserAction::Approve } else { UserAction::Reject })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("devmatrix-orchestrator-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let clock = ManualClock::at("2025-03-03T09:00:00Z".parse()?);
    let mut host = Orchestrator::open(&folder, clock.clone()).await?;
    for i in 0..400 {
        let (event, choice, _) = host.execute(task(i)?).await?;
        clock.advance(TimeDelta::minutes(30));
        host.judged(&event, review(i, &choice.task)).await?;
    }
    host.collector.flush().await?;
    println!("{} recorded; it is {}", 400, clock.now());
    host.nightly().await?;
    for i in 400..403 {
        let (_, choice, prediction) = host.execute(task(i)?).await?;
        println!(
            "{}: {:.0} % ({:?})",
            task(i)?.task_description,
            prediction.success_probability * 100.0,
            prediction.risk_level
        );
        println!("  {}", choice.decision.reason.unwrap_or_default());
        for group in prediction.attributions_by_topic.iter().take(3) {
            println!("  {:+.2}  {}", group.contribution, group.text);
        }
        if let Some(similar) = prediction.similar_tasks {
            println!("         {}", similar.text);
        }
    }
    for row in host.router.leaderboard() {
        let (low, high) = row.interval;
        println!(
            "{:<14} {:<18} relied on {:.2}: {:.0} % of {} ({:.0} to {:.0})",
            row.task_type,
            row.llm,
            row.win_probability,
            row.rate * 100.0,
            row.outcomes,
            low * 100.0,
            high * 100.0
        );
    }
    println!("versions kept: {}", host.registry.versions("success").await?.len());
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
