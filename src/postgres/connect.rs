//! The way to a server: its address, credentials, TLS and pool.

use super::{PostgresOptions, unavailable};
use crate::error::{Error, Result};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use std::time::Duration;
use tokio_postgres::config::{Config, Host, SslMode};
use tokio_postgres::tls::NoTls;

/// Where the server is and how to get there. Its password is in none of its messages.
#[derive(Clone)]
pub(super) struct Way {
    /// For messages.
    pub(super) place: String,
    pub(super) config: Config,
    pub(super) tls: Tls,
}

/// How connections are secured.
#[derive(Clone)]
pub(super) enum Tls {
    /// Clear text.
    Off,
    /// By rustls.
    #[cfg(feature = "postgres-tls")]
    On(tokio_postgres_rustls::MakeRustlsConnect),
}

impl Way {
    pub(super) fn new(url: &str, options: &PostgresOptions) -> Result<Self> {
        verify(options)?;
        // What the parser says of a URL may hold a part of it: it is not passed on.
        let mut config: Config = url.parse().map_err(|_| {
            Error::invalid(
                "the PostgreSQL URL cannot be read: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            )
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::invalid(
                "the PostgreSQL URL names no host: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            ));
        }
        let tls = tls(&mut config, options)?;
        let given = config.get_options().unwrap_or_default();
        let milliseconds = options.statement_timeout.as_millis();
        let settings =
            format!("{given} -c search_path={} -c statement_timeout={milliseconds}", options.schema);
        config.options(settings.trim_start());
        config.connect_timeout(options.connect_timeout);
        config.tcp_user_timeout(options.statement_timeout);
        config.keepalives_idle(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("devmatrix-ml");
        }
        Ok(Self { place: place(&config, &options.schema), config, tls })
    }

    pub(super) fn pool(&self, options: &PostgresOptions) -> Result<Pool> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Tls::Off => Manager::from_config(self.config.clone(), NoTls, recycling),
            #[cfg(feature = "postgres-tls")]
            Tls::On(tls) => Manager::from_config(self.config.clone(), tls.clone(), recycling),
        };
        let wait = Some(options.connect_timeout);
        let pool = Pool::builder(manager)
            .max_size(options.connections)
            .timeouts(Timeouts { wait, create: wait, recycle: wait })
            .runtime(Runtime::Tokio1);
        pool.build().map_err(|e| unavailable("its pool could not be made").with_source(e))
    }
}

fn verify(options: &PostgresOptions) -> Result<()> {
    let schema = &options.schema;
    let letter = |c: char| c.is_ascii_lowercase() || c == '_';
    let good = schema.chars().all(|c| letter(c) || c.is_ascii_digit())
        && schema.starts_with(letter)
        && schema.len() <= 40
        && !schema.starts_with("pg_");
    if !good {
        return Err(Error::invalid(format!(
            "schema is {schema:?}, expected up to 40 lower-case letters, digits and _, beginning with a letter or _, not pg_"
        )));
    }
    if options.connections == 0 {
        return Err(Error::invalid("connections is 0, expected at least 1"));
    }
    let limits =
        [("connect_timeout", options.connect_timeout), ("statement_timeout", options.statement_timeout)];
    for (name, limit) in limits {
        if !(Duration::from_millis(1)..=Duration::from_hours(24)).contains(&limit) {
            return Err(Error::invalid(format!("{name} is {limit:?}, expected 1 ms to 24 h")));
        }
    }
    Ok(())
}

fn tls(config: &mut Config, options: &PostgresOptions) -> Result<Tls> {
    let Some(roots) = &options.tls else {
        if config.get_ssl_mode() == SslMode::Require {
            return Err(Error::invalid(
                "the PostgreSQL URL says sslmode=require, but no TLS is set: set PostgresOptions::tls (feature postgres-tls)",
            ));
        }
        config.ssl_mode(SslMode::Disable);
        return Ok(Tls::Off);
    };
    // Never clear text instead.
    config.ssl_mode(SslMode::Require);
    on(roots)
}

#[cfg(not(feature = "postgres-tls"))]
fn on(_: &super::TlsRoots) -> Result<Tls> {
    Err(Error::invalid("tls is set, but this build has no TLS: build with the feature postgres-tls"))
}

#[cfg(feature = "postgres-tls")]
fn on(roots: &super::TlsRoots) -> Result<Tls> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut trusted = rustls::RootCertStore::empty();
    match roots {
        super::TlsRoots::System => {
            trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        super::TlsRoots::File(path) => {
            let named = |why: &str| Error::invalid(format!("tls: {}: {why}", path.display()));
            let found =
                CertificateDer::pem_file_iter(path).map_err(|e| named("cannot be read").with_source(e))?;
            for certificate in found {
                let certificate = certificate.map_err(|e| named("is no PEM file").with_source(e))?;
                trusted
                    .add(certificate)
                    .map_err(|e| named("holds no certificate to trust").with_source(e))?;
            }
        }
    }
    if trusted.is_empty() {
        return Err(Error::invalid("tls: no certificate to trust was found: name a file of them"));
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unavailable("TLS could not be set up").with_source(e))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(Tls::On(tokio_postgres_rustls::MakeRustlsConnect::new(client)))
}

fn place(config: &Config, schema: &str) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config.get_hostaddrs().first().map_or_else(String::new, ToString::to_string),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!(
        "PostgreSQL at {host}:{port}, database {}, schema {schema}",
        config.get_dbname().unwrap_or("(default)")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_holds_the_password() {
        let options = PostgresOptions::default();
        for url in [
            "postgres://u:hunter2@[bad/db",
            "postgres://u:hunter2@host:port/db",
            "user=u password=hunter2 port=x host=h",
            "postgres://u:hunter2@/db",
            "hunter2",
        ] {
            let Err(error) = Way::new(url, &options) else { continue };
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let way = Way::new("postgres://u:hunter2@example.org/db", &options).unwrap();
        assert_eq!(way.place, "PostgreSQL at example.org:5432, database db, schema devmatrix_ml");
    }

    #[test]
    fn clear_text_is_not_taken_for_tls() {
        let url = "postgres://u@example.org/db?sslmode=require";
        let Err(error) = Way::new(url, &PostgresOptions::default()) else { panic!("taken") };
        assert!(error.to_string().contains("sslmode=require"), "{error}");
    }

    #[test]
    fn a_schema_must_be_a_plain_name() {
        for schema in ["", "1a", "a b", "a\"; DROP", "pg_x", "Ä", "UPPER"] {
            let options = PostgresOptions { schema: schema.to_owned(), ..PostgresOptions::default() };
            assert!(Way::new("postgres://u@h/d", &options).is_err(), "{schema}");
        }
    }
}
