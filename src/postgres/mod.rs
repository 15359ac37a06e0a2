//! One PostgreSQL database for the events and the models of several hosts.
//!
//! [`Postgres`] is the way there: [`PostgresStore`](crate::store::PostgresStore) and
//! [`PostgresRegistry`](crate::registry::PostgresRegistry) are made on it. It brings its own small
//! runtime (one thread), so a host may use any other or none:
//!
//! ```no_run
//! use devmatrix_ml::postgres::{Postgres, PostgresOptions};
//! use devmatrix_ml::registry::PostgresRegistry;
//! use devmatrix_ml::store::{EventStore, PostgresStore};
//!
//! # fn main() -> devmatrix_ml::Result<()> {
//! let url = std::env::var("DATABASE_URL").unwrap_or_default();
//! let database = futures_executor::block_on(Postgres::connect(&url, PostgresOptions::default()))?;
//! let (store, registry) = (PostgresStore::new(&database), PostgresRegistry::new(&database));
//! println!("{} erasures", futures_executor::block_on(store.erasures())?);
//! # let _ = registry;
//! # Ok(()) }
//! ```

mod connect;
mod fault;
mod listen;
mod schema;

pub(crate) use fault::Fault;
pub(crate) use schema::Layout;

use crate::error::{Error, ErrorKind, Result};
use connect::Way;
use deadpool_postgres::{Object, Pool};
use listen::News;
use rand::{RngExt, rng};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// Options of a [`Postgres`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The schema that holds the tables, made where it is missing: lower-case letters, digits and `_`,
    /// not beginning with a digit.
    pub schema: String,
    /// Connections at most, from 1.
    pub connections: usize,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// After how long the server gives up a statement.
    pub statement_timeout: Duration,
    /// How long to try again where the connection was lost, or two transactions stood in each other's
    /// way.
    pub patience: Duration,
    /// Whom to trust; `None` for clear text. With it, a server that offers no TLS or shows a
    /// certificate of nobody trusted is an error, whatever the URL says (feature `postgres-tls`).
    pub tls: Option<TlsRoots>,
    /// `true` if the facts of each month (UTC, of when they became known) go into a partition of their own of
    /// `ml_generation_events`, made when its first fact arrives. It counts where the tables are made; where
    /// they are there, they are used as they are, and it is an error to ask for partitions that they lack.
    ///
    /// A month that is not to be learned from any more can be archived: export it, then
    /// `ALTER TABLE ml_generation_events DETACH PARTITION ml_generation_events_y2025m03` and move the table
    /// to another schema, or drop it. Its keys stay: what arrives again is answered
    /// [`Duplicate`](crate::store::Appended::Duplicate), unseen. To erase somebody from it is the host's.
    pub monthly_partitions: bool,
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsRoots {
    /// Those that the system trusts.
    System,
    /// Those in this file (PEM).
    File(PathBuf),
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: "devmatrix_ml".to_owned(),
            connections: 8,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            patience: Duration::from_secs(10),
            tls: None,
            monthly_partitions: false,
        }
    }
}

/// A pool of connections to one schema of one database; clones share it.
#[derive(Clone)]
pub struct Postgres {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    way: Way,
    options: PostgresOptions,
    news: OnceLock<News>,
    /// How facts are kept; known since the tables were looked at.
    layout: OnceLock<Layout>,
    /// Only the drop takes it out.
    runtime: Option<Runtime>,
}

/// Whether work may be done a second time where it is not known if the first was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Yes: twice is as good as once.
    Idempotent,
    /// No.
    Once,
}

impl Postgres {
    /// Connects to `url` (`postgres://USER:PASSWORD@HOST:PORT/DATABASE`), and makes the tables or brings
    /// them up to date; of several who do so at the same time one does.
    ///
    /// # Errors
    /// `InvalidInput` for a URL or options that cannot be used; `Incompatible` where the tables are those
    /// of a newer release; `Unavailable` when the server cannot be reached or refuses. No message holds
    /// the password.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self> {
        let way = Way::new(url, &options)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("devmatrix-postgres")
            .enable_all()
            .build()
            .map_err(|e| unavailable("its thread could not be started").with_source(e))?;
        let pool = way.pool(&options)?;
        let (news, layout) = (OnceLock::new(), OnceLock::new());
        let inner = Inner { pool, way, options, news, layout, runtime: Some(runtime) };
        let database = Self { inner: Arc::new(inner) };
        let options = database.inner.options.clone();
        let migrate = move |mut client: Object| {
            let options = options.clone();
            async move { schema::migrate(&mut client, &options).await }
        };
        let layout = database.run("prepare its tables", Again::Idempotent, migrate).await?;
        database.inner.layout.get_or_init(|| layout);
        Ok(database)
    }

    /// Waits until something was written to its event store by anybody since the last call, but no longer
    /// than `within`. What is notified is at most a moment old; while the connection is lost it returns
    /// after `within`, so that who reads after each call misses nothing.
    pub(crate) async fn news(&self, within: Duration) {
        let inner = self.inner.clone();
        let Some(runtime) = &self.inner.runtime else { return };
        let waiting = runtime.spawn(async move {
            let news = inner.news.get_or_init(|| News::start(inner.way.clone(), &inner.options.schema));
            news.wait(within).await;
        });
        // A runtime that is shutting down wakes everybody.
        let _ = waiting.await;
    }

    /// How facts are kept.
    pub(crate) fn layout(&self) -> Layout {
        self.inner.layout.get().copied().unwrap_or_default()
    }

    /// The channel on which writers tell that they have written.
    pub(crate) fn channel(&self) -> String {
        listen::channel(&self.inner.options.schema)
    }

    /// Runs `work` on a connection of its own; where it is lost, again on another.
    pub(crate) async fn run<T, W, F>(&self, step: &'static str, again: Again, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: Fn(Object) -> F + Send + Sync + 'static,
        F: Future<Output = std::result::Result<T, Fault>> + Send,
    {
        let inner = self.inner.clone();
        let Some(runtime) = &self.inner.runtime else { return Err(gone()) };
        let done = runtime.spawn(async move {
            let done = inner.persist(again, work).await;
            done.map_err(|fault| fault.into_error(step).context(&inner.way.place))
        });
        done.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Inner {
    async fn persist<T, W, F>(&self, again: Again, work: W) -> std::result::Result<T, Fault>
    where
        W: Fn(Object) -> F + Send + Sync,
        F: Future<Output = std::result::Result<T, Fault>> + Send,
    {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let fault = match self.attempt(&work).await {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            if !fault.is_passing(again) || begun.elapsed() + pause > self.options.patience {
                return Err(fault);
            }
            tracing::debug!(?pause, "PostgreSQL: trying again");
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt<T, W, F>(&self, work: &W) -> std::result::Result<T, Fault>
    where
        W: Fn(Object) -> F,
        F: Future<Output = std::result::Result<T, Fault>>,
    {
        let client = self.pool.get().await?;
        // A server that stands still answers no statement_timeout.
        let limit = self.options.statement_timeout * 2;
        let done = tokio::time::timeout(limit, work(client)).await;
        done.unwrap_or_else(|_| {
            self.pool.retain(|_, _| false);
            Err(Fault::Silent(limit))
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last to hold it may be one of its own tasks, which must not wait for itself.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { way, options, .. } = self.inner.as_ref();
        f.debug_struct("Postgres")
            .field("place", &way.place)
            .field("options", options)
            .finish_non_exhaustive()
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Half to one and a half times `pause`, so that hosts do not all come back at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rng().random_range(0.5..1.5))
}

fn gone() -> Error {
    unavailable("its thread is gone: connect anew")
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("PostgreSQL: {message}"))
}
