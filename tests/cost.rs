//! What generations cost: from tokens where the host gives no dollars, on the budget, and before the run.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::event::{Prices, SessionId};
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::routing::{Request, Router, RouterOptions, Thompson};
use devmatrix_ml::store::{EventStoreExt, MemoryStore};
use devmatrix_ml::{
    Candidate, Completion, Engine, EngineBuilder, ErrorKind, Feedback, TaskContext, UserAction, config,
};
use futures_executor::block_on;
use std::sync::Arc;

const PRICES: &str = r#"[
    {"llm": "sonnet", "input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75},
    {"llm": "mini", "input": 0.4, "output": 1.6, "cache_read": 0.1, "cache_write": 0.4}]"#;

fn prices() -> Prices {
    config::from_json(PRICES).unwrap()
}

fn start() -> DateTime<Utc> {
    "2025-03-03T09:00:00Z".parse().unwrap()
}

fn builder(clock: &ManualClock) -> EngineBuilder {
    Engine::builder()
        .with_store(Arc::new(MemoryStore::new()))
        .with_registry(Arc::new(MemoryRegistry::new()))
        .with_clock(Arc::new(clock.clone()))
}

fn tokens(input: u64, output: u64) -> Completion {
    let mut done = Completion::default();
    (done.input_tokens, done.output_tokens) = (Some(input), Some(output));
    done
}

/// Chooses 2,000 times on a budget of one dollar a day; returns what the choices really cost, as `real` says it.
fn spend(
    router: &mut Router,
    candidates: &[Candidate],
    done: &Completion,
    real: impl Fn(&str) -> f64,
) -> f64 {
    let (mut spent, mut refused) = (0.0, 0);
    for i in 0..2_000 {
        let now = start() + TimeDelta::seconds(i);
        let task = TaskContext::of(format!("TASK-{i}")).unwrap();
        match router.choose(&Request::new(&task, candidates, now)) {
            Ok(choice) => {
                spent += real(choice.task.model_used.as_deref().unwrap());
                router.completed(&choice.task, done, now);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    spent
}

fn router(prices: Prices) -> Router {
    let mut options = RouterOptions::default();
    options.objective.usd_per_day = Some(1.0);
    options.prices = prices;
    Router::new(Box::new(Thompson::default()), options).unwrap()
}

#[test]
fn tokens_without_dollars_count_on_the_budget() {
    // 4,000 tokens of a candidate with a price: 2,000 choices would cost 134 dollars.
    let candidates =
        [Candidate::by_llm("sonnet").with_price(0.0168), Candidate::by_llm("mini").with_price(0.002)];
    let mut done = Completion::default();
    done.tokens_used = Some(4_000);
    let real = |llm: &str| if llm == "sonnet" { 0.0672 } else { 0.008 };
    let spent = spend(&mut router(Prices::default()), &candidates, &done, real);
    assert!((0.8..1.08).contains(&spent), "{spent}");

    // By the host's table, where no candidate has a price.
    let candidates = ["sonnet", "mini"].map(Candidate::by_llm);
    let real = |llm: &str| prices().cost_usd(llm, &tokens(3_000, 1_000), start()).unwrap();
    let spent = spend(&mut router(prices()), &candidates, &tokens(3_000, 1_000), real);
    assert!((0.8..1.08).contains(&spent), "{spent}");
}

#[test]
fn where_nothing_tells_the_cost_the_budget_counts_what_is_expected() {
    let candidates = ["sonnet", "mini"].map(Candidate::by_llm);
    // A cent a generation, as of any that nothing is known of.
    let spent = spend(&mut router(Prices::default()), &candidates, &Completion::default(), |_| 0.01);
    assert!((0.9..1.02).contains(&spent), "{spent}");
}

#[test]
fn the_price_survives_a_restart_of_the_router() {
    let candidates = [Candidate::by_llm("sonnet").with_price(0.5)];
    let mut first = router(Prices::default());
    let task = TaskContext::of("TASK-1").unwrap();
    let choice = first.choose(&Request::new(&task, &candidates, start())).unwrap();
    let mut second = router(Prices::default());
    second.restore(&first.save().unwrap()).unwrap();
    let mut done = Completion::default();
    done.tokens_used = Some(2_000);
    second.completed(&choice.task, &done, start());
    let error = second.choose(&Request::new(&task, &candidates, start())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn an_engine_records_the_cost_that_follows_from_tokens() {
    let clock = ManualClock::at(start());
    let store = Arc::new(MemoryStore::new());
    let builder = builder(&clock).with_store(store.clone()).with_prices(prices()).with_usd_per_day(1.0);
    block_on(async {
        let engine = builder.open().await.unwrap();
        let candidates = ["sonnet", "mini"].map(Candidate::by_llm);
        let mut spent = 0.0;
        for i in 0..2_000 {
            let task = TaskContext::of(format!("TASK-{i}")).unwrap();
            let Ok(choice) = engine.choose(&task, &candidates) else { break };
            let event = engine.start(&choice).await.unwrap();
            let mut done = tokens(8_000, 2_000);
            done.cache_read_tokens = Some(100_000);
            engine.complete(&event, done.clone()).await.unwrap();
            engine.complete(&event, done).await.unwrap(); // a repeated delivery changes nothing
            let kept = store.event(&event).await.unwrap().completion.unwrap().value;
            let llm = kept_llm(&choice.task);
            let expected = if llm == "sonnet" { 0.084 } else { 0.0164 };
            assert!((kept.cost_usd.unwrap() - expected).abs() < 1e-12 && kept.cost_from_prices, "{kept:?}");
            spent += expected;
            clock.advance(TimeDelta::seconds(1));
        }
        assert!((0.8..1.1).contains(&spent), "{spent}");
        let total = serde_json::to_value(engine.analytics().await.unwrap()).unwrap();
        let total = total["total"]["total_cost_usd"].as_f64().unwrap();
        assert!((total - spent).abs() < 1e-4, "{total} {spent}");

        // The host's own dollars win, and another LLM has no price.
        let mut task = TaskContext::of("TASK-A").unwrap();
        task.model_used = Some("sonnet".into());
        let event = engine.start(task.clone()).await.unwrap();
        let mut done = tokens(8_000, 2_000);
        done.cost_usd = Some(0.5);
        engine.complete(&event, done).await.unwrap();
        let kept = store.event(&event).await.unwrap().completion.unwrap().value;
        assert_eq!((kept.cost_usd, kept.cost_from_prices), (Some(0.5), false));
        task.model_used = Some("unheard of".into());
        let event = engine.start(task).await.unwrap();
        engine.complete(&event, tokens(8_000, 2_000)).await.unwrap();
        let kept = store.event(&event).await.unwrap().completion.unwrap().value;
        assert_eq!((kept.cost_usd, kept.cost_from_prices), (None, false));
    });
}

fn kept_llm(task: &TaskContext) -> &str {
    task.model_used.as_deref().unwrap()
}

#[test]
fn tokens_that_cannot_be_are_refused() {
    let clock = ManualClock::at(start());
    block_on(async {
        let engine = builder(&clock).open().await.unwrap();
        let event = engine.start(TaskContext::of("TASK-1").unwrap()).await.unwrap();
        let mut done = tokens(8, 3);
        done.tokens_used = Some(10);
        let error = engine.complete(&event, done).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("add up to 11"), "{error}");
    });
}

#[test]
fn leaving_a_warm_cache_is_counted() {
    let mut router = router(prices());
    let mut task = TaskContext::of("TASK-1").unwrap();
    task.session_id = Some(SessionId::new("s").unwrap());
    task.model_used = Some("sonnet".into());
    let mut done = tokens(0, 1_000);
    done.cache_read_tokens = Some(200_000);
    router.completed(&task, &done, start());
    let candidates = ["sonnet", "mini"].map(Candidate::by_llm);
    let mut switch = |minutes: i64, task: &TaskContext| {
        let now = start() + TimeDelta::minutes(minutes);
        let choice = router.choose(&Request::new(task, &candidates, now)).unwrap();
        choice.arms.iter().map(|arm| arm.switch_usd).collect::<Vec<_>>()
    };
    // 200,000 tokens are written to the other's cache for 0.4 instead of read for 0.1 a million.
    let warm = switch(1, &task);
    assert!(warm[0] == 0.0 && (warm[1] - 0.06).abs() < 1e-12, "{warm:?}");
    assert_eq!(switch(6, &task), [0.0, 0.0]);
    task.session_id = None;
    assert_eq!(switch(1, &task), [0.0, 0.0]);
}

#[test]
fn a_range_is_there_before_the_run_and_for_each_candidate() {
    let clock = ManualClock::at(start());
    block_on(async {
        let engine = builder(&clock).with_prices(prices()).open().await.unwrap();
        let candidates = ["sonnet", "mini"].map(Candidate::by_llm);
        for i in 0..400 {
            let mut task = TaskContext::of(format!("TASK-{i}")).unwrap();
            task.model_used = Some(["sonnet", "mini"][i % 2].into());
            // Some words ask for more than others.
            let parts = ["button", "form", "endpoint", "migration", "scheduler"];
            let part = i * 7 % 5;
            task.task_description = format!("Write the {} of service {}", parts[part], i % 17);
            let event = engine.start(task).await.unwrap();
            let grown = (800.0 * (0.5 * part as f64 + 0.03 * (i * 13 % 11) as f64).exp()) as u64;
            engine.complete(&event, tokens(4 * grown, grown)).await.unwrap();
            let action = if i % 3 > 0 { UserAction::Approve } else { UserAction::Reject };
            engine.feedback(&event, Feedback::new(action)).await.unwrap();
            clock.advance(TimeDelta::minutes(10));
        }
        let mut task = TaskContext::of("TASK-NEW").unwrap();
        task.task_description = "Write the endpoint of service 3".into();
        let before = engine.predict(&task).unwrap().others["cost"].clone();
        assert!(before.model_version == 0 && before.notes[0].contains("no model yet"), "{before:?}");
        let summary = engine.run_nightly().await.unwrap();
        assert!(summary.models.iter().any(|report| report.model == "cost"), "{summary}");
        let choice = engine.choose(&task, &candidates).unwrap();
        let costs: Vec<_> = choice.arms.iter().map(|arm| arm.cost.clone().unwrap()).collect();
        assert!(costs.iter().all(|cost| cost.model_version == 1), "{summary}");
        assert!(costs[0].value > 3.0 * costs[1].value, "{costs:?}");
        for (arm, cost) in choice.arms.iter().zip(&costs) {
            assert!(cost.interval_80.0 < cost.value && cost.value < cost.interval_90.1, "{cost:?}");
            assert!(arm.usd_until_success.unwrap() >= arm.cost_usd, "{arm:?}");
            assert!((2_000.0..60_000.0).contains(&arm.tokens.as_ref().unwrap().value), "{arm:?}");
        }
        let shown = choice.started().predictions;
        assert!(shown.iter().any(|shown| shown.target == "cost@80"), "{shown:?}");
    });
}
