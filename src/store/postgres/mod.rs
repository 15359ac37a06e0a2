//! A store on PostgreSQL.

mod layout;
mod read;
mod write;

use super::row::{FactRow, FeatureRow};
use super::{Appended, Cursor, Erasure, EventStore, Page, ScanOrder, Subject};
use crate::error::Result;
use crate::event::FeatureVector;
use crate::event::{EventId, GenerationEvent, Record};
use crate::postgres::{Again, Postgres};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;

/// Keeps the facts in PostgreSQL, for any number of hosts.
///
/// Every write is one transaction; appends of all hosts take turns, so that whoever reads by
/// [`ScanOrder::Arrival`] misses nothing, and a batch costs little more than one record. Where a
/// connection is lost, or two transactions stood in each other's way, it is tried again for
/// [`patience`](crate::postgres::PostgresOptions::patience): all writes here may be done twice. A record
/// whose commit was made but not acknowledged is then answered [`Appended::Duplicate`].
///
/// A caller that stops waiting (drops the future) does not take its write back.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    database: Postgres,
}

impl PostgresStore {
    /// The store in `database`.
    pub fn new(database: &Postgres) -> Self {
        Self { database: database.clone() }
    }

    /// Waits until something was written by anybody since the last call, but no longer than `within`: what
    /// a host does before each [`catch_up`](crate::history::SharedHistory::catch_up) with what others
    /// recorded.
    ///
    /// ```no_run
    /// # async fn follow(store: devmatrix_ml::store::PostgresStore, history: std::sync::Arc<devmatrix_ml::history::SharedHistory>) -> devmatrix_ml::Result<()> {
    /// loop {
    ///     store.news(std::time::Duration::from_secs(1)).await;
    ///     history.catch_up(&store).await?;
    /// }
    /// # }
    /// ```
    pub async fn news(&self, within: Duration) {
        self.database.news(within).await;
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, records: Vec<Record>) -> Result<Vec<Appended>> {
        let rows: Arc<[_]> = records.iter().map(FactRow::new).collect::<Result<_>>()?;
        let (channel, layout): (Arc<str>, _) = (self.database.channel().into(), self.database.layout());
        let work = move |mut client| {
            let (rows, channel) = (rows.clone(), channel.clone());
            async move { write::append(&mut client, layout, &rows, &channel).await }
        };
        self.database.run("write records", Again::Idempotent, work).await
    }

    async fn get(&self, ids: &[EventId]) -> Result<Vec<Option<GenerationEvent>>> {
        let (ids, layout): (Arc<[_]>, _) = (texts(ids).into(), self.database.layout());
        let work = move |client| {
            let ids = ids.clone();
            async move { read::events(&client, layout, &ids).await }
        };
        self.database.run("read events", Again::Idempotent, work).await
    }

    async fn scan(&self, order: ScanOrder, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        Cursor::check(after, order)?;
        let (after, layout) = (after.cloned(), self.database.layout());
        let work = move |client| {
            let after = after.clone();
            async move { read::scan(&client, layout, order, after.as_ref(), limit).await }
        };
        self.database.run("scan", Again::Idempotent, work).await
    }

    async fn put_features(&self, vectors: Vec<FeatureVector>) -> Result<()> {
        let rows: Arc<[_]> = vectors.iter().map(FeatureRow::new).collect::<Result<_>>()?;
        let work = move |mut client| {
            let rows = rows.clone();
            async move { write::put_features(&mut client, &rows).await }
        };
        self.database.run("write features", Again::Idempotent, work).await
    }

    async fn features(&self, ids: &[EventId]) -> Result<Vec<Option<FeatureVector>>> {
        let ids: Arc<[_]> = ids.into();
        let work = move |client| {
            let ids = ids.clone();
            async move { read::features(&client, &ids).await }
        };
        self.database.run("read features", Again::Idempotent, work).await
    }

    async fn without_features(&self, after: Option<&EventId>, limit: usize) -> Result<Vec<EventId>> {
        let after: Arc<str> = after.map_or("", EventId::as_str).into();
        let work = move |client| {
            let after = after.clone();
            async move { read::without_features(&client, &after, limit).await }
        };
        self.database.run("list events without features", Again::Idempotent, work).await
    }

    async fn put_checkpoint(&self, name: &str, bytes: Option<Vec<u8>>) -> Result<()> {
        let given: Arc<(String, Option<Vec<u8>>)> = Arc::new((name.to_owned(), bytes));
        let work = move |mut client| {
            let given = given.clone();
            async move { write::put_checkpoint(&mut client, &given.0, given.1.as_deref()).await }
        };
        self.database.run("write a checkpoint", Again::Idempotent, work).await
    }

    async fn checkpoint(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let name: Arc<str> = name.into();
        let work = move |client| {
            let name = name.clone();
            async move { read::checkpoint(&client, &name).await }
        };
        self.database.run("read a checkpoint", Again::Idempotent, work).await
    }

    async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool> {
        let names: (Arc<str>, Arc<str>) = (name.into(), holder.into());
        let times = (now, until);
        let work = move |mut client| {
            let (name, holder) = names.clone();
            async move { write::lease(&mut client, &name, &holder, times).await }
        };
        self.database.run("take a lease", Again::Idempotent, work).await
    }

    async fn erase(&self, subject: &Subject) -> Result<Erasure> {
        let (subject, layout) = (subject.clone(), self.database.layout());
        let work = move |mut client| {
            let subject = subject.clone();
            async move { write::erase(&mut client, layout, &subject).await }
        };
        // Done twice it would say that there was nothing.
        self.database.run("erase", Again::Once, work).await
    }

    async fn erasures(&self) -> Result<u64> {
        let work = |client| async move { read::erasures(&client).await };
        self.database.run("count erasures", Again::Idempotent, work).await
    }
}

fn texts(ids: &[EventId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
