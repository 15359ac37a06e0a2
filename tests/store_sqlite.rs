//! Faults of a store in a file: damage, other versions, other processes, erased bytes.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping
#![cfg(feature = "sqlite")]

use chrono::DateTime;
use devmatrix_ml::event::FeatureVector;
use devmatrix_ml::event::{
    EventId, Fact, Feedback, FeedbackId, Record, TaskContext, TaskId, UserAction, UserId,
};
use devmatrix_ml::store::{
    Appended, Cursor, Durability, EventStore, EventStoreExt, ScanOrder, SqliteOptions, SqliteStore, Subject,
};
use devmatrix_ml::{Error, ErrorKind};
use futures_executor::block_on;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[test]
fn a_changed_row_is_found_and_named() {
    for change in [
        "UPDATE facts SET body = replace(body, 'words', 'wordz') WHERE event_id = 'e1'",
        "UPDATE facts SET known_at = known_at + 1 WHERE event_id = 'e1'",
        "UPDATE facts SET user_id = 'someone' WHERE event_id = 'e1'",
        "UPDATE facts SET project_id = 'another' WHERE event_id = 'e1'",
        "UPDATE facts SET reviewer_id = 'someone' WHERE event_id = 'e1'",
        "UPDATE facts SET part = 'x' WHERE event_id = 'e1'",
        "UPDATE facts SET crc = crc + 1 WHERE event_id = 'e1'",
        "UPDATE facts SET seq = 77 WHERE event_id = 'e1'",
    ] {
        let (_folder, path) = file();
        let store = SqliteStore::open(&path).unwrap();
        write(&store, &[started("e0", 0), started("e1", 1)]);
        // SQLite does not cast a blob back: `body` must stay one.
        let change = change
            .replace("replace(body, 'words', 'wordz')", "CAST(replace(body, 'words', 'wordz') AS BLOB)");
        assert_eq!(Connection::open(&path).unwrap().execute(&change, []).unwrap(), 1, "{change}");
        let row = if change.contains("seq") { "row 77" } else { "row 2" };
        let errors = [
            block_on(store.get(&[id("e1")])).unwrap_err(),
            block_on(store.scan(ScanOrder::Known, None, 10)).unwrap_err(),
            block_on(store.scan(ScanOrder::Arrival, None, 10)).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{change}: {error}");
            assert!(format!("{error:#}").contains(row) && format!("{error:#}").contains("facts"), "{error}");
        }
        assert!(block_on(store.event(&id("e0"))).is_ok());
    }
}

#[test]
fn damage_to_other_tables_is_found() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    write(&store, &[started("e", 0), feedback("e", 1), feedback("f", 2)]);
    block_on(store.put_features(vec![FeatureVector::new(id("e"), 1, &[1.0])])).unwrap();
    block_on(store.put_checkpoint("history", Some(vec![1, 2]))).unwrap();
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "UPDATE features SET body = x'0000'; UPDATE checkpoints SET bytes = x'0103';
         UPDATE waiting SET event_id = 'g'; INSERT INTO meta VALUES ('erasures', 1, 0);",
    )
    .unwrap();
    let kinds = [
        block_on(store.features(&[id("e")])).map(drop),
        block_on(store.checkpoint("history")).map(drop),
        block_on(store.without_features(None, 1)).map(drop),
        block_on(store.erasures()).map(drop),
    ];
    for result in kinds {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// All that a store answers of what is in it, each answer or the error instead.
fn answers(store: &SqliteStore, records: &[Record]) -> Vec<(&'static str, Result<String, Error>)> {
    let ids: Vec<_> = records.iter().map(|record| record.event_id().clone()).collect();
    let scan = |order| block_on(store.scan(order, None, 10_000)).map(|page| format!("{:?}", page.records));
    let each = |id: &EventId| block_on(store.get(std::slice::from_ref(id)));
    let events: Result<Vec<_>, _> = ids.iter().map(each).collect();
    vec![
        ("by arrival", scan(ScanOrder::Arrival)),
        ("by knowledge", scan(ScanOrder::Known)),
        ("events", events.map(|events| format!("{events:?}"))),
        ("features", block_on(store.features(&ids)).map(|found| format!("{found:?}"))),
        ("waiting", block_on(store.without_features(None, 10_000)).map(|found| format!("{found:?}"))),
        ("checkpoint", block_on(store.checkpoint("history")).map(|found| format!("{found:?}"))),
        ("erasures", block_on(store.erasures()).map(|found| found.to_string())),
        ("again", block_on(store.append(records.to_vec())).map(|found| format!("{found:?}"))),
        ("erased", block_on(store.append(vec![started("gone", 0)])).map(|found| format!("{found:?}"))),
    ]
}

/// Returns where two texts begin to differ.
fn first_difference(found: &str, right: &str) -> String {
    let at = found.bytes().zip(right.bytes()).take_while(|(a, b)| a == b).count().saturating_sub(40);
    let part = |text: &str| text.chars().skip(at).take(120).collect::<String>();
    format!("{} bytes for {}: …{}… for …{}…", found.len(), right.len(), part(found), part(right))
}

/// Each bit of the file is as good as another: `DEVMATRIX_FLIPS=3000` for all that was measured.
#[test]
fn flipped_bits_of_the_file_are_noticed_or_harmless_and_the_rest_goes_on() {
    let flips = std::env::var("DEVMATRIX_FLIPS").map_or(150, |n| n.parse().unwrap());
    let (folder, path) = file();
    let mut records: Vec<_> = (0..200).map(|n| started(&format!("e{n:03}"), n)).collect();
    records.extend((0..100).map(|n| feedback(&format!("e{n:03}"), 300 + n)));
    let store = SqliteStore::open(&path).unwrap();
    let mut gone = TaskContext::new(TaskId::new("t").unwrap());
    gone.user_id = Some(UserId::new("gone").unwrap());
    let gone = Fact::Started(Box::new(gone.into()));
    write(&store, &[Record::new(id("gone"), DateTime::UNIX_EPOCH, gone).unwrap()]);
    block_on(store.erase(&Subject::User(UserId::new("gone").unwrap()))).unwrap();
    write(&store, &records);
    let vectors = (0..50).map(|n| FeatureVector::new(id(&format!("e{n:03}")), 1, &[n as f32]));
    block_on(store.put_features(vectors.collect())).unwrap();
    block_on(store.put_checkpoint("history", Some(vec![7; 500]))).unwrap();
    let right: Vec<_> =
        answers(&store, &records).into_iter().map(|(name, answer)| (name, answer.unwrap())).collect();
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    let (mut noticed, mut partly, mut wrong) = (0, 0, Vec::<String>::new());
    for step in 0..flips {
        let mut bytes = whole.clone();
        let at = (step * 7919 + 104_729) % bytes.len();
        bytes[at] ^= 1 << (step % 8);
        let damaged = folder.path().join(format!("damaged-{step}.db"));
        std::fs::write(&damaged, bytes).unwrap();
        let allowed = |what: &str, error: &Error| {
            let known = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible);
            assert!(known, "byte {at}, {what}: {:?}: {error:#}", error.kind());
        };
        match SqliteStore::open(&damaged) {
            Ok(store) => {
                let mut errors = 0;
                for ((name, right), (_, answer)) in right.iter().zip(answers(&store, &records)) {
                    match answer {
                        Ok(answer) if answer == *right => {}
                        // Of what was erased nothing is kept but a digest, which has no second copy.
                        Ok(_) if *name == "erased" => {}
                        Ok(answer) => {
                            wrong.push(format!("byte {at}: {name}: {}", first_difference(&answer, right)));
                        }
                        Err(error) => {
                            allowed(name, &error);
                            errors += 1;
                        }
                    }
                }
                noticed += usize::from(errors > 0);
                partly += usize::from(errors > 0 && errors < right.len());
            }
            Err(error) => {
                allowed("open", &error);
                noticed += 1;
            }
        }
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(folder.path().join(format!("damaged-{step}.db{end}")));
        }
    }
    println!("{flips} flipped bits: {noticed} noticed, of which {partly} leave other answers whole");
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
    assert!(noticed > flips / 5 && partly > noticed / 3, "{noticed} of {flips}, {partly}");
}

/// A file of a release that knew no reviewers is read, and takes them from then on.
#[test]
fn a_file_without_reviewers_is_brought_up_to_date() {
    let (_folder, path) = file();
    let old = [owned("e", 0, "ann"), feedback("e", 1), started("f", 2)];
    let store = SqliteStore::open(&path).unwrap();
    write(&store, &old);
    drop(store);
    let undo =
        "DROP INDEX facts_reviewer; ALTER TABLE facts DROP COLUMN reviewer_id; ALTER TABLE leases DROP COLUMN watched;
         PRAGMA user_version = 2;";
    Connection::open(&path).unwrap().execute_batch(undo).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(block_on(store.scan(ScanOrder::Arrival, None, 10)).unwrap().records, old);
    let mut judged = Feedback::new(UserAction::Reject);
    judged.feedback_id = Some(FeedbackId::new("judged").unwrap());
    judged.reviewer_id = Some(UserId::new("ann").unwrap());
    write(&store, &[Record::new(id("f"), at(3), Fact::Feedback(Box::new(judged))).unwrap()]);
    assert_eq!(block_on(store.erase(&ann())).unwrap().events, 2);
}

#[test]
fn a_newer_schema_is_rejected_and_left_unchanged() {
    let (_folder, path) = file();
    drop(SqliteStore::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(
        format!("{error:#}").contains("version 99") && format!("{error:#}").contains("upgrade"),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn files_of_others_are_rejected_with_the_path() {
    let (folder, path) = file();
    std::fs::write(&path, "these are notes, not a database\n".repeat(100)).unwrap();
    assert_rejected(&path, ErrorKind::Corrupt, "no SQLite database");
    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    assert_rejected(&other, ErrorKind::Incompatible, "another application");
    assert_rejected(&folder.path().join("missing/events.db"), ErrorKind::Unavailable, "folder exists");
    assert_rejected(folder.path(), ErrorKind::Unavailable, "cannot be opened");
    assert_rejected(Path::new(":memory:"), ErrorKind::InvalidInput, "MemoryStore");
    assert_rejected(Path::new(""), ErrorKind::InvalidInput, "path");
}

#[test]
fn everything_is_there_after_reopening() {
    let (_folder, path) = file();
    let records = [started("e", 0), completed_later("e"), feedback("e", 9), feedback("f", 3)];
    let vector = FeatureVector::new(id("e"), 3, &[1.0, f32::NAN]);
    {
        let store = SqliteStore::open(&path).unwrap();
        write(&store, &records);
        write(&store, &[owned("gone", 4, "ann")]);
        block_on(store.erase(&ann())).unwrap();
        block_on(store.put_features(vec![vector.clone()])).unwrap();
        block_on(store.put_checkpoint("history", Some(vec![7]))).unwrap();
    }
    let mut options = SqliteOptions::default();
    options.durability = Durability::Normal;
    options.readers = 0;
    let store = SqliteStore::open_with(&path, options).unwrap();
    assert_eq!(block_on(store.scan(ScanOrder::Arrival, None, 10)).unwrap().records, records);
    assert_eq!(block_on(store.features(&[id("e")])).unwrap(), [Some(vector)]);
    assert_eq!(block_on(store.without_features(None, 10)).unwrap(), [id("f")]);
    assert_eq!(block_on(store.checkpoint("history")).unwrap(), Some(vec![7]));
    assert_eq!(block_on(store.erasures()).unwrap(), 1);
    assert_eq!(block_on(store.append(vec![owned("gone", 4, "ann")])).unwrap(), [Appended::Erased]);
}

#[test]
fn dropping_the_store_completes_queued_writes() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    for n in 0..50 {
        // Polled once, so that it is queued, and then dropped.
        let mut write = std::pin::pin!(store.append(vec![started(&format!("e{n}"), n)]));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = write.as_mut().poll(&mut context);
    }
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(block_on(store.scan(ScanOrder::Arrival, None, 100)).unwrap().records.len(), 50);
}

#[test]
fn stores_that_share_a_file_skip_no_record() {
    const STORES: usize = 4;
    const EACH: usize = 60;
    let (_folder, path) = file();
    let start = Barrier::new(STORES + 1);
    thread::scope(|scope| {
        for writer in 0..STORES {
            let (path, start) = (&path, &start);
            scope.spawn(move || {
                start.wait();
                // All open a file that does not exist yet, at once.
                let store = SqliteStore::open(path).unwrap();
                for n in 0..EACH {
                    let batch = vec![started(&format!("{writer}-{n}"), n as i64), started("shared", 0)];
                    block_on(store.append(batch)).unwrap();
                }
            });
        }
        start.wait();
        let store = SqliteStore::open(&path).unwrap();
        let (mut seen, mut cursor): (Vec<Record>, Option<Cursor>) = (Vec::new(), None);
        let deadline = Instant::now() + Duration::from_mins(1);
        while seen.len() < STORES * EACH + 1 && Instant::now() < deadline {
            let page = block_on(store.scan(ScanOrder::Arrival, cursor.as_ref(), 7)).unwrap();
            cursor = page.next;
            seen.extend(page.records);
        }
        assert_eq!(seen.len(), STORES * EACH + 1);
        seen.sort_by_key(Record::key);
        seen.dedup_by_key(|r| r.key());
        assert_eq!(seen.len(), STORES * EACH + 1);
    });
}

#[test]
fn a_locked_file_is_an_error_until_it_is_released() {
    let (_folder, path) = file();
    let mut options = SqliteOptions::default();
    options.busy_timeout = Duration::from_millis(50);
    let store = SqliteStore::open_with(&path, options).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = block_on(store.append(vec![started("e", 0)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:#}").contains("another process"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    write(&store, &[started("e", 0)]);
}

#[test]
fn a_failing_request_does_not_fail_others_of_its_group() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    write(&store, &[started("damaged", 0)]);
    Connection::open(&path).unwrap().execute("UPDATE facts SET crc = 0", []).unwrap();
    // While the file is locked, requests queue up into one group.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let good: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let store = &store;
                    move || block_on(store.append(vec![started(&format!("e{n}"), n)]))
                })
            })
            .collect();
        let bad = scope.spawn(|| block_on(store.append(vec![started("new", 1), started("damaged", 0)])));
        thread::sleep(Duration::from_millis(200));
        other.execute_batch("ROLLBACK").unwrap();
        for write in good {
            assert_eq!(write.join().unwrap().unwrap(), [Appended::New]);
        }
        assert_eq!(bad.join().unwrap().unwrap_err().kind(), ErrorKind::Corrupt);
    });
    // Atomic: the valid half of the bad request is not stored.
    assert_eq!(block_on(store.get(&[id("new")])).unwrap(), [None]);
}

#[test]
fn erased_text_is_overwritten_in_the_files() {
    let (folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    // Enough records, in random order, to split and merge pages of every index.
    for chunk in 0..30 {
        let batch: Vec<_> = (0..100)
            .flat_map(|n| {
                let n = (chunk * 100 + n) * 7919 % 3000;
                let owner = if n % 3 == 0 { "ann-the-secret" } else { "bob" };
                let id = format!("{owner}-event-{n}");
                [owned(&id, n, owner), feedback(&id, n + 1)]
            })
            .collect();
        write(&store, &batch);
    }
    let vectors =
        (0..1000).map(|n| FeatureVector::new(id(&format!("ann-the-secret-event-{}", n * 3)), 1, &[1.0; 9]));
    block_on(store.put_features(vectors.collect())).unwrap();
    block_on(store.put_checkpoint("history", Some(b"about ann-the-secret".repeat(1000)))).unwrap();
    assert!(occurrences(folder.path(), "ann-the-secret") > 0);
    let subject = Subject::User(UserId::new("ann-the-secret").unwrap());
    assert_eq!(block_on(store.erase(&subject)).unwrap().events, 1000);
    assert_eq!(occurrences(folder.path(), "ann-the-secret"), 0);
    assert!(occurrences(folder.path(), "bob") > 0);
    assert_eq!(block_on(store.scan(ScanOrder::Arrival, None, 10_000)).unwrap().records.len(), 4000);
}

#[test]
fn erased_text_that_a_reader_pins_is_overwritten_later() {
    let (folder, path) = file();
    let mut options = SqliteOptions::default();
    options.busy_timeout = Duration::from_millis(50);
    let store = SqliteStore::open_with(&path, options).unwrap();
    write(&store, &[owned("e", 0, "ann"), started("kept", 1)]);
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM facts").unwrap();
    assert_eq!(block_on(store.erase(&ann())).unwrap().events, 1);
    assert_eq!(block_on(store.get(&[id("e")])).unwrap(), [None]);
    assert!(occurrences(folder.path(), "words for ann") > 0);
    reader.execute_batch("COMMIT").unwrap();
    drop(store);
    drop(SqliteStore::open(&path).unwrap());
    assert_eq!(occurrences(folder.path(), "words for ann"), 0);
    assert!(occurrences(folder.path(), "words for bob") > 0);
}

#[test]
fn a_description_of_a_hundred_megabytes_round_trips() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).unwrap();
    let mut context = TaskContext::new(TaskId::new("t").unwrap());
    context.task_description = "0123456789".repeat(10_000_000);
    let record = Record::new(id("huge"), at(0), Fact::Started(Box::new(context.into()))).unwrap();
    write(&store, std::slice::from_ref(&record));
    let found = block_on(store.scan(ScanOrder::Known, None, 10)).unwrap().records;
    assert!(found == [record], "the description changed");
    // The log shrinks again.
    write(&store, &[started("small", 1)]);
    write(&store, &[started("small2", 1)]);
    let log = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
    assert!(log < 80_000_000, "the log has {log} bytes");
}

fn assert_rejected(path: &Path, kind: ErrorKind, why: &str) {
    let error: Error = SqliteStore::open(path).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(format!("{error:#}").contains(why), "{error}");
    assert!(
        kind == ErrorKind::InvalidInput || format!("{error:#}").contains(&path.display().to_string()),
        "{error}"
    );
}

/// Counts occurrences of `text` in the files of `folder`.
fn occurrences(folder: &Path, text: &str) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.map(|bytes| bytes.windows(text.len()).filter(|w| *w == text.as_bytes()).count()).sum()
}

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    (folder, path)
}

fn write(store: &SqliteStore, records: &[Record]) {
    let appended = block_on(store.append(records.to_vec())).unwrap();
    assert!(appended.iter().all(|a| *a == Appended::New), "{appended:?}");
}

fn id(id: &str) -> EventId {
    EventId::new(id).unwrap()
}

fn at(micros: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp_micros(1_740_000_000_000_000 + micros).unwrap()
}

fn ann() -> Subject {
    Subject::User(UserId::new("ann").unwrap())
}

fn started(event: &str, micros: i64) -> Record {
    owned(event, micros, "bob")
}

fn owned(event: &str, micros: i64, user: &str) -> Record {
    let mut context = TaskContext::new(TaskId::new("t").unwrap());
    context.task_description = format!("some words for {user}");
    context.user_id = Some(UserId::new(user).unwrap());
    Record::new(id(event), at(micros), Fact::Started(Box::new(context.into()))).unwrap()
}

fn completed_later(event: &str) -> Record {
    Record::new(id(event), at(5), Fact::Completed(Box::default())).unwrap()
}

fn feedback(event: &str, micros: i64) -> Record {
    let mut feedback = Feedback::new(UserAction::Approve);
    feedback.feedback_id = Some(FeedbackId::new(format!("{event}-f")).unwrap());
    Record::new(id(event), at(micros), Fact::Feedback(Box::new(feedback))).unwrap()
}
