//! The integration: choose LLM and settings among candidates by what is predicted of each, set other
//! settings where the risk is very high, generate, record, take the feedback, learn from it at once (which
//! candidate to choose) and at night (what to predict). One [`Engine`] does it.
//!
//! ```sh
//! cargo run --release --example orchestrator
//! ```

#[path = "common/out.rs"]
#[macro_use]
mod out;
#[path = "common/interrupt.rs"]
mod interrupt;

use chrono::TimeDelta;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::routing::RiskPolicy;
use devmatrix_ml::{
    Candidate, Choice, Completion, Engine, EventId, Feedback, Result, TaskContext, UserAction,
};
use std::path::Path;
use std::sync::Arc;

/// The engine, with what the host knows of its LLMs.
struct Orchestrator {
    engine: Engine,
    candidates: Vec<Candidate>,
}

impl Orchestrator {
    async fn open(folder: &Path, clock: &ManualClock) -> Result<Self> {
        let engine = Engine::builder()
            .with_path(folder)?
            .with_clock(Arc::new(clock.clone()))
            .with_usd_per_day(20.0)
            .with_default_candidate("claude-sonnet-4.5")
            .with_risk_policy(RiskPolicy::default())
            .open()
            .await?;
        let llms = [("claude-sonnet-4.5", 0.009), ("claude-opus-5", 0.020), ("gpt-4.1-mini", 0.002)];
        let candidates = llms.map(|(llm, price)| Candidate::by_llm(llm).with_price(price)).into();
        Ok(Self { engine, candidates })
    }

    /// Chooses, generates and records.
    async fn execute(&self, task: &TaskContext) -> Result<(EventId, Choice)> {
        let choice = self.engine.choose(task, &self.candidates)?;
        let event = self.engine.start(&choice).await?;
        self.engine.complete(&event, generate(&choice.task)).await?;
        Ok((event, choice))
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

fn task(i: u64) -> Result<TaskContext> {
    let kind = ["documentation", "backend", "database"][(i % 3) as usize];
    let mut task = TaskContext::of(format!("TASK-{i}"))?;
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
    interrupt::removes(folder.clone())?;
    let clock = ManualClock::at("2025-03-03T09:00:00Z".parse()?);
    let host = Orchestrator::open(&folder, &clock).await?;
    for i in 0..400 {
        let (event, choice) = host.execute(&task(i)?).await?;
        clock.advance(TimeDelta::minutes(30));
        host.engine.feedback(&event, review(i, &choice.task)).await?;
    }
    println!("{} recorded; it is {}", 400, clock.now());
    println!("{}", host.engine.run_nightly().await?); // a real host's scheduler calls it at 02:00
    for i in 400..403 {
        let (_, choice) = host.execute(&task(i)?).await?;
        println!("{}: {}", choice.task.task_description, choice.decision.reason.unwrap_or_default());
        for adjustment in &choice.adjustments {
            println!("  {} = {}: {}", adjustment.setting, adjustment.value, adjustment.reason);
        }
        let Some(predicted) = choice.predicted else { continue };
        let success = predicted.success;
        println!("  {success}");
        for group in success.attributions_by_topic.iter().take(3) {
            println!("  {:+.2}  {}", group.contribution, group.text);
        }
        if let Some(similar) = success.similar_tasks {
            println!("         {}", similar.text);
        }
    }
    for row in host.engine.leaderboard() {
        let (low, high) = row.interval;
        println!(
            "{:<14} {:<18} best with probability {:.2}: {:.0} % of {} ({:.0} to {:.0})",
            row.task_type,
            row.llm,
            row.win_probability,
            row.rate * 100.0,
            row.outcomes,
            low * 100.0,
            high * 100.0
        );
    }
    host.engine.close().await?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
