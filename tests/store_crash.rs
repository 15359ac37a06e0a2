//! Nothing acknowledged is lost and nothing is half-written when the process is killed or the disk is full.
//!
//! The children are this test binary itself, started again with a file's path in the environment.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping
#![cfg(all(feature = "sqlite", unix))]

use chrono::DateTime;
use devmatrix_ml::event::{
    Completion, EventId, Fact, Feedback, FeedbackId, Record, TaskContext, TaskId, UserAction, UserId,
};
use devmatrix_ml::store::{EventStore, ScanOrder, SqliteOptions, SqliteStore, Subject};
use devmatrix_ml::{Error, ErrorKind, Result};
use futures_executor::block_on;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// Variable with the file that a child writes to, and its name.
const FILE: &str = "DEVMATRIX_TEST_FILE";
const RUN: &str = "DEVMATRIX_TEST_RUN";

const KILLS: usize = 200;
const THREADS: usize = 4;

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_two_hundred_kills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut acknowledged = Vec::new();
    for run in 0..KILLS {
        let of_run = kill_while_it_writes(&path, run);
        assert!(!of_run.is_empty());
        // Opening replays the log that the killed process left behind.
        let store = SqliteStore::open(&path).unwrap();
        assert_complete(&store, &of_run);
        acknowledged.extend(of_run);
    }
    assert_complete(&SqliteStore::open(&path).unwrap(), &acknowledged);
    assert_sound(&path);
    println!("{KILLS} kills, {} acknowledged events, none lost", acknowledged.len());
}

/// Not a test of its own: the child that is killed.
#[test]
fn child_writes_until_it_is_killed() {
    let (Ok(path), Ok(run)) = (std::env::var(FILE), std::env::var(RUN)) else { return };
    let store = SqliteStore::open(path).unwrap();
    thread::scope(|scope| {
        for writer in 0..THREADS {
            let (store, run) = (&store, &run);
            scope.spawn(move || {
                for n in 0.. {
                    let id = format!("{run}-{writer}-{n}");
                    block_on(store.append(event(&id))).unwrap();
                    say(&format!("ack {id}"));
                }
            });
        }
    });
}

#[test]
fn a_write_past_the_file_size_limit_fails_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    // Ignoring SIGXFSZ makes the kernel refuse the write instead of ending the process.
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\"";
    let mut sh = Command::new("sh");
    sh.arg("-c").arg(script).arg(std::env::current_exe().unwrap());
    let child = as_child(&mut sh, "child_writes_until_writes_fail", &path, 0);
    let lines: Vec<_> = lines(child).into_iter().collect();
    let acknowledged: Vec<_> =
        lines.iter().filter_map(|l| l.strip_prefix("ack ")).map(str::to_owned).collect();
    assert!(acknowledged.len() > 10, "{lines:?}");
    let failures: Vec<_> = lines.iter().filter(|l| l.starts_with("failed ")).collect();
    assert!(!failures.is_empty(), "{lines:?}");
    assert!(failures.iter().all(|l| l.starts_with("failed Unavailable")), "{failures:?}");
    let store = SqliteStore::open(&path).unwrap();
    assert_complete(&store, &acknowledged);
    // The same events again: rejected ones are accepted now, the others are duplicates.
    block_on(store.append(event("0-0-0"))).unwrap();
    block_on(store.append(event("after"))).unwrap();
    assert_sound(&path);
}

/// Not a test of its own: the child whose file may not grow.
#[test]
fn child_writes_until_writes_fail() {
    let (Ok(path), Ok(run)) = (std::env::var(FILE), std::env::var(RUN)) else { return };
    let store = SqliteStore::open(path).unwrap();
    thread::scope(|scope| {
        for writer in 0..THREADS {
            let (store, run) = (&store, &run);
            scope.spawn(move || {
                let mut failed = 0;
                let mut n = 0;
                while failed < 5 {
                    let id = format!("{run}-{writer}-{n}");
                    n += 1;
                    match block_on(store.append(event(&id))) {
                        Ok(_) => say(&format!("ack {id}")),
                        Err(error) => {
                            failed += 1;
                            say(&format!("failed {:?} {error}", error.kind()));
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn on_a_full_disk_writes_fail_until_there_is_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else {
        println!("skipped: a small disk cannot be mounted here (it takes root)");
        return;
    };
    let path = disk.0.join("events.db");
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![0; 3 << 20]).unwrap();
    let store = SqliteStore::open(&path).unwrap();

    let (mut acknowledged, failures) = fill(&store, "full");
    assert!(acknowledged.len() > 10);
    for error in &failures {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(format!("{error:#}").contains("free space"), "{error}");
    }
    // Reads still work.
    assert_complete(&store, &acknowledged);

    std::fs::remove_file(&ballast).unwrap();
    for n in 0..20 {
        let id = format!("space-{n}");
        block_on(store.append(event(&id))).unwrap();
        acknowledged.push(id);
    }
    assert_complete(&store, &acknowledged);
    drop(store);
    assert_complete(&SqliteStore::open(&path).unwrap(), &acknowledged);
    assert_sound(&path);
}

#[test]
fn an_erasure_takes_effect_on_a_nearly_full_disk_and_its_bytes_are_overwritten_later() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else {
        println!("skipped: a small disk cannot be mounted here (it takes root)");
        return;
    };
    let path = disk.0.join("events.db");
    let ballast = disk.0.join("ballast");
    let mut options = SqliteOptions::default();
    options.busy_timeout = Duration::from_millis(50);
    let store = SqliteStore::open_with(&path, options).unwrap();
    let secret = |n: usize| owned(&format!("secret-{n}"), "ann");
    // Large enough that a second copy does not fit beside the ballast.
    let rows: Vec<_> =
        (0..700).flat_map(|n| event(&format!("kept-{n}"))).chain((0..50).map(secret)).collect();
    block_on(store.append(rows)).unwrap();
    drop(store);
    std::fs::write(&ballast, vec![0; (8 << 20) - size(&disk.0) - (1 << 20)]).unwrap();

    let store = SqliteStore::open(&path).unwrap();
    let ann = Subject::User(UserId::new("ann").unwrap());
    assert_eq!(block_on(store.erase(&ann)).unwrap().events, 50);
    assert_eq!(block_on(store.get(&[EventId::new("secret-7").unwrap()])).unwrap(), [None]);
    let must_rewrite = || -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM meta WHERE name = 'overwrite')";
        rusqlite::Connection::open(&path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    // The rewrite failed and released its space.
    assert!(must_rewrite());
    assert!(size(&disk.0) < (7 << 20) + (1 << 19), "{} bytes are taken", size(&disk.0));
    block_on(store.append(event("after"))).unwrap();
    drop(store);

    std::fs::remove_file(&ballast).unwrap();
    drop(SqliteStore::open(&path).unwrap());
    assert!(!must_rewrite());
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(7).any(|w| w == b"secret-"));
    assert_complete(&SqliteStore::open(&path).unwrap(), &["kept-0".to_owned(), "after".to_owned()]);
    assert_sound(&path);
}

fn size(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len() as usize).sum()
}

fn owned(id: &str, user: &str) -> Record {
    let mut context = TaskContext::new(TaskId::new("t").unwrap());
    context.task_description = format!("describes {id}");
    context.user_id = Some(UserId::new(user).unwrap());
    let known_at = DateTime::from_timestamp_micros(0).unwrap();
    Record::new(EventId::new(id).unwrap(), known_at, Fact::Started(Box::new(context.into()))).unwrap()
}

/// Writes from several threads at once until each has failed several times.
fn fill(store: &SqliteStore, run: &str) -> (Vec<String>, Vec<Error>) {
    let write = |writer: usize| {
        let (mut acknowledged, mut failures) = (Vec::new(), Vec::new());
        for n in 0.. {
            let id = format!("{run}-{writer}-{n}");
            match block_on(store.append(event(&id))) {
                Ok(_) => acknowledged.push(id),
                Err(error) => failures.push(error),
            }
            if failures.len() == 5 {
                break;
            }
        }
        (acknowledged, failures)
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS).map(|writer| scope.spawn(move || write(writer))).collect();
        let (mut acknowledged, mut failures) = (Vec::new(), Vec::new());
        for writer in writers {
            let (a, r) = writer.join().unwrap();
            acknowledged.extend(a);
            failures.extend(r);
        }
        (acknowledged, failures)
    })
}

/// A small disk in memory, unmounted on drop.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(at).stderr(Stdio::null());
        mount.status().is_ok_and(|s| s.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Kills a child some time after its first acknowledgement; returns the acknowledged events.
fn kill_while_it_writes(path: &Path, run: usize) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = as_child(&mut command, "child_writes_until_it_is_killed", path, run);
    let lines_of_child = listen(&mut child);
    let first = lines_of_child.recv_timeout(Duration::from_secs(20)).unwrap();
    // 5 to 150 ms, spread evenly over the runs and without a pattern.
    thread::sleep(Duration::from_millis(5 + (run as u64 * 7919) % 146));
    child.kill().unwrap();
    child.wait().unwrap();
    std::iter::once(first)
        .chain(lines_of_child)
        .filter_map(|l| l.strip_prefix("ack ").map(str::to_owned))
        .collect()
}

fn as_child(command: &mut Command, test: &str, path: &Path, run: usize) -> Child {
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(FILE, path).env(RUN, run.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Returns the lines that a child prints until it exits.
fn lines(mut child: Child) -> Receiver<String> {
    let lines_of_child = listen(&mut child);
    child.wait().unwrap();
    lines_of_child
}

/// Streams the lines of a child, without those of the test harness and a truncated last one.
fn listen(child: &mut Child) -> Receiver<String> {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (tell, lines_of_child) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        while out.read_line(&mut line).is_ok_and(|n| n > 0) && line.ends_with('\n') {
            // The harness writes "test name ... " before the first line.
            let from = line.find("ack ").or_else(|| line.find("failed "));
            if from.is_some_and(|from| tell.send(line[from..].trim_end().to_owned()).is_err()) {
                break;
            }
            line.clear();
        }
        // A child must not block on a full pipe.
        let _ = out.read_to_end(&mut Vec::new());
    });
    lines_of_child
}

/// Writes a line at once, so that no two lines mix.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Asserts that every acknowledged event has all its facts once, and that no other is partial.
fn assert_complete(store: &SqliteStore, acknowledged: &[String]) {
    let ids: Vec<_> = acknowledged.iter().map(|id| EventId::new(id).unwrap()).collect();
    for (id, found) in acknowledged.iter().zip(block_on(store.get(&ids)).unwrap()) {
        let found = found.unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
        assert!(found.into_records().unwrap() == event(id), "{id} is not what was written");
    }
}

/// Asserts that SQLite finds no fault in the file, every row's checksum is right, and no batch is partial.
fn assert_sound(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    let by_knowledge = scan(&store, ScanOrder::Known).unwrap();
    let by_arrival = scan(&store, ScanOrder::Arrival).unwrap();
    let keys: HashSet<_> = by_arrival.iter().map(Record::key).collect();
    assert_eq!(keys.len(), by_arrival.len(), "a record is stored twice");
    assert_eq!(by_knowledge.len(), by_arrival.len());
    let events: HashSet<_> = by_arrival.iter().map(|r| r.event_id().clone()).collect();
    assert_eq!(events.len() * 3, by_arrival.len(), "a batch is partial");
    drop(store);
    let db = rusqlite::Connection::open(path).unwrap();
    let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

fn scan(store: &SqliteStore, order: ScanOrder) -> Result<Vec<Record>> {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = block_on(store.scan(order, cursor.as_ref(), 10_000))?;
        if page.records.is_empty() {
            return Ok(records);
        }
        records.extend(page.records);
        cursor = page.next;
    }
}

/// Returns a batch: the three facts of one event.
fn event(id: &str) -> Vec<Record> {
    let mut context = TaskContext::new(TaskId::new("t").unwrap());
    context.task_description = format!("describes {id} ").repeat(20);
    let completion = Completion::default();
    let mut feedback = Feedback::new(UserAction::Approve);
    feedback.feedback_id = Some(FeedbackId::new("f").unwrap());
    [
        Fact::Started(Box::new(context.into())),
        Fact::Completed(Box::new(completion)),
        Fact::Feedback(Box::new(feedback)),
    ]
    .into_iter()
    .zip(0..)
    .map(|(fact, micros)| {
        let known_at = DateTime::from_timestamp_micros(1_740_000_000_000_000 + micros).unwrap();
        Record::new(EventId::new(id).unwrap(), known_at, fact).unwrap()
    })
    .collect()
}
