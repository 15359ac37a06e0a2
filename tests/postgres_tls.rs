//! TLS to a real PostgreSQL: a trusted connection or an error, never clear text.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::proxy::Proxy;
use common::server::{options, url};
use devmatrix_ml::ErrorKind;
use devmatrix_ml::postgres::{Postgres, PostgresOptions, TlsRoots};
use devmatrix_ml::store::{EventStore, PostgresStore};
use std::path::PathBuf;
use std::time::Duration;

/// Options that trust `roots`.
fn trusting(roots: TlsRoots) -> PostgresOptions {
    let mut options = options();
    (options.tls, options.patience) = (Some(roots), Duration::ZERO);
    options
}

/// Returns the server by the name in its certificate, and the trusted roots.
fn server() -> Option<(String, TlsRoots)> {
    let Ok(authority) = std::env::var("DEVMATRIX_TEST_POSTGRES_CA") else {
        eprintln!("skipped: DEVMATRIX_TEST_POSTGRES_CA names no file");
        return None;
    };
    Some((url()?.replacen("127.0.0.1", "localhost", 1), TlsRoots::File(PathBuf::from(authority))))
}

#[tokio::test]
async fn a_trusted_server_is_reached_over_tls() {
    let Some((url, roots)) = server() else { return };
    let port = url.rsplit([':', '/']).nth(1).unwrap();
    let proxy = Proxy::to(format!("127.0.0.1:{port}").parse().unwrap());
    let through = url.replacen(&format!(":{port}/"), &format!(":{}/", proxy.port), 1);
    let database = Postgres::connect(&through, trusting(roots)).await.unwrap();
    let store = PostgresStore::new(&database);
    store.put_checkpoint("plaintext-canary", Some(b"plaintext-canary".to_vec())).await.unwrap();
    assert_eq!(store.checkpoint("plaintext-canary").await.unwrap().unwrap(), b"plaintext-canary");
    store.news(Duration::from_secs(5)).await;
    let carried = proxy.carried();
    assert!(carried.len() > 2_000, "the proxy forwarded nothing");
    assert!(!carried.windows(16).any(|bytes| bytes == b"plaintext-canary"), "it was sent in clear text");
}

#[tokio::test]
async fn an_untrusted_server_is_rejected() {
    let Some((url, roots)) = server() else { return };
    // Signed by an authority that the system does not trust; by the right one, but for another name.
    let another_name = url.replacen("localhost", "127.0.0.1", 1);
    for (url, roots) in [(url, TlsRoots::System), (another_name, roots)] {
        let error = Postgres::connect(&url, trusting(roots)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(format!("{error:?}").to_lowercase().contains("certificate"), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_an_error_for_any_sslmode() {
    let Some((url, roots)) = server() else { return };
    let port = url.rsplit([':', '/']).nth(1).unwrap();
    let proxy = Proxy::to(format!("127.0.0.1:{port}").parse().unwrap());
    proxy.refuse_tls();
    let through = url.replacen(&format!(":{port}/"), &format!(":{}/", proxy.port), 1);
    for mode in ["", "?sslmode=prefer", "?sslmode=disable"] {
        let error =
            Postgres::connect(&format!("{through}{mode}"), trusting(roots.clone())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(format!("{error:#}").contains("TLS"), "{error}");
    }
    let carried = proxy.carried();
    assert!(!carried.windows(4).any(|bytes| bytes == b"test"), "the user's name was sent in clear text");
}

#[tokio::test]
async fn a_file_without_certificates_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let missing = TlsRoots::File(path.clone());
    let rejection = |roots: TlsRoots| async {
        Postgres::connect("postgres://u:hunter2@localhost/d", trusting(roots)).await.unwrap_err()
    };
    let error = rejection(missing.clone()).await;
    assert!(error.kind() == ErrorKind::InvalidInput && format!("{error:#}").contains("ca.pem"), "{error}");
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&path, text).unwrap();
        let error = rejection(missing.clone()).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}: {error}");
    }
}
