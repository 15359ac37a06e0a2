//! What is read: each one statement, and so one state of the tables.

use crate::error::Result as OwnResult;
use crate::event::FeatureVector;
use crate::event::{EventId, GenerationEvent, Record};
use crate::postgres::{Fault, Layout};
use crate::store::row::{self, StoredFact};
use crate::store::{Cursor, Page, ScanOrder};
use deadpool_postgres::Object;
use std::collections::HashMap;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

type Result<T> = std::result::Result<T, Fault>;

/// The columns that [`fact`] reads, in its order.
pub(super) const FACT_COLUMNS: &str =
    "seq, event_id, kind, part, known_at, user_id, project_id, body::text, crc, reviewer_id";

pub(super) async fn events(
    client: &Object,
    layout: Layout,
    ids: &[String],
) -> Result<Vec<Option<GenerationEvent>>> {
    let sql = format!(
        "SELECT {FACT_COLUMNS} FROM {} WHERE event_id = ANY($1) ORDER BY event_id, kind, part",
        layout.facts()
    );
    let mut found = HashMap::<String, Vec<Record>>::new();
    for row in rows(client, &sql, &[&ids]).await? {
        let (_, record) = fact(&row)?;
        found.entry(record.event_id().to_string()).or_default().push(record);
    }
    let event = |id: &String| GenerationEvent::from_records(found.get(id).into_iter().flatten().cloned());
    Ok(ids.iter().map(event).collect())
}

pub(super) async fn scan(
    client: &Object,
    layout: Layout,
    order: ScanOrder,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Page> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = match order {
        ScanOrder::Known => scan_known(client, after, limit).await,
        ScanOrder::Arrival => scan_arrival(client, layout, after, limit).await,
    }?;
    let facts: Vec<_> = rows.iter().map(fact).collect::<OwnResult<_>>()?;
    let last = facts.last().map(|(seq, record)| match order {
        ScanOrder::Known => Cursor::after_known(record),
        ScanOrder::Arrival => Cursor::Arrival(*seq),
    });
    let records = facts.into_iter().map(|(_, record)| record).collect();
    Ok(Page { records, next: last.or_else(|| after.cloned()) })
}

pub(super) async fn features(client: &Object, ids: &[EventId]) -> Result<Vec<Option<FeatureVector>>> {
    let sql = "SELECT event_id, body, crc FROM ml_feature_vectors WHERE event_id = ANY($1)";
    let texts = super::texts(ids);
    let rows = rows(client, sql, &[&texts]).await?;
    let found: HashMap<&str, &Row> = rows.iter().map(|row| (row.get(0), row)).collect();
    let vector = |id: &EventId| {
        let row = found.get(id.as_str());
        row.map(|row| row::read_features(id, row.get(1), row.get(2))).transpose()
    };
    Ok(ids.iter().map(vector).collect::<OwnResult<_>>()?)
}

pub(super) async fn without_features(client: &Object, after: &str, limit: usize) -> Result<Vec<EventId>> {
    let sql = "SELECT event_id FROM ml_waiting WHERE event_id > $1 ORDER BY event_id LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = rows(client, sql, &[&after, &limit]).await?;
    Ok(rows.iter().map(|row| EventId::new(row.get::<_, &str>(0))).collect::<OwnResult<_>>()?)
}

pub(super) async fn checkpoint(client: &Object, name: &str) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT bytes, crc FROM ml_checkpoints WHERE name = $1";
    let Some(row) = rows(client, sql, &[&name]).await?.pop() else { return Ok(None) };
    let bytes: Vec<u8> = row.get(0);
    row::verify("checkpoints", name, &bytes, row.get(1))?;
    Ok(Some(bytes))
}

pub(super) async fn erasures(client: &Object) -> Result<u64> {
    let row = rows(client, "SELECT value FROM ml_meta WHERE name = 'erasures'", &[]).await?.pop();
    Ok(row.map_or(0, |row| row.get::<_, i64>(0) as u64))
}

/// A verified fact: its number and its record.
pub(super) fn fact(row: &Row) -> OwnResult<(i64, Record)> {
    let stored = StoredFact {
        seq: row.get(0),
        event_id: row.get(1),
        kind: row.get::<_, i16>(2).into(),
        part: row.get(3),
        known_at: row.get(4),
        user_id: row.get(5),
        project_id: row.get(6),
        reviewer_id: row.get(9),
        body: row.get::<_, &str>(7).as_bytes(),
        crc: row.get(8),
    };
    stored.verified()
}

async fn rows(client: &Object, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, values).await?)
}

async fn scan_known(client: &Object, after: Option<&Cursor>, limit: i64) -> Result<Vec<Row>> {
    let sql = format!(
        "SELECT {FACT_COLUMNS} FROM ml_generation_events
         WHERE known_at >= $1 AND (known_at, event_id, kind, part) > ($1, $2, $3, $4)
         ORDER BY known_at, event_id, kind, part LIMIT $5"
    );
    let (known_at, id, kind, part) = match after {
        Some(Cursor::Known(known_at, id, kind, part)) => {
            (*known_at, id.as_str(), i16::from(*kind), part.as_str())
        }
        _ => (i64::MIN, "", 0, ""),
    };
    rows(client, &sql, &[&known_at, &id, &kind, &part, &limit]).await
}

async fn scan_arrival(
    client: &Object,
    layout: Layout,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Row>> {
    let (facts, number) = (layout.facts(), layout.arrival());
    let sql = format!("SELECT {FACT_COLUMNS} FROM {facts} WHERE {number} > $1 ORDER BY {number} LIMIT $2");
    let after = match after {
        Some(Cursor::Arrival(seq)) => *seq,
        _ => 0,
    };
    rows(client, &sql, &[&after, &limit]).await
}
