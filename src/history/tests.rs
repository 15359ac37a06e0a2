//! The laws of the history: it is a function of the set of facts, and replay equals live.

#[cfg(test)]
use crate::clock::{Clock, ManualClock};
use crate::collect::DataCollector;
use crate::common::arrivals::{Arrival, arrivals};
use crate::dataset::DatasetBuilder;
use crate::event::{GenerationEvent, Record, TaskContext};
use crate::features::{FeatureEngineer, FeatureRow};
use crate::history::{GroupKey, History, HistoryView, SharedHistory};
use crate::store::{EventStore, EventStoreExt, MemoryStore, ScanOrder};
use futures_executor::block_on;
use proptest::prelude::*;
use std::sync::Arc;

fn records_of(arrivals: &[Arrival]) -> Vec<Record> {
    arrivals.iter().filter_map(|a| a.record.clone()).collect()
}

fn bits(row: &FeatureRow) -> Vec<u32> {
    row.values.iter().map(|v| v.to_bits()).collect()
}

fn views(history: &History, arrivals: &[Arrival]) -> Vec<HistoryView> {
    let latest = arrivals.iter().map(|a| a.at).max().unwrap_or_default();
    arrivals.iter().map(|a| history.view(&a.task, latest)).collect()
}

/// Feeds the arrivals to a collector in order; returns the features served for each start.
async fn live(arrivals: &[Arrival]) -> (Arc<MemoryStore>, Vec<(String, FeatureRow)>) {
    let store = Arc::new(MemoryStore::new());
    let clock = ManualClock::at(arrivals[0].at);
    let engineer = FeatureEngineer::default();
    let collector =
        DataCollector::open(store.clone(), engineer.clone(), Arc::new(clock.clone())).await.unwrap();
    let history = collector.history();
    let mut served = Vec::new();
    for arrival in arrivals {
        clock.set(clock.now().max(arrival.at));
        if let Some(start) = arrival.start() {
            let mut task: TaskContext = start.clone();
            task.started_at.get_or_insert(clock.now());
            let before = history.view(&task, clock.now());
            if collector.start_as(arrival.id.clone(), start).await.is_ok() {
                served.push((arrival.id.to_string(), engineer.row(&task, &before)));
            }
        } else {
            arrival.deliver(&collector).await;
        }
    }
    (store, served)
}

async fn replayed(store: &dyn EventStore) -> Vec<(String, FeatureRow)> {
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    let mut rows = Vec::new();
    let mut each = |record: Record| {
        if let crate::event::Fact::Started(started) = record.fact() {
            rows.push((record.event_id().to_string(), builder.look(&started.context, record.known_at())));
        }
        builder.apply(&record);
        Ok(())
    };
    store.for_each(ScanOrder::Known, &mut each).await.unwrap();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Late, repeated and reordered arrivals: the replay gives the features served live, bit for bit.
    #[test]
    fn replay_equals_live(arrivals in arrivals(40)) {
        block_on(async {
            let (store, served) = Box::pin(live(&arrivals)).await;
            let mut first = std::collections::HashMap::new();
            for (id, row) in served {
                first.entry(id).or_insert(row);
            }
            let replayed = replayed(store.as_ref()).await;
            prop_assert_eq!(replayed.len(), first.len());
            for (id, row) in replayed {
                prop_assert_eq!(bits(&row), bits(&first[&id]), "{}", id);
                prop_assert_eq!(&row.text, &first[&id].text);
            }
            Ok(())
        })?;
    }

    /// The order and the number of arrivals change nothing.
    #[test]
    fn the_state_depends_on_the_set_of_facts(arrivals in arrivals(40), order in any::<u64>()) {
        let records = records_of(&arrivals);
        let mut straight = History::new();
        records.iter().for_each(|r| straight.apply(r));
        let mut shuffled = records.clone();
        shuffled.extend(records.iter().take(records.len() / 2).cloned());
        shuffled.sort_by_cached_key(|r| crate::common::mix(order, &r.key()));
        let mut other = History::new();
        shuffled.iter().for_each(|r| other.apply(r));
        prop_assert_eq!(views(&straight, &arrivals), views(&other, &arrivals));
        prop_assert!(straight == other);
    }

    /// Partial histories, split at random, merge to the whole in either order.
    #[test]
    fn partial_histories_merge(arrivals in arrivals(40), split in any::<u64>()) {
        let records = records_of(&arrivals);
        let mut whole = History::new();
        let mut parts = [History::new(), History::new(), History::new()];
        for record in &records {
            whole.apply(record);
            parts[(crate::common::mix(split, &record.key()) % 3) as usize].apply(record);
        }
        let [a, b, c] = parts;
        let (mut left, mut right) = (a.clone(), c);
        left.merge(b.clone());
        left.merge(right.clone());
        right.merge(b);
        right.merge(a);
        for merged in [left, right] {
            for (got, want) in views(&merged, &arrivals).iter().zip(views(&whole, &arrivals)) {
                for scope in GroupKey::ALL {
                    let (g, w) = (got.get(scope), want.get(scope));
                    for (g, w) in [(g.all.n, w.all.n), (g.month.successes, w.month.successes), (g.open, w.open),
                        (g.week.n, w.week.n), (g.quality.sum, w.quality.sum), (g.log_seconds.sum, w.log_seconds.sum)] {
                        prop_assert!((g - w).abs() <= 1e-9 * w.abs().max(1.0), "{scope:?}: {g} against {w}");
                    }
                }
            }
        }
    }

    /// A checkpoint and later facts are the whole.
    #[test]
    fn a_checkpoint_and_later_facts_are_the_whole(arrivals in arrivals(40), share in 0.0..1.0_f64) {
        block_on(async {
            let records = records_of(&arrivals);
            let store = MemoryStore::new();
            let (early, late) = records.split_at((records.len() as f64 * share) as usize);
            store.append(early.to_vec()).await.unwrap();
            SharedHistory::open(&store).await.unwrap().checkpoint(&store).await.unwrap();
            store.append(late.to_vec()).await.unwrap();
            let resumed = SharedHistory::open(&store).await.unwrap().snapshot();
            store.put_checkpoint("history", None).await.unwrap();
            let fresh = SharedHistory::open(&store).await.unwrap().snapshot();
            prop_assert!(resumed == fresh);
            Ok(())
        })?;
    }
}

#[test]
fn a_damaged_checkpoint_is_set_aside() {
    block_on(async {
        let store = MemoryStore::new();
        store.put_checkpoint("history", Some(b"garbage".to_vec())).await.unwrap();
        assert!(SharedHistory::open(&store).await.unwrap().snapshot().is_empty());
    });
}

/// Facts of a second process reach the history of the first.
#[test]
fn facts_of_another_process_are_caught_up_with() {
    block_on(async {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::at("2025-03-01T10:00:00Z".parse().unwrap()));
        let open = || DataCollector::open(store.clone(), FeatureEngineer::default(), clock.clone());
        let (ours, theirs) = (open().await.unwrap(), open().await.unwrap());
        let task = crate::common::task("t");
        let id = theirs.start(task.clone()).await.unwrap();
        theirs.feedback(&id, crate::common::approve()).await.unwrap();
        assert_eq!(ours.history().view(&task, clock.now()).get(GroupKey::Task).all.n, 0.0);
        assert_eq!(ours.catch_up().await.unwrap(), 2);
        assert_eq!(ours.history().view(&task, clock.now()).get(GroupKey::Task).all.n, 1.0);
    });
}

#[test]
fn a_week_halves_the_recent_count() {
    let event = GenerationEvent::from_json(
        r#"{"event_id":"e","task_id":"t","agent_type":"backend","started_at":"2025-03-01T10:00:00Z",
            "completed_at":"2025-03-01T11:00:00Z","user_action":"approve"}"#,
    )
    .unwrap();
    let task = event.started.value.context.clone();
    let mut history = History::new();
    event.into_records().unwrap().iter().for_each(|record| history.apply(record));
    let view = history.view(&task, "2025-03-08T10:00:00Z".parse().unwrap());
    assert_eq!(view.get(GroupKey::Agent).all.n, 1.0);
    assert_eq!(view.get(GroupKey::Agent).week.n, 0.5);
}

/// An approval counts for the person who gave it, whoever was named; the own outcome is never in it.
#[test]
fn leniency_is_that_of_who_judged_as_of_the_start() {
    let event = |number: u32, named: &str, judge: &str, action: &str| {
        let json = format!(
            r#"{{"event_id":"e{number}","task_id":"t{number}","reviewer_id":"{named}","feedback_reviewer_id":"{judge}",
                "started_at":"2025-03-{:02}T10:00:00Z","approved_at":"2025-03-{:02}T12:00:00Z","user_action":"{action}"}}"#,
            number + 1,
            number + 1
        );
        GenerationEvent::from_json(&json).unwrap().into_records().unwrap()
    };
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    let mut seen = Vec::new();
    for number in 0..24 {
        // One who approves all, one who approves nothing; the strict one was named for half of what the other judged.
        let (named, judge, action) = match number % 4 {
            0 => ("strict", "lenient", "approve"),
            1 => ("lenient", "lenient", "approve"),
            _ => ("strict", "strict", "reject"),
        };
        for record in event(number, named, judge, action) {
            if let crate::event::Fact::Started(started) = record.fact() {
                let row = builder.look(&started.context, record.known_at());
                let at = |name| row.values[crate::features::index_of(name).unwrap()];
                seen.push((named, at("reviewer_success_rate"), at("reviewer_outcomes")));
            }
            builder.apply(&record);
        }
    }
    assert_eq!(seen[0], ("strict", 0.5, 0.0));
    // Before the outcome of its own, which the reviewer who was named did not judge.
    assert_eq!((seen[2].0, seen[2].2), ("strict", 0.0));
    let last = |name: &str| *seen.iter().rfind(|(named, ..)| *named == name).unwrap();
    let (strict, lenient) = (last("strict"), last("lenient"));
    assert!(strict.1 < 0.3 && lenient.1 > 0.7, "{strict:?} {lenient:?}");
    assert_eq!((strict.2, lenient.2), (11.0, 11.0));
    let nobody = builder.look(&crate::common::task("t"), "2025-04-01T00:00:00Z".parse().unwrap());
    assert!(nobody.values[crate::features::index_of("reviewer_success_rate").unwrap()].is_nan());
}

/// Generations of one LLM at two efforts are two groups for agent and task, and one for the LLM.
#[test]
fn an_llm_is_known_by_its_effort() {
    let mut history = History::new();
    for (number, effort) in ["\"low\"", "\"High\"", "\"high\"", "null"].into_iter().enumerate() {
        let json = format!(
            r#"{{"event_id":"e{number}","task_id":"t","model_used":"gpt-5","effort":{effort},
                "started_at":"2025-03-01T10:00:00Z","approved_at":"2025-03-01T12:00:00Z","user_action":"approve"}}"#
        );
        let records = GenerationEvent::from_json(&json).unwrap().into_records().unwrap();
        records.iter().for_each(|record| history.apply(record));
    }
    let mut task = crate::common::task("t");
    (task.agent_type, task.model_used) = (None, Some("gpt-5".into()));
    let mut outcomes = |effort: Option<&str>| {
        task.effort = effort.map(str::to_owned);
        let view = history.view(&task, "2025-03-02T10:00:00Z".parse().unwrap());
        [GroupKey::Model, GroupKey::AgentModel, GroupKey::TaskModel].map(|scope| view.get(scope).all.n)
    };
    assert_eq!(outcomes(Some("high")), [4.0, 2.0, 2.0]);
    assert_eq!(outcomes(Some("low")), [4.0, 1.0, 1.0]);
    assert_eq!(outcomes(Some("minimal")), [4.0, 0.0, 0.0]);
    assert_eq!(outcomes(None), [4.0, 0.0, 1.0]);
}
