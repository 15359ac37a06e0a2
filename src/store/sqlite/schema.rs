//! The file: how it is opened, what it holds, and how an older one is brought up to date.

use super::fault::{fault, is_busy};
use super::{Durability, SqliteOptions, read};
use crate::error::{Error, ErrorKind, Result};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Marks the file as ours: "DMML".
const APPLICATION_ID: i64 = 0x444D_4D4C;

/// Step `n` brings a file of version `n` to `n + 1`; steps are only ever added.
const MIGRATIONS: &[&str] = &[V1, V2, V3, V4];

/// - Text compares bytewise (`BINARY`, the default), like [`crate::event::RecordKey`].
/// - `AUTOINCREMENT` never gives a number again, not even after an erasure of the last rows: a
///   cursor of arrival would otherwise skip what came after it.
/// - `waiting` holds the events judged since their features were put, so that asking for them does
///   not read all events.
const V1: &str = "
CREATE TABLE facts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    kind INTEGER NOT NULL,
    part TEXT NOT NULL,
    known_at INTEGER NOT NULL,
    user_id TEXT,
    project_id TEXT,
    body BLOB NOT NULL,
    crc INTEGER NOT NULL,
    UNIQUE (event_id, kind, part)
) STRICT;
CREATE INDEX facts_known ON facts (known_at, event_id, kind, part);
CREATE INDEX facts_user ON facts (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX facts_project ON facts (project_id) WHERE project_id IS NOT NULL;
CREATE TABLE features (
    event_id TEXT PRIMARY KEY,
    body BLOB NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE TABLE waiting (event_id TEXT PRIMARY KEY, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (name TEXT PRIMARY KEY, bytes BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE erased (digest BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Who may do what several could do, until when (microseconds since 1970).
const V2: &str = "
CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// The person who judged, or will judge.
const V3: &str = "
ALTER TABLE facts ADD COLUMN reviewer_id TEXT;
CREATE INDEX facts_reviewer ON facts (reviewer_id) WHERE reviewer_id IS NOT NULL;
";

/// Since when a lease that lasts too long is watched (microseconds since 1970).
const V4: &str = "ALTER TABLE leases ADD COLUMN watched INTEGER;";

/// The path made absolute: the working directory may change while the store is open.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    if path == Path::new(":memory:") {
        return Err(Error::invalid("path is :memory:, where every connection sees its own: use MemoryStore"));
    }
    std::path::absolute(path).map_err(|e| {
        Error::invalid(format!("path is \"{}\": give the file's name", path.display())).with_source(e)
    })
}

/// Opens the file for the writing thread, brings its schema up to date, and sets it to WAL.
pub(super) fn open_writer(path: &Path, options: &SqliteOptions) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = open(path, flags, options)?;
    // Before anything is changed: the file may be another's. In one transaction: another process may
    // be making the file ours between two looks.
    let look = db.transaction().map_err(|e| fault(e, "read its head"))?;
    check_owner(&look)?;
    drop(look);
    configure(&db, options)?;
    migrate(&mut db)?;
    mend_indexes(&db, path);
    Ok(db)
}

/// Files larger than this are not looked through when they are opened: it takes a second for some hundred MiB.
const MOST_VERIFIED_BYTES: u64 = 64 << 20;

/// Makes the indexes anew where they do not agree with rows that are whole: rows have checksums, indexes have none, and a
/// wrong one loses rows or lets a fact be written twice. Where a row is damaged the indexes stay: by them it is found and
/// told.
fn mend_indexes(db: &Connection, path: &Path) {
    if std::fs::metadata(path).map_or(true, |file| file.len() > MOST_VERIFIED_BYTES) {
        return;
    }
    let found = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    let problem = match found {
        Ok(answer) if answer == "ok" => return,
        Ok(problem) => problem,
        Err(error) => error.to_string(),
    };
    let mended =
        read::verify_rows(db).and_then(|()| db.execute_batch("REINDEX").map_err(|e| fault(e, "mend it")));
    let outcome =
        mended.map_or_else(|error| format!("{error:#}"), |()| "its indexes were made anew".to_owned());
    tracing::error!(path = %path.display(), problem, outcome, "the file is damaged");
}

/// Opens the file for reading only.
pub(super) fn open_reader(path: &Path, options: &SqliteOptions) -> Result<Connection> {
    // Not SQLITE_OPEN_READ_ONLY: the first to open a file after a crash has to replay its log.
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX, options)?;
    db.pragma_update(None, "query_only", true).map_err(|e| fault(e, "prepare to read"))?;
    Ok(db)
}

fn open(path: &Path, flags: OpenFlags, options: &SqliteOptions) -> Result<Connection> {
    let open = || {
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(options.busy_timeout)?;
        db.set_prepared_statement_cache_capacity(32);
        db.pragma_update(None, "cell_size_check", true)?;
        Ok(db)
    };
    open().map_err(|e| fault(e, "open it"))
}

fn check_owner(db: &Connection) -> Result<()> {
    let (version, owner) = version(db)?;
    let tables: i64 = pragma(db, "SELECT count(*) FROM sqlite_schema")?;
    if owner != APPLICATION_ID && (tables > 0 || owner != 0) {
        return Err(Error::incompatible("it is a database of another application: check the path"));
    }
    if !(0..=MIGRATIONS.len() as i64).contains(&version) {
        return Err(Error::incompatible(format!(
            "its schema has version {version}, this release reads up to {}: upgrade devmatrix-ml",
            MIGRATIONS.len()
        )));
    }
    Ok(())
}

fn configure(db: &Connection, options: &SqliteOptions) -> Result<()> {
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    let journal = log_ahead(db, options.busy_timeout)?;
    if !journal.eq_ignore_ascii_case("wal") {
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!("its file system takes no write-ahead log (journal_mode is {journal}): use a local disk"),
        ));
    }
    // fullfsync: on macOS nothing else reaches the disk. secure_delete: erased rows are overwritten.
    // The limit shrinks the log again after one huge record.
    db.execute_batch(&format!(
        "PRAGMA synchronous = {synchronous};
         PRAGMA fullfsync = {full};
         PRAGMA checkpoint_fullfsync = {full};
         PRAGMA secure_delete = ON;
         PRAGMA cache_size = -16000;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864;",
        full = options.durability == Durability::Full
    ))
    .map_err(|e| fault(e, "configure it"))
}

/// Sets the file to WAL and says what it is set to; SQLite itself does not wait for its turn here.
fn log_ahead(db: &Connection, patience: Duration) -> Result<String> {
    let started = Instant::now();
    loop {
        match db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            Err(e) if is_busy(&e) && started.elapsed() < patience => thread::sleep(Duration::from_millis(5)),
            set => return set.map_err(|e| fault(e, "set it to write-ahead logging")),
        }
    }
}

fn migrate(db: &mut Connection) -> Result<()> {
    if version(db)?.0 == MIGRATIONS.len() as i64 {
        return Ok(());
    }
    let run = |e| fault(e, "bring its schema up to date");
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(run)?;
    // Another process may have been quicker.
    check_owner(&tx)?;
    let done = usize::try_from(version(&tx)?.0).unwrap_or(0);
    for step in MIGRATIONS.iter().skip(done) {
        tx.execute_batch(step).map_err(run)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(run)?;
    tx.pragma_update(None, "user_version", MIGRATIONS.len() as i64).map_err(run)?;
    tx.commit().map_err(run)
}

/// The version of its schema, and whose it is.
fn version(db: &Connection) -> Result<(i64, i64)> {
    Ok((pragma(db, "PRAGMA user_version")?, pragma(db, "PRAGMA application_id")?))
}

fn pragma<T: rusqlite::types::FromSql>(db: &Connection, sql: &str) -> Result<T> {
    db.query_row(sql, [], |row| row.get(0)).map_err(|e| fault(e, "read its head"))
}
