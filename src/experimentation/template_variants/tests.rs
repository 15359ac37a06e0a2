//! Template variants: better ones are found, and chance is not promoted.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

#[cfg(test)]
use super::report::VerdictKind;
use super::{
    EvolutionOptions, EvolutionReport, LoggedTemplates, LoggedTemplatesOptions, SettingsSpace,
    TemplateSettings, Variant, VariantRegistry, VariantStatus,
};
use crate::ErrorKind;
use crate::event::{Completion, Decision, Feedback, GenerationEvent, Known, Started, TemplateId, UserAction};
use crate::models::TemplateCatalogue;
use crate::routing::{Candidate, Objective, Plan, draw};
use crate::simulate::{Generation, Simulator, SimulatorOptions};
use crate::store::{EventStore, MemoryStore};
use chrono::{DateTime, TimeDelta, Utc};
use futures_executor::block_on;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// How many runs; `DEVMATRIX_RUNS` asks for more.
fn runs(few: u64) -> u64 {
    std::env::var("DEVMATRIX_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

fn id(name: &str) -> TemplateId {
    TemplateId::new(name).unwrap()
}

fn now() -> DateTime<Utc> {
    "2025-01-01T00:00:00Z".parse().unwrap()
}

fn catalogue() -> TemplateCatalogue {
    TemplateCatalogue::from_json(
        r#"[{"template_id": "house", "task_types": ["backend"]}, {"template_id": "other", "task_types": ["backend"]},
            {"template_id": "page", "task_types": ["frontend"]}]"#,
    )
    .unwrap()
}

/// Hot, with one example: the world likes it cooler, with more of them.
fn settings() -> TemplateSettings {
    let sections = [("tests".to_owned(), true)].into();
    TemplateSettings { temperature: Some(1.0), max_examples: Some(1), sections }
}

fn registry() -> VariantRegistry {
    VariantRegistry::of(&catalogue(), |_| settings(), now()).unwrap()
}

fn space() -> SettingsSpace {
    let mut space = SettingsSpace::default();
    (space.temperature_step, space.examples_step, space.sections) = (0.4, 2, false);
    space
}

/// Tasks of the simulator, the same for all runs.
fn tasks(seed: u64, count: usize) -> (Simulator, Vec<Generation>) {
    let mut options = SimulatorOptions::default();
    (options.seed, options.per_day, options.drift_day) = (seed, 400.0, None);
    let mut world = Simulator::new(options).unwrap();
    let tasks: Vec<_> = world.by_ref().take(count).collect();
    assert_eq!(tasks.len(), count);
    (world, tasks)
}

/// A run over `tasks`: three variants of `house` are always on trial for three in ten tasks, judged
/// after every 500. `propensities` is the true probability of success of a task done by a candidate.
fn run(
    tasks: &[Generation],
    seed: u64,
    propensities: impl Fn(&Generation, &Candidate) -> f64,
) -> VariantRegistry {
    let mut registry = registry();
    let mut plan = Plan::by_llm("claude-sonnet-4.5");
    plan.template = Some(id("house"));
    let base = Candidate::new("sonnet", plan);
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let (mut events, mut known) = (Vec::new(), Vec::new());
    for (number, task) in tasks.iter().enumerate() {
        let at = task.context.started_at.unwrap();
        if number % 500 == 0 {
            let past = logged(&events, &known, &window(), at + TimeDelta::days(1));
            let report = registry.evaluate(&past, &EvolutionOptions::default()).unwrap();
            registry.apply(&report, at).unwrap();
            keep_three_on_trial(&mut registry, at, rng.random());
        }
        let candidates = registry.candidates(&base);
        candidates.iter().for_each(|new| {
            if known.iter().all(|old: &Candidate| old.name != new.name) {
                known.push(new.clone());
            }
        });
        // A policy that has no opinion.
        let even = vec![1.0 / candidates.len() as f64; candidates.len()];
        let shares = registry.trial_propensities(&candidates, &even, 0.3).unwrap();
        let chosen = draw(&shares, rng.random_range(0.0..1.0)).unwrap();
        let success = rng.random_range(0.0..1.0) < propensities(task, &candidates[chosen]);
        events.push(event(task, &candidates, shares, chosen, success));
    }
    registry
}

/// The generations as read from a store.
fn logged(
    events: &[GenerationEvent],
    candidates: &[Candidate],
    options: &LoggedTemplatesOptions,
    now: DateTime<Utc>,
) -> LoggedTemplates {
    let store = MemoryStore::new();
    let records = events.iter().flat_map(|event| event.clone().into_records().unwrap()).collect();
    block_on(store.append(records)).unwrap();
    block_on(LoggedTemplates::read(&store, candidates, options, now)).unwrap()
}

fn window() -> LoggedTemplatesOptions {
    let mut options = LoggedTemplatesOptions::default();
    options.window = TimeDelta::hours(2);
    options
}

fn keep_three_on_trial(registry: &mut VariantRegistry, at: DateTime<Utc>, seed: u64) {
    for turn in 0..3 {
        let on_trial = registry.iter().filter(|v| v.status() == VariantStatus::Trial).count();
        let best = registry.active(&id("house")).unwrap().id.clone();
        if on_trial < 3
            && let Some(new) = registry.propose(&best, &space(), at, seed ^ turn).unwrap()
        {
            registry.start_trial(&new, at).unwrap();
        }
    }
}

fn event(
    task: &Generation,
    candidates: &[Candidate],
    propensities: Vec<f64>,
    chosen: usize,
    success: bool,
) -> GenerationEvent {
    let at = task.context.started_at.unwrap();
    let mut started = Started::from(candidates[chosen].plan.apply(&task.context));
    let names = candidates.iter().map(|candidate| candidate.name.clone()).collect();
    started.decision = Some(Decision::drawn("even 1", names, propensities, chosen).unwrap());
    let mut event = GenerationEvent::new(task.event_id.clone(), at, started);
    let mut done = Completion::default();
    (done.cost_usd, done.generation_time_seconds) = (Some(0.02), Some(20.0));
    let later = at + TimeDelta::hours(1);
    event.completion = Some(Known { known_at: later, value: done });
    let action = if success { UserAction::Approve } else { UserAction::Reject };
    event.feedback.push(Known { known_at: later, value: Feedback::new(action) });
    event
}

/// The true mean success of settings over the tasks.
fn truth(world: &Simulator, tasks: &[Generation], settings: &TemplateSettings) -> f64 {
    let of = |task: &Generation| world.probability(task, &set(task, settings));
    tasks.iter().map(of).sum::<f64>() / tasks.len() as f64
}

fn set(task: &Generation, settings: &TemplateSettings) -> crate::event::TaskContext {
    let mut plan = Plan::by_llm("claude-sonnet-4.5");
    plan.template = Some(id("house"));
    (plan.temperature, plan.max_examples) = (settings.temperature, settings.max_examples);
    plan.apply(&task.context)
}

#[test]
fn a_better_variant_is_found_and_promoted() {
    let (mut found, runs) = (0, runs(3));
    for seed in 0..runs {
        let (world, tasks) = tasks(seed, 6000);
        let registry = run(&tasks, seed, |task, candidate| {
            world.probability(task, &candidate.plan.apply(&task.context))
        });
        let best = registry.active(&id("house")).unwrap();
        let (before, after) = (truth(&world, &tasks, &settings()), truth(&world, &tasks, &best.settings));
        println!(
            "seed {seed}: success {before:.3} to {after:.3}; {best}, {:?}",
            best.log.last().unwrap().reason
        );
        assert!(best.parent.is_none() || after > before, "only what is better is promoted");
        found += u64::from(after > before);
    }
    assert!(found * 10 >= runs * 6, "{found} of {runs}");
}

#[test]
fn where_all_are_equal_chance_is_not_promoted() {
    let (_, tasks) = tasks(1, 4000);
    let (mut promoted, mut tried, runs) = (0, 0, runs(6));
    for seed in 0..runs {
        let registry = run(&tasks, seed, |task, _| task.probability);
        promoted += u64::from(registry.active(&id("house")).unwrap().parent.is_some());
        tried += registry.iter().filter(|variant| variant.parent.is_some()).count();
    }
    println!("{promoted} of {runs} runs promoted one of {tried} variants");
    // At 5 %, more than two of six has propensities of 1 in 450.
    assert!(promoted <= 2.max(runs * 8 / 100), "{promoted} of {runs}");
}

/// `house` and `other` for tasks of one type; `house` succeeds for 80 %, `other` for `success`.
fn duel(success: f64, propensities: [f64; 2], count: usize) -> EvolutionReport {
    let (_, tasks) = tasks(1, count);
    let with = |name: &str| {
        let mut plan = Plan::default();
        plan.template = Some(id(name));
        Candidate::new(name, plan)
    };
    let candidates = [with("house"), with("other")];
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    let events = tasks.into_iter().map(|mut task| {
        task.context.task_type = Some("backend".into());
        let chosen = usize::from(rng.random_range(0.0..1.0) >= propensities[0]);
        let approved = rng.random_range(0.0..1.0) < [0.8, success][chosen];
        event(&task, &candidates, propensities.to_vec(), chosen, approved)
    });
    let later = now() + TimeDelta::days(400);
    let past = logged(&events.collect::<Vec<_>>(), &candidates, &window(), later);
    registry().evaluate(&past, &EvolutionOptions::default()).unwrap()
}

#[test]
fn a_loser_is_retired_and_the_last_of_a_kind_is_not() {
    let report = duel(0.5, [0.6, 0.4], 1500);
    let verdict = |name: &str| report.verdicts.iter().find(|verdict| verdict.template == id(name)).unwrap();
    assert_eq!(verdict("other").verdict, VerdictKind::Retire, "{report}");
    assert_eq!(verdict("house").verdict, VerdictKind::Continue);
    assert!(verdict("other").reasons[0].starts_with("significantly worse: -0."), "{report}");
    let mut registry = registry();
    assert_eq!(registry.apply(&report, now()).unwrap(), [id("other")]);
    let once = registry.clone();
    assert!(registry.apply(&report, now()).unwrap().is_empty());
    assert_eq!(registry, once, "a report applied twice");
    let error = registry.retire(&id("house"), "", now()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(format!("{error:#}").contains("the last active one for backend"), "{error}");
    registry.start_trial(&id("other"), now()).unwrap();
    assert_eq!(registry.get(&id("other")).unwrap().status(), VariantStatus::Promoted);
    // No difference: nobody is retired.
    assert!(duel(0.8, [0.6, 0.4], 1500).verdicts.iter().all(|v| v.verdict == VerdictKind::Continue));
}

#[test]
fn propensities_do_not_bias_the_comparison_and_the_report_can_be_read() {
    let (even, uneven) = (duel(0.6, [0.5, 0.5], 3000), duel(0.6, [0.9, 0.1], 3000));
    let gap = |report: &EvolutionReport| report.verdicts[0].contrasts[0].difference;
    assert!((gap(&even) - 0.2).abs() < 0.05 && (gap(&uneven) - 0.2).abs() < 0.06, "{even} {uneven}");
    let text = even.to_string();
    assert!(text.contains("house (promoted): continue\n"), "{text}");
    assert!(text.contains(" uses, success 7") || text.contains(" uses, success 8"), "{text}");
    let json = serde_json::to_string(&even).unwrap();
    assert_eq!(serde_json::from_str::<EvolutionReport>(&json).unwrap(), even);
}

#[test]
fn generations_without_propensities_are_counted_and_not_compared() {
    let (_, tasks) = tasks(1, 300);
    let events = tasks.into_iter().map(|mut task| {
        task.context.template_id = Some(id("house"));
        task.into_event()
    });
    let past = logged(
        &events.collect::<Vec<_>>(),
        &[],
        &LoggedTemplatesOptions::default(),
        now() + TimeDelta::days(400),
    );
    let report = registry().evaluate(&past, &EvolutionOptions::default()).unwrap();
    assert!(
        report.without_propensity > 200 && report.records.iter().all(|record| record.quality.is_some()),
        "{report}"
    );
    assert!(report.verdicts.iter().all(|verdict| verdict.contrasts.is_empty()));
    assert!(report.to_string().contains("without stored propensities are counted, not compared"));
}

#[test]
fn a_variant_joins_the_catalogue_and_the_candidates() {
    let mut registry = registry();
    let new = registry.propose(&id("house"), &space(), now(), 3).unwrap().unwrap();
    assert_eq!(registry.catalogue(&catalogue()).unwrap().len(), 3, "a proposal is not used yet");
    registry.start_trial(&new, now()).unwrap();
    let grown = registry.catalogue(&catalogue()).unwrap();
    assert_eq!(grown.get(&new).unwrap().task_types, ["backend"]);
    registry.promote(&new, "better", now()).unwrap();
    assert!(registry.catalogue(&catalogue()).unwrap().get(&id("house")).is_none(), "it was replaced");
    let mut plan = Plan::default();
    plan.template = Some(id("house"));
    let candidates = registry.candidates(&Candidate::new("x", plan));
    let names: Vec<_> = candidates.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["x/house~1"]);
}

#[test]
fn bad_input_is_named() {
    let refuse = |change: fn(&mut EvolutionOptions), what: &str| {
        let mut options = EvolutionOptions::default();
        change(&mut options);
        let error = registry().evaluate(&LoggedTemplates::default(), &options).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && format!("{error:#}").contains(what), "{error}");
    };
    refuse(|o| o.alpha = f64::NAN, "alpha is NaN");
    refuse(|o| o.effect = 0.0, "effect is 0");
    refuse(|o| o.min_uses = 1, "min_uses is 1");
    refuse(
        |o| {
            let mut objective = Objective::default();
            objective.usd_per_success = f64::NAN;
            o.objective = Some(objective);
        },
        "usd_per_success is NaN",
    );
    let mut wide = space();
    wide.temperature_step = f64::INFINITY;
    let error = registry().propose(&id("house"), &wide, now(), 1).unwrap_err();
    assert!(format!("{error:#}").contains("temperature_step is inf"), "{error}");
    assert_eq!(registry().propose(&id("none"), &space(), now(), 1).unwrap_err().kind(), ErrorKind::NotFound);
    let hot = TemplateSettings::default().with_temperature(3.0);
    let error = VariantRegistry::of(&catalogue(), |_| hot.clone(), now()).unwrap_err().to_string();
    assert!(error.contains("temperature is 3"), "{error}");
    let candidates = [Candidate::by_llm("a"), Candidate::by_llm("b")];
    for (propensities, share) in
        [(vec![1.0], 0.1), (vec![0.5, 0.6], 0.1), (vec![f64::NAN, 1.0], 0.1), (vec![0.5, 0.5], 0.6)]
    {
        assert_eq!(
            registry().trial_propensities(&candidates, &propensities, share).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
}

#[test]
fn a_registry_with_a_cycle_is_refused() {
    let mut registry = registry();
    let one = registry.propose(&id("house"), &space(), now(), 1).unwrap().unwrap();
    let two = registry.propose(&one, &space(), now(), 2).unwrap().unwrap();
    let mut all: Vec<Variant> = registry.into();
    all.iter_mut().filter(|variant| variant.id == one).for_each(|variant| variant.parent = Some(two.clone()));
    let error = VariantRegistry::try_from(all).unwrap_err().to_string();
    assert!(error.contains("house~1: its parent is no earlier variant"), "{error}");
}

/// What can be done to a registry.
#[derive(Debug, Clone, Copy)]
enum Act {
    Propose(u64),
    Try,
    Promote,
    Retire,
}

fn acts() -> impl Strategy<Value = Vec<(Act, usize)>> {
    let act = prop_oneof![
        3 => any::<u64>().prop_map(Act::Propose),
        2 => Just(Act::Try),
        1 => Just(Act::Promote),
        2 => Just(Act::Retire),
    ];
    proptest::collection::vec((act, 0..50_usize), 0..40)
}

fn perform(registry: &mut VariantRegistry, act: Act, on: &TemplateId) -> crate::Result<()> {
    match act {
        Act::Propose(seed) => registry.propose(on, &space(), now(), seed).map(|_| ()),
        Act::Try => registry.start_trial(on, now()),
        Act::Promote => registry.promote(on, "test", now()),
        Act::Retire => registry.retire(on, "test", now()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_operations_leave_the_registry_valid(acts in acts()) {
        let mut registry = registry();
        for (act, place) in acts {
            let all: Vec<_> = registry.iter().map(|variant| variant.id.clone()).collect();
            let on = &all[place % all.len()];
            let done = perform(&mut registry, act, on);
            prop_assert!(done.is_ok() || done.unwrap_err().kind() == ErrorKind::Conflict);
            // Twice is once.
            if !matches!(act, Act::Propose(_)) {
                let once = registry.clone();
                let _ = perform(&mut registry, act, on);
                prop_assert_eq!(&registry, &once);
            }
            for kind in ["backend", "frontend"] {
                prop_assert!(registry.iter().any(|v| v.kind == kind && v.status() == VariantStatus::Promoted));
            }
            for root in ["house", "other", "page"] {
                let is_active = |v: &&Variant| v.root == id(root) && v.status() == VariantStatus::Promoted;
                prop_assert!(registry.iter().filter(is_active).count() <= 1);
            }
        }
        let kept: VariantRegistry = serde_json::from_str(&serde_json::to_string(&registry).unwrap()).unwrap();
        prop_assert_eq!(kept, registry);
    }

    #[test]
    fn propensities_with_trials_add_up_to_one(parts in proptest::collection::vec(0.0..1.0_f64, 3), share in 0.0..=0.5_f64) {
        let mut registry = registry();
        for seed in 0..2 {
            let new = registry.propose(&id("house"), &space(), now(), seed).unwrap().unwrap();
            registry.start_trial(&new, now()).unwrap();
        }
        let mut plan = Plan::default();
        plan.template = Some(id("house"));
        let candidates = registry.candidates(&Candidate::new("x", plan));
        let sum: f64 = parts.iter().sum();
        let propensities: Vec<_> = parts.iter().map(|p| if sum > 0.0 { p / sum } else { 1.0 / 3.0 }).collect();
        let shares = registry.trial_propensities(&candidates, &propensities, share).unwrap();
        prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!((shares[1] + shares[2] - share).abs() < 1e-9);
    }
}
