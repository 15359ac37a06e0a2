//! Requests of all kinds, most of them bad.

use super::client::{Client, Response};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use tokio::task::JoinSet;

/// Counts of responses to many requests.
#[derive(Debug, Default)]
pub(crate) struct Aggregates {
    /// Counts of statuses by kind; 0 stands for a connection without a response.
    by_kind: BTreeMap<&'static str, BTreeMap<u16, usize>>,
    /// Starts that were acknowledged.
    pub(crate) started: usize,
    /// Responses that were not expected.
    pub(crate) unexpected: Vec<String>,
}

impl Aggregates {
    pub(crate) fn add(&mut self, other: Self) {
        for (kind, statuses) in other.by_kind {
            let own = self.by_kind.entry(kind).or_default();
            statuses.into_iter().for_each(|(status, n)| *own.entry(status).or_default() += n);
        }
        self.started += other.started;
        self.unexpected.extend(other.unexpected);
    }

    pub(crate) fn sent(&self) -> usize {
        self.by_kind.values().flat_map(BTreeMap::values).sum()
    }

    pub(crate) fn kinds(&self) -> usize {
        self.by_kind.len()
    }

    /// Counts a response and checks that its status is expected; 0 for none.
    fn note(&mut self, kind: &'static str, response: Option<&Response>, expected: &[u16]) {
        let status = response.map_or(0, |response| response.status);
        *self.by_kind.entry(kind).or_default().entry(status).or_default() += 1;
        if !expected.contains(&status) && self.unexpected.len() < 20 {
            self.unexpected.push(format!("{kind}: {response:?}"));
        }
    }
}

impl fmt::Display for Aggregates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by_kind.iter().try_for_each(|(kind, statuses)| writeln!(f, "  {kind:<24} {statuses:?}"))
    }
}

const PREDICT: &str = "/api/ml/predict";
const START: &str = "/api/ml/generations";
const FEEDBACK: &str = "/api/ml/feedback";

/// Names and texts that break unprepared programs.
const NASTY: [&str; 12] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'; DROP TABLE ml_generation_events; --",
    "\u{202e}gnp.exe\u{202c}",
    "\0\u{1}\u{7f}",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "../../../../etc/passwd",
    "🧨🧨🧨",
    "%00%0d%0aSet-Cookie:%20a=b",
    "</title></svg></style>",
    "NaN",
    "ﷺ\u{300}\u{301}\u{302}\u{303}",
];

/// One client's requests, one after the other; those that take seconds on purpose go on beside the others.
pub(crate) async fn storm(client: &Client, requests: usize, seed: u64) -> Aggregates {
    let (mut rng, mut counts) = (Pcg64Mcg::seed_from_u64(seed), Aggregates::default());
    let mut slow = JoinSet::new();
    for i in 0..requests {
        one(client, &mut rng, &mut counts, &mut slow, format!("s{seed}-{i}")).await;
    }
    slow.join_all().await.into_iter().for_each(|other| counts.add(other));
    counts
}

async fn one(
    client: &Client,
    rng: &mut Pcg64Mcg,
    counts: &mut Aggregates,
    slow: &mut JoinSet<Aggregates>,
    id: String,
) {
    let nasty = NASTY[rng.random_range(0..NASTY.len())];
    match rng.random_range(0..100_u32) {
        0..=24 => good(client, counts, id).await,
        25..=39 => hostile_texts(client, counts, nasty, id).await,
        40..=64 => bad_json(client, rng, counts).await,
        65..=79 => bad_values(client, rng, counts).await,
        80..=93 => bad_requests(client, rng, counts, nasty).await,
        94..=98 => bad_connections(client, rng, counts, id).await,
        _ => rare(client, rng, counts, slow).await,
    }
}

async fn good(client: &Client, counts: &mut Aggregates, id: String) {
    let task = json!({ "task_id": id, "task_description": "Add an endpoint", "agent_type": "backend" });
    let response = client.try_post(PREDICT, &json!({ "task": task })).await.ok();
    counts.note("predict", response.as_ref(), &[200]);
}

async fn hostile_texts(client: &Client, counts: &mut Aggregates, nasty: &str, id: String) {
    let long = nasty.repeat(200);
    let task = json!({ "task_id": id, "task_description": long, "agent_type": nasty, "language": nasty,
        "task_type": nasty, "framework": long, "model_used": nasty });
    let response = client.try_post(START, &json!({ "task": task, "metadata": { nasty: nasty } })).await.ok();
    counts.note("start, hostile texts", response.as_ref(), &[201]);
    let Some(started) = response.filter(|response| response.status == 201) else { return };
    counts.started += 1;
    let feedback = json!({ "user_action": "reject", "user_feedback": nasty });
    let feedback = json!({ "event_id": started.json()["id"], "feedback": feedback });
    // Follows the start, so it is not counted as a request of its own.
    match client.try_post(FEEDBACK, &feedback).await {
        Ok(response) if response.status == 204 => {}
        other => counts.unexpected.push(format!("feedback after a start: {other:?}")),
    }
}

async fn bad_json(client: &Client, rng: &mut Pcg64Mcg, counts: &mut Aggregates) {
    let deep = "[".repeat(5_000);
    let bodies: [(&'static str, &[u8]); 10] = [
        ("nothing", b""),
        ("not JSON", b"task=1&b=2"),
        ("cut off", b"{\"task\": {\"task_id\": \"a"),
        ("not UTF-8", b"{\"task\": {\"task_id\": \"\xff\xfe\"}}"),
        ("NaN", b"{\"task\": {\"task_id\": \"a\", \"temperature\": NaN}}"),
        ("too deep", deep.as_bytes()),
        ("a field twice", b"{\"task\": {\"task_id\": \"a\", \"task_id\": \"b\"}}"),
        ("a column twice", b"{\"task\": {\"task_id\": \"a\", \"columns\": {\"x\": 1, \"x\": 2}}}"),
        ("two values", b"{} {}"),
        ("null", b"null"),
    ];
    let (kind, body) = bodies[rng.random_range(0..bodies.len())];
    let path = [PREDICT, START, FEEDBACK][rng.random_range(0..3)];
    let response = client.raw(&client.request("POST", path, "application/json", body)).await.ok();
    // Which fault is met first, that of the JSON or that of a field, depends on the route.
    counts.note(kind, response.as_ref(), &[400, 422]);
}

async fn bad_values(client: &Client, rng: &mut Pcg64Mcg, counts: &mut Aggregates) {
    let ids = "x".repeat(2_000);
    let bodies: [(&'static str, Value); 9] = [
        ("wrong type", json!({ "task": { "task_id": "a", "temperature": "hot" } })),
        ("a list for a task", json!({ "task": [1, 2, 3] })),
        ("no id", json!({ "task": { "task_description": "x" } })),
        ("an empty id", json!({ "task": { "task_id": "" } })),
        ("an endless id", json!({ "task": { "task_id": ids } })),
        ("an id of control characters", json!({ "task": { "task_id": "a\u{0}b" } })),
        ("out of range", json!({ "task": { "task_id": "a", "temperature": 1e308 } })),
        ("a negative count", json!({ "task": { "task_id": "a", "max_tokens": -1 } })),
        ("unknown field", json!({ "task": { "task_id": "a" }, "admin": true })),
    ];
    let (kind, body) = &bodies[rng.random_range(0..bodies.len())];
    let path = [PREDICT, START][rng.random_range(0..2)];
    let response = client.try_post(path, body).await.ok();
    counts.note(kind, response.as_ref(), &[422]);
}

async fn bad_requests(client: &Client, rng: &mut Pcg64Mcg, counts: &mut Aggregates, nasty: &str) {
    let encoded: String = nasty.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (kind, request, expected): (_, _, &[u16]) = match rng.random_range(0..9) {
        0 => ("wrong method", client.request("DELETE", PREDICT, "application/json", b"{}"), &[405]),
        1 => ("no such route", client.request("GET", &format!("/{encoded}"), "text/plain", b""), &[404]),
        2 => ("wrong content type", client.request("POST", PREDICT, "text/xml", b"<a/>"), &[415]),
        3 => (
            "end of nobody's",
            client.request("POST", &format!("{START}/{encoded}/completion"), "application/json", b"{}"),
            // A path with slashes is no route; invalid text and invalid ids are rejected.
            &[400, 404, 422],
        ),
        4 => (
            "feedback for nobody",
            client.request(
                "POST",
                FEEDBACK,
                "application/json",
                br#"{"event_id":"nobody","feedback":{"user_action":"approve"}}"#,
            ),
            &[404],
        ),
        5 => (
            "wrong token",
            b"POST /api/ml/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer guess\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}".to_vec(),
            &[401],
        ),
        6 => ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), &[400, 0]),
        7 => (
            "an endless header",
            format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(600_000)).into_bytes(),
            &[431, 400, 0],
        ),
        _ => (
            "two lengths",
            b"POST /api/ml/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 7\r\n\r\n{}".to_vec(),
            &[400, 0],
        ),
    };
    let response = client.raw(&request).await.ok();
    counts.note(kind, response.as_ref(), expected);
}

async fn bad_connections(client: &Client, rng: &mut Pcg64Mcg, counts: &mut Aggregates, id: String) {
    let whole = client.request(
        "POST",
        PREDICT,
        "application/json",
        json!({ "task": { "task_id": id } }).to_string().as_bytes(),
    );
    match rng.random_range(0..4) {
        0 => {
            let cut = rng.random_range(0..whole.len());
            let response = client.half_closed(&whole[..cut]).await.ok();
            counts.note("half closed, cut off", response.as_ref(), &[400, 408, 0]);
        }
        1 => {
            // A client that closes its own direction after a complete request may still be answered.
            let response = client.half_closed(&whole).await.ok();
            counts.note("half closed, whole", response.as_ref(), &[200, 0]);
        }
        2 => {
            let cut = rng.random_range(0..=whole.len());
            // Sending may fail.
            let _ = client.gone(&whole[..cut]).await;
            counts.note("gone", None, &[0]);
        }
        _ => {
            let body = json!({ "task": { "task_id": id, "task_description": "x".repeat(100_000) } });
            let response = client.try_post(PREDICT, &body).await.ok();
            // The response is lost where the rest of the body arrives after the connection was closed.
            counts.note("a huge body", response.as_ref(), &[413, 0]);
        }
    }
}

/// Sends slow requests: pages, and clients that send too slowly.
async fn rare(client: &Client, rng: &mut Pcg64Mcg, counts: &mut Aggregates, slow: &mut JoinSet<Aggregates>) {
    if rng.random_bool(0.25) {
        slow.spawn(too_slow(client.clone(), rng.random_range(0..3)));
        return;
    }
    let path = ["/", "/metrics", "/api/ml/metrics", "/api/ml/models", "/health", "/openapi.json"];
    let path = path[rng.random_range(0..path.len())];
    let response = client.raw(&client.request("GET", path, "text/plain", b"")).await.ok();
    counts.note("pages", response.as_ref(), &[200]);
}

async fn too_slow(client: Client, kind: u32) -> Aggregates {
    let (mut counts, task) = (Aggregates::default(), json!({ "task": { "task_id": "slow" } }));
    match kind {
        0 => {
            let response = client.slowly(PREDICT, &task, 4_000).await.ok();
            counts.note("too slow a body", response.as_ref(), &[408]);
        }
        1 => {
            let response = client.slowly(PREDICT, &task, 200).await.ok();
            counts.note("a slow body", response.as_ref(), &[200]);
        }
        _ => {
            let response = client.raw(b"GET /health HTTP/1.1\r\nhost: x\r\n").await.ok();
            counts.note("headers without an end", response.as_ref(), &[408, 400, 0]);
        }
    }
    counts
}
