//! A whole host in 25 lines; run it twice: the second run knows what the first has learned.
//!
//! ```sh
//! cargo run --release --example embed
//! ```

use devmatrix_ml::{Candidate, Completion, Engine, Feedback, Result, TaskContext, UserAction};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "devmatrix-ml-data".to_owned());
    let engine = Engine::builder().with_path(path)?.with_usd_per_day(20.0).open().await?;
    let candidates = ["claude-sonnet-4.5", "gpt-4.1-mini"].map(Candidate::by_llm);
    for i in 0..200 {
        let mut task = TaskContext::of(format!("TASK-{i}"))?;
        task.task_description = format!("Add a {}", ["REST endpoint", "database migration"][i % 2]);
        let choice = engine.choose(&task, &candidates)?; // with its propensity, within the budget
        let event = engine.start(&choice).await?; // durable when it returns, as are the next two
        let mut done = Completion::default(); // here the host's agent generates
        (done.cost_usd, done.generation_time_seconds) = (Some(0.02), Some(14.2));
        engine.complete(&event, done).await?;
        let action = if i % 2 == 0 { UserAction::Approve } else { UserAction::Reject }; // here the user decides
        engine.feedback(&event, Feedback::new(action)).await?;
    }
    println!("{}", engine.run_nightly().await?); // from the host's scheduler: trains, promotes, serves
    let mut task = TaskContext::of("TASK-200")?;
    task.task_description = "Add a database migration for orders".into();
    let success = engine.predict(&task)?.success; // no I/O
    println!("{:.0} % likely to be approved ({:?})", success.success_probability * 100.0, success.status);
    success
        .attributions_by_topic
        .iter()
        .for_each(|about| println!("  {:+.2}  {}", about.contribution, about.text));
    engine.close().await
}
