//! Runs and models in a real MLflow server, exactly once under failures.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::TimeDelta;
use common::proxy::{Mode, Proxy};
use common::world::store_of;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::mlflow::{Mlflow, MlflowOptions};
use devmatrix_ml::models::SuccessTrainer;
use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry, NewVersion};
use devmatrix_ml::store::{EventStore, MemoryStore};
use devmatrix_ml::training::{ExperimentTracker, Training, TrainingOptions, TrainingReport};
use futures_executor::block_on;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn url() -> Option<String> {
    let url = std::env::var("DEVMATRIX_TEST_MLFLOW_URL").ok();
    if url.is_none() {
        eprintln!("skipped: DEVMATRIX_TEST_MLFLOW_URL names no server");
    }
    url
}

/// Returns options with an experiment and a prefix that no other test uses.
fn options() -> MlflowOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut options = MlflowOptions::default();
    let own = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    (options.prefix, options.experiment) = (format!("{own}-"), own);
    options
}

struct Host {
    store: Arc<MemoryStore>,
    clock: ManualClock,
    registry: MemoryRegistry,
}

impl Host {
    fn new() -> Self {
        let (store, clock) = store_of(12, 40.0, 3);
        Self { store, clock, registry: MemoryRegistry::new() }
    }

    fn train(&self, tracker: Option<&dyn ExperimentTracker>) -> TrainingReport {
        let (engineer, mut options) = (FeatureEngineer::default(), TrainingOptions::default());
        (options.gate.champion, options.gate.baselines) = (false, false);
        let training =
            Training::new(self.store.as_ref(), &self.registry, &engineer, &self.clock).with_options(options);
        let training = if let Some(tracker) = tracker { training.with_tracker(tracker) } else { training };
        let report = block_on(training.run(&SuccessTrainer::default())).unwrap();
        self.clock.advance(TimeDelta::days(1));
        report
    }

    fn mirror(&self, mlflow: &Mlflow) -> devmatrix_ml::Result<Vec<u64>> {
        block_on(mlflow.mirror(&self.registry, self.store.as_ref(), &self.clock, "success")).map(|done| {
            assert!(!done.busy);
            done.sent
        })
    }
}

/// Queries the server without the crate.
fn ask(url: &str, path: &str, body: Option<Value>) -> Value {
    let agent = ureq::Agent::new_with_defaults();
    let url = format!("{url}/api/2.0/{path}");
    let mut response = match body {
        Some(body) => {
            agent.post(&url).header("Content-Type", "application/json").send(body.to_string()).unwrap()
        }
        None => agent.get(&url).call().unwrap(),
    };
    let bytes = response.body_mut().read_to_vec().unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn runs(url: &str, options: &MlflowOptions) -> Vec<Value> {
    let found =
        ask(url, &format!("mlflow/experiments/get-by-name?experiment_name={}", options.experiment), None);
    let search = json!({ "experiment_ids": [found["experiment"]["experiment_id"]] });
    ask(url, "mlflow/runs/search", Some(search))["runs"].as_array().cloned().unwrap_or_default()
}

fn versions(url: &str, options: &MlflowOptions) -> Vec<Value> {
    let filter = format!("name%20%3D%20%27{}success%27", options.prefix);
    let found = ask(url, &format!("mlflow/model-versions/search?filter={filter}"), None);
    found["model_versions"].as_array().cloned().unwrap_or_default()
}

/// Returns the crate's number of the version that has the alias.
fn champion(url: &str, options: &MlflowOptions) -> String {
    let path = format!("mlflow/registered-models/alias?name={}success&alias=champion", options.prefix);
    let found = ask(url, &path, None);
    tag(&found["model_version"], "devmatrix.version")
}

fn tag(of: &Value, key: &str) -> String {
    let tags = of["tags"].as_array().unwrap();
    tags.iter().find(|tag| tag["key"] == key).unwrap()["value"].as_str().unwrap().to_owned()
}

#[test]
fn a_version_is_sent_completely_and_once() {
    let Some(url) = url() else { return };
    let (host, options) = (Host::new(), options());
    let mlflow = Mlflow::new(&url, options.clone()).unwrap();
    let first = host.train(Some(&mlflow));
    assert_eq!(runs(&url, &options).len(), 1, "a run is sent at once");
    assert_eq!(host.mirror(&mlflow).unwrap(), [1]);
    assert_eq!(champion(&url, &options), "1");
    host.train(None);
    // The first is archived now, the second new.
    assert_eq!(host.mirror(&mlflow).unwrap(), [1, 2]);
    assert_eq!(champion(&url, &options), "2");
    assert_eq!(host.mirror(&mlflow).unwrap(), [0; 0]);
    block_on(host.registry.roll_back("success")).unwrap();
    host.mirror(&mlflow).unwrap();
    assert_eq!(champion(&url, &options), "1");
    // Without the record of sent versions the server is searched.
    block_on(host.store.put_checkpoint("mlflow-success", None)).unwrap();
    assert_eq!(host.mirror(&mlflow).unwrap(), [1, 2]);
    let (runs, versions) = (runs(&url, &options), versions(&url, &options));
    assert_eq!((runs.len(), versions.len()), (2, 2));

    let run = runs.iter().find(|run| run["info"]["run_name"] == first.record.run_id.as_str()).unwrap();
    assert_eq!(run["info"]["status"], "FINISHED");
    let metric = |name: &str| {
        let metrics = run["data"]["metrics"].as_array().unwrap();
        metrics.iter().find(|m| m["key"] == name).unwrap()["value"].as_f64().unwrap()
    };
    assert_eq!(metric("auc").to_bits(), first.record.evaluation.metrics["auc"].to_bits());
    assert_eq!(metric("rows"), first.version.rows as f64);
    let parameters = run["data"]["params"].as_array().unwrap();
    assert!(parameters.iter().any(|p| p["key"] == "boost.learning_rate"), "{parameters:?}");
    let folder = run["info"]["artifact_uri"].as_str().unwrap().strip_prefix("mlflow-artifacts:").unwrap();
    let file = |name: &str| {
        let url = format!("{url}/api/2.0/mlflow-artifacts/artifacts{folder}/{name}");
        ureq::get(&url).call().unwrap().body_mut().read_to_vec().unwrap()
    };
    assert_eq!(file("model/artefact.bin"), block_on(host.registry.artefact("success", 1)).unwrap());
    assert!(String::from_utf8(file("card.md")).unwrap().starts_with("# success version 1"));
    let importance: Value = serde_json::from_slice(&file("importance.json")).unwrap();
    assert!(!importance.as_array().unwrap().is_empty());
    assert!(String::from_utf8(file("model/MLmodel")).unwrap().contains("loader_module: devmatrix_model_v2"));
    assert_eq!(
        serde_json::from_slice::<Value>(&file("run.json")).unwrap()["run_id"],
        first.record.run_id.as_str()
    );
}

#[test]
fn stages_are_set_on_old_servers_only() {
    let Some(url) = url() else { return };
    for (legacy, stage) in [(false, "None"), (true, "Production")] {
        let (host, mut options) = (Host::new(), options());
        options.legacy_stages = legacy;
        host.train(None);
        host.mirror(&Mlflow::new(&url, options.clone()).unwrap()).unwrap();
        assert_eq!(versions(&url, &options)[0]["current_stage"], stage);
        assert_eq!(champion(&url, &options), "1");
    }
}

#[test]
fn another_prefix_gets_the_alias_too() {
    let Some(url) = url() else { return };
    let host = Host::new();
    host.train(None);
    for options in [options(), options()] {
        assert_eq!(host.mirror(&Mlflow::new(&url, options.clone()).unwrap()).unwrap(), [1]);
        assert_eq!(champion(&url, &options), "1");
    }
}

#[test]
fn training_continues_while_the_server_is_down_and_runs_arrive_later() {
    let Some(url) = url() else { return };
    let (host, options) = (Host::new(), options());
    let server = url.strip_prefix("http://").unwrap();
    let proxy = Proxy::to(server.parse().unwrap());
    let mlflow = Mlflow::new(&format!("http://127.0.0.1:{}", proxy.port), options.clone()).unwrap();
    proxy.set(Mode::Refuse);
    assert!(host.train(Some(&mlflow)).promoted);
    assert!(host.train(Some(&mlflow)).promoted);
    let error = host.mirror(&mlflow).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(format!("{error:#}").contains("sent with the next mirroring"), "{error}");
    proxy.set(Mode::Pass);
    assert_eq!(host.mirror(&mlflow).unwrap(), [1, 2]);
    assert_eq!((runs(&url, &options).len(), champion(&url, &options)), (2, "2".to_owned()));
}

/// Also where the response is lost after the server has processed the request.
#[test]
fn a_connection_cut_anywhere_duplicates_nothing() {
    let Some(url) = url() else { return };
    let host = Host::new();
    host.train(None);
    let server = url.strip_prefix("http://").unwrap();
    let proxy = Proxy::to(server.parse().unwrap());
    let mut failures = 0;
    for cut in 0..40 {
        // Nothing is sent yet, neither on the server nor in the record.
        let options = options();
        block_on(host.store.put_checkpoint("mlflow-success", None)).unwrap();
        let mlflow = Mlflow::new(&format!("http://127.0.0.1:{}", proxy.port), options.clone()).unwrap();
        if cut % 2 == 0 {
            proxy.cut_after(cut * 150);
        } else {
            proxy.cut_after_answers(cut * 100);
        }
        failures += i32::from(host.mirror(&mlflow).is_err());
        proxy.mend();
        host.mirror(&mlflow).unwrap();
        assert_eq!((runs(&url, &options).len(), versions(&url, &options).len()), (1, 1), "cut {cut}");
        assert_eq!(champion(&url, &options), "1");
    }
    assert!(failures > 0, "no cut fell between a request and its response");
    println!("40 cuts, {failures} of which ended a mirroring");
}

#[test]
fn a_version_registered_by_a_host_is_sent_and_a_deleted_experiment_is_an_error() {
    let Some(url) = url() else { return };
    let (host, options) = (Host::new(), options());
    let mlflow = Mlflow::new(&url, options.clone()).unwrap();
    block_on(host.registry.register(NewVersion::new("success", b"by hand".to_vec()))).unwrap();
    assert_eq!(host.mirror(&mlflow).unwrap(), [1]);
    let found =
        ask(&url, &format!("mlflow/experiments/get-by-name?experiment_name={}", options.experiment), None);
    let id = found["experiment"]["experiment_id"].clone();
    ask(&url, "mlflow/experiments/delete", Some(json!({ "experiment_id": id })));
    host.train(None);
    let error = host.mirror(&mlflow).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(format!("{error:#}").contains("is deleted: restore it"), "{error}");
}

#[test]
fn of_two_hosts_one_mirrors_at_a_time() {
    let Some(url) = url() else { return };
    let (host, options) = (Host::new(), options());
    host.train(None);
    let mlflow = Mlflow::new(&url, options.clone()).unwrap();
    let done: Vec<_> = std::thread::scope(|scope| {
        let mirror =
            || block_on(mlflow.mirror(&host.registry, host.store.as_ref(), &host.clock, "success")).unwrap();
        let hosts: Vec<_> = (0..4).map(|_| scope.spawn(mirror)).collect();
        hosts.into_iter().map(|host| host.join().unwrap()).collect()
    });
    assert_eq!(done.iter().filter(|d| !d.sent.is_empty()).count(), 1, "{done:?}");
    assert_eq!((runs(&url, &options).len(), versions(&url, &options).len()), (1, 1));
}

#[test]
fn a_server_other_than_mlflow_is_an_error() {
    let options = MlflowOptions::default();
    let mlflow = Mlflow::new("http://127.0.0.1:1", options.clone()).unwrap();
    let host = Host::new();
    host.train(None);
    assert_eq!(host.mirror(&mlflow).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(Mlflow::new("127.0.0.1:5000", options).unwrap_err().kind(), ErrorKind::InvalidInput);
    let mut empty = MlflowOptions::default();
    empty.experiment = " ".into();
    assert!(Mlflow::new("http://h", empty).unwrap_err().to_string().contains("experiment is empty"));
}
