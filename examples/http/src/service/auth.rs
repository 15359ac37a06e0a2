//! Authentication by token.

use super::problem::Problem;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Secret that a client must present; `None` lets everyone in. It is compared as SHA-256, so that the time of
/// a comparison leaks neither the token nor its length.
#[derive(Clone)]
pub struct Token(Option<[u8; 32]>);

impl Token {
    /// Creates a token from the environment's text; none where it is empty.
    pub fn new(secret: Option<&str>) -> Self {
        Self(secret.filter(|secret| !secret.is_empty()).map(|secret| Sha256::digest(secret).into()))
    }

    /// Returns whether a token is required.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    fn admits(&self, request: &Request) -> bool {
        let Some(secret) = &self.0 else { return true };
        let shown = request.headers().get(AUTHORIZATION).and_then(|value| presented(value.as_bytes()));
        shown.is_some_and(|shown| bool::from(Sha256::digest(shown).as_slice().ct_eq(secret)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("set", &self.is_set()).finish_non_exhaustive()
    }
}

/// Admits requests with the token: `Authorization: Bearer TOKEN`, or, so that a browser can ask for
/// the dashboard, `Basic` with any name and the token as the password.
pub(crate) async fn check(State(token): State<Arc<Token>>, request: Request, next: Next) -> Response {
    if token.admits(&request) {
        return next.run(request).await;
    }
    let path = request.uri().path();
    let mut refused =
        Problem::new(401, "the token is missing or wrong", path, "send `Authorization: Bearer TOKEN`")
            .into_response();
    let how = HeaderValue::from_static("Bearer, Basic realm=\"devmatrix-ml\", charset=\"UTF-8\"");
    refused.headers_mut().insert(WWW_AUTHENTICATE, how);
    refused
}

/// Returns the token of an `Authorization` header.
fn presented(header: &[u8]) -> Option<Vec<u8>> {
    let space = header.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&header[..space], header[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    let pair = scheme.eq_ignore_ascii_case(b"basic").then(|| STANDARD.decode(rest).ok())??;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}
