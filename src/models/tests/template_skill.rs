//! Ranking skill in worlds with known probabilities, and exploration of cold-start templates.

#[cfg(test)]
use super::template_worlds::{learned, records, replay, topics};
use crate::event::{Feedback, TemplateId, UserAction};
use crate::history::History;
use crate::ml::metrics::{RankingScores, ndcg};
use crate::models::{
    Predictor, TemplateCatalogue, TemplateProfile, TemplateRanker, TemplateTrainer, TemplateView, Trainer,
};
use crate::simulate::{Generation, Simulator, SimulatorOptions};
use chrono::{DateTime, TimeDelta, Utc};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::time::Instant;

/// Generations of the training set, and later ones.
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

fn start_of(generation: &Generation) -> DateTime<Utc> {
    generation.context.started_at.unwrap()
}

/// Returns the NDCG@3 of scores of the templates (ascending by id), with relevances 0 to 3 by true probability
/// between the worst and the best template of each task. The oracle has 1.
fn skill(world: &World, scores: impl Fn(&Generation) -> Vec<f64>) -> f64 {
    let ids: Vec<_> = world.simulator.templates().iter().map(|t| t.template_id.clone()).collect();
    let of_task = |generation: &Generation| {
        let probabilities = |id: &TemplateId| {
            let mut context = generation.context.clone();
            context.template_id = Some(id.clone());
            world.simulator.probability(generation, &context)
        };
        let probabilities: Vec<_> = ids.iter().map(probabilities).collect();
        let (low, high) = probabilities.iter().fold((1.0_f64, 0.0_f64), |(l, h), p| (l.min(*p), h.max(*p)));
        let relevances: Vec<_> = probabilities.iter().map(|p| 3.0 * (p - low) / (high - low)).collect();
        ndcg(&scores(generation), &relevances, 3).unwrap().unwrap()
    };
    world.after[..400].iter().map(of_task).sum::<f64>() / 400.0
}

/// Returns the skill of `ranker` with the history at the end of the training set.
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
fn five_thousand_generations_reach_nine_tenths_of_the_oracles_ndcg() {
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
            data.examples.len()
        );
        assert!(fitted >= 0.9 && random < 0.5, "{fitted} {prior} {random}");
    }
}

/// Permutes the verdicts of the generations: nothing can be learned from them.
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

/// Returns NDCG@3 on the newest fifth of outcomes, of a ranker trained on the rest and of a random order.
fn on_held_out(catalogue: &TemplateCatalogue, generations: &[Generation]) -> (f64, f64) {
    let records = records(generations);
    let then = start_of(&generations[generations.len() * 4 / 5]);
    let earlier = replay(catalogue, &records, then).data;
    let ranker = TemplateTrainer::default().fit(&earlier).unwrap();
    let end = records.last().unwrap().known_at();
    let mut later = replay(catalogue, &records, end).data;
    later.examples.retain(|row| row.started_at >= then);
    let groups = later.groups();
    let rows: Vec<_> = groups.iter().flatten().map(|at| &later.examples[*at]).collect();
    let sizes: Vec<_> = groups.iter().map(Vec::len).collect();
    let relevances: Vec<_> = rows.iter().map(|row| row.label).collect();
    let points: Vec<_> = rows.iter().map(|row| ranker.point(&row.features)).collect();
    let ndcg = |scores: &[f64]| RankingScores::of(scores, &relevances, &sizes).unwrap().ndcg_3;
    (ndcg(&points), ndcg(&vec![0.0; rows.len()]))
}

#[test]
fn shuffled_outcomes_leave_no_ranking_skill() {
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

/// Returns the share of the first six templates that have the task's topic.
fn topical_share(
    ranker: &TemplateRanker,
    catalogue: &TemplateCatalogue,
    history: &History,
    now: DateTime<Utc>,
) -> f64 {
    let of_topic = |about: u32| {
        let mut task = crate::common::task("next");
        task.task_description = format!("Please add what we need for topic{about}");
        let view = TemplateView::of(history, &task, catalogue, now);
        let first = &ranker.rank(&task, &view, catalogue).ranked[..6];
        let number = |id: &TemplateId| id.as_str()[1..].parse::<u32>().unwrap();
        first.iter().filter(|t| number(&t.template_id) % 10 == about).count()
    };
    (0..10).map(of_topic).sum::<usize>() as f64 / 60.0
}

#[test]
fn unseen_templates_are_ranked_by_their_profiles() {
    let (catalogue, records) = topics(1, 4_000);
    let now = records.last().unwrap().known_at();
    let past = replay(&catalogue, &records, now);
    let ranker = TemplateTrainer::default().fit(&past.data).unwrap();
    let fitting = |ranker| topical_share(ranker, &catalogue, &past.history, now);
    let (fitted, prior) = (fitting(&ranker), fitting(&TemplateRanker::prior()));
    println!("share of the first six with the task's topic: fitted {fitted:.2}, prior {prior:.2}");
    assert!(ranker.correction_share() > 0.0 && fitted > 0.8 && fitted > prior + 0.2, "{fitted} {prior}");
}

/// Simulates a host that always uses the first template and adds cold-start ones; returns how many eligible tasks
/// each of them waits until it is ranked first.
fn waits(world: &World, ranker: &TemplateRanker, cold_start: u32, related_to_failure: bool) -> Vec<u32> {
    let now = start_of(&world.after[0]);
    let created = start_of(&world.after[150]);
    let new_id = |i: u32| TemplateId::new(format!("a-new-{i}")).unwrap();
    let of_kind = |id| TemplateProfile::new(id).for_task_types(["database"]).tagged(["legacy"]);
    let new_profiles = (0..cold_start).map(|i| of_kind(new_id(i)).created_at(created));
    let bad = TemplateId::new("legacy-schema").unwrap();
    let old = world.simulator.templates();
    let all = old.iter().cloned().chain([of_kind(bad.clone())]).chain(new_profiles);
    let catalogue = TemplateCatalogue::new(all).unwrap();
    let mut history = History::new();
    let mut known = world.generations.clone();
    // Their most similar template always fails: only exploration favors them.
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
    let mut waits = vec![None; cold_start as usize];
    let mut eligible = 0;
    for generation in &world.after {
        let (task, at) = (&generation.context, start_of(generation));
        let view = TemplateView::of(&history, task, &catalogue, at);
        let best = ranker.rank(task, &view, &catalogue).ranked[0].template_id.clone();
        eligible += u32::from(at >= created && task.task_type.as_deref() == Some("database"));
        if let Some(i) = (0..cold_start).find(|i| new_id(*i) == best) {
            waits[i as usize].get_or_insert(eligible);
        }
        let mut used = generation.clone();
        used.context.template_id = Some(best);
        // Only its start: verdicts arrive after all these tasks.
        history.apply(&used.into_records().unwrap()[0]);
    }
    waits.into_iter().map(|wait| wait.unwrap_or(u32::MAX)).collect()
}

#[test]
fn a_cold_start_template_is_ranked_first_within_fifty_eligible_tasks() {
    let world = world(41, 0.0);
    let fitted = TemplateTrainer::default().fit(&learned().data).unwrap();
    for ranker in [&fitted, &TemplateRanker::prior()] {
        for (cold_start, related_to_failure) in [(1, false), (25, false), (1, true), (25, true)] {
            let waits = waits(&world, ranker, cold_start, related_to_failure);
            println!(
                "{cold_start} cold-start templates ({related_to_failure}) wait {waits:?} eligible tasks"
            );
            assert!(waits.iter().all(|wait| *wait <= 50), "{waits:?}");
            assert!(!related_to_failure || waits.iter().all(|wait| *wait > 10), "{waits:?}");
        }
    }
}

#[test]
#[ignore = "a measurement: run it with --release --nocapture"]
fn speed() {
    let world = world(61, 0.0);
    let records = records(&world.generations);
    let now = start_of(&world.after[0]);
    let timer = Instant::now();
    let past = replay(&world.simulator.templates(), &records, now);
    println!("replay of {} facts: {:.2} s", records.len(), timer.elapsed().as_secs_f64());
    let timer = Instant::now();
    let ranker = TemplateTrainer::default().fit(&past.data).unwrap();
    println!("fit on {} rows: {:.2} s", past.data.examples.len(), timer.elapsed().as_secs_f64());
    let many = (0..200)
        .map(|i| TemplateProfile::new(TemplateId::new(format!("t{i}")).unwrap()).for_task_types(["backend"]));
    for catalogue in [world.simulator.templates(), TemplateCatalogue::new(many).unwrap()] {
        let timer = Instant::now();
        for generation in &world.after {
            let view = TemplateView::of(&past.history, &generation.context, &catalogue, now);
            std::hint::black_box(ranker.rank(&generation.context, &view, &catalogue));
        }
        let micros = timer.elapsed().as_secs_f64() * 1e6 / world.after.len() as f64;
        println!("ranking {} templates: {micros:.0} µs", catalogue.len());
    }
}
