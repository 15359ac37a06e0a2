//! Mirroring of a registry's versions to MLflow.

use super::Mlflow;
use super::pyfunc;
use super::run::{Place, unexpected};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::{ModelRegistry, ModelVersion, Stage, sha256_hex};
use crate::store::EventStore;
use crate::training::{ModelCard, RunRecord};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Result of mirroring.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mirrored {
    /// Versions sent because MLflow lacked them or had an outdated state.
    pub sent: Vec<u64>,
    /// True if another host is mirroring, so that nothing was done.
    pub busy: bool,
}

/// Duration of a host's mirroring lease in minutes.
const LEASE_MINUTES: i64 = 10;

/// Cached record of what was sent, which saves queries to the server.
#[derive(Default, Serialize, Deserialize)]
struct Sent {
    /// State in which each version was sent.
    versions: BTreeMap<u64, String>,
    /// The version that an alias was moved to, with the names of model and alias.
    crowned: Option<(String, String, u64)>,
}

impl Sent {
    fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::internal("what was sent cannot be noted").with_source(e))
    }
}

impl Mlflow {
    /// Sends every version of `model` that MLflow lacks (a run with parameters, metrics, tags and files; a
    /// model version; its stage), and moves the alias to the one in production. Of several hosts one does
    /// so at a time. What was sent is noted in `store`; without that note it is looked for, and still
    /// nothing is sent twice.
    ///
    /// Python then loads it by `mlflow.pyfunc.load_model("models:/devmatrix-success@champion")`, and predicts
    /// as [`write_pyfunc`](super::write_pyfunc) says.
    ///
    /// # Errors
    /// `Unavailable` where MLflow cannot be reached or refuses; what was sent until then is noted. Those of
    /// the registry and the store.
    pub async fn mirror(
        &self,
        registry: &dyn ModelRegistry,
        store: &dyn EventStore,
        clock: &dyn Clock,
        model: &str,
    ) -> Result<Mirrored> {
        let note = format!("mlflow-{model}");
        let holder = format!("{}-{:016x}", std::process::id(), rand::random::<u64>());
        let until =
            clock.now().checked_add_signed(TimeDelta::minutes(LEASE_MINUTES)).unwrap_or_else(|| clock.now());
        if !store.lease(&note, &holder, clock.now(), until).await? {
            return Ok(Mirrored { sent: Vec::new(), busy: true });
        }
        let done = self.send_all(registry, store, &note, model).await;
        store.lease(&note, &holder, clock.now(), clock.now()).await?;
        Ok(Mirrored { sent: done?, busy: false })
    }

    async fn send_all(
        &self,
        registry: &dyn ModelRegistry,
        store: &dyn EventStore,
        note: &str,
        model: &str,
    ) -> Result<Vec<u64>> {
        let kept = store.checkpoint(note).await?;
        // An unreadable record counts as missing.
        let mut sent: Sent = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let mut now = Vec::new();
        for version in registry.versions(model).await? {
            let state = self.state(&version)?;
            if sent.versions.get(&version.version) != Some(&state) {
                let artefact = match registry.artefact(model, version.version).await {
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        let (version, error) = (version.version, format_args!("{error:#}"));
                        tracing::error!(model, version, %error, "a damaged version is not sent");
                        continue;
                    }
                    artefact => artefact?,
                };
                self.send(&version, &artefact)?;
                sent.versions.insert(version.version, state);
                store.put_checkpoint(note, Some(sent.to_bytes()?)).await?;
                now.push(version.version);
            }
            let crowned = (self.registered(model), self.options.alias.clone(), version.version);
            if version.stage == Stage::Production && sent.crowned.as_ref() != Some(&crowned) {
                self.crown(&version)?;
                sent.crowned = Some(crowned);
                store.put_checkpoint(note, Some(sent.to_bytes()?)).await?;
            }
        }
        Ok(now)
    }

    /// What changes when a version has to be sent again.
    fn state(&self, version: &ModelVersion) -> Result<String> {
        let state = (
            &self.options.experiment,
            &self.options.prefix,
            version.stage,
            &version.verdicts,
            &version.artefact_sha256,
            pyfunc::FORMAT,
        );
        let state = serde_json::to_vec(&state)
            .map_err(|e| Error::internal("a version cannot be written as JSON").with_source(e))?;
        Ok(sha256_hex(&state))
    }

    fn send(&self, version: &ModelVersion, artefact: &[u8]) -> Result<()> {
        let place = if let Ok(Some(run)) = RunRecord::of(version) {
            self.log_run(&run)?
        } else {
            // A host's own, or an older release's: what the registry says of it.
            let key = format!("{}#{}#{}", version.model, version.version, &version.artefact_sha256[..12]);
            self.place(&key, &key, version.created_at)?
        };
        if let Ok(card) = ModelCard::of(version) {
            let json = serde_json::to_vec_pretty(&card)
                .map_err(|e| Error::internal("a card cannot be written as JSON").with_source(e))?;
            self.file(&place, "card.md", card.to_markdown().as_bytes())?;
            self.file(&place, "card.json", &json)?;
        }
        let known = self.number_of(&self.registered(&version.model), &place.run_id)?;
        let files = match pyfunc::files(version, artefact, &self.options.features) {
            Ok(files) => files,
            Err(error) => {
                tracing::info!(error = %format_args!("{error:#}"), version.model, version.version, "MLflow: Python cannot run it");
                // What an earlier release sent stays as it is.
                if known.is_none() { pyfunc::files_without_python(version, artefact) } else { Vec::new() }
            }
        };
        for (path, bytes) in files {
            self.file(&place, &format!("model/{path}"), &bytes)?;
        }
        let ended = json!({ "run_id": place.run_id, "status": "FINISHED", "end_time": version.created_at.timestamp_millis() });
        self.client.post("runs/update", &ended).map_err(Error::from)?;
        let number = known.map_or_else(|| self.model_version(version, &place), Ok)?;
        let stage = format!("{:?}", version.stage);
        let tag = json!({ "name": self.registered(&version.model), "version": number, "key": "devmatrix.stage", "value": stage });
        self.client.post("model-versions/set-tag", &tag).map_err(Error::from)?;
        if self.options.legacy_stages {
            let moved = json!({ "name": self.registered(&version.model), "version": number, "stage": stage, "archive_existing_versions": false });
            self.client.post("model-versions/transition-stage", &moved).map_err(Error::from)?;
        }
        Ok(())
    }

    /// Registers the version; MLflow's number of it.
    fn model_version(&self, version: &ModelVersion, place: &Place) -> Result<String> {
        let name = self.registered(&version.model);
        match self.client.post_once("registered-models/create", &json!({ "name": name })) {
            Err(fault) if !fault.says("RESOURCE_ALREADY_EXISTS") => return Err(fault.into()),
            _ => {}
        }
        let made = json!({
            "name": name,
            "source": format!("{}/model", place.files),
            "run_id": place.run_id,
            "tags": [
                { "key": "devmatrix.version", "value": version.version.to_string() },
                { "key": "sha256", "value": version.artefact_sha256 },
            ],
        });
        let made = self.client.post_once("model-versions/create", &made).map_err(Error::from)?;
        text(&made["model_version"]["version"]).ok_or_else(|| unexpected("model-versions/create"))
    }

    /// MLflow's number of the version that a run made, where it is registered.
    fn number_of(&self, name: &str, run_id: &str) -> Result<Option<String>> {
        let filter = format!("run_id = '{run_id}'");
        let found = self.client.get("model-versions/search", &[("filter", &filter)]).map_err(Error::from)?;
        let versions = found["model_versions"].as_array().cloned().unwrap_or_default();
        Ok(versions.iter().find(|v| v["name"] == name).and_then(|v| text(&v["version"])))
    }

    /// Moves the alias to the version in production.
    fn crown(&self, version: &ModelVersion) -> Result<()> {
        let name = self.registered(&version.model);
        let tagged = format!("name = '{name}' and tags.`sha256` = '{}'", version.artefact_sha256);
        let found = self.client.get("model-versions/search", &[("filter", &tagged)]).map_err(Error::from)?;
        let own = version.version.to_string();
        let versions = found["model_versions"].as_array().cloned().unwrap_or_default();
        let is_own = |v: &&Value| {
            let tags = v["tags"].as_array().into_iter().flatten();
            tags.into_iter().any(|tag| tag["key"] == "devmatrix.version" && tag["value"] == own.as_str())
        };
        let number = versions.iter().find(is_own).and_then(|v| text(&v["version"]));
        let number = number.ok_or_else(|| unexpected("model-versions/search"))?;
        let alias = json!({ "name": name, "alias": self.options.alias, "version": number });
        self.client.post("registered-models/alias", &alias).map(drop).map_err(Error::from)
    }
}

/// A version's number, which MLflow writes as text or as a number.
fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|n| n.to_string()))
}
