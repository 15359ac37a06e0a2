//! The simulated world keeps its own promises.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use chrono::TimeDelta;
use devmatrix_ml::evaluate::roc_auc;
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};

fn world(days: u32, per_day: f64, seed: u64) -> Vec<Generation> {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.seed) = (days, per_day, seed);
    Simulator::new(options).unwrap().collect()
}

fn succeeded(g: &Generation) -> Option<bool> {
    g.feedback.as_ref().map(|(_, f)| f.succeeded())
}

#[test]
fn the_same_seed_gives_the_same_generations() {
    let json = |seed| {
        let events = world(5, 60.0, seed).into_iter().map(Generation::into_event);
        events.map(|e| serde_json::to_string(&e).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(json(1), json(1));
    assert_ne!(json(1), json(2));
}

#[test]
fn outcomes_follow_the_odds() {
    let all = world(300, 100.0, 3);
    let judged: Vec<_> = all.iter().filter_map(|g| Some((g.odds, succeeded(g)?))).take(20_000).collect();
    assert_eq!(judged.len(), 20_000);
    for bin in 0..10 {
        let rows: Vec<_> = judged.iter().filter(|(p, _)| (p * 10.0) as usize == bin).collect();
        let (n, expected) = (rows.len() as f64, rows.iter().map(|(p, _)| p).sum::<f64>());
        let seen = rows.iter().filter(|(_, y)| *y).count() as f64;
        let deviation = (expected * (1.0 - expected / n.max(1.0))).sqrt();
        assert!((seen - expected).abs() <= 4.0 * deviation + 1.0, "bin {bin}: {seen} against {expected}");
    }
    let (odds, outcomes): (Vec<_>, Vec<_>) = judged.into_iter().unzip();
    let rate = outcomes.iter().filter(|y| **y).count() as f64 / outcomes.len() as f64;
    let auc = roc_auc(&odds, &outcomes).unwrap();
    println!("success rate {rate:.3}, AUC of the true odds {auc:.3}");
    assert!((0.6..0.8).contains(&rate) && (0.75..0.88).contains(&auc), "{rate} {auc}");
}

#[test]
fn events_are_valid_and_in_the_order_of_their_start() {
    let all = world(20, 60.0, 5);
    assert!(all.is_sorted_by_key(|g| g.context.started_at));
    assert!(all.iter().any(|g| g.context.attempt > 0 && g.context.regeneration_of.is_some()));
    for generation in all {
        let (started, ended) =
            (generation.context.started_at.unwrap(), generation.completion.completed_at.unwrap());
        assert!(started < ended && generation.feedback.as_ref().is_none_or(|(at, _)| *at > ended));
        generation.into_event().into_records().unwrap();
    }
}

#[test]
fn the_agent_gets_worse_and_the_new_model_comes_on_their_days() {
    let options = SimulatorOptions::default();
    let day = |g: &Generation| (g.context.started_at.unwrap() - options.start).num_days();
    let all = world(60, 200.0, 9);
    let rate = |early: bool| {
        let of_agent = all.iter().filter(|g| g.context.agent_type.as_deref() == Some("backend"));
        let odds: Vec<_> = of_agent.filter(|g| (day(g) < 35) == early).map(|g| g.odds).collect();
        odds.iter().sum::<f64>() / odds.len() as f64
    };
    assert!(rate(true) - rate(false) > 0.15);
    let newcomer = all.iter().filter(|g| g.context.model_used.as_deref() == Some("claude-opus-5"));
    let first = newcomer.map(day).min().unwrap();
    assert!((21..24).contains(&first), "{first}");
}

#[test]
fn options_out_of_range_are_named() {
    let mut options = SimulatorOptions::default();
    options.per_day = f64::NAN;
    assert!(Simulator::new(options).unwrap_err().to_string().contains("per_day is NaN"));
    let long = world(1, 1000.0, 1);
    assert!(long.iter().all(|g| g.odds > 0.0 && g.odds < 1.0));
    assert!(long.windows(2).all(|w| w[1].context.started_at.unwrap() - w[0].context.started_at.unwrap() < TimeDelta::days(1)));
}
