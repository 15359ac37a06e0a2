//! Off-policy estimates against the truth.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use super::estimate::{Estimator, PolicyAnswer, estimate_policy};
use super::reward::{cross_fit, cross_fit_ridge};
use super::row::LoggedChoice;
use super::{InsufficientOverlap, LoggedDataset, LoggedDatasetOptions, OffPolicyOptions};
use crate::ErrorKind;
use crate::event::{
    Completion, Decision, EventId, Fact, Feedback, GenerationEvent, Known, Record, Started, TaskContext,
    TaskId, UserAction,
};
use crate::store::{EventStore, MemoryStore};
use chrono::{DateTime, TimeDelta, Utc};
use futures_executor::block_on;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const CONTEXTS: usize = 4;
const ARMS: usize = 3;

/// A bandit whose truth is known: arms are better at some contexts than at others.
fn success(context: usize, arm: usize) -> f64 {
    [[0.55, 0.70, 0.40], [0.80, 0.60, 0.65], [0.30, 0.45, 0.70], [0.90, 0.85, 0.50]][context][arm]
}

/// Returns the target policy's probabilities: mostly the second arm, in the last context the first.
fn target(context: usize) -> Vec<f64> {
    if context == 3 { vec![0.8, 0.1, 0.1] } else { vec![0.1, 0.8, 0.1] }
}

/// A log of `n` rows in clusters of one to three rows, chosen with `propensities`.
fn log(
    n: usize,
    seed: u64,
    propensities: impl Fn(usize) -> [f64; ARMS],
) -> (Vec<LoggedChoice>, Vec<Vec<String>>) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let (mut rows, mut words) = (Vec::new(), Vec::new());
    let (mut cluster, mut context, mut luck) = (0, 0, 0.0);
    for _ in 0..n {
        if cluster == 0 || rng.random_range(0..2) == 0 {
            cluster += 1;
            // A cluster has its context, and luck of its own that evens out.
            context = rng.random_range(0..CONTEXTS);
            luck = rng.random_range(-0.1..0.1);
        }
        let propensities = propensities(context);
        let draw: f64 = rng.random_range(0.0..1.0);
        let chosen = (0..ARMS).find(|arm| draw < propensities[..=*arm].iter().sum()).unwrap_or(ARMS - 1);
        let reward = rng.random_range(0.0..1.0) < success(context, chosen) + luck;
        let mut row = LoggedChoice::new(
            chosen,
            propensities[chosen],
            target(context),
            f64::from(u8::from(reward)),
            cluster,
        );
        row.logged = propensities.to_vec();
        rows.push(row);
        words.push(vec![format!("context={context}")]);
    }
    let names: Vec<Vec<String>> = vec![(0..ARMS).map(|arm| format!("arm{arm}")).collect(); n];
    cross_fit_ridge(&mut rows, 5, &words, &names).unwrap();
    (rows, words)
}

fn truth() -> f64 {
    let of =
        |context| -> f64 { target(context).iter().enumerate().map(|(a, p)| p * success(context, a)).sum() };
    (0..CONTEXTS).map(of).sum::<f64>() / CONTEXTS as f64
}

/// Every arm has a fair chance.
fn even(_: usize) -> [f64; ARMS] {
    [1.0 / 3.0; ARMS]
}

/// The choices of the target policy are rare.
fn skewed(context: usize) -> [f64; ARMS] {
    if context.is_multiple_of(2) { [0.15, 0.05, 0.80] } else { [0.60, 0.10, 0.30] }
}

/// 500 replications: `DEVMATRIX_REPLICATIONS=500 cargo test --release --lib off_policy -- --nocapture`.
#[test]
fn intervals_cover_the_truth() {
    let asked = std::env::var("DEVMATRIX_REPLICATIONS").ok().and_then(|n| n.parse().ok());
    let replications: usize = asked.unwrap_or(12);
    // Of 12 replications fewer are covered once in a thousand times, of 500 as the goal says.
    let least = if replications >= 500 { 0.93 } else { 0.65 };
    for (name, propensities) in [("even", even as fn(usize) -> [f64; ARMS]), ("skewed", skewed)] {
        let estimators = [Estimator::Ips, Estimator::SelfNormalized, Estimator::DoublyRobust];
        let mut found = [[0.0; 3]; 3];
        for seed in 0..replications {
            let (rows, _) = log(2_000, seed as u64, propensities);
            for (sums, estimator) in found.iter_mut().zip(estimators) {
                let estimate = estimate_policy(&rows, estimator, &OffPolicyOptions::default()).unwrap();
                let value = estimate.value().unwrap();
                sums[0] += f64::from(u8::from(value.contains(truth())));
                sums[1] += value.half_width() / replications as f64;
                sums[2] += (value.value - truth()) / replications as f64;
            }
        }
        for ([covered, width, error], estimator) in found.into_iter().zip(estimators) {
            let covered = covered / replications as f64;
            println!(
                "{name} propensities, {estimator:?}: covered {covered:.3}, half width {width:.4}, mean error {error:+.4}"
            );
            assert!(covered >= least, "{name} {estimator:?}: {covered}");
            assert!(replications < 500 || covered <= 0.97, "{name} {estimator:?}: {covered}");
            let most = 4.0 * width / 2.0 / (replications as f64).sqrt();
            assert!(error.abs() < most, "{name} {estimator:?}: {error}");
        }
        let widths = found.map(|sums| sums[1]);
        assert!(widths[2] < 0.95 * widths[0], "doubly robust must be narrower than IPS: {widths:?}");
    }
}

fn refusal(rows: &[LoggedChoice]) -> Option<InsufficientOverlap> {
    match estimate_policy(rows, Estimator::SelfNormalized, &OffPolicyOptions::default()).unwrap().answer {
        PolicyAnswer::InsufficientOverlap(why) => Some(why),
        PolicyAnswer::Estimated { .. } => None,
    }
}

#[test]
fn unsupported_choices_are_refused() {
    let never = |_: usize| [0.5, 0.0, 0.5];
    let (mut rows, _) = log(2_000, 1, never);
    let why = refusal(&rows).unwrap();
    assert!(matches!(why, InsufficientOverlap::Unsupported { share } if share > 0.5), "{why:?}");
    assert!(why.to_string().contains("never tried"), "{why}");
    // Without the propensities of all candidates the weights themselves give it away.
    rows.iter_mut().for_each(|row| row.logged.clear());
    assert!(matches!(refusal(&rows), Some(InsufficientOverlap::Unsupported { share }) if share > 0.5));
}

#[test]
fn wrong_propensities_too_few_rows_and_too_few_clusters_are_refused() {
    let (good, _) = log(2_000, 2, even);
    assert_eq!(refusal(&good), None);
    let mut wrong = good.clone();
    for row in &mut wrong {
        row.logged.clear();
        row.propensity = if row.chosen == 1 { 0.1 } else { 0.9 };
    }
    assert!(
        matches!(refusal(&wrong), Some(InsufficientOverlap::PropensitiesDoNotFit { mean_weight }) if mean_weight > 2.0)
    );
    assert!(matches!(refusal(&good[..100]), Some(InsufficientOverlap::FewEffectiveRows { .. })));
    let mut one = good;
    one.iter_mut().for_each(|row| row.cluster %= 3);
    assert_eq!(refusal(&one), Some(InsufficientOverlap::FewClusters { clusters: 3, need: 20 }));
}

#[test]
fn invalid_rows_are_errors() {
    type Change = fn(&mut LoggedChoice);
    let changes: [(&str, Change); 10] = [
        ("propensity is 0", |row| row.propensity = 0.0),
        ("propensity is NaN", |row| row.propensity = f64::NAN),
        ("propensity is 1.5", |row| row.propensity = 1.5),
        ("chosen is 3", |row| row.chosen = 3),
        ("add up to 0.8", |row| row.target = vec![0.3; 3]),
        ("target probabilities", |row| row.target = vec![f64::NAN; 3]),
        ("reward", |row| row.reward = f64::NAN),
        ("2 predicted", |row| row.predicted = vec![0.0; 2]),
        ("weight is 0", |row| row.weight = 0.0),
        ("is not the logged propensity", |row| row.logged = vec![0.5, 0.25, 0.25]),
    ];
    let (rows, _) = log(300, 3, even);
    for (expected, change) in changes {
        let mut rows = rows.clone();
        change(&mut rows[7]);
        let error = estimate_policy(&rows, Estimator::Ips, &OffPolicyOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let message = format!("{error:#}");
        assert!(message.contains("logged choice 7") && message.contains(expected), "{message}");
    }
    let options = OffPolicyOptions::default();
    assert!(estimate_policy(&[], Estimator::Ips, &options).is_err());
    let mut blind = rows;
    blind[0].predicted.clear();
    assert!(estimate_policy(&blind, Estimator::DoublyRobust, &options).is_err());
    assert!(cross_fit_ridge(&mut blind, 1, &[], &[]).is_err());
}

#[test]
fn no_row_is_predicted_from_its_own_cluster() {
    let (mut rows, _) = log(300, 4, even);
    cross_fit(&mut rows, 3, |rows, rest| {
        let learned: std::collections::HashSet<_> = rest.iter().map(|i| rows[*i].cluster).collect();
        let clusters: Vec<_> = rows.iter().map(|row| row.cluster).collect();
        Ok(move |row: usize, candidate: usize| {
            assert!(!learned.contains(&clusters[row]), "row {row} was learned from");
            candidate as f64
        })
    })
    .unwrap();
    assert!(rows.iter().all(|row| row.predicted == [0.0, 1.0, 2.0]));
    let refused = cross_fit(&mut rows, 3, |_, _| {
        Err::<fn(usize, usize) -> f64, _>(crate::Error::new(ErrorKind::Internal, "no"))
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Internal);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn intervals_are_ordered_and_rows_have_no_order(seed in 0..1000_u64, n in 150..600_usize) {
        let (rows, _) = log(n, seed, even);
        let mut options = OffPolicyOptions::default();
        (options.min_effective_rows, options.min_clusters) = (2.0, 2);
        for estimator in [Estimator::Ips, Estimator::SelfNormalized, Estimator::DoublyRobust] {
            let found = estimate_policy(&rows, estimator, &options).unwrap();
            let Some(value) = found.value() else { continue };
            prop_assert!(value.lower <= value.value && value.value <= value.upper);
            prop_assert!(found.overlap.effective_rows <= n as f64 + 1e-9 && found.overlap.max_weight > 0.0);
            let reversed: Vec<_> = rows.iter().rev().cloned().collect();
            let again = estimate_policy(&reversed, estimator, &options).unwrap().value().unwrap();
            prop_assert!((again.value - value.value).abs() < 1e-9 && (again.lower - value.lower).abs() < 1e-6);
        }
    }

    /// The logging policy has its logged mean.
    #[test]
    fn the_logging_policy_is_evaluated_at_its_logged_mean(seed in 0..1000_u64) {
        let (mut rows, _) = log(400, seed, skewed);
        rows.iter_mut().for_each(|row| row.target = row.logged.clone());
        for estimator in [Estimator::Ips, Estimator::SelfNormalized] {
            let found = estimate_policy(&rows, estimator, &OffPolicyOptions::default()).unwrap();
            prop_assert!((found.value().unwrap().value - found.logged).abs() < 1e-9);
            prop_assert!(found.gain().unwrap().value.abs() < 1e-9);
        }
    }
}

/// Generations whose LLM was chosen by a coin: the large one succeeds more often and costs more.
fn stored(n: u32) -> (Vec<GenerationEvent>, DateTime<Utc>) {
    let start: DateTime<Utc> = "2025-01-06T08:00:00Z".parse().unwrap();
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    let events = (0..n).map(|i| {
        let at = start + TimeDelta::minutes(i64::from(i) * 10);
        let large = rng.random_range(0.0..1.0) < 0.3;
        let mut task = TaskContext::new(TaskId::new(format!("t{i}")).unwrap());
        task.language = Some(if i % 2 == 0 { "python" } else { "rust" }.into());
        let mut started = Started::from(task);
        let llm = if large { "large" } else { "small" };
        let candidates = vec!["small".to_owned(), "large".to_owned()];
        let propensity = if large { 0.3 } else { 0.7 };
        started.decision = Some(Decision::new("coin", candidates, llm, propensity).unwrap());
        let mut event = GenerationEvent::new(EventId::new(format!("e{i}")).unwrap(), at, started);
        let mut done = Completion::default();
        done.cost_usd = Some(if large { 0.10 } else { 0.05 } * rng.random_range(0.8..1.2));
        event.completion = Some(Known { known_at: at + TimeDelta::minutes(1), value: done });
        let approved = rng.random_range(0.0..1.0) < if large { 0.8 } else { 0.6 };
        let action = if approved { UserAction::Approve } else { UserAction::Reject };
        if i % 10 > 0 {
            let heard = at + TimeDelta::hours(if i % 50 == 1 { 1000 } else { 5 });
            event.feedback = vec![Known { known_at: heard, value: Feedback::new(action) }];
        }
        event
    });
    (events.collect(), start + TimeDelta::minutes(i64::from(n) * 10) + TimeDelta::days(7))
}

#[test]
fn any_policy_is_replayed_on_the_stored_log() {
    let (events, now) = stored(4_000);
    let store = MemoryStore::new();
    let records = events.into_iter().flat_map(|event| event.into_records().unwrap()).collect();
    block_on(store.append(records)).unwrap();
    let logged = block_on(LoggedDataset::read(&store, &LoggedDatasetOptions::default(), now)).unwrap();
    assert!(logged.skipped.young > 500 && logged.skipped.unlabelled > 200, "{:?}", logged.skipped);
    let options = OffPolicyOptions::default();
    let always = |llm: &'static str| move |_: &TaskContext, _: &[String]| vec![(llm.to_owned(), 1.0)];
    let report = logged.replay("large", always("large"), &options).unwrap();
    let line = report.to_string();
    println!("{line}");
    // From 0.66 to 0.80, and from 0.065 to 0.10 dollars.
    let gain = report.success.gain().unwrap();
    assert!(gain.contains(0.14) && gain.lower > 0.05, "{line}");
    assert!(line.starts_with("policy large: success +1") && line.contains(", cost +5"), "{line}");
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(
        serde_json::from_str::<crate::experimentation::off_policy::PolicyReport>(&json).unwrap(),
        report
    );
    let unheard = logged.replay("new", always("newest"), &options).unwrap();
    assert!(
        unheard
            .to_string()
            .contains("insufficient overlap: 100.0 % of the choices of the policy were never tried")
    );
    let broken =
        logged.replay("broken", |_: &TaskContext, _: &[String]| vec![("small".to_owned(), 0.5)], &options);
    assert!(broken.unwrap_err().to_string().contains("add up to 0.5"));
}

/// Records of generations among which an earlier release let in what cannot be divided by.
#[test]
fn a_replay_counts_and_names_bad_rows() {
    let (mut events, now) = stored(4_000);
    for (index, event) in events.iter_mut().enumerate().take(40) {
        let decision = event.started.value.decision.as_mut().unwrap();
        match index % 20 {
            3 => decision.propensity = 1e-15,
            7 => decision.candidates.push("small".into()),
            _ => {}
        }
    }
    let door = events[3].clone().into_records().unwrap_err().to_string();
    assert!(door.contains("e3: decision.propensity is 1e-15, expected 1e-12 to 1"), "{door}");
    let door = events[7].clone().into_records().unwrap_err().to_string();
    assert!(door.contains("e7: decision.candidates has \"small\" twice"), "{door}");
    let store = MemoryStore::new();
    let stored_before = |event: GenerationEvent| {
        let id = event.event_id.clone();
        let start = (event.started.known_at, Fact::Started(Box::new(event.started.value)));
        let end = event.completion.map(|c| (c.known_at, Fact::Completed(Box::new(c.value))));
        let said = event.feedback.into_iter().map(|f| (f.known_at, Fact::Feedback(Box::new(f.value))));
        let facts: Vec<_> = std::iter::once(start).chain(end).chain(said).collect();
        facts.into_iter().map(move |(at, fact)| Record::stored(id.clone(), at, fact).unwrap())
    };
    block_on(store.append(events.into_iter().flat_map(stored_before).collect())).unwrap();
    let logged = block_on(LoggedDataset::read(&store, &LoggedDatasetOptions::default(), now)).unwrap();
    assert_eq!(logged.skipped.invalid, 4);
    let always = |_: &TaskContext, _: &[String]| vec![("large".to_owned(), 1.0)];
    let report = logged.replay("large", always, &OffPolicyOptions::default()).unwrap().to_string();
    assert!(
        report.contains("left out: 4 have an invalid decision (e3: decision.propensity is 1e-15"),
        "{report}"
    );
    assert!(report.contains("e7: decision.candidates has \"small\" twice"), "{report}");
}

/// Each LLM gets one kind of task, whatever its propensities were said to be: nothing tells what the other would have
/// achieved there, but what it costs is known.
#[test]
fn costs_without_overlap_are_estimated_by_the_direct_method() {
    let (mut events, now) = stored(4_000);
    for event in &mut events {
        let started = &mut event.started.value;
        let decision = started.decision.as_mut().unwrap();
        let kind = if decision.chosen == "large" { "hard" } else { "easy" };
        started.context.task_type = Some(kind.into());
        decision.propensities =
            decision.candidates.iter().map(|name| f64::from(u8::from(*name == decision.chosen))).collect();
        decision.propensity = 1.0;
    }
    let store = MemoryStore::new();
    let records = events.into_iter().flat_map(|event| event.into_records().unwrap()).collect();
    block_on(store.append(records)).unwrap();
    let logged = block_on(LoggedDataset::read(&store, &LoggedDatasetOptions::default(), now)).unwrap();
    let options = OffPolicyOptions::default();
    let always = |llm: &'static str| move |_: &TaskContext, _: &[String]| vec![(llm.to_owned(), 1.0)];
    for (llm, truth) in [("large", 0.10), ("small", 0.05)] {
        let report = logged.replay(llm, always(llm), &options).unwrap();
        let line = report.to_string();
        assert!(report.success.value().is_none() && line.contains("insufficient overlap"), "{line}");
        let cost = report.cost.as_ref().unwrap();
        assert_eq!(cost.estimator, Estimator::DirectMethod, "{line}");
        let value = cost.value().unwrap();
        assert!(value.contains(truth) && value.half_width() < 0.005, "{line} {value:?}");
        assert!(line.contains("by the direct method"), "{line}");
    }
    let unheard = logged.replay("new", always("newest"), &options).unwrap();
    assert!(unheard.cost.unwrap().value().is_none());
}

fn choices(n: u64) -> Vec<LoggedChoice> {
    (0..n).map(|i| LoggedChoice::new(i as usize % 2, 0.5, vec![0.5; 2], 1.0, i)).collect()
}

#[test]
fn rows_out_of_range_are_named_before_anything_is_fitted() {
    type Spoil = fn(&mut LoggedChoice);
    let bad: [(&str, Spoil); 5] = [
        ("chosen is 9", |row| row.chosen = 9),
        ("chosen is 1, but there are 0", |row| row.target.clear()),
        ("reward and predicted", |row| row.reward = f64::NAN),
        ("weight is -1", |row| row.weight = -1.0),
        ("propensity is 1e-310, expected 1e-12 to 1", |row| row.propensity = 1e-310),
    ];
    for (text, spoil) in bad {
        let mut rows = choices(51);
        spoil(&mut rows[3]);
        let names: Vec<_> = rows.iter().map(|row| vec!["a".to_owned(); row.target.len()]).collect();
        let error = cross_fit_ridge(&mut rows, 5, &vec![Vec::new(); 51], &names).unwrap_err().to_string();
        assert!(error.contains("logged choice 3") && error.contains(text), "{error}");
        assert!(rows.iter().all(|row| row.predicted.is_empty()));
        let error = estimate_policy(&rows, Estimator::Ips, &OffPolicyOptions::default()).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}
