//! JSON bodies; errors name the field.

use super::problem::Problem;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let path = request.uri().path().to_owned();
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refused(&rejection, path)),
        }
    }
}

fn refused(rejection: &JsonRejection, path: String) -> Problem {
    let hint = match rejection {
        JsonRejection::MissingJsonContentType(_) => "send `Content-Type: application/json`",
        JsonRejection::JsonSyntaxError(_) => "send well-formed JSON",
        JsonRejection::JsonDataError(_) => "correct the field; see /openapi.json",
        _ => "send a complete body within the size limit",
    };
    Problem::new(rejection.status().as_u16(), rejection.body_text(), path, hint)
}

/// Fields that are not written back where they are null or empty.
const UNWRITTEN: [&str; 3] = ["columns", "review", "next_step"];

/// Reads a value of a library type; an unknown field is an error, so that a typo does not pass for a missing
/// value.
pub(crate) fn strict<T: DeserializeOwned + Serialize>(
    value: Value,
    name: &str,
    path: &str,
) -> Result<T, Problem> {
    let wrong = |what: &dyn std::fmt::Display| {
        Problem::new(422, format!("{name}: {what}"), path, "correct the field; see /openapi.json")
    };
    let given: Vec<String> = match &value {
        Value::Object(fields) => fields.keys().cloned().collect(),
        _ => return Err(wrong(&"expected an object")),
    };
    let read: T = serde_json::from_value(value).map_err(|e| wrong(&e))?;
    let known = serde_json::to_value(&read).map_err(|e| wrong(&e))?;
    let unknown =
        |field: &&String| known.get(field.as_str()).is_none() && !UNWRITTEN.contains(&field.as_str());
    match given.iter().find(unknown) {
        Some(unknown) => Err(wrong(&format!("there is no field `{}`", unknown.escape_debug()))),
        None => Ok(read),
    }
}
