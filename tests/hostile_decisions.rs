//! Hostile input to routing, label sampling and templates: rejected with a reason, without side effects.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::ErrorKind;
use devmatrix_ml::event::{Completion, EventId, GenerationEvent, TaskContext, TaskId, TemplateId};
use devmatrix_ml::experimentation::active_learning::{AcquisitionSignals, LabelSampler, LabelSamplerOptions};
use devmatrix_ml::experimentation::retry_policy::{
    BaselinePolicy, LearnedRetryPolicy, RetryLearningOptions, Trajectory, learn_retry_policy,
};
use devmatrix_ml::experimentation::template_variants::{SettingsSpace, TemplateSettings, VariantRegistry};
use devmatrix_ml::models::TemplateCatalogue;
use devmatrix_ml::routing::{
    Arm, Candidate, OnlineParams, POLICIES, Plan, Policy, Request, Router, RouterOptions, Thompson,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};

fn now() -> DateTime<Utc> {
    "2025-03-03T09:00:00Z".parse().unwrap()
}

fn task() -> TaskContext {
    let mut task = TaskContext::new(TaskId::new("t").unwrap());
    (task.task_type, task.model_used) = (Some("backend".into()), Some("a".into()));
    task
}

fn router(policy: impl Policy + 'static) -> Router {
    Router::new(Box::new(policy), RouterOptions::default()).unwrap()
}

fn routers() -> Vec<Router> {
    let created = POLICIES.iter().map(|(_, create)| create(OnlineParams::default()).unwrap());
    created.map(|policy| Router::new(policy, RouterOptions::default()).unwrap()).collect()
}

fn approved(id: usize) -> GenerationEvent {
    GenerationEvent::from_json(&format!(
        r#"{{"event_id":"e{id}","task_id":"t{id}","model_used":"a","started_at":"2025-03-01T10:00:00Z",
            "completed_at":"2025-03-01T11:00:00Z","user_action":"approve"}}"#
    ))
    .unwrap()
}

fn rejection(router: &mut Router, candidates: &[Candidate]) -> String {
    let task = task();
    let error = router.choose(&Request::new(&task, candidates, now())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    format!("{error:#}")
}

#[test]
fn nameless_and_too_many_candidates_are_rejected() {
    let mut router = router(Thompson::default());
    let nameless = [Candidate::new("", Plan::default()), Candidate::by_llm("a")];
    assert!(rejection(&mut router, &nameless).contains("name is empty"));
    let many: Vec<_> = (0..1_001).map(|i| Candidate::by_llm(format!("llm-{i}"))).collect();
    assert!(rejection(&mut router, &many).contains("1001 candidates, expected at most 1000"));
}

#[test]
fn impossible_costs_are_ignored() {
    for mut router in routers() {
        for number in [f64::NAN, f64::INFINITY, f64::MAX, -1e6] {
            let mut done = Completion::default();
            (done.cost_usd, done.generation_time_seconds, done.tokens_used) =
                (Some(number), Some(number), Some(u64::MAX));
            router.completed(&task(), &done, now());
        }
        let candidates = [Candidate::by_llm("a")];
        let choice = router.choose(&Request::new(&task(), &candidates, now())).unwrap();
        assert_eq!((choice.arms[0].cost_usd, choice.arms[0].seconds), (0.01, 30.0));
    }
}

/// Returns the error of choosing after $2 of the day's $1 were spent, by a clock that was at `first` before.
fn spent_by_a_clock(first: &str) -> String {
    let mut options = RouterOptions::default();
    options.objective.usd_per_day = Some(1.0);
    let mut router = Router::new(Box::new(Thompson::default()), options).unwrap();
    router.completed(&task(), &Completion::default(), first.parse().unwrap());
    let mut done = Completion::default();
    done.cost_usd = Some(2.0);
    router.completed(&task(), &done, now());
    let error = router.choose(&Request::new(&task(), &[Candidate::by_llm("a")], now())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    format!("{error:#}")
}

#[test]
fn a_budget_is_kept_after_the_clock_was_set_back() {
    for first in ["2025-03-03T00:00:00Z", "9999-01-01T00:00:00Z"] {
        let error = spent_by_a_clock(first);
        assert!(error.contains("only $0.0000 are left"), "{error}");
    }
}

/// Returns `bytes` truncated, with a flipped bit and with bytes appended.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Pcg64::seed_from_u64(5);
    let cut = (0..bytes.len()).step_by(37).map(|at| bytes[..at].to_vec()).collect::<Vec<_>>();
    let turned = (0..300).map(|_| {
        let mut bytes = bytes.to_vec();
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8_u32);
        bytes
    });
    let turned = turned.collect::<Vec<_>>();
    cut.into_iter().chain(turned).chain([[bytes, &[0]].concat()])
}

#[test]
fn damaged_routers_are_rejected_and_nothing_changes() {
    for (mut router, mut other) in routers().into_iter().zip(routers()) {
        (0..20).for_each(|i| assert!(router.feedback(&approved(i))));
        let kept = router.save().unwrap();
        let before = other.save().unwrap();
        for bytes in damaged(&kept) {
            assert_eq!(other.restore(&bytes).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(other.save().unwrap(), before);
        other.restore(&kept).unwrap();
        assert_eq!(other.save().unwrap(), kept);
    }
}

#[test]
fn policies_are_validated_when_they_are_read() {
    let mut policy = Thompson::default();
    let mut arm = Arm::default();
    arm.features = vec![(3, 1.0)];
    policy.learn(&arm, true);
    let good = serde_json::to_value(&policy).unwrap();
    assert_eq!(serde_json::from_value::<Thompson>(good.clone()).unwrap(), policy);
    for (path, value) in [
        ("/params/samples", json!(4_000_000_000_u32)),
        ("/params/floor", json!(7.0)),
        ("/model/mean", json!([])),
        ("/model/mean/0", json!(1e300)),
        ("/model/covariance", json!([[]])),
        ("/model/residual", json!([])),
        ("/model/places/3", json!(1)),
        ("/model/params/most_weights", json!(1_000_000_000)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = value;
        assert!(serde_json::from_value::<Thompson>(bad).is_err(), "{path}");
    }
}

#[test]
fn label_samplers_are_validated_when_they_are_read() {
    let sampler = LabelSampler::new(LabelSamplerOptions::default()).unwrap();
    let good = serde_json::to_value(&sampler).unwrap();
    assert_eq!(serde_json::from_value::<LabelSampler>(good.clone()).unwrap(), sampler);
    for (path, value) in [
        ("/options/per_day", -5.0),
        ("/options/audit_rate", 7.0),
        ("/options/weights/novelty", -1.0),
        ("/count/volume", 0.0),
        ("/count/asked", -1e300),
        ("/count/seen", 1e300),
        ("/count/mean_value", -1.0),
        ("/count/valued", -1.0),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = json!(value);
        let error = serde_json::from_value::<LabelSampler>(bad).unwrap_err().to_string();
        assert!(error.contains(path.rsplit('/').next().unwrap()), "{path}: {error}");
    }
}

#[test]
fn a_label_sampler_continues_after_the_clock_was_set_back() {
    let mut sampler = LabelSampler::new(LabelSamplerOptions::default()).unwrap();
    let mut ask = |id: &str, at| {
        sampler.consider(&EventId::new(id).unwrap(), &AcquisitionSignals::default(), at).unwrap().propensity
    };
    ask("first", "9999-01-01T00:00:00Z".parse().unwrap());
    for day in 0..60 {
        let propensities = (0..100).map(|i| ask(&format!("{day}-{i}"), now() + TimeDelta::days(day)));
        assert!(propensities.fold(0.0, f64::max) > 0.05, "day {day}");
    }
}

#[test]
fn exhausted_version_numbers_of_templates_are_an_error() {
    let catalogue = TemplateCatalogue::from_json(r#"[{"template_id": "a"}]"#).unwrap();
    let a = TemplateId::new("a").unwrap();
    let mut settings = TemplateSettings::default();
    settings.max_examples = Some(u32::MAX);
    let mut registry = VariantRegistry::of(&catalogue, |_| settings.clone(), now()).unwrap();
    let variant = registry.propose(&a, &SettingsSpace::default(), now(), 1).unwrap().unwrap();
    assert_eq!(registry.get(&variant).unwrap().settings.max_examples, Some(8));
    let mut all = serde_json::to_value(&registry).unwrap();
    let index = all.as_array().unwrap().iter().position(|v| v["number"] == 1).unwrap();
    all[index]["number"] = json!(u32::MAX);
    let mut full: VariantRegistry = serde_json::from_value(all.clone()).unwrap();
    let mut space = SettingsSpace::default();
    space.max_examples = 6;
    let error = full.propose(&a, &space, now(), 1).unwrap_err().to_string();
    assert!(error.contains("no number is left"), "{error}");
    all[index]["log"] = json!([]);
    let error = serde_json::from_value::<VariantRegistry>(all).unwrap_err().to_string();
    assert!(error.contains("its log is empty"), "{error}");
}

fn trajectory(cluster: u64, steps: &Value) -> Trajectory {
    let ending = json!({"success": false, "approved": false, "quality": null});
    serde_json::from_value(json!({"steps": steps, "ending": ending, "cluster": cluster})).unwrap()
}

#[test]
fn a_trajectory_without_steps_is_rejected() {
    let empty = trajectory(1, &json!([]));
    let rule = BaselinePolicy::retry_up_to(3).unwrap();
    let error =
        learn_retry_policy(&[empty], &rule, &RetryLearningOptions::default()).unwrap_err().to_string();
    assert!(error.contains("trajectory 0: 0 steps"), "{error}");
}

#[test]
fn damaged_steps_are_rejected() {
    let step = |name: &str| json!([{"situation": {}, "step": name, "odds": [0.5, 0.0, 0.5, 0.0]}]);
    let trajectories: Vec<_> =
        (0..80).map(|i| trajectory(i, &step(["retry", "ask_human"][i as usize % 2]))).collect();
    let mut options = RetryLearningOptions::default();
    options.forest.trees = 3;
    let rule = BaselinePolicy::retry_up_to(3).unwrap();
    let bytes = learn_retry_policy(&trajectories, &rule, &options).unwrap().policy.to_bytes().unwrap();
    assert!(LearnedRetryPolicy::from_bytes(&bytes).is_ok());
    for bytes in damaged(&bytes) {
        assert_eq!(LearnedRetryPolicy::from_bytes(&bytes).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
