//! HTTP client of the MLflow REST API, with retries.

use super::{Credentials, MlflowOptions};
use crate::error::{Error, ErrorKind, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use std::fmt;
use std::thread;
use std::time::Duration;
use ureq::http::{Method, Request};

/// Maximum size of a response.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

/// Maximum number of attempts of a request.
const ATTEMPTS: u32 = 3;

/// Connection to a server.
pub(super) struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

/// Body of a request.
pub(super) enum Body<'a> {
    None,
    Json(&'a Value),
    Bytes(&'a [u8]),
}

/// Failure of a request.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server rejected the request, with its error code.
    Refused(String, Error),
    /// The server cannot be reached or has an internal error.
    Away(Error),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(_, error) | Fault::Away(error) => error,
        }
    }
}

impl Client {
    pub(super) fn new(url: &str, options: &MlflowOptions) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!("the MLflow URL {why}: expected http://HOST:PORT or https://HOST"))
        };
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let rest = rest.ok_or_else(|| wrong("has no http:// or https://"))?;
        let host = rest.split('/').next().unwrap_or_default();
        if host.contains('@') {
            return Err(wrong(
                "holds credentials, which would be seen in messages (set MlflowOptions::credentials)",
            ));
        }
        if host.is_empty() || url.contains(|c: char| c.is_whitespace() || c == '?' || c == '#') {
            return Err(wrong("cannot be read"));
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(options.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .build()
            .new_agent();
        let authorization = options.credentials.as_ref().map(|credentials| match credentials {
            Credentials::Basic(user, password) => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
            }
            Credentials::Token(token) => format!("Bearer {token}"),
        });
        Ok(Self { agent, base: url.trim_end_matches('/').to_owned(), authorization })
    }

    /// Sends a read request to MLflow's API.
    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> std::result::Result<Value, Fault> {
        let query: String = url_encoded(query);
        self.patiently(&Method::GET, &format!("/api/2.0/mlflow/{path}?{query}"), &Body::None)
    }

    /// Sends an idempotent request to MLflow's API.
    pub(super) fn post(&self, path: &str, body: &Value) -> std::result::Result<Value, Fault> {
        self.patiently(&Method::POST, &format!("/api/2.0/mlflow/{path}"), &Body::Json(body))
    }

    /// Sends a request that is not idempotent to MLflow's API.
    pub(super) fn post_once(&self, path: &str, body: &Value) -> std::result::Result<Value, Fault> {
        self.ask(&Method::POST, &format!("/api/2.0/mlflow/{path}"), &Body::Json(body))
    }

    /// Uploads an artifact of a run, replacing an earlier one. `at` is MLflow's name of the folder of the run's files.
    pub(super) fn put(&self, at: &str, file: &str, bytes: &[u8]) -> std::result::Result<(), Fault> {
        let folder = at.strip_prefix("mlflow-artifacts:/").ok_or_else(|| {
            let why = "MLflow keeps files elsewhere than behind its server: start it with --serve-artifacts";
            Fault::Refused(String::new(), Error::new(ErrorKind::Unavailable, why))
        })?;
        let path = format!("/api/2.0/mlflow-artifacts/artifacts/{}/{file}", folder.trim_matches('/'));
        self.patiently(&Method::PUT, &path, &Body::Bytes(bytes)).map(drop)
    }

    fn patiently(&self, method: &Method, path: &str, body: &Body<'_>) -> std::result::Result<Value, Fault> {
        let mut pause = Duration::from_millis(100);
        for _ in 1..ATTEMPTS {
            match self.ask(method, path, body) {
                Err(Fault::Away(error)) => {
                    tracing::debug!(error = %format_args!("{error:#}"), "MLflow: asking again");
                }
                done => return done,
            }
            thread::sleep(pause.mul_f64(rand::RngExt::random_range(&mut rand::rng(), 0.5..1.5)));
            pause *= 4;
        }
        self.ask(method, path, body)
    }

    fn ask(&self, method: &Method, path: &str, body: &Body<'_>) -> std::result::Result<Value, Fault> {
        let place = || format!("MLflow at {}", self.base);
        let away = |why: &str| Error::new(ErrorKind::Unavailable, format!("{}: {why}", place()));
        let bytes = match body {
            Body::None => Vec::new(),
            Body::Json(value) => value.to_string().into_bytes(),
            Body::Bytes(bytes) => bytes.to_vec(),
        };
        let kind =
            if matches!(body, Body::Bytes(_)) { "application/octet-stream" } else { "application/json" };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Content-Type", kind);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let request = request
            .body(bytes)
            .map_err(|_| Fault::Away(away("the request cannot be made: see its URL and credentials")))?;
        let mut answer = self.agent.run(request).map_err(|e| {
            Fault::Away(
                away("it cannot be reached; what it lacks is sent with the next mirroring").with_source(e),
            )
        })?;
        let status = answer.status();
        let read = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let read = read.map_err(|e| Fault::Away(away("its answer broke off").with_source(e)))?;
        if status.is_success() {
            if read.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&read).map_err(|e| {
                Fault::Away(
                    away("its answer is no JSON: see whether the URL is that of an MLflow server")
                        .with_source(e),
                )
            });
        }
        let said: Value = serde_json::from_slice(&read).unwrap_or_default();
        let code = said["error_code"].as_str().unwrap_or_default().to_owned();
        let message: String = said["message"].as_str().unwrap_or_default().chars().take(500).collect();
        let error =
            away(&format!("{} answered {status} {code} {message}", path.split('?').next().unwrap_or(path)));
        Err(if status.is_server_error() || status.as_u16() == 429 {
            Fault::Away(error)
        } else {
            Fault::Refused(code, error)
        })
    }
}

impl Fault {
    /// Returns true if the server's error code is `wanted`.
    pub(super) fn says(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused(code, _) if code == wanted)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

fn url_encoded(query: &[(&str, &str)]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encoded = |text: &str| -> String {
        text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    let pairs: Vec<_> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_shown_nowhere() {
        let credentials = Some(Credentials::Basic("ada".into(), "hunter2".into()));
        let options = MlflowOptions { credentials, ..MlflowOptions::default() };
        let client = Client::new("http://h:1", &options).unwrap();
        assert!(!format!("{client:?} {options:?}").contains("hunter2"));
        for url in ["http://ada:hunter2@h", "hunter2", "http://", "http://h?p=hunter2", "ftp://h"] {
            let error = Client::new(url, &options).map(drop).unwrap_err();
            assert!(
                error.kind() == ErrorKind::InvalidInput && !error.to_string().contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_asked_is_encoded() {
        assert_eq!(url_encoded(&[("a", "x y"), ("b", "ü/&")]), "a=x%20y&b=%C3%BC%2F%26");
    }
}
