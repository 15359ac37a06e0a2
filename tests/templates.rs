//! Ranking templates: laws that hold for any catalogue, and skill on worlds whose truth is known.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, TimeDelta, Utc};
use common::anything;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::evaluate::{RankingScores, ndcg};
use devmatrix_ml::event::{EventId, Fact, Feedback, Record, TemplateId, UserAction};
use devmatrix_ml::history::{History, SharedHistory};
use devmatrix_ml::models::{
    Status, TEMPLATE_FEATURES, TemplateCatalogue, TemplateDataset, TemplateDatasetBuilder, TemplateParams,
    TemplateProfile, TemplateRanker, TemplateRanking, TemplateTrainer, TemplateView,
};
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Instant;

/// Generations that are learnt from, and those that come after them.
struct World {
    simulator: Simulator,
    generations: Vec<Generation>,
    after: Vec<Generation>,
}

const GENERATIONS: usize = 5_000;

fn world(seed: u64, template_fit: f64) -> World {
    let mut options = SimulatorOptions::default();
    (options.seed, options.per_day, options.template_fit) = (seed, 100.0, template_fit);
    let mut simulator = Simulator::new(options).unwrap();
    let generations = simulator.by_ref().take(GENERATIONS).collect();
    let after = simulator.by_ref().take(900).collect();
    World { simulator, generations, after }
}

fn records(generations: &[Generation]) -> Vec<Record> {
    let all = generations.iter().flat_map(|g| g.clone().into_records().unwrap());
    let mut records: Vec<_> = all.collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    records
}

/// What `records` had taught by `now`: rows to learn from, and the past.
struct Replay {
    data: TemplateDataset,
    history: History,
}

fn replay(catalogue: &TemplateCatalogue, records: &[Record], now: DateTime<Utc>) -> Replay {
    let (mut builder, mut history) = (TemplateDatasetBuilder::new(catalogue.clone()), History::new());
    for record in records.iter().filter(|r| r.known_at() <= now) {
        builder.apply(record);
        history.apply(record);
    }
    Replay { data: builder.rows(now), history }
}

fn start_of(generation: &Generation) -> DateTime<Utc> {
    generation.context.started_at.unwrap()
}

/// How well scores order the templates (ascending by id) by their true odds: NDCG@3 with relevances 0
/// to 3 between the worst and the best template of each task. The oracle has 1.
fn skill(world: &World, scores: impl Fn(&Generation) -> Vec<f64>) -> f64 {
    let ids: Vec<_> = world.simulator.templates().iter().map(|t| t.template_id.clone()).collect();
    let of_task = |generation: &Generation| {
        let odds = |id: &TemplateId| {
            let mut context = generation.context.clone();
            context.template_id = Some(id.clone());
            world.simulator.odds(generation, &context)
        };
        let odds: Vec<_> = ids.iter().map(odds).collect();
        let (low, high) = odds.iter().fold((1.0_f64, 0.0_f64), |(l, h), p| (l.min(*p), h.max(*p)));
        let relevances: Vec<_> = odds.iter().map(|p| 3.0 * (p - low) / (high - low)).collect();
        ndcg(&scores(generation), &relevances, 3).unwrap().unwrap()
    };
    world.after[..400].iter().map(of_task).sum::<f64>() / 400.0
}

/// The skill of `ranker` with what was known when the learning ended.
fn skill_of(world: &World, ranker: &TemplateRanker, history: &History, now: DateTime<Utc>) -> f64 {
    let catalogue = world.simulator.templates();
    skill(world, |generation| {
        let view = TemplateView::of(history, &generation.context, &catalogue, now);
        let mut ranked = ranker.rank(&generation.context, &view, &catalogue).ranked;
        ranked.sort_by(|a, b| a.template_id.cmp(&b.template_id));
        ranked.iter().map(|template| template.score).collect()
    })
}

#[test]
fn five_thousand_generations_teach_nine_tenths_of_the_oracles_order() {
    for (seed, template_fit) in [(7, 0.0), (8, 0.0), (7, 1.0), (8, 1.0)] {
        let world = world(seed, template_fit);
        let now = start_of(&world.after[0]);
        let past = replay(&world.simulator.templates(), &records(&world.generations), now);
        let data = &past.data;
        let ranker = TemplateTrainer::default().fit(data).unwrap();
        let fitted = skill_of(&world, &ranker, &past.history, now);
        let prior = skill_of(&world, &TemplateRanker::prior(), &past.history, now);
        let random = skill(&world, |_| vec![0.0; 12]);
        println!(
            "seed {seed}, template_fit {template_fit}: {} rows, NDCG@3 {fitted:.3}, prior {prior:.3}, random {random:.3}",
            data.rows.len()
        );
        assert!(fitted >= 0.9 && random < 0.5, "{fitted} {prior} {random}");
    }
}

/// Generations with the verdicts of others: nothing can be learnt from them.
fn shuffled(generations: &[Generation], seed: u64) -> Vec<Generation> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut verdicts: Vec<_> = generations.iter().map(|g| g.feedback.clone().map(|(_, f)| f)).collect();
    for i in (1..verdicts.len()).rev() {
        verdicts.swap(i, rng.random_range(0..=i));
    }
    let with = |(generation, verdict): (&Generation, Option<Feedback>)| {
        let mut generation = generation.clone();
        let ended = generation.completion.completed_at.unwrap();
        let at = generation.feedback.as_ref().map_or(ended + TimeDelta::hours(2), |(at, _)| *at);
        generation.feedback = verdict.map(|verdict| (at, verdict));
        generation
    };
    generations.iter().zip(verdicts).map(with).collect()
}

/// NDCG@3 on the last fifth of outcomes, learnt from the rest: of the ranker, and of a random order.
fn on_held_out(catalogue: &TemplateCatalogue, generations: &[Generation]) -> (f64, f64) {
    let records = records(generations);
    let then = start_of(&generations[generations.len() * 4 / 5]);
    let earlier = replay(catalogue, &records, then).data;
    let ranker = TemplateTrainer::default().fit(&earlier).unwrap();
    let end = records.last().unwrap().known_at();
    let mut later = replay(catalogue, &records, end).data;
    later.rows.retain(|row| row.started_at >= then);
    let groups = later.groups();
    let rows: Vec<_> = groups.iter().flatten().map(|at| &later.rows[*at]).collect();
    let sizes: Vec<_> = groups.iter().map(Vec::len).collect();
    let relevances: Vec<_> = rows.iter().map(|row| f64::from(row.relevance)).collect();
    let points: Vec<_> = rows.iter().map(|row| ranker.point(&row.features)).collect();
    let ndcg = |scores: &[f64]| RankingScores::of(scores, &relevances, &sizes).unwrap().ndcg_3;
    (ndcg(&points), ndcg(&vec![0.0; rows.len()]))
}

#[test]
fn shuffled_outcomes_teach_no_order() {
    let mut mean = [0.0; 4];
    let seeds = [31, 32, 33, 34, 35, 36];
    for seed in seeds {
        let world = world(seed, 1.0);
        let catalogue = world.simulator.templates();
        let noise = shuffled(&world.generations, seed);
        let (fitted, random) = on_held_out(&catalogue, &world.generations);
        let (of_noise, random_noise) = on_held_out(&catalogue, &noise);
        for (sum, v) in mean.iter_mut().zip([fitted, random, of_noise, random_noise]) {
            *sum += v / seeds.len() as f64;
        }
    }
    println!(
        "NDCG@3 of outcomes {:.3}, random {:.3}; shuffled {:.3}, random {:.3}",
        mean[0], mean[1], mean[2], mean[3]
    );
    assert!(mean[0] > mean[1] + 0.03, "{mean:?}");
    assert!((mean[2] - mean[3]).abs() < 0.03, "{mean:?}");
}

/// A host with many templates, each tried seldom: what counts is whether the task is about what the
/// template is about.
fn topics(seed: u64, generations: u64) -> (TemplateCatalogue, Vec<Record>) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let topic = |i: u32| format!("topic{i}");
    let profile = |i: u32| {
        TemplateProfile::new(TemplateId::new(format!("t{i:02}")).unwrap())
            .described(format!("Builds what belongs to {}", topic(i % 10)))
            .tagged([topic(i % 10)])
    };
    let catalogue = TemplateCatalogue::new((0..60).map(profile)).unwrap();
    let mut records = Vec::new();
    for number in 0..generations {
        let (template, about) = (rng.random_range(0..60), rng.random_range(0..10));
        let mut task = common::task(&format!("task{number}"));
        task.task_description = format!("Please add what we need for {}", topic(about));
        task.template_id = Some(TemplateId::new(format!("t{template:02}")).unwrap());
        let success = rng.random_bool(if template % 10 == about { 0.85 } else { 0.45 });
        let start: DateTime<Utc> = "2025-03-03T08:00:00Z".parse().unwrap();
        let start = start + TimeDelta::minutes(15 * number as i64);
        let id = EventId::new(format!("e{number}")).unwrap();
        let action = if success { UserAction::Approve } else { UserAction::Reject };
        records.push(Record::new(id.clone(), start, Fact::Started(Box::new(task.into()))).unwrap());
        let said = Fact::Feedback(Box::new(Feedback::new(action)));
        records.push(Record::new(id, start + TimeDelta::minutes(5), said).unwrap());
    }
    (catalogue, records)
}

/// The share of the first six templates that are about what the task is about.
fn topical_share(
    ranker: &TemplateRanker,
    catalogue: &TemplateCatalogue,
    history: &History,
    now: DateTime<Utc>,
) -> f64 {
    let of_topic = |about: u32| {
        let mut task = common::task("next");
        task.task_description = format!("Please add what we need for topic{about}");
        let view = TemplateView::of(history, &task, catalogue, now);
        let first = &ranker.rank(&task, &view, catalogue).ranked[..6];
        let number = |id: &TemplateId| id.as_str()[1..].parse::<u32>().unwrap();
        first.iter().filter(|t| number(&t.template_id) % 10 == about).count()
    };
    (0..10).map(of_topic).sum::<usize>() as f64 / 60.0
}

#[test]
fn what_the_past_alone_does_not_show_is_learnt_from_the_profiles() {
    let (catalogue, records) = topics(1, 4_000);
    let now = records.last().unwrap().known_at();
    let past = replay(&catalogue, &records, now);
    let ranker = TemplateTrainer::default().fit(&past.data).unwrap();
    let fitting = |ranker| topical_share(ranker, &catalogue, &past.history, now);
    let (fitted, prior) = (fitting(&ranker), fitting(&TemplateRanker::prior()));
    println!("share of the first six that are about the task: fitted {fitted:.2}, prior {prior:.2}");
    assert!(ranker.correction_share() > 0.0 && fitted > 0.8 && fitted > prior + 0.2, "{fitted} {prior}");
}

/// A host that always uses the first template and gets new ones; how many eligible tasks each of them
/// waits for its first place.
fn waits(world: &World, ranker: &TemplateRanker, newcomers: u32, related_to_failure: bool) -> Vec<u32> {
    let now = start_of(&world.after[0]);
    let created = start_of(&world.after[150]);
    let new_id = |i: u32| TemplateId::new(format!("a-new-{i}")).unwrap();
    let of_kind = |id| TemplateProfile::new(id).for_task_types(["database"]).tagged(["legacy"]);
    let newcomers_profiles = (0..newcomers).map(|i| of_kind(new_id(i)).created_at(created));
    let bad = TemplateId::new("legacy-schema").unwrap();
    let old = world.simulator.templates();
    let all = old.iter().cloned().chain([of_kind(bad.clone())]).chain(newcomers_profiles);
    let catalogue = TemplateCatalogue::new(all).unwrap();
    let mut history = History::new();
    let mut known = world.generations.clone();
    // Their closest relative fails always: nothing speaks for them but that they are new.
    if related_to_failure {
        for generation in
            known.iter_mut().filter(|g| g.context.task_type.as_deref() == Some("database")).take(200)
        {
            generation.context.template_id = Some(bad.clone());
            generation.feedback.iter_mut().for_each(|(_, said)| *said = Feedback::new(UserAction::Reject));
        }
    }
    let known = records(&known).into_iter().filter(|r| r.known_at() < now);
    known.for_each(|record| history.apply(&record));
    let mut waits = vec![None; newcomers as usize];
    let mut eligible = 0;
    for generation in &world.after {
        let (task, at) = (&generation.context, start_of(generation));
        let view = TemplateView::of(&history, task, &catalogue, at);
        let best = ranker.rank(task, &view, &catalogue).ranked[0].template_id.clone();
        eligible += u32::from(at >= created && task.task_type.as_deref() == Some("database"));
        if let Some(i) = (0..newcomers).find(|i| new_id(*i) == best) {
            waits[i as usize].get_or_insert(eligible);
        }
        let mut used = generation.clone();
        used.context.template_id = Some(best);
        // Only its start: verdicts come later than all these tasks.
        history.apply(&used.into_records().unwrap()[0]);
    }
    waits.into_iter().map(|wait| wait.unwrap_or(u32::MAX)).collect()
}

#[test]
fn a_new_template_stands_first_within_fifty_eligible_tasks() {
    let world = world(41, 0.0);
    let fitted = TemplateTrainer::default().fit(&learnt().data).unwrap();
    for ranker in [&fitted, &TemplateRanker::prior()] {
        for (newcomers, related_to_failure) in [(1, false), (25, false), (1, true), (25, true)] {
            let waits = waits(&world, ranker, newcomers, related_to_failure);
            println!("{newcomers} new templates ({related_to_failure}) wait {waits:?} eligible tasks");
            assert!(waits.iter().all(|wait| *wait <= 50), "{waits:?}");
            assert!(!related_to_failure || waits.iter().all(|wait| *wait > 10), "{waits:?}");
        }
    }
}

/// What a small world teaches.
fn learnt() -> Replay {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.seed) = (30, 30.0, 51);
    let simulator = Simulator::new(options).unwrap();
    let catalogue = simulator.templates();
    let records = records(&simulator.collect::<Vec<_>>());
    let now = records.last().unwrap().known_at();
    replay(&catalogue, &records, now)
}

static LEARNT: LazyLock<(TemplateRanker, Replay)> = LazyLock::new(|| {
    let past = learnt();
    (TemplateTrainer::default().fit(&past.data).unwrap(), past)
});

/// After all that was learnt.
fn later() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// What holds of every ranking.
fn check_law(ranking: &TemplateRanking, catalogue: &TemplateCatalogue, now: DateTime<Utc>) {
    let exist = |t: &&TemplateProfile| t.created_at.is_none_or(|at| at <= now);
    let expected: BTreeSet<_> = catalogue.iter().filter(exist).map(|t| &t.template_id).collect();
    let found: BTreeSet<_> = ranking.ranked.iter().map(|t| &t.template_id).collect();
    assert_eq!(found, expected);
    assert_eq!(ranking.ranked.len(), expected.len());
    for (i, template) in ranking.ranked.iter().enumerate() {
        assert_eq!(template.rank, i + 1);
        assert!(template.score.is_finite() && !template.sentence.is_empty());
        assert!(template.exploration >= 0.0 && (template.exploration == 0.0 || template.is_new));
        let sum: f64 = template.contributions.iter().map(|c| c.contribution).sum();
        let p = 1.0 / (1.0 + (-(template.base + sum)).exp());
        assert!((p + template.exploration - template.score).abs() < 1e-4, "{template:?}");
    }
    let ordered = ranking.ranked.windows(2).all(|w| {
        w[0].score > w[1].score || (w[0].score == w[1].score && w[0].template_id < w[1].template_id)
    });
    assert!(ordered, "{:?}", ranking.ranked);
}

fn names() -> impl Strategy<Value = Vec<String>> {
    let known = prop::sample::select(vec!["backend", "Frontend", "python", "react", "rest"]);
    prop::collection::vec(prop_oneof![known.prop_map(str::to_owned), "[a-zß ]{0,6}x"], 0..4)
}

fn profiles() -> impl Strategy<Value = Vec<TemplateProfile>> {
    let known = prop::sample::select(vec!["rest-crud", "form-page", "unit-suite"]).prop_map(str::to_owned);
    let id = prop_oneof![known, "[a-z]{1,3}"];
    let when = prop::option::of(prop::sample::select(vec!["2025-01-10T00:00:00Z", "2031-01-10T00:00:00Z"]));
    let profile = (id, ".{0,40}", (names(), names(), names(), names()), prop::option::of(0.0..=10.0), when);
    let made = profile.prop_map(|(id, text, lists, complexity, when)| {
        let mut profile = TemplateProfile::new(TemplateId::new(id).unwrap()).described(text);
        (profile.task_types, profile.languages, profile.frameworks, profile.tags) = lists;
        profile.complexity = complexity;
        profile.created_at = when.map(|when| when.parse().unwrap());
        profile
    });
    prop::collection::vec(made, 0..12).prop_map(|mut all| {
        let mut seen = BTreeSet::new();
        all.retain(|profile| seen.insert(profile.template_id.clone()));
        all
    })
}

proptest! {
    #[test]
    fn a_ranking_is_a_permutation_and_the_catalogues_order_changes_nothing(
        profiles in profiles(),
        task in anything::context(),
    ) {
        let catalogue = TemplateCatalogue::new(profiles.clone()).unwrap();
        let mut other: Vec<_> = profiles;
        other.reverse();
        let other = TemplateCatalogue::new(other).unwrap();
        let (fitted, past) = &*LEARNT;
        for ranker in [fitted, &TemplateRanker::prior()] {
            for history in [&past.history, &History::new()] {
                let rank = |catalogue: &TemplateCatalogue| {
                    let view = TemplateView::of(history, &task, catalogue, later());
                    ranker.rank(&task, &view, catalogue)
                };
                let ranking = rank(&catalogue);
                check_law(&ranking, &catalogue, later());
                prop_assert_eq!(rank(&other), ranking);
            }
        }
    }
}

#[test]
fn the_ladder_says_on_which_rung_it_stands() {
    let (fitted, past) = &*LEARNT;
    let task = common::task("t");
    let catalogue = Simulator::new(SimulatorOptions::default()).unwrap().templates();
    let status = |ranker: &TemplateRanker, history: &History| {
        ranker.rank(&task, &TemplateView::of(history, &task, &catalogue, later()), &catalogue).status
    };
    assert_eq!(status(fitted, &past.history), Status::Calibrated);
    assert_eq!(status(&TemplateRanker::prior(), &past.history), Status::ColdStart);
    assert_eq!(status(&TemplateRanker::prior(), &History::new()), Status::InsufficientEvidence);
    let empty = TemplateCatalogue::default();
    let none = fitted.rank(&task, &TemplateView::of(&past.history, &task, &empty, later()), &empty);
    assert!(none.best().is_none() && none.notes[0].contains("no template"));
    // Asked about other templates than were looked up, it ranks them as unknown.
    let view = TemplateView::of(&past.history, &task, &empty, later());
    check_law(&fitted.rank(&task, &view, &catalogue), &catalogue, later());
}

#[test]
fn too_little_to_learn_from_is_said_with_numbers() {
    let data = learnt().data;
    let fit = |rows: Vec<_>| {
        let data = TemplateDataset { rows, schema: data.schema };
        TemplateTrainer::default().fit(&data).map_err(|e| e.kind())
    };
    let kind = |have, need| Some(ErrorKind::NotEnoughData { have, need });
    assert_eq!(fit(Vec::new()).err(), kind(0, 100));
    assert_eq!(fit(data.rows[..99].to_vec()).err(), kind(99, 100));
    let one = data.rows[0].template_id.clone();
    let mut rows = data.rows.clone();
    rows.iter_mut().for_each(|row| row.template_id = one.clone());
    assert_eq!(fit(rows).err(), kind(1, 2));
    let mut rows = data.rows.clone();
    rows.iter_mut().for_each(|row| row.relevance = 3);
    assert_eq!(fit(rows).err(), kind(0, 1));
    let other = TemplateDataset { rows: data.rows.clone(), schema: 1 };
    assert_eq!(TemplateTrainer::default().fit(&other).unwrap_err().kind(), ErrorKind::Incompatible);
    let mut params = TemplateParams::default();
    params.most_copies = 0;
    assert!(TemplateTrainer::new(params).unwrap_err().to_string().contains("most_copies is 0"));
}

#[test]
fn the_same_rows_give_the_same_bytes_on_any_number_of_threads() {
    let (ranker, data) = (&LEARNT.0, learnt().data);
    let bytes = ranker.to_bytes().unwrap();
    for threads in [1, 4] {
        let mut params = TemplateParams::default();
        params.boost.threads = threads;
        let again = TemplateTrainer::new(params).unwrap().fit(&data).unwrap();
        assert!(again.to_bytes().unwrap() == bytes);
    }
    let back = TemplateRanker::from_bytes(&bytes).unwrap();
    assert!(back.to_bytes().unwrap() == bytes);
    data.rows.iter().for_each(|row| assert_eq!(back.point(&row.features), ranker.point(&row.features)));
    let prior = TemplateRanker::prior().to_bytes().unwrap();
    assert_eq!(TemplateRanker::from_bytes(&prior).unwrap().to_bytes().unwrap(), prior);
}

#[test]
fn damaged_bytes_are_an_error_or_a_ranker_that_ranks() {
    let (ranker, past) = &*LEARNT;
    let bytes = ranker.to_bytes().unwrap();
    let kind = |bytes: &[u8]| TemplateRanker::from_bytes(bytes).unwrap_err().kind();
    assert_eq!((kind(&[]), kind(&bytes[..bytes.len() / 2])), (ErrorKind::Corrupt, ErrorKind::Corrupt));
    assert_eq!(kind(&[bytes.as_slice(), &[0]].concat()), ErrorKind::Corrupt);
    let mut other = bytes.clone();
    other[0] ^= 1;
    assert_eq!(kind(&other), ErrorKind::Incompatible);
    let task = common::task("t");
    let catalogue = Simulator::new(SimulatorOptions::default()).unwrap().templates();
    let view = TemplateView::of(&past.history, &task, &catalogue, later());
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let mut opened = 0;
    for _ in 0..2_000 {
        let mut bytes = bytes.clone();
        for _ in 0..rng.random_range(1..=3) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.next_u32() as u8;
        }
        if let Ok(ranker) = TemplateRanker::from_bytes(&bytes) {
            let ranking = ranker.rank(&task, &view, &catalogue);
            assert!(ranking.ranked.iter().all(|t| t.score.is_finite()));
            assert_eq!(ranking.ranked.len(), catalogue.len());
            opened += 1;
        }
    }
    println!("{opened} of 2000 damaged rankers opened");
}

#[test]
fn a_history_that_grows_shows_the_same() {
    let (_, past) = &*LEARNT;
    let shared = SharedHistory::new();
    let (catalogue, records) = topics(2, 50);
    shared.apply(&records);
    let mut history = History::new();
    records.iter().for_each(|record| history.apply(record));
    let task = common::task("t");
    let of_shared = TemplateView::of_shared(&shared, &task, &catalogue, later());
    assert_eq!(of_shared, TemplateView::of(&history, &task, &catalogue, later()));
    assert_eq!(of_shared.now(), later());
    assert!(past.history.len() > 500);
}

/// A row is made from what was known at its start: what comes later changes none of its features.
#[test]
fn rows_look_at_nothing_that_came_later() {
    let (catalogue, records) = topics(3, 120);
    let half = records[records.len() / 2].known_at();
    let end = records.last().unwrap().known_at();
    let (early, late) = (replay(&catalogue, &records, half).data, replay(&catalogue, &records, end).data);
    assert!(early.rows.len() > 40 && late.rows.len() == 120);
    for (a, b) in early.rows.iter().zip(&late.rows) {
        let bits = |row: &[f32]| row.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((&a.event_id, bits(&a.features)), (&b.event_id, bits(&b.features)));
        assert_eq!(a.features.len(), TEMPLATE_FEATURES.len());
    }
}

#[test]
#[ignore = "a measurement: run it with --release --nocapture"]
fn speed() {
    let world = world(61, 0.0);
    let records = records(&world.generations);
    let now = start_of(&world.after[0]);
    let begun = Instant::now();
    let past = replay(&world.simulator.templates(), &records, now);
    println!("replay of {} facts: {:.2} s", records.len(), begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let ranker = TemplateTrainer::default().fit(&past.data).unwrap();
    println!("fit on {} rows: {:.2} s", past.data.rows.len(), begun.elapsed().as_secs_f64());
    let many = (0..200)
        .map(|i| TemplateProfile::new(TemplateId::new(format!("t{i}")).unwrap()).for_task_types(["backend"]));
    for catalogue in [world.simulator.templates(), TemplateCatalogue::new(many).unwrap()] {
        let begun = Instant::now();
        for generation in &world.after {
            let view = TemplateView::of(&past.history, &generation.context, &catalogue, now);
            std::hint::black_box(ranker.rank(&generation.context, &view, &catalogue));
        }
        let micros = begun.elapsed().as_secs_f64() * 1e6 / world.after.len() as f64;
        println!("ranking {} templates: {micros:.0} µs", catalogue.len());
    }
}
