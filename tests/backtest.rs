//! Backtests reject invalid options, find skill, and do not leak the future.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, TimeDelta, Utc};
use common::small;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::dataset::Target;
use devmatrix_ml::event::{EventId, GenerationEvent, ProjectId, Record};
use devmatrix_ml::training::{BacktestOptions, BacktestReport, BacktestSplit, NightlyModel, backtest};

fn options(split: &str) -> BacktestOptions {
    let mut options = BacktestOptions::default();
    options.split = split.parse().unwrap();
    options
}

fn run(events: &[GenerationEvent], options: &BacktestOptions) -> BacktestReport {
    backtest(events.to_vec(), options).unwrap()
}

fn rejection(events: &[GenerationEvent], options: &BacktestOptions) -> String {
    let error = backtest(events.to_vec(), options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    format!("{error:#}")
}

/// Returns the report without its timing.
fn essence(report: &BacktestReport) -> String {
    let mut json = serde_json::to_value(report).unwrap();
    json.as_object_mut().unwrap().remove("timing");
    json.to_string()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Creates one event a day, labelled an hour later.
fn daily(days: i64, success: impl Fn(i64) -> bool) -> Vec<GenerationEvent> {
    let event = |i| {
        let start = at("2025-01-01T00:00:00Z") + TimeDelta::days(i);
        let action = if success(i) { "approve" } else { "reject" };
        let json = serde_json::json!({
            "event_id": format!("e{i}"), "task_id": format!("t{i}"), "agent_type": format!("a{}", i % 3),
            "task_description": format!("Add page {i}"), "started_at": start,
            "completed_at": start + TimeDelta::hours(1), "user_action": action,
        });
        GenerationEvent::from_json(&json.to_string()).unwrap()
    };
    (0..days).map(event).collect()
}

#[test]
fn splits_round_trip_through_text() {
    for text in [
        "time:0.8",
        "group:project_id:0.5",
        "group:metadata.a:b:0.5",
        "field:metadata.split=val",
        "field:a=b=c",
        "field:a=",
    ] {
        let split: BacktestSplit = text.parse().unwrap();
        assert_eq!(split.to_string(), text);
    }
    assert_eq!(
        "field:a=b=c".parse::<BacktestSplit>().unwrap(),
        BacktestSplit::Field("a".into(), "b=c".into())
    );
    for text in [
        "",
        "time",
        "time:",
        "time:0",
        "time:1",
        "time:-0.5",
        "time:NaN",
        "time:inf",
        "time:1e-400",
        "time:0,8",
        "0.8",
        "time:0.8:0.1",
        "TIME:0.8",
        "group:0.5",
        "group:project_id",
        "group:project_id:2",
        "group::0.5",
        "field:a",
        "field:=x",
        "random:0.8",
        "🦀:0.5",
    ] {
        let error = text.parse::<BacktestSplit>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            format!("{error:#}").contains(&format!("{text:?}"))
                && format!("{error:#}").contains("time:SHARE"),
            "{error}"
        );
    }
}

#[test]
fn options_out_of_range_are_named() {
    let events = daily(40, |i| i % 2 == 0);
    for share in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1.0, 1e300] {
        for split in [BacktestSplit::Time(share), BacktestSplit::Group("task_id".into(), share)] {
            let mut bad = BacktestOptions::default();
            bad.split = split;
            let error = rejection(&events, &bad);
            assert!(error.contains("SHARE between 0 and 1"), "{share}: {error}");
        }
    }
    for deadline in [TimeDelta::zero(), TimeDelta::days(-3), TimeDelta::MIN] {
        let mut bad = options("time:0.5");
        bad.deadline = Some(deadline);
        assert!(rejection(&events, &bad).contains("deadline"));
    }
    let mut bad = options("time:0.5");
    bad.retrain_rows = Some(10);
    assert!(rejection(&events, &bad).contains("retrain_rows is 10 for a split by time"));
    let mut bad = options("field:user_action=approve");
    bad.retrain_rows = Some(0);
    assert!(rejection(&events, &bad).contains("retrain_rows is 0"));
    let mut bad = options("time:0.5");
    bad.training.test_fraction = f64::NAN;
    assert!(rejection(&events, &bad).contains("test_fraction is NaN"));
    let mut bad = options("time:0.5");
    bad.training.max_rows = 0;
    assert!(rejection(&events, &bad).contains("max_rows is 0"));
}

/// Labels of the later half are higher: who learns them every 20 rows follows.
#[test]
fn models_are_trained_again_after_so_many_rows_of_a_split_by_value() {
    let mut events = daily(400, |_| true);
    for (i, event) in events.iter_mut().enumerate() {
        let later = i >= 200;
        event.started.value.context.project_id =
            Some(ProjectId::new(if later { "later" } else { "earlier" }).unwrap());
        let level = if later { 6.0 } else { 2.0 };
        event.started.value.complexity_label = Some(level + (i % 3) as f64);
    }
    let mut options = options("field:project_id=later");
    options.target = Target::Complexity;
    let once = run(&events, &options);
    options.retrain_rows = Some(20);
    let again = run(&events, &options);
    assert_eq!((once.models.len(), again.models.len()), (1, 10));
    assert_eq!((once.n_test, again.n_test), (200, 200));
    assert!(again.metrics["mae"] < 0.8 * once.metrics["mae"], "{:?} {:?}", once.metrics, again.metrics);
}

#[test]
fn skill_is_found_and_shuffled_outcomes_have_none() {
    let events = small::events(30, 40.0, 3);
    let report = run(&events, &options("time:0.7"));
    assert!(report.metrics["auc"] > 0.62, "{:?}", report.metrics);
    assert!(report.metrics["logloss"] < report.baselines["constant"]["logloss"]);
    assert_eq!(essence(&report), essence(&run(&events, &options("time:0.7"))), "the same twice");
    assert!(report.models.iter().all(|model: &NightlyModel| model.promoted), "{:?}", report.models);
    let shuffled = |seed| {
        let mut options = options("time:0.7");
        (options.shuffle, options.seed) = (true, seed);
        run(&events, &options).metrics["auc"]
    };
    let areas: Vec<_> = (0..10).map(shuffled).collect();
    let mean = areas.iter().sum::<f64>() / 10.0;
    assert!((0.45..=0.55).contains(&mean), "{areas:?}");
}

/// The first training uses what was known at the cut, so outcomes known later must not change the first
/// prediction; and outcomes known earlier must.
#[test]
fn outcomes_known_later_change_no_earlier_prediction() {
    let events = small::events(25, 30.0, 5);
    let plain = options("time:0.8");
    let report = run(&events, &plain);
    let cut = report.cut.unwrap();
    // Flips feedback that arrives after the cut for generations before it: the predicted labels stay the same, and so
    // must the model.
    let mut turned = events.clone();
    let mut late = 0;
    for event in &mut turned {
        let judged_late = event.feedback.iter_mut().filter(|f| f.known_at >= cut);
        for feedback in judged_late.filter(|_| event.started.known_at < cut) {
            feedback.value.success = Some(!feedback.value.succeeded());
            late += 1;
        }
    }
    assert!(late > 0, "some outcomes cross the cut");
    let other = run(&turned, &plain);
    assert_eq!(other.models, report.models);
    assert_eq!((other.n_train, other.cut), (report.n_train, report.cut));
    assert_eq!(other.baselines["constant"], report.baselines["constant"]);

    // A backtest with only the first test event after the cut predicts the same.
    let first_test = events.iter().position(|e| e.started.known_at == cut).unwrap();
    let only_first = |events: &[GenerationEvent]| {
        let mut few = events[..=first_test].to_vec();
        for event in &mut few[..first_test] {
            event.started.value.metadata.insert("part".into(), "train".into());
        }
        let labelled = few.iter().filter(|e| e.outcome().is_some()).count();
        let mut options = BacktestOptions::default();
        options.split = BacktestSplit::Time((labelled as f64 - 0.5) / labelled as f64);
        run(&few, &options)
    };
    let (ours, theirs) = (only_first(&events), only_first(&turned));
    assert_eq!((ours.n_test, theirs.n_test), (1, 1));
    assert_eq!(
        (ours.cut, &ours.metrics),
        (Some(cut), &theirs.metrics),
        "the first prediction used the future"
    );
    for event in &mut turned[..first_test] {
        event.feedback.iter_mut().for_each(|f| f.value.success = Some(!f.value.succeeded()));
    }
    assert_ne!(only_first(&turned).metrics, ours.metrics, "the comparison detects a difference");
}

#[test]
fn groups_and_fields_split_by_value() {
    let mut events = small::events(20, 40.0, 9);
    let report = run(&events, &options("group:project_id:0.6"));
    assert!(report.n_train > 0 && report.n_test > 0 && report.cut.is_none());
    for (i, event) in events.iter_mut().enumerate() {
        let part = if i % 4 == 0 { "val" } else { "train" };
        event.started.value.metadata.insert("split".into(), part.into());
    }
    let report = run(&events, &options("field:metadata.split=val"));
    let val = events.iter().enumerate().filter(|(i, e)| i % 4 == 0 && e.outcome().is_some()).count();
    assert_eq!(report.n_test, val);
    for nowhere in
        ["field:metadata.split=nowhere", "field:metadata.none=val", "group:metadata.none:0.5", "field:...=x"]
    {
        let error = rejection(&events, &options(nowhere));
        assert!(error.contains(nowhere) && error.contains("nothing to"), "{error}");
    }
}

#[test]
fn the_deadline_turns_late_approvals_into_failures_and_leaves_out_recent_events() {
    // Every approval takes an hour; the last day has had less than two hours.
    let events = daily(60, |i| i % 2 == 0);
    let with = |deadline, as_of: Option<&str>| {
        let mut options = options("time:0.5");
        (options.deadline, options.as_of) = (Some(deadline), as_of.map(at));
        options
    };
    let report = run(&events, &with(TimeDelta::minutes(30), None));
    assert_eq!((report.metrics.get("auc"), report.n_test), (None, 30), "all failed: {:?}", report.metrics);
    assert!(run(&events, &with(TimeDelta::hours(2), None)).n_events == 59);
    let early = run(&events, &with(TimeDelta::hours(1), Some("2025-02-01T00:00:00Z")));
    assert_eq!(early.n_events, 31);
    let error = rejection(&events, &with(TimeDelta::days(36_500), None));
    assert!(error.contains("nothing"), "{error}");
    for extreme in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        for deadline in [TimeDelta::MAX, TimeDelta::days(3_000_000), TimeDelta::nanoseconds(1)] {
            let mut options = with(deadline, None);
            options.as_of = Some(extreme);
            let _ = backtest(events.clone(), &options);
        }
    }
}

#[test]
fn events_without_times_keep_their_order() {
    let mut events = daily(400, |i| i % 3 == 0);
    for event in &mut events {
        event.started.value.context.started_at = None;
        event.started.known_at = DateTime::UNIX_EPOCH;
    }
    let report = run(&events, &options("time:0.75"));
    assert_eq!((report.n_train, report.n_test), (300, 100));
    // Agent 0 always succeeds, the others never.
    assert!(report.metrics["auc"] > 0.95, "{:?}", report.metrics);
}

#[test]
fn too_few_events_are_an_error_or_an_unpromoted_model() {
    let none = rejection(&[], &options("time:0.8"));
    assert!(none.contains("of 0 events with a known success"), "{none}");
    for split in ["time:0.8", "group:task_id:0.5", "field:event_id=e0"] {
        assert!(rejection(&daily(1, |_| true), &options(split)).contains("nothing"), "{split}");
    }
    let mut open = daily(30, |_| true);
    open.iter_mut().for_each(|e| e.feedback.clear());
    assert!(rejection(&open, &options("time:0.8")).contains("of 0 events with a known success"));
    assert!(rejection(&open, &options("group:task_id:0.5")).contains("of 0 events with a known success"));
    let mut at_once = daily(30, |i| i % 2 == 0);
    at_once.iter_mut().for_each(|e| e.started.known_at = at("2025-01-01T00:00:00Z"));
    assert!(rejection(&at_once, &options("time:0.8")).contains("nothing to train on"));
    let few = run(&daily(20, |i| i % 2 == 0), &options("time:0.8"));
    assert!(
        !few.models[0].promoted && few.models[0].reasons[0].contains("100 are needed"),
        "{:?}",
        few.models
    );
}

#[test]
fn one_sided_outcomes_have_no_auc_and_do_not_panic() {
    for success in [true, false] {
        let report = run(&daily(200, |_| success), &options("time:0.8"));
        assert_eq!(
            (report.metrics.get("auc"), report.metrics["accuracy"]),
            (None, 1.0),
            "{:?}",
            report.metrics
        );
    }
}

#[test]
fn duplicate_ids_are_two_generations() {
    let long = "x".repeat(1024);
    let mut events = daily(200, |i| i % 3 == 0);
    let names = ["same", "same", "same#1", &long, &long, "same"];
    for (i, event) in events.iter_mut().enumerate() {
        event.event_id = EventId::new(names[i % names.len()]).unwrap();
    }
    let report = run(&events, &options("time:0.8"));
    assert_eq!((report.n_events, report.n_train, report.n_test), (200, 160, 40));
    // One id may be on both sides of the cut: labels must not be mixed up.
    assert!(report.metrics["auc"] > 0.95, "{:?}", report.metrics);
    let shared = report.remarks.iter().find(|(remark, _)| remark.starts_with("share the id"));
    assert_eq!(shared.map(|(_, n)| *n), Some(198), "{:?}", report.remarks);
}

#[test]
fn one_start_told_twice_is_one_generation_and_is_said() {
    let once = daily(200, |i| i % 3 == 0);
    let alone = run(&once, &options("time:0.8"));
    assert!(alone.remarks.is_empty(), "{:?}", alone.remarks);
    // The second telling of every event lacks the end, or repeats all of it.
    let mut twice = once.clone();
    twice.extend(once.iter().enumerate().map(|(i, event)| {
        let mut event = event.clone();
        if i % 2 == 0 {
            event.completion = None;
            event.feedback.clear();
        }
        event
    }));
    let report = run(&twice, &options("time:0.8"));
    let repeated = report.remarks.iter().find(|(remark, _)| remark.starts_with("repeated the start"));
    assert_eq!(repeated.map(|(_, n)| *n), Some(200), "{:?}", report.remarks);
    let mut report = report;
    report.remarks.clear();
    assert_eq!(essence(&report), essence(&alone));
    // A judgement that came later is the one that counts.
    let mut revised = once.clone();
    revised.extend(daily(200, |i| i % 3 != 0).into_iter().map(|mut event| {
        event.feedback.iter_mut().for_each(|f| f.known_at += TimeDelta::minutes(1));
        event
    }));
    let report = run(&revised, &options("time:0.8"));
    assert_eq!(report.n_events, 200);
    assert!(report.metrics["accuracy"] > 0.95, "{:?}", report.metrics);
}

#[test]
fn events_that_end_before_they_start_are_all_counted_and_said() {
    let mut events = daily(200, |i| i % 3 == 0);
    for event in &mut events {
        let early = event.started.known_at - TimeDelta::days(30);
        event.completion.as_mut().unwrap().value.completed_at = Some(early);
        event.completion.as_mut().unwrap().known_at = early;
        event.feedback.iter_mut().for_each(|f| f.known_at = early);
    }
    let report = run(&events, &options("time:0.8"));
    assert_eq!(report.n_events, 200);
    let said = report.remarks.iter().find(|(remark, _)| remark.starts_with("ended before"));
    assert_eq!(said.map(|(_, n)| *n), Some(200), "{:?}", report.remarks);
}

#[test]
fn dates_out_of_range_are_rejected_and_distant_ones_are_fast() {
    let mut events = daily(30, |i| i % 2 == 0);
    events[7].feedback[0].known_at = DateTime::<Utc>::MAX_UTC;
    events[8].started.known_at = DateTime::<Utc>::MAX_UTC;
    for shuffle in [false, true] {
        let mut options = options("time:0.5");
        options.shuffle = shuffle;
        assert!(rejection(&events, &options).contains("year"));
    }
    // A typo in one date must not mean three million training cycles.
    let mut events = daily(150, |i| i % 2 == 0);
    let last = events.last_mut().unwrap();
    last.started.known_at = at("9999-12-30T00:00:00Z");
    last.feedback[0].known_at = at("9999-12-31T00:00:00Z");
    let mut nightly = options("time:0.9");
    nightly.retrain_daily = true;
    let report = run(&events, &nightly);
    assert!(report.models.len() < 30, "{} models", report.models.len());
}

#[test]
fn daily_retraining_uses_the_outcomes_of_each_day() {
    let events = small::events(15, 30.0, 2);
    let mut nightly = options("time:0.6");
    nightly.retrain_daily = true;
    let report = run(&events, &nightly);
    assert!(report.models.len() > 3);
    let records: Vec<Record> = events.iter().flat_map(|e| e.clone().into_records().unwrap()).collect();
    assert!(records.iter().any(|r| r.known_at() > report.models.last().unwrap().trained_at));
    assert!(report.models.windows(2).all(|w| w[0].trained_at < w[1].trained_at));
}
