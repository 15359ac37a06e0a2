//! Subgroup discovery: planted subgroups are found, and none is reported without an effect.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::monitored::{Stream, runs};
use devmatrix_ml::monitoring::{Condition, Dimension, ModelFacts, Monitor, MonitorOptions, Subgroup};

/// Returns the subgroups confirmed after `outcomes` of a stream, analyzed every 500.
fn subgroups(stream: &mut Stream, outcomes: u32) -> Vec<Subgroup> {
    let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
    for i in 0..outcomes {
        let now = stream.observe_next(&mut monitor);
        if i % 500 == 499 {
            monitor.review(now);
        }
    }
    monitor.analytics(stream.now(), &ModelFacts::default()).subgroups
}

/// Plants a subgroup: tasks of "agent 2" in "language 3", 3 % of all, succeed `lift` times as often as the
/// marginal effects imply.
fn planted(seed: u64, lift: f64) -> Stream {
    let mut stream = Stream::new(seed);
    stream.lift = Some((2, 3, 0.03, lift));
    stream
}

fn names_it(pattern: &Subgroup) -> bool {
    let has = |dimension, value: &str| {
        pattern.conditions.iter().any(|condition| match condition {
            Condition::Attribute(slice) => slice.dimension == dimension && slice.value == value,
            _ => false,
        })
    };
    has(Dimension::Agent, "agent 2") && has(Dimension::Language, "language 3")
}

/// 20,000 outcomes: the subgroup is reported and named in the text.
#[test]
fn planted_subgroups_are_found() {
    let runs = runs(4);
    let found = (0..runs).filter(|seed| {
        let found = subgroups(&mut planted(*seed, 1.3), 20_000);
        let named = found.iter().find(|pattern| names_it(pattern));
        if let Some(pattern) = named {
            assert!(pattern.text.contains("agent 2") && pattern.text.contains("succeed"), "{}", pattern.text);
            assert!(pattern.lift > 1.0 && pattern.confirmed_at > pattern.suspected_at);
        } else {
            println!("seed {seed}: {:?}", found.iter().map(|p| &p.text).collect::<Vec<_>>());
        }
        named.is_some()
    });
    let found = found.count() as u64;
    println!("planted with lift 1.3, 3 % of traffic: found in {found} of {runs} runs");
    assert!(found * 10 >= runs * 9, "{found} of {runs}");
}

/// Marginal effects, one of which changes over time, are no subgroup.
#[test]
fn no_subgroup_is_reported_without_an_effect() {
    let runs = runs(5);
    let mut wrong = 0;
    for seed in 0..runs {
        let mut stream = Stream::new(1_000 + seed);
        stream.fall = Some((1, 10_000, 0.1));
        let found = subgroups(&mut stream, 20_000);
        found.iter().for_each(|pattern| println!("seed {seed}: {}", pattern.text));
        wrong += u64::from(!found.is_empty());
    }
    println!("none planted: {wrong} of {runs} runs report one");
    assert!(wrong * 20 <= runs.max(20), "{wrong} of {runs}");
}

/// A subgroup that starts half way is reported as new.
#[test]
fn a_recent_subgroup_is_emerging() {
    let mut stream = Stream::new(5);
    let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
    for i in 0..30_000 {
        if i == 12_000 {
            stream.lift = Some((2, 3, 0.06, 0.5));
        }
        let now = stream.observe_next(&mut monitor);
        if i % 500 == 499 {
            monitor.review(now);
        }
    }
    let found = monitor.analytics(stream.now(), &ModelFacts::default()).subgroups;
    let pattern = found.iter().find(|pattern| names_it(pattern)).unwrap();
    assert!(pattern.emerging && pattern.lift < 0.8 && pattern.difference.1 < 0.0, "{}", pattern.text);
    assert!(pattern.text.ends_with("; that is new."), "{}", pattern.text);
}
