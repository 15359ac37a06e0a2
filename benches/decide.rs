//! Latency of a decision among twenty candidates, their predictions included.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::event::TaskContext;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::routing::{Boosted, Candidate, Plan, Policy, Request, Router, RouterOptions, Thompson};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::simulate::Generation;
use devmatrix_ml::store::{EventStore, MemoryStore};
use devmatrix_ml::training::Training;
use futures_executor::block_on;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const GENERATIONS: usize = 10_000;
const TIMED: usize = 5_000;

/// Returns four LLMs with five agents.
fn candidates() -> Vec<Candidate> {
    let llms = ["claude-sonnet-4.5", "deepseek-v3", "gpt-4.1-mini", "claude-opus-5"];
    let agents = ["backend", "frontend", "implementation", "generalist", "testing"];
    llms.iter()
        .flat_map(|llm| agents.iter().map(move |agent| (llm, agent)))
        .map(|(llm, agent)| {
            let mut plan = Plan::by_llm(*llm);
            plan.agent = Some((*agent).into());
            Candidate::new(format!("{llm} {agent}"), plan)
        })
        .collect()
}

fn all(c: &mut Criterion) {
    let records = common::records(GENERATIONS);
    let tasks = common::tasks(&records);
    let store = MemoryStore::new();
    block_on(store.append(records.clone())).unwrap();
    let clock = ManualClock::at(records.last().unwrap().known_at());
    let (engineer, registry) = (FeatureEngineer::default(), MemoryRegistry::new());
    block_on(Training::new(&store, &registry, &engineer, &clock).run_all()).unwrap();
    let history = Arc::new(block_on(SharedHistory::open(&store)).unwrap());
    let service = PredictionService::new(history, engineer, Arc::new(clock.clone()));
    block_on(service.reload(&registry)).unwrap();
    let (candidates, now) = (candidates(), clock.now());
    let mut group = c.benchmark_group("choosing among 20");
    let policies: [Box<dyn Policy>; 2] = [Box::new(Thompson::default()), Box::new(Boosted::default())];
    for policy in policies {
        let name = policy.name().to_owned();
        let mut router = Router::new(policy, RouterOptions::default()).unwrap();
        let learned = common::simulator(GENERATIONS).take(GENERATIONS).map(Generation::into_event);
        learned.for_each(|event| {
            black_box(router.feedback(&event));
        });
        let mut next = tasks.iter().cycle();
        group.bench_function(format!("{name}, predictions included"), |b| {
            b.iter(|| {
                let request = Request::new(next.next().unwrap(), &candidates, now);
                black_box(router.choose_predicted(&service, &request).unwrap())
            });
        });
        quantiles(&format!("{name}, predictions included"), &tasks, |task| {
            black_box(router.choose_predicted(&service, &Request::new(task, &candidates, now)).unwrap());
        });
        quantiles(&format!("{name} alone"), &tasks, |task| {
            black_box(router.choose(&Request::new(task, &candidates, now)).unwrap());
        });
    }
    group.finish();
}

fn quantiles(what: &str, tasks: &[TaskContext], mut choose: impl FnMut(&TaskContext)) {
    let mut took: Vec<Duration> = tasks
        .iter()
        .cycle()
        .take(TIMED)
        .map(|task| {
            let timer = Instant::now();
            choose(task);
            timer.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("{TIMED} decisions by {what}: p50 {:?}, p99 {:?}", took[TIMED / 2], took[TIMED * 99 / 100]);
}

criterion_group!(benches, all);
criterion_main!(benches);
