//! Rows of the stores on databases: how a record becomes one and is read back, and the checksum over all
//! of its columns.

use crate::error::{Error, Result};
use crate::event::FeatureVector;
use crate::event::{EventId, Fact, Record, RecordKey};
use chrono::{DateTime, Utc};
use crc32fast::Hasher;
use sha2::{Digest, Sha256};

/// A record as a row, but for its number, which only the transaction knows.
pub(super) struct FactRow {
    pub(super) key: RecordKey,
    pub(super) known_at: i64,
    pub(super) user_id: Option<String>,
    pub(super) project_id: Option<String>,
    pub(super) reviewer_id: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) label_fact: bool,
    sum: Sum,
}

/// A feature vector as a row.
pub(super) struct FeatureRow {
    pub(super) event_id: EventId,
    pub(super) body: Vec<u8>,
    pub(super) crc: i64,
}

/// A row of facts as it was read, borrowed from the driver.
pub(super) struct StoredFact<'a> {
    pub(super) seq: i64,
    pub(super) event_id: &'a str,
    pub(super) kind: i64,
    pub(super) part: &'a str,
    pub(super) known_at: i64,
    pub(super) user_id: Option<&'a str>,
    pub(super) project_id: Option<&'a str>,
    pub(super) reviewer_id: Option<&'a str>,
    pub(super) body: &'a [u8],
    pub(super) crc: i64,
}

/// The layout of a feature vector's body, its first byte.
const FEATURES_FORMAT: u8 = 1;

impl FactRow {
    /// Encodes `record`; done on the caller's thread, to keep the writing one free.
    pub(super) fn new(record: &Record) -> Result<Self> {
        let mut body = Vec::with_capacity(1024);
        serde_json::to_writer(&mut body, record.fact())
            .map_err(|e| Error::internal("a record could not be encoded").with_source(e))?;
        let (user_id, project_id, reviewer_id) = match record.fact() {
            Fact::Started(s) => {
                (s.context.user_id.clone(), s.context.project_id.clone(), s.context.reviewer_id.clone())
            }
            Fact::Completed(_) => (None, None, None),
            Fact::Feedback(f) => (None, None, f.reviewer_id.clone()),
        };
        let (user_id, project_id) = (user_id.map(String::from), project_id.map(String::from));
        let reviewer_id = reviewer_id.map(String::from);
        let (key, known_at) = (record.key(), record.known_at().timestamp_micros());
        let sum = fact_sum(
            (key.event_id.as_str(), key.kind.into(), &key.part),
            known_at,
            (user_id.as_deref(), project_id.as_deref(), reviewer_id.as_deref()),
            &body,
        );
        Ok(Self { key, known_at, user_id, project_id, reviewer_id, body, label_fact: record.is_label(), sum })
    }

    /// The checksum of the row that stands at `seq`.
    pub(super) fn crc(&self, seq: i64) -> i64 {
        self.sum.clone().int(seq).end()
    }

    /// Whether `body`, stored under the same key, says the same.
    pub(super) fn same_fact(&self, body: &[u8]) -> bool {
        // A later release may write the same fact in other bytes.
        let fact = |bytes| serde_json::from_slice::<Fact>(bytes).ok();
        self.body == body || fact(body).is_some_and(|stored| Some(stored) == fact(&self.body))
    }
}

impl FeatureRow {
    pub(super) fn new(vector: &FeatureVector) -> Result<Self> {
        let body = postcard::to_extend(vector, vec![FEATURES_FORMAT])
            .map_err(|e| Error::internal("a feature vector could not be encoded").with_source(e))?;
        let event_id = vector.event_id.clone();
        let crc = blob_crc("features", event_id.as_str(), &body);
        Ok(Self { event_id, body, crc })
    }
}

impl StoredFact<'_> {
    /// The number and the record of a row that is whole.
    pub(super) fn verified(&self) -> Result<(i64, Record)> {
        let key = (self.event_id, self.kind, self.part);
        let owners = (self.user_id, self.project_id, self.reviewer_id);
        let sum = fact_sum(key, self.known_at, owners, self.body);
        if sum.int(self.seq).end() != self.crc {
            return Err(damaged("facts", &format!("{} (event {:?})", self.seq, self.event_id)));
        }
        let record = decode_fact(self.event_id, self.known_at, self.body).map_err(|e| {
            let row = format!("facts row {}", self.seq);
            Error::incompatible(format!("{row} is whole but not of this release: upgrade devmatrix-ml"))
                .with_source(e)
        })?;
        Ok((self.seq, record))
    }
}

pub(super) fn read_features(event_id: &EventId, body: &[u8], crc: i64) -> Result<FeatureVector> {
    verify("features", event_id.as_str(), body, crc)?;
    let vector = match body.split_first() {
        Some((&FEATURES_FORMAT, rest)) => postcard::from_bytes(rest).ok(),
        _ => None,
    };
    vector.ok_or_else(|| {
        let message = format!("the features of {event_id} are whole but not of this release: make them anew");
        Error::incompatible(message)
    })
}

/// The checksum of a row that is a name and some bytes.
pub(super) fn blob_crc(table: &str, name: &str, bytes: &[u8]) -> i64 {
    Sum::default().text(table).text(name).bytes(bytes).end()
}

/// Refuses a row whose bytes are not those that were written.
pub(super) fn verify(table: &str, name: &str, bytes: &[u8], crc: i64) -> Result<()> {
    if blob_crc(table, name, bytes) == crc { Ok(()) } else { Err(damaged(table, &format!("{name:?}"))) }
}

/// What stays of an erased event: enough to know its id again, too little to tell it.
pub(super) fn digest(event_id: &EventId) -> [u8; 32] {
    Sha256::digest(event_id.as_str()).into()
}

fn damaged(table: &str, row: &str) -> Error {
    Error::corrupt(format!("{table} row {row} fails its checksum: restore it from a copy"))
}

fn decode_fact(event_id: &str, known_at: i64, body: &[u8]) -> Result<Record> {
    let fact = serde_json::from_slice(body).map_err(|e| Error::corrupt("its body").with_source(e))?;
    let known_at: DateTime<Utc> =
        DateTime::from_timestamp_micros(known_at).ok_or_else(|| Error::corrupt("its known_at"))?;
    Record::stored(EventId::new(event_id)?, known_at, fact)
}

fn fact_sum(
    (event_id, kind, part): (&str, i64, &str),
    known_at: i64,
    (user_id, project_id, reviewer_id): (Option<&str>, Option<&str>, Option<&str>),
    body: &[u8],
) -> Sum {
    let key = Sum::default().text("facts").text(event_id).int(kind).text(part).int(known_at);
    let sum = key.option(user_id).option(project_id).bytes(body);
    // Rows written before there was the column have the checksum of one without a reviewer.
    reviewer_id.map_or(sum.clone(), |reviewer| sum.text("reviewer").text(reviewer))
}

/// A checksum over columns, each with its length, so that no byte can move from one to the next.
#[derive(Clone, Default)]
struct Sum(Hasher);

impl Sum {
    fn int(mut self, value: i64) -> Self {
        self.0.update(&value.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self = self.int(bytes.len() as i64);
        self.0.update(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn option(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => self.int(-1),
        }
    }

    fn end(self) -> i64 {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_moves_to_the_next_column_changes_the_checksum() {
        assert_ne!(blob_crc("features", "ab", b"c"), blob_crc("features", "a", b"bc"));
        let sum = |user, project, judge| fact_sum(("e", 0, ""), 1, (user, project, judge), b"x").end();
        let owners = [(Some("a"), None, None), (None, Some("a"), None), (None, None, Some("a"))];
        let empty =
            [(Some(""), None, None), (None, Some(""), None), (None, None, Some("")), (None, None, None)];
        let sums: Vec<_> = owners.into_iter().chain(empty).map(|(a, b, c)| sum(a, b, c)).collect();
        assert!((1..sums.len()).all(|at| !sums[..at].contains(&sums[at])), "{sums:?}");
    }
}
