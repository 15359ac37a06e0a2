//! The service: state, routes, start and shutdown.

mod auth;
mod body;
mod choose;
mod connections;
mod generations;
mod host;
mod models;
mod pages;
mod predict;
mod problem;
mod records;
mod retrain;
mod server;

pub use auth::Token;
pub use host::Host;
pub use server::{Limits, Server};

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::routing::{get, post};
use axum::{Extension, Router};
use problem::Problem;
use std::sync::Arc;

/// Builds the routes; those that show or change data require the token.
pub(crate) fn router(host: Arc<Host>, token: Token, limits: Limits) -> Router {
    let guarded = Router::new()
        .route("/", get(pages::dashboard))
        .route("/metrics", get(pages::prometheus))
        .route("/api/ml/metrics", get(pages::analytics))
        .route("/api/ml/predict", post(predict::predict))
        .route("/api/ml/generations", post(generations::start))
        .route("/api/ml/generations/{id}/completion", post(generations::complete))
        .route("/api/ml/feedback", post(generations::feedback))
        .route("/api/ml/choose", post(choose::choose))
        .route("/api/ml/erase", post(records::erase))
        .route("/api/ml/export", get(records::export))
        .route("/api/ml/models", get(models::list))
        .route("/api/ml/retrain", post(retrain::begin))
        .route("/api/ml/retrain/{run}", get(retrain::show))
        .layer(middleware::from_fn_with_state(Arc::new(token), auth::check));
    Router::new()
        .merge(guarded)
        .route("/health", get(pages::ready))
        .route("/health/live", get(pages::live))
        .route("/health/ready", get(pages::ready))
        .route("/openapi.json", get(pages::openapi))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(middleware::from_fn(server::in_time))
        .layer(Extension(limits))
        .with_state(host)
}

async fn unknown(uri: Uri) -> Problem {
    Problem::new(404, "no such route", uri.path(), "see /openapi.json for the routes")
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let what = format!("the route does not accept {method}");
    Problem::new(405, what, uri.path(), "use a method of the Allow header; see /openapi.json")
}
