//! The facts of a store, read while the lease of a training is kept, and the rows made of them.

use super::lease::Lease;
use super::replay::ReplayCache;
use crate::dataset::{Dataset, DatasetBuilder, RowBuilder, Target};
use crate::error::Result;
use crate::event::Record;
use crate::execution::ExecutionContext;
use crate::features::FeatureEngineer;
use crate::models::Trainer;
use crate::store::{Cursor, EventStore, EventStoreExt, Page, SCAN_PAGE, ScanOrder};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads the rows for `target` from all that `store` knew at `now`, of which the newest `max_rows` are kept.
///
/// # Errors
/// Those of reading the store.
pub async fn replay(
    store: &dyn EventStore,
    engineer: &FeatureEngineer,
    target: Target,
    now: DateTime<Utc>,
    max_rows: usize,
) -> Result<Dataset> {
    let mut builder = DatasetBuilder::new(engineer.clone());
    let mut each = |record: Record| {
        if record.known_at() <= now {
            builder.apply(&record);
        }
        Ok(())
    };
    store.for_each(ScanOrder::Known, &mut each).await?;
    Ok(builder.rows(target, now, max_rows))
}

/// A reading of a store as of a moment, page by page: between two pages it can be cancelled, and the lease of the
/// training that reads is renewed, so that a long one loses it to no other host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) store: &'a dyn EventStore,
    pub(super) engineer: &'a FeatureEngineer,
    pub(super) now: DateTime<Utc>,
    pub(super) work: &'a ExecutionContext,
    pub(super) lease: Option<&'a Lease<'a>>,
}

impl Reading<'_> {
    /// Reads the page after `cursor`.
    ///
    /// # Errors
    /// `Cancelled`; `Conflict` where another host has taken the lease; those of the store.
    pub(super) async fn page(&self, order: ScanOrder, cursor: Option<&Cursor>) -> Result<Page> {
        self.go_on().await?;
        self.store.scan(order, cursor, SCAN_PAGE).await
    }

    /// Checks that the training may go on, and renews its lease where it is time.
    ///
    /// # Errors
    /// `Cancelled`; `Conflict` where another host has taken the lease; those of the store.
    pub(super) async fn go_on(&self) -> Result<()> {
        self.work.check()?;
        match self.lease {
            Some(lease) => lease.renew_in_time().await,
            None => Ok(()),
        }
    }

    /// Gives `each` what was known at that moment, in the order in which it became known.
    ///
    /// # Errors
    /// Those of [`page`](Self::page).
    pub(super) async fn known(&self, each: &mut (dyn FnMut(&Record) + Send)) -> Result<()> {
        let mut cursor = None;
        loop {
            let page = self.page(ScanOrder::Known, cursor.as_ref()).await?;
            for record in page.records.iter().filter(|record| record.known_at() <= self.now) {
                self.work.check()?;
                each(record);
            }
            if page.records.len() < SCAN_PAGE {
                return Ok(());
            }
            cursor = page.next;
        }
    }
}

/// The facts of a store, as the training rows of some models are made from them.
#[derive(Debug)]
pub(super) struct TrainingFacts {
    /// Of the models that have no rows of their own; `None` where all have.
    shared: Option<Arc<DatasetBuilder>>,
    /// By the models' names.
    own: BTreeMap<&'static str, Box<dyn RowBuilder>>,
    /// Erasures of the store before it was read.
    pub(super) erasures: u64,
}

impl TrainingFacts {
    /// Reads all that the rows of `trainers` are made of.
    ///
    /// # Errors
    /// Those of [`Reading::page`].
    pub(super) async fn read<'t, T: Trainer + 't>(
        trainers: impl IntoIterator<Item = &'t T>,
        reading: Reading<'_>,
        replay: Option<&ReplayCache>,
    ) -> Result<Self> {
        let (mut shared, mut own, erasures) = (None, BTreeMap::new(), reading.store.erasures().await?);
        for trainer in trainers {
            match trainer.row_builder() {
                Some(builder) => drop(own.insert(trainer.name(), builder)),
                None => shared = Some(DatasetBuilder::new(reading.engineer.clone())),
            }
        }
        let cached = match replay.filter(|_| shared.is_some()) {
            Some(replay) => Some(replay.read(reading).await?),
            None => None,
        };
        if cached.is_some() && own.is_empty() {
            return Ok(Self { shared: cached, own, erasures });
        }
        let mut shared = shared.filter(|_| cached.is_none());
        let mut each = |record: &Record| {
            shared.iter_mut().for_each(|builder| builder.apply(record));
            own.values_mut().for_each(|builder| builder.apply(record));
        };
        reading.known(&mut each).await?;
        Ok(Self { shared: cached.or(shared.map(Arc::new)), own, erasures })
    }

    /// Returns the newest `most` rows for a trainer.
    pub(super) fn rows<T: Trainer>(&self, trainer: &T, now: DateTime<Utc>, most: usize) -> Dataset {
        match (self.own.get(trainer.name()), &self.shared) {
            (Some(own), _) => own.rows(now, most),
            (None, Some(shared)) => shared.rows(trainer.target(), now, most),
            (None, None) => DatasetBuilder::new(FeatureEngineer::default()).rows(trainer.target(), now, most),
        }
    }
}
