//! Policies learn, have exact propensities, and keep within their limits.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

#[cfg(test)]
use super::{
    Arm, Boosted, Candidate, EpsilonGreedy, Goal, Objective, OnlineParams, POLICIES, Plan, Policy, Posterior,
    Request, Router, RouterOptions, Thompson,
};
use crate::ErrorKind;
use crate::clock::ManualClock;
use crate::event::{Completion, EventId, Feedback, GenerationEvent, Known, TaskContext, TaskId, UserAction};
use crate::features::{FeatureEngineer, FeatureOptions};
use crate::serving::PredictionService;
use crate::simulate::{Simulator, SimulatorOptions};
use crate::text::{Lexicon, TermRole, TextFacts};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;

fn policies() -> Vec<Box<dyn Policy>> {
    POLICIES.iter().map(|(_, create)| create(OnlineParams::default()).unwrap()).collect()
}

fn now() -> DateTime<Utc> {
    "2025-03-03T00:00:00Z".parse().unwrap()
}

fn task(kind: &str) -> TaskContext {
    let mut task = TaskContext::new(TaskId::new("t").unwrap());
    task.task_type = Some(kind.into());
    task
}

fn teach(router: &mut Router, task: TaskContext, success: bool) {
    let mut event = GenerationEvent::new(EventId::new("e").unwrap(), now(), task);
    let action = if success { UserAction::Approve } else { UserAction::Reject };
    event.feedback = vec![Known { known_at: now(), value: Feedback::new(action) }];
    assert!(router.feedback(&event));
}

/// A number in [0, 1) for each place in a row.
fn luck(i: u64) -> f64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 11) as f64 / (1_u64 << 53) as f64
}

/// As many choices as are asked for, 1,000,000 once: `DEVMATRIX_CHOICES=1000000`.
fn choices() -> u64 {
    std::env::var("DEVMATRIX_CHOICES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

#[test]
fn choices_are_as_frequent_as_their_propensities() {
    let candidates = ["a", "b", "c", "d"].map(Candidate::by_llm);
    for policy in policies() {
        let name = policy.name().to_owned();
        let mut router = Router::new(policy, RouterOptions::default()).unwrap();
        // Enough is known that propensities differ, not so much that they are all but certain.
        for i in 0..40 {
            let at = i as usize % 4;
            let task = candidates[at].plan.apply(&task("backend"));
            teach(&mut router, task, luck(i) < [0.5, 0.6, 0.6, 0.3][at]);
        }
        let (mut seen, mut expected, mut variance) = ([0.0; 4], [0.0; 4], [0.0; 4]);
        let task = task("backend");
        for _ in 0..choices() {
            let decision = router.choose(&Request::new(&task, &candidates, now())).unwrap().decision;
            for (at, p) in decision.propensities.iter().enumerate() {
                expected[at] += p;
                variance[at] += p * (1.0 - p);
                seen[at] += f64::from(u8::from(decision.chosen == decision.candidates[at]));
            }
        }
        // Given the propensities, each choice is one draw. A chi-square of three degrees of freedom is below 18.8
        // in 9,997 of 10,000; here it is less still, since the propensities vary.
        let chi_square: f64 =
            (0..4).map(|k| (seen[k] - expected[k]) * (seen[k] - expected[k]) / expected[k]).sum();
        println!("{name}: seen {seen:?}, expected {expected:.1?}, chi-square {chi_square:.2}");
        assert!(chi_square < 18.8, "{name}: {chi_square}");
        assert!((0..4).all(|k| (seen[k] - expected[k]).abs() <= 4.5 * variance[k].sqrt().max(1.0)));
    }
}

/// The production model's predictions decide until outcomes show where they are wrong.
#[test]
fn the_boosted_policy_starts_from_predictions_and_mends_them() {
    let arm = |feature: u64, success: f64| {
        let mut arm = Arm::default();
        arm.features = vec![(feature, 1.0)];
        arm.predicted = Some(Posterior::new(success, (success - 0.02, success + 0.02)));
        arm
    };
    let (arms, objective) = ([arm(1, 0.9), arm(2, 0.6)], Objective::default());
    let mut policy = Boosted::default();
    assert!(policy.propensities(&arms, &objective, 1)[0] > 0.9);
    for i in 0..400 {
        policy.learn(&arms[0], i % 4 == 0);
    }
    assert!(policy.propensities(&arms, &objective, 1)[0] < 0.1);
    let posterior = policy.posteriors(&arms)[0].success;
    assert!((posterior - 0.25).abs() < 0.05, "{posterior}");
}

/// 3,000 tasks of two types: each LLM is good at one.
#[test]
fn every_policy_learns_who_is_good_at_what() {
    let candidates = ["left-1", "right-1"].map(Candidate::by_llm);
    for policy in policies() {
        let name = policy.name().to_owned();
        let mut router = Router::new(policy, RouterOptions::default()).unwrap();
        let mut successes = 0;
        for i in 0..3000 {
            let kind = ["backend", "frontend"][(i % 2) as usize];
            let choice = router.choose(&Request::new(&task(kind), &candidates, now())).unwrap();
            let good = (choice.decision.chosen == "left-1") == (kind == "backend");
            let success = luck(i) < if good { 0.9 } else { 0.5 };
            if i >= 1000 {
                successes += u32::from(success);
            }
            teach(&mut router, choice.task, success);
        }
        let rate = f64::from(successes) / 2000.0;
        assert!(rate > 0.86, "{name}: {rate}");
        let leaderboard = router.leaderboard();
        let first = leaderboard.iter().find(|row| row.task_type == "frontend").unwrap();
        assert!(first.llm == "right-1" && first.win_probability > 0.9 && first.outcomes > 1000, "{first:?}");
        assert!((first.rate - 0.9).abs() < 0.07, "{first:?}");
        assert!(first.interval.0 < first.rate && first.rate < first.interval.1);
    }
}

/// One LLM at two efforts: the high one succeeds more often and takes longer and more.
#[test]
fn two_efforts_of_one_llm_are_two_candidates() {
    let candidates = ["low", "high"].map(|effort| Candidate::by_llm("gpt-5").with_effort(effort));
    for policy in policies() {
        let name = policy.name().to_owned();
        let mut router = Router::new(policy, RouterOptions::default()).unwrap();
        let mut chosen = [0, 0];
        for i in 0..1500 {
            let choice = router.choose(&Request::new(&task("backend"), &candidates, now())).unwrap();
            let high = choice.task.effort.as_deref() == Some("high");
            assert_eq!(choice.decision.chosen, ["gpt-5 (low)", "gpt-5 (high)"][usize::from(high)]);
            assert!(
                choice.decision.reason.as_ref().unwrap().contains("gpt-5 ("),
                "{:?}",
                choice.decision.reason
            );
            if i >= 500 {
                chosen[usize::from(high)] += 1;
            }
            let mut done = Completion::default();
            (done.cost_usd, done.generation_time_seconds) =
                if high { (Some(0.02), Some(90.0)) } else { (Some(0.01), Some(10.0)) };
            router.completed(&choice.task, &done, now());
            let success = luck(i) < if high { 0.9 } else { 0.4 };
            teach(&mut router, choice.task, success);
        }
        assert!(chosen[1] > 3 * chosen[0], "{name}: {chosen:?}");
        let [low, high] = {
            let choice = router.choose(&Request::new(&task("backend"), &candidates, now())).unwrap();
            [0, 1].map(|at| (choice.arms[at].cost_usd, choice.arms[at].seconds))
        };
        assert!(high.0 > 1.5 * low.0 && high.1 > 4.0 * low.1, "{name}: {low:?} {high:?}");
    }
    let read: Plan = serde_json::from_str(r#"{"llm": "gpt-5", "effort": 8192}"#).unwrap();
    assert_eq!(read.effort.as_deref(), Some("8192"));
    let mut long = Candidate::by_llm("gpt-5");
    long.plan.effort = Some("x".repeat(300));
    let error = router_of_one(&long).unwrap_err();
    assert!(format!("{error:#}").contains("the plan's effort has 300 bytes"), "{error:#}");
}

fn router_of_one(candidate: &Candidate) -> crate::Result<super::Choice> {
    let mut router = Router::new(Box::new(Thompson::default()), RouterOptions::default())?;
    router.choose(&Request::new(&task("backend"), std::slice::from_ref(candidate), now()))
}

#[test]
fn a_cold_start_llm_gets_its_share_and_is_shrunk_toward_its_family() {
    let mut options = RouterOptions::default();
    options.cold_start_share = 0.1;
    let mut router = Router::new(Box::new(Thompson::default()), options).unwrap();
    let known = ["claude-sonnet-4.5", "gpt-4.1-mini"].map(Candidate::by_llm);
    for i in 0..400 {
        let at = (i % 2) as usize;
        teach(&mut router, known[at].plan.apply(&task("backend")), luck(i) < [0.9, 0.4][at]);
    }
    let with = |name: &str| [known[0].clone(), known[1].clone(), Candidate::by_llm(name)];
    let task = task("backend");
    let mut posterior = |name: &str| {
        let candidates = with(name);
        let choice = router.choose(&Request::new(&task, &candidates, now())).unwrap();
        assert!(choice.decision.propensities[2] >= 0.1 - 1e-9, "{:?}", choice.decision.propensities);
        router.policy().posteriors(&choice.arms)[2].success
    };
    let (relative, other) = (posterior("claude-opus-5"), posterior("gpt-5"));
    assert!(relative > other + 0.1, "{relative} {other}");
}

#[test]
fn constraints_are_kept() {
    let mut router = {
        let mut options = RouterOptions::default();
        options.objective.goal = Goal::Cheapest;
        options.objective.min_success = Some(0.8);
        options.objective.max_seconds = Some(60.0);
        options.safety.exploration_off = true;
        Router::new(Box::new(EpsilonGreedy::default()), options).unwrap()
    };
    // Name, rate of success, seconds, cost.
    let all = [
        ("weak", 0.5, 10.0, 0.001),
        ("good", 0.95, 30.0, 0.01),
        ("dear", 0.95, 20.0, 0.05),
        ("slow", 0.95, 300.0, 0.002),
    ];
    let candidates = all.map(|(name, ..)| Candidate::by_llm(name));
    for i in 0..1600 {
        let (_, rate, seconds, cost) = all[(i % 4) as usize];
        let task = candidates[(i % 4) as usize].plan.apply(&task("backend"));
        let mut done = Completion::default();
        (done.generation_time_seconds, done.cost_usd) = (Some(seconds), Some(cost));
        router.completed(&task, &done, now());
        teach(&mut router, task, luck(i) < rate);
    }
    let choice = router.choose(&Request::new(&task("backend"), &candidates, now())).unwrap();
    assert_eq!(
        (choice.decision.chosen.as_str(), choice.decision.propensities[3]),
        ("good", 0.0),
        "{choice:?}"
    );
    assert!(choice.decision.reason.as_ref().unwrap().starts_with("good (success"), "{choice:?}");
}

#[test]
fn a_budget_is_kept_by_the_day() {
    let mut options = RouterOptions::default();
    options.objective.usd_per_day = Some(0.1);
    let mut router = Router::new(Box::new(Thompson::default()), options).unwrap();
    let (task, one) = (task("backend"), [Candidate::by_llm("a")]);
    let mut done = Completion::default();
    done.cost_usd = Some(0.02);
    let spend = |router: &mut Router, at| {
        let choice = router.choose(&Request::new(&task, &one, at))?;
        router.completed(&choice.task, &done, at);
        crate::Result::Ok(())
    };
    let spent = (0..10).take_while(|_| spend(&mut router, now()).is_ok()).count();
    assert!((4..=5).contains(&spent), "{spent}");
    let error = spend(&mut router, now()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:#}").contains("midnight"), "{error}");
    spend(&mut router, now() + TimeDelta::days(1)).unwrap();
}

#[test]
fn limits_on_exploring_hold_whatever_the_policy_says() {
    let candidates = ["a", "b", "c", "d"].map(Candidate::by_llm);
    let task = task("backend");
    for policy in policies() {
        let mut options = RouterOptions::default();
        options.safety.max_exploration = 0.05;
        let mut router = Router::new(policy, options).unwrap();
        for _ in 0..50 {
            let decision = router.choose(&Request::new(&task, &candidates, now())).unwrap().decision;
            let most = decision.propensities.iter().copied().fold(0.0, f64::max);
            assert!(most >= 0.95 - 1e-9, "{decision:?}");
            let mut critical = Request::new(&task, &candidates, now());
            critical.critical = true;
            assert_eq!(router.choose(&critical).unwrap().decision.propensity, 1.0);
        }
        router.options.safety.exploration_off = true;
        let off = router.choose(&Request::new(&task, &candidates, now())).unwrap();
        assert_eq!(off.decision.propensity, 1.0);
        assert!(off.decision.inputs.is_some() && off.decision.reason.is_some());
    }
}

#[test]
fn candidates_on_trial_are_not_used_for_critical_tasks() {
    let mut candidates = ["a", "a~1"].map(Candidate::by_llm);
    candidates[1].on_trial = true;
    let mut router = Router::new(Box::new(Thompson::default()), RouterOptions::default()).unwrap();
    for i in 0..200 {
        teach(&mut router, candidates[i % 2].plan.apply(&task("backend")), i % 2 == 1);
    }
    let (task, now) = (task("backend"), now());
    let request = Request::new(&task, &candidates, now);
    assert!(router.choose(&request).unwrap().decision.propensities[1] > 0.9);
    let critical = Request { critical: true, ..request };
    assert_eq!(router.choose(&critical).unwrap().decision.propensities, [1.0, 0.0]);
    // Where there is nothing else, it is done this way nevertheless.
    let only = Request { candidates: &candidates[1..], ..critical };
    assert_eq!(router.choose(&only).unwrap().decision.propensities, [1.0]);
    router.options.safety.exploration_off = true;
    assert_eq!(router.choose(&request).unwrap().decision.propensities, [1.0, 0.0]);
}

#[test]
fn inconclusive_evidence_goes_to_the_default() {
    let candidates = ["a", "b"].map(Candidate::by_llm);
    let mut options = RouterOptions::default();
    options.certainty = 0.95;
    let mut router = Router::new(Box::new(Thompson::default()), options).unwrap();
    for i in 0..20 {
        let at = (i % 2) as usize;
        teach(&mut router, candidates[at].plan.apply(&task("backend")), i % 5 != 0 || at == 0);
    }
    let task = task("backend");
    let request = Request { default: Some("b"), ..Request::new(&task, &candidates, now()) };
    let choice = router.choose(&request).unwrap();
    let why = choice.abstained.unwrap();
    assert!(why.contains("a is better than the default, b, with probability"), "{why}");
    assert!(choice.decision.propensities[1] >= 0.5, "{:?}", choice.decision.propensities);
}

/// A small world: true expected success beside one fixed LLM and agent.
#[test]
fn routing_pays_in_a_world_whose_truth_is_known() {
    let mut options = SimulatorOptions::default();
    (options.per_day, options.days, options.llm_fit, options.retry_share) = (400.0, 9, 3.0, 0.0);
    (options.drift_day, options.new_model_day) = (None, None);
    let world = Simulator::new(options).unwrap();
    let llms = ["claude-sonnet-4.5", "deepseek-v3", "claude-opus-5"];
    let candidates: Vec<_> = llms
        .iter()
        .flat_map(|llm| ["generalist", "implementation"].map(|agent| (llm, agent)))
        .map(|(llm, agent)| {
            let mut plan = Plan::by_llm(*llm);
            plan.agent = Some(agent.into());
            Candidate::new(format!("{llm} {agent}"), plan)
        })
        .collect();
    let mut router = Router::new(Box::new(Thompson::default()), RouterOptions::default()).unwrap();
    let (mut ours, mut fixed, mut n) = (0.0, 0.0, 0.0);
    for (number, generation) in world.clone().take(3000).enumerate() {
        let task = &generation.context;
        let choice = router.choose(&Request::new(task, &candidates, task.started_at.unwrap())).unwrap();
        let acted = world.act(&generation, choice.task.clone(), choice.decision.clone());
        if number >= 1000 {
            ours += acted.probability;
            fixed += world.expected(&generation, &candidates[0].plan.apply(task)).success;
            n += 1.0;
        }
        if acted.feedback.is_some() {
            let mut event = acted.into_event();
            event.started.value.predictions = choice.predictions;
            router.feedback(&event);
        }
    }
    let (ours, fixed) = (ours / n, fixed / n);
    println!("expected success {ours:.3} beside {fixed:.3}");
    assert!(ours > fixed + 0.06, "{ours} {fixed}");
}

/// A term of the host's own reaches the features with which routing learns, read by the router itself or with the
/// predictions.
#[test]
fn a_hosts_own_term_reaches_the_features() {
    let lexicon = Lexicon::new([(TermRole::Technical, "kafka")]).unwrap();
    let engineer =
        FeatureEngineer::new(FeatureOptions { lexicon: lexicon.clone(), ..FeatureOptions::default() });
    let clock = Arc::new(ManualClock::at(now()));
    let service = PredictionService::new(Arc::default(), engineer, clock);
    let options = RouterOptions { lexicon, ..RouterOptions::default() };
    let policy = || Box::new(Thompson::default());
    let mut own = Router::new(policy(), options).unwrap();
    let built_in = Router::new(policy(), RouterOptions::default()).unwrap();
    let candidates = ["a", "b"].map(Candidate::by_llm);
    let mut task = task("backend");
    for (description, apart) in [("Publish it to Kafka", true), ("Publish it", false)] {
        description.clone_into(&mut task.task_description);
        let learned = own.arm(&candidates[0].plan.apply(&task)).features;
        let by_default = built_in.arm(&candidates[0].plan.apply(&task)).features;
        assert_eq!(learned != by_default, apart, "{description}");
        let request = Request::new(&task, &candidates, now());
        for choice in [own.choose(&request), own.choose_predicted(&service, &request)] {
            assert_eq!(choice.unwrap().arms[0].features, learned, "{description}");
        }
    }
}

/// A description is read once for a choice: where its facts are given, it is not read again.
#[test]
fn facts_that_are_given_are_not_read_again() {
    let (mut task, candidates) = (task("backend"), [Candidate::by_llm("a")]);
    "Publish it to the API".clone_into(&mut task.task_description);
    let router = Router::new(Box::new(Thompson::default()), RouterOptions::default()).unwrap();
    let facts = TextFacts::of("Another\n- description\n- with requirements");
    let given = router.propose(&Request::new(&task, &candidates, now()).with_text(&facts), None).unwrap();
    "Another\n- description\n- with requirements".clone_into(&mut task.task_description);
    let read = router.propose(&Request::new(&task, &candidates, now()), None).unwrap();
    assert_eq!(given.arms, read.arms);
}
