//! Retry policies: learned, evaluated, and only then used.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

#[cfg(test)]
use super::{
    BaselinePolicy, LearnedRetryPolicy, RetryAction, RetryLearningOptions, RetryPolicy, RetryReport,
    RetryState, RetryVerdict, Trajectories, TrajectoryOptions, TrajectoryReward, choose_action,
    compare_retry_policies, learn_retry_policy,
};
use crate::ErrorKind;
use crate::event::{Decision, Feedback, GenerationEvent, Known, UserAction};
use crate::experimentation::off_policy::InsufficientOverlap;
use crate::simulate::{RetryWorld, RetryWorldOptions};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

/// How many runs; `DEVMATRIX_RUNS` asks for more.
fn runs(few: u64) -> u64 {
    std::env::var("DEVMATRIX_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

fn world(seed: u64, all_equal: bool) -> RetryWorld {
    let mut options = RetryWorldOptions::default();
    (options.seed, options.all_equal) = (seed, all_equal);
    RetryWorld::new(options)
}

fn options() -> RetryLearningOptions {
    let mut options = RetryLearningOptions::default();
    options.forest.threads = 1;
    (options.off_policy.folds, options.off_policy.min_effective_rows) = (2, 50.0);
    options
}

/// The rule in force: retry until there were four tries.
fn rule() -> BaselinePolicy {
    BaselinePolicy::retry_up_to(4).unwrap()
}

/// The same, most of its steps drawn evenly.
fn exploring() -> BaselinePolicy {
    rule().exploring(0.7).unwrap()
}

#[test]
fn the_learned_policy_beats_the_rule_in_truth() {
    let (mut better, mut adopted, runs) = (0, 0, runs(3));
    for seed in 0..runs {
        let (world, options) = (world(seed, false), options());
        let past = world.trajectories(&exploring(), 0..4000).unwrap();
        let learning = learn_retry_policy(&past.trajectories, &rule(), &options).unwrap();
        let truth = |policy: &dyn RetryPolicy| world.value(policy, &options.reward, 10_000..10_400);
        let [learned, acts, fixed] =
            [&learning.policy as &dyn RetryPolicy, learning.active(), &rule()].map(truth);
        println!(
            "seed {seed}: learned {learned:.3} $, in force {acts:.3} $, rule {fixed:.3} $; {}",
            learning.report
        );
        // What is not better beyond chance does not act.
        assert!(acts >= fixed, "seed {seed}: {acts} against {fixed}");
        better += u64::from(learned > fixed);
        adopted += u64::from(acts > fixed);
    }
    println!("better in {better} of {runs}, and found to be so in {adopted}");
    assert!(better * 10 >= runs * 9, "{better} of {runs}");
}

#[test]
fn where_all_steps_are_equal_nothing_is_lost() {
    for seed in 0..runs(3) {
        let world = world(seed, true);
        let mut options = options();
        options.reward.usd_per_question = 0.0;
        let past = world.trajectories(&exploring(), 0..3000).unwrap();
        let learning = learn_retry_policy(&past.trajectories, &rule(), &options).unwrap();
        let truth = |policy: &dyn RetryPolicy| world.value(policy, &options.reward, 10_000..10_200);
        let (learned, fixed) = (truth(learning.active()), truth(&rule()));
        println!("seed {seed}: {learned:.4} $ against {fixed:.4} $; {}", learning.report);
        assert!(learned >= 0.99 * fixed, "seed {seed}: {learned} against {fixed}");
    }
}

#[test]
fn intervals_cover_the_truth() {
    let runs = runs(20);
    let (world, options) = (world(3, false), options());
    let explored = |rule: BaselinePolicy, share| rule.exploring(share).unwrap();
    let policy =
        explored(BaselinePolicy::new([RetryAction::SwitchModel, RetryAction::AskHuman]).unwrap(), 0.4);
    let (in_force, logging) = (explored(rule(), 0.5), explored(rule(), 1.0));
    let truth = world.value(&policy, &options.reward, 1_000_000..1_020_000);
    let fixed = world.value(&in_force, &options.reward, 1_000_000..1_005_000);
    let (mut told, mut covered, mut width) = (0, [0; 3], [0.0; 3]);
    for run in 0..runs {
        let past = world.trajectories(&logging, run * 600..(run + 1) * 600).unwrap();
        let report = compare_retry_policies(&past.trajectories, &policy, &in_force, &options).unwrap();
        // Where too few of the episodes went its way, it says so.
        let Some(gain) = report.gain else { continue };
        told += 1;
        let estimate = &report.policy_estimate;
        let found = [
            (estimate.importance.unwrap(), truth),
            (estimate.doubly_robust.unwrap(), truth),
            (gain, truth - fixed),
        ];
        for (at, (interval, truth)) in found.into_iter().enumerate() {
            covered[at] += u64::from(interval.contains(truth));
            width[at] += interval.half_width();
        }
    }
    let width = width.map(|sum| sum / told as f64);
    println!(
        "truth {truth:.3}, of {runs} {told} told: importance, doubly robust, gain covered {covered:?}, ± {width:.3?}"
    );
    assert!(told * 10 >= runs * 9, "{told} of {runs}");
    // At 95 %, fewer than four in five are out of the question.
    assert!(covered.iter().all(|n| n * 5 >= told * 4), "{covered:?} of {told}");
    assert!(width[1] < width[0], "a model makes it narrower: {width:?}");
}

#[test]
fn a_policy_judged_on_its_own_choices_reached_what_it_reached() {
    let past = world(1, false).trajectories(&exploring(), 0..400).unwrap();
    let report = compare_retry_policies(&past.trajectories, &exploring(), &exploring(), &options()).unwrap();
    let found = report.policy_estimate.importance.unwrap();
    assert!((found.value - report.logged).abs() < 1e-9);
    assert!((report.policy_estimate.overlap.effective_rows - past.trajectories.len() as f64).abs() < 1e-6);
    let gain = report.gain.unwrap();
    assert_eq!((gain.value, report.verdict), (0.0, RetryVerdict::Keep));
}

#[test]
fn unsupported_actions_have_no_estimate() {
    let world = world(1, false);
    let past = world.trajectories(&rule(), 0..400).unwrap();
    let ask = BaselinePolicy::new([RetryAction::AskHuman]).unwrap();
    let report = compare_retry_policies(&past.trajectories, &ask, &rule(), &options()).unwrap();
    assert!(
        matches!(report.policy_estimate.insufficient_overlap, Some(InsufficientOverlap::Unsupported { .. })),
        "{report}"
    );
    assert_eq!((report.gain, report.verdict), (None, RetryVerdict::Keep));
    assert!(report.to_string().contains("were never tried"), "{report}");
    // What is learned from it abstains: there is nothing to choose among.
    let learning = learn_retry_policy(&past.trajectories, &rule(), &options()).unwrap();
    let now = RetryState::default();
    assert_eq!(learning.policy.q_values(&now), [None; 4]);
    assert_eq!(learning.policy.propensities(&now), rule().propensities(&now));
    assert!(learning.policy.reason(&now, RetryAction::Retry).contains("too few actions were logged"));
}

#[test]
fn the_same_episodes_give_the_same_bytes_and_bytes_the_same_policy() {
    let past = world(1, false).trajectories(&exploring(), 0..600).unwrap();
    let mut options = options();
    let first = learn_retry_policy(&past.trajectories, &rule(), &options).unwrap();
    options.forest.threads = 3;
    let second = learn_retry_policy(&past.trajectories, &rule(), &options).unwrap();
    let bytes = first.policy.to_bytes().unwrap();
    assert_eq!(bytes, second.policy.to_bytes().unwrap());
    assert_eq!(first.report, second.report);
    let back = LearnedRetryPolicy::from_bytes(&bytes).unwrap();
    assert_eq!((back.name(), back.to_bytes().unwrap()), (first.policy.name(), bytes.clone()));
    for step in past.trajectories.iter().flat_map(|trajectory| &trajectory.steps) {
        assert_eq!(back.propensities(&step.state), first.policy.propensities(&step.state));
    }
    let json = serde_json::to_string(&first.report).unwrap();
    assert_eq!(serde_json::from_str::<RetryReport>(&json).unwrap(), first.report);
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(LearnedRetryPolicy::from_bytes(&bytes[..cut]).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn an_action_has_a_reason() {
    let past = world(1, false).trajectories(&exploring(), 0..2000).unwrap();
    let learning = learn_retry_policy(&past.trajectories, &rule(), &options()).unwrap();
    let now = past.trajectories[0].steps[0].state.clone();
    let (step, decision) = choose_action(&learning.policy, &now, 0.5).unwrap();
    let reason = decision.reason.clone().unwrap();
    assert!(reason.starts_with(&step.to_string()) && reason.contains("after 1 failed attempt"), "{reason}");
    assert_eq!(decision.policy, learning.policy.name());
    assert_eq!(choose_action(&learning.policy, &now, 1.0).unwrap_err().kind(), ErrorKind::InvalidInput);
}

fn moment(hours: i64) -> DateTime<Utc> {
    "2025-03-03T09:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::hours(hours)
}

/// A try of a task; `step` is what was decided upon after it.
fn attempt(task: &str, number: u32, action: Option<UserAction>, step: Option<&str>) -> GenerationEvent {
    let json = format!(
        r#"{{"event_id":"{task}-{number}","task_id":"{task}","attempt":{number},"cost_usd":0.1,"recorded_at":"{}"}}"#,
        moment(i64::from(number)).to_rfc3339()
    );
    let mut event = GenerationEvent::from_json(&json).unwrap();
    if let Some(action) = action {
        let mut said = Feedback::new(action);
        said.next_step = step.map(|step| {
            let names = RetryAction::ALL.map(|step| step.to_string()).to_vec();
            let place = names.iter().position(|name| name == step).unwrap();
            Decision::drawn("test 1", names, vec![0.25; 4], place).unwrap()
        });
        event.feedback.push(Known { known_at: moment(i64::from(number)), value: said });
    }
    event
}

fn read(events: &[GenerationEvent], now: DateTime<Utc>) -> Trajectories {
    use crate::store::{EventStore, MemoryStore};
    let store = MemoryStore::new();
    let records = events.iter().flat_map(|event| event.clone().into_records().unwrap()).collect();
    futures_executor::block_on(async {
        store.append(records).await.unwrap();
        Trajectories::read(&store, &TrajectoryOptions::default(), now).await.unwrap()
    })
}

#[test]
fn stored_attempts_become_trajectories_or_are_skipped_with_a_reason() {
    use UserAction::{Approve, Modify, Reject};
    let events = vec![
        attempt("solved", 0, Some(Reject), Some("retry")),
        attempt("solved", 1, Some(Approve), None),
        attempt("left", 0, Some(Modify), Some("stop")),
        attempt("at once", 0, Some(Approve), None),
        attempt("silent", 0, None, None),
        attempt("no propensities", 0, Some(Reject), None),
        attempt("never made", 0, Some(Reject), Some("switch_model")),
        attempt("after a stop", 0, Some(Reject), Some("stop")),
        attempt("after a stop", 1, Some(Approve), None),
    ];
    let past = read(&events, moment(24 * 40));
    let skipped = past.skipped;
    assert_eq!((skipped.unlabelled, skipped.without_propensity, skipped.unfinished), (1, 1, 1));
    assert_eq!((skipped.no_chain, skipped.young, past.trajectories.len()), (1, 0, 2));
    let reward = TrajectoryReward::default();
    let [left, solved] = &past.trajectories[..] else { panic!("in the order of their names") };
    // Half of a success: taken after changes.
    assert_eq!(left.rewards(&reward), [0.5]);
    assert!((solved.rewards(&reward)[0] - 0.9).abs() < 1e-12, "a success less a try");
    assert_eq!((solved.steps[0].state.tries, solved.steps[0].state.cost_usd), (1, 0.1));
    let young = read(&events, moment(24));
    assert_eq!((young.trajectories.len(), young.skipped.young), (0, 7));
}

#[test]
fn a_step_survives_the_store_and_live_is_what_is_read() {
    use crate::store::{EventStore, MemoryStore};
    let tries = [
        attempt("t", 0, Some(UserAction::Reject), Some("retry")),
        attempt("t", 1, Some(UserAction::Approve), None),
    ];
    let mut failed = tries[0].clone();
    failed.feedback[0].value.next_step = None; // as it is when the host asks
    let live = RetryState::after(&[failed]).unwrap();
    let store = MemoryStore::new();
    futures_executor::block_on(async {
        for event in &tries {
            store.append(event.clone().into_records().unwrap()).await.unwrap();
        }
        let past = Trajectories::read(&store, &TrajectoryOptions::default(), moment(24 * 40)).await.unwrap();
        assert_eq!(past.trajectories[0].steps[0].state, live);
    });
    for event in tries {
        let back = GenerationEvent::from_json(&serde_json::to_string(&event).unwrap()).unwrap();
        assert_eq!(back, event);
    }
}

#[test]
fn bad_input_is_named() {
    let past = world(1, false).trajectories(&exploring(), 0..50).unwrap();
    let refuse = |change: fn(&mut RetryLearningOptions), what: &str| {
        let mut options = options();
        change(&mut options);
        let error = learn_retry_policy(&past.trajectories, &rule(), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(format!("{error:#}").contains(what), "{error}");
    };
    refuse(|o| o.explore = f64::NAN, "explore is NaN");
    refuse(|o| o.min_steps = 0, "min_steps is 0");
    refuse(|o| o.reward.quality_share = 1.5, "quality_share is 1.5");
    refuse(|o| o.reward.usd_per_question = -1.0, "usd_per_question is -1");
    assert!(learn_retry_policy(&[], &rule(), &options()).unwrap_err().to_string().contains("no trajectory"));
    let mut broken = past.trajectories.clone();
    broken[3].steps[0].propensities = [0.5; 4];
    let error = learn_retry_policy(&broken, &rule(), &options()).unwrap_err().to_string();
    assert!(error.contains("trajectory 3") && error.contains("add up to 2"), "{error}");
    assert!(BaselinePolicy::retry_up_to(0).is_err() && rule().exploring(1.1).is_err());
    assert!(BaselinePolicy::new(vec![RetryAction::Retry; 65]).is_err());
    assert!(serde_json::from_str::<BaselinePolicy>(r#"{"steps": [], "explore": 2}"#).is_err());
    assert!(RetryState::after(&[]).is_err());
    let mut options = TrajectoryOptions::default();
    options.window = TimeDelta::zero();
    let store = crate::store::MemoryStore::new();
    assert!(futures_executor::block_on(Trajectories::read(&store, &options, moment(0))).is_err());
}

fn state() -> impl Strategy<Value = RetryState> {
    let score = || proptest::option::of(prop_oneof![0.0..=10.0, Just(f64::NAN), Just(f64::INFINITY)]);
    let names = || proptest::option::of(prop_oneof![Just("backend".to_owned()), any::<String>()]);
    let counts = (any::<u32>(), any::<u32>(), any::<u32>(), any::<bool>());
    (counts, (score(), score(), score()), (names(), names()), any::<f64>()).prop_map(
        |((tries, switched, asked, modified), scores, names, cost)| {
            let mut now = RetryState::default();
            (now.tries, now.switched, now.asked, now.modified) = (tries % 8, switched, asked, modified);
            (now.quality, now.self_review, now.predicted) = scores;
            (now.task_type, now.llm, now.cost_usd) = (names.0, names.1, cost);
            now
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn odds_add_up_to_one_in_any_situation(now in state(), at in 0.0..1.0_f64) {
        static LEARNED: std::sync::OnceLock<LearnedRetryPolicy> = std::sync::OnceLock::new();
        let learned = LEARNED.get_or_init(|| {
            let past = world(1, false).trajectories(&exploring(), 0..600).unwrap();
            learn_retry_policy(&past.trajectories, &rule(), &options()).unwrap().policy
        });
        for policy in [learned as &dyn RetryPolicy, &rule(), &exploring()] {
            let propensities = policy.propensities(&now);
            prop_assert!((propensities.iter().sum::<f64>() - 1.0).abs() < 1e-9 && propensities.iter().all(|p| (0.0..=1.0).contains(p)));
            let (step, decision) = choose_action(policy, &now, at).unwrap();
            prop_assert_eq!(decision.propensity, propensities[RetryAction::ALL.iter().position(|s| *s == step).unwrap()]);
        }
    }

    #[test]
    fn a_rule_is_what_its_json_says(steps in proptest::collection::vec(prop::sample::select(RetryAction::ALL.to_vec()), 0..8), share in 0.0..=1.0_f64) {
        let rule = BaselinePolicy::new(steps).unwrap().exploring(share).unwrap();
        let json = serde_json::to_string(&rule).unwrap();
        prop_assert_eq!(serde_json::from_str::<BaselinePolicy>(&json).unwrap(), rule);
    }
}
