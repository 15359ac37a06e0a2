//! The collector: nothing is lost or written twice.

#[cfg(test)]
use crate::ErrorKind;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::collect::{CollectorOptions, DataCollector};
use crate::common::{approve, task};
use crate::event::{
    Completion, EventId, FeatureVector, Feedback, FeedbackId, MetricField, UserAction, UserId,
};
use crate::features::{FEATURES, FeatureEngineer, FeatureOptions, HostColumn, HostColumns};
use crate::history::GroupKey;
use crate::store::{EventStore, EventStoreExt, MemoryStore, ScanOrder, SqliteStore, Subject};
use chrono::{DateTime, TimeDelta, Utc};
use futures_executor::block_on;
use std::sync::Arc;

struct World {
    store: Arc<dyn EventStore>,
    clock: ManualClock,
    collector: DataCollector,
}

async fn world() -> World {
    on(Arc::new(MemoryStore::new()), CollectorOptions::default()).await
}

async fn on(store: Arc<dyn EventStore>, options: CollectorOptions) -> World {
    let clock = ManualClock::at("2025-03-01T10:00:00Z".parse().unwrap());
    let engineer = FeatureEngineer::default();
    let collector =
        DataCollector::open_with(store.clone(), engineer, Arc::new(clock.clone()), options).await.unwrap();
    World { store, clock, collector }
}

impl World {
    async fn record_labelled(&self, i: usize, action: UserAction) -> EventId {
        let id = self.collector.start(task(&format!("t{i}"))).await.unwrap();
        let mut done = Completion::default();
        done.generation_time_seconds = Some(3.0);
        self.collector.complete(&id, done).await.unwrap();
        self.collector.feedback(&id, Feedback::new(action)).await.unwrap();
        id
    }

    async fn vectors(&self, ids: &[EventId]) -> usize {
        self.store.features(ids).await.unwrap().iter().flatten().count()
    }
}

#[test]
fn features_are_written_after_any_feedback_in_batches_of_fifty() {
    block_on(async {
        let world = world().await;
        let actions = [UserAction::Approve, UserAction::Modify, UserAction::Reject];
        let mut ids = Vec::new();
        for i in 0..49 {
            ids.push(world.record_labelled(i, actions[i % 3]).await);
        }
        assert_eq!(world.vectors(&ids).await, 0);
        ids.push(world.record_labelled(49, UserAction::Reject).await);
        assert_eq!(world.vectors(&ids).await, 50);
        let vector = world.store.features(&ids[1..2]).await.unwrap().remove(0).unwrap();
        assert_eq!((vector.target_success, vector.target_time_seconds), (Some(false), Some(3.0)));
        assert_eq!(vector.schema, FeatureEngineer::default().fingerprint());
    });
}

#[test]
fn waiting_features_are_written_after_the_delay() {
    block_on(async {
        let world = world().await;
        let id = world.record_labelled(0, UserAction::Approve).await;
        assert_eq!(world.collector.flush_if_due().await.unwrap(), 0);
        world.clock.advance(TimeDelta::seconds(61));
        assert_eq!(world.collector.flush_if_due().await.unwrap(), 1);
        assert_eq!(world.vectors(&[id]).await, 1);
        assert_eq!(world.collector.flush().await.unwrap(), 0);
    });
}

#[test]
fn features_buffered_by_a_dead_process_are_recomputed() {
    block_on(async {
        let mut patient = CollectorOptions::default();
        patient.max_age = TimeDelta::days(365);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let mut ids = Vec::new();
        let mut kept = Vec::new();
        {
            let first = on(Arc::new(SqliteStore::open(&path).unwrap()), patient.clone()).await;
            for i in 0..30 {
                let id = first.record_labelled(i, UserAction::Approve).await;
                first.clock.advance(TimeDelta::hours(5));
                ids.push(id);
            }
            // A process that does flush gives the reference vectors.
            let reference = on(Arc::new(MemoryStore::new()), patient.clone()).await;
            for i in 0..30 {
                let id = reference.record_labelled(i, UserAction::Approve).await;
                reference.clock.advance(TimeDelta::hours(5));
                kept.push(id);
            }
            reference.collector.flush().await.unwrap();
            let vectors = reference.store.features(&kept).await.unwrap();
            assert_eq!(first.vectors(&ids).await, 0);
            drop(first);
            let second = on(Arc::new(SqliteStore::open(&path).unwrap()), patient.clone()).await;
            let made = second.store.features(&ids).await.unwrap();
            for (made, kept) in made.iter().zip(&vectors) {
                assert_eq!(made.as_ref().unwrap().values, kept.as_ref().unwrap().values);
                assert_eq!(made.as_ref().unwrap().target_success, Some(true));
            }
            assert!(second.store.without_features(None, 10).await.unwrap().is_empty());
        }
    });
}

#[test]
fn revised_feedback_revises_the_label() {
    block_on(async {
        let world = world().await;
        let id = world.record_labelled(0, UserAction::Reject).await;
        world.collector.flush().await.unwrap();
        world.clock.advance(TimeDelta::days(3));
        world.collector.feedback(&id, approve()).await.unwrap();
        world.collector.flush().await.unwrap();
        let vector = world.store.features(std::slice::from_ref(&id)).await.unwrap().remove(0).unwrap();
        assert_eq!(vector.target_success, Some(true));
        let event = world.store.event(&id).await.unwrap();
        assert_eq!(event.feedback.len(), 2);
        let view = world.collector.history().view(&task("t0"), world.clock.now());
        assert_eq!((view.get(GroupKey::Task).all.n, view.get(GroupKey::Task).all.successes), (1.0, 1.0));
    });
}

#[test]
fn repeated_calls_record_once() {
    block_on(async {
        let world = world().await;
        let id = EventId::new("host-7").unwrap();
        for _ in 0..3 {
            world.collector.start_as(id.clone(), task("t")).await.unwrap();
            let mut done = Completion::default();
            done.tokens_used = Some(7);
            world.collector.complete(&id, done).await.unwrap();
            let mut feedback = approve();
            feedback.feedback_id = Some(FeedbackId::new("f").unwrap());
            world.collector.feedback(&id, feedback).await.unwrap();
            world.clock.advance(TimeDelta::seconds(1));
        }
        let event = world.store.event(&id).await.unwrap();
        assert_eq!(event.feedback.len(), 1);
        let mut other = Completion::default();
        other.tokens_used = Some(8);
        let error = world.collector.complete(&id, other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    });
}

#[test]
fn regenerations_are_chained_to_the_first_attempt() {
    block_on(async {
        let world = world().await;
        let first = world.record_labelled(0, UserAction::Reject).await;
        let second = world.collector.regenerate(&first, task("ignored")).await.unwrap();
        let third = world.collector.regenerate(&second, task("ignored")).await.unwrap();
        let context = world.store.event(&third).await.unwrap().started.value.context;
        assert_eq!((context.task_id.as_str(), context.attempt), ("t0", 2));
        assert_eq!(context.regeneration_of, Some(first));
        let nobody = EventId::new("nobody").unwrap();
        let error = world.collector.regenerate(&nobody, task("x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn feedback_before_the_end_and_before_the_start_counts() {
    block_on(async {
        let world = world().await;
        let id = EventId::new("early").unwrap();
        world.collector.feedback(&id, approve()).await.unwrap();
        world.collector.start_as(id.clone(), task("t")).await.unwrap();
        world.collector.complete(&id, Completion::default()).await.unwrap();
        assert_eq!(world.store.event(&id).await.unwrap().outcome().unwrap().success, Some(true));
        assert_eq!(
            world.collector.history().view(&task("t"), world.clock.now()).get(GroupKey::Task).all.successes,
            1.0
        );
        // Its features are computed on request.
        assert_eq!(world.collector.recover().await.unwrap(), 1);
    });
}

#[test]
fn columns_of_the_hosts_own_are_in_vectors_that_are_made_again() {
    block_on(async {
        let columns = [HostColumn::number("coverage"), HostColumn::number("review_minutes").known_after()];
        let options = FeatureOptions::default().with_columns(HostColumns::new(columns).unwrap());
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(SystemClock));
        let collector =
            DataCollector::open(store.clone(), FeatureEngineer::new(options), clock).await.unwrap();
        let id = EventId::new("early").unwrap();
        collector.feedback(&id, approve()).await.unwrap();
        let mut task = task("t");
        task.columns.insert("coverage".to_owned(), 0.5.into());
        collector.start_as(id.clone(), task).await.unwrap();
        let mut done = Completion::default();
        done.columns.insert("review_minutes".to_owned(), 7.0.into());
        collector.complete(&id, done).await.unwrap();
        collector.recover().await.unwrap();
        let vector = store.features(&[id]).await.unwrap().remove(0).unwrap();
        assert_eq!(vector.values[FEATURES.len()..], [Some(0.5), Some(7.0)]);
    });
}

#[test]
fn an_erased_user_is_removed() {
    block_on(async {
        let world = world().await;
        let user = UserId::new("u").unwrap();
        let mut theirs = task("t");
        theirs.user_id = Some(user.clone());
        let id = world.collector.start(theirs.clone()).await.unwrap();
        world.collector.feedback(&id, approve()).await.unwrap();
        world.record_labelled(5, UserAction::Approve).await;
        let erasure = world.collector.erase(&Subject::User(user)).await.unwrap();
        assert_eq!(erasure.events, 1);
        let view = world.collector.history().view(&theirs, world.clock.now());
        assert_eq!((view.get(GroupKey::User).all.n, view.get(GroupKey::Global).all.n), (0.0, 1.0));
        let error = world.collector.feedback(&id, approve()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn timestamps_ascend_although_the_clock_stops_or_steps_back() {
    block_on(async {
        let world = world().await;
        let first = world.collector.start(task("a")).await.unwrap();
        world.clock.set("2025-02-01T00:00:00Z".parse().unwrap());
        let second = world.collector.start(task("a")).await.unwrap();
        let known = world.store.get(&[first, second]).await.unwrap();
        let known: Vec<_> = known.into_iter().flatten().map(|e| e.started.known_at).collect();
        assert!(known[0] < known[1]);
    });
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

impl World {
    /// The stamps of a generation: of its start, its end and its judgement.
    async fn stamps(&self, id: &EventId) -> [DateTime<Utc>; 3] {
        let event = self.store.event(id).await.unwrap();
        [event.started.known_at, event.completion.unwrap().known_at, event.feedback[0].known_at]
    }
}

#[test]
fn a_clock_that_jumps_once_stamps_nothing_ahead() {
    block_on(async {
        for wrong in
            ["2100-01-01T00:00:00Z", "2031-05-05T05:05:05Z", "2026-03-01T10:00:00Z", "9999-12-31T23:59:59Z"]
        {
            let world = world().await;
            world.record_labelled(0, UserAction::Approve).await;
            let before = world.clock.now();
            world.clock.set(at(wrong));
            let jumped = world.record_labelled(1, UserAction::Approve).await;
            world.clock.set(before + TimeDelta::minutes(1));
            let after = world.record_labelled(2, UserAction::Reject).await;
            let (jumped, event) = (world.stamps(&jumped).await, world.store.event(&jumped).await.unwrap());
            assert!(jumped[2] <= before + TimeDelta::minutes(5), "{wrong}: {jumped:?}");
            assert_eq!(event.started.value.metadata["clock_doubted"], at(wrong).to_rfc3339(), "marked");
            assert!(event.started.value.context.started_at.unwrap() <= jumped[0]);
            assert!(event.completion.unwrap().value.completed_at.unwrap() <= jumped[1]);
            let after = (world.stamps(&after).await, world.store.event(&after).await.unwrap());
            assert_eq!(after.0[0], before + TimeDelta::minutes(1), "believed again without a restart");
            assert!(
                after.1.started.value.metadata.is_empty()
                    && after.1.completion.unwrap().value.metadata.is_empty()
            );
            // Nothing is known later than now.
            let view = world.collector.history().view(&task("t2"), world.clock.now() + TimeDelta::seconds(1));
            assert_eq!(view.get(GroupKey::Global).all.n, 3.0);
        }
    });
}

#[test]
fn a_clock_wrong_from_the_first_fact_is_not_followed() {
    block_on(async {
        let world = world().await;
        world.clock.set(at("2100-01-01T00:00:00Z"));
        world.record_labelled(0, UserAction::Approve).await;
        world.clock.set(at("2025-03-01T10:00:00Z"));
        let id = world.record_labelled(1, UserAction::Approve).await;
        assert_eq!(world.stamps(&id).await[0], at("2025-03-01T10:00:00Z"));
        // Opened on what it left, another is not led astray either.
        let second = on(world.store.clone(), CollectorOptions::default()).await;
        second.clock.set(at("2025-03-01T12:00:00Z"));
        let id = second.record_labelled(2, UserAction::Approve).await;
        assert_eq!(second.stamps(&id).await[0], at("2025-03-01T12:00:00Z"));
    });
}

#[test]
fn a_step_back_across_a_restart_keeps_what_is_served_what_is_replayed() {
    block_on(async {
        for back in [TimeDelta::hours(3), TimeDelta::days(2), TimeDelta::days(3_653)] {
            let first = world().await;
            for i in 0..30 {
                first.record_labelled(i, UserAction::Approve).await;
                first.clock.advance(TimeDelta::hours(5));
            }
            let second = on(first.store.clone(), CollectorOptions::default()).await;
            second.clock.set(first.clock.now() - back);
            let mut ids = Vec::new();
            for i in 0..20 {
                ids.push(second.record_labelled(i, UserAction::Reject).await);
                second.clock.advance(TimeDelta::minutes(20));
            }
            second.collector.flush().await.unwrap();
            let served = second.store.features(&ids).await.unwrap();
            assert_eq!(remade(&second, &ids).await, served, "{back}");
        }
    });
}

#[test]
fn an_end_after_feedback_completes_the_stored_vector() {
    block_on(async {
        let world = world().await;
        let mut ids = Vec::new();
        for i in 0..6 {
            let id = world.collector.start(task(&format!("t{i}"))).await.unwrap();
            world.collector.feedback(&id, approve()).await.unwrap();
            if i % 2 == 0 {
                world.collector.flush().await.unwrap();
            }
            ids.push(id);
        }
        let mut done = Completion::default();
        done.generated_code = Some("def f(a):\n    return a or 1\n".into());
        done.generation_time_seconds = Some(7.0);
        for id in &ids {
            world.collector.complete(id, done.clone()).await.unwrap();
        }
        world.collector.flush().await.unwrap();
        let served = world.store.features(&ids).await.unwrap();
        assert!(served.iter().flatten().all(|vector| vector.target_time_seconds == Some(7.0)), "{served:?}");
        assert_eq!(remade(&world, &ids).await, served);
        assert!(world.store.without_features(None, 10).await.unwrap().is_empty());
    });
}

#[test]
fn an_end_after_feedback_and_a_restart_completes_the_stored_vector() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = || Arc::new(SqliteStore::open(folder.path().join("events.db")).unwrap());
        let id = EventId::new("e").unwrap();
        let first = on(sqlite(), CollectorOptions::default()).await;
        first.collector.start_as(id.clone(), task("t")).await.unwrap();
        first.collector.feedback(&id, approve()).await.unwrap();
        first.collector.flush().await.unwrap();
        drop(first);
        let second = on(sqlite(), CollectorOptions::default()).await;
        let mut done = Completion::default();
        done.generation_time_seconds = Some(7.0);
        second.collector.complete(&id, done).await.unwrap();
        drop(second);
        let third = on(sqlite(), CollectorOptions::default()).await;
        let vector = third.store.features(&[id]).await.unwrap().remove(0).unwrap();
        assert_eq!((vector.target_success, vector.target_time_seconds), (Some(true), Some(7.0)));
    });
}

/// The vectors of `ids` as a replay of the store makes them.
async fn remade(world: &World, ids: &[EventId]) -> Vec<Option<FeatureVector>> {
    let records = world.store.scan(ScanOrder::Arrival, None, usize::MAX).await.unwrap().records;
    let copy = Arc::new(MemoryStore::new());
    copy.append(records).await.unwrap();
    let _opened = on(copy.clone(), CollectorOptions::default()).await;
    copy.features(ids).await.unwrap()
}

#[test]
fn a_step_that_lasts_is_believed_where_nothing_speaks_against_it() {
    block_on(async {
        let world = world().await;
        world.record_labelled(0, UserAction::Approve).await;
        // The store rested for two years.
        world.clock.set(at("2027-03-01T10:00:00Z"));
        let id = world.record_labelled(1, UserAction::Approve).await;
        assert!(world.stamps(&id).await[0] < at("2025-03-02T00:00:00Z"));
        for i in 0..30 {
            world.clock.advance(TimeDelta::hours(1));
            world.record_labelled(i, UserAction::Approve).await;
        }
        let id = world.record_labelled(2, UserAction::Approve).await;
        assert_eq!(world.stamps(&id).await[0].date_naive(), world.clock.now().date_naive());
    });
}

#[test]
fn generated_code_is_measured_by_its_language() {
    block_on(async {
        let World { collector, store, .. } = world().await;
        let mut task = task("measured");
        task.language = Some("python".into());
        let event = collector.start(task).await.unwrap();
        let mut done = Completion::default();
        done.generated_code = Some("def f(a: int) -> int:\n    return a or 1\n".into());
        done.num_classes = Some(7);
        collector.complete(&event, done.clone()).await.unwrap();
        collector.complete(&event, done.clone()).await.unwrap();
        let stored = store.event(&event).await.unwrap().completion.unwrap().value;
        assert_eq!((stored.lines_of_code, stored.cyclomatic_complexity), (Some(2), Some(2.0)));
        assert_eq!(
            (stored.num_functions, stored.has_type_hints, stored.has_tests),
            (Some(1), Some(true), Some(false))
        );
        assert_eq!((stored.num_classes, &stored.host_metrics[..]), (Some(7), &[MetricField::NumClasses][..]));
        done.num_classes = Some(8);
        assert_eq!(collector.complete(&event, done).await.unwrap_err().kind(), ErrorKind::Conflict);
    });
}
