//! Properties of the simulated world.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use devmatrix_ml::code_metrics::{Basis, Syntax, analyze};
use devmatrix_ml::event::{Record, TemplateId, UserAction};
use devmatrix_ml::ml::metrics::BinaryScores;
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

fn options(days: u32, per_day: f64, seed: u64) -> SimulatorOptions {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.seed) = (days, per_day, seed);
    options
}

fn world(days: u32, per_day: f64, seed: u64) -> Vec<Generation> {
    Simulator::new(options(days, per_day, seed)).unwrap().collect()
}

fn succeeded(g: &Generation) -> Option<bool> {
    g.feedback.as_ref().map(|(_, f)| f.succeeded())
}

fn day(g: &Generation) -> i64 {
    (g.context.started_at.unwrap() - SimulatorOptions::default().start).num_days()
}

fn mean(of: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = of.fold((0.0, 0.0), |(n, sum), x| (n + 1.0, sum + x));
    sum / n
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let json = |seed| {
        let events = Simulator::new(options(60, 60.0, seed)).unwrap().map(Generation::into_event);
        let lines: Vec<_> = events.take(1_000).map(|e| serde_json::to_string(&e).unwrap()).collect();
        assert_eq!(lines.len(), 1_000);
        lines.join("\n")
    };
    let first = json(1);
    assert_eq!(first, std::thread::spawn(move || json(1)).join().unwrap());
    assert_ne!(first, json(2));
}

#[test]
fn counterfactual_queries_do_not_change_the_world() {
    let mut asked = Simulator::new(options(3, 100.0, 4)).unwrap();
    let plain = asked.clone();
    for expected in plain {
        let seen = asked.next().unwrap();
        assert_eq!(seen, expected);
        assert_eq!(asked.expected(&seen, &seen.context).success, seen.probability);
        let mut other = seen.context.clone();
        other.model_used = Some("claude-opus-5".into());
        other.temperature = Some(0.0);
        other.template_id = Some(TemplateId::new("rest-crud").unwrap());
        other.agent_type = Some("implementation".into());
        assert_eq!(asked.expected(&seen, &other).success, asked.expected(&seen, &other).success);
        let mut colder = seen.context.clone();
        colder.temperature = Some(0.0);
        assert!(asked.expected(&seen, &colder).success >= seen.probability);
    }
    assert!(asked.next().is_none());
}

/// 20,000 generations in sixty days, as in the module's documentation.
#[test]
fn outcomes_follow_the_true_probabilities() {
    for seed in [7, 8, 9] {
        let all = world(60, 400.0, seed);
        let labelled: Vec<_> =
            all.iter().filter_map(|g| Some((g.probability, succeeded(g)?))).take(20_000).collect();
        assert_eq!(labelled.len(), 20_000);
        for bin in 0..10 {
            let rows: Vec<_> = labelled.iter().filter(|(p, _)| (p * 10.0) as usize == bin).collect();
            let expected: f64 = rows.iter().map(|(p, _)| p).sum();
            let deviation = rows.iter().map(|(p, _)| p * (1.0 - p)).sum::<f64>().sqrt();
            let seen = rows.iter().filter(|(_, y)| *y).count() as f64;
            assert!((seen - expected).abs() <= 4.0 * deviation, "bin {bin}: {seen} against {expected}");
        }
        let (probabilities, outcomes): (Vec<_>, Vec<_>) = labelled.into_iter().unzip();
        let rate = mean(outcomes.iter().map(|y| f64::from(u8::from(*y))));
        let auc = BinaryScores::of(&probabilities, &outcomes).unwrap().auc.unwrap();
        println!("seed {seed}: success rate {rate:.3}, AUC of the true probabilities (oracle) {auc:.3}");
        assert!((0.65..0.75).contains(&rate) && (0.78..0.85).contains(&auc), "{rate} {auc}");
    }
}

#[test]
fn events_are_valid_and_in_the_order_of_their_start() {
    let all = world(20, 100.0, 5);
    assert!(all.windows(2).all(|w| w[0].context.started_at < w[1].context.started_at));
    assert_eq!(all.iter().map(|g| &g.event_id).collect::<BTreeSet<_>>().len(), all.len());
    for generation in all {
        let started = generation.context.started_at.unwrap();
        let ended = generation.completion.completed_at.unwrap();
        let heard = generation.feedback.as_ref().map(|(at, _)| *at);
        assert!(started < ended && heard.is_none_or(|at| at > ended));
        let code = generation.completion.generated_code.as_ref().unwrap();
        assert!(generation.completion.lines_of_code.is_none(), "the collector measures it");
        let metrics = analyze(code, generation.completion.file_path.as_deref());
        assert_eq!(metrics.basis, Basis::Parsed);
        assert!(!matches!(metrics.syntax, Syntax::Invalid { .. }), "{metrics:?}\n{code}");
        let records = generation.into_records().unwrap();
        let known: Vec<_> = records.iter().map(Record::known_at).collect();
        let expected = [Some(started), Some(ended), heard];
        assert_eq!(known, expected.into_iter().flatten().collect::<Vec<_>>());
    }
}

#[test]
fn tasks_are_retried_after_feedback() {
    let all = world(30, 100.0, 6);
    let by_id: BTreeMap<_, _> = all.iter().map(|g| (&g.event_id, g)).collect();
    let mut last = BTreeMap::new();
    let mut again = 0;
    for generation in &all {
        let context = &generation.context;
        if let Some(earlier) = last.insert(&context.task_id, generation) {
            let (heard, feedback) = earlier.feedback.as_ref().unwrap();
            assert_ne!(feedback.user_action, UserAction::Approve);
            assert!(*heard < context.started_at.unwrap());
            assert_eq!(context.attempt, earlier.context.attempt + 1);
            let first = by_id[context.regeneration_of.as_ref().unwrap()];
            assert_eq!((first.context.attempt, &first.context.task_id), (0, &context.task_id));
            assert_eq!(generation.difficulty, earlier.difficulty);
            again += 1;
        } else {
            assert_eq!((context.attempt, &context.regeneration_of), (0, &None));
        }
    }
    let share = f64::from(again) / all.len() as f64;
    assert!((0.08..0.25).contains(&share), "{share}");
}

#[test]
fn few_shot_examples_come_from_approvals_known_by_then() {
    let all = world(20, 100.0, 7);
    let by_id: BTreeMap<_, _> = all.iter().map(|g| (g.event_id.as_str(), g)).collect();
    let mut used = 0;
    for context in all.iter().map(|g| &g.context) {
        assert_eq!(context.rag_examples_count, Some(context.rag_examples_ids.len() as u32));
        assert_eq!(context.rag_avg_similarity.is_some(), !context.rag_examples_ids.is_empty());
        for id in &context.rag_examples_ids {
            let (heard, feedback) = by_id[id.as_str()].feedback.as_ref().unwrap();
            assert!(feedback.succeeded() && *heard <= context.started_at.unwrap());
            used += 1;
        }
    }
    assert!(used > all.len());
}

#[test]
fn rejections_come_soonest_and_some_take_days() {
    let all = world(60, 200.0, 8);
    let hours = |action: UserAction| {
        let of = all.iter().filter_map(|g| g.feedback.as_ref().map(|(at, f)| (g, at, f)));
        let delays = of.filter(|(_, _, f)| f.user_action == action);
        let mut hours: Vec<_> = delays
            .map(|(g, at, _)| (*at - g.completion.completed_at.unwrap()).num_seconds() as f64 / 3600.0)
            .collect();
        hours.sort_by(f64::total_cmp);
        hours
    };
    let [approve, modify, reject] = [UserAction::Approve, UserAction::Modify, UserAction::Reject].map(hours);
    let median = |hours: &[f64]| hours[hours.len() / 2];
    assert!(median(&reject) < median(&modify) && median(&modify) < median(&approve));
    assert!(approve[0] < 0.25 && approve[approve.len() - 1] > 72.0);
    let silent = all.iter().filter(|g| g.feedback.is_none()).count() as f64 / all.len() as f64;
    assert!((silent - 0.1).abs() < 0.02, "{silent}");
}

#[test]
fn the_agent_degrades_and_the_new_llm_arrives_on_their_days() {
    let all = world(60, 200.0, 9);
    let rate = |agent: &str, early: bool| {
        let of_agent = all.iter().filter(|g| g.context.agent_type.as_deref() == Some(agent));
        let then = of_agent.filter(|g| (day(g) < 35) == early);
        mean(then.filter_map(|g| succeeded(g).map(|y| f64::from(u8::from(y)))))
    };
    assert!(rate("backend", true) - rate("backend", false) > 0.15);
    assert!((rate("frontend", true) - rate("frontend", false)).abs() < 0.1);
    let is_new = |g: &&Generation| g.context.model_used.as_deref() == Some("claude-opus-5");
    assert_eq!(all.iter().filter(is_new).map(day).min(), Some(21));
    let since = all.iter().filter(|g| day(g) >= 21).count() as f64;
    let share = all.iter().filter(is_new).count() as f64 / since;
    assert!((share - 0.3).abs() < 0.02, "{share}");
    let rate_of =
        |new: bool| mean(all.iter().filter(|g| day(g) >= 21 && is_new(g) == new).map(|g| g.probability));
    assert!(rate_of(true) > rate_of(false) + 0.08);
}

#[test]
fn a_propensity_is_the_share_with_which_its_llm_is_chosen() {
    let mut options = options(30, 300.0, 10);
    options.new_model_day = Some(0);
    let all: Vec<_> = Simulator::new(options).unwrap().collect();
    let mut seen = BTreeMap::<String, (f64, f64)>::new();
    for Generation { decision, context, .. } in &all {
        assert_eq!(context.model_used.as_ref(), Some(&decision.chosen));
        assert!(decision.candidates.contains(&decision.chosen));
        let entry = seen.entry(decision.chosen.clone()).or_default();
        *entry = (entry.0 + 1.0, decision.propensity);
    }
    assert_eq!(seen.len(), 4);
    for (llm, (count, propensity)) in seen {
        assert!((count / all.len() as f64 - propensity).abs() < 0.02, "{llm}: {count} {propensity}");
    }
}

#[test]
fn options_out_of_range_are_named() {
    type Change = fn(&mut SimulatorOptions);
    let changes: [(&str, Change); 15] = [
        ("per_day is NaN", |o| o.per_day = f64::NAN),
        ("per_day is inf", |o| o.per_day = f64::INFINITY),
        ("days is 0", |o| o.days = 0),
        ("projects is 0", |o| o.projects = 0),
        ("users is 20000", |o| o.users = 20_000),
        ("agents is 9", |o| o.agents = 9),
        ("agents is 0", |o| o.agents = 0),
        ("feedback_share is 1.1", |o| o.feedback_share = 1.1),
        ("feedback_share is NaN", |o| o.feedback_share = f64::NAN),
        ("failed_feedback_share is NaN", |o| o.failed_feedback_share = Some(f64::NAN)),
        ("audit_share is 2", |o| o.audit_share = 2.0),
        ("retry_share is -1", |o| o.retry_share = -1.0),
        ("template_fit is -1", |o| o.template_fit = -1.0),
        ("new_model_share is 0", |o| o.new_model_share = 0.0),
        ("start's year is 1000", |o| o.start = "1000-01-01T00:00:00Z".parse().unwrap()),
    ];
    for (expected, change) in changes {
        let mut options = SimulatorOptions::default();
        change(&mut options);
        let error = Simulator::new(options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn options_at_their_limits_make_a_world() {
    let mut small = options(1, 1e5, 1);
    (small.projects, small.users, small.agents) = (1, 1, 1);
    (small.feedback_share, small.retry_share, small.new_model_share) = (1.0, 1.0, 0.999);
    small.new_model_day = Some(u32::MAX);
    small.drift_day = Some(0);
    let mut last = options(3650, 0.5, 2);
    last.start = "9000-12-31T23:59:59.999999999Z".parse().unwrap();
    (last.projects, last.users, last.agents) = (10_000, 10_000, 8);
    (last.feedback_share, last.new_model_day, last.drift_day) = (0.0, None, None);
    for options in [small, last] {
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<SimulatorOptions>(&json).unwrap(), options);
        for generation in Simulator::new(options).unwrap().take(3_000) {
            assert!(generation.probability > 0.0 && generation.probability < 1.0);
            generation.into_records().unwrap();
        }
    }
}

#[test]
#[ignore = "a measurement: run it with --release --nocapture"]
fn speed() {
    let timer = Instant::now();
    let count = Simulator::new(options(365, 1000.0, 1)).unwrap().map(std::hint::black_box).count();
    println!("{count} generations, {:.0} a second", count as f64 / timer.elapsed().as_secs_f64());
}
