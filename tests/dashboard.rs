//! The dashboard against its store: every figure is recomputed independently, with hostile names and with an empty
//! store. The pages are left in `target/tmp` for `.ci/check_dashboard`, which opens them.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use chrono::{Datelike, TimeDelta};
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::event::{Decision, EventId, Fact, GenerationEvent, Record, Started};
use devmatrix_ml::experimentation::ab_tests::ExperimentReport;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::SuccessTrainer;
use devmatrix_ml::monitoring::{
    AlertRule, Alerts, Analytics, Finding, HostFacts, ModelFacts, MonitorOptions, SharedMonitor, dashboard,
};
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStore, MemoryStore, ScanOrder};
use devmatrix_ml::training::{Gate, Training, TrainingOptions};
use futures_executor::block_on;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Three simulated weeks, fewer than the figures look back: predicted, decided, recorded and, at the end
/// of each, learned from. With their analytics.
async fn lived() -> (Arc<MemoryStore>, Analytics) {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.seed) = (21, 30.0, 5);
    let start = options.start;
    let mut records: Vec<Record> =
        Simulator::new(options).unwrap().flat_map(|g| g.into_event().into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    let (clock, engineer) = (ManualClock::at(start), FeatureEngineer::default());
    let store = Arc::new(MemoryStore::new());
    let registry = MemoryRegistry::new().with_clock(Arc::new(clock.clone()));
    let time = Arc::new(clock.clone());
    let collector = DataCollector::open(store.clone(), engineer.clone(), time.clone()).await.unwrap();
    let service = PredictionService::new(collector.history(), engineer.clone(), time);
    let mut options = TrainingOptions::default();
    options.gate = Gate::refreshing();
    let end = start + TimeDelta::days(21);
    let mut learns = start + TimeDelta::weeks(1);
    for record in records.into_iter().filter(|record| record.known_at() < end) {
        let (id, at, fact) = record.into_parts();
        if at >= learns {
            clock.set(learns);
            // Promotion is up to the gate.
            Training::new(store.as_ref(), &registry, &engineer, &clock)
                .with_options(options.clone())
                .run(&SuccessTrainer::default())
                .await
                .unwrap();
            service.reload(&registry).await.unwrap();
            learns += TimeDelta::weeks(1);
        }
        clock.set(at);
        match fact {
            Fact::Started(started) => {
                let predictions = service.predict_all(&started.context).unwrap();
                let mut started = *started;
                started.predictions = predictions.shown();
                let careful = predictions.success.success_probability < 0.6;
                let chosen = if careful { "careful" } else { "plain" };
                let both = vec!["plain".into(), "careful".into()];
                started.decision = Some(Decision::new("risk rule 1", both, chosen, 1.0).unwrap());
                collector.start_as(id, started).await.unwrap();
            }
            Fact::Completed(completion) => collector.complete(&id, *completion).await.unwrap(),
            Fact::Feedback(feedback) => collector.feedback(&id, *feedback).await.unwrap(),
        }
    }
    clock.set(end - TimeDelta::seconds(1));
    let monitor = SharedMonitor::open(store.as_ref(), MonitorOptions::default()).await.unwrap();
    let models = ModelFacts::read(&registry as &dyn ModelRegistry).await.unwrap();
    let mut seen = monitor.analytics(clock.now(), &models);
    Alerts::new(AlertRule::defaults(), Arc::new(clock), []).unwrap().check(&mut seen, &HostFacts::default());
    (store, seen)
}

/// Reads all generations independently of the monitor.
async fn events(store: &MemoryStore) -> Vec<GenerationEvent> {
    let records = store.scan(ScanOrder::Known, None, 1_000_000).await.unwrap().records;
    let ids: BTreeSet<EventId> = records.iter().map(|r| r.event_id().clone()).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    store.get(&ids).await.unwrap().into_iter().flatten().collect()
}

/// Returns the attribute of the first element that has all of `marks`, as text.
fn attribute<'p>(page: &'p str, marks: &[&str], name: &str) -> &'p str {
    let elements = page.split('<').skip(1).map(|element| element.split('>').next().unwrap());
    let mut found = elements.filter(|element| marks.iter().all(|mark| element.contains(mark)));
    let element = found.next().unwrap_or_else(|| panic!("no element with {marks:?}"));
    let mark = format!(" {name}=\"");
    let from = element.find(&mark).unwrap_or_else(|| panic!("{name} in {element}")) + mark.len();
    element[from..].split('"').next().unwrap()
}

fn figure(page: &str, marks: &[&str], name: &str) -> f64 {
    attribute(page, marks, name).parse().unwrap()
}

fn near(shown: f64, computed: f64, what: &str) {
    assert!(
        (shown - computed).abs() < 1e-6 * computed.abs().max(1.0),
        "{what}: shown {shown}, computed {computed}"
    );
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn keep(name: &str, page: &str) {
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), page).unwrap();
}

/// Returns predicted probabilities of success with outcomes, of generations that have both.
fn pairs(events: &[GenerationEvent]) -> Vec<(f64, bool)> {
    let pair = |event: &GenerationEvent| {
        let shown = event.started.value.predictions.iter().find(|shown| shown.target == "success")?;
        Some((shown.value, event.outcome()?.success?))
    };
    events.iter().filter_map(pair).collect()
}

#[test]
fn the_dashboards_figures_equal_those_of_the_store() {
    let (page, events) = block_on(async {
        let (store, seen) = Box::pin(lived()).await;
        let page = dashboard::render(&seen, &[experiment()]);
        let mut changed = seen.clone();
        changed.drift = findings("backend");
        keep("dashboard.html", &dashboard::render(&changed, &[experiment()]));
        (page, events(&store).await)
    });
    let outcomes: Vec<_> = events.iter().filter_map(GenerationEvent::outcome).collect();
    let successes: Vec<bool> = outcomes.iter().filter_map(|o| o.success).collect();
    let hits = successes.iter().filter(|hit| **hit).count() as f64;
    assert!(events.len() > 300 && hits > 100.0, "{} generations, {hits} successes", events.len());

    near(
        figure(&page, &["data-generations", "data-judged"], "data-generations"),
        events.len() as f64,
        "generations",
    );
    near(figure(&page, &["data-generations", "data-judged"], "data-hits"), hits, "successes");
    let kpi = |name: &str| figure(&page, &[&format!("data-kpi=\"{name}\"")], "data-value");
    near(kpi("success_rate"), hits / successes.len() as f64, "success rate");
    let quality: Vec<f64> = outcomes.iter().filter_map(|o| o.final_quality_score).collect();
    near(kpi("quality"), mean(&quality), "quality");
    let costs: Vec<f64> =
        events.iter().filter_map(|e| e.completion.as_ref().and_then(|c| c.value.cost_usd)).collect();
    near(kpi("cost"), mean(&costs), "cost");
    near(figure(&page, &["data-generations", "data-judged"], "data-cost"), costs.iter().sum(), "all cost");

    let pairs = pairs(&events);
    let right = pairs.iter().filter(|(p, y)| (*p >= 0.5) == *y).count() as f64;
    near(kpi("prediction_accuracy"), right / pairs.len() as f64, "accuracy");
    let rate = pairs.iter().filter(|(_, y)| *y).count() as f64 / pairs.len() as f64;
    near(figure(&page, &["data-baseline"], "data-baseline"), rate.max(1.0 - rate), "majority baseline");
    let brier: Vec<f64> = pairs.iter().map(|(p, y)| (p - f64::from(u8::from(*y))).powi(2)).collect();
    near(figure(&page, &["data-scores=\"success\""], "data-brier"), mean(&brier), "Brier score");
    near(figure(&page, &["data-scores=\"success\""], "data-n"), pairs.len() as f64, "evaluated predictions");

    for (bin, row) in reliability(&pairs).into_iter().enumerate() {
        let Some((n, predicted, observed)) = row else { continue };
        let bin = format!("data-bin=\"{bin}\"");
        near(figure(&page, &[&bin], "data-n"), n, "predictions in a bin");
        near(figure(&page, &[&bin], "data-predicted"), predicted, "mean prediction of a bin");
        near(figure(&page, &[&bin], "data-actual"), observed, "successes of a bin");
    }
    by_agent(&page, &events);
    choices(&page, &events);
    weeks(&page, &events);
}

/// Returns ten equally wide bins: count, mean prediction and share of successes.
fn reliability(pairs: &[(f64, bool)]) -> Vec<Option<(f64, f64, f64)>> {
    let bin = |i: usize| {
        let own: Vec<_> = pairs.iter().filter(|(p, _)| ((p * 10.0) as usize).min(9) == i).collect();
        let n = own.len() as f64;
        let (predicted, observed) =
            own.iter().fold((0.0, 0.0), |(s, c), (p, y)| (s + p, c + f64::from(u8::from(*y))));
        (n > 0.0).then(|| (n, predicted / n, observed / n))
    };
    (0..10).map(bin).collect()
}

fn by_agent(page: &str, events: &[GenerationEvent]) {
    let mut agents = BTreeMap::<String, (f64, f64, f64)>::new();
    for event in events {
        let Some(agent) = event.started.value.context.agent_type.clone() else { continue };
        let sums = agents.entry(agent).or_default();
        sums.0 += 1.0;
        if let Some(success) = event.outcome().and_then(|o| o.success) {
            sums.1 += 1.0;
            sums.2 += f64::from(u8::from(success));
        }
    }
    assert!(agents.len() > 1);
    for (agent, (generations, labelled, hits)) in agents {
        let row = format!("data-slice=\"agent {agent}\"");
        near(figure(page, &[&row], "data-generations"), generations, &agent);
        near(figure(page, &[&row], "data-n"), labelled, &agent);
        near(figure(page, &[&row], "data-hits"), hits, &agent);
    }
}

fn choices(page: &str, events: &[GenerationEvent]) {
    let mut chosen = BTreeMap::<String, f64>::new();
    for decision in events.iter().filter_map(|e| e.started.value.decision.as_ref()) {
        *chosen.entry(decision.chosen.clone()).or_default() += 1.0;
    }
    assert!(!chosen.is_empty());
    for (choice, n) in chosen {
        near(figure(page, &[&format!("data-chosen=\"{choice}\"")], "data-n"), n, &choice);
    }
}

/// Checks successes and interval coverage of the time by week of the start.
fn weeks(page: &str, events: &[GenerationEvent]) {
    let mut shares = BTreeMap::<String, (f64, f64)>::new();
    for event in events {
        let start = &event.started.value;
        let day = start.context.started_at.unwrap_or(event.started.known_at).date_naive();
        let monday = day - TimeDelta::days(i64::from(day.weekday().num_days_from_monday()));
        let mut count = |mark: String, hit: bool| {
            let sums = shares.entry(mark).or_default();
            *sums = (sums.0 + f64::from(u8::from(hit)), sums.1 + 1.0);
        };
        if let Some(success) = event.outcome().and_then(|o| o.success) {
            count(format!("data-success=\"{monday}\""), success);
        }
        let Some(took) = event.completion.as_ref().and_then(|c| c.value.generation_time_seconds) else {
            continue;
        };
        for (name, level) in [("time@80", 80), ("time", 90)] {
            let shown = start.predictions.iter().find(|shown| shown.target == name).unwrap();
            let covered = (shown.lower..=shown.upper).contains(&took);
            count(format!("data-target=\"time\" data-level=\"{level}\" data-week=\"{monday}\""), covered);
        }
    }
    assert!(shares.len() >= 9, "three weeks of each");
    for (mark, (hits, n)) in shares {
        near(figure(page, &[&mark], "data-hits"), hits, &mark);
        near(figure(page, &[&mark], "data-n"), n, &mark);
    }
}

/// Creates a finding of each kind, about `who`.
fn findings(who: &str) -> Vec<Finding> {
    let finding = |kind: &str, subject: &str, before: f64, after: f64, size: serde_json::Value| {
        let finding = serde_json::json!({ "kind": kind, "subject": subject,
            "slice": { "dimension": "agent", "value": who }, "within": { "dimension": "language", "value": who },
            "since": "2025-01-14T08:00:00Z", "found_at": "2025-01-17T21:30:00Z", "events": 140, "before": before, "after": after,
            "size": size, "severity": if after < before { "critical" } else { "warning" },
            "text": format!("{subject} of {who} has changed."), "advice": format!("Look at what changed for {who}.") });
        serde_json::from_value(finding).unwrap()
    };
    vec![
        finding("outcome", "success", 0.74, 0.58, serde_json::json!({ "evidence": 6.1 })),
        finding("feature", "description_length", 180.0, 240.0, serde_json::json!({ "psi": 0.31, "ks": 0.2 })),
        finding("feature", who, 0.1, 0.3, serde_json::json!({ "psi": 1.7, "jensen_shannon": 0.1 })),
        finding("concept", "log loss", 0.01, 0.12, serde_json::json!({ "evidence": 7.0 })),
        finding("new_category", who, 0.0, 0.04, serde_json::json!({})),
    ]
}

fn experiment() -> ExperimentReport {
    let arm = |arm: &str, success: f64, against: &str| {
        format!(
            r#"{{"arm":"{arm}","units":240,"generations":480.0,"success":{success},"cost":0.021,"seconds":31.5,"labelled":0.9,"against_control":[{against}]}}"#
        )
    };
    let better =
        r#"{"metric":"success","difference":0.061,"lower":0.012,"upper":0.110,"variance_saved":0.2}"#;
    let report = format!(
        r#"{{"experiment":"careful <b>prompt</b>","verdict":{{"winner":{{"arm":"careful"}}}},"reasons":["careful is better than the control beyond doubt"],"arms":[{},{}],"ratio":{{"units":[240,240],"planned":[0.5,0.5],"chi_square":0.0,"log_evidence":-1.0}},"young":12}}"#,
        arm("plain", 0.70, ""),
        arm("careful", 0.76, better)
    );
    serde_json::from_str(&report).unwrap()
}

/// Hostile values in every name that a host may set.
#[test]
fn hostile_names_are_escaped() {
    let nasty = [
        "<script>document.title='owned'</script>",
        "\"><img src=http://127.0.0.1:9/x onerror=alert(1)>",
        "</style><svg onload=alert(1)>",
        "\u{202e}evil & <b>bold</b>",
    ];
    let page = block_on(async {
        let store = MemoryStore::new();
        let mut records = Vec::new();
        for i in 0..400_usize {
            let name = nasty[i % nasty.len()];
            let event = serde_json::json!({ "event_id": format!("e{i}"), "task_id": "t", "started_at": "2025-03-01T10:00:00Z",
                "completed_at": "2025-03-01T10:05:00Z", "task_description": name, "task_type": name, "agent_type": name, "language": name,
                "framework": name, "model_used": name, "project_id": name, "template_id": name, "cost_usd": 0.01,
                "user_action": if i % 3 == 0 { "reject" } else { "approve" } });
            let mut event = GenerationEvent::from_json(&event.to_string()).unwrap();
            let started: &mut Started = &mut event.started.value;
            started.decision = Some(Decision::new(name, vec![name.into()], name, 1.0).unwrap());
            records.extend(event.into_records().unwrap());
        }
        store.append(records).await.unwrap();
        let monitor = SharedMonitor::open(&store, MonitorOptions::default()).await.unwrap();
        let mut seen = monitor.analytics("2025-03-02T00:00:00Z".parse().unwrap(), &ModelFacts::default());
        seen.drift = nasty.iter().flat_map(|name| findings(name)).collect();
        seen
    });
    let page = dashboard::render(&page, &[experiment()]);
    keep("hostile.html", &page);
    assert!(page.contains("&lt;script&gt;document.title"), "the names are there");
    for tag in ["<script", "<img", "<b>", "onload=alert(1)>", "</style><svg"] {
        assert!(!page.contains(tag), "{tag} got through");
    }
    assert_eq!(page.matches("</style>").count(), 1);
}

#[test]
fn an_empty_page_names_missing_data_and_has_no_invalid_number() {
    let empty = dashboard::render(&Analytics::default(), &[]);
    keep("empty.html", &empty);
    for says in [
        "Nothing was recorded yet",
        "No figures yet",
        "No reliability diagram",
        "No open alerts",
        "No versions",
        "No routing shares",
        "No experiments",
    ] {
        assert!(empty.contains(says), "{says}");
    }
    let mut seen = block_on(lived()).1;
    for kpi in &mut seen.kpis {
        (kpi.value, kpi.before, kpi.baseline) = (Some(f64::NAN), Some(f64::INFINITY), Some(f64::NAN));
    }
    seen.drift = findings("backend");
    seen.drift.iter_mut().for_each(|found| (found.before, found.after) = (f64::NAN, f64::INFINITY));
    for page in [empty, dashboard::render(&seen, &[])] {
        assert!(
            !page.contains("NaN") && !page.contains(">inf") && !page.contains("\"inf"),
            "no invalid number"
        );
        assert!(
            !page.contains("http://") && !page.contains("https://") && !page.contains("url("),
            "nothing external is loaded"
        );
    }
}
