//! Records and models when the server or the connection fails.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::proxy::{Mode, Proxy};
use common::server::{fresh, options, sql, url};
use common::task;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::SystemClock;
use devmatrix_ml::event::{EventId, Fact, Record};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::postgres::{Postgres, PostgresOptions};
use devmatrix_ml::registry::{ModelRegistry, NewVersion, PostgresRegistry};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::store::{Appended, EventStore, PostgresStore, ScanOrder};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A real server behind a proxy that fails on demand.
struct Behind {
    url: String,
    proxy: Proxy,
    options: PostgresOptions,
    database: Postgres,
}

impl Behind {
    async fn new(change: impl FnOnce(&mut PostgresOptions)) -> Option<Self> {
        let url = url()?;
        let port = url.rsplit([':', '/']).nth(1).unwrap();
        let proxy = Proxy::to(format!("127.0.0.1:{port}").parse().unwrap());
        let mut options = options();
        change(&mut options);
        let through = url.replacen(&format!(":{port}/"), &format!(":{}/", proxy.port), 1);
        let database = Postgres::connect(&through, options.clone()).await.unwrap();
        Some(Self { url, proxy, options, database })
    }

    fn store(&self) -> PostgresStore {
        PostgresStore::new(&self.database)
    }

    /// Returns the stored records, read without the proxy.
    async fn stored(&self) -> Vec<Record> {
        let store = PostgresStore::new(&Postgres::connect(&self.url, self.options.clone()).await.unwrap());
        store.scan(ScanOrder::Known, None, usize::MAX).await.unwrap().records
    }
}

fn records(batch: usize, count: usize) -> Vec<Record> {
    let record = |i: usize| {
        let started = Fact::Started(Box::new(task(&format!("t{batch}-{i}")).into()));
        let at = chrono::DateTime::from_timestamp(1_750_000_000 + (batch * 1000 + i) as i64, 0).unwrap();
        Record::new(EventId::new(format!("e{batch}-{i}")).unwrap(), at, started).unwrap()
    };
    (0..count).map(record).collect()
}

#[tokio::test]
async fn a_connection_cut_anywhere_in_a_batch_neither_loses_nor_duplicates() {
    let Some(behind) = Behind::new(|_| ()).await else { return };
    let (store, mut unacknowledged) = (behind.store(), 0);
    // Requests are cut anywhere, responses so densely that the response to a commit is among them.
    let there = (0..60).map(|cut| (cut * 7_919) % 40_000);
    let back = (300..2_400).step_by(12);
    let cuts: Vec<(i64, bool)> = there.map(|at| (at, false)).chain(back.map(|at| (at, true))).collect();
    for (batch, (at, back)) in cuts.iter().enumerate() {
        if *back {
            behind.proxy.cut_after_answers(*at);
        } else {
            behind.proxy.cut_after(*at);
        }
        let appended = store.append(records(batch, 40)).await.unwrap();
        // All or none were written before the cut.
        assert!(appended.iter().all(|a| a == &appended[0]), "{appended:?}");
        unacknowledged += usize::from(appended[0] == Appended::Duplicate);
    }
    behind.proxy.mend();
    let stored: BTreeSet<_> = behind.stored().await.iter().map(|r| r.event_id().to_string()).collect();
    assert_eq!(stored.len(), cuts.len() * 40);
    assert!(unacknowledged > 0, "no cut fell between a commit and its response");
    println!("{} cuts: {unacknowledged} batches were written but not acknowledged before", cuts.len());
}

#[tokio::test]
async fn a_short_outage_is_retried_and_a_longer_one_is_an_error() {
    let Some(behind) = Behind::new(|o| o.patience = Duration::from_secs(2)).await else { return };
    let store = behind.store();
    behind.proxy.set(Mode::Refuse);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(records(0, 10)).await }
    });
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!waiting.is_finished());
    behind.proxy.set(Mode::Pass);
    assert_eq!(waiting.await.unwrap().unwrap(), vec![Appended::New; 10]);

    behind.proxy.set(Mode::Refuse);
    let error = store.append(records(1, 10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:#}").contains("cannot be reached or the connection was lost"), "{error}");
    behind.proxy.set(Mode::Pass);
    assert_eq!(behind.stored().await.len(), 10);
    assert_eq!(store.append(records(1, 10)).await.unwrap(), vec![Appended::New; 10]);
}

#[tokio::test]
async fn closed_connections_are_reopened() {
    let Some(url) = url() else { return };
    let mut options = options();
    options.connections = 3;
    let name = options.schema.clone();
    let own = format!("{url}?application_name={name}");
    let store = PostgresStore::new(&Postgres::connect(&own, options).await.unwrap());
    for batch in 0..10 {
        let kill = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'"
        );
        let (written, ()) = tokio::join!(store.append(records(batch, 200)), sql(&url, &kill));
        assert_eq!(written.unwrap().len(), 200);
    }
    assert_eq!(store.scan(ScanOrder::Arrival, None, usize::MAX).await.unwrap().records.len(), 2_000);
}

#[tokio::test]
async fn an_unresponsive_server_times_out() {
    let Some(behind) = Behind::new(|o| o.statement_timeout = Duration::from_millis(300)).await else {
        return;
    };
    let store = behind.store();
    behind.proxy.set(Mode::Stall);
    let timer = Instant::now();
    let error = store.append(records(0, 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:#}").contains("no answer within"), "{error}");
    assert!(timer.elapsed() < Duration::from_secs(30), "it hung");
    behind.proxy.set(Mode::Pass);
    store.append(records(0, 1)).await.unwrap();
    assert_eq!(behind.stored().await.len(), 1);
}

#[tokio::test]
async fn a_statement_timeout_writes_nothing() {
    let Some(behind) = Behind::new(|o| o.statement_timeout = Duration::from_millis(300)).await else {
        return;
    };
    let store = behind.store();
    let (client, connection) = tokio_postgres::connect(&behind.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let hold = format!("BEGIN; SELECT * FROM {}.ml_meta FOR UPDATE", behind.options.schema);
    client.batch_execute(&hold).await.unwrap();
    let error = store.append(records(0, 3)).await.unwrap_err();
    assert!(format!("{error:#}").contains("longer than statement_timeout"), "{error}");
    // Reads still work.
    assert_eq!(store.scan(ScanOrder::Known, None, 10).await.unwrap().records.len(), 0);
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(store.append(records(0, 3)).await.unwrap(), vec![Appended::New; 3]);
}

#[tokio::test]
async fn a_read_only_server_serves_reads_and_rejects_writes() {
    let Some(url) = url() else { return };
    let options = options();
    let store = PostgresStore::new(&Postgres::connect(&url, options.clone()).await.unwrap());
    store.append(records(0, 3)).await.unwrap();
    let read_only = format!("{url}?options=-c%20default_transaction_read_only%3Don");
    let store = PostgresStore::new(&Postgres::connect(&read_only, options).await.unwrap());
    let error = store.append(records(1, 3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:#}").contains("read-only"), "{error}");
    assert_eq!(store.scan(ScanOrder::Known, None, 10).await.unwrap().records.len(), 3);
}

/// Raises the server's error for a full disk in the middle of a batch.
#[tokio::test]
async fn a_full_disk_rolls_back_the_whole_batch() {
    let Some(url) = url() else { return };
    let options = options();
    let schema = options.schema.clone();
    let store = PostgresStore::new(&Postgres::connect(&url, options).await.unwrap());
    let full = format!(
        "CREATE FUNCTION {schema}.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.event_id = 'e0-30' THEN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END IF;
             RETURN NEW; END $$;
         CREATE TRIGGER full_disk BEFORE INSERT ON {schema}.ml_generation_events FOR EACH ROW EXECUTE FUNCTION {schema}.full_disk()"
    );
    sql(&url, &full).await;
    let error = store.append(records(0, 50)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:#}").contains("disk is full; free space"), "{error}");
    assert_eq!(store.scan(ScanOrder::Known, None, 10).await.unwrap().records.len(), 0);
    sql(&url, &format!("DROP TRIGGER full_disk ON {schema}.ml_generation_events")).await;
    assert_eq!(store.append(records(0, 50)).await.unwrap(), vec![Appended::New; 50]);
}

/// Registering twice would create another version: an unknown outcome is reported as such.
#[tokio::test]
async fn a_connection_cut_while_registering_leaves_complete_versions_or_none() {
    let Some(behind) = Behind::new(|_| ()).await else { return };
    let registry = PostgresRegistry::new(&behind.database);
    let (mut done, mut unknown) = (0, 0);
    let there = (0..40).map(|cut| (cut * 7_919) % 14_000);
    for (at, back) in there.map(|at| (at, false)).chain((0..1_000).step_by(12).map(|at| (at, true))) {
        if back {
            behind.proxy.cut_after_answers(at);
        } else {
            behind.proxy.cut_after(at);
        }
        match registry.register(NewVersion::new("m", vec![7; 10_000])).await {
            Ok(_) => done += 1,
            Err(error) => {
                assert!(format!("{error:#}").contains("whether it was done is not known"), "{error}");
                unknown += 1;
            }
        }
        behind.proxy.mend();
    }
    let versions = registry.versions("m").await.unwrap();
    assert!((done..=done + unknown).contains(&versions.len()), "{done}, {unknown}, {}", versions.len());
    for version in &versions {
        assert_eq!(registry.artefact("m", version.version).await.unwrap(), vec![7; 10_000]);
    }
    assert!(unknown > 0, "no cut fell between a commit and its response");
    println!("{done} registered, {unknown} of unknown outcome, {} there", versions.len());
}

#[tokio::test]
async fn notifications_arrive_at_once_and_after_a_lost_connection() {
    let Some(behind) = Behind::new(|_| ()).await else { return };
    let (reader, writer) = (behind.store(), PostgresStore::new(&fresh_in(&behind).await));
    let long = Duration::from_secs(20);
    reader.news(long).await;
    for batch in 0..5 {
        if batch == 3 {
            behind.proxy.set(Mode::Refuse);
            behind.proxy.set(Mode::Pass);
        }
        let timer = Instant::now();
        let ((), written) = tokio::join!(reader.news(long), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            writer.append(records(batch, 1)).await
        });
        written.unwrap();
        assert!(timer.elapsed() < long / 2, "no notification");
    }
    // Nothing new: it returns in time.
    reader.news(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_prediction_needs_no_server() {
    let Some(behind) = Behind::new(|_| ()).await else { return };
    let store = behind.store();
    store.append(records(0, 50)).await.unwrap();
    let history = Arc::new(SharedHistory::open(&store).await.unwrap());
    let service = PredictionService::new(history, FeatureEngineer::default(), Arc::new(SystemClock));
    let before = behind.proxy.carried().len();
    for i in 0..100 {
        service.predict_all(&task(&format!("t0-{i}"))).unwrap();
    }
    assert_eq!(behind.proxy.carried().len(), before);
}

async fn fresh_in(behind: &Behind) -> Postgres {
    Postgres::connect(&behind.url, behind.options.clone()).await.unwrap()
}

#[tokio::test]
async fn a_dropped_future_leaves_complete_batches() {
    let Some(url) = url() else { return };
    let store = PostgresStore::new(&fresh(&url).await);
    for batch in 0..20 {
        let writing = store.append(records(batch, 100));
        // Whether or not it was done by then.
        let _ = tokio::time::timeout(Duration::from_micros(batch as u64 * 300), writing).await;
    }
    store.append(records(99, 1)).await.unwrap();
    let stored = store.scan(ScanOrder::Arrival, None, usize::MAX).await.unwrap().records.len();
    assert_eq!(stored % 100, 1, "a partial batch");
    // A store dropped within a runtime does not bring it down.
    drop(store);
}
