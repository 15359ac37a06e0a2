//! An A/B test of two LLMs on simulated tasks: assignment, stored outcomes and the anytime-valid analysis.
//!
//! `cargo run --release --features simulate --example ab_test`

#[path = "common/out.rs"]
#[macro_use]
mod out;

use chrono::TimeDelta;
use devmatrix_ml::Result;
use devmatrix_ml::event::Decision;
use devmatrix_ml::experimentation::Unit;
use devmatrix_ml::experimentation::ab_tests::{
    AnalysisOptions, ArmReport, ExperimentData, ExperimentSpec, Experiments, GuardrailMetric, Metric,
    MetricComparison,
};
use devmatrix_ml::routing::Plan;
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStoreExt, MemoryStore};
use futures_executor::block_on;

fn main() -> Result<()> {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (30, 100.0);
    let end = options.start + TimeDelta::days(60);
    let world = Simulator::new(options)?;

    // The control first. A unit keeps its arm, by a hash of its name: nothing is stored for it.
    let llms = ["deepseek-v3", "claude-opus-5"];
    let spec = ExperimentSpec::new("stronger-llm", Unit::Task, &llms);
    let experiments = Experiments::new(vec![spec.clone()])?;
    let store = MemoryStore::new();
    for generation in world.clone() {
        let Some(start) = generation.context.started_at else { continue };
        let Some(assignment) = experiments.assign(&generation.context, start).pop() else { continue };
        let task = Plan::by_llm(assignment.arm.as_str()).apply(&generation.context);
        let names = llms.map(str::to_owned).to_vec();
        let decision = Decision::new("ab test", names, assignment.arm.as_str(), assignment.probability)?;
        let mut event = world.act(&generation, task, decision).into_event();
        event.started.value.experiments.push(assignment); // stored with the event
        block_on(store.append_all(event.into_records()?))?;
    }

    // Interim analyses are allowed at any time: outcomes known 14 days after the start count.
    let mut options = AnalysisOptions::default();
    options.guardrails = vec![GuardrailMetric { metric: Metric::Cost, tolerance: 0.25 }];
    let data = block_on(ExperimentData::read(&store, &spec, TimeDelta::days(14), None, end))?;
    let report = data.analyze(&options)?;
    println!("{report}");
    let compared = |arm: &ArmReport| arm.against_control.first().copied();
    if let Some(MetricComparison { difference, lower, upper, .. }) = report.arms.last().and_then(compared) {
        let [difference, lower, upper] = [difference, lower, upper].map(|share| share * 100.0);
        println!("success of {}: {difference:+.1} pp (95 % CI {lower:+.1} to {upper:+.1})", llms[1]);
    }
    Ok(())
}
