//! What is written: each one transaction.

use super::read::{FACT_COLUMNS, fact};
use crate::error::Error;
use crate::event::EventId;
use crate::postgres::{Fault, Layout};
use crate::store::lease::{Answer, Ask, Held};
use crate::store::row::{self, FactRow, FeatureRow};
use crate::store::{Appended, Erasure, Subject};
use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Transaction};
use std::collections::{BTreeMap, HashMap, HashSet};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

type Result<T> = std::result::Result<T, Fault>;

/// Rows in one statement at most, to bound the memory that it takes.
const MAX_ROWS: usize = 2_000;

pub(super) async fn append(
    client: &mut Object,
    layout: Layout,
    rows: &[FactRow],
    channel: &str,
) -> Result<Vec<Appended>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let tx = client.transaction().await?;
    // From here to the commit no other append.
    let sql = "UPDATE ml_meta SET value = value + $1 WHERE name = 'arrivals'
               RETURNING value, EXISTS (SELECT 1 FROM ml_erased)";
    let numbers = all(&tx, sql, &[&(rows.len() as i64)]).await?.pop().ok_or_else(no_meta)?;
    let (mut first, tombstones) = (numbers.get::<_, i64>(0) - rows.len() as i64 + 1, numbers.get(1));
    layout.prepare(&tx, rows.iter().map(|row| row.known_at)).await?;
    let mut answers = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(MAX_ROWS) {
        answers.extend(append_chunk(&tx, layout, chunk, first, tombstones).await?);
        first += chunk.len() as i64;
    }
    if answers.contains(&Appended::New) {
        all(&tx, "SELECT pg_notify($1, '')", &[&channel]).await?;
    }
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(answers)
}

/// Writes rows under the numbers from `first` on; numbers of rows that are not written stay unused.
async fn append_chunk(
    tx: &Transaction<'_>,
    layout: Layout,
    rows: &[FactRow],
    first: i64,
    tombstones: bool,
) -> Result<Vec<Appended>> {
    let erased =
        if tombstones { erased(tx, rows.iter().map(|row| &row.key.event_id)).await? } else { HashSet::new() };
    let numbered: Vec<(i64, &FactRow)> =
        (first..).zip(rows).filter(|(_, row)| !erased.contains(row.key.event_id.as_str())).collect();
    let written = insert(tx, layout, &numbered).await?;
    let judged: Vec<&str> = numbered
        .iter()
        .filter(|(seq, row)| row.label_fact && written.contains(seq))
        .map(|(_, row)| row.key.event_id.as_str())
        .collect();
    if !judged.is_empty() {
        let sql = "INSERT INTO ml_waiting SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING";
        all(tx, sql, &[&judged]).await?;
    }
    let ended = numbered.iter().filter(|(seq, row)| row.key.kind == 1 && written.contains(seq));
    let ended: Vec<&str> = ended.map(|(_, row)| row.key.event_id.as_str()).collect();
    if !ended.is_empty() {
        let sql = "INSERT INTO ml_waiting SELECT DISTINCT event_id FROM ml_generation_events
                   WHERE event_id = ANY($1) AND kind = 2 ON CONFLICT DO NOTHING";
        all(tx, sql, &[&ended]).await?;
    }
    let others: Vec<&FactRow> =
        numbered.iter().filter(|(seq, _)| !written.contains(seq)).map(|(_, row)| *row).collect();
    let stored = stored(tx, layout, &others).await?;
    let answer = |(seq, row): (i64, &FactRow)| {
        if erased.contains(row.key.event_id.as_str()) {
            return Ok(Appended::Erased);
        }
        if written.contains(&seq) {
            return Ok(Appended::New);
        }
        let key = (row.key.event_id.as_str(), i16::from(row.key.kind), row.key.part.as_str());
        let Some(there) = stored.get(&key_of(key)) else {
            if layout == Layout::Monthly {
                // Its month was detached: what it said cannot be seen any more.
                return Ok(Appended::Duplicate);
            }
            return Err(Fault::Own(Error::corrupt(format!(
                "{:?} was refused as stored, but is not there: restore the tables",
                row.key
            ))));
        };
        fact(there)?;
        let same = row.same_fact(there.get::<_, &str>(7).as_bytes());
        Ok(if same { Appended::Duplicate } else { Appended::Conflict })
    };
    (first..).zip(rows).map(answer).collect()
}

/// The numbers under which rows were written; the others' keys were taken.
async fn insert(tx: &Transaction<'_>, layout: Layout, rows: &[(i64, &FactRow)]) -> Result<HashSet<i64>> {
    let seqs: Vec<i64> = rows.iter().map(|(seq, _)| *seq).collect();
    let ids: Vec<&str> = rows.iter().map(|(_, row)| row.key.event_id.as_str()).collect();
    let kinds: Vec<i16> = rows.iter().map(|(_, row)| row.key.kind.into()).collect();
    let parts: Vec<&str> = rows.iter().map(|(_, row)| row.key.part.as_str()).collect();
    let known: Vec<i64> = rows.iter().map(|(_, row)| row.known_at).collect();
    let users: Vec<Option<&str>> = rows.iter().map(|(_, row)| row.user_id.as_deref()).collect();
    let projects: Vec<Option<&str>> = rows.iter().map(|(_, row)| row.project_id.as_deref()).collect();
    let reviewers: Vec<Option<&str>> = rows.iter().map(|(_, row)| row.reviewer_id.as_deref()).collect();
    let bodies: Vec<&str> = rows.iter().map(|(_, row)| text(&row.body)).collect::<Result<_>>()?;
    let crcs: Vec<i64> = rows.iter().map(|(seq, row)| row.crc(*seq)).collect();
    let values: [&(dyn ToSql + Sync); 10] =
        [&seqs, &ids, &kinds, &parts, &known, &users, &projects, &bodies, &crcs, &reviewers];
    Ok(all(tx, layout.insert(), &values).await?.iter().map(|row| row.get(0)).collect())
}

type Key = (String, i16, String);

fn key_of((id, kind, part): (&str, i16, &str)) -> Key {
    (id.to_owned(), kind, part.to_owned())
}

/// Returns the records stored under the keys of `rows`.
async fn stored(tx: &Transaction<'_>, layout: Layout, rows: &[&FactRow]) -> Result<HashMap<Key, Row>> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<&str> = rows.iter().map(|row| row.key.event_id.as_str()).collect();
    let kinds: Vec<i16> = rows.iter().map(|row| row.key.kind.into()).collect();
    let parts: Vec<&str> = rows.iter().map(|row| row.key.part.as_str()).collect();
    let sql = format!(
        "SELECT {FACT_COLUMNS} FROM {} WHERE (event_id, kind, part) IN
         (SELECT * FROM unnest($1::text[], $2::smallint[], $3::text[]))",
        layout.facts()
    );
    let found = all(tx, &sql, &[&ids, &kinds, &parts]).await?;
    Ok(found.into_iter().map(|row| (key_of((row.get(1), row.get(2), row.get(3))), row)).collect())
}

/// Those of `ids` that were erased.
async fn erased<'a>(
    tx: &Transaction<'_>,
    ids: impl Iterator<Item = &'a EventId>,
) -> Result<HashSet<&'a str>> {
    let digests: HashMap<Vec<u8>, &str> = ids.map(|id| (row::digest(id).to_vec(), id.as_str())).collect();
    let asked: Vec<&[u8]> = digests.keys().map(Vec::as_slice).collect();
    let found = all(tx, "SELECT digest FROM ml_erased WHERE digest = ANY($1)", &[&asked]).await?;
    Ok(found.iter().filter_map(|row| digests.get(row.get::<_, &[u8]>(0)).copied()).collect())
}

pub(super) async fn put_features(client: &mut Object, rows: &[FeatureRow]) -> Result<()> {
    let tx = client.transaction().await?;
    // Nothing is erased between the look and the commit.
    all(&tx, "SELECT 1 FROM ml_meta WHERE name = 'erasures' FOR SHARE", &[]).await?;
    for chunk in rows.chunks(MAX_ROWS) {
        let gone = erased(&tx, chunk.iter().map(|row| &row.event_id)).await?;
        // In the order of the ids, so that two hosts do not wait for each other; the last of each counts.
        let rows: BTreeMap<&str, &FeatureRow> = chunk
            .iter()
            .map(|row| (row.event_id.as_str(), row))
            .filter(|(id, _)| !gone.contains(id))
            .collect();
        let ids: Vec<&str> = rows.keys().copied().collect();
        let bodies: Vec<&[u8]> = rows.values().map(|row| row.body.as_slice()).collect();
        let crcs: Vec<i64> = rows.values().map(|row| row.crc).collect();
        let sql = "INSERT INTO ml_feature_vectors (event_id, body, crc)
                   SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[])
                   ON CONFLICT (event_id) DO UPDATE SET body = excluded.body, crc = excluded.crc";
        all(&tx, sql, &[&ids, &bodies, &crcs]).await?;
        all(&tx, "DELETE FROM ml_waiting WHERE event_id = ANY($1)", &[&ids]).await?;
    }
    tx.commit().await.map_err(Fault::Commit)
}

pub(super) async fn put_checkpoint(client: &mut Object, name: &str, bytes: Option<&[u8]>) -> Result<()> {
    let tx = client.transaction().await?;
    match bytes {
        None => all(&tx, "DELETE FROM ml_checkpoints WHERE name = $1", &[&name]).await?,
        Some(bytes) => {
            let sql = "INSERT INTO ml_checkpoints (name, bytes, crc) VALUES ($1, $2, $3)
                       ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes, crc = excluded.crc";
            all(&tx, sql, &[&name, &bytes, &row::blob_crc("checkpoints", name, bytes)]).await?
        }
    };
    tx.commit().await.map_err(Fault::Commit)
}

pub(super) async fn lease(
    client: &mut Object,
    name: &str,
    holder: &str,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<bool> {
    let tx = client.transaction().await?;
    // A row to lock, also where nobody holds it: of several who ask at once one sees it free.
    let sql = "INSERT INTO ml_leases (name, holder, until) VALUES ($1, '', $2) ON CONFLICT (name) DO NOTHING";
    all(&tx, sql, &[&name, &i64::MIN]).await?;
    let sql = "SELECT holder, until, watched, (extract(epoch FROM clock_timestamp()) * 1e6)::bigint
               FROM ml_leases WHERE name = $1 FOR UPDATE";
    let row = all(&tx, sql, &[&name]).await?.pop().ok_or_else(no_meta)?;
    let store = DateTime::from_timestamp_micros(row.get(3));
    let held = Held { holder: row.get(0), until: row.get(1), watched: row.get(2) };
    let (given, held) = match Ask::new(holder, now, until, store).answer(Some(&held)) {
        Answer::Given(held) => (true, Some(held)),
        Answer::Free => (true, Some(Held { holder: String::new(), until: i64::MIN, watched: None })),
        Answer::Refused(watched) => (false, watched),
    };
    if let Some(held) = held {
        let sql = "UPDATE ml_leases SET holder = $2, until = $3, watched = $4 WHERE name = $1";
        all(&tx, sql, &[&name, &held.holder, &held.until, &held.watched]).await?;
    }
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(given)
}

pub(super) async fn erase(client: &mut Object, layout: Layout, subject: &Subject) -> Result<Erasure> {
    let tx = client.transaction().await?;
    // No append and no feature vector until the commit.
    all(&tx, "SELECT 1 FROM ml_meta WHERE name = 'arrivals' FOR UPDATE", &[]).await?;
    all(&tx, "SELECT 1 FROM ml_meta WHERE name = 'erasures' FOR UPDATE", &[]).await?;
    let (owned, id) = match subject {
        Subject::User(id) => ("user_id = $1 OR reviewer_id = $1", id.as_str()),
        Subject::Project(id) => ("project_id = $1", id.as_str()),
    };
    let sql = format!("SELECT DISTINCT event_id FROM ml_generation_events WHERE {owned}");
    let found = all(&tx, &sql, &[&id]).await?;
    let doomed: Vec<&str> = found.iter().map(|row| row.get(0)).collect();
    if doomed.is_empty() {
        return Ok(Erasure { events: 0 });
    }
    let digests: Vec<Vec<u8>> =
        doomed.iter().map(|id| Ok(row::digest(&EventId::new(*id)?).to_vec())).collect::<Result<_>>()?;
    let sql = "INSERT INTO ml_erased SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING";
    all(&tx, sql, &[&digests]).await?;
    for sql in layout.deletes() {
        all(&tx, sql, &[&doomed]).await?;
    }
    all(&tx, "DELETE FROM ml_checkpoints", &[]).await?;
    all(&tx, "UPDATE ml_meta SET value = value + 1 WHERE name = 'erasures'", &[]).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(Erasure { events: doomed.len() as u64 })
}

async fn all(tx: &Transaction<'_>, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
    let statement = tx.prepare_cached(sql).await?;
    Ok(tx.query(&statement, values).await?)
}

/// A body, which this crate wrote as JSON.
fn text(body: &[u8]) -> Result<&str> {
    std::str::from_utf8(body).map_err(|e| Fault::Own(Error::internal("a record is no text").with_source(e)))
}

fn no_meta() -> Fault {
    Fault::Own(Error::corrupt("ml_meta has no row arrivals: restore the tables"))
}
