//! Ranking templates: laws that hold for any catalogue, and skill on worlds whose truth is known.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, TimeDelta, Utc};
use common::anything;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::evaluate::ndcg;
use devmatrix_ml::event::{
    Decision, EventId, Fact, Feedback, Record, Started, TaskContext, TemplateId, UserAction,
};
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

/// Generations that are learnt from, and those that come after them.
struct World {
    simulator: Simulator,
    generations: Vec<Generation>,
    after: Vec<Generation>,
}

const LEARNT: usize = 5_000;

fn world(seed: u64, template_fit: f64) -> World {
    let mut options = SimulatorOptions::default();
    (options.seed, options.per_day, options.template_fit) = (seed, 100.0, template_fit);
    let mut simulator = Simulator::new(options).unwrap();
    let generations = simulator.by_ref().take(LEARNT).collect();
    let after = simulator.by_ref().take(400).collect();
    World { simulator, generations, after }
}

fn records(generations: &[Generation]) -> Vec<Record> {
    let all = generations.iter().flat_map(|g| g.clone().into_records().unwrap());
    let mut records: Vec<_> = all.collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    records
}

/// What was known at `now`, replayed.
fn replay(catalogue: &TemplateCatalogue, records: &[Record], now: DateTime<Utc>) -> TemplateDatasetBuilder {
    let mut builder = TemplateDatasetBuilder::new(catalogue.clone());
    records.iter().filter(|r| r.known_at() <= now).for_each(|r| builder.apply(r));
    builder
}

fn start_of(generation: &Generation) -> DateTime<Utc> {
    generation.context.started_at.unwrap()
}

/// How well `score` orders the templates by their true odds: NDCG@3 with relevances 0 to 3 between
/// the worst and the best template of each task. The oracle has 1.
fn skill(world: &World, score: impl Fn(&Generation, &TemplateId) -> f64) -> f64 {
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
        let scores: Vec<_> = ids.iter().map(|id| score(generation, id)).collect();
        ndcg(&scores, &relevances, 3).unwrap().unwrap()
    };
    world.after.iter().map(of_task).sum::<f64>() / world.after.len() as f64
}

/// The skill of `ranker` with what was known when the learning ended.
fn skill_of(world: &World, ranker: &TemplateRanker, history: &History, now: DateTime<Utc>) -> f64 {
    let catalogue = world.simulator.templates();
    skill(world, |generation, id| {
        let view = TemplateView::of(history, &generation.context, &catalogue, now);
        let ranking = ranker.rank(&generation.context, &view, &catalogue);
        ranking.ranked.iter().find(|t| t.template_id == *id).unwrap().score
    })
}

#[test]
fn five_thousand_generations_teach_nine_tenths_of_the_oracles_order() {
    for (seed, template_fit) in [(7, 0.0), (8, 0.0), (7, 2.0), (8, 2.0)] {
        let world = world(seed, template_fit);
        let now = start_of(&world.after[0]);
        let builder = replay(&world.simulator.templates(), &records(&world.generations), now);
        let data = builder.rows(now);
        let ranker = TemplateTrainer::default().fit(&data).unwrap();
        let fitted = skill_of(&world, &ranker, builder.history(), now);
        let prior = skill_of(&world, &TemplateRanker::prior(), builder.history(), now);
        let random = skill(&world, |_, _| 0.0);
        println!(
            "seed {seed}, template_fit {template_fit}: {} rows, NDCG@3 {fitted:.3}, prior {prior:.3}, random {random:.3}",
            data.rows.len()
        );
        assert!(fitted >= 0.9 && random < 0.5, "{fitted} {prior} {random}");
    }
}
