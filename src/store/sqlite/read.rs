//! What is read, on the caller's thread.

use super::fault::fault;
use super::row::{FACT_COLUMNS, get, read_fact};
use crate::error::Result;
use crate::event::FeatureVector;
use crate::event::{EventId, GenerationEvent, Record};
use crate::store::lease::Held;
use crate::store::{Cursor, Page, ScanOrder, row};
use rusqlite::{Connection, Params, Row, params};

pub(super) fn events(db: &Connection, ids: &[EventId]) -> Result<Vec<Option<GenerationEvent>>> {
    let sql = format!("SELECT {FACT_COLUMNS} FROM facts WHERE event_id = ?1 ORDER BY kind, part");
    at_one_moment(db, || {
        ids.iter()
            .map(|id| {
                let records = all(db, &sql, [id.as_str()], read_fact)?;
                Ok(GenerationEvent::from_records(records.into_iter().map(|(_, record)| record)))
            })
            .collect()
    })
}

pub(super) fn scan(db: &Connection, order: ScanOrder, after: Option<&Cursor>, limit: usize) -> Result<Page> {
    let rows = match order {
        ScanOrder::Known => scan_known(db, after, limit),
        ScanOrder::Arrival => scan_arrival(db, after, limit),
    }?;
    let last = rows.last().map(|(seq, record)| match order {
        ScanOrder::Known => Cursor::after_known(record),
        ScanOrder::Arrival => Cursor::Arrival(*seq),
    });
    let records = rows.into_iter().map(|(_, record)| record).collect();
    Ok(Page { records, next: last.or_else(|| after.cloned()) })
}

pub(super) fn features(db: &Connection, ids: &[EventId]) -> Result<Vec<Option<FeatureVector>>> {
    let sql = "SELECT body, crc FROM features WHERE event_id = ?1";
    at_one_moment(db, || {
        ids.iter()
            .map(|id| {
                let read = |row: &Row<'_>| {
                    let body: Vec<u8> = get(row, 0, "features")?;
                    row::read_features(id, &body, get(row, 1, "features")?)
                };
                Ok(all(db, sql, [id.as_str()], read)?.pop())
            })
            .collect()
    })
}

pub(super) fn without_features(
    db: &Connection,
    after: Option<&EventId>,
    limit: usize,
) -> Result<Vec<EventId>> {
    let sql = "SELECT event_id, crc FROM waiting WHERE event_id > ?1 ORDER BY event_id LIMIT ?2";
    let after = after.map_or("", EventId::as_str);
    all(db, sql, params![after, sql_limit(limit)], |row| {
        let id: String = get(row, 0, "waiting")?;
        row::verify("waiting", &id, &[], get(row, 1, "waiting")?)?;
        EventId::new(id)
    })
}

pub(super) fn checkpoint(db: &Connection, name: &str) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT bytes, crc FROM checkpoints WHERE name = ?1";
    let found = all(db, sql, [name], |row| {
        let bytes: Vec<u8> = get(row, 0, "checkpoints")?;
        row::verify("checkpoints", name, &bytes, get(row, 1, "checkpoints")?)?;
        Ok(bytes)
    });
    Ok(found?.pop())
}

pub(super) fn lease(db: &Connection, name: &str) -> Result<Option<Held>> {
    let sql = "SELECT holder, until, watched FROM leases WHERE name = ?1";
    let read = |row: &Row<'_>| {
        let (holder, until) = (get(row, 0, "leases")?, get(row, 1, "leases")?);
        Ok(Held { holder, until, watched: get(row, 2, "leases")? })
    };
    Ok(all(db, sql, [name], read)?.pop())
}

pub(super) fn erasures(db: &Connection) -> Result<u64> {
    Ok(meta(db, "erasures")?.unwrap_or(0) as u64)
}

/// Whether erased rows may still be in the bytes of the file or the log.
pub(super) fn must_overwrite(db: &Connection) -> Result<bool> {
    Ok(meta(db, "overwrite")?.is_some())
}

/// Checks the checksum of every row, whatever the indexes say.
pub(super) fn verify_rows(db: &Connection) -> Result<()> {
    all(db, &format!("SELECT {FACT_COLUMNS} FROM facts NOT INDEXED"), [], |row| read_fact(row).map(drop))?;
    for (table, bytes) in [("features", "event_id, body"), ("checkpoints", "name, bytes")] {
        all(db, &format!("SELECT {bytes}, crc FROM {table} NOT INDEXED"), [], |row| {
            let (name, bytes): (String, Vec<u8>) = (get(row, 0, table)?, get(row, 1, table)?);
            row::verify(table, &name, &bytes, get(row, 2, table)?)
        })?;
    }
    Ok(())
}

/// All rows that `sql` finds, each through `read`.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let sqlite = |e| fault(e, "read");
    let mut statement = db.prepare_cached(sql).map_err(sqlite)?;
    let mut rows = statement.query(params).map_err(sqlite)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite)? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn meta(db: &Connection, name: &str) -> Result<Option<i64>> {
    let found = all(db, "SELECT value, crc FROM meta WHERE name = ?1", [name], |row| {
        let value: i64 = get(row, 0, "meta")?;
        row::verify("meta", name, &value.to_le_bytes(), get(row, 1, "meta")?)?;
        Ok(value)
    });
    Ok(found?.pop())
}

fn scan_known(db: &Connection, after: Option<&Cursor>, limit: usize) -> Result<Vec<(i64, Record)>> {
    let sql = format!(
        "SELECT {FACT_COLUMNS} FROM facts WHERE (known_at, event_id, kind, part) > (?1, ?2, ?3, ?4)
         ORDER BY known_at, event_id, kind, part LIMIT ?5"
    );
    let (known_at, id, kind, part) = match after {
        Some(Cursor::Known(known_at, id, kind, part)) => (*known_at, id.as_str(), *kind, part.as_str()),
        _ => (i64::MIN, "", 0, ""),
    };
    all(db, &sql, params![known_at, id, kind, part, sql_limit(limit)], read_fact)
}

/// A number is given inside the transaction that writes the row, and SQLite has one such
/// transaction at a time, over all processes: rows become visible in the order of their numbers,
/// so nothing can appear behind a cursor.
fn scan_arrival(db: &Connection, after: Option<&Cursor>, limit: usize) -> Result<Vec<(i64, Record)>> {
    let sql = format!("SELECT {FACT_COLUMNS} FROM facts WHERE seq > ?1 ORDER BY seq LIMIT ?2");
    let after = match after {
        Some(Cursor::Arrival(seq)) => *seq,
        _ => 0,
    };
    all(db, &sql, params![after, sql_limit(limit)], read_fact)
}

/// Runs several queries on one state of the file.
fn at_one_moment<T>(db: &Connection, read: impl FnOnce() -> Result<T>) -> Result<T> {
    let tx = db.unchecked_transaction().map_err(|e| fault(e, "begin to read"))?;
    let found = read()?;
    tx.finish().map_err(|e| fault(e, "end reading"))?;
    Ok(found)
}

/// SQLite takes a negative limit for none.
fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
