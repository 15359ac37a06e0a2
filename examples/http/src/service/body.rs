//! JSON bodies, by the rule of every door of the library: an unknown field and a key given twice are errors at any depth,
//! null is missing, a lone surrogate becomes U+FFFD; errors name the field.

use super::problem::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use devmatrix_ml::config;
use serde::de::{DeserializeOwned, IgnoredAny};

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let path = request.uri().path().to_owned();
        if !is_json(&request) {
            let hint = "send `Content-Type: application/json`";
            return Err(Problem::new(415, "the body is not declared as JSON", path, hint));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let hint = "send a complete body within the size limit";
            Problem::new(rejection.status().as_u16(), rejection.body_text(), path.clone(), hint)
        })?;
        read(&bytes, &path).map(Self)
    }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn read<T: DeserializeOwned>(bytes: &[u8], path: &str) -> Result<T, Problem> {
    let broken = |what: String| Problem::new(400, what, path, "send well-formed JSON");
    let text = std::str::from_utf8(bytes).map_err(|error| broken(format!("not UTF-8: {error}")))?;
    config::from_json(text).map_err(|error| match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => broken(error.to_string()),
        Ok(_) => Problem::new(422, format!("{error:#}"), path, "correct the field; see /openapi.json"),
    })
}

/// Parts of bodies whose errors name them.
pub(crate) mod named {
    use devmatrix_ml::event::{Decision, Feedback, TaskContext};
    use serde::de::{Deserialize, Deserializer, Error};

    fn part<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D, name: &str) -> Result<T, D::Error> {
        T::deserialize(input).map_err(|error| {
            let text = error.to_string();
            let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
            D::Error::custom(format_args!("{name}: {what}"))
        })
    }

    pub(crate) fn task<'de, D: Deserializer<'de>>(input: D) -> Result<TaskContext, D::Error> {
        part(input, "task")
    }

    pub(crate) fn some_task<'de, D: Deserializer<'de>>(input: D) -> Result<Option<TaskContext>, D::Error> {
        part(input, "task")
    }

    pub(crate) fn decision<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Decision>, D::Error> {
        part(input, "decision")
    }

    pub(crate) fn feedback<'de, D: Deserializer<'de>>(input: D) -> Result<Feedback, D::Error> {
        part(input, "feedback")
    }
}
