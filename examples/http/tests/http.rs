//! The service over real sockets: every route, hostile clients, learning in the background, graceful shutdown.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

#[path = "http/client.rs"]
mod client;
#[path = "http/hostile.rs"]
mod hostile;

use chrono::Utc;
use client::{Client, Response};
use devmatrix_ml::clock::SystemClock;
use devmatrix_ml::event::EventId;
use devmatrix_ml::execution::ExecutionContext;
use devmatrix_ml::features::{FeatureOptions, HostColumn, HostColumns};
use devmatrix_ml::registry::MemoryRegistry;
use devmatrix_ml::store::{EventStore, EventStoreExt, MemoryStore, ScanOrder};
use devmatrix_ml_http::service::{Host, Limits, Server, Token};
use devmatrix_ml_http::simulated;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const TOKEN: &str = "a token that nobody guesses";

/// Days with a training at the end of the first seven.
const WEEK: u32 = 8;

/// A service that listens on a free port.
struct Running {
    address: SocketAddr,
    host: Arc<Host>,
    store: Arc<MemoryStore>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<devmatrix_ml::Result<()>>,
}

impl Running {
    /// Starts a service with `days` simulated days of history.
    async fn after(days: u32, limits: Limits) -> Self {
        let (store, registry) = (Arc::new(MemoryStore::new()), Arc::new(MemoryRegistry::new()));
        if days > 0 {
            let filled = simulated::fill(
                store.clone(),
                registry.as_ref(),
                Utc::now(),
                days,
                20.0,
                ExecutionContext::new(),
            );
            Box::pin(filled).await.unwrap();
        }
        let host = Host::open(store.clone(), registry, Arc::new(SystemClock), features()).await.unwrap();
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(host.clone(), local, Token::new(Some(TOKEN)), limits).unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(server.run(async move { drop(stopped.await) }));
        Self { address, host, store, stop, ended }
    }

    fn client(&self) -> Client {
        Client::new(self.address, Some(TOKEN))
    }

    async fn stop(self) -> Arc<MemoryStore> {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
        self.store
    }
}

/// Columns known before the start, and one known after the end.
fn features() -> FeatureOptions {
    let columns = HostColumns::new([
        HostColumn::number("test_coverage").unit("%").range(0.0, 100.0),
        HostColumn::flag("has_design"),
        HostColumn::category("priority"),
        HostColumn::number("review_minutes").known_after(),
    ]);
    FeatureOptions::default().with_columns(columns.unwrap())
}

fn task(i: usize) -> Value {
    json!({ "task_id": format!("TASK-{i}"), "task_description": "Add a page", "agent_type": "frontend" })
}

async fn finished(client: &Client, path: &str) -> Value {
    loop {
        let run = client.get(path).await.json();
        if run["state"] != "running" {
            return run;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_is_predicted_recorded_labelled_and_shown() {
    let running = Running::after(WEEK, Limits::default()).await;
    let client = running.client();
    let before = client.get("/api/ml/metrics").await.json();
    let started = client.post("/api/ml/generations", &json!({ "task": task(1), "id": "mine" })).await;
    assert_eq!(started.status, 201, "{started:?}");
    let probability = &started.json()["predictions"]["success"]["success_probability"];
    assert!((0.0..=1.0).contains(&probability.as_f64().unwrap()));
    let done = json!({ "generated_code": "def f(): pass", "generation_time_seconds": 3.5 });
    assert_eq!(client.post("/api/ml/generations/mine/completion", &done).await.status, 204);
    let approve =
        json!({ "event_id": "mine", "feedback": { "user_action": "approve", "final_quality_score": 9 } });
    assert_eq!(client.post("/api/ml/feedback", &approve).await.status, 204);
    let seen = client.get("/api/ml/metrics").await.json();
    let labelled = |seen: &Value| seen["prediction_accuracy"]["success"]["n"].as_u64().unwrap();
    assert_eq!(labelled(&seen), labelled(&before) + 1);
    let event = running.store.event(&EventId::new("mine").unwrap()).await.unwrap();
    assert_eq!(event.outcome().unwrap().success, Some(true));
    assert_eq!(event.started.value.predictions.len(), 11);
    let page = client.get("/").await;
    assert!(page.head.contains("content-type: text/html") && page.body.contains("<svg"), "{}", page.head);
    let metrics = client.get("/metrics").await.body;
    for name in ["devmatrix_ml_predict_seconds_bucket", "devmatrix_ml_records_total"] {
        assert!(metrics.contains(name), "{name} is missing in {metrics}");
    }
    assert!(!metrics.contains("mine") && !metrics.contains("TASK-1"), "ids are no labels");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_training_at_a_time_runs_beside_requests() {
    let running = Running::after(WEEK, Limits::default()).await;
    let client = running.client();
    let accepted = client.post("/api/ml/retrain", &json!({})).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let path = accepted.json()["ask"].as_str().unwrap().to_owned();
    let again = client.post("/api/ml/retrain", &json!({})).await;
    assert_eq!(again.status, 409, "{again:?}");
    assert_eq!(client.post("/api/ml/predict", &json!({ "task": task(1) })).await.status, 200);
    let run = finished(&client, &path).await;
    assert_eq!(run["state"], "done", "{run}");
    assert!(!run["models"]["success"]["reasons"].as_array().unwrap().is_empty());
    let models = client.get("/api/ml/models").await.json();
    assert_eq!(models["success"]["versions"][0]["version"], run["models"]["success"]["version"]);
    let nobody = client.get("/api/ml/retrain/99").await;
    assert_eq!((nobody.status, &nobody.json()["instance"]), (404, &json!("/api/ml/retrain/99")));
    assert!(client.get("/metrics").await.body.contains("devmatrix_ml_trainings_total"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openapi_document_lists_every_route_and_its_responses() {
    let running = Running::after(0, Limits::default()).await;
    let (client, stranger) = (running.client(), Client::new(running.address, None));
    let document = stranger.get("/openapi.json").await.json();
    let source = include_str!("../src/service/mod.rs");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(source.matches(".route(").count(), paths.len(), "every route is documented");
    for (path, methods) in paths {
        assert!(source.contains(&format!(".route(\"{path}\"")), "{path} is no route");
        for (method, operation) in methods.as_object().unwrap() {
            let url = path.replace("{id}", "nobody").replace("{run}", "7");
            let body = if method == "post" { Some(json!({})) } else { None };
            let response = client.ask(&method.to_uppercase(), &url, body.as_ref()).await;
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key(&response.status.to_string()), "{method} {path}: {response:?}");
            let open = operation["security"].as_array().is_some_and(Vec::is_empty);
            let unauthorized = stranger.ask(&method.to_uppercase(), &url, body.as_ref()).await;
            assert_eq!(unauthorized.status == 401, !open, "{method} {path}: {unauthorized:?}");
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_the_host_come_with_starts_predictions_and_completions() {
    let running = Running::after(0, Limits::default()).await;
    let client = running.client();
    let with = |columns: Value| {
        let mut task = task(1);
        task["columns"] = columns;
        json!({ "task": task })
    };
    let all = json!({ "test_coverage": 83, "has_design": true, "priority": "urgent" });
    for none in [json!({}), Value::Null, json!({ "test_coverage": null }), all.clone()] {
        for path in ["/api/ml/predict", "/api/ml/generations"] {
            let answer = client.post(path, &with(none.clone())).await;
            assert!([200, 201].contains(&answer.status), "{path} {none}: {answer:?}");
        }
    }
    let mut start = with(all);
    start["id"] = json!("mine");
    assert_eq!(client.post("/api/ml/generations", &start).await.status, 201);
    let done = json!({ "columns": { "review_minutes": 7.5 } });
    assert_eq!(client.post("/api/ml/generations/mine/completion", &done).await.status, 204);
    for (id, done) in [("a", json!({ "columns": {} })), ("b", json!({ "columns": null }))] {
        let start = json!({ "task": task(2), "id": id });
        assert_eq!(client.post("/api/ml/generations", &start).await.status, 201);
        let path = format!("/api/ml/generations/{id}/completion");
        assert_eq!(client.post(&path, &done).await.status, 204, "{done}");
    }
    let event = running.store.event(&EventId::new("mine").unwrap()).await.unwrap();
    assert_eq!(event.started.value.context.columns["test_coverage"], 83.0.into());
    assert_eq!(event.completion.unwrap().value.columns["review_minutes"], 7.5.into());
    for (columns, says) in [
        (json!({ "test_coverag": 83 }), "did you mean test_coverage?"),
        (json!({ "test_coverage": 101 }), "expected 0 to 100"),
        (json!({ "test_coverage": "high" }), "declared as a number"),
        (json!({ "review_minutes": 1 }), "known after the end"),
        (json!({ "priority": [1] }), "task"),
    ] {
        for path in ["/api/ml/predict", "/api/ml/generations"] {
            let answer = client.post(path, &with(columns.clone())).await;
            assert_eq!(answer.status, 422, "{answer:?}");
            assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{answer:?}");
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_a_detail_an_instance_and_a_hint() {
    let running = Running::after(0, Limits::default()).await;
    let client = running.client();
    let response =
        client.post("/api/ml/predict", &json!({ "task": { "task_id": "t", "temprature": 1 } })).await;
    let problem = |response: &Response, status: u16, says: &str| {
        assert_eq!(response.status, status, "{response:?}");
        assert!(response.head.contains("application/problem+json"), "{response:?}");
        let body = response.json();
        assert!(body["detail"].as_str().unwrap().contains(says), "{body}");
        assert!(!body["instance"].as_str().unwrap().is_empty() && !body["hint"].as_str().unwrap().is_empty());
    };
    problem(&response, 422, "temprature");
    let hot = json!({ "task": { "task_id": "t", "temperature": 9 } });
    problem(&client.post("/api/ml/predict", &hot).await, 422, "temperature");
    let unknown = json!({ "event_id": "nobody", "feedback": { "user_action": "approve" } });
    problem(&client.post("/api/ml/feedback", &unknown).await, 404, "nobody");
    let twice = json!({ "task": task(1), "id": "twice" });
    assert_eq!(client.post("/api/ml/generations", &twice).await.status, 201);
    let again = client.post("/api/ml/generations", &twice).await;
    assert_eq!(
        (again.status, &again.json()["id"]),
        (200, &json!("twice")),
        "a retry returns the first start"
    );
    let other = json!({ "task": task(2), "id": "twice" });
    problem(&client.post("/api/ml/generations", &other).await, 409, "twice");
    problem(&client.ask("DELETE", "/api/ml/models", None).await, 405, "DELETE");
    problem(&client.get("/nowhere").await, 404, "no such route");
    let wrong = Client::new(running.address, Some("a guess"));
    problem(&wrong.get("/api/ml/models").await, 401, "token");
    running.stop().await;
}

/// One rule for JSON, whichever way it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_is_read_by_the_rules_of_the_library() {
    let running = Running::after(0, Limits::default()).await;
    let client = running.client();
    let raw = async |path: &str, body: &str| {
        client.raw(&client.request("POST", path, "application/json", body.as_bytes())).await.unwrap()
    };
    // A start repeated is one start, whatever a store makes of it; another one is not.
    for (id, task) in [
        ("nano", r#"{"task_id":"t","started_at":"2025-03-01T10:00:00.123456789Z"}"#),
        ("nul", r#"{"task_id":"t","task_description":"a\u0000b","columns":{"priority":"x\u0000"}}"#),
        ("half", r#"{"task_id":"t\ud800","task_description":"\udc00 \ud83d\ude00"}"#),
        ("float", r#"{"task_id":"t","max_tokens":1e3,"attempt":2.0}"#),
    ] {
        let start =
            |more: &str| format!(r#"{{"id":"{id}","task":{task},"metadata":{{"a\u0000":"\u0000"}}{more}}}"#);
        assert_eq!(raw("/api/ml/generations", &start("")).await.status, 201, "{task}");
        let again = raw("/api/ml/generations", &start("")).await;
        assert_eq!((again.status, again.json()["event_id"].clone()), (200, json!(id)), "{again:?}");
        let chosen = r#","decision":{"candidates":["a"],"chosen":"a","propensity":1,"policy":"p"}"#;
        let other = raw("/api/ml/generations", &start(chosen)).await;
        assert!(other.status == 409 && other.body.contains("decision is missing there"), "{other:?}");
    }
    // Null is missing.
    let task = r#"{"task_id":"t","temperature":null,"columns":null,"attempt":null,"rag_examples_ids":null}"#;
    let nulls = format!(r#"{{"event_id":"n","task":{task},"metadata":null,"decision":null}}"#);
    assert_eq!(raw("/api/ml/generations", &nulls).await.status, 201);
    let done = r#"{"review":null,"next_step":null,"metadata":null,"host_metrics":null,"columns":null,"tokens_used":5.0}"#;
    assert_eq!(raw("/api/ml/generations/n/completion", done).await.status, 204);
    let said = r#"{"id":"n","feedback":{"user_action":"approve","next_step":null,"feedback_id":null}}"#;
    assert_eq!(raw("/api/ml/feedback", said).await.status, 204);
    // What is not a field, or twice one, is named wherever it stands.
    for (path, body, says) in [
        ("/api/ml/predict", r#"{"task":{"task_id":"t","agent_typ":"a"}}"#, "task.agent_typ"),
        ("/api/ml/predict", r#"{"task":{"task_id":"t","agent_typ":null}}"#, "task.agent_typ"),
        ("/api/ml/predict", r#"{"task":{"task_id":"t","task_id":"u"}}"#, "`task.task_id` is given twice"),
        ("/api/ml/predict", r#"{"task":{"task_id":"t","columns":{"priority":"a","priority":"b"}}}"#, "twice"),
        ("/api/ml/predict", r#"{"features":{"rag_avg_qualty":1}}"#, "did you mean rag_avg_quality?"),
        ("/api/ml/predict", r#"{"features":{},"task":{"task_id":"t"}}"#, "a task or features"),
        (
            "/api/ml/generations/n/completion",
            r#"{"review":{"requested":true,"propensity":1,"y":2}}"#,
            "review.y",
        ),
        ("/api/ml/generations/n/completion", r#"{"metadata":{"a":{"b":1,"b":2}}}"#, "metadata.a.b"),
        ("/api/ml/feedback", r#"{"event_id":"n","id":"n","feedback":{"user_action":"approve"}}"#, "event_id"),
        (
            "/api/ml/feedback",
            r#"{"event_id":"n","feedback":{"user_action":"approve","score":7}}"#,
            "feedback.score",
        ),
    ] {
        let refused = raw(path, body).await;
        assert!(
            refused.status == 422 && refused.json()["detail"].as_str().unwrap().contains(says),
            "{refused:?}"
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_chosen_can_be_started_exported_and_erased() {
    let running = Running::after(0, Limits::default()).await;
    let client = running.client();
    let mut asked = task(1);
    (asked["user_id"], asked["project_id"]) = (json!("ada"), json!("shop"));
    let candidates = json!(["sonnet", { "name": "mini at low", "plan": { "llm": "mini", "effort": "low" } }]);
    let chosen = client.post("/api/ml/choose", &json!({ "task": asked, "candidates": candidates })).await;
    assert_eq!(chosen.status, 200, "{chosen:?}");
    let mut start = chosen.json();
    let llm = start["task"]["model_used"].clone();
    assert!(llm == "sonnet" || llm == "mini", "{llm}");
    for extra in ["plan", "predictions"] {
        start.as_object_mut().unwrap().remove(extra).unwrap();
    }
    start["id"] = json!("chosen");
    assert_eq!(client.post("/api/ml/generations", &start).await.status, 201);
    assert_eq!(
        client.post("/api/ml/generations/chosen/completion", &json!({ "cost_usd": 0.1 })).await.status,
        204
    );
    let said = json!({ "event_id": "chosen", "feedback": { "user_action": "approve" } });
    assert_eq!(client.post("/api/ml/feedback", &said).await.status, 204);
    for i in 0..700 {
        let other = json!({ "task": task(i), "id": format!("e{i}") });
        assert_eq!(client.post("/api/ml/generations", &other).await.status, 201);
    }
    let exported = client.get("/api/ml/export").await;
    let events: Vec<Value> = exported.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 701);
    let known =
        |event: &Value| event["recorded_at"].as_str().unwrap().parse::<chrono::DateTime<Utc>>().unwrap();
    assert!(events.iter().map(known).is_sorted());
    assert_eq!((&events[0]["event_id"], &events[0]["success"]), (&json!("chosen"), &json!(true)));
    assert_eq!(events[0]["decision"]["candidates"], json!(["sonnet", "mini at low"]));
    assert_eq!(client.post("/api/ml/erase", &json!({})).await.status, 422);
    let erased = client.post("/api/ml/erase", &json!({ "user_id": "ada" })).await;
    assert_eq!(erased.json()["events"], 1);
    assert_eq!(client.get("/api/ml/export").await.body.lines().count(), 700);
    let features = json!({ "features": {
        "task_type_encoded": 1, "language_encoded": 2, "framework_encoded": null, "task_complexity_score": 4.5,
        "task_description_length": 120, "num_requirements": 3, "num_technical_terms": 5, "similar_tasks_success_rate": 0.7,
        "agent_past_performance": 0.8, "model_past_performance": 0.9, "rag_examples_count": 3, "rag_avg_quality": 8,
        "rag_avg_similarity": 0.6, "hour_of_day": 14, "day_of_week": 2, "project_maturity_days": 90 } });
    let predicted = client.post("/api/ml/predict", &features).await;
    let probability = predicted.json()["success_probability"].as_f64().unwrap();
    assert!(probability > 0.0 && probability < 1.0, "{predicted:?}");
    running.stop().await;
}

/// A thousand clients that send and never read: others are answered as if there were none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_cost_only_themselves() {
    let running = Running::after(0, Limits::default()).await;
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    let bursts =
        [one("/openapi.json").repeat(200), one("/health").repeat(2_000), one("/api/ml/models").repeat(500)];
    let mut floods = tokio::task::JoinSet::new();
    for i in 0..1_000 {
        let (address, burst) = (running.address, bursts[i % bursts.len()].clone());
        floods.spawn(async move {
            let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return };
            // It sends on until the service takes no more, and stays.
            while stream.write_all(burst.as_bytes()).await.is_ok() {}
        });
    }
    let client = running.client();
    let mut took = Vec::new();
    for i in 0..300 {
        let timer = std::time::Instant::now();
        let request = if i % 2 == 0 {
            client.request("GET", "/health", "application/json", b"")
        } else {
            let body = json!({ "task": task(i) }).to_string();
            client.request("POST", "/api/ml/predict", "application/json", body.as_bytes())
        };
        // Of the address that floods, a connection may be turned away; its client tries again.
        let mut tries = 0;
        let response = loop {
            match client.raw(&request).await {
                Ok(response) => break response,
                Err(error) => assert!(tries < 20, "turned away 20 times: {error}"),
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(response.status, 200, "{response:?}");
        took.push(timer.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took.sort();
    println!("beside 1,000 clients that never read: p50 {:?}, p99 {:?}", took[150], took[297]);
    floods.abort_all();
    while floods.join_next().await.is_some() {}
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_may_send_the_token_as_a_password() {
    let running = Running::after(0, Limits::default()).await;
    let stranger = Client::new(running.address, None);
    assert!(stranger.get("/").await.head.contains("www-authenticate: bearer, basic"));
    let ask = |pair: &str| {
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        format!("GET / HTTP/1.1\r\nhost: x\r\nauthorization: Basic {pair}\r\nconnection: close\r\n\r\n")
    };
    let shown = stranger.raw(ask(&format!("anyone:{TOKEN}")).as_bytes()).await.unwrap();
    assert_eq!(shown.status, 200);
    assert_eq!(stranger.raw(ask("anyone:else").as_bytes()).await.unwrap().status, 401);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_answers_while_it_learns_and_then_serves_the_new_models() {
    let running = Running::after(0, Limits::default()).await;
    let client = running.client();
    simulated::learn_beside(&running.host, 29, 60.0);
    let version = |prediction: &Value| prediction["success"]["model_version"].as_u64().unwrap();
    assert_eq!(client.get("/health").await.json()["status"], "learning");
    let cold = client.post("/api/ml/generations", &json!({ "task": task(1), "id": "mine" })).await;
    assert_eq!((cold.status, version(&cold.json()["predictions"])), (201, 0), "{cold:?}");
    assert_eq!(client.post("/api/ml/retrain", &json!({})).await.status, 409, "one training at a time");
    let approve = json!({ "event_id": "mine", "feedback": { "user_action": "approve" } });
    assert_eq!(client.post("/api/ml/feedback", &approve).await.status, 204);
    while client.get("/health").await.json()["status"] != "ready" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(version(&client.post("/api/ml/predict", &json!({ "task": task(2) })).await.json()) > 0);
    let store = running.stop().await;
    assert!(starts(store.as_ref()).await > 20, "the simulated days and the one start are there");
    let event = store.event(&EventId::new("mine").unwrap()).await.unwrap();
    assert_eq!(event.outcome().unwrap().success, Some(true), "facts recorded meanwhile are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_cancels_learning() {
    let running = Running::after(0, Limits::default()).await;
    simulated::learn_beside(&running.host, 3_000, 200.0);
    assert_eq!(running.client().get("/health").await.json()["status"], "learning");
    let host = running.host.clone();
    running.stop().await;
    assert!(format!("{host:?}").contains("learning: false"), "the learning thread was joined: {host:?}");
}

/// Ten thousand requests, good and bad, eight at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_neither_hang_nor_break_the_service() {
    let requests = std::env::var("DEVMATRIX_HTTP_REQUESTS").map_or(10_000, |n| n.parse().unwrap());
    let limits = Limits { body_bytes: 64 << 10, request: Duration::from_secs(2), ..Limits::default() };
    let running = Running::after(WEEK, limits).await;
    let before = starts(running.store.as_ref()).await;
    let (mut clients, mut counts) = (Vec::new(), hostile::Aggregates::default());
    for seed in 0..8 {
        let client = running.client();
        clients.push(tokio::spawn(async move { hostile::storm(&client, requests / 8, seed).await }));
    }
    for client in clients {
        counts.add(client.await.unwrap());
    }
    println!("{counts}");
    assert!(counts.unexpected.is_empty(), "{:#?}", counts.unexpected);
    assert_eq!(counts.sent(), requests / 8 * 8);
    assert!(counts.kinds() > 25, "all kinds were sent: {counts}");
    assert_eq!(running.client().get("/health").await.status, 200);
    let page = running.client().get("/").await;
    assert!(page.status == 200 && !page.body.contains("<script"), "{}", page.head);
    let store = running.stop().await;
    assert_eq!(starts(store.as_ref()).await, before + counts.started, "acknowledged starts are stored");
}

/// Requests during shutdown are answered or not; what was acknowledged is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_shutdown_loses_nothing() {
    let running = Running::after(0, Limits::default()).await;
    let mut writers = Vec::new();
    for writer in 0..4 {
        let client = running.client();
        writers.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for i in 0.. {
                let id = format!("w{writer}-{i}");
                let start = json!({ "task": task(i), "id": id });
                let Ok(response) = client.try_post("/api/ml/generations", &start).await else { break };
                assert!([201, 503].contains(&response.status), "{response:?}");
                let feedback = json!({ "event_id": id, "feedback": { "user_action": "reject" } });
                let Ok(response) = client.try_post("/api/ml/feedback", &feedback).await else { break };
                assert_eq!(response.status, 204);
                acknowledged.push(id);
            }
            acknowledged
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    // A request whose body is in flight when the service stops is answered.
    let slow = running.client();
    let slow =
        tokio::spawn(async move { slow.slowly("/api/ml/predict", &json!({ "task": task(0) }), 400).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let store = running.stop().await;
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
    let mut kept = 0;
    for writer in writers {
        for id in writer.await.unwrap() {
            let event = store.event(&EventId::new(&id).unwrap()).await.unwrap();
            assert_eq!(event.outcome().unwrap().success, Some(false), "{id}");
            kept += 1;
        }
    }
    assert!(kept > 0);
    assert!(store.without_features(None, 10).await.unwrap().is_empty(), "feature vectors were written");
    let facts = store.scan(ScanOrder::Known, None, 10).await.unwrap();
    assert!(!facts.records.is_empty());
}

async fn starts(store: &MemoryStore) -> usize {
    let mut n = 0;
    let mut each = |record: devmatrix_ml::event::Record| {
        n += usize::from(matches!(record.fact(), devmatrix_ml::event::Fact::Started(_)));
        Ok(())
    };
    store.for_each(ScanOrder::Known, &mut each).await.unwrap();
    n
}
