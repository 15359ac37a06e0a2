//! A/B tests: assignment, error rates and power.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use super::data::Observation;
use super::spec::Experiment;
use super::{
    AnalysisOptions, Arm, ExperimentData, ExperimentReport, ExperimentSpec, ExperimentVerdict, Experiments,
    GuardrailMetric, Layer, Metric, RampStep,
};
use crate::event::{
    EventId, Feedback, GenerationEvent, Known, ShownPrediction, Started, TaskContext, TaskId, UserAction,
    UserId,
};
use crate::experimentation::Unit;
use crate::store::{EventStore, MemoryStore};
use chrono::{DateTime, TimeDelta, Utc};
use futures_executor::block_on;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

fn at(hours: i64) -> DateTime<Utc> {
    "2025-01-06T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::hours(hours)
}

fn spec(name: &str, shares: &[f64]) -> ExperimentSpec {
    let names: Vec<_> = (0..shares.len()).map(|i| format!("arm{i}")).collect();
    let mut spec =
        ExperimentSpec::new(name, Unit::User, &names.iter().map(String::as_str).collect::<Vec<_>>());
    spec.arms.iter_mut().zip(shares).for_each(|(arm, share)| arm.share = *share);
    spec
}

fn with(mut spec: ExperimentSpec, change: impl FnOnce(&mut ExperimentSpec)) -> ExperimentSpec {
    change(&mut spec);
    spec
}

fn experiment(name: &str, shares: &[f64]) -> Experiment {
    Experiment::new(spec(name, shares)).unwrap()
}

/// Users with success rates of their own come over time; outcomes come in `analyses` portions.
struct Trial {
    effect: f64,
    dearer: f64,
    users: u64,
    analyses: u64,
    options: AnalysisOptions,
    covariate: bool,
}

impl Trial {
    fn new(effect: f64) -> Self {
        let mut options = AnalysisOptions::default();
        options.effect = 0.10;
        options.guardrails = vec![GuardrailMetric { metric: Metric::Cost, tolerance: 0.01 }];
        Self { effect, dearer: 0.0, users: 300, analyses: 200, options, covariate: true }
    }

    /// The report at the first look that concludes, with its number; else the last look's.
    fn run(&self, seed: u64) -> (ExperimentReport, u64) {
        let experiment = experiment(&format!("trial {seed}"), &[0.5, 0.5]);
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let users: Vec<_> = (0..self.users)
            .map(|i| {
                let name = format!("user {i}");
                let arm = experiment.arm_of(&name, at(0)).unwrap();
                (name, arm, rng.random_range(0.45..0.85_f64))
            })
            .collect();
        let mut data = ExperimentData::new(&experiment);
        for look in 1..=self.analyses {
            let here = (self.users * look / self.analyses).max(1) as usize;
            for _ in 0..15 {
                let (name, arm, rate) = &users[rng.random_range(0..here)];
                let treated = *arm as f64;
                data.expose(name, &format!("arm{arm}")).unwrap();
                let task = rng.random_range(-0.1..0.1);
                let mut seen =
                    Observation::new(rng.random_range(0.0..1.0) < rate + task + treated * self.effect);
                seen.cost = Some((1.0 + treated * self.dearer) * rng.random_range(0.01..0.09));
                seen.predicted = self.covariate.then_some(rate + task);
                data.observe(name, seen).unwrap();
            }
            let report = data.analyze(&self.options).unwrap();
            let ends = matches!(
                report.verdict,
                ExperimentVerdict::Winner { .. } | ExperimentVerdict::Harm { .. } | ExperimentVerdict::Broken
            );
            if ends || look == self.analyses {
                return (report, look);
            }
        }
        unreachable!("the last look returns")
    }
}

/// The full size: `DEVMATRIX_EXPERIMENTS=1000 cargo test --release --lib ab_tests -- --nocapture`.
fn repetitions() -> u64 {
    std::env::var("DEVMATRIX_EXPERIMENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(40)
}

#[test]
fn equal_arms_are_seldom_significant_in_two_hundred_analyses() {
    let n = repetitions();
    for covariate in [false, true] {
        let trial = Trial { covariate, ..Trial::new(0.0) };
        let concluded = |verdict: &ExperimentVerdict| {
            !matches!(verdict, ExperimentVerdict::Continue | ExperimentVerdict::NoDifference)
        };
        let wrong = (0..n).filter(|seed| concluded(&trial.run(*seed).0.verdict)).count();
        println!("no effect, with covariate {covariate}: {wrong} of {n} concluded within 200 analyses");
        assert!(wrong as f64 <= 0.05 * n as f64, "{wrong} of {n}");
    }
}

#[test]
fn an_effect_is_found_and_a_harm_stops() {
    let n = repetitions() / 2;
    for (effect, covariate) in [(0.10, false), (0.10, true), (-0.10, true)] {
        let trial = Trial { covariate, ..Trial::new(effect) };
        let found: Vec<_> = (0..n).map(|seed| trial.run(1_000 + seed)).collect();
        let right = |verdict: &ExperimentVerdict| match verdict {
            ExperimentVerdict::Winner { arm } => effect > 0.0 && arm == "arm1",
            ExperimentVerdict::Harm { arm } => effect < 0.0 && arm == "arm1",
            _ => false,
        };
        let mut analyses: Vec<_> =
            found.iter().filter(|(r, _)| right(&r.verdict)).map(|(_, look)| *look).collect();
        analyses.sort_unstable();
        let share = analyses.len() as f64 / n as f64;
        let middle = analyses.get(analyses.len() / 2).map_or(0, |look| look * 15);
        println!(
            "effect {effect:+}, with covariate {covariate}: found in {share:.3}, after {middle} generations"
        );
        assert!(share >= if covariate { 0.8 } else { 0.5 }, "{effect}: {share}");
    }
    let dearer = Trial { dearer: 1.0, ..Trial::new(0.0) };
    let (report, _) = dearer.run(7);
    assert_eq!(report.verdict, ExperimentVerdict::Harm { arm: "arm1".into() }, "{report}");
    assert!(report.to_string().contains("cost +0.0"), "{report}");
}

#[test]
fn a_covariate_narrows_the_interval_and_moves_no_mean() {
    let (with, _) = Trial::new(0.0).run(3);
    let (without, _) = Trial { covariate: false, ..Trial::new(0.0) }.run(3);
    let [with, without] = [with, without].map(|report| report.arms[1].against_control[0]);
    assert!(with.variance_saved > 0.1 && without.variance_saved == 0.0, "{with:?}");
    assert!(with.upper - with.lower < without.upper - without.lower);
    assert!((with.difference - without.difference).abs() < 0.05);
}

#[test]
fn predictions_that_know_the_arm_are_not_used() {
    let experiment = experiment("known", &[0.5, 0.5]);
    let mut data = ExperimentData::new(&experiment);
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    for i in 0..400 {
        let (name, treated) = (format!("u{i}"), i % 2);
        data.expose(&name, &format!("arm{treated}")).unwrap();
        let mut seen = Observation::new(rng.random_range(0.0..1.0) < 0.6);
        seen.predicted = Some(0.5 + 0.2 * f64::from(treated) + rng.random_range(-0.1..0.1));
        data.observe(&name, seen).unwrap();
    }
    let report = data.analyze(&AnalysisOptions::default()).unwrap();
    assert_eq!(report.arms[1].against_control[0].variance_saved, 0.0);
    assert!(report.reasons.iter().any(|why| why.contains("they depend on the arm")), "{report}");
}

#[test]
fn arms_get_their_shares_and_experiments_are_independent() {
    let (one, two) = (experiment("one", &[0.5, 0.3, 0.2]), experiment("two", &[0.5, 0.5]));
    let mut data = ExperimentData::new(&one);
    let mut both = [[0.0_f64; 2]; 3];
    for i in 0..20_000 {
        let name = format!("user-{i}");
        let [a, b] = [&one, &two].map(|e| e.arm_of(&name, at(0)).unwrap());
        data.expose(&name, &format!("arm{a}")).unwrap();
        both[a][b] += 1.0;
    }
    let ratio = data.analyze(&AnalysisOptions::default()).unwrap().ratio;
    // 99.9 % quantiles of chi-square with two degrees of freedom.
    assert!(ratio.chi_square < 13.8 && !ratio.is_faulty(0.001), "{ratio:?}");
    let sums: Vec<f64> = both.iter().map(|row| row.iter().sum()).collect();
    let apart: f64 =
        both.iter().zip(&sums).flat_map(|(row, n)| row.map(|x| (x - n / 2.0).powi(2) / (n / 2.0))).sum();
    assert!(apart < 16.3, "three degrees of freedom: {apart}");
}

#[test]
fn experiments_of_one_layer_never_share_a_unit() {
    let slot = |from, to| Some(Layer { layer: "prompts".into(), from, to });
    let part = |name: &str, slot| with(spec(name, &[0.5, 0.5]), |spec| spec.layer = slot);
    let (a, b) = (part("a", slot(0.0, 0.4)), part("b", slot(0.4, 1.0)));
    let all = Experiments::new(vec![a.clone(), b, spec("c", &[0.5, 0.5])]).unwrap();
    let mut counts = [0; 3];
    for i in 0..5_000 {
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        assert!(all.assign(&task, at(0)).is_empty(), "nobody is known");
        task.user_id = Some(UserId::new(format!("user-{i}")).unwrap());
        let found = all.assign(&task, at(0));
        let names: Vec<_> = found.iter().map(|a| a.experiment.as_str()).collect();
        assert!(names == ["a", "c"] || names == ["b", "c"], "{names:?}");
        assert!(found.iter().all(|a| a.unit == format!("user-{i}") && a.probability == 0.5));
        counts[usize::from(names[0] == "b")] += 1;
    }
    assert!((counts[0] - 2_000_i32).abs() < 150, "{counts:?}");
    let error = Experiments::new(vec![a.clone(), part("d", slot(0.3, 0.5))]).unwrap_err();
    assert!(format!("{error:#}").contains("share a part of layer"), "{error}");
    assert!(Experiments::new(vec![a.clone(), a]).is_err());
}

proptest! {
    /// Who is in stays in the same arm, whenever one asks and however the ramp goes on.
    #[test]
    fn assignment_is_sticky_under_ramp_up(name in "\\PC{1,20}", shares in prop::collection::vec(0.0..=1.0_f64, 1..5)) {
        let mut shares = shares;
        shares.sort_by(f64::total_cmp);
        let steps = shares.iter().enumerate().map(|(i, share)| RampStep { from: at(10 * i as i64), share: *share });
        let ramped = Experiment::new(with(spec("x", &[0.2, 0.8]), |spec| spec.ramp = steps.collect())).unwrap();
        let whole = experiment("x", &[0.2, 0.8]).arm_of(&name, at(0));
        let arms: Vec<_> = (-1..60).map(|hour| ramped.arm_of(&name, at(hour))).collect();
        prop_assert_eq!(arms[0], None);
        let first = arms.iter().position(Option::is_some).unwrap_or(arms.len());
        prop_assert!(arms[..first].iter().all(Option::is_none));
        prop_assert!(arms[first..].iter().all(|arm| *arm == whole));
    }

    /// The order in which outcomes arrive does not matter.
    #[test]
    fn the_order_of_arrival_changes_nothing(seed in 0..1000_u64) {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let rows: Vec<_> = (0..300).map(|_| (rng.random_range(0..80_u32), rng.random_range(0..3) > 0)).collect();
        let analyze = |rows: &mut dyn Iterator<Item = &(u32, bool)>| {
            let mut data = ExperimentData::new(&experiment("order", &[0.5, 0.5]));
            for (user, success) in rows {
                let name = user.to_string();
                data.expose(&name, &format!("arm{}", user % 2)).unwrap();
                data.observe(&name, Observation::new(*success)).unwrap();
            }
            data.analyze(&AnalysisOptions::default()).unwrap()
        };
        let (there, back) = (analyze(&mut rows.iter()), analyze(&mut rows.iter().rev()));
        prop_assert_eq!(&there.verdict, &back.verdict);
        let [a, b] = [&there, &back].map(|r| r.arms[1].against_control[0]);
        prop_assert!((a.lower - b.lower).abs() < 1e-9 && a.lower <= a.difference && a.difference <= a.upper);
    }
}

#[test]
fn lost_and_moved_units_are_found() {
    let experiment = experiment("loses", &[0.5, 0.5]);
    let mut data = ExperimentData::new(&experiment);
    let mut found = None;
    for i in 0..10_000 {
        let name = format!("user-{i}");
        let arm = experiment.arm_of(&name, at(0)).unwrap();
        // The new arm crashes for one in eight before anything is recorded.
        if arm == 0 || i % 8 > 0 {
            data.expose(&name, &format!("arm{arm}")).unwrap();
        }
        if i % 100 == 99
            && data.analyze(&AnalysisOptions::default()).unwrap().verdict == ExperimentVerdict::Broken
        {
            found.get_or_insert(i);
        }
    }
    println!("one in eight lost: found after {found:?} units");
    assert!(found.is_some_and(|i| i < 8_000), "{found:?}");
    let mut moved = ExperimentData::new(&experiment);
    moved.expose("ana", "arm0").unwrap();
    moved.expose("ana", "arm1").unwrap();
    let report = moved.analyze(&AnalysisOptions::default()).unwrap();
    assert_eq!(report.verdict, ExperimentVerdict::Broken);
    assert!(report.to_string().contains("assigned to two arms"), "{report}");
}

/// Arms all of whose units have one success in so many generations.
fn constant(control: (u32, u32), treated: (u32, u32)) -> ExperimentReport {
    let mut data = ExperimentData::new(&experiment("constant", &[0.5, 0.5]));
    for i in 0..400 {
        let (unit, (successes, of)) = (format!("u{i}"), [control, treated][i % 2]);
        data.expose(&unit, ["arm0", "arm1"][i % 2]).unwrap();
        for k in 0..of {
            let mut seen = Observation::new(k < successes);
            seen.cost = Some(if i % 2 == 0 { 0.1 } else { 0.3 });
            data.observe(&unit, seen).unwrap();
        }
    }
    let mut options = AnalysisOptions::default();
    options.guardrails = vec![GuardrailMetric { metric: Metric::Cost, tolerance: 0.01 }];
    data.analyze(&options).unwrap()
}

#[test]
fn arms_that_do_not_vary_are_inconclusive_whatever_their_rounding() {
    for (control, treated) in
        [((1, 4), (2, 4)), ((1, 10), (3, 10)), ((3, 10), (1, 10)), ((1, 3), (2, 3)), ((7, 10), (7, 10))]
    {
        let report = constant(control, treated);
        assert_eq!(report.verdict, ExperimentVerdict::Continue, "{control:?} {treated:?}: {report}");
        assert!(report.reasons[0].contains("do not vary"), "{report}");
        assert!(report.arms[1].against_control.iter().all(|found| found.upper == f64::INFINITY), "{report}");
        // It reads what it writes.
        let json = serde_json::to_string(&report).unwrap();
        assert!(json.contains("\"upper\":null"), "{json}");
        assert_eq!(serde_json::from_str::<ExperimentReport>(&json).unwrap(), report);
    }
}

/// One generation an hour, alternating between arms; approvals take a week, rejections an hour.
fn stored(n: i64) -> Vec<GenerationEvent> {
    let experiment = experiment("slow", &[0.5, 0.5]);
    let generation = |i: i64| {
        let mut task = TaskContext::new(TaskId::new(format!("t{i}")).unwrap());
        task.user_id = Some(UserId::new(format!("user-{}", i % 200)).unwrap());
        let assignment = experiment.assign(&task, at(i)).unwrap();
        let mut started = Started::from(task);
        started.predictions = vec![ShownPrediction::new("before", 0.6, (0.5, 0.7), "cold_start", 0)];
        started.experiments = vec![assignment];
        let mut event = GenerationEvent::new(EventId::new(format!("e{i}")).unwrap(), at(i), started);
        let (action, hours) = if i % 3 > 0 { (UserAction::Approve, 24 * 7) } else { (UserAction::Reject, 1) };
        event.feedback = vec![Known { known_at: at(i + hours), value: Feedback::new(action) }];
        event
    };
    (0..n).map(generation).collect()
}

#[test]
fn only_outcomes_that_have_had_time_count() {
    let (store, experiment) = (MemoryStore::new(), experiment("slow", &[0.5, 0.5]));
    let records = stored(2_000).into_iter().flat_map(|e| e.into_records().unwrap());
    block_on(store.append(records.collect())).unwrap();
    let read = |window| {
        let read = ExperimentData::read(&store, experiment.spec(), window, Some("before"), at(2_000));
        block_on(read).unwrap().analyze(&AnalysisOptions::default()).unwrap()
    };
    let report = read(TimeDelta::days(10));
    println!("{report}");
    let success = |r: &ExperimentReport| r.arms.iter().map(|arm| arm.success.unwrap()).collect::<Vec<_>>();
    assert_eq!(report.young, 239, "a generation counts from the end of its window on");
    assert!(success(&report).iter().all(|s| (s - 2.0 / 3.0).abs() < 0.05), "{report}");
    assert_eq!(report.arms[0].labelled, Some(1.0));
    // A window that ends before approvals come sees rejections alone, and says how few answered.
    let hasty = read(TimeDelta::days(2));
    assert!(success(&hasty).iter().all(|s| *s == 0.0) && hasty.arms[0].labelled.unwrap() < 0.5);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ExperimentReport>(&json).unwrap(), report);
    let unheard_of =
        ExperimentData::read(&store, experiment.spec(), TimeDelta::days(10), Some("success"), at(2_000));
    let error = block_on(unheard_of).unwrap_err().to_string();
    assert!(error.contains("was shown a prediction of \"success\""), "{error}");
}

#[test]
fn an_invalid_experiment_is_an_error() {
    let refused = |spec: ExperimentSpec, expected: &str| {
        let error = Experiment::new(spec).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(spec("", &[0.5, 0.5]), "a name is empty");
    refused(spec("x", &[1.0]), "1 arms");
    refused(spec("x", &[0.5, 0.4]), "add up to 0.9");
    refused(spec("x", &[1.5, -0.5]), "above 0");
    refused(spec("x", &[f64::NAN, 0.5]), "add up to NaN");
    let twice = Arm { name: "arm0".into(), share: 0.5 };
    refused(
        with(spec("x", &[0.5, 0.5]), |spec| spec.arms = vec![twice.clone(), twice]),
        "1 of them distinct",
    );
    let slot = Some(Layer { layer: "l".into(), from: 0.5, to: f64::NAN });
    refused(with(spec("x", &[0.5, 0.5]), |spec| spec.layer = slot), "layer is 0.5 to NaN");
    let falls = [0.5, 0.2].iter().zip(0..).map(|(share, i)| RampStep { from: at(i), share: *share });
    refused(with(spec("x", &[0.5, 0.5]), |spec| spec.ramp = falls.collect()), "never fall");

    let mut data = ExperimentData::new(&experiment("x", &[0.5, 0.5]));
    assert!(data.expose("ana", "unheard of").is_err());
    assert!(data.observe("ana", Observation::new(true)).is_err());
    data.expose("ana", "arm0").unwrap();
    let mut bad = Observation::new(true);
    bad.cost = Some(f64::NAN);
    assert!(data.observe("ana", bad).is_err());
    let mut options = AnalysisOptions::default();
    options.confidence = f64::NAN;
    assert!(data.analyze(&options).unwrap_err().to_string().contains("confidence is NaN"));
    let spec = spec("x", &[0.5, 0.5]);
    assert!(
        block_on(ExperimentData::read(&MemoryStore::new(), &spec, TimeDelta::zero(), None, at(0))).is_err()
    );
    let report = data.analyze(&AnalysisOptions::default()).unwrap();
    assert!(report.verdict == ExperimentVerdict::Continue && report.reasons[0].contains("fewer than 30"));
}

#[test]
fn an_observation_that_weighs_nothing_is_refused() {
    let experiment = Experiment::new(ExperimentSpec::new("x", Unit::User, &["a", "b"])).unwrap();
    let mut data = ExperimentData::new(&experiment);
    data.expose("u", "a").unwrap();
    for weight in [0.0, -1.0, 1e-320, f64::NAN, f64::INFINITY] {
        let mut seen = Observation::new(true);
        seen.weight = weight;
        let error = data.observe("u", seen).unwrap_err().to_string();
        assert!(error.contains("unit \"u\"") && error.contains("weight from 1e-9"), "{error}");
    }
    let mut options = AnalysisOptions::default();
    options.ratio_alpha = 0.0;
    let error = data.analyze(&options).unwrap_err().to_string();
    assert!(error.ends_with("ratio_alpha is 0, expected 0.000000001 to 0.1"), "{error}");
}
