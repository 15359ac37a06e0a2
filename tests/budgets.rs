//! Budgets that hold: reservations, days, clocks, several hosts; and what beats a session's draw.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use chrono::{DateTime, Duration, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::event::{EventId, SessionId};
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::routing::{Choice, Goal, Request, Router, RouterOptions, Thompson};
use devmatrix_ml::store::{EventStore, MemoryStore, SqliteStore};
use devmatrix_ml::{Candidate, Completion, Engine, ErrorKind, TaskContext};
use futures_executor::block_on;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::sync::Arc;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2025-03-03T09:00:00Z")
}

fn options(usd_per_day: f64) -> RouterOptions {
    let mut options = RouterOptions::default();
    options.objective.usd_per_day = Some(usd_per_day);
    options
}

fn router(options: RouterOptions) -> Router {
    Router::new(Box::new(Thompson::default()), options).unwrap()
}

fn task(i: usize) -> TaskContext {
    TaskContext::of(format!("TASK-{i}")).unwrap()
}

fn registry() -> Arc<MemoryRegistry> {
    Arc::new(MemoryRegistry::new())
}

fn cost(usd: f64) -> Completion {
    let mut done = Completion::default();
    done.cost_usd = Some(usd);
    done
}

/// Candidates that cost ten cents, two cents and nothing a try: 2,000 tokens, as of any that nothing is known of.
fn dear() -> Candidate {
    Candidate::by_llm("dear").with_price(0.05)
}

fn cheap() -> Candidate {
    Candidate::by_llm("cheap").with_price(0.01)
}

fn free() -> Candidate {
    Candidate::by_llm("free").with_price(0.0)
}

#[test]
fn what_is_in_flight_is_reserved() {
    let mut router = router(options(1.0));
    let permitted = (0..1_000).filter(|i| router.choose(&Request::new(&task(*i), &[dear()], now())).is_ok());
    let permitted = permitted.count();
    assert!((4..=10).contains(&permitted), "{permitted} tries of $0.10 on $1");

    let clock = ManualClock::at(now());
    let builder = Engine::builder().with_store(Arc::new(MemoryStore::new())).with_registry(registry());
    let engine = block_on(builder.with_clock(Arc::new(clock)).with_usd_per_day(1.0).open()).unwrap();
    // Started or not, from one thread or several.
    let choose = |from: usize| {
        let choices = (from..from + 250).filter_map(|i| engine.choose(&task(i), &[dear()]).ok());
        let started = choices.enumerate().map(|(n, choice)| {
            if n % 2 == 0 {
                block_on(engine.start(&choice)).unwrap();
            }
        });
        started.count()
    };
    let chosen: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|t| scope.spawn(move || choose(t * 250))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!((4..=10).contains(&chosen), "{chosen} tries of $0.10 on $1");
}

#[test]
fn a_try_that_ends_gives_back_what_it_did_not_cost() {
    let mut router = router(options(1.0));
    for i in 0..200 {
        let choice = router.choose(&Request::new(&task(i), &[cheap()], now())).unwrap();
        router.completed(&choice.task, &cost(0.002), now());
    }
}

#[test]
fn what_costs_nothing_is_always_permitted() {
    let mut router = router(options(1.0));
    router.completed(&task(0), &cost(1.01), now());
    for i in 0..50 {
        let choice = router.choose(&Request::new(&task(i), &[cheap(), free()], now())).unwrap();
        assert_eq!(choice.decision.chosen, "free");
        // Nor is it where it is on trial and the task critical.
        let mut trial = free();
        trial.on_trial = true;
        let (task, candidates) = (task(i), [cheap(), trial]);
        let mut request = Request::new(&task, &candidates, now());
        request.critical = true;
        assert_eq!(router.choose(&request).unwrap().decision.chosen, "free");
    }
    let error = router.choose(&Request::new(&task(1), &[cheap()], now())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("only $0.0000 are left"), "{error}");
}

#[test]
fn a_used_up_budget_falls_back_on_the_default_up_to_the_hard_limit() {
    let mut options = options(1.0);
    options.objective.hard_usd_per_day = Some(2.0);
    let mut router = router(options);
    router.completed(&task(0), &cost(1.01), now());
    let candidates = [dear(), cheap()];
    let mut fallen = 0;
    for i in 0..500 {
        let task = task(i);
        let mut request = Request::new(&task, &candidates, now());
        request.default = Some("cheap");
        let Ok(choice) = router.choose(&request) else { break };
        assert_eq!((choice.decision.chosen.as_str(), choice.decision.propensity), ("cheap", 1.0));
        let reason = choice.decision.reason.unwrap();
        assert!(reason.contains("of the day's $1.00 only $0.00 are left: the default"), "{reason}");
        router.completed(&choice.task, &cost(0.02), now());
        fallen += 1;
    }
    assert!((45..=50).contains(&fallen), "{fallen}");
}

#[test]
fn no_clock_makes_a_days_spending_forgotten() {
    let refused = |router: &mut Router, now| router.choose(&Request::new(&task(9), &[cheap()], now)).is_err();
    let last = at("2025-03-03T23:59:59.990Z");
    for other in
        ["2025-03-04T00:00:00Z", "2025-04-02T12:00:00Z", "2025-03-01T00:00:00Z", "9999-12-31T00:00:00Z"]
    {
        let mut router = router(options(1.0));
        router.completed(&task(0), &cost(2.0), last);
        assert!(refused(&mut router, last));
        assert!(!refused(&mut router, at(other)));
        router.completed(&task(9), &cost(0.01), at(other));
        assert!(refused(&mut router, last), "{other}");
        let mut restored = self::router(options(1.0));
        restored.restore(&router.save().unwrap()).unwrap();
        assert!(refused(&mut restored, last), "{other}");
    }
}

#[test]
fn the_day_is_that_of_the_hosts_zone() {
    let mut options = options(1.0);
    options.zone = chrono_tz::America::New_York;
    let mut router = router(options);
    router.completed(&task(0), &cost(2.0), at("2025-03-04T04:59:00Z")); // a minute before midnight there
    let mut choose = |time| router.choose(&Request::new(&task(1), &[cheap()], at(time))).map(drop);
    assert!(choose("2025-03-03T20:00:00Z").unwrap_err().to_string().contains("midnight America/New_York"));
    choose("2025-03-04T05:00:00Z").unwrap();
}

#[test]
fn a_late_end_without_a_cost_counts_as_expected_on_the_day_of_its_choice() {
    let mut router = router(options(0.15));
    let choice = router.choose(&Request::new(&task(1), &[dear()], now())).unwrap();
    let refused = |router: &mut Router, now| router.choose(&Request::new(&task(2), &[dear()], now)).is_err();
    assert!(refused(&mut router, now()) && refused(&mut router, now() + TimeDelta::hours(8)));
    router.completed(&choice.task, &Completion::default(), now() + TimeDelta::days(1));
    assert!(refused(&mut router, now() + TimeDelta::hours(9)));
    assert!(!refused(&mut router, now() + TimeDelta::days(1)));
}

#[test]
fn reasons_show_money_as_money() {
    let mut options = options(3.2);
    options.objective.usd_per_success = 100.0;
    let mut router = router(options);
    let candidate = Candidate::by_llm("a").with_price(0.16);
    let mut reasons = Vec::new();
    for i in 0..8 {
        let choice = router.choose(&Request::new(&task(i), std::slice::from_ref(&candidate), now())).unwrap();
        reasons.push(choice.decision.reason.unwrap());
        router.completed(&choice.task, &cost(0.32), now());
    }
    assert!(reasons.iter().all(|reason| reason.contains("; $0.320, ")), "{reasons:?}");
}

/// A day of 1,500 tasks on two dollars, where only the dear candidate reaches the least success: with every goal the budget
/// lasts the day.
#[test]
fn pacing_works_with_every_goal() {
    for goal in [Goal::Utility, Goal::Cheapest, Goal::Fastest, Goal::UntilSuccess] {
        let mut options = options(2.0);
        (options.objective.goal, options.objective.usd_per_success) = (goal, 10.0);
        options.objective.min_success = (goal != Goal::Utility).then_some(0.8);
        let mut router = router(options);
        let candidates =
            [Candidate::by_llm("strong").with_price(0.02), Candidate::by_llm("weak").with_price(0.0005)];
        let (mut spent, mut refused, mut late) = (0.0, 0, 0);
        for i in 0..2_480 {
            // The day before teaches.
            let now = at("2025-03-03T00:00:00Z") + TimeDelta::seconds(58 * (i as i64 - 1_000));
            let Ok(choice) = router.choose(&Request::new(&task(i), &candidates, now)) else {
                refused += u32::from(i >= 1_000);
                continue;
            };
            let strong = choice.decision.chosen == "strong";
            let usd = if strong { 0.04 } else { 0.001 };
            let mut done = cost(usd);
            done.generation_time_seconds = Some(if strong { 5.0 } else { 50.0 });
            router.completed(&choice.task, &done, now);
            let mut event =
                devmatrix_ml::event::GenerationEvent::new(EventId::new("e").unwrap(), now, choice.started());
            done.success = Some(if strong { i % 10 > 0 } else { i % 2 > 0 });
            event.completion = Some(devmatrix_ml::event::Known { known_at: now, value: done });
            router.feedback(&event);
            if i >= 1_000 {
                spent += usd;
                late += u32::from(strong && i >= 2_000);
            }
        }
        println!("{goal:?}: ${spent:.2}, {refused} refused, {late} of the strong in the last third");
        assert!(refused == 0 && spent <= 2.0 && late > 0, "{goal:?}: ${spent:.2}, {refused} refused, {late}");
    }
}

/// A router whose session has drawn the poor candidate, which is not the greedy choice.
fn drew_poorly() -> (Router, TaskContext, [Candidate; 2]) {
    let mut options = RouterOptions::default();
    (options.sticky_sessions, options.cold_start_outcomes, options.certainty) = (true, 0, 0.5);
    let mut router = router(options);
    let candidates = ["poor", "good"].map(|llm| Candidate::by_llm(llm).with_price(0.001));
    for i in 0..60 {
        let task = candidates[i % 2].plan.apply(&task(i));
        let mut event = devmatrix_ml::event::GenerationEvent::new(EventId::new("e").unwrap(), now(), task);
        let mut done = Completion::default();
        done.success = Some(i % 2 == 1 || i % 3 == 0);
        event.completion = Some(devmatrix_ml::event::Known { known_at: now(), value: done });
        router.feedback(&event);
    }
    for n in 0..10_000 {
        let mut task = task(n);
        task.session_id = Some(SessionId::new(format!("s{n}")).unwrap());
        if router.choose(&Request::new(&task, &candidates, now())).unwrap().decision.chosen == "poor" {
            return (router, task, candidates);
        }
    }
    panic!("the poor one was never drawn");
}

fn chosen(router: &mut Router, task: &TaskContext, candidates: &[Candidate]) -> Vec<Choice> {
    (0..50).map(|_| router.choose(&Request::new(task, candidates, now())).unwrap()).collect()
}

#[test]
fn the_kill_switch_beats_a_session() {
    let (mut router, task, candidates) = drew_poorly();
    let kept = chosen(&mut router, &task, &candidates);
    assert!(kept.iter().all(|choice| choice.decision.chosen == "poor" && choice.decision.repeated));
    router.set_exploration(false);
    for choice in chosen(&mut router, &task, &candidates) {
        assert_eq!((choice.decision.chosen.as_str(), choice.decision.propensity), ("good", 1.0));
    }
}

#[test]
fn a_price_that_rises_beats_a_session() {
    let (mut router, task, mut candidates) = drew_poorly();
    candidates[0] = candidates[0].clone().with_price(1e6);
    for choice in chosen(&mut router, &task, &candidates) {
        assert_eq!(choice.decision.chosen, "good");
    }
    // By the host's table too, from its day on.
    let mut options = RouterOptions::default();
    options.sticky_sessions = true;
    options.prices = devmatrix_ml::config::from_json(
        r#"[{"llm": "a", "input": 1, "output": 1}, {"llm": "a", "since": "2025-03-04", "input": 1000000, "output": 1000000}]"#,
    )
    .unwrap();
    let mut router = self::router(options);
    let candidates = [Candidate::by_llm("a")];
    let mut repeated = |at| router.choose(&Request::new(&task, &candidates, at)).unwrap().decision.repeated;
    assert_eq!([now(), now(), at("2025-03-04T00:00:00Z")].map(&mut repeated), [false, true, false]);
}

#[test]
fn a_constraint_that_changed_beats_a_session_after_a_restart() {
    let (router, task, candidates) = drew_poorly();
    let mut options = RouterOptions::default();
    (options.sticky_sessions, options.cold_start_outcomes, options.certainty) = (true, 0, 0.5);
    let bytes = router.save().unwrap();
    for (min_success, repeated) in [(None, true), (Some(0.99), false)] {
        options.objective.min_success = min_success;
        let mut router = self::router(options.clone());
        router.restore(&bytes).unwrap();
        let choice = router.choose(&Request::new(&task, &candidates, now())).unwrap();
        assert_eq!(choice.decision.repeated, repeated, "{min_success:?}");
    }
}

#[test]
fn the_engine_tells_its_router_what_was_completed() {
    let clock = ManualClock::at(now());
    let builder = Engine::builder().with_store(Arc::new(MemoryStore::new())).with_registry(registry());
    let engine = block_on(builder.with_clock(Arc::new(clock)).with_usd_per_day(1.0).open()).unwrap();
    let choice = engine.choose(&task(1), &[cheap()]).unwrap();
    let event = block_on(engine.start(&choice)).unwrap();
    block_on(engine.complete(&event, cost(0.99))).unwrap();
    let error = engine.choose(&task(2), &[cheap()]).unwrap_err().to_string();
    assert!(error.contains("only $0.0100 are left"), "{error}");
}

#[test]
fn one_wrong_row_moves_no_cost_and_is_named_in_an_alert() {
    let clock = ManualClock::at(now());
    let builder = Engine::builder().with_store(Arc::new(MemoryStore::new())).with_registry(registry());
    let engine = block_on(builder.with_clock(Arc::new(clock.clone())).open()).unwrap();
    let candidates = ["a", "b"].map(Candidate::by_llm);
    let mut wrong = None;
    for i in 0..150 {
        clock.advance(TimeDelta::minutes(1));
        let event = block_on(engine.start(candidates[i % 2].plan.apply(&task(i)))).unwrap();
        let mut done = cost(if i == 100 { 500.0 } else { 0.006 + 0.002 * (i % 7) as f64 / 6.0 });
        done.generation_time_seconds = Some(if i == 101 { 1e9 } else { 20.0 + (i % 5) as f64 });
        block_on(engine.complete(&event, done)).unwrap();
        if i == 100 {
            wrong = Some(event);
        }
    }
    for arm in engine.choose(&task(999), &candidates).unwrap().arms {
        assert!((0.005..0.01).contains(&arm.cost_usd) && (15.0..40.0).contains(&arm.seconds), "{arm:?}");
    }
    let wrong = wrong.unwrap();
    let analytics = block_on(engine.analytics()).unwrap();
    let text = format!("{wrong}: the cost in US dollars of a is 500, ");
    assert!(analytics.drift.iter().any(|finding| finding.text.starts_with(&text)), "{:?}", analytics.drift);
    let alerts = serde_json::to_value(&analytics).unwrap()["alerts"].to_string();
    assert!(alerts.contains(&text) && alerts.contains("time in seconds of"), "{alerts}");
}

/// A host on a store that it shares with others.
struct Host {
    engine: Engine,
    clock: ManualClock,
    /// What its clock is ahead.
    ahead: TimeDelta,
    in_flight: Vec<(EventId, f64)>,
}

struct Scenario {
    store: Arc<MemoryStore>,
    zone: Tz,
    limit: f64,
    time: DateTime<Utc>,
    rng: Pcg64Mcg,
    hosts: Vec<Host>,
    /// What each try really cost, or would have.
    costs: BTreeMap<EventId, f64>,
    /// True costs of a try of the candidates.
    candidates: Vec<(Candidate, f64)>,
}

const HOSTS: usize = 8;

impl Scenario {
    fn new(seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let zones = [
            chrono_tz::UTC,
            chrono_tz::Europe::Madrid,
            chrono_tz::America::New_York,
            chrono_tz::Australia::Lord_Howe,
        ];
        // Before the clocks change in some of them, or any day.
        let days = [
            "2025-10-25T20:00:00Z",
            "2026-03-28T21:00:00Z",
            "2025-11-02T01:00:00Z",
            "2026-04-04T10:00:00Z",
            "2025-06-01T12:00:00Z",
        ];
        let (zone, time) =
            (zones[rng.random_range(0..zones.len())], at(days[rng.random_range(0..days.len())]));
        let limit = rng.random_range(0.2..3.0);
        let mut candidates =
            vec![(dear(), rng.random_range(0.03..0.2)), (cheap(), rng.random_range(0.005..0.04))];
        if seed.is_multiple_of(2) {
            candidates.push((free(), 0.0));
        }
        let mut scenario = Self {
            store: Arc::new(MemoryStore::new()),
            zone,
            limit,
            time,
            rng,
            hosts: Vec::new(),
            costs: BTreeMap::new(),
            candidates,
        };
        for _ in 0..HOSTS {
            let host = scenario.host();
            scenario.hosts.push(host);
        }
        scenario
    }

    fn host(&self) -> Host {
        let clock = ManualClock::at(self.time);
        let builder = Engine::builder().with_store(self.store.clone()).with_registry(registry());
        let builder =
            builder.with_clock(Arc::new(clock.clone())).with_zone(self.zone).with_usd_per_day(self.limit);
        let engine = block_on(builder.open()).unwrap();
        Host { engine, clock, ahead: TimeDelta::zero(), in_flight: Vec::new() }
    }

    fn step(&mut self, number: usize) {
        self.time += Duration::seconds(self.rng.random_range(1..1_200));
        let who = self.rng.random_range(0..HOSTS);
        let clock_says = self.time + self.hosts[who].ahead;
        self.hosts[who].clock.set(clock_says);
        match self.rng.random_range(0..100) {
            0..=54 => self.choose(who, number),
            55..=89 => self.complete(who),
            // Its clock is set: by seconds, hours, days, to and fro.
            90..=95 => {
                let by = [1, 3_600, 86_400, 30 * 86_400][self.rng.random_range(0..4)];
                self.hosts[who].ahead = TimeDelta::seconds(self.rng.random_range(-by..=by));
            }
            // It dies with what is in flight, and another one takes its place.
            _ => {
                self.hosts[who] = self.host();
            }
        }
    }

    fn choose(&mut self, who: usize, number: usize) {
        let host = &mut self.hosts[who];
        let candidates: Vec<_> = self.candidates.iter().map(|(candidate, _)| candidate.clone()).collect();
        let choice = match host.engine.choose(&task(number), &candidates) {
            Ok(choice) => choice,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
                assert!(candidates.len() == 2, "a candidate that costs nothing was refused: {error}");
                return;
            }
        };
        let (_, usual) = self.candidates.iter().find(|(c, _)| c.name == choice.decision.chosen).unwrap();
        let usd = usual * self.rng.random_range(0.5..1.5);
        // Some are chosen and never started.
        if self.rng.random_range(0..10) > 0 {
            let event = block_on(host.engine.start(&choice)).unwrap();
            self.costs.insert(event.clone(), usd);
            host.in_flight.push((event, usd));
        }
    }

    fn complete(&mut self, who: usize) {
        let host = &mut self.hosts[who];
        if host.in_flight.is_empty() {
            return;
        }
        let (event, usd) = host.in_flight.swap_remove(self.rng.random_range(0..host.in_flight.len()));
        // Some do not tell what they cost.
        let done = if self.rng.random_range(0..4) > 0 { cost(usd) } else { Completion::default() };
        block_on(host.engine.complete(&event, done)).unwrap();
    }

    /// Checks that no day cost more than its limit, what tries cost beyond what was expected of them, and one try that each
    /// host began without having seen those of the others.
    fn check(&self, seed: u64) {
        let ids: Vec<_> = self.costs.keys().cloned().collect();
        let events = block_on(self.store.get(&ids)).unwrap();
        let mut days = BTreeMap::<NaiveDate, [f64; 3]>::new();
        for event in events.into_iter().flatten() {
            let day = self.zone.from_utc_datetime(&event.started.known_at.naive_utc()).date_naive();
            let decision = serde_json::to_value(event.started.value.decision.unwrap()).unwrap();
            let [expected, reserved] =
                ["expected_usd", "reserved_usd"].map(|name| decision[name].as_f64().unwrap());
            let usd = self.costs[&event.event_id];
            let sums = days.entry(day).or_default();
            sums[0] += usd;
            sums[1] += (usd - expected).max(0.0);
            sums[2] = sums[2].max(reserved);
        }
        for (day, [spent, beyond, most]) in days {
            let allowed = self.limit + beyond + HOSTS as f64 * most;
            assert!(spent <= allowed, "seed {seed}, {day}: ${spent:.3} spent, ${allowed:.3} allowed");
        }
    }
}

/// 200 scenarios: `DEVMATRIX_SCENARIOS=200 cargo test --release --test budgets`.
#[test]
fn eight_hosts_keep_one_budget() {
    let scenarios = std::env::var("DEVMATRIX_SCENARIOS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    for seed in 0..scenarios {
        let mut scenario = Scenario::new(seed);
        (0..150).for_each(|number| scenario.step(number));
        scenario.check(seed);
    }
}

/// Eight hosts at once, each with a store of its own on one file.
#[test]
fn hosts_on_one_file_share_one_budget() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    drop(SqliteStore::open(&path).unwrap());
    let spent: f64 = std::thread::scope(|scope| {
        let host = |n: usize| {
            let store = Arc::new(SqliteStore::open(&path).unwrap());
            let builder = Engine::builder().with_store(store).with_registry(registry());
            let clock = Arc::new(ManualClock::at(now()));
            let engine = block_on(builder.with_clock(clock).with_usd_per_day(2.0).open()).unwrap();
            let mut spent = 0.0;
            for i in 0..30 {
                let Ok(choice) = engine.choose(&task(100 * n + i), &[dear()]) else {
                    block_on(engine.catch_up()).unwrap();
                    continue;
                };
                let event = block_on(engine.start(&choice)).unwrap();
                block_on(engine.complete(&event, cost(0.1))).unwrap();
                spent += 0.1;
            }
            spent
        };
        let threads: Vec<_> = (0..HOSTS).map(|n| scope.spawn(move || host(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // 24 dollars without a budget.
    assert!((1.5..=2.0 + 0.1 * HOSTS as f64).contains(&spent), "{spent}");
}
