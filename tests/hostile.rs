//! Hostile input through the whole loop: rejected with a reason, or stored unchanged.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, TimeDelta, Utc};
use common::anything::hostile_texts;
use common::{approve, task};
use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::event::{
    Completion, EventId, Feedback, GenerationEvent, ProjectId, SessionId, Started, TaskContext, TaskId,
    TemplateId, UserAction, UserId,
};
use devmatrix_ml::features::{FeatureEngineer, FeatureId};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::store::{EventStore, EventStoreExt, MemoryStore, ScanOrder, SqliteStore, Subject};
use futures_executor::block_on;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

fn clock() -> ManualClock {
    ManualClock::at("2025-03-03T09:00:00Z".parse().unwrap())
}

async fn collector(store: Arc<dyn EventStore>, clock: &ManualClock) -> DataCollector {
    DataCollector::open(store, FeatureEngineer::default(), Arc::new(clock.clone())).await.unwrap()
}

/// Runs `test` on each store; the file of the second lives as long as the test.
fn on_each_store(test: impl Fn(Arc<dyn EventStore>)) {
    test(Arc::new(MemoryStore::new()));
    let folder = tempfile::tempdir().unwrap();
    test(Arc::new(SqliteStore::open(folder.path().join("events.db")).unwrap()));
}

/// Creates a generation in which every text is `text`.
fn full_of(text: &str) -> (Started, Completion, Feedback) {
    let mut context = TaskContext::new(TaskId::new("t").unwrap());
    text.clone_into(&mut context.task_description);
    let some = || Some(text.to_owned());
    (context.task_type, context.language, context.framework) = (some(), some(), some());
    (context.agent_type, context.model_used) = (some(), some());
    context.rag_examples_ids = vec![text.to_owned(); 2];
    let mut started = Started::from(context);
    started.metadata.insert(text.to_owned(), json!([text, {text: text}]));
    let mut done = Completion::default();
    (done.generated_code, done.file_path, done.self_review_feedback) = (some(), some(), some());
    done.metadata.clone_from(&started.metadata);
    let mut feedback = Feedback::new(UserAction::Modify);
    (feedback.user_feedback, feedback.modifications_requested) = (some(), some());
    (started, done, feedback)
}

#[test]
fn hostile_texts_are_stored_unchanged() {
    on_each_store(|store| {
        block_on(async {
            let clock = clock();
            let collector = collector(store.clone(), &clock).await;
            for text in hostile_texts() {
                let (started, done, feedback) = full_of(&text);
                let id = collector.start(started).await.unwrap();
                collector.complete(&id, done).await.unwrap();
                collector.feedback(&id, feedback).await.unwrap();
                clock.advance(TimeDelta::hours(1));
                let event = store.event(&id).await.unwrap();
                let (started, done, feedback) = full_of(&text.replace('\0', "\u{FFFD}"));
                let kept = &event.started.value;
                assert_eq!(kept.context.task_description, started.context.task_description);
                assert_eq!(kept.context.rag_examples_ids, started.context.rag_examples_ids);
                assert_eq!(
                    (&kept.metadata, &kept.context.agent_type),
                    (&started.metadata, &started.context.agent_type)
                );
                let ended = &event.completion.as_ref().unwrap().value;
                assert_eq!((&ended.generated_code, &ended.metadata), (&done.generated_code, &done.metadata));
                assert_eq!(event.feedback[0].value.user_feedback, feedback.user_feedback);
                let json = serde_json::to_string(&event).unwrap();
                assert_eq!(GenerationEvent::from_json(&json).unwrap(), event);
            }
            collector.flush().await.unwrap();
            assert_eq!(store.without_features(None, 10).await.unwrap(), []);
        });
    });
}

/// The prediction for a text with NUL must equal the one after it is stored.
#[test]
fn features_before_and_after_recording_are_the_same() {
    block_on(async {
        let (store, clock) = (Arc::new(MemoryStore::new()), clock());
        let collector = collector(store.clone(), &clock).await;
        let engineer = FeatureEngineer::default();
        let service = PredictionService::new(collector.history(), engineer, Arc::new(clock.clone()));
        let (started, ..) = full_of("a\0b \0 - must\0keep");
        let before = service.features(&started.context).unwrap();
        let id = collector.start(started).await.unwrap();
        collector.feedback(&id, approve()).await.unwrap();
        collector.flush().await.unwrap();
        let stored = store.features(&[id]).await.unwrap().remove(0).unwrap();
        for (i, (a, b)) in before.values.iter().zip(&stored.values).enumerate() {
            assert_eq!(Some(*a).filter(|a| !a.is_nan()), *b, "{}", devmatrix_ml::features::FEATURES[i].name);
        }
    });
}

#[test]
fn a_hundred_megabytes_take_linear_time() {
    let text = "- must do ñ\n".repeat((100 << 20) / 13);
    on_each_store(|store| {
        block_on(async {
            let started = Instant::now();
            let collector = collector(store.clone(), &clock()).await;
            let mut task = task("t");
            task.task_description.clone_from(&text);
            let id = collector.start(task).await.unwrap();
            collector.feedback(&id, approve()).await.unwrap();
            collector.flush().await.unwrap();
            let kept = store.event(&id).await.unwrap();
            assert!(kept.started.value.context.task_description == text);
            let vector = store.features(std::slice::from_ref(&id)).await.unwrap().remove(0).unwrap();
            let length = vector.values[FeatureId::TaskDescriptionLength as usize].unwrap();
            assert!((f64::from(length) - text.chars().count() as f64).abs() < 10.0);
            assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
        });
    });
}

#[test]
fn ids_are_validated() {
    for bad in [
        String::new(),
        "a\0b".into(),
        "a\nb".into(),
        "\u{85}".into(),
        "\u{7f}".into(),
        "x".repeat(1025),
        "ñ".repeat(600),
    ] {
        let errors = [
            TaskId::new(&bad).unwrap_err(),
            EventId::new(&bad).unwrap_err(),
            ProjectId::new(&bad).unwrap_err(),
            UserId::new(&bad).unwrap_err(),
            SessionId::new(&bad).unwrap_err(),
            TemplateId::new(&bad).unwrap_err(),
        ];
        assert!(
            errors.iter().all(|e| e.kind() == ErrorKind::InvalidInput && format!("{e:#}").contains("Id "))
        );
        assert!(errors.iter().all(|e| format!("{e:#}").len() < 200), "a message is short");
    }
    on_each_store(|store| {
        block_on(async {
            let collector = collector(store.clone(), &clock()).await;
            for good in ["🦀".repeat(256), " ".to_owned(), "%_'\"\\;--".to_owned(), "\u{202E}x".to_owned()]
            {
                let id = collector.start(task(&good)).await.unwrap();
                collector.feedback(&id, approve()).await.unwrap();
                assert_eq!(store.event(&id).await.unwrap().started.value.context.task_id.as_str(), good);
                let own = EventId::new(&good).unwrap();
                collector.start_as(own.clone(), task(&good)).await.unwrap();
                let mut again = task(&good);
                again.regeneration_of = Some(own.clone());
                collector.start(again).await.unwrap();
                assert_eq!(store.event(&own).await.unwrap().event_id, own);
            }
        });
    });
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, i| if i % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
}

#[test]
fn metadata_too_deep_is_rejected_and_the_deepest_allowed_round_trips() {
    on_each_store(|store| {
        block_on(async {
            let collector = collector(store.clone(), &clock()).await;
            let with = |levels| {
                let mut started = Started::from(task("t"));
                started.metadata.insert("deep".into(), nested(levels));
                started
            };
            for levels in [65, 128, 200] {
                let error = collector.start(with(levels)).await.unwrap_err();
                assert!(
                    error.kind() == ErrorKind::InvalidInput && format!("{error:#}").contains("nested deeper")
                );
                let mut done = Completion::default();
                done.metadata = with(levels).metadata;
                let id = EventId::new("e").unwrap();
                assert_eq!(collector.complete(&id, done).await.unwrap_err().kind(), ErrorKind::InvalidInput);
            }
            let kept = store.scan(ScanOrder::Arrival, None, 10).await.unwrap().records;
            assert_eq!(kept, [], "nothing half-written");
            let mut deepest = 65;
            while collector.start(with(deepest)).await.is_err() {
                deepest -= 1;
            }
            assert!(deepest > 60, "{deepest}");
            let stored = store.scan(ScanOrder::Known, None, 10).await.unwrap().records.remove(0);
            let event = store.event(stored.event_id()).await.unwrap();
            assert_eq!(event.started.value.metadata["deep"], nested(deepest));
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(GenerationEvent::from_json(&json).unwrap(), event, "{deepest} levels");
        });
    });
    let json = json!({"event_id": "e", "task_id": "t", "deep": nested(100)}).to_string();
    assert!(
        GenerationEvent::from_json(&json).unwrap().into_records().unwrap_err().to_string().contains("nested")
    );
}

#[test]
fn facts_in_any_order_and_number_lose_nothing() {
    on_each_store(|store| {
        block_on(async {
            let clock = clock();
            let collector = collector(store.clone(), &clock).await;
            let id = EventId::new("late").unwrap();
            collector.feedback(&id, approve()).await.unwrap();
            let mut with_id = approve();
            with_id.feedback_id = Some(devmatrix_ml::event::FeedbackId::new("f").unwrap());
            collector.feedback(&id, with_id.clone()).await.unwrap();
            collector.feedback(&id, with_id.clone()).await.unwrap();
            with_id.user_feedback = Some("other".into());
            assert_eq!(collector.feedback(&id, with_id).await.unwrap_err().kind(), ErrorKind::Conflict);
            let mut dated = Completion::default();
            dated.completed_at = Some("2025-03-03T09:00:30Z".parse().unwrap());
            collector.complete(&id, dated.clone()).await.unwrap();
            collector.complete(&id, dated).await.unwrap();
            assert_eq!(store.event(&id).await.unwrap_err().kind(), ErrorKind::NotFound);
            collector.flush().await.unwrap();
            collector.start_as(id.clone(), task("t")).await.unwrap();
            let event = store.event(&id).await.unwrap();
            assert_eq!((event.feedback.len(), event.completion.is_some()), (2, true));
            let never = EventId::new("never").unwrap();
            collector.complete(&never, Completion::default()).await.unwrap();
            collector.feedback(&never, approve()).await.unwrap();
            collector.flush().await.unwrap();
            drop(collector);
            // Facts without a start do not prevent opening, which writes what is missing.
            self::collector(store.clone(), &clock).await;
            assert!(store.features(&[id]).await.unwrap()[0].is_some(), "computed after the start arrived");
        });
    });
}

#[test]
fn erased_users_stay_erased() {
    on_each_store(|store| {
        block_on(async {
            let clock = clock();
            let collector = collector(store.clone(), &clock).await;
            let user = UserId::new("' OR 1=1 --").unwrap();
            let mut of_user = task("t");
            of_user.user_id = Some(user.clone());
            let id = collector.start(of_user.clone()).await.unwrap();
            let other = collector.start(task("u")).await.unwrap();
            collector.feedback(&id, approve()).await.unwrap();
            assert_eq!(collector.erase(&Subject::User(user.clone())).await.unwrap().events, 1);
            assert_eq!(collector.erase(&Subject::User(user)).await.unwrap().events, 0);
            for error in [
                collector.feedback(&id, approve()).await.unwrap_err(),
                collector.complete(&id, Completion::default()).await.unwrap_err(),
                collector.start_as(id.clone(), of_user.clone()).await.unwrap_err(),
            ] {
                assert!(
                    error.kind() == ErrorKind::NotFound && format!("{error:#}").contains("erased"),
                    "{error}"
                );
            }
            collector.flush().await.unwrap();
            assert!(store.event(&other).await.is_ok() && store.event(&id).await.is_err());
            assert_eq!(store.features(&[id]).await.unwrap(), [None]);
            collector.start(of_user).await.unwrap();
        });
    });
}

#[test]
fn an_absurd_clock_is_rejected_and_does_not_persist() {
    let clock = clock();
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        let collector = collector(store.clone(), &clock).await;
        collector.start(task("a")).await.unwrap();
        for insane in [
            DateTime::<Utc>::MAX_UTC,
            DateTime::<Utc>::MIN_UTC + TimeDelta::days(1),
            DateTime::<Utc>::MAX_UTC,
        ] {
            clock.set(insane);
            for _ in 0..3 {
                // A step back is corrected, a step past the end of the calendar is rejected.
                if let Err(error) = collector.start(task("b")).await {
                    assert!(
                        error.kind() == ErrorKind::InvalidInput && format!("{error:#}").contains("year"),
                        "{error}"
                    );
                }
                let _ = collector.flush_if_due().await.unwrap();
            }
        }
        clock.set("2025-03-03T10:00:00Z".parse().unwrap());
        let id = collector.start(task("c")).await.expect("the clock is right again");
        collector.feedback(&id, approve()).await.unwrap();
    });
}
