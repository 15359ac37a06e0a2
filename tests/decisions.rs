//! Laws of decisions: for any task, candidates and policy the propensities are probabilities, the chosen one is a
//! candidate, and the recorded propensities are those drawn from.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, TimeDelta, Utc};
use common::anything;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::event::{
    Completion, Decision, EventId, Feedback, GenerationEvent, Known, SessionId, TaskContext, TaskId,
    UserAction,
};
use devmatrix_ml::routing::{
    Boosted, Candidate, Objective, OnlineParams, POLICIES, Plan, Policy, Request, Router, RouterOptions,
    Thompson, draw,
};
use devmatrix_ml::store::{EventStore, MemoryStore};
use futures_executor::block_on;
use proptest::prelude::*;
use std::collections::VecDeque;

fn policies() -> Vec<Box<dyn Policy>> {
    POLICIES.iter().map(|(_, create)| create(OnlineParams::default()).unwrap()).collect()
}

fn router(policy: Box<dyn Policy>) -> Router {
    Router::new(policy, RouterOptions::default()).unwrap()
}

fn now() -> DateTime<Utc> {
    "2025-03-03T09:00:00Z".parse().unwrap()
}

fn task() -> TaskContext {
    TaskContext::new(TaskId::new("t").unwrap())
}

/// Creates the event of a task with its outcome.
fn labelled(started: devmatrix_ml::event::Started, success: bool) -> GenerationEvent {
    let mut event = GenerationEvent::new(EventId::new("e").unwrap(), now(), started);
    let action = if success { UserAction::Approve } else { UserAction::Reject };
    event.feedback = vec![Known { known_at: now(), value: Feedback::new(action) }];
    event
}

/// Candidates with any names, some of which differ only in the number.
fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (anything::text(), proptest::option::of(0.0..2.0_f64), proptest::option::of(0.0..1e3_f64));
    prop::collection::vec(one, 1..6).prop_map(|all| {
        let named = all.into_iter().enumerate().map(|(at, (name, temperature, price))| {
            let mut plan = Plan::by_llm(name.clone());
            plan.temperature = temperature;
            let candidate = Candidate::new(format!("{name}{at}"), plan);
            price.map_or(candidate.clone(), |price| candidate.with_price(price))
        });
        named.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn propensities_are_probabilities_and_the_chosen_is_a_candidate(
        task in anything::context(),
        candidates in candidates(),
        outcomes in prop::collection::vec(any::<bool>(), 0..8),
        critical in any::<bool>(),
        value in 0.0..1e3_f64,
    ) {
        for policy in policies() {
            let mut options = RouterOptions::default();
            options.objective.usd_per_success = value;
            let mut router = Router::new(policy, options).unwrap();
            for success in &outcomes {
                let choice = router.choose(&Request::new(&task, &candidates, now())).unwrap();
                router.feedback(&labelled(choice.started(), *success));
            }
            let mut request = Request::new(&task, &candidates, now());
            request.critical = critical;
            let choice = router.choose(&request).unwrap();
            let decision = &choice.decision;
            prop_assert!((decision.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(decision.propensities.iter().all(|p| (0.0..=1.0).contains(p)));
            let at = candidates.iter().position(|c| c.name == decision.chosen).unwrap();
            prop_assert_eq!(decision.propensities[at], decision.propensity);
            prop_assert!(!critical || decision.propensity == 1.0);
            prop_assert_eq!(&choice.plan, &candidates[at].plan);
            // It round-trips through JSON.
            let event = labelled(choice.started(), true);
            let read = GenerationEvent::from_json(&serde_json::to_string(&event).unwrap()).unwrap();
            prop_assert_eq!(read.started.value.decision.unwrap().propensities, decision.propensities.clone());
            event.into_records().unwrap();
        }
    }

    #[test]
    fn draws_follow_the_propensities(weights in prop::collection::vec(0.0..1.0_f64, 1..9), at in 0.0..1.0_f64) {
        let sum: f64 = weights.iter().sum();
        prop_assume!(sum > 0.01);
        let propensities: Vec<_> = weights.iter().map(|w| w / sum).collect();
        let chosen = draw(&propensities, at).unwrap();
        let before: f64 = propensities[..chosen].iter().sum();
        prop_assert!(propensities[chosen] > 0.0 && at >= before - 1e-9 && at <= before + propensities[chosen] + 1e-9);
    }
}

#[test]
fn invalid_candidates_are_rejected() {
    let task = task();
    let two = [Candidate::by_llm("a"), Candidate::by_llm("a")];
    let mut hot = Candidate::by_llm("a");
    hot.plan.temperature = Some(f64::NAN);
    let assert_rejected = |candidates: &[Candidate], says: &str| {
        let error = router(Box::new(Thompson::default()))
            .choose(&Request::new(&task, candidates, now()))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(format!("{error:#}").contains(says), "{error}");
    };
    assert_rejected(&[], "no candidates");
    assert_rejected(&two, "same name");
    assert_rejected(&[hot], "temperature is NaN");
    assert_rejected(&[Candidate::by_llm("a").with_price(f64::INFINITY)], "usd_per_1k_tokens is inf");
    let one = [Candidate::by_llm("a")];
    let mut request = Request::new(&task, &one, now());
    request.default = Some("b");
    let error = router(Box::new(Thompson::default())).choose(&request).unwrap_err();
    assert!(format!("{error:#}").contains("\"b\" is not among"), "{error}");
    for bad in [f64::NAN, -1.0, f64::INFINITY] {
        let mut options = RouterOptions::default();
        options.objective.usd_per_success = bad;
        assert!(Router::new(Box::new(Thompson::default()), options).is_err());
    }
}

#[test]
fn one_candidate_is_certain_and_no_arms_have_no_propensities() {
    for policy in policies() {
        assert!(policy.propensities(&[], &Objective::default(), 1).is_empty());
        let mut router = router(policy);
        let (task, one) = (task(), [Candidate::by_llm("a")]);
        let choice = router.choose(&Request::new(&task, &one, now())).unwrap();
        assert!((choice.decision.propensity - 1.0).abs() < 1e-12);
    }
}

#[test]
fn invalid_propensities_are_not_a_decision() {
    let names = || vec!["a".to_owned(), "b".to_owned()];
    for (propensities, chosen) in [
        (vec![0.5, 0.6], 0),
        (vec![f64::NAN, 1.0], 1),
        (vec![1.5, -0.5], 0),
        (vec![1.0], 0),
        (vec![0.0, 1.0], 0),
        (vec![0.5, 0.5], 2),
    ] {
        assert!(
            Decision::drawn("p", names(), propensities.clone(), chosen).is_err(),
            "{propensities:?} {chosen}"
        );
    }
    let mut decision = Decision::drawn("p", names(), vec![0.25, 0.75], 1).unwrap();
    decision.propensity = 0.25;
    let mut started = devmatrix_ml::event::Started::from(task());
    started.decision = Some(decision);
    let event = GenerationEvent::new(EventId::new("e").unwrap(), now(), started);
    let error = event.into_records().unwrap_err().to_string();
    assert!(error.contains("propensity is 0.25"), "{error}");
}

#[test]
fn learned_state_is_restored() {
    let (task, candidates) = (task(), ["a-1", "b-1", "c-1"].map(Candidate::by_llm));
    for (policy, fresh) in policies().into_iter().zip(policies()) {
        let mut first = router(policy);
        for i in 0..60_i64 {
            let choice = first.choose(&Request::new(&task, &candidates, now())).unwrap();
            let success = choice.decision.chosen == "b-1" || i % 3 == 0;
            first.feedback(&labelled(choice.started(), success));
        }
        let mut second = router(fresh);
        second.restore(&first.save().unwrap()).unwrap();
        for _ in 0..20 {
            let request = Request::new(&task, &candidates, now());
            assert_eq!(first.choose(&request).unwrap(), second.choose(&request).unwrap());
        }
        let bytes = first.save().unwrap();
        assert_eq!(second.restore(&bytes[..bytes.len() / 2]).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let bytes = router(Box::new(Thompson::default())).save().unwrap();
    let error = router(Box::new(Boosted::default())).restore(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
}

#[test]
fn a_router_opened_on_the_store_equals_the_live_one() {
    let candidates = ["a", "b", "c"].map(Candidate::by_llm);
    let mut options = RouterOptions::default();
    options.sticky_sessions = true;
    for at in 0..policies().len() {
        let policy = || policies().remove(at);
        let mut lived = Router::new(policy(), options.clone()).unwrap();
        let store = MemoryStore::new();
        let mut unheard = VecDeque::new();
        for i in 0..60_i64 {
            let moment = |minutes| now() + TimeDelta::minutes(10 * i + minutes);
            let mut task = task();
            task.task_type = Some(["backend", "frontend"][i as usize % 2].into());
            task.session_id = (i % 5 == 0).then(|| SessionId::new(format!("s{}", i % 15)).unwrap());
            let choice = lived.choose(&Request::new(&task, &candidates, moment(0))).unwrap();
            let mut event =
                GenerationEvent::new(EventId::new(format!("e{i}")).unwrap(), moment(0), choice.started());
            let mut done = Completion::default();
            (done.cost_usd, done.generation_time_seconds) = (Some(0.01), Some(20.0));
            lived.completed(&choice.task, &done, moment(1));
            event.completion = Some(Known { known_at: moment(1), value: done });
            // Feedback arrives three tasks later, and never for one in seven.
            let action = if i % 3 == 0 { UserAction::Reject } else { UserAction::Approve };
            event.feedback = vec![Known { known_at: moment(32), value: Feedback::new(action) }];
            if i % 7 == 6 {
                event.feedback.clear();
            }
            unheard.push_back(event);
            if unheard.len() > 3
                && let Some(event) = unheard.pop_front()
            {
                lived.feedback(&event);
                block_on(store.append(event.into_records().unwrap())).unwrap();
            }
        }
        for event in unheard {
            lived.feedback(&event);
            block_on(store.append(event.into_records().unwrap())).unwrap();
        }
        let mut opened = block_on(Router::open(policy(), options.clone(), &store)).unwrap();
        for kind in ["backend", "frontend", "other"] {
            let mut task = task();
            task.task_type = Some(kind.into());
            let request = Request::new(&task, &candidates, now() + TimeDelta::days(1));
            let [before, after] = [&mut lived, &mut opened].map(|router| router.choose(&request).unwrap());
            assert_eq!((&after.arms, &after.decision), (&before.arms, &before.decision));
            assert_eq!(opened.policy().posteriors(&after.arms), lived.policy().posteriors(&after.arms));
        }
        assert_eq!(opened.leaderboard(), lived.leaderboard());
        assert_eq!(opened.policy().save().unwrap(), lived.policy().save().unwrap());
    }
}

#[test]
fn a_session_keeps_the_draw_of_its_first_task() {
    let mut options = RouterOptions::default();
    options.sticky_sessions = true;
    let mut router = Router::new(Box::new(Thompson::default()), options).unwrap();
    let candidates = ["a", "b", "c"].map(Candidate::by_llm);
    for n in 0..40 {
        let mut task = task();
        task.session_id = Some(SessionId::new(format!("s{n}")).unwrap());
        let first = router.choose(&Request::new(&task, &candidates, now())).unwrap().decision;
        assert!(!first.repeated);
        router.feedback(&labelled(task.clone().into(), n % 2 == 0));
        let again = router.choose(&Request::new(&task, &candidates, now())).unwrap().decision;
        assert!(again.repeated);
        let unit = Some(format!("s{n}"));
        assert_eq!((&again.unit, &first.unit), (&unit, &unit));
        assert_eq!(
            (again.chosen, again.propensities, again.propensity),
            (first.chosen.clone(), first.propensities, first.propensity)
        );
        // Where the drawn candidate is gone, the draw is repeated.
        let rest: Vec<_> = candidates.iter().filter(|c| c.name != first.chosen).cloned().collect();
        let other = router.choose(&Request::new(&task, &rest, now())).unwrap().decision;
        assert!(!other.repeated && other.chosen != first.chosen);
    }
}
