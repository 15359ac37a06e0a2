//! Hostile input to the monitor: extreme clocks and counters leave finite figures.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use devmatrix_ml::event::{Decision, GenerationEvent};
use devmatrix_ml::monitoring::{Analytics, KpiName, ModelFacts, Monitor, MonitorOptions, dashboard};
use serde_json::{Value, json};
use std::time::Duration;

fn now() -> DateTime<Utc> {
    "2025-03-03T09:00:00Z".parse().unwrap()
}

/// Creates a monitor of thirty approved generations.
fn seen() -> Monitor {
    let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
    for i in 0..30 {
        let mut event = GenerationEvent::from_json(&format!(
            r#"{{"event_id":"e{i}","task_id":"t{i}","agent_type":"backend","started_at":"2025-03-01T10:00:00Z",
                "completed_at":"2025-03-01T11:00:00Z","user_action":"approve"}}"#
        ))
        .unwrap();
        event.started.value.decision = Some(Decision::new("p", vec!["a".into()], "a", 1.0).unwrap());
        event.into_records().unwrap().iter().for_each(|record| monitor.observe(record));
    }
    monitor
}

#[test]
fn counters_saturate() {
    let mut monitor = seen();
    (0..5).for_each(|day| monitor.host_started(now() - TimeDelta::days(day), u64::MAX));
    let seen = monitor.analytics(now(), &ModelFacts::default());
    assert_eq!(seen.kpis.iter().find(|kpi| kpi.name == KpiName::RecordedShare).unwrap().n, u64::MAX);
}

#[test]
fn a_clock_far_ahead_does_not_evict_earlier_events() {
    let mut monitor = seen();
    for at in [DateTime::<Utc>::MAX_UTC, "9999-12-31T23:59:59Z".parse().unwrap(), DateTime::<Utc>::MIN_UTC] {
        monitor.note_latency(at, Duration::MAX);
        monitor.host_started(at, 1);
        let seen = monitor.analytics(at, &ModelFacts::default());
        let total = &serde_json::to_value(&seen).unwrap()["total"];
        assert_eq!((&total["generations"], &total["success"]["hits"]), (&json!(30), &json!(30)));
        assert!(!dashboard::render(&seen, &[]).contains("NaN"));
    }
}

#[test]
fn monitors_are_validated_when_they_are_read() {
    let good = serde_json::to_value(Monitor::new(MonitorOptions::default()).unwrap()).unwrap();
    assert!(serde_json::from_value::<Monitor>(good.clone()).is_ok());
    for option in ["recent", "days", "window", "remember_days", "values"] {
        let mut bad = good.clone();
        bad["options"][option] = json!(0);
        let error = serde_json::from_value::<Monitor>(bad).unwrap_err().to_string();
        assert!(error.contains(&format!("{option} is 0")), "{error}");
    }
}

/// Sets every count to its maximum and every day to the earliest.
fn extreme(value: &mut Value) {
    match value {
        Value::Number(n) if n.is_u64() => *value = json!(u64::MAX),
        Value::String(text) if NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() => {
            *value = json!("-262143-01-01");
        }
        Value::Array(all) => all.iter_mut().for_each(extreme),
        Value::Object(all) => all.values_mut().for_each(extreme),
        _ => {}
    }
}

#[test]
fn the_dashboard_shows_the_largest_counts_and_the_first_day() {
    let seen = seen().analytics(now(), &ModelFacts::default());
    let mut value = serde_json::to_value(&seen).unwrap();
    let numbers = value["data_distribution"]["numbers"].clone();
    for part in ["routing", "periods", "data_distribution", "total"] {
        extreme(&mut value[part]);
    }
    for part in [value["routing"].clone(), value["periods"].clone()] {
        assert!(!part.as_array().unwrap().is_empty());
    }
    assert!(!numbers.as_array().unwrap().is_empty());
    let routing = value["routing"][0].clone();
    value["routing"] = json!([routing.clone(), routing]);
    let hostile: Analytics = serde_json::from_value(value).unwrap();
    let page = dashboard::render(&hostile, &[]);
    assert!(page.contains("18,446,744,073,709,551,615") && !page.contains("NaN"));
}
