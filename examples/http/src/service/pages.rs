//! Dashboard, analytics as JSON, metrics, health and the API document.

use super::host::Host;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{Html, IntoResponse};
use devmatrix_ml::monitoring::dashboard;
use serde_json::{Value, json};
use std::sync::Arc;

/// `OpenAPI` document; a test compares it to the routes.
pub(crate) const OPENAPI: &str = include_str!("../../openapi.json");

/// Renders the dashboard.
pub(crate) async fn dashboard(State(host): State<Arc<Host>>) -> Result<impl IntoResponse, Problem> {
    let analytics = host.analytics().await.map_err(|error| Problem::of(&error, "/"))?;
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
        ),
    ];
    Ok((headers, Html(dashboard::render(&analytics, &[]))))
}

/// Returns the analytics: the design's four parts.
pub(crate) async fn analytics(State(host): State<Arc<Host>>) -> Result<Json<Value>, Problem> {
    let seen = host.analytics().await.map_err(|error| Problem::of(&error, "/api/ml/metrics"))?;
    let seen = json!(seen);
    let parts = ["model_performance", "prediction_accuracy", "feature_importance", "data_distribution"];
    Ok(Json(parts.map(|part| (part.to_owned(), seen[part].clone())).into_iter().collect()))
}

/// Returns the metrics of this process in Prometheus' format.
pub(crate) async fn prometheus(State(host): State<Arc<Host>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], host.prometheus.render())
}

/// Answers that the process runs.
pub(crate) async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Returns whether the service can record and predict: the store answers, and it is not stopping. While it
/// learns from its first history it can do both, with cold-start predictions.
pub(crate) async fn ready(State(host): State<Arc<Host>>) -> (StatusCode, Json<Value>) {
    let store = host.store.erasures().await.map_err(|error| format!("{error:#}"));
    let versions = host.predictions.versions();
    let model = versions.into_iter().find_map(|(name, version)| version.filter(|_| name == "success"));
    match (host.is_stopping(), store) {
        (false, Ok(_)) => {
            let status = if host.is_learning() { "learning" } else { "ready" };
            (StatusCode::OK, Json(json!({ "status": status, "success_model": model })))
        }
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "stopping" }))),
        (_, Err(why)) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "store", "detail": why }))),
    }
}

/// Returns the `OpenAPI` document.
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}
