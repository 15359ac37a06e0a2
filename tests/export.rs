//! Export to Parquet and import round-trip.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, TimeDelta, Utc};
use common::{anything, approve, task, world::store_from, world::store_of};
use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::dataset::{Dataset, DatasetBuilder, Target};
use devmatrix_ml::event::{Completion, EventId, Fact, Record, TaskContext, TaskId};
use devmatrix_ml::export::{
    ExportOptions, read_dataset, read_events, write_dataset, write_events, write_features,
};
use devmatrix_ml::features::{FeatureEngineer, FeatureOptions, HostColumn, HostColumns};
use devmatrix_ml::models::{Predictor, SuccessTrainer, TimeTrainer, Trainer};
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStore, EventStoreExt, MemoryStore, ScanOrder};
use futures_executor::block_on;
use proptest::collection::vec;
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::tempdir;

#[test]
fn a_store_imported_from_a_file_replays_to_the_same_bits() {
    let (store, clock) = store_of(60, 20.0, 3);
    let folder = tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    let written = block_on(write_events(store.as_ref(), &path, &ExportOptions::default())).unwrap();
    assert_eq!(written.bytes, fs::metadata(&path).unwrap().len());
    let other = MemoryStore::new();
    let read = block_on(read_events(&path, &other)).unwrap();
    assert_eq!((read.new, read.duplicates), (written.rows, 0));
    assert_eq!(facts(store.as_ref()), facts(&other));
    for target in [Target::Success, Target::Complexity, Target::Time, Target::Quality, Target::Tokens] {
        let [a, b] = [store.as_ref(), &other].map(|store| rows(store, &clock, target).fingerprint());
        assert_eq!(a, b, "{target}");
    }
    // The same events make the same file; read again they change nothing.
    let again = block_on(write_events(&other, folder.path().join("again"), &ExportOptions::default()));
    assert_eq!(again.unwrap().sha256, written.sha256);
    let read = block_on(read_events(&path, &other)).unwrap();
    assert_eq!((read.new, read.duplicates), (0, written.rows));
}

#[test]
fn training_from_the_file_gives_the_same_artefact_as_from_the_store() {
    let (store, clock) = store_of(40, 15.0, 4);
    for target in [Target::Success, Target::Complexity, Target::Time, Target::Quality, Target::Tokens] {
        assert_same_training(store.as_ref(), &clock, target);
    }
}

#[test]
fn columns_of_the_hosts_own_are_read_back_and_only_as_they_were_declared() {
    let declared = |names: [&str; 2]| HostColumns::new(names.map(HostColumn::number)).unwrap();
    let engineer = |columns| FeatureEngineer::new(FeatureOptions::default().with_columns(columns));
    let (a, b) = (engineer(declared(["a", "b"])), engineer(declared(["b", "a"])));
    let mut builder = DatasetBuilder::new(a.clone());
    let with_column = |(i, generation): (usize, Generation)| {
        let mut event = generation.into_event();
        event.started.value.context.columns.insert("a".to_owned(), (i as f64).into());
        event.into_records().unwrap()
    };
    let world = Simulator::new(SimulatorOptions::default()).unwrap();
    let mut records: Vec<Record> = world.take(40).enumerate().flat_map(with_column).collect();
    records.sort_by_cached_key(|record| (record.known_at(), record.key()));
    records.iter().for_each(|record| builder.apply(record));
    let rows = builder.rows(Target::Success, day("2030-01-01"), 1_000);
    assert!(rows.examples.len() > 20);
    let folder = tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    write_dataset(&rows, &path).unwrap();
    assert_eq!(read_dataset(&path, &a).unwrap().fingerprint(), rows.fingerprint());
    for other in [b, FeatureEngineer::default()] {
        let error = read_dataset(&path, &other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
        assert!(error.to_string().contains("columns are declared otherwise"), "{error}");
    }
}

#[test]
fn label_requests_are_exported_with_the_training_set() {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.seed) = (60, 30.0, 5);
    (options.feedback_share, options.failed_feedback_share, options.audit_share) = (0.3, Some(0.8), 0.2);
    let (store, clock) = store_from(options);
    let data = rows(store.as_ref(), &clock, Target::Success);
    assert!(data.examples.iter().any(|e| e.propensity < 0.9), "no propensity is below 1");
    assert_same_training(store.as_ref(), &clock, Target::Success);
}

/// Asserts that a training set round-trips, and trains to the same artefact.
fn assert_same_training(store: &MemoryStore, clock: &ManualClock, target: Target) {
    let folder = tempdir().unwrap();
    let engineer = FeatureEngineer::default();
    let path = folder.path().join(target.name());
    let data = rows(store, clock, target);
    write_dataset(&data, &path).unwrap();
    let read = read_dataset(&path, &engineer).unwrap();
    assert_eq!(read.fingerprint(), data.fingerprint());
    // Earlier cutoffs depend on more than the fingerprint covers.
    let middle = data.examples[data.examples.len() / 2].started_at;
    assert_eq!(format!("{:?}", read.until(middle)), format!("{:?}", data.until(middle)));
    assert_eq!(format!("{read:?}"), format!("{data:?}"));
    match target {
        Target::Success => assert_same_artefact(&SuccessTrainer::default(), &read, &data),
        Target::Time => assert_same_artefact(&TimeTrainer::default(), &read, &data),
        _ => {}
    }
}

#[test]
fn monthly_exports_add_up_to_the_whole() {
    let (store, _) = store_of(70, 5.0, 5);
    let (folder, other) = (tempdir().unwrap(), MemoryStore::new());
    let mut rows = 0;
    for (i, [from, until]) in
        [[None, Some("2025-02-01")], [Some("2025-02-01"), Some("2025-03-01")], [Some("2025-03-01"), None]]
            .into_iter()
            .enumerate()
    {
        let mut options = ExportOptions::default();
        (options.from, options.until) = (from.map(day), until.map(day));
        let path = folder.path().join(i.to_string());
        let written = block_on(write_events(store.as_ref(), &path, &options)).unwrap();
        assert!(written.rows > 50, "{written:?}");
        rows += written.rows;
        block_on(read_events(&path, &other)).unwrap();
    }
    assert_eq!(rows as usize, facts(&other).len());
    assert_eq!(facts(store.as_ref()), facts(&other));
}

#[test]
fn feature_vectors_of_another_schema_are_left_out() {
    let clock = Arc::new(ManualClock::at("2025-03-03T09:00:00Z".parse().unwrap()));
    let (store, engineer) = (Arc::new(MemoryStore::new()), FeatureEngineer::default());
    block_on(async {
        let collector = DataCollector::open(store.clone(), engineer.clone(), clock.clone()).await.unwrap();
        for i in 0..20 {
            let event = collector.start(task(&format!("t{i}"))).await.unwrap();
            collector.complete(&event, Completion::default()).await.unwrap();
            if i < 15 {
                collector.feedback(&event, approve()).await.unwrap();
            }
            clock.advance(TimeDelta::hours(1));
        }
        collector.flush().await.unwrap();
        let folder = tempdir().unwrap();
        let path = folder.path().join("features.parquet");
        let all = ExportOptions::default();
        let written = write_features(store.as_ref(), &engineer, &path, &all).await.unwrap();
        assert_eq!((written.rows, written.skipped), (15, 5));
        let other = FeatureEngineer::new(in_zone(chrono_tz::Asia::Tokyo));
        let written = write_features(store.as_ref(), &other, &path, &all).await.unwrap();
        assert_eq!((written.rows, written.skipped), (0, 20));
    });
}

#[test]
fn unreadable_files_are_errors_with_the_reason() {
    let (store, clock) = store_of(20, 5.0, 6);
    let folder = tempdir().unwrap();
    let (events, data) = (folder.path().join("events"), folder.path().join("data"));
    let engineer = FeatureEngineer::default();
    block_on(write_events(store.as_ref(), &events, &ExportOptions::default())).unwrap();
    write_dataset(&rows(store.as_ref(), &clock, Target::Success), &data).unwrap();
    let is = |path: &Path, engineer: &FeatureEngineer, kind, says: &str| {
        let error = read_dataset(path, engineer).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = format!("{error:#}");
        assert!(text.contains(says) && text.contains(path.to_str().unwrap()), "{text}");
    };
    let tokyo = FeatureEngineer::new(in_zone(chrono_tz::Asia::Tokyo));
    is(&data, &tokyo, ErrorKind::Incompatible, "export it again");
    is(&events, &engineer, ErrorKind::Incompatible, "expected \"dataset 1\"");
    is(&folder.path().join("none"), &engineer, ErrorKind::NotFound, "no such file");
    fs::write(folder.path().join("text"), "event_id,label\n").unwrap();
    is(&folder.path().join("text"), &engineer, ErrorKind::InvalidInput, "no Parquet file");
    let external = [&b"PAR1"[..], &[0; 40], &[40, 0, 0, 0], b"PAR1"].concat();
    fs::write(folder.path().join("external"), external).unwrap();
    is(&folder.path().join("external"), &engineer, ErrorKind::InvalidInput, "not written here");
    let error = block_on(read_events(&data, &MemoryStore::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
}

#[test]
fn a_failed_write_keeps_the_old_file() {
    let (store, clock) = store_of(20, 5.0, 6);
    let folder = tempdir().unwrap();
    let path = folder.path().join("data");
    let mut data = rows(store.as_ref(), &clock, Target::Success);
    let old = write_dataset(&data, &path).unwrap();
    Arc::make_mut(&mut data.examples.last_mut().unwrap().features).values.pop();
    let error = write_dataset(&data, &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(format!("{error:#}").contains(data.examples.last().unwrap().event_id.as_str()), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the old file");
    assert_eq!(fs::metadata(&path).unwrap().len(), old.bytes);
    let nowhere = folder.path().join("none/data");
    data.examples.clear();
    assert_eq!(write_dataset(&data, nowhere).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(write_dataset(&data, "/").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_empty_store_exports_no_rows() {
    let (folder, store) = (tempdir().unwrap(), MemoryStore::new());
    let path = folder.path().join("empty");
    assert_eq!(block_on(write_events(&store, &path, &ExportOptions::default())).unwrap().rows, 0);
    assert_eq!(block_on(read_events(&path, &store)).unwrap().new, 0);
}

#[tokio::test]
async fn its_futures_can_be_spawned() {
    let (store, _) = store_of(5, 5.0, 6);
    let folder = tempdir().unwrap();
    let path = folder.path().join("events");
    let file = path.clone();
    let write = async move { write_events(store.as_ref(), file, &ExportOptions::default()).await };
    let rows = tokio::spawn(write).await.unwrap().unwrap().rows;
    let read = tokio::spawn(async move { read_events(path, &MemoryStore::new()).await });
    assert_eq!(read.await.unwrap().unwrap().new, rows);
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        anything::started().prop_map(|f| Fact::Started(Box::new(f))),
        anything::completion().prop_map(|f| Fact::Completed(Box::new(f))),
        anything::feedback().prop_map(|f| Fact::Feedback(Box::new(f))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    /// Any facts: hostile texts, completions without a start, nested metadata.
    #[test]
    fn any_facts_round_trip(facts_in in vec((anything::id(EventId::new), anything::time(), fact()), 0..20)) {
        let records = facts_in.into_iter().filter_map(|(id, at, fact)| Record::new(id, at, fact).ok());
        let (store, other) = (MemoryStore::new(), MemoryStore::new());
        block_on(store.append(records.collect())).unwrap();
        let folder = tempdir().unwrap();
        let path = folder.path().join("events");
        block_on(write_events(&store, &path, &ExportOptions::default())).unwrap();
        block_on(read_events(&path, &other)).unwrap();
        prop_assert_eq!(facts(&store), facts(&other));
    }
}

#[test]
fn one_large_text_and_many_small_ones() {
    let store = MemoryStore::new();
    let at: DateTime<Utc> = "2025-03-03T09:00:00Z".parse().unwrap();
    let record = |i: usize, length: usize| {
        let mut context = TaskContext::new(TaskId::new(format!("t{i}")).unwrap());
        context.task_description = "a line of text\n".repeat(length / 15);
        let fact = Fact::Started(Box::new(context.into()));
        Record::new(EventId::new(format!("e{i}")).unwrap(), at, fact).unwrap()
    };
    block_on(store.append((0..2_000).map(|i| record(i, if i == 999 { 40_000_000 } else { 30 })).collect()))
        .unwrap();
    let (folder, other) = (tempdir().unwrap(), MemoryStore::new());
    let path = folder.path().join("events");
    block_on(write_events(&store, &path, &ExportOptions::default())).unwrap();
    assert_eq!(block_on(read_events(&path, &other)).unwrap().new, 2_000);
    assert!(facts(&store) == facts(&other));
}

fn assert_same_artefact<T: Trainer>(trainer: &T, a: &Dataset, b: &Dataset) {
    let artefact = |data| trainer.fit(data).unwrap().to_bytes().unwrap();
    assert!(artefact(a) == artefact(b), "{} from the file differs", trainer.name());
}

fn facts(store: &dyn EventStore) -> Vec<Record> {
    let mut all = Vec::new();
    let mut each = |record| {
        all.push(record);
        Ok(())
    };
    block_on(store.for_each(ScanOrder::Known, &mut each)).unwrap();
    all
}

fn rows(store: &dyn EventStore, clock: &ManualClock, target: Target) -> Dataset {
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    facts(store).iter().for_each(|record| builder.apply(record));
    builder.rows(target, clock.now(), usize::MAX)
}

fn day(text: &str) -> DateTime<Utc> {
    format!("{text}T00:00:00Z").parse().unwrap()
}

fn in_zone(zone: chrono_tz::Tz) -> FeatureOptions {
    let mut options = FeatureOptions::default();
    options.zone = zone;
    options
}
