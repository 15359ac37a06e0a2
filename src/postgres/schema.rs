//! The tables: what they hold, and how older ones are brought up to date.

use super::{Fault, PostgresOptions};
use crate::error::Error;
use deadpool_postgres::Object;

/// Step `n` brings tables of version `n` to `n + 1`; steps are only ever added.
const MIGRATIONS: &[&str] = &[V1, V2, V3];

/// - Text compares bytewise, like [`crate::event::RecordKey`].
/// - `body` is `json`, not `jsonb`: what comes back is what was written, to the byte.
/// - The row `arrivals` of `ml_meta` gives numbers to facts and is held until they are committed: facts
///   become visible in the order of their numbers, so nothing can appear behind a cursor.
/// - `ml_waiting` holds the events judged since their features were put.
/// - The views are for people: one row a generation under the design's names, and one a judgement.
const V1: &str = r#"
CREATE TABLE ml_generation_events (
    seq bigint NOT NULL UNIQUE,
    event_id text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    part text COLLATE "C" NOT NULL,
    known_at bigint NOT NULL,
    user_id text COLLATE "C",
    project_id text COLLATE "C",
    body json NOT NULL,
    crc bigint NOT NULL,
    PRIMARY KEY (event_id, kind, part)
);
CREATE INDEX ml_generation_events_known ON ml_generation_events (known_at, event_id, kind, part);
CREATE INDEX ml_generation_events_user ON ml_generation_events (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX ml_generation_events_project ON ml_generation_events (project_id) WHERE project_id IS NOT NULL;
CREATE TABLE ml_feature_vectors (
    event_id text COLLATE "C" PRIMARY KEY,
    body bytea NOT NULL,
    crc bigint NOT NULL
);
CREATE TABLE ml_waiting (event_id text COLLATE "C" PRIMARY KEY);
CREATE TABLE ml_checkpoints (name text COLLATE "C" PRIMARY KEY, bytes bytea NOT NULL, crc bigint NOT NULL);
CREATE TABLE ml_leases (name text COLLATE "C" PRIMARY KEY, holder text NOT NULL, until bigint NOT NULL);
CREATE TABLE ml_erased (digest bytea PRIMARY KEY);
CREATE TABLE ml_meta (name text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO ml_meta (name, value) VALUES ('arrivals', 0), ('erasures', 0);
CREATE TABLE ml_models (
    name text COLLATE "C" PRIMARY KEY,
    stages bytea NOT NULL
);
CREATE TABLE ml_model_versions (
    name text COLLATE "C" NOT NULL REFERENCES ml_models,
    version bigint NOT NULL,
    record bytea NOT NULL,
    artefact bytea NOT NULL,
    evaluation bytea,
    PRIMARY KEY (name, version)
);
CREATE VIEW ml_feedback AS
SELECT event_id, part AS feedback_id, to_timestamp(known_at / 1e6) AS known_at, body
FROM ml_generation_events WHERE kind = 2;
"#;

/// Puts partitions by month in the place of the table of [`V1`], which is empty. The keys stand apart, as what
/// is unique in a partitioned table must hold `known_at`. A later step that changes `ml_generation_events` must
/// do so for both.
const MONTHLY: &str = r#"
DROP VIEW ml_feedback;
DROP TABLE ml_generation_events;
CREATE TABLE ml_generation_keys (
    event_id text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    part text COLLATE "C" NOT NULL,
    known_at bigint NOT NULL,
    arrival bigint NOT NULL UNIQUE,
    PRIMARY KEY (event_id, kind, part)
);
CREATE TABLE ml_generation_events (
    seq bigint NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    part text COLLATE "C" NOT NULL,
    known_at bigint NOT NULL,
    user_id text COLLATE "C",
    project_id text COLLATE "C",
    body json NOT NULL,
    crc bigint NOT NULL,
    PRIMARY KEY (known_at, event_id, kind, part)
) PARTITION BY RANGE (known_at);
CREATE INDEX ml_generation_events_user ON ml_generation_events (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX ml_generation_events_project ON ml_generation_events (project_id) WHERE project_id IS NOT NULL;
CREATE VIEW ml_feedback AS
SELECT event_id, part AS feedback_id, to_timestamp(known_at / 1e6) AS known_at, body
FROM ml_generation_events WHERE kind = 2;
"#;

/// The person who judged, or will judge; of either layout.
const V2: &str = r#"
ALTER TABLE ml_generation_events ADD COLUMN reviewer_id text COLLATE "C";
CREATE INDEX ml_generation_events_reviewer ON ml_generation_events (reviewer_id) WHERE reviewer_id IS NOT NULL;
"#;

/// Since when a lease that lasts too long is watched (microseconds since 1970).
const V3: &str = "ALTER TABLE ml_leases ADD COLUMN watched bigint;";

/// How facts are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Layout {
    /// In one table.
    #[default]
    Single,
    /// In a partition a month.
    Monthly,
}

/// Makes the tables, or brings them up to date.
pub(super) async fn migrate(client: &mut Object, options: &PostgresOptions) -> Result<Layout, Fault> {
    update(client, options).await?;
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relkind = 'p'
               AND oid = to_regclass('ml_generation_events'))";
    let monthly: bool = client.query_one(sql, &[]).await?.get(0);
    if options.monthly_partitions && !monthly {
        return Err(Fault::Own(Error::incompatible(
            "monthly_partitions is set, but its events are kept in one table: export them into a new schema, or unset it",
        )));
    }
    Ok(if monthly { Layout::Monthly } else { Layout::Single })
}

async fn update(client: &mut Object, options: &PostgresOptions) -> Result<(), Fault> {
    let schema = options.schema.as_str();
    let known = MIGRATIONS.len() as i32;
    // Looked at first, so that a user who may not make tables can use those that are there.
    if version(client, schema).await? == known {
        return Ok(());
    }
    let tx = client.transaction().await?;
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&format!("devmatrix-ml {schema}")])
        .await?;
    // Another may have been quicker.
    let done = version(tx.client(), schema).await?;
    if done > known || done < 0 {
        return Err(Fault::Own(Error::incompatible(format!(
            "its tables have version {done}, this release reads up to {known}: upgrade devmatrix-ml"
        ))));
    }
    if done == 0 {
        // The name was checked: it needs no quotes.
        tx.batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE TABLE {schema}.ml_schema (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());"
        ))
        .await?;
    }
    for (at, step) in MIGRATIONS.iter().enumerate().skip(done as usize) {
        tx.batch_execute(step).await?;
        if at == 0 && options.monthly_partitions {
            tx.batch_execute(MONTHLY).await?;
        }
        tx.execute("INSERT INTO ml_schema (version) VALUES ($1)", &[&(at as i32 + 1)]).await?;
    }
    tx.commit().await.map_err(Fault::Commit)
}

async fn version(client: &tokio_postgres::Client, schema: &str) -> Result<i32, Fault> {
    // By the catalogue's rows: what names resolve to is remembered, and another may just have made it.
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'ml_schema')";
    if !client.query_one(sql, &[&schema]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let sql = format!("SELECT coalesce(max(version), 0) FROM {schema}.ml_schema");
    Ok(client.query_one(&sql, &[]).await?.get(0))
}
