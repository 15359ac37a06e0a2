//! Facts in one table, or in a partition a month with their keys in a table of their own.
//!
//! What is unique in a partitioned table must hold the column it is partitioned by. A fact that arrives again
//! may be known in another month, so the keys stand apart, in a table that is not partitioned.

use crate::error::Error;
use crate::postgres::{Fault, Layout};
use chrono::{DateTime, Datelike, Months, NaiveDate};
use deadpool_postgres::Transaction;
use std::collections::BTreeSet;

/// Months of these years have partitions of their own; earlier and later ones share one each, so that no
/// clock gone wrong can make more partitions than a server bears.
const OWN_YEARS: std::ops::Range<i32> = 2000..2100;

impl Layout {
    /// What facts are read from.
    pub(super) fn facts(self) -> &'static str {
        match self {
            Self::Single => "ml_generation_events",
            Self::Monthly => {
                "ml_generation_keys JOIN ml_generation_events USING (known_at, event_id, kind, part)"
            }
        }
    }

    /// The column of [`facts`](Self::facts) with an index by arrival.
    pub(super) fn arrival(self) -> &'static str {
        match self {
            Self::Single => "seq",
            Self::Monthly => "arrival",
        }
    }

    /// Writes the facts whose keys are free, and returns their numbers.
    pub(super) fn insert(self) -> &'static str {
        match self {
            Self::Single => {
                "INSERT INTO ml_generation_events
                 (seq, event_id, kind, part, known_at, user_id, project_id, body, crc, reviewer_id)
                 SELECT seq, event_id, kind, part, known_at, user_id, project_id, body::json, crc, reviewer_id
                 FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::text[], $5::bigint[], $6::text[],
                             $7::text[], $8::text[], $9::bigint[], $10::text[])
                 AS given (seq, event_id, kind, part, known_at, user_id, project_id, body, crc, reviewer_id)
                 ON CONFLICT (event_id, kind, part) DO NOTHING RETURNING seq"
            }
            Self::Monthly => {
                "WITH given AS (
                     SELECT * FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::text[], $5::bigint[],
                                          $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[])
                     AS given (seq, event_id, kind, part, known_at, user_id, project_id, body, crc, reviewer_id)
                 ), fresh AS (
                     INSERT INTO ml_generation_keys (event_id, kind, part, known_at, arrival)
                     SELECT event_id, kind, part, known_at, seq FROM given
                     ON CONFLICT (event_id, kind, part) DO NOTHING RETURNING arrival
                 )
                 INSERT INTO ml_generation_events
                 (seq, event_id, kind, part, known_at, user_id, project_id, body, crc, reviewer_id)
                 SELECT seq, event_id, kind, part, known_at, user_id, project_id, body::json, crc, reviewer_id
                 FROM given WHERE seq IN (SELECT arrival FROM fresh) RETURNING seq"
            }
        }
    }

    /// What removes all that is kept of events.
    pub(super) fn deletes(self) -> &'static [&'static str] {
        match self {
            Self::Single => &[
                "DELETE FROM ml_generation_events WHERE event_id = ANY($1)",
                "DELETE FROM ml_feature_vectors WHERE event_id = ANY($1)",
                "DELETE FROM ml_waiting WHERE event_id = ANY($1)",
            ],
            Self::Monthly => &[
                "DELETE FROM ml_generation_events AS e USING ml_generation_keys AS k
                 WHERE k.event_id = ANY($1) AND e.known_at = k.known_at AND e.event_id = k.event_id
                 AND e.kind = k.kind AND e.part = k.part",
                "DELETE FROM ml_generation_keys WHERE event_id = ANY($1)",
                "DELETE FROM ml_feature_vectors WHERE event_id = ANY($1)",
                "DELETE FROM ml_waiting WHERE event_id = ANY($1)",
            ],
        }
    }

    /// Makes the partitions of these moments (microseconds since 1970) that are missing. Appends take turns,
    /// so nobody else makes them now; readers do not wait.
    pub(super) async fn prepare(
        self,
        tx: &Transaction<'_>,
        moments: impl Iterator<Item = i64>,
    ) -> Result<(), Fault> {
        if self == Self::Single {
            return Ok(());
        }
        let wanted: BTreeSet<Partition> = moments.map(Partition::of).collect();
        let names: Vec<&str> = wanted.iter().map(|partition| partition.name.as_str()).collect();
        let sql = "SELECT relname::text FROM pg_catalog.pg_inherits
                   JOIN pg_catalog.pg_class ON pg_class.oid = inhrelid
                   WHERE inhparent = 'ml_generation_events'::regclass AND relname = ANY($1)";
        let there = tx.query(&tx.prepare_cached(sql).await?, &[&names]).await?;
        let there: Vec<&str> = there.iter().map(|row| row.get(0)).collect();
        for partition in wanted.iter().filter(|partition| !there.contains(&partition.name.as_str())) {
            partition.make(tx).await?;
        }
        Ok(())
    }
}

/// The name and the bounds of a partition.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Partition {
    name: String,
    from: String,
    to: String,
}

impl Partition {
    fn of(micros: i64) -> Self {
        let year = DateTime::from_timestamp_micros(micros).map_or(0, |at| at.year());
        let month = DateTime::from_timestamp_micros(micros).map_or(1, |at| at.month());
        let start = |year| micros_of(NaiveDate::from_ymd_opt(year, 1, 1));
        let (name, from, to) = if year < OWN_YEARS.start {
            ("early".to_owned(), "MINVALUE".to_owned(), start(OWN_YEARS.start))
        } else if year >= OWN_YEARS.end {
            ("late".to_owned(), start(OWN_YEARS.end), "MAXVALUE".to_owned())
        } else {
            let first = NaiveDate::from_ymd_opt(year, month, 1);
            let next = first.and_then(|day| day.checked_add_months(Months::new(1)));
            (format!("y{year}m{month:02}"), micros_of(first), micros_of(next))
        };
        Self { name: format!("ml_generation_events_{name}"), from, to }
    }

    /// Made beside and attached: that locks nobody out, as `PARTITION OF` would.
    async fn make(&self, tx: &Transaction<'_>) -> Result<(), Fault> {
        let Self { name, from, to } = self;
        let there = tx.query_one("SELECT to_regclass($1) IS NOT NULL", &[name]).await?;
        if there.get(0) {
            return Err(Fault::Own(Error::incompatible(format!(
                "a fact is of a month whose partition {name} was detached: move that table to another schema, drop it or attach it again"
            ))));
        }
        let sql = format!(
            "CREATE TABLE {name} (LIKE ml_generation_events INCLUDING DEFAULTS);
             ALTER TABLE ml_generation_events ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to});"
        );
        Ok(tx.batch_execute(&sql).await?)
    }
}

fn micros_of(day: Option<NaiveDate>) -> String {
    let midnight = day.unwrap_or_default().and_time(chrono::NaiveTime::MIN).and_utc();
    midnight.timestamp_micros().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let of =
            |text: &str| Partition::of(text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros());
        let last = of("2025-12-31T23:59:59.999999Z");
        assert_eq!(last.name, "ml_generation_events_y2025m12");
        assert_eq!(last.to, of("2026-01-01T00:00:00Z").from);
        assert_eq!(of("1999-12-31T23:59:59Z").to, of("2000-01-01T00:00:00Z").from);
        assert_eq!(of("1901-01-01T00:00:00Z"), of("1999-06-01T00:00:00Z"));
        assert_eq!(of("2099-12-31T00:00:00Z").to, of("9999-01-01T00:00:00Z").from);
    }
}
