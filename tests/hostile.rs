//! Bad input: whatever comes, nothing panics, nothing is lost, and errors say what and where.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::world::store_of;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::{Clock, ManualClock, SystemClock};
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::event::{
    Completion, EventId, Fact, Feedback, ProjectId, Record, TaskContext, TaskId, UserAction, UserId,
};
use devmatrix_ml::features::{FeatureEngineer, index_of};
use devmatrix_ml::history::{History, SharedHistory};
use devmatrix_ml::models::{Predictor, RiskLevel, SuccessModel, SuccessTrainer, Trainer};
use devmatrix_ml::serve::PredictionService;
use devmatrix_ml::store::{EventStore, EventStoreExt, MemoryStore, SqliteStore};
use devmatrix_ml::text::{MAX_TEXT_BYTES, SparseText};
use devmatrix_ml::train::replay;
use futures_executor::block_on;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

fn hostile_texts() -> Vec<String> {
    let mut texts: Vec<_> = [
        "",
        "\0",
        "a\0b",
        "\u{202E}abc\u{202C} مرحبا",
        "🦀🏳️‍🌈👩‍👩‍👧‍👦",
        "'; DROP TABLE facts; --",
        "\"\\\"",
        "{{7*7}}",
        "\u{FEFF}x",
        "\r\n\t\u{b}",
        "ÀÉÎ ñ ß ﬁ İ",
        "must MUST should",
        "1. 2. 3. ",
        "- \n- \n",
        "```",
        "\u{10FFFF}",
        "%s%n %00",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    texts.push("- must\n".repeat(100_000));
    texts.push("x".repeat(3 << 20));
    texts.push("é ".repeat(100_000));
    texts
}

#[test]
fn hostile_texts_go_through_stores_features_and_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let stores: [Arc<dyn EventStore>; 2] =
        [Arc::new(MemoryStore::new()), Arc::new(SqliteStore::open(folder.path().join("events.db")).unwrap())];
    block_on(async {
        let mut kept = Vec::new();
        for store in stores {
            let clock = Arc::new(ManualClock::at("2025-03-01T00:00:00Z".parse().unwrap()));
            let collector =
                DataCollector::open(store.clone(), FeatureEngineer::default(), clock.clone()).await.unwrap();
            let service = PredictionService::new(collector.history(), FeatureEngineer::default(), clock);
            let mut events = Vec::new();
            for (i, text) in hostile_texts().into_iter().enumerate() {
                let mut task = common::task(&format!("t{i}"));
                task.task_description.clone_from(&text);
                task.agent_type = Some(text.chars().take(40).collect());
                let prediction = service.predict_success(&task).unwrap();
                assert!((0.0..=1.0).contains(&prediction.success_probability));
                assert_eq!(prediction.notes.is_empty(), text.len() <= MAX_TEXT_BYTES);
                let id = collector.start_as(EventId::new(format!("e{i}")).unwrap(), task).await.unwrap();
                let mut done = Completion::default();
                (done.generated_code, done.self_review_feedback) = (Some(text.clone()), Some(text.clone()));
                done.metadata.insert(text.chars().take(10).collect(), text.clone().into());
                collector.complete(&id, done).await.unwrap();
                let mut feedback = Feedback::new(UserAction::Modify);
                feedback.user_feedback = Some(text.clone());
                collector.feedback(&id, feedback).await.unwrap();
                let event = store.event(&id).await.unwrap();
                assert_eq!(event.started.value.context.task_description, text.replace('\0', "\u{FFFD}"));
                events.push(event);
            }
            collector.flush().await.unwrap();
            kept.push(events);
        }
        assert_eq!(kept[0], kept[1], "both stores keep the same");
    });
}

#[test]
fn a_hundred_megabytes_are_read_to_the_cap() {
    let text = "word ".repeat(20 << 20);
    let (facts, ngrams) = SparseText::read(&text);
    assert!(facts.truncated && facts.length == text.len() && facts.num_words <= MAX_TEXT_BYTES);
    assert!(ngrams.len() <= 2);
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e300, 1e300] {
        let mut task = common::task("t");
        task.temperature = Some(bad);
        let error = task.validate().unwrap_err().to_string();
        assert!(error.starts_with("temperature is "), "{error}");
        let mut done = Completion::default();
        done.cost_usd = Some(bad);
        assert!(done.validate().unwrap_err().to_string().starts_with("cost_usd is "));
        let mut feedback = Feedback::new(UserAction::Approve);
        feedback.final_quality_score = Some(bad);
        assert!(feedback.validate().unwrap_err().to_string().starts_with("final_quality_score is "));
    }
    let mut task = common::task("t");
    task.started_at = Some(chrono::DateTime::<chrono::Utc>::MIN_UTC);
    assert_eq!(task.validate().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn extreme_moments_do_not_overflow() {
    let mut history = History::new();
    for (i, at) in
        ["1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z"].into_iter().enumerate()
    {
        let id = EventId::new(format!("e{i}")).unwrap();
        let start = Fact::Started(Box::new(common::task("t").into()));
        history.apply(&Record::new(id.clone(), at.parse().unwrap(), start).unwrap());
        let mut done = Completion::default();
        (done.generation_time_seconds, done.tokens_used) = (Some(1e9), Some(u64::MAX));
        for far in ["9999-12-31T23:59:59Z", "1900-01-01T00:00:00Z"] {
            let fact = Fact::Completed(Box::new(done.clone()));
            history.apply(&Record::new(id.clone(), far.parse().unwrap(), fact).unwrap());
            let fact = Fact::Feedback(Box::new(common::approve()));
            history.apply(&Record::new(id.clone(), far.parse().unwrap(), fact).unwrap());
        }
    }
    for now in ["1900-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        let view = history.view(&common::task("t"), now.parse().unwrap());
        let row = FeatureEngineer::default().row(&common::task("t"), &view);
        assert!(row.values.iter().all(|v| !v.is_infinite()));
    }
    let service = PredictionService::new(
        Arc::new(SharedHistory::new()),
        FeatureEngineer::default(),
        Arc::new(SystemClock),
    );
    assert!(service.predict_success(&common::task("t")).is_ok());
}

#[test]
fn metadata_too_deep_is_refused_whole() {
    let mut value = serde_json::Value::Null;
    for _ in 0..200 {
        value = serde_json::json!([value]);
    }
    let mut done = Completion::default();
    done.metadata.insert("deep".into(), value);
    let store = Arc::new(MemoryStore::new());
    block_on(async {
        let collector = DataCollector::open(store.clone(), FeatureEngineer::default(), Arc::new(SystemClock))
            .await
            .unwrap();
        let id = collector.start(common::task("t")).await.unwrap();
        assert_eq!(collector.complete(&id, done).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(store.event(&id).await.unwrap().completion.is_none());
        collector.complete(&id, Completion::default()).await.unwrap();
    });
}

static MODEL: LazyLock<(SuccessModel, History)> = LazyLock::new(|| {
    let (store, clock) = store_of(12, 60.0, 4);
    let data = block_on(replay(store.as_ref(), &FeatureEngineer::default(), clock.now(), 10_000)).unwrap();
    let history = block_on(SharedHistory::open(store.as_ref())).unwrap().snapshot();
    (SuccessTrainer::default().fit(&data).unwrap(), history)
});

fn any_task() -> impl Strategy<Value = TaskContext> {
    let word =
        prop::option::of(prop_oneof!["\\PC{0,12}", Just("backend".to_owned()), Just("python".to_owned())]);
    let numbers = (
        prop::option::of(0.0..=2.0_f64),
        any::<Option<u32>>(),
        prop::option::of(-1.0..=1.0_f64),
        any::<u32>(),
    );
    (".{0,300}", word.clone(), word.clone(), word.clone(), word, numbers).prop_map(
        |(text, kind, language, agent, model, (heat, tokens, similarity, attempt))| {
            let mut task = TaskContext::new(TaskId::new("t").unwrap());
            task.task_description = text;
            (task.task_type, task.language, task.agent_type, task.model_used) =
                (kind, language, agent, model);
            (task.temperature, task.max_tokens, task.rag_avg_similarity) = (heat, tokens, similarity);
            task.project_id = attempt.is_multiple_of(2).then(|| ProjectId::new("project-1").unwrap());
            task.user_id = attempt.is_multiple_of(3).then(|| UserId::new("user-1").unwrap());
            task.attempt = attempt;
            task
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever the task: features finite or missing, a probability in its interval, and parts that
    /// add up.
    #[test]
    fn any_task_gets_a_sound_answer(task in any_task()) {
        let (model, history) = &*MODEL;
        let view = history.view(&task, "2025-01-20T00:00:00Z".parse().unwrap());
        let row = FeatureEngineer::default().row(&task, &view);
        prop_assert!(row.values.iter().all(|v| !v.is_infinite()));
        let prediction = model.predict(&row);
        let (p, (low, high)) = (prediction.success_probability, prediction.interval);
        prop_assert!(0.0 <= low && low <= p && p <= high && high <= 1.0);
        prop_assert!((0.0..=1.0).contains(&prediction.confidence));
        prop_assert_eq!(prediction.risk_level, RiskLevel::of(p));
        prop_assert_eq!(&prediction, &model.predict(&row));
        let (base, parts, wording) = model.contributions(&row);
        let sum = base + parts.iter().sum::<f64>() + wording;
        prop_assert!((sum - (p / (1.0 - p)).ln()).abs() < 1e-4);
        for reason in model.reasons(&row) {
            prop_assert!(index_of(&reason.feature).is_none_or(|at| !row.values[at].is_nan()));
        }
    }
}

#[test]
fn the_clock_of_a_host_may_stand_anywhere() {
    let clock = ManualClock::at(chrono::DateTime::<chrono::Utc>::MAX_UTC);
    let collector = block_on(DataCollector::open(
        Arc::new(MemoryStore::new()),
        FeatureEngineer::default(),
        Arc::new(clock.clone()),
    ))
    .unwrap();
    assert_eq!(block_on(collector.start(common::task("t"))).unwrap_err().kind(), ErrorKind::InvalidInput);
    clock.advance(chrono::TimeDelta::days(1));
    assert_eq!(clock.now(), chrono::DateTime::<chrono::Utc>::MAX_UTC);
}
