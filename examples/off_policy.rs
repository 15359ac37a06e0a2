//! Off-policy evaluation: the value of policies that never ran, from the logged decisions of one that did.
//!
//! `cargo run --release --features simulate --example off_policy`

#[path = "common/out.rs"]
#[macro_use]
mod out;

use chrono::TimeDelta;
use devmatrix_ml::Result;
use devmatrix_ml::event::TaskContext;
use devmatrix_ml::experimentation::off_policy::{
    Interval95, LoggedDataset, LoggedDatasetOptions, OffPolicyOptions, PolicyEstimate, Skipped,
};
use devmatrix_ml::routing::{Candidate, EpsilonGreedy, EpsilonParams, Request, Router, RouterOptions};
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStoreExt, MemoryStore};
use futures_executor::block_on;

fn main() -> Result<()> {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.retry_share) = (30, 100.0, 0.0);
    let end = options.start + TimeDelta::days(60);
    let world = Simulator::new(options)?;

    // The logging policy explores: every candidate has a propensity, which is stored with the event.
    let candidates = ["deepseek-v3", "claude-sonnet-4.5", "claude-opus-5"].map(Candidate::by_llm);
    let mut params = EpsilonParams::default();
    (params.first, params.last) = (0.5, 0.5);
    let mut router = Router::new(Box::new(EpsilonGreedy::new(params)?), RouterOptions::default())?;
    let store = MemoryStore::new();
    for generation in world.clone() {
        let Some(start) = generation.context.started_at else { continue };
        let choice = router.choose(&Request::new(&generation.context, &candidates, start))?;
        let event = world.act(&generation, choice.task, choice.decision).into_event();
        router.feedback(&event);
        block_on(store.append_all(event.into_records()?))?;
    }

    let logged = block_on(LoggedDataset::read(&store, &LoggedDatasetOptions::default(), end))?;
    let Skipped { young, unlabelled, .. } = logged.skipped;
    println!("left out: {young} younger than the attribution window, {unlabelled} without a label");
    for llm in ["deepseek-v3", "claude-sonnet-4.5", "claude-opus-5", "an-llm-never-tried"] {
        let always = |_: &TaskContext, _: &[String]| vec![(llm.to_owned(), 1.0)];
        let report = logged.replay(&format!("always {llm}"), always, &OffPolicyOptions::default())?;
        println!("{report}");
        if let Some(success) = Some(&report.success).and_then(PolicyEstimate::value) {
            let Interval95 { value, lower, upper, .. } = success;
            println!(
                "  success {value:.3} (95 % CI {lower:.3} to {upper:.3}), logged {:.3}",
                report.success.logged
            );
        }
    }
    Ok(())
}
