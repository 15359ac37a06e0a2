//! Laws of template rankings for any catalogue, task and history.

#[cfg(test)]
use super::template_worlds::{Replay, learned, replay, topics};
use crate::ErrorKind;
use crate::common::anything;
use crate::event::{TaskContext, TaskId, TemplateId};
use crate::features::FeatureRow;
use crate::history::{History, SharedHistory};
use crate::models::{
    Predictor, Status, TEMPLATE_FEATURES, TemplateCatalogue, TemplateParams, TemplateProfile, TemplateRanker,
    TemplateRanking, TemplateTrainer, TemplateView, Trainer, conformance,
};
use crate::simulate::{Simulator, SimulatorOptions};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeSet;
use std::sync::LazyLock;

static LEARNED: LazyLock<(TemplateRanker, Replay)> = LazyLock::new(|| {
    let past = learned();
    (TemplateTrainer::default().fit(&past.data).unwrap(), past)
});

/// Returns a time after the training set.
fn later() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Checks the invariants of a ranking.
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
    fn a_ranking_is_a_permutation_and_independent_of_the_catalogues_order(
        profiles in profiles(),
        task in anything::context(),
    ) {
        let catalogue = TemplateCatalogue::new(profiles.clone()).unwrap();
        let mut other: Vec<_> = profiles;
        other.reverse();
        let other = TemplateCatalogue::new(other).unwrap();
        let (fitted, past) = &*LEARNED;
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
fn each_cold_start_level_reports_its_status() {
    let (fitted, past) = &*LEARNED;
    let task = crate::common::task("t");
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
    // Templates outside the view are ranked as unknown.
    let view = TemplateView::of(&past.history, &task, &empty, later());
    check_law(&fitted.rank(&task, &view, &catalogue), &catalogue, later());
}

#[test]
fn too_little_data_is_an_error_with_counts() {
    let data = learned().data;
    let fit = |examples: Vec<_>| {
        let mut some = data.clone();
        some.examples = examples;
        TemplateTrainer::default().fit(&some).map_err(|e| e.kind())
    };
    let kind = |have, need| Some(ErrorKind::NotEnoughData { have, need });
    assert_eq!(fit(Vec::new()).err(), kind(0, 100));
    assert_eq!(fit(data.examples[..99].to_vec()).err(), kind(99, 100));
    let one = data.examples[0].about.template.clone();
    let mut rows = data.examples.clone();
    rows.iter_mut().for_each(|row| row.about.template = one.clone());
    assert_eq!(fit(rows).err(), kind(1, 2));
    let mut rows = data.examples.clone();
    rows.iter_mut().for_each(|row| row.label = 3.0);
    assert_eq!(fit(rows).err(), kind(0, 1));
    let mut other = data.clone();
    other.schema = 1;
    assert_eq!(TemplateTrainer::default().fit(&other).unwrap_err().kind(), ErrorKind::Incompatible);
    let mut params = TemplateParams::default();
    params.most_copies = 0;
    assert!(TemplateTrainer::new(params).unwrap_err().to_string().contains("most_copies is 0"));
}

#[test]
fn the_artefact_is_the_same_on_any_number_of_threads() {
    let (ranker, data) = (&LEARNED.0, learned().data);
    let bytes = ranker.to_bytes().unwrap();
    for threads in [1, 4] {
        let mut params = TemplateParams::default();
        params.boost.threads = threads;
        let again = TemplateTrainer::new(params).unwrap().fit(&data).unwrap();
        assert!(again.to_bytes().unwrap() == bytes);
    }
    let back = TemplateTrainer::default().read(&bytes).unwrap();
    assert!(back.to_bytes().unwrap() == bytes);
    data.examples.iter().for_each(|row| assert_eq!(back.point(&row.features), ranker.point(&row.features)));
    let prior = TemplateRanker::prior().to_bytes().unwrap();
    assert_eq!(TemplateTrainer::default().read(&prior).unwrap().to_bytes().unwrap(), prior);
}

#[test]
fn damaged_bytes_are_an_error_or_a_working_ranker() {
    let (ranker, past) = &*LEARNED;
    let bytes = ranker.to_bytes().unwrap();
    let kind = |bytes: &[u8]| TemplateTrainer::default().read(bytes).unwrap_err().kind();
    assert_eq!((kind(&[]), kind(&bytes[..bytes.len() / 2])), (ErrorKind::Corrupt, ErrorKind::Corrupt));
    assert_eq!(kind(&[bytes.as_slice(), &[0]].concat()), ErrorKind::Corrupt);
    let mut other = bytes.clone();
    other[0] ^= 1;
    assert_eq!(kind(&other), ErrorKind::Incompatible);
    let task = crate::common::task("t");
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
        if let Ok(ranker) = TemplateTrainer::default().read(&bytes) {
            let ranking = ranker.rank(&task, &view, &catalogue);
            assert!(ranking.ranked.iter().all(|t| t.score.is_finite()));
            assert_eq!(ranking.ranked.len(), catalogue.len());
            opened += 1;
        }
    }
    println!("{opened} of 2000 damaged rankers opened");
}

#[test]
fn incremental_and_replayed_histories_agree() {
    let (_, past) = &*LEARNED;
    let shared = SharedHistory::new();
    let (catalogue, records) = topics(2, 50);
    shared.apply(&records);
    let mut history = History::new();
    records.iter().for_each(|record| history.apply(record));
    let task = crate::common::task("t");
    let of_shared = TemplateView::of_shared(&shared, &task, &catalogue, later());
    assert_eq!(of_shared, TemplateView::of(&history, &task, &catalogue, later()));
    assert_eq!(of_shared.now(), later());
    assert!(past.history.len() > 500);
}

/// A row is built from what was known at its start: later facts change none of its features.
#[test]
fn rows_use_nothing_that_became_known_later() {
    let (catalogue, records) = topics(3, 120);
    let half = records[records.len() / 2].known_at();
    let end = records.last().unwrap().known_at();
    let (early, late) = (replay(&catalogue, &records, half).data, replay(&catalogue, &records, end).data);
    assert!(early.examples.len() > 40 && late.examples.len() == 120);
    for (a, b) in early.examples.iter().zip(&late.examples) {
        let bits = |row: &FeatureRow| row.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((&a.event_id, bits(&a.features)), (&b.event_id, bits(&b.features)));
        assert_eq!(a.features.values.len(), TEMPLATE_FEATURES.len());
    }
}

#[test]
fn contributions_add_up_to_the_score() {
    let (catalogue, records) = topics(4, 3_000);
    let now = records.last().unwrap().known_at();
    let past = replay(&catalogue, &records, now);
    let ranker = TemplateTrainer::default().fit_or_prior(&past.data).unwrap();
    assert!(ranker.correction_share() > 0.0);
    let mut task = crate::common::task("t");
    task.task_description = "Please add what we need for topic3".into();
    let view = TemplateView::of(&past.history, &task, &catalogue, now);
    let ranking = ranker.rank(&task, &view, &catalogue);
    check_law(&ranking, &catalogue, now);
    let named: BTreeSet<_> =
        ranking.ranked.iter().flat_map(|t| &t.contributions).map(|c| c.feature.as_str()).collect();
    assert!(named.contains("semantic_similarity") || named.contains("tags_overlap"), "{named:?}");
    let mut nothing = past.data.clone();
    nothing.examples.clear();
    let prior = TemplateTrainer::default().fit_or_prior(&nothing).unwrap();
    assert_eq!(prior.to_bytes().unwrap(), TemplateRanker::prior().to_bytes().unwrap());
}

#[test]
fn the_ranking_keeps_to_what_every_trainer_does() {
    conformance::check(&TemplateTrainer::default(), &learned().data);
}

#[test]
fn a_template_of_the_tasks_type_comes_first() {
    let catalogue = TemplateCatalogue::from_json(
        r#"[{"template_id": "rest-crud", "task_types": ["backend"]},
            {"template_id": "form-page", "task_types": ["frontend"]}]"#,
    )
    .unwrap();
    let mut task = TaskContext::new(TaskId::new("TASK-7").unwrap());
    task.task_type = Some("frontend".into());
    let now = "2025-03-01T10:00:00Z".parse().unwrap();
    let view = TemplateView::of(&History::new(), &task, &catalogue, now);
    let ranking = TemplateRanker::prior().rank(&task, &view, &catalogue);
    assert_eq!(ranking.ranked[0].template_id.as_str(), "form-page");
    assert_eq!(ranking.ranked[0].sentence, "same task type; new: never tried");
    assert_eq!(ranking.status, Status::InsufficientEvidence); // nothing is known yet, and it says so
}
