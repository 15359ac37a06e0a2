//! One engine: each fact is recorded once and reaches every component; a restart changes nothing.
//!
//! The child is this test binary itself, started again with a folder's path in the environment.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping
#![cfg(feature = "sqlite")]

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::engine::NightlySummary;
use devmatrix_ml::event::{ShownPrediction, Started, UserId};
use devmatrix_ml::execution::{CancellationToken, ExecutionContext};
use devmatrix_ml::models::Status;
use devmatrix_ml::monitoring::Analytics;
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry};
use devmatrix_ml::routing::Request;
use devmatrix_ml::store::{EventStore, EventStoreExt, MemoryStore, SqliteStore};
use devmatrix_ml::training::NightlyReport;
use devmatrix_ml::{
    Candidate, Completion, Engine, EngineBuilder, ErrorKind, EventId, Feedback, Result, Subject, TaskContext,
    UserAction,
};
use futures_executor::block_on;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Variable with the folder of a child.
const FOLDER: &str = "DEVMATRIX_TEST_FOLDER";

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

fn candidates() -> [Candidate; 2] {
    let mut sonnet = Candidate::by_llm("claude-sonnet-4.5").with_price(0.009);
    sonnet.family = Some("claude".into());
    [sonnet, Candidate::by_llm("gpt-4.1-mini").with_price(0.002)]
}

fn task(i: u64) -> TaskContext {
    let mut task = TaskContext::of(format!("TASK-{i}")).unwrap();
    task.task_type = Some(["backend", "database"][(i % 2) as usize].into());
    task.agent_type = Some("implementation".into());
    task.task_description = format!("Write part {} of the service", i % 17);
    task.user_id = Some(UserId::new(format!("user-{}", i % 3)).unwrap());
    task
}

fn done(cost: f64) -> Completion {
    let mut done = Completion::default();
    (done.cost_usd, done.generation_time_seconds, done.tokens_used) = (Some(cost), Some(14.0), Some(1_800));
    done
}

fn feedback(i: u64) -> Feedback {
    Feedback::new(if i.is_multiple_of(2) || i % 10 == 1 { UserAction::Approve } else { UserAction::Reject })
}

/// Returns what happened to one model.
fn of<'a>(summary: &'a NightlySummary, model: &str) -> &'a NightlyReport {
    summary.models.iter().find(|report| report.model == model).unwrap()
}

/// Creates an engine in memory with a manual clock.
fn in_memory(clock: &ManualClock) -> (Arc<MemoryStore>, Arc<MemoryRegistry>, EngineBuilder) {
    let (store, registry) = (Arc::new(MemoryStore::new()), Arc::new(MemoryRegistry::new()));
    let builder = Engine::builder()
        .with_store(store.clone())
        .with_registry(registry.clone())
        .with_clock(Arc::new(clock.clone()));
    (store, registry, builder)
}

/// Records `count` complete generations.
async fn record(engine: &Engine, clock: &ManualClock, count: u64) -> Result<()> {
    for i in 0..count {
        let event = engine.start_as(EventId::new(format!("e{i}"))?, task(i)).await?;
        clock.advance(TimeDelta::minutes(5));
        engine.complete(&event, done(0.01)).await?;
        clock.advance(TimeDelta::minutes(5));
        engine.feedback(&event, feedback(i)).await?;
        clock.advance(TimeDelta::minutes(20));
    }
    Ok(())
}

#[test]
fn the_whole_loop_on_sqlite_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let open = async || {
        let builder = Engine::builder().with_path(folder.path()).unwrap();
        builder.with_clock(Arc::new(clock.clone())).open().await.unwrap()
    };
    block_on(async {
        let engine = open().await;
        let first = engine.predict(&task(0)).unwrap();
        assert_eq!(first.success.status, Status::InsufficientEvidence);
        record(&engine, &clock, 300).await.unwrap();
        let cold = engine.predict(&task(1)).unwrap();
        assert_eq!(cold.success.status, Status::ColdStart);

        let summary = engine.run_nightly().await.unwrap();
        let success = of(&summary, "success").trained.as_ref().unwrap();
        assert!(success.promoted, "{summary}");
        assert!(summary.to_string().contains("serving success version 1, before none"), "{summary}");
        let warm = engine.predict(&task(1)).unwrap();
        assert_eq!((warm.success.status, warm.success.model_version), (Status::Calibrated, 1));
        assert!(!warm.success.attributions_by_topic.is_empty());
        assert!(!engine.similar_tasks(&task(1), 3).unwrap().tasks.is_empty());
        let again = engine.run_nightly().await.unwrap();
        assert!(again.skipped.unwrap().contains("due at 2025-03-10 02:00 UTC"), "trained twice in a day");

        // Predictions shown from now on adapt its intervals.
        for i in 300..320 {
            let event = engine.start_as(EventId::new(format!("e{i}")).unwrap(), task(i)).await.unwrap();
            clock.advance(TimeDelta::minutes(30));
            let mut slow = done(0.01);
            slow.generation_time_seconds = Some(900.0);
            engine.complete(&event, slow).await.unwrap();
            engine.feedback(&event, feedback(i)).await.unwrap();
        }
        let seconds = engine.predict(&task(1)).unwrap().time.estimate;
        engine.checkpoint().await.unwrap();
        let lived = checkpoints(folder.path()).await;
        drop(engine);

        let engine = open().await;
        assert_eq!(engine.predict(&task(1)).unwrap().time.estimate, seconds);
        engine.checkpoint().await.unwrap();
        assert_eq!(checkpoints(folder.path()).await, lived, "from the checkpoint");
        drop(engine);

        let store = SqliteStore::open(folder.path().join("events.db")).unwrap();
        for name in ["engine", "history"] {
            store.put_checkpoint(name, None).await.unwrap();
        }
        drop(store);
        let engine = open().await;
        assert_eq!(engine.predict(&task(1)).unwrap().time.estimate, seconds);
        engine.close().await.unwrap();
        assert_eq!(checkpoints(folder.path()).await, lived, "from the facts alone");
    });
}

/// Returns the learned state: router, cost model, intervals, monitor and history.
async fn checkpoints(folder: &Path) -> Vec<Option<Vec<u8>>> {
    let store = SqliteStore::open(folder.join("events.db")).unwrap();
    let mut all = Vec::new();
    for name in ["engine", "history"] {
        all.push(store.checkpoint(name).await.unwrap());
    }
    assert!(all.iter().all(Option::is_some));
    all
}

#[test]
fn each_fact_recorded_once_reaches_every_component() {
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (store, _, builder) = in_memory(&clock);
    block_on(async {
        let engine = builder.with_usd_per_day(1.0).open().await.unwrap();
        let choice = engine.choose(&task(1), &candidates()).unwrap();
        assert!(choice.predicted.as_ref().unwrap().success.success_probability > 0.0);
        let event = engine.start(&choice).await.unwrap();
        engine.complete(&event, done(0.9)).await.unwrap();
        engine.feedback(&event, Feedback::new(UserAction::Approve)).await.unwrap();

        let stored = store.event(&event).await.unwrap().started.value;
        let decision = stored.decision.unwrap();
        assert_eq!(
            (decision.propensity, &decision.chosen),
            (choice.decision.propensity, &choice.decision.chosen)
        );
        let shown: Vec<_> = stored.predictions.iter().map(|shown| shown.target.as_str()).collect();
        assert!(shown.starts_with(&["success", "complexity", "complexity@80"]), "{shown:?}");

        // History.
        let similar = engine.similar_tasks(&task(18), 1).unwrap();
        assert_eq!((similar.tasks[0].task_id.as_str(), similar.tasks[0].outcomes.successes), ("TASK-1", 1.0));
        // Router: a record, a cost model, a budget.
        let row = &engine.leaderboard()[0];
        assert_eq!((&row.llm, row.outcomes), (&choice.decision.chosen, 1));
        let seen = engine.choose(&task(3), &candidates()).unwrap();
        let arm = seen.arms.iter().find(|arm| arm.name == choice.decision.chosen).unwrap();
        assert!(arm.cost_usd > 0.1, "{arm:?}");
        let event = engine.start(&seen).await.unwrap();
        engine.complete(&event, done(0.1)).await.unwrap();
        let error = engine.choose(&task(5), &candidates()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("of the day's $1 only"), "{error}");
        // Monitor.
        let analytics = engine.analytics().await.unwrap();
        let total = total(&analytics);
        assert_eq!((&total["generations"], &total["success"]["n"]), (&json!(2), &json!(1)));
        assert!((total["total_cost_usd"].as_f64().unwrap() - 1.0).abs() < 1e-9);
        #[cfg(feature = "dashboard")]
        assert!(engine.dashboard().await.unwrap().contains("2 generations"));

        clock.advance(TimeDelta::days(1));
        assert!(engine.choose(&task(5), &candidates()).is_ok(), "a new day");
        let (task, candidates) = (task(7), candidates());
        let mut request = Request::new(&task, &candidates, clock.now());
        request.critical = true;
        let choice = engine.choose_by(request).unwrap();
        assert_eq!(choice.decision.propensity, 1.0, "nothing is tried on a critical task");
    });
}

#[test]
fn intervals_adapt_to_the_outcomes_of_what_was_shown() {
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (store, _, builder) = in_memory(&clock);
    block_on(async {
        let engine = builder.open().await.unwrap();
        let checkpoint = async || {
            engine.checkpoint().await.unwrap();
            store.checkpoint("engine").await.unwrap().unwrap()
        };
        let event = engine.start(shown_time(1, 1, (5.0, 20.0))).await.unwrap();
        let before = checkpoint().await;
        engine.complete(&event, done(0.01)).await.unwrap();
        assert_ne!(before, checkpoint().await);
    });
}

/// Returns the figures of all generations, as the report's JSON has them.
fn total(analytics: &Analytics) -> Value {
    serde_json::to_value(analytics).unwrap()["total"].clone()
}

/// Creates a start with shown 90 % and 80 % intervals of its seconds.
fn shown_time(i: u64, version: u64, (low, high): (f64, f64)) -> Started {
    let mut started = Started::from(task(i));
    for (name, low, high) in [("time", low, high), ("time@80", low + 1.0, high - 1.0)] {
        started.predictions.push(ShownPrediction::new(name, 12.0, (low, high), "Calibrated", version));
    }
    started.predictions.push(ShownPrediction::new("success", 0.7, (0.6, 0.8), "Calibrated", version));
    started
}

#[test]
fn facts_are_accepted_in_any_order_and_unknown_ids_are_errors() {
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (store, _, builder) = in_memory(&clock);
    block_on(async {
        let engine = builder.open().await.unwrap();
        let nobody = EventId::new("nobody").unwrap();
        for error in [
            engine.complete(&nobody, Completion::default()).await.unwrap_err(),
            engine.feedback(&nobody, feedback(0)).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(
                error.to_string().contains("nobody: no generation was started under this id: call `start`"),
                "{error}"
            );
        }
        assert!(store.event(&nobody).await.is_err());

        let event = engine.start(&engine.choose(&task(1), &candidates()).unwrap()).await.unwrap();
        engine.feedback(&event, Feedback::new(UserAction::Approve)).await.unwrap();
        engine.complete(&event, done(0.2)).await.unwrap();
        engine.complete(&event, done(0.2)).await.unwrap(); // delivered twice
        assert_eq!(engine.leaderboard()[0].outcomes, 1);
        let analytics = engine.analytics().await.unwrap();
        assert!((total(&analytics)["total_cost_usd"].as_f64().unwrap() - 0.2).abs() < 1e-9);
        // The user revises the feedback: the router is updated too.
        engine.feedback(&event, Feedback::new(UserAction::Reject)).await.unwrap();
        assert_eq!(engine.leaderboard()[0].outcomes, 2);
    });
}

#[test]
fn what_another_process_records_is_learned_and_its_erasure_forgotten() {
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (_, _, builder) = in_memory(&clock);
    let (store, registry, _) = in_memory(&clock);
    let on_shared = |builder: EngineBuilder| {
        block_on(builder.with_store(store.clone()).with_registry(registry.clone()).open()).unwrap()
    };
    let here = on_shared(builder);
    let there = on_shared(in_memory(&clock).2);
    block_on(async {
        for i in 0..6 {
            let event = there.start(&there.choose(&task(i), &candidates()).unwrap()).await.unwrap();
            there.complete(&event, done(0.05)).await.unwrap();
            there.feedback(&event, feedback(i)).await.unwrap();
            clock.advance(TimeDelta::minutes(1));
        }
        here.catch_up().await.unwrap();
        let outcomes = |engine: &Engine| engine.leaderboard().iter().map(|row| row.outcomes).sum::<u64>();
        assert_eq!((outcomes(&here), outcomes(&there)), (6, 6));
        let user = Subject::User(UserId::new("user-0").unwrap());
        assert_eq!(there.erase(&user).await.unwrap().events, 2);
        here.catch_up().await.unwrap();
        assert_eq!((outcomes(&here), outcomes(&there)), (4, 4));
        assert_eq!(total(&here.analytics().await.unwrap())["generations"], 4);
    });
}

#[test]
fn a_cancelled_cycle_releases_its_claim() {
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (_, registry, builder) = in_memory(&clock);
    block_on(async {
        let engine = builder.open().await.unwrap();
        record(&engine, &clock, 150).await.unwrap();
        let stop = CancellationToken::new();
        let switch = stop.clone();
        let execution = ExecutionContext::new().with_cancel(&stop).with_progress(move |progress| {
            if progress.stage.starts_with("fitting") {
                switch.cancel();
            }
        });
        let error = engine.run_nightly_with(execution).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(registry.versions("success").await.unwrap().is_empty());
        let summary = engine.run_nightly().await.unwrap();
        assert!(of(&summary, "success").trained.is_ok(), "{summary}");
    });
}

#[test]
fn closing_cancels_the_cycle_and_another_host_takes_it() {
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (store, registry, builder) = in_memory(&clock);
    let engine = block_on(builder.open()).unwrap();
    block_on(record(&engine, &clock, 150)).unwrap();
    let (fitting, fits) = std::sync::mpsc::channel();
    let execution = ExecutionContext::new().with_progress(move |progress| {
        if progress.stage.starts_with("fitting") {
            let _ = fitting.send(());
        }
    });
    let training = engine.clone();
    let cycle = std::thread::spawn(move || block_on(training.run_nightly_with(execution)));
    fits.recv().unwrap();
    block_on(engine.close()).unwrap();
    assert_eq!(cycle.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    let other = in_memory(&clock).2.with_store(store).with_registry(registry);
    let other = block_on(other.open()).unwrap();
    let summary = block_on(other.run_nightly()).unwrap();
    assert!(summary.skipped.is_none(), "{summary}");
}

#[test]
fn a_cycle_whose_future_is_dropped_gives_its_claim_back() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (_, _, builder) = in_memory(&clock);
    let engine = block_on(builder.open()).unwrap();
    shared(&engine);
    block_on(record(&engine, &clock, 150)).unwrap();
    let mut night = Box::pin(engine.run_nightly());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(night.as_mut().poll(&mut context).is_pending());
    assert!(block_on(engine.run_nightly()).unwrap().skipped.unwrap().contains("in this process"));
    drop(night);
    block_on(engine.close()).unwrap();
    let summary = block_on(engine.run_nightly()).unwrap();
    assert!(summary.skipped.is_none(), "{summary}");
}

#[test]
fn under_tokio_another_task_goes_on_while_a_cycle_fits() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (_, _, builder) = in_memory(&clock);
    let summary: NightlySummary = runtime.block_on(async {
        let engine = builder.open().await.unwrap();
        record(&engine, &clock, 150).await.unwrap();
        let (ticks, (signal, fitting)) = (Arc::new(AtomicU64::new(0)), futures_channel::oneshot::channel());
        let (seen, signal) = (ticks.clone(), Mutex::new(Some(signal)));
        // The fit waits until the ticker has gone on: on one thread that holds only where it does not block.
        let execution = ExecutionContext::new().with_progress(move |progress| {
            let signal = signal.lock().unwrap().take_if(|_| progress.stage.starts_with("fitting"));
            if let Some(signal) = signal {
                let before = seen.load(Ordering::SeqCst);
                signal.send(()).unwrap();
                while seen.load(Ordering::SeqCst) < before + 3 {
                    std::thread::yield_now();
                }
            }
        });
        let ticker = tokio::spawn(async move {
            loop {
                ticks.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        });
        let cycle = tokio::spawn({
            let engine = engine.clone();
            async move { engine.run_nightly_with(execution).await }
        });
        fitting.await.unwrap();
        assert!(engine.predict(&task(1)).is_ok(), "predictions go on");
        let summary = cycle.await.unwrap().unwrap();
        ticker.abort();
        summary
    });
    assert!(of(&summary, "success").trained.is_ok(), "{summary}");
}

#[test]
fn an_engine_without_a_store_is_an_error() {
    let error = block_on(Engine::builder().open()).unwrap_err();
    assert!(error.to_string().contains("the engine has no store: give it one, or a folder"), "{error}");
}

/// Runs one step of the host that is killed: choice, start, completion, feedback or checkpoint, each dependent on
/// the state learned before.
const GENERATIONS: u64 = 60;

async fn step(engine: &Engine, store: &dyn EventStore, clock: &ManualClock, number: u64) -> Result<()> {
    let (i, part) = (number / 3, number % 3);
    // Feedback arrives four generations later.
    let i = if part == 2 { i.saturating_sub(4) } else { i };
    clock.set(at("2025-03-03T09:00:00Z") + TimeDelta::minutes(10 * number as i64));
    let id = EventId::new(format!("e{i}"))?;
    let stored = store.get(std::slice::from_ref(&id)).await?.remove(0);
    match (part, stored) {
        (0, None) => {
            let mut started = Started::from(&engine.choose(&task(i), &candidates())?);
            started.predictions = shown_time(i, 1 + i / 40, (5.0, 15.0 + (i % 4) as f64)).predictions;
            engine.start_as(id, started).await?;
        }
        (1, Some(event)) if event.completion.is_none() => {
            let mut done = done(0.001 * (i % 7) as f64);
            done.generation_time_seconds = Some(4.0 + (i % 13) as f64);
            engine.complete(&id, done).await?;
        }
        (2, Some(event)) if event.feedback.is_empty() => engine.feedback(&id, feedback(i)).await?,
        _ => {}
    }
    if number == GENERATIONS {
        engine.checkpoint().await?;
    }
    Ok(())
}

async fn opened(folder: &Path, clock: &ManualClock) -> (Engine, SqliteStore) {
    let builder = Engine::builder().with_path(folder).unwrap().with_usd_per_day(0.1);
    let engine = builder.with_clock(Arc::new(clock.clone())).open().await.unwrap();
    (engine, SqliteStore::open(folder.join("events.db")).unwrap())
}

/// Runs all steps and prints each.
async fn live(folder: &Path, say: impl Fn(u64)) {
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (engine, store) = opened(folder, &clock).await;
    for number in 0..GENERATIONS * 3 {
        Box::pin(step(&engine, &store, &clock, number)).await.unwrap();
        say(number);
    }
    engine.checkpoint().await.unwrap();
}

#[test]
fn a_killed_host_recovers_the_state_of_an_uninterrupted_one() {
    let (killed, lived) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    block_on(live(lived.path(), |_| {}));
    let mut runs = 0;
    for after in [7, 40, 61, 90, 121, 150, u64::MAX] {
        runs += 1;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_lives_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(FOLDER, killed.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines =
            BufReader::new(child.stdout.take().unwrap()).lines().map_while(std::result::Result::ok);
        let reached = |line: &String| {
            let number = line.rsplit_once("did ").and_then(|(_, number)| number.parse::<u64>().ok());
            number.is_some_and(|number| number >= after)
        };
        if lines.any(|line| reached(&line)) {
            child.kill().unwrap();
        }
        let ended = child.wait().unwrap();
        assert_eq!(ended.success(), after == u64::MAX, "{ended}");
    }
    assert_eq!(runs, 7);
    // Reopened: the learned state is rebuilt from the last checkpoint and the store.
    let clock = ManualClock::at(at("2025-03-04T20:00:00Z"));
    let (engine, store) = block_on(opened(killed.path(), &clock));
    let (other, _) = block_on(opened(lived.path(), &clock));
    let choices = [&engine, &other].map(|engine| engine.choose(&task(99), &candidates()).unwrap());
    assert_eq!(choices[0], choices[1]);
    block_on(async {
        assert_eq!(checkpoints(killed.path()).await, checkpoints(lived.path()).await);
        store.put_checkpoint("engine", None).await.unwrap();
        store.put_checkpoint("history", None).await.unwrap();
        let (engine, _) = opened(killed.path(), &clock).await;
        engine.checkpoint().await.unwrap();
        assert_eq!(checkpoints(killed.path()).await, checkpoints(lived.path()).await, "from the facts alone");
    });
    assert!(clock.now() > at("2025-03-04T00:00:00Z"));
}

/// Not a test of its own: the child that is killed.
#[test]
fn child_lives_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let say = |number: u64| {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("did {number}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
    };
    block_on(live(Path::new(&folder), say));
}

#[test]
fn a_regeneration_is_the_next_try_at_its_task() {
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (store, _, builder) = in_memory(&clock);
    block_on(async {
        let engine = builder.open().await.unwrap();
        let first = engine.start(task(1)).await.unwrap();
        let second = Box::pin(engine.regenerate(&first, task(9))).await.unwrap();
        let context = store.event(&second).await.unwrap().started.value.context;
        assert_eq!((context.task_id.as_str(), context.attempt), ("TASK-1", 1));
        assert_eq!(context.regeneration_of, Some(first));
        engine.close().await.unwrap();
    });
}

#[test]
fn values_beyond_those_of_training_are_named_and_counted_as_drift() {
    let clock = ManualClock::at(at("2025-03-03T09:00:00Z"));
    let (_, _, builder) = in_memory(&clock);
    let sized = |i: u64, most: Option<u32>| {
        let mut task = task(i);
        task.max_tokens = most;
        task
    };
    let beyond = |analytics: &Analytics| {
        let found = analytics.drift.iter().filter(|found| found.text.contains("beyond the training data"));
        found.map(|found| found.subject.clone()).collect::<Vec<_>>()
    };
    block_on(async {
        let engine = builder.open().await.unwrap();
        for i in 0..300 {
            // Those of few tokens succeed.
            let most = (i % 3 > 0).then_some(1_000 + (i % 10) as u32 * 20);
            let event =
                engine.start_as(EventId::new(format!("e{i}")).unwrap(), sized(i, most)).await.unwrap();
            clock.advance(TimeDelta::minutes(10));
            engine.complete(&event, done(0.01)).await.unwrap();
            let approved = most.is_none_or(|most| most < 1_100);
            let action = if approved { UserAction::Approve } else { UserAction::Reject };
            engine.feedback(&event, Feedback::new(action)).await.unwrap();
            clock.advance(TimeDelta::minutes(20));
        }
        engine.run_nightly().await.unwrap();
        let known = engine.predict(&sized(400, Some(1_180))).unwrap().success;
        assert_eq!(known.status, Status::Calibrated);
        assert!(!known.notes.iter().any(|note| note.contains("max_tokens")), "{:?}", known.notes);
        assert!(!beyond(&engine.analytics().await.unwrap()).contains(&"max_tokens".to_owned()));
        for _ in 0..2 {
            let far = engine.predict(&sized(400, Some(1_000_000))).unwrap().success;
            let noted = "max_tokens is 1000000 (1000 to 1180)";
            assert!(far.notes.iter().any(|note| note.contains(noted)), "{:?}", far.notes);
        }
        let analytics = engine.analytics().await.unwrap();
        assert!(beyond(&analytics).contains(&"max_tokens".to_owned()), "{:?}", analytics.drift);
        // Nobody asks for such any more.
        clock.advance(TimeDelta::days(2));
        assert!(beyond(&engine.analytics().await.unwrap()).is_empty());
    });
}
