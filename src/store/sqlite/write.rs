//! What is written, inside the writing thread's transaction.

use super::fault::fault;
use super::read;
use super::row::{FACT_COLUMNS, get, read_fact};
use super::writer::Tx;
use crate::error::{Error, Result};
use crate::event::EventId;
use crate::store::lease::{Answer, Ask, Held};
use crate::store::row::{self, FactRow, FeatureRow};
use crate::store::{Appended, Erasure, Subject};
use rusqlite::{Connection, Params, params};

pub(super) fn append(tx: &Tx<'_>, rows: &[FactRow]) -> Result<Vec<Appended>> {
    let tombstones = any_erased(tx.db)?;
    let mut seq = last_seq(tx.db)?;
    rows.iter()
        .map(|row| {
            if tombstones && is_erased(tx.db, &row.key.event_id)? {
                return Ok(Appended::Erased);
            }
            if !insert(tx.db, row, seq + 1)? {
                return compare(tx.db, row);
            }
            seq += 1;
            Ok(Appended::New)
        })
        .collect()
}

pub(super) fn put_features(tx: &Tx<'_>, rows: &[FeatureRow]) -> Result<()> {
    let tombstones = any_erased(tx.db)?;
    for row in rows {
        if tombstones && is_erased(tx.db, &row.event_id)? {
            continue;
        }
        let id = row.event_id.as_str();
        let sql = "INSERT OR REPLACE INTO features (event_id, body, crc) VALUES (?1, ?2, ?3)";
        run(tx.db, sql, params![id, row.body, row.crc])?;
        run(tx.db, "DELETE FROM waiting WHERE event_id = ?1", [id])?;
    }
    Ok(())
}

pub(super) fn put_checkpoint(tx: &Tx<'_>, name: &str, bytes: Option<&[u8]>) -> Result<()> {
    let Some(bytes) = bytes else {
        return run(tx.db, "DELETE FROM checkpoints WHERE name = ?1", [name]).map(drop);
    };
    let sql = "INSERT OR REPLACE INTO checkpoints (name, bytes, crc) VALUES (?1, ?2, ?3)";
    run(tx.db, sql, params![name, bytes, row::blob_crc("checkpoints", name, bytes)]).map(drop)
}

pub(super) fn lease(tx: &Tx<'_>, name: &str, ask: &Ask) -> Result<bool> {
    let held = read::lease(tx.db, name)?;
    let put = |held: &Held| {
        let sql = "INSERT OR REPLACE INTO leases (name, holder, until, watched) VALUES (?1, ?2, ?3, ?4)";
        run(tx.db, sql, params![name, held.holder, held.until, held.watched]).map(drop)
    };
    match ask.answer(held.as_ref()) {
        Answer::Given(held) => put(&held).map(|()| true),
        Answer::Free => run(tx.db, "DELETE FROM leases WHERE name = ?1", [name]).map(|_| true),
        Answer::Refused(watched) => watched.iter().try_for_each(put).map(|()| false),
    }
}

pub(super) fn erase(tx: &Tx<'_>, subject: &Subject) -> Result<Erasure> {
    let doomed = events_of(tx.db, subject)?;
    for id in &doomed {
        for table in ["facts", "features", "waiting"] {
            run(tx.db, &format!("DELETE FROM {table} WHERE event_id = ?1"), [id.as_str()])?;
        }
        run(tx.db, "INSERT OR IGNORE INTO erased (digest) VALUES (?1)", [row::digest(id)])?;
    }
    if !doomed.is_empty() {
        run(tx.db, "DELETE FROM checkpoints", [])?;
        put_meta(tx.db, "erasures", read::erasures(tx.db)? as i64 + 1)?;
        tx.overwrite()?;
    }
    Ok(Erasure { events: doomed.len() as u64 })
}

/// Notes that erased rows are still in the bytes of the file.
pub(super) fn overwrite_later(db: &Connection) -> Result<()> {
    put_meta(db, "overwrite", 1)
}

/// Notes that they are not.
pub(super) fn overwritten(db: &Connection) -> Result<()> {
    run(db, "DELETE FROM meta WHERE name = 'overwrite'", []).map(drop)
}

/// Returns whether the row was new.
fn insert(db: &Connection, row: &FactRow, seq: i64) -> Result<bool> {
    let sql = "INSERT INTO facts (seq, event_id, kind, part, known_at, user_id, project_id, body, crc, reviewer_id)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (event_id, kind, part) DO NOTHING";
    let id = row.key.event_id.as_str();
    let values = params![
        seq,
        id,
        row.key.kind,
        row.key.part,
        row.known_at,
        row.user_id,
        row.project_id,
        row.body,
        row.crc(seq),
        row.reviewer_id
    ];
    let new = run(db, sql, values)? == 1;
    if new && (row.label_fact || row.key.kind == 1 && is_judged(db, id)?) {
        let sql = "INSERT OR IGNORE INTO waiting (event_id, crc) VALUES (?1, ?2)";
        run(db, sql, params![id, row::blob_crc("waiting", id, &[])])?;
    }
    Ok(new)
}

/// Compares `row` with the row stored under its key.
fn compare(db: &Connection, row: &FactRow) -> Result<Appended> {
    let sql = format!("SELECT {FACT_COLUMNS} FROM facts WHERE event_id = ?1 AND kind = ?2 AND part = ?3");
    let key = params![row.key.event_id.as_str(), row.key.kind, row.key.part];
    let same = read::all(db, &sql, key, |stored| {
        read_fact(stored)?;
        Ok(row.same_fact(&get::<Vec<u8>>(stored, 7, "facts")?))
    })?;
    match same.first() {
        Some(true) => Ok(Appended::Duplicate),
        Some(false) => Ok(Appended::Conflict),
        None => Err(Error::corrupt(format!(
            "the index of facts names {:?}, which has no row: restore the file from a copy",
            row.key
        ))),
    }
}

fn is_judged(db: &Connection, id: &str) -> Result<bool> {
    first(db, "SELECT EXISTS (SELECT 1 FROM facts WHERE event_id = ?1 AND kind = 2)", [id])
}

fn any_erased(db: &Connection) -> Result<bool> {
    first(db, "SELECT EXISTS (SELECT 1 FROM erased)", [])
}

fn is_erased(db: &Connection, id: &EventId) -> Result<bool> {
    first(db, "SELECT EXISTS (SELECT 1 FROM erased WHERE digest = ?1)", [row::digest(id)])
}

/// The last number given, also to rows that are gone.
fn last_seq(db: &Connection) -> Result<i64> {
    first(db, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'facts'", [])
}

fn events_of(db: &Connection, subject: &Subject) -> Result<Vec<EventId>> {
    let (owned, id) = match subject {
        Subject::User(id) => ("user_id = ?1 OR reviewer_id = ?1", id.as_str()),
        Subject::Project(id) => ("project_id = ?1", id.as_str()),
    };
    let sql = format!("SELECT {FACT_COLUMNS} FROM facts WHERE {owned} ORDER BY event_id");
    let mut ids =
        read::all(db, &sql, [id], |row| read_fact(row).map(|(_, record)| record.event_id().clone()))?;
    // A start and its feedback may both name the person.
    ids.dedup();
    Ok(ids)
}

fn put_meta(db: &Connection, name: &str, value: i64) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO meta (name, value, crc) VALUES (?1, ?2, ?3)";
    run(db, sql, params![name, value, row::blob_crc("meta", name, &value.to_le_bytes())]).map(drop)
}

fn first<T: rusqlite::types::FromSql>(db: &Connection, sql: &str, params: impl Params) -> Result<T> {
    let run = || db.prepare_cached(sql)?.query_row(params, |row| row.get(0));
    run().map_err(|e| fault(e, "read"))
}

fn run(db: &Connection, sql: &str, params: impl Params) -> Result<usize> {
    let run = || db.prepare_cached(sql)?.execute(params);
    run().map_err(|e| fault(e, "write"))
}
