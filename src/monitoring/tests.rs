//! What the monitor shows is what an independent count over the store finds, whatever the order of arrival,
//! in bounded memory.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

#[cfg(test)]
use super::{
    Analytics, Dimension, Figures, KpiName, ModelFacts, Monitor, MonitorOptions, SharedMonitor, SliceKey,
};
use crate::ErrorKind;
use crate::common::monitored::Stream;
use crate::event::{
    EventId, Fact, Feedback, GenerationEvent, Known, Record, ShownPrediction, TaskContext, TaskId, UserAction,
};
use crate::ml::metrics::{BinaryScores, RegressionScores};
use crate::simulate::{Simulator, SimulatorOptions};
use crate::store::{EventStore, MemoryStore, ScanOrder};
use allocation_counter::measure;
use chrono::{DateTime, TimeDelta, Utc};
use futures_executor::block_on;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64;

/// Simulated events with predictions shown, some of them labelled a second time.
fn events() -> Vec<GenerationEvent> {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (45, 25.0);
    let mut random = Pcg64::seed_from_u64(3);
    let mut shown = |target: &str, value: f64, by: f64| {
        let version = 1 + u64::from(random.random_bool(0.5));
        ShownPrediction::new(target, value, (value - by, value + by), "calibrated", version)
    };
    let each = Simulator::new(options).unwrap().enumerate().map(|(i, generation)| {
        let probability = generation.probability;
        let mut event = generation.into_event();
        if i % 7 > 0 {
            event.started.value.predictions = vec![
                shown("success", probability, 0.1),
                shown("time", 40.0, 30.0),
                shown("time@80", 40.0, 20.0),
            ];
            event.started.value.predictions.push(shown("quality", 7.0, 2.0));
        }
        if let Some(first) = event.feedback.first().filter(|_| i % 11 == 0) {
            let mut second = Feedback::new(UserAction::Reject);
            second.final_quality_score = Some(3.0);
            let known_at = first.known_at + TimeDelta::hours(5);
            event.feedback.push(Known { known_at, value: second });
        }
        event
    });
    each.collect()
}

fn store() -> (MemoryStore, DateTime<Utc>) {
    let store = MemoryStore::new();
    let mut records: Vec<_> = events().into_iter().flat_map(|event| event.into_records().unwrap()).collect();
    records.sort_by_cached_key(|record| (record.known_at(), record.key()));
    let now = records.last().unwrap().known_at();
    block_on(store.append(records)).unwrap();
    (store, now)
}

/// Every generation of a store, whole.
fn all(store: &MemoryStore) -> Vec<GenerationEvent> {
    let records = block_on(store.scan(ScanOrder::Known, None, usize::MAX)).unwrap().records;
    let starts = records.iter().filter(|record| matches!(record.fact(), Fact::Started(_)));
    let ids: Vec<EventId> = starts.map(|record| record.event_id().clone()).collect();
    block_on(store.get(&ids)).unwrap().into_iter().flatten().collect()
}

fn close(found: Option<f64>, wanted: Option<f64>) {
    match (found, wanted) {
        (Some(found), Some(wanted)) => {
            assert!((found - wanted).abs() <= 2e-6 * wanted.abs().max(1.0), "{found} instead of {wanted}");
        }
        _ => assert_eq!(found, wanted),
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The figures, counted anew.
fn check(figures: &Figures, events: &[&GenerationEvent]) {
    let outcomes: Vec<_> = events.iter().map(|e| e.outcome()).collect();
    let done = || events.iter().filter_map(|e| e.completion.as_ref()).map(|c| &c.value);
    let labelled: Vec<bool> = outcomes.iter().flatten().filter_map(|o| o.success).collect();
    assert_eq!(figures.generations as usize, events.len());
    assert_eq!(figures.completed as usize, done().count());
    assert_eq!(figures.success.n as usize, labelled.len());
    assert_eq!(figures.success.hits as usize, labelled.iter().filter(|success| **success).count());
    let approved: Vec<bool> = outcomes.iter().flatten().filter_map(|o| o.approved).collect();
    assert_eq!(figures.approved.hits as usize, approved.iter().filter(|yes| **yes).count());
    let again = events.iter().filter(|e| e.started.value.context.attempt > 0).count();
    assert_eq!(figures.regenerations.hits as usize, again);
    let quality: Vec<_> = outcomes.iter().flatten().filter_map(|o| o.final_quality_score).collect();
    close(figures.quality.value, mean(&quality));
    let costs: Vec<_> = done().filter_map(|c| c.cost_usd).collect();
    close(figures.cost_usd.value, mean(&costs));
    close(Some(figures.total_cost_usd), Some(costs.iter().sum()));
    close(figures.seconds.value, mean(&done().filter_map(|c| c.generation_time_seconds).collect::<Vec<_>>()));
    close(
        figures.tokens.value,
        mean(&done().filter_map(|c| c.tokens_used).map(|t| t as f64).collect::<Vec<_>>()),
    );
    let (mut paid, mut successes) = (0.0, 0.0);
    for (event, outcome) in events.iter().zip(&outcomes) {
        let cost = event.completion.as_ref().and_then(|c| c.value.cost_usd);
        if let (Some(cost), Some(success)) = (cost, outcome.as_ref().and_then(|o| o.success)) {
            paid += cost;
            successes += f64::from(u8::from(success));
        }
    }
    close(figures.cost_per_success_usd, (successes > 0.0).then(|| paid / successes));
    let waits = events.iter().zip(&outcomes).filter_map(|(event, outcome)| {
        let started = event.started.value.context.started_at.unwrap_or(event.started.known_at);
        let approved = outcome.as_ref()?.approved_at?;
        Some((approved - started).num_microseconds().unwrap() as f64 / 1e6)
    });
    close(figures.seconds_to_approval.value, mean(&waits.collect::<Vec<_>>()));
}

fn shown<'a>(event: &'a GenerationEvent, target: &str) -> Option<&'a ShownPrediction> {
    event.started.value.predictions.iter().find(|shown| shown.target == target)
}

#[test]
fn figures_equal_those_computed_from_the_store() {
    let (store, now) = store();
    let monitor = block_on(SharedMonitor::open(&store, MonitorOptions::default())).unwrap();
    let seen = monitor.analytics(now, &ModelFacts::default());
    let all = all(&store);
    let some = |keep: &dyn Fn(&GenerationEvent) -> bool| all.iter().filter(|e| keep(e)).collect::<Vec<_>>();
    check(&seen.total, &some(&|_| true));
    assert!(seen.total.generations > 800 && seen.periods.len() >= 44);
    for period in &seen.periods {
        check(&period.figures, &some(&|e| e.started.known_at.date_naive() == period.day));
    }
    for slice in &seen.slices {
        let value = |e: &GenerationEvent| {
            let task = &e.started.value.context;
            match slice.slice.dimension {
                Dimension::Agent => task.agent_type.clone(),
                Dimension::Model => task.model_used.clone(),
                Dimension::Language => task.language.clone(),
                Dimension::Framework => task.framework.clone(),
                Dimension::TaskType => task.task_type.clone(),
                Dimension::Project => task.project_id.as_ref().map(ToString::to_string),
                _ => task.template_id.as_ref().map(ToString::to_string),
            }
        };
        check(&slice.figures, &some(&|e| value(e).as_deref() == Some(&slice.slice.value)));
    }
    let recent = some(&|e| (now.date_naive() - e.started.known_at.date_naive()).num_days() < 28);
    let labelled: Vec<_> = recent.iter().filter_map(|e| e.outcome()?.success).collect();
    let rate = labelled.iter().filter(|success| **success).count() as f64 / labelled.len() as f64;
    close(seen.kpi(KpiName::SuccessRate).unwrap().value, Some(rate));
    assert_eq!(seen.kpi(KpiName::SuccessRate).unwrap().met, Some(rate >= 0.85));
}

#[test]
fn accuracy_equals_that_computed_from_the_store() {
    let (store, now) = store();
    let monitor = block_on(SharedMonitor::open(&store, MonitorOptions::default())).unwrap();
    let seen = monitor.analytics(now, &ModelFacts::default());
    let all = all(&store);
    let met = all.iter().filter_map(|e| Some((shown(e, "success")?.value, e.outcome()?.success?)));
    let (p, y): (Vec<_>, Vec<_>) = met.unzip();
    let (found, wanted) = (seen.prediction_accuracy.success.unwrap(), BinaryScores::of(&p, &y).unwrap());
    assert_eq!(found.n as usize, wanted.n);
    close(found.accuracy.value, Some(wanted.accuracy));
    close(Some(found.brier), Some(wanted.brier));
    close(Some(found.logloss), Some(wanted.logloss));
    close(Some(found.ece), Some(wanted.ece));
    assert!((found.auc.unwrap() - wanted.auc.unwrap()).abs() < 0.004, "{found:?} {wanted:?}");
    let by_version: u64 = seen.model_performance.iter().filter_map(|m| m.success).map(|s| s.n).sum();
    assert_eq!(by_version, found.n);
    let times = all.iter().filter_map(|e| {
        Some((shown(e, "time")?, shown(e, "time@80")?, e.completion.as_ref()?.value.generation_time_seconds?))
    });
    let times: Vec<_> = times.collect();
    let (p, y): (Vec<_>, Vec<_>) = times.iter().map(|(p, _, y)| (p.value, *y)).unzip();
    let (found, wanted) = (&seen.prediction_accuracy.numbers[0], RegressionScores::of(&p, &y).unwrap());
    close(Some(found.mae), Some(wanted.mae));
    close(Some(found.bias), Some(wanted.bias));
    let held = |of: &dyn Fn(&(&ShownPrediction, &ShownPrediction, f64)) -> bool| {
        times.iter().filter(|t| of(t)).count()
    };
    assert_eq!(found.held_90.hits as usize, held(&|(p, _, y)| (p.lower..=p.upper).contains(y)));
    assert_eq!(found.held_80.hits as usize, held(&|(_, p, y)| (p.lower..=p.upper).contains(y)));
    let bins: usize = seen.calibration.bins.iter().map(|bin| bin.rows).sum();
    assert_eq!(bins, seen.prediction_accuracy.success.unwrap().n as usize);
}

/// The parts that do not depend on the order of the outcomes.
fn counted(seen: &Analytics) -> Analytics {
    let mut counted = Analytics::default();
    (counted.total, counted.periods, counted.slices) =
        (seen.total.clone(), seen.periods.clone(), seen.slices.clone());
    (counted.kpis, counted.prediction_accuracy) = (seen.kpis.clone(), seen.prediction_accuracy.clone());
    (counted.calibration, counted.worst_slices) = (seen.calibration.clone(), seen.worst_slices.clone());
    (counted.routing, counted.model_performance) = (seen.routing.clone(), seen.model_performance.clone());
    counted
}

#[test]
fn order_and_repetition_change_no_figure() {
    let mut records: Vec<_> = events().into_iter().flat_map(|event| event.into_records().unwrap()).collect();
    records.sort_by_cached_key(|record| (record.known_at(), record.key()));
    let now = records.last().unwrap().known_at();
    let mut options = MonitorOptions::default();
    options.remember_days = 365;
    let of = |records: &[Record]| {
        let mut monitor = Monitor::new(options.clone()).unwrap();
        records.iter().for_each(|record| monitor.observe(record));
        let seen = monitor.analytics(now, &ModelFacts::default());
        let of = &seen.recording;
        let last = (of.last_start, of.last_completion, of.last_outcome, of.ended_since_outcome, of.last_day);
        (counted(&seen), last)
    };
    let (straight, last) = of(&records);
    assert!(last.2.is_some_and(|outcome| outcome <= now));
    let mut random = Pcg64::seed_from_u64(1);
    records.extend_from_within(..500);
    for _ in 0..5 {
        records.shuffle(&mut random);
        assert_eq!((&straight, last), (&of(&records).0, of(&records).1));
    }
    assert!(straight.kpis.iter().filter(|kpi| kpi.value.is_some()).count() >= 8, "{:?}", straight.kpis);
}

/// A generation of twenty a day, whose start is stamped `ahead` of its turn.
fn generation(number: i64, ahead: TimeDelta) -> Vec<Record> {
    let start = at(number * 4_320) + ahead;
    let mut event = GenerationEvent::new(
        EventId::new(format!("e{number}-{ahead}")).unwrap(),
        start,
        crate::common::task(&format!("t{number}")),
    );
    event.started.value.context.attempt = u32::from(number % 5 == 0);
    event.completion =
        Some(Known { known_at: start + TimeDelta::minutes(5), value: crate::event::Completion::default() });
    let feedback = Feedback::new(if number % 3 == 0 { UserAction::Reject } else { UserAction::Approve });
    event.feedback = vec![Known { known_at: start + TimeDelta::minutes(50), value: feedback }];
    event.into_records().unwrap()
}

/// What moves by the stamp of one record alone is no horizon.
#[test]
fn a_record_stamped_far_ahead_puts_out_no_day() {
    let options = MonitorOptions { baseline_days: 7, ..MonitorOptions::default() };
    for ahead in [400, -400, 60, 20, 2, 3_653, 36_500].map(TimeDelta::days) {
        for place in [0, 1, 400, 799] {
            let (mut right, mut wrong) =
                (Monitor::new(options.clone()).unwrap(), Monitor::new(options.clone()).unwrap());
            for number in 0..1_000 {
                let records = generation(number, TimeDelta::zero());
                records.iter().for_each(|record| right.observe(record));
                if number == place {
                    generation(number, ahead).iter().for_each(|record| wrong.observe(record));
                }
                records.iter().for_each(|record| wrong.observe(record));
            }
            let now = at(999 * 4_320) + TimeDelta::hours(1);
            let seen = |monitor: &Monitor| monitor.analytics(now, &ModelFacts::default());
            let (right, wrong) = (seen(&right), seen(&wrong));
            let case = format!("{ahead} at {place}");
            let days = |seen: &Analytics| -> Vec<_> {
                let kept = seen.periods.iter().filter(|day| day.day >= at(0).date_naive());
                kept.map(|day| (day.day, day.figures.generations)).collect()
            };
            let own = (at(place * 4_320) + ahead).date_naive();
            let expected: Vec<_> =
                days(&right).into_iter().map(|(day, n)| (day, n + u64::from(day == own))).collect();
            assert_eq!(days(&wrong), expected, "{case}");
            let is_ahead = at(place * 4_320) + ahead > now + TimeDelta::days(1);
            assert_eq!(wrong.recording.ahead, u64::from(is_ahead), "{case}");
            let counted = wrong.total.generations - right.total.generations;
            assert!(counted == 1 || ahead < TimeDelta::zero(), "{case}: {counted}");
            assert_eq!(wrong.recording.last_outcome, right.recording.last_outcome, "{case}");
            assert_eq!(wrong.recording.usual_day, right.recording.usual_day, "{case}");
            let saved = |seen: &Analytics| seen.kpi(KpiName::RegenerationsSaved).unwrap().value.unwrap();
            assert!(
                (saved(&wrong) - saved(&right)).abs() < 10.0,
                "{case}: {} {}",
                saved(&wrong),
                saved(&right)
            );
            let opened = |seen: &mut Analytics| {
                let clock = std::sync::Arc::new(crate::clock::ManualClock::at(now));
                let mut alerts = super::Alerts::new(super::AlertRule::defaults(), clock, []).unwrap();
                alerts
                    .check(seen, &super::HostFacts::default())
                    .into_iter()
                    .map(|alert| alert.rule)
                    .collect::<Vec<_>>()
            };
            let mut wrong = wrong;
            assert_eq!(opened(&mut wrong).contains(&"clock wrong".to_owned()), is_ahead, "{case}");
        }
    }
}

#[test]
fn a_host_years_ahead_moves_nothing_of_the_others() {
    let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
    for number in 0..1_800 {
        let ahead = if number % 3 == 0 { TimeDelta::days(3_653) } else { TimeDelta::zero() };
        generation(number, ahead).iter().for_each(|record| monitor.observe(record));
    }
    let now = at(1_799 * 4_320) + TimeDelta::hours(1);
    let seen = monitor.analytics(now, &ModelFacts::default());
    assert!((90..=91).contains(&seen.periods.len()), "{}", seen.periods.len());
    let shown = seen.periods.iter().map(|day| day.figures.generations).sum::<u64>();
    assert!((1_190..=1_200).contains(&shown), "{shown}");
    assert!(seen.recording.ahead > 500 && seen.recording.last_outcome.unwrap() < now);
}

#[test]
fn a_revised_feedback_takes_the_place_of_the_earlier_one() {
    let mut stream = Stream::new(1);
    let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
    stream.base = 1.2;
    let records = stream.step();
    records.iter().for_each(|record| monitor.observe(record));
    let seen = |monitor: &Monitor| monitor.analytics(stream.now(), &ModelFacts::default()).total.success;
    assert_eq!((seen(&monitor).hits, seen(&monitor).n), (1, 1));
    let later = records[2].known_at() + TimeDelta::days(2);
    let feedback = Fact::Feedback(Box::new(Feedback::new(UserAction::Reject)));
    monitor.observe(&Record::new(records[0].event_id().clone(), later, feedback).unwrap());
    assert_eq!((seen(&monitor).hits, seen(&monitor).n), (0, 1));
}

#[test]
fn hostile_names_are_data_and_slices_are_bounded() {
    let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
    let hostile = ["<script>alert(1)</script>", "a\u{7}\nb\u{202E}", "'; DROP TABLE facts; --"];
    for i in 0..500 {
        let name =
            hostile.get(i).map_or_else(|| format!("{i} {}", "x".repeat(100_000)), |name| (*name).to_owned());
        let mut task = TaskContext::new(TaskId::new(format!("t{i}")).unwrap());
        task.agent_type = Some(name.clone());
        task.task_description = name;
        let event = GenerationEvent::new(EventId::new(format!("e{i}")).unwrap(), at(i as i64), task);
        event.into_records().unwrap().iter().for_each(|record| monitor.observe(record));
    }
    let seen = monitor.analytics(at(1_000), &ModelFacts::default());
    let agents: Vec<_> = seen.slices.iter().filter(|s| s.slice.dimension == Dimension::Agent).collect();
    assert_eq!(agents.len(), usize::from(monitor.options().values) + 1);
    assert_eq!(agents[0].slice.value, SliceKey::OTHER);
    assert!(agents.iter().all(|s| s.slice.value.chars().count() <= 81));
    assert!(agents.iter().all(|s| !s.slice.value.contains(char::is_control)));
    let json = serde_json::to_string(&seen).unwrap();
    assert_eq!(serde_json::from_str::<Analytics>(&json).unwrap(), seen);
}

#[test]
fn a_monitor_read_back_goes_on_as_before() {
    let mut stream = Stream::new(2);
    stream.predicted = Some(0.2);
    let mut first = Monitor::new(MonitorOptions::default()).unwrap();
    (0..3_000).for_each(|_| {
        stream.observe_next(&mut first);
    });
    first.review(stream.now());
    let bytes = first.to_bytes().unwrap();
    let mut second = Monitor::from_bytes(&bytes).unwrap();
    assert_eq!(first, second);
    for _ in 0..2_000 {
        let records = stream.step();
        records.iter().for_each(|record| first.observe(record));
        records.iter().for_each(|record| second.observe(record));
    }
    first.review(stream.now());
    second.review(stream.now());
    assert_eq!(first, second);
    for damaged in [&bytes[..bytes.len() / 2], b"", &[7; 300]] {
        let kind = Monitor::from_bytes(damaged).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Incompatible), "{kind:?}");
    }
}

#[test]
fn a_monitor_is_kept_with_the_store() {
    let (store, now) = store();
    let first = block_on(SharedMonitor::open(&store, MonitorOptions::default())).unwrap();
    let models = ModelFacts::default();
    let seen = first.analytics(now, &models);
    block_on(first.checkpoint(&store)).unwrap();
    let second = block_on(SharedMonitor::open(&store, MonitorOptions::default())).unwrap();
    assert_eq!(second.analytics(now, &models), seen);
    assert_eq!(block_on(second.catch_up(&store)).unwrap(), 0);
    block_on(store.put_checkpoint("monitor", Some(b"damaged".to_vec()))).unwrap();
    let third = block_on(SharedMonitor::open(&store, MonitorOptions::default())).unwrap();
    assert_eq!(counted(&third.analytics(now, &models)), counted(&seen));
}

#[test]
fn memory_stays_bounded() {
    let mut options = MonitorOptions::default();
    (options.remember, options.recent, options.days) = (1_000, 1_000, 14);
    let mut monitor = Monitor::new(options).unwrap();
    let mut stream = Stream::new(4);
    let mut live = |monitor: &mut Monitor, n: u32| {
        let info = measure(|| {
            for _ in 0..n {
                stream.step().iter().for_each(|record| monitor.observe(record));
            }
        });
        info.bytes_current
    };
    // Tables grow a last time when what was taken out of them has filled them up.
    let (first, second) = (live(&mut monitor, 40_000), live(&mut monitor, 40_000));
    println!("after 40,000: {first} bytes, after 40,000 more: {second} more");
    assert!(first > 100_000 && second < first / 10, "{first} {second}");
}

#[test]
fn options_out_of_range_are_named() {
    let mut options = MonitorOptions::default();
    options.success_fall = f64::NAN;
    let error = Monitor::new(options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(format!("{error:#}").contains("success_fall is NaN"), "{error}");
}

#[test]
fn counts_of_the_host_are_reported() {
    let mut stream = Stream::new(6);
    let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
    for i in 0..100_u64 {
        stream.observe_next(&mut monitor);
        monitor.note_latency(stream.now(), std::time::Duration::from_millis(5 + i % 3));
    }
    monitor.host_started(stream.now(), 125);
    let seen = monitor.analytics(stream.now(), &ModelFacts::default());
    assert_eq!(seen.kpi(KpiName::RecordedShare).unwrap().value, Some(0.8));
    let latency = seen.kpi(KpiName::PredictionLatency).unwrap();
    assert!((6.5..8.0).contains(&latency.value.unwrap()) && latency.met == Some(true), "{latency:?}");
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_741_000_000 + seconds, 0).unwrap()
}
