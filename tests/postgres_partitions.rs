//! Monthly partitions of facts on a real PostgreSQL.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, Utc};
use common::server::{options, sql, url};
use common::{approve, task, world::store_of};
use devmatrix_ml::ErrorKind;
use devmatrix_ml::event::{EventId, Fact, Record, UserId};
use devmatrix_ml::postgres::{Postgres, PostgresOptions};
use devmatrix_ml::store::{self, Appended, EventStore, EventStoreExt, PostgresStore, ScanOrder, Subject};
use futures_util::future::join_all;

#[tokio::test]
async fn the_store_conforms() {
    let Some(url) = url() else { return };
    store::conformance::check(|| async { open(&url, &monthly()).await }).await;
}

#[tokio::test]
async fn monthly_partitions_hold_the_same_facts_as_one_table() {
    let Some(url) = url() else { return };
    let (memory, _) = store_of(100, 6.0, 8);
    let all = facts(memory.as_ref(), ScanOrder::Arrival).await;
    let (partitioned, mut single) = (monthly(), options());
    single.monthly_partitions = false;
    let stores = [open(&url, &partitioned).await, open(&url, &single).await];
    for store in &stores {
        for batch in all.chunks(400) {
            store.append(batch.to_vec()).await.unwrap();
        }
        for order in [ScanOrder::Known, ScanOrder::Arrival] {
            assert_eq!(facts(store, order).await, facts(memory.as_ref(), order).await, "{order:?}");
        }
    }
    let ids: Vec<EventId> = all.iter().map(|record| record.event_id().clone()).collect();
    let [a, b] = [stores[0].get(&ids).await.unwrap(), stores[1].get(&ids).await.unwrap()];
    assert_eq!(a, b);
    let months = partitions(&url, &partitioned).await;
    assert!((4..=5).contains(&months), "{months}");
    assert_eq!(partitions(&url, &single).await, 0);
    // A host without the option uses existing partitions.
    let mut plain = partitioned.clone();
    plain.monthly_partitions = false;
    let store = open(&url, &plain).await;
    assert_eq!(facts(&store, ScanOrder::Known).await.len(), all.len());
    assert_eq!(store.append(all[..50].to_vec()).await.unwrap(), vec![Appended::Duplicate; 50]);
}

#[tokio::test]
async fn a_duplicate_known_in_another_month_is_not_a_second_fact() {
    let Some(url) = url() else { return };
    let store = open(&url, &monthly()).await;
    let [march, april] = ["2025-03-31T23:59:59.999999Z", "2025-04-01T00:00:00Z"];
    let first = [started("e", march), completed("e", april)];
    assert_eq!(store.append(first.to_vec()).await.unwrap(), vec![Appended::New; 2]);
    // The time is not part of a fact's key, as in every store.
    let late = store.append(vec![started("e", april), completed("e", march)]).await.unwrap();
    assert_eq!(late, vec![Appended::Duplicate; 2]);
    let mut other = task("another");
    other.attempt = 7;
    let other = Record::new(id("e"), at(april), Fact::Started(Box::new(other.into()))).unwrap();
    assert_eq!(store.append(vec![other]).await.unwrap(), vec![Appended::Conflict]);
    // Twice in one batch, in two months.
    let twice = store.append(vec![started("f", april), started("f", march)]).await.unwrap();
    assert_eq!(twice, vec![Appended::New, Appended::Duplicate]);
    assert_eq!(facts(&store, ScanOrder::Known).await.len(), 3);
    assert_eq!(facts(&store, ScanOrder::Arrival).await[..2], first);
}

#[tokio::test]
async fn hosts_that_write_the_same_months_at_once_create_each_partition_once() {
    let Some(url) = url() else { return };
    let options = monthly();
    let stores = join_all((0..6).map(|_| open(&url, &options))).await;
    let batch = |host: usize| -> Vec<Record> {
        let months = (1..=12).map(|month| format!("2025-{month:02}-15T00:00:00Z"));
        let shared = months.clone().enumerate().map(|(i, at)| started(&format!("all-{i}"), &at));
        let own = months.enumerate().map(|(i, at)| started(&format!("{host}-{i}"), &at));
        shared.chain(own).collect()
    };
    let written = join_all(stores.iter().enumerate().map(|(i, store)| store.append(batch(i)))).await;
    let new: usize =
        written.into_iter().map(|a| a.unwrap().iter().filter(|a| **a == Appended::New).count()).sum();
    assert_eq!(new, 12 + 6 * 12);
    assert_eq!(partitions(&url, &options).await, 12);
    assert_eq!(facts(&stores[0], ScanOrder::Arrival).await.len(), new);
}

#[tokio::test]
async fn erasure_removes_a_user_from_every_month() {
    let Some(url) = url() else { return };
    let options = monthly();
    let store = open(&url, &options).await;
    let mut task = task("t");
    task.user_id = Some(UserId::new("mallory").unwrap());
    let start = Fact::Started(Box::new(task.into()));
    let start = Record::new(id("e"), at("2025-03-31T00:00:00Z"), start).unwrap();
    let feedback = Fact::Feedback(Box::new(approve()));
    let feedback = Record::new(id("e"), at("2025-05-01T00:00:00Z"), feedback).unwrap();
    let end = completed("e", "2025-04-01T00:00:00Z");
    store.append(vec![start.clone(), end, feedback, started("other", "2025-04-02T00:00:00Z")]).await.unwrap();
    let mallory = Subject::User(UserId::new("mallory").unwrap());
    assert_eq!(store.erase(&mallory).await.unwrap().events, 1);
    assert_eq!(facts(&store, ScanOrder::Known).await.len(), 1);
    assert_eq!(count(&url, &options, "ml_generation_keys").await, 1);
    assert_eq!(store.append(vec![start]).await.unwrap(), vec![Appended::Erased]);
}

#[tokio::test]
async fn an_archived_month_is_invisible_and_its_facts_are_not_accepted_again() {
    let Some(url) = url() else { return };
    let options = monthly();
    let store = open(&url, &options).await;
    let old = started("e", "2025-03-10T00:00:00Z");
    store.append(vec![old.clone(), started("f", "2025-04-10T00:00:00Z")]).await.unwrap();
    let (schema, month) = (&options.schema, "ml_generation_events_y2025m03");
    sql(&url, &format!("ALTER TABLE {schema}.ml_generation_events DETACH PARTITION {schema}.{month}")).await;
    assert_eq!(facts(&store, ScanOrder::Known).await.len(), 1);
    assert_eq!(facts(&store, ScanOrder::Arrival).await.len(), 1);
    // While the detached table has the partition's name, no new facts of that month can be stored.
    let error = store.append(vec![started("g", "2025-03-11T00:00:00Z")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(format!("{error:#}").contains(month), "{error}");
    sql(&url, &format!("DROP TABLE {schema}.{month}")).await;
    let written = store.append(vec![old, started("g", "2025-03-11T00:00:00Z")]).await.unwrap();
    assert_eq!(written, vec![Appended::Duplicate, Appended::New]);
}

#[tokio::test]
async fn partitioning_an_unpartitioned_table_is_an_error() {
    let Some(url) = url() else { return };
    let mut options = options();
    options.monthly_partitions = false;
    open(&url, &options).await;
    options.monthly_partitions = true;
    let error = Postgres::connect(&url, options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(format!("{error:#}").contains("one table"), "{error}");
}

fn monthly() -> PostgresOptions {
    let mut options = options();
    options.monthly_partitions = true;
    options
}

async fn open(url: &str, options: &PostgresOptions) -> PostgresStore {
    PostgresStore::new(&Postgres::connect(url, options.clone()).await.unwrap())
}

async fn facts(store: &dyn EventStore, order: ScanOrder) -> Vec<Record> {
    let mut all = Vec::new();
    let mut each = |record| {
        all.push(record);
        Ok(())
    };
    store.for_each(order, &mut each).await.unwrap();
    all
}

async fn partitions(url: &str, options: &PostgresOptions) -> i64 {
    let schema = &options.schema;
    let parent = format!("'{schema}.ml_generation_events'::regclass");
    count(url, options, &format!("pg_catalog.pg_inherits WHERE inhparent = {parent}")).await
}

async fn count(url: &str, options: &PostgresOptions, of: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(&format!("SET search_path = {}", options.schema)).await.unwrap();
    let count = client.query_one(&format!("SELECT count(*) FROM {of}"), &[]).await.unwrap().get(0);
    drop(client);
    connection.await.unwrap().unwrap();
    count
}

fn id(text: &str) -> EventId {
    EventId::new(text).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn started(event: &str, when: &str) -> Record {
    Record::new(id(event), at(when), Fact::Started(Box::new(task("t").into()))).unwrap()
}

fn completed(event: &str, when: &str) -> Record {
    Record::new(id(event), at(when), Fact::Completed(Box::default())).unwrap()
}
