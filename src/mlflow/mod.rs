//! Training runs and models mirrored to an MLflow server, for those who look at them there.
//!
//! Python loads what was sent by `mlflow.pyfunc` and predicts as this crate does; without a server
//! [`write_pyfunc`] writes the same folder.
//!
//! The registry stays the truth and is the outbox too: [`Mlflow::mirror`] looks for what the server lacks
//! and sends that, so whatever happened while it was away arrives with the next call, once.
//!
//! ```no_run
//! use devmatrix_ml::clock::SystemClock;
//! use devmatrix_ml::mlflow::{Mlflow, MlflowOptions};
//! use devmatrix_ml::{registry::DiskRegistry, store::MemoryStore};
//! # async fn nightly(registry: &DiskRegistry, store: &MemoryStore) -> devmatrix_ml::Result<()> {
//! let mlflow = Mlflow::new("http://127.0.0.1:5000", MlflowOptions::default())?;
//! // After training, on a blocking thread; as an `ExperimentTracker` it also takes every run at once.
//! let mirrored = mlflow.mirror(registry, store, &SystemClock, "success").await?;
//! println!("sent versions {:?}", mirrored.sent);
//! # Ok(()) }
//! ```

mod client;
mod mirror;
mod pyfunc;
mod run;

use crate::error::{Error, Result};
use crate::features::FeatureOptions;
use crate::training::{ExperimentTracker, RunRecord};
use async_trait::async_trait;
use client::Client;
pub use mirror::Mirrored;
pub use pyfunc::{pyfunc_row, write_pyfunc};
use std::fmt;
use std::time::Duration;

/// Options of an MLflow client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MlflowOptions {
    /// Experiment of the runs, created if it is missing.
    pub experiment: String,
    /// Prefix of the names of registered models.
    pub prefix: String,
    /// Alias of the version in production.
    pub alias: String,
    /// Credentials for the server.
    pub credentials: Option<Credentials>,
    /// Timeout of each request.
    pub timeout: Duration,
    /// True to also set MLflow's stages, which are deprecated: for servers before 2.9.
    pub legacy_stages: bool,
    /// Feature options of the host; models fitted on other features are sent without the Python flavor.
    pub features: FeatureOptions,
}

/// Credentials for the server; secrets are redacted from debug output.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// User name and password.
    Basic(String, String),
    /// A token.
    Token(String),
}

impl Default for MlflowOptions {
    fn default() -> Self {
        Self {
            experiment: "devmatrix-ml".to_owned(),
            prefix: "devmatrix-".to_owned(),
            alias: "champion".to_owned(),
            credentials: None,
            timeout: Duration::from_secs(30),
            legacy_stages: false,
            features: FeatureOptions::default(),
        }
    }
}

/// An MLflow server (its REST API, 2.0).
///
/// Calls block the thread for as long as the server takes: make them on the host's blocking pool.
#[derive(Debug)]
pub struct Mlflow {
    client: Client,
    options: MlflowOptions,
}

impl Mlflow {
    /// The server at `url` (`http://HOST:PORT`); nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for a URL or options that cannot be used. No message holds a secret.
    pub fn new(url: &str, options: MlflowOptions) -> Result<Self> {
        for (name, value) in [("experiment", &options.experiment), ("alias", &options.alias)] {
            if value.trim().is_empty() {
                return Err(Error::invalid(format!("{name} is empty: name one")));
            }
        }
        // MLflow takes names without these only.
        if options.prefix.contains(['/', ':', '.', '%', '\'', '"'])
            || options.alias.contains(['/', ':', '%', '\'', '"'])
        {
            return Err(Error::invalid("prefix or alias holds one of / : . % ' \": take plain letters"));
        }
        Ok(Self { client: Client::new(url, &options)?, options })
    }

    fn registered(&self, model: &str) -> String {
        format!("{}{model}", self.options.prefix)
    }
}

#[async_trait]
impl ExperimentTracker for Mlflow {
    async fn record(&self, run: &RunRecord) -> Result<()> {
        self.log_run(run).map(drop)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic(user, _) => f.debug_tuple("Basic").field(user).finish_non_exhaustive(),
            Self::Token(_) => f.debug_tuple("Token").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests;
