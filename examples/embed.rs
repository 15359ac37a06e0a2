//! A whole host in 25 lines; run it twice: the second run knows what the first has learned.
//!
//! ```sh
//! cargo run --release --example embed
//! ```

use devmatrix_ml::{Candidate, Completion, Engine, Feedback, Result, TaskContext, UserAction};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let path = std::env::temp_dir().join("devmatrix-ml-embed");
    let engine = Engine::builder().with_path(path)?.with_usd_per_day(20.0).open().await?;
    let candidates = ["claude-sonnet-4.5", "gpt-4.1-mini"].map(Candidate::by_llm);
    for i in 0..200 {
        let mut task = TaskContext::of(format!("TASK-{i}"))?;
        task.task_description = format!("Add a {}", ["REST endpoint", "database migration"][i % 2]);
        let choice = engine.choose(&task, &candidates)?; // with its propensity, within the budget
        let event = engine.start(&choice).await?; // durable when it returns, as are the next two
        let mut done = Completion::default(); // here the host's agent generates
        done.cost_usd = Some(0.02);
        engine.complete(&event, done).await?;
        let said = Feedback::new([UserAction::Approve, UserAction::Reject][i % 2]); // here the user decides
        engine.feedback(&event, said).await?;
    }
    println!("{}", engine.run_nightly().await?); // from the host's scheduler: trains, promotes, serves
    let mut task = TaskContext::of("TASK-200")?;
    task.task_description = "Add a database migration for orders".into();
    println!("{}", engine.predict(&task)?.success); // with explanations; no I/O
    engine.close().await
}
