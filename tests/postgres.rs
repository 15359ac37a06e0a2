//! The store and the registry on a real PostgreSQL.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::server::{fresh, options, sql, url};
use devmatrix_ml::ErrorKind;
use devmatrix_ml::postgres::Postgres;
use devmatrix_ml::registry::{ModelRegistry, PostgresRegistry};
use devmatrix_ml::store::{EventStore, PostgresStore, Subject};
use devmatrix_ml::{registry, store};
use futures_executor::block_on;
use std::time::Duration;

#[tokio::test]
async fn the_store_conforms_under_tokio() {
    let Some(url) = url() else { return };
    store::conformance::check(|| async { PostgresStore::new(&fresh(&url).await) }).await;
}

#[test]
fn the_store_conforms_without_a_runtime() {
    let Some(url) = url() else { return };
    block_on(store::conformance::check(|| async { PostgresStore::new(&fresh(&url).await) }));
}

#[tokio::test]
async fn the_registry_conforms() {
    let Some(url) = url() else { return };
    registry::conformance::check(&PostgresRegistry::new(&fresh(&url).await)).await.unwrap();
}

#[tokio::test]
async fn concurrent_connections_create_the_tables_once() {
    let Some(url) = url() else { return };
    let options = options();
    let connecting = (0..8).map(|_| Postgres::connect(&url, options.clone()));
    for database in futures_util::future::join_all(connecting).await {
        assert_eq!(PostgresStore::new(&database.unwrap()).erasures().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn tables_of_a_newer_release_are_rejected() {
    let Some(url) = url() else { return };
    let options = options();
    Postgres::connect(&url, options.clone()).await.unwrap();
    sql(&url, &format!("INSERT INTO {}.ml_schema (version) VALUES (99)", options.schema)).await;
    let error = Postgres::connect(&url, options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(format!("{error:#}").contains("version 99"), "{error}");
}

#[tokio::test]
async fn connection_errors_distinguish_server_database_and_password_without_leaking_it() {
    let Some(url) = url() else { return };
    let mut options = options();
    options.patience = Duration::ZERO;
    options.connect_timeout = Duration::from_secs(2);
    let secret = url.split([':', '@']).nth(2).unwrap().to_owned();
    let wrong = |from: &str, to: &str| {
        assert!(url.contains(from), "{from}");
        let (url, options) = (url.replacen(from, to, 1), options.clone());
        async move { Postgres::connect(&url, options).await.unwrap_err() }
    };
    let port = url.rsplit([':', '/']).nth(1).unwrap();
    let no_server = wrong(&format!(":{port}/"), ":1/").await;
    let no_database = wrong(&format!("{port}/"), &format!("{port}/nowhere_")).await;
    let no_right = wrong(&secret, "hunter2").await;
    for (error, says) in [
        (no_server, "cannot be reached"),
        (no_database, "no such database"),
        (no_right, "refuses this user or password"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let text = format!("{error} {error:?}");
        assert!(text.contains(says), "{text}");
        assert!(!text.contains(&secret) && !text.contains("hunter2"), "{text}");
    }
    let database = fresh(&url).await;
    assert!(!format!("{database:?} {:?}", PostgresStore::new(&database)).contains(&secret));
    assert!(!format!("{:?}", PostgresRegistry::new(&database)).contains(&secret));
}

#[tokio::test]
async fn damage_is_found_and_named() {
    let Some(url) = url() else { return };
    let options = options();
    let schema = options.schema.clone();
    let database = Postgres::connect(&url, options).await.unwrap();
    let (store, registry) = (PostgresStore::new(&database), PostgresRegistry::new(&database));
    store.put_checkpoint("history", Some(vec![1, 2, 3])).await.unwrap();
    sql(&url, &format!("UPDATE {schema}.ml_checkpoints SET bytes = '\\x010204'")).await;
    assert_eq!(store.checkpoint("history").await.unwrap_err().kind(), ErrorKind::Corrupt);
    // Overwritten, it is intact again.
    store.put_checkpoint("history", Some(vec![9])).await.unwrap();
    assert_eq!(store.checkpoint("history").await.unwrap(), Some(vec![9]));

    let new = registry::NewVersion::new("m", b"model".to_vec());
    let version = registry.register(new).await.unwrap().version;
    sql(&url, &format!("UPDATE {schema}.ml_model_versions SET artefact = '\\x00'")).await;
    let error = registry.promote("m", version, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(format!("{error:#}").contains("model m, version 1: its artefact"), "{error}");
    assert_eq!(registry.production("m").await.unwrap(), None);
    sql(&url, &format!("UPDATE {schema}.ml_models SET stages = '\\x00'")).await;
    assert_eq!(registry.versions("m").await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn of_concurrent_promotions_by_hosts_one_wins() {
    let Some(url) = url() else { return };
    let options = options();
    let mut registries = Vec::new();
    for _ in 0..6 {
        registries.push(PostgresRegistry::new(&Postgres::connect(&url, options.clone()).await.unwrap()));
    }
    let new = || registry::NewVersion::new("m", b"model".to_vec());
    let registering = registries.iter().map(|registry| registry.register(new()));
    let registered: Vec<_> = futures_util::future::join_all(registering).await;
    let mut numbers: Vec<u64> = registered.into_iter().map(|v| v.unwrap().version).collect();
    let promoting =
        registries.iter().zip(&numbers).map(|(registry, number)| registry.promote("m", *number, None));
    let done: Vec<_> = futures_util::future::join_all(promoting).await;
    assert_eq!(done.iter().filter(|d| d.is_ok()).count(), 1, "{done:?}");
    assert!(done.iter().filter_map(|d| d.as_ref().err()).all(|e| e.kind() == ErrorKind::Conflict));
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn hostile_names_round_trip() {
    let Some(url) = url() else { return };
    let store = PostgresStore::new(&fresh(&url).await);
    for name in ["'; DROP TABLE ml_meta; --", "$1", "\\", "\"", "é\u{202e}"] {
        store.put_checkpoint(name, Some(name.as_bytes().to_vec())).await.unwrap();
        assert_eq!(store.checkpoint(name).await.unwrap().as_deref(), Some(name.as_bytes()));
        let user = Subject::User(devmatrix_ml::event::UserId::new(name).unwrap());
        assert_eq!(store.erase(&user).await.unwrap().events, 0);
    }
    assert_eq!(store.erasures().await.unwrap(), 0);
}
