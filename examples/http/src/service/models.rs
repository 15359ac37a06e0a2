//! `GET /api/ml/models`.

use super::host::Host;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use devmatrix_ml::registry::{Stage, Verdict};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of newest versions listed per model.
const MOST: usize = 20;

#[derive(Serialize)]
struct Listed {
    version: u64,
    stage: Stage,
    created_at: chrono::DateTime<chrono::Utc>,
    metrics: BTreeMap<String, f64>,
    verdicts: Vec<Verdict>,
}

/// Lists the versions of each model, the newest first.
pub(crate) async fn list(State(host): State<Arc<Host>>) -> Result<Json<Value>, Problem> {
    let mut models = serde_json::Map::new();
    for (name, _) in host.predictions.versions() {
        let versions = host.registry.versions(name).await;
        let versions = versions.map_err(|error| Problem::of(&error, "/api/ml/models"))?;
        let production = versions.iter().find(|v| v.stage == Stage::Production).map(|v| v.version);
        let newest: Vec<_> = versions
            .into_iter()
            .rev()
            .take(MOST)
            .map(|v| Listed {
                version: v.version,
                stage: v.stage,
                created_at: v.created_at,
                metrics: v.metrics,
                verdicts: v.verdicts,
            })
            .collect();
        models.insert(name.to_owned(), json!({ "production": production, "versions": newest }));
    }
    Ok(Json(Value::Object(models)))
}
