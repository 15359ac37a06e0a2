//! The backtest: what it splits, what it refuses, and that it finds no skill where there is none.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::ErrorKind;
use devmatrix_ml::event::{GenerationEvent, read_jsonl};
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use devmatrix_ml::train::{BacktestOptions, BacktestReport, BacktestSplit, backtest};

fn events(days: u32, seed: u64) -> Vec<GenerationEvent> {
    let mut options = SimulatorOptions::default();
    (options.days, options.seed) = (days, seed);
    Simulator::new(options).unwrap().map(Generation::into_event).collect()
}

fn split(text: &str) -> BacktestOptions {
    let mut options = BacktestOptions::default();
    options.split = text.parse().unwrap();
    options
}

fn run(events: Vec<GenerationEvent>, options: &BacktestOptions) -> BacktestReport {
    backtest(events, options).unwrap()
}

#[test]
fn skill_is_found_and_gone_once_outcomes_are_permuted() {
    let mut options = BacktestOptions::default();
    let real = run(events(40, 1), &options);
    assert!(real.metrics.auc.unwrap() > 0.62, "{:?}", real.metrics);
    assert!(real.metrics.logloss < real.baselines["constant"].logloss);
    options.shuffle = true;
    let areas: Vec<_> = (0..10)
        .map(|seed| {
            options.seed = seed;
            run(events(40, 1), &options).metrics.auc.unwrap()
        })
        .collect();
    let mean = areas.iter().sum::<f64>() / 10.0;
    assert!((0.46..0.54).contains(&mean), "{mean} of {areas:?}");
}

/// Outcomes that became known after the cut change no prediction of a model trained once, for the
/// first event after the cut.
#[test]
fn the_future_is_not_looked_at() {
    let all = events(20, 2);
    let options = BacktestOptions::default();
    let first = run(all.clone(), &options);
    let cut = first.cut.unwrap();
    let flip = |mut event: GenerationEvent| {
        for feedback in &mut event.feedback {
            if feedback.known_at >= cut {
                let success = feedback.value.succeeded();
                feedback.value.success = Some(!success);
            }
        }
        event
    };
    let flipped = run(all.into_iter().map(flip).collect(), &options);
    assert_eq!(first.models, flipped.models, "what was trained at the cut is the same");
    assert_eq!((first.n_train, first.n_test), (flipped.n_train, flipped.n_test));
}

#[test]
fn a_split_by_group_keeps_groups_apart_and_a_split_by_field_takes_one_value() {
    let all = events(30, 3);
    let report = run(all.clone(), &split("group:project_id:0.7"));
    assert!(report.n_train > 0 && report.n_test > 0 && report.cut.is_none());
    let report = run(all.clone(), &split("field:language=rust"));
    let rust = all.iter().filter(|e| e.started.value.context.language.as_deref() == Some("rust"));
    assert_eq!(report.n_test, rust.filter(|e| e.outcome().is_some()).count());
    assert_eq!(report.models.len(), 1);
}

#[test]
fn a_deadline_makes_silence_a_failure_and_leaves_the_young_out() {
    let all = events(30, 4);
    let mut options = BacktestOptions::default();
    options.deadline = Some(TimeDelta::days(2));
    options.as_of = Some("2025-02-01T00:00:00Z".parse().unwrap());
    let report = run(all.clone(), &options);
    let young = |e: &&GenerationEvent| e.started.known_at + TimeDelta::days(2) <= options.as_of.unwrap();
    assert_eq!(report.n_events, all.iter().filter(young).count());
    let labelled = report.n_test as f64 / 0.2;
    assert!((labelled - report.n_events as f64).abs() < 6.0, "every event that is old enough is judged");
}

#[test]
fn nightly_training_is_recorded() {
    let mut options = BacktestOptions::default();
    options.retrain_daily = true;
    let report = run(events(20, 5), &options);
    assert!(report.models.len() >= 3, "{}", report.models.len());
    assert!(report.models.iter().all(|m| !m.reasons.is_empty()));
    let nights: Vec<DateTime<Utc>> = report.models.iter().skip(1).map(|m| m.trained_at).collect();
    assert!(nights.iter().all(|n| n.format("%H:%M:%S").to_string() == "02:00:00"));
    assert_eq!(report.status_counts.values().sum::<usize>(), report.n_test);
}

#[test]
fn what_cannot_be_split_is_refused() {
    for bad in ["", "time", "time:1.5", "time:NaN", "group:x", "field:x", "colour:red"] {
        let error = bad.parse::<BacktestSplit>().unwrap_err();
        assert!(error.to_string().contains("time:SHARE"), "{bad}: {error}");
    }
    let error = backtest(Vec::new(), &BacktestOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = backtest(events(3, 7), &split("field:language=cobol")).unwrap_err();
    assert!(error.to_string().contains("field:language=cobol"), "{error}");
}

#[test]
fn few_events_are_answered_by_the_past() {
    let report = run(events(1, 8), &BacktestOptions::default());
    assert!(
        !report.models[0].promoted && report.models[0].reasons[0].contains("are needed"),
        "{:?}",
        report.models
    );
    assert!(!report.status_counts.contains_key("calibrated"));
}

/// Without dates the order of the lines is the order.
#[test]
fn events_without_dates_are_taken_in_order() {
    let line = |i: usize| {
        let action = if i.is_multiple_of(3) { "reject" } else { "approve" };
        format!(
            r#"{{"event_id":"e{i}","task_id":"t{i}","agent_type":"a{}","user_action":"{action}"}}"#,
            i % 3
        )
    };
    let lines: Vec<_> = (0..600).map(line).collect();
    let read = read_jsonl(lines.join("\r\n\n").as_bytes(), false).unwrap();
    let report = run(read.events, &BacktestOptions::default());
    assert_eq!((report.n_train, report.n_test), (480, 120));
    assert!(report.metrics.auc.unwrap() > 0.99, "{:?}", report.metrics);
}

/// The sets that the project is measured on, where they are at hand.
#[test]
fn every_line_of_real_events_is_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("no real events at hand: passed over");
        return;
    };
    for file in files.flatten().filter(|f| f.file_name().to_string_lossy().ends_with(".jsonl.gz")) {
        let bytes = std::fs::read(file.path()).unwrap();
        let reader = std::io::BufReader::new(flate2::bufread::MultiGzDecoder::new(bytes.as_slice()));
        assert!(read_jsonl(reader, false).unwrap().events.len() > 4000);
    }
}
