//! A registry on PostgreSQL.

use super::stages::Stages;
use super::version::{MAX_ARTEFACT_BYTES, ModelVersion, NewVersion, Stage, Verdict, check_name, sha256_hex};
use super::{ModelRegistry, document, is_damage, not_found, set_aside};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::postgres::{Again, Fault, Postgres};
use async_trait::async_trait;
use deadpool_postgres::{Object, Transaction};
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Keeps models in PostgreSQL, for any number of hosts.
///
/// A version is a row, written in one transaction with its artefact (at most
/// 1 GiB); what changes about a model is one row that whoever changes it holds. Nothing
/// that would be done twice is tried again after a commit whose outcome is not known.
#[derive(Debug, Clone)]
pub struct PostgresRegistry {
    database: Postgres,
    clock: Arc<dyn Clock>,
}

type Done<T> = std::result::Result<T, Fault>;

impl PostgresRegistry {
    /// The registry in `database`.
    pub fn new(database: &Postgres) -> Self {
        Self { database: database.clone(), clock: Arc::new(SystemClock) }
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    async fn read<T, W, F>(&self, step: &'static str, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: Fn(Object) -> F + Send + Sync + 'static,
        F: Future<Output = Done<T>> + Send,
    {
        self.database.run(step, Again::Idempotent, work).await
    }

    /// Changes the state of the model of a version that exists, while nobody else does.
    async fn change<C>(
        &self,
        step: &'static str,
        model: &str,
        number: u64,
        verify: bool,
        change: C,
    ) -> Result<()>
    where
        C: Fn(&mut Stages) -> Result<()> + Send + Sync + 'static,
    {
        check_name(model)?;
        let (model, change) = (model.to_owned(), Arc::new(change));
        let work = move |mut client: Object| {
            let (model, change) = (model.clone(), change.clone());
            async move {
                let tx = client.transaction().await?;
                let stages = held(&tx, &model).await?;
                let record = record(tx.client(), &model, number).await?;
                let mut stages = stages.ok_or_else(|| not_found(&model, number))?;
                let before = stages.clone();
                change(&mut stages)?;
                if verify {
                    artefact(tx.client(), &model, &record).await?;
                }
                if stages != before {
                    put(&tx, &model, &stages).await?;
                }
                tx.commit().await.map_err(Fault::Commit)
            }
        };
        self.database.run(step, Again::Once, work).await
    }
}

#[async_trait]
impl ModelRegistry for PostgresRegistry {
    async fn register(&self, version: NewVersion) -> Result<ModelVersion> {
        version.validate()?;
        let (version, now) = (Arc::new(version), self.clock.now());
        let work = move |mut client: Object| {
            let version = version.clone();
            async move {
                let tx = client.transaction().await?;
                let name = &version.about.model;
                let sql = "INSERT INTO ml_models (name, stages) VALUES ($1, $2) ON CONFLICT DO NOTHING";
                tx.execute(sql, &[name, &document::write(&Stages::new(name))?]).await?;
                held(&tx, name).await?;
                let sql = "SELECT coalesce(max(version), 0) FROM ml_model_versions WHERE name = $1";
                let last: i64 = tx.query_one(sql, &[name]).await?.get(0);
                let record = version.record(last as u64 + 1, now)?;
                let sql = "INSERT INTO ml_model_versions (name, version, record, artefact, evaluation)
                           VALUES ($1, $2, $3, $4, $5)";
                let evaluation = version.evaluation_artefact.as_deref();
                let values: [&(dyn ToSql + Sync); 5] =
                    [name, &(last + 1), &document::write(&record)?, &version.artefact, &evaluation];
                tx.execute(sql, &values).await?;
                tx.commit().await.map_err(Fault::Commit)?;
                Ok(record)
            }
        };
        self.database.run("register a model", Again::Once, work).await
    }

    async fn versions(&self, model: &str) -> Result<Vec<ModelVersion>> {
        check_name(model)?;
        let model = model.to_owned();
        let work = move |client: Object| {
            let model = model.clone();
            async move {
                let Some(stages) = stages(&client, &model).await? else { return Ok(Vec::new()) };
                let sql = "SELECT version, record FROM ml_model_versions WHERE name = $1 ORDER BY version";
                let rows = client.query(sql, &[&model]).await?;
                let whole = set_aside(&model, rows.iter().map(|row| numbered(&model, row)))?;
                Ok(whole.into_iter().map(|record| stages.apply(record)).collect())
            }
        };
        self.read("list versions", work).await
    }

    async fn damaged(&self, model: &str) -> Result<Vec<(u64, Error)>> {
        check_name(model)?;
        let model = model.to_owned();
        let work = move |client: Object| {
            let model = model.clone();
            async move {
                let sql = "SELECT version, record FROM ml_model_versions WHERE name = $1 ORDER BY version";
                let rows = client.query(sql, &[&model]).await?;
                let damage = |row: &Row| {
                    let (number, record) = numbered(&model, row);
                    record.err().filter(is_damage).map(|error| (number, error))
                };
                Ok(rows.iter().filter_map(damage).collect())
            }
        };
        self.read("look for damaged versions", work).await
    }

    async fn version(&self, model: &str, number: u64) -> Result<ModelVersion> {
        check_name(model)?;
        let model = model.to_owned();
        let work = move |client: Object| {
            let model = model.clone();
            async move {
                let stages = stages(&client, &model).await?.ok_or_else(|| not_found(&model, number))?;
                Ok(stages.apply(record(&client, &model, number).await?))
            }
        };
        self.read("read a version", work).await
    }

    async fn production(&self, model: &str) -> Result<Option<ModelVersion>> {
        check_name(model)?;
        let model = model.to_owned();
        let work = move |client: Object| {
            let model = model.clone();
            async move {
                let Some(stages) = stages(&client, &model).await? else { return Ok(None) };
                let Some(number) = stages.production() else { return Ok(None) };
                Ok(Some(stages.apply(serving(&client, &model, number).await?)))
            }
        };
        self.read("read the version in production", work).await
    }

    async fn artefact(&self, model: &str, number: u64) -> Result<Vec<u8>> {
        check_name(model)?;
        let model = model.to_owned();
        let work = move |client: Object| {
            let model = model.clone();
            async move {
                let record = record(&client, &model, number).await?;
                artefact(&client, &model, &record).await
            }
        };
        self.read("read an artefact", work).await
    }

    async fn evaluation_artefact(&self, model: &str, number: u64) -> Result<Option<Vec<u8>>> {
        check_name(model)?;
        let model = model.to_owned();
        let work = move |client: Object| {
            let model = model.clone();
            async move {
                let record = record(&client, &model, number).await?;
                let Some(sha256) = &record.evaluation_sha256 else { return Ok(None) };
                blob(&client, "evaluation", &model, number, sha256).await.map(Some)
            }
        };
        self.read("read a holdout model", work).await
    }

    async fn promote(&self, model: &str, number: u64, expected: Option<u64>) -> Result<()> {
        let change = move |stages: &mut Stages| {
            stages.expect(expected)?;
            stages.promote(number);
            Ok(())
        };
        self.change("promote", model, number, true, change).await
    }

    async fn roll_back(&self, model: &str) -> Result<ModelVersion> {
        check_name(model)?;
        let model = model.to_owned();
        let work = move |mut client: Object| {
            let model = model.clone();
            async move {
                let tx = client.transaction().await?;
                let mut stages = held(&tx, &model).await?.unwrap_or_else(|| Stages::new(&model));
                let record = serving(tx.client(), &model, stages.roll_back()?).await?;
                artefact(tx.client(), &model, &record).await?;
                put(&tx, &model, &stages).await?;
                tx.commit().await.map_err(Fault::Commit)?;
                Ok(stages.apply(record))
            }
        };
        self.database.run("roll back", Again::Once, work).await
    }

    async fn set_stage(&self, model: &str, number: u64, stage: Stage) -> Result<()> {
        self.change("set a stage", model, number, false, move |stages| stages.set(number, stage)).await
    }

    async fn note_verdict(&self, model: &str, number: u64, verdict: Verdict) -> Result<()> {
        verdict.validate()?;
        let verdict = verdict.storable();
        let change = move |stages: &mut Stages| {
            stages.note(number, verdict.clone());
            Ok(())
        };
        self.change("note a verdict", model, number, false, change).await
    }
}

/// The state of a model, which nobody else changes until the transaction ends.
async fn held(tx: &Transaction<'_>, model: &str) -> Done<Option<Stages>> {
    let row = tx.query_opt("SELECT stages FROM ml_models WHERE name = $1 FOR UPDATE", &[&model]).await?;
    row.map(|row| read_stages(model, &row)).transpose()
}

async fn stages(client: &tokio_postgres::Client, model: &str) -> Done<Option<Stages>> {
    let row = client.query_opt("SELECT stages FROM ml_models WHERE name = $1", &[&model]).await?;
    row.map(|row| read_stages(model, &row)).transpose()
}

fn read_stages(model: &str, row: &Row) -> Done<Stages> {
    let stages: Stages = document::read(row.get(0))
        .map_err(|e| e.context(format!("model {model}: its state in ml_models")))?;
    if stages.model() != model {
        let of = format!("model {model}: its state in ml_models belongs to {}", stages.model());
        return Err(Error::corrupt(format!("{of}: restore it from a copy")).into());
    }
    Ok(stages)
}

async fn put(tx: &Transaction<'_>, model: &str, stages: &Stages) -> Done<()> {
    let bytes = document::write(stages)?;
    tx.execute("UPDATE ml_models SET stages = $2 WHERE name = $1", &[&model, &bytes]).await?;
    Ok(())
}

/// The registered version, without later changes.
async fn record(client: &tokio_postgres::Client, model: &str, number: u64) -> Done<ModelVersion> {
    let found = find(client, model, number).await?;
    found.ok_or_else(|| not_found(model, number).into())
}

/// The record of a version that the state names: its absence is damage, not a mistake.
async fn serving(client: &tokio_postgres::Client, model: &str, number: u64) -> Done<ModelVersion> {
    let found = find(client, model, number).await?;
    found.ok_or_else(|| {
        Error::corrupt(format!(
            "model {model}, version {number}: its row in ml_model_versions is missing: restore it from a copy"
        ))
        .into()
    })
}

async fn find(client: &tokio_postgres::Client, model: &str, number: u64) -> Done<Option<ModelVersion>> {
    let Ok(number) = i64::try_from(number) else { return Ok(None) };
    let sql = "SELECT version, record FROM ml_model_versions WHERE name = $1 AND version = $2";
    let row = client.query_opt(sql, &[&model, &number]).await?;
    row.map(|row| read_record(model, &row)).transpose()
}

/// A row's number and its record.
fn numbered(model: &str, row: &Row) -> (u64, Result<ModelVersion>) {
    (row.get::<_, i64>(0) as u64, verified(model, row))
}

fn read_record(model: &str, row: &Row) -> Done<ModelVersion> {
    Ok(verified(model, row)?)
}

fn verified(model: &str, row: &Row) -> Result<ModelVersion> {
    let number: i64 = row.get(0);
    let of = format!("model {model}, version {number}: its record");
    let record: ModelVersion = document::read(row.get(1)).map_err(|e| e.context(&of))?;
    if record.model != model || i64::try_from(record.version) != Ok(number) {
        let other = format!("{of} belongs to model {}, version {}", record.model, record.version);
        return Err(Error::corrupt(format!("{other}: restore it from a copy")));
    }
    Ok(record)
}

async fn artefact(client: &tokio_postgres::Client, model: &str, record: &ModelVersion) -> Done<Vec<u8>> {
    blob(client, "artefact", model, record.version, &record.artefact_sha256).await
}

async fn blob(
    client: &tokio_postgres::Client,
    column: &str,
    model: &str,
    number: u64,
    sha256: &str,
) -> Done<Vec<u8>> {
    let damaged = |what: &str| {
        Fault::Own(Error::corrupt(format!(
            "model {model}, version {number}: its {column} {what}: restore it from a copy"
        )))
    };
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    // The size first: what stands there may be anybody's.
    let sql =
        format!("SELECT octet_length({column}) FROM ml_model_versions WHERE name = $1 AND version = $2");
    let size: Option<i32> = client.query_opt(&sql, &[&model, &number]).await?.and_then(|row| row.get(0));
    match size {
        None => return Err(damaged("is missing")),
        Some(size) if size as usize > MAX_ARTEFACT_BYTES => {
            return Err(damaged("is larger than any that is written"));
        }
        Some(_) => {}
    }
    let sql = format!("SELECT {column} FROM ml_model_versions WHERE name = $1 AND version = $2");
    let row = client.query_opt(&sql, &[&model, &number]).await?;
    let bytes: Vec<u8> = row.and_then(|row| row.get(0)).ok_or_else(|| damaged("is missing"))?;
    if sha256_hex(&bytes) == sha256 {
        Ok(bytes)
    } else {
        Err(damaged("does not have the SHA-256 of its record"))
    }
}
