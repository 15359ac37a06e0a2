//! Errors as `application/problem+json` (RFC 9457), with a hint.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use devmatrix_ml::{Error, ErrorKind};
use serde::Serialize;

/// An error response.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    title: &'static str,
    status: u16,
    /// Description of the error.
    detail: String,
    /// Path of the request.
    instance: String,
    /// Advice to the client.
    hint: &'static str,
}

impl Problem {
    pub(crate) fn new(
        status: u16,
        detail: impl Into<String>,
        instance: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let title = code.canonical_reason().unwrap_or("Error");
        Self { title, status: code.as_u16(), detail: detail.into(), instance: instance.into(), hint }
    }

    /// Maps a library error of the request at `instance`.
    pub(crate) fn of(error: &Error, instance: &str) -> Self {
        let (status, hint) = match error.kind() {
            ErrorKind::InvalidInput => (422, "correct the value"),
            ErrorKind::NotFound => (404, "start the generation first, or correct the id"),
            ErrorKind::Conflict => (409, "other data is recorded under this id: use another id"),
            ErrorKind::NotEnoughData { .. } => (409, "record more generations with feedback"),
            ErrorKind::Unavailable | ErrorKind::Cancelled => (503, "try again later"),
            _ => {
                eprintln!("{instance}: {error:#}");
                (500, "internal error: see the service's log")
            }
        };
        Self::new(status, format!("{error:#}"), instance, hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (code, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}
