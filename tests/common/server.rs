//! A real PostgreSQL, where `DEVMATRIX_TEST_POSTGRES_URL` names one.

use devmatrix_ml::postgres::{Postgres, PostgresOptions};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Returns its URL; without one the tests that need it are skipped.
pub fn url() -> Option<String> {
    let url = std::env::var("DEVMATRIX_TEST_POSTGRES_URL").ok();
    if url.is_none() {
        eprintln!("skipped: DEVMATRIX_TEST_POSTGRES_URL names no server");
    }
    url
}

/// Returns options with a schema that no other test uses; `DEVMATRIX_TEST_POSTGRES_MONTHLY` sets partitions.
pub fn options() -> PostgresOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut options = PostgresOptions::default();
    options.schema = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    options.connections = 4;
    options.patience = Duration::from_secs(3);
    options.monthly_partitions = std::env::var_os("DEVMATRIX_TEST_POSTGRES_MONTHLY").is_some();
    options
}

/// Connects to an empty database.
pub async fn fresh(url: &str) -> Postgres {
    Postgres::connect(url, options()).await.unwrap()
}

/// Runs SQL without the crate.
pub async fn sql(url: &str, command: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(command).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}
