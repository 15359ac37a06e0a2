//! Rows of the file, read and verified.

use super::fault::fault;
use crate::error::Result;
use crate::event::Record;
use crate::store::row::StoredFact;
use rusqlite::Row;

/// The columns that [`read_fact`] reads, in its order.
pub(super) const FACT_COLUMNS: &str =
    "seq, event_id, kind, part, known_at, user_id, project_id, body, crc, reviewer_id";

/// A verified row of `facts`: its number and its record.
pub(super) fn read_fact(row: &Row<'_>) -> Result<(i64, Record)> {
    let seq: i64 = get(row, 0, "facts")?;
    let columns = || -> rusqlite::Result<_> {
        let text = |at| row.get_ref(at).and_then(|v| v.as_str().map_err(|e| wrong_type(at, e)));
        let option = |at| row.get_ref(at).and_then(|v| v.as_str_or_null().map_err(|e| wrong_type(at, e)));
        Ok(StoredFact {
            seq,
            event_id: text(1)?,
            kind: row.get(2)?,
            part: text(3)?,
            known_at: row.get(4)?,
            user_id: option(5)?,
            project_id: option(6)?,
            reviewer_id: option(9)?,
            body: row.get_ref(7)?.as_blob().map_err(|e| wrong_type(7, e))?,
            crc: row.get(8)?,
        })
    };
    columns().map_err(|e| fault(e, &format!("read facts row {seq}")))?.verified()
}

/// Reads column `at` of a row of `table`.
pub(super) fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, at: usize, table: &str) -> Result<T> {
    row.get(at).map_err(|e| fault(e, &format!("read a row of {table}")))
}

fn wrong_type(at: usize, error: rusqlite::types::FromSqlError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Null, Box::new(error))
}
