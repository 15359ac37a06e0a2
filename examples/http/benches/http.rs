//! Latency of predictions at a steady thousand requests a second, the client on the same machine: `SECONDS=20 RATE=1000 cargo bench --bench http` in this folder.
//!
//! The load is open-loop: requests are due at fixed times, whether or not earlier ones were answered, and each
//! is timed from when it was due. So a pause of the service counts for every request due in it.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

use chrono::Utc;
use devmatrix_ml::clock::SystemClock;
use devmatrix_ml::execution::ExecutionContext;
use devmatrix_ml::features::FeatureOptions;
use devmatrix_ml::registry::DiskRegistry;
use devmatrix_ml::store::SqliteStore;
use devmatrix_ml_http::service::{Host, Limits, Server, Token};
use devmatrix_ml_http::simulated;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Open connections, used in turn.
const CONNECTIONS: usize = 32;

fn main() {
    let number = |name: &str, usual: f64| std::env::var(name).map_or(usual, |n| n.parse().unwrap());
    let (seconds, rate) = (number("SECONDS", 10.0), number("RATE", 1_000.0));
    let server = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (address, stop, ended) = server.block_on(serve(folder.path()));
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    client.block_on(load(address, 2.0, rate, false)); // to warm up
    for (name, reasons) in [("intervals", false), ("intervals and explanations", true)] {
        let took = client.block_on(load(address, seconds, rate, reasons));
        report(&format!("predict with {name}, {rate} a second for {seconds} s"), &took);
    }
    stop.send(()).unwrap();
    server.block_on(ended).unwrap().unwrap();
}

type Ended = tokio::task::JoinHandle<devmatrix_ml::Result<()>>;

/// Starts the service on six simulated weeks on disk, all models trained.
async fn serve(folder: &std::path::Path) -> (SocketAddr, oneshot::Sender<()>, Ended) {
    let store = Arc::new(SqliteStore::open(folder.join("events.db")).unwrap());
    let registry = Arc::new(DiskRegistry::open(folder.join("models")).unwrap());
    let filled =
        simulated::fill(store.clone(), registry.as_ref(), Utc::now(), 42, 30.0, ExecutionContext::new());
    Box::pin(filled).await.unwrap();
    let host = Host::open(store, registry, Arc::new(SystemClock), FeatureOptions::default()).await.unwrap();
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(host, local, Token::new(Some("secret")), Limits::default()).unwrap();
    let address = server.address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(server.run(async move { drop(stopped.await) }));
    (address, stop, ended)
}

async fn load(address: SocketAddr, seconds: f64, rate: f64, reasons: bool) -> Vec<Duration> {
    let (requests, timer) = ((seconds * rate) as usize, Instant::now() + Duration::from_millis(50));
    let connections = (0..CONNECTIONS).map(|first| {
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut took = Vec::new();
            for i in (first..requests).step_by(CONNECTIONS) {
                let due = timer + Duration::from_secs_f64(i as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                stream.write_all(&request(i, reasons)).await.unwrap();
                answered(&mut stream).await;
                took.push(due.elapsed());
            }
            took
        })
    });
    let connections: Vec<_> = connections.collect();
    let mut all = Vec::with_capacity(requests);
    for connection in connections {
        all.extend(connection.await.unwrap());
    }
    all.sort_unstable();
    all
}

fn request(i: usize, reasons: bool) -> Vec<u8> {
    let kinds = ["backend", "frontend", "database", "testing"];
    let body = format!(
        r#"{{"task":{{"task_id":"T{i}","task_type":"{}","agent_type":"agent_{}","language":"python","project_id":"project_{}","task_description":"Add an endpoint that lists the orders of customer {i} with filters, paging and tests"}},"reasons":{reasons}}}"#,
        kinds[i % 4],
        i % 5,
        i % 7
    );
    let head = format!(
        "POST /api/ml/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// Reads one response, which must be 200, and leaves the connection open.
async fn answered(stream: &mut TcpStream) {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "the connection was closed");
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length =
            head.to_lowercase().split_once("content-length: ").unwrap().1.lines().next().unwrap().to_owned();
        if bytes.len() >= head.len() + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
}

fn report(name: &str, took: &[Duration]) {
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{name}: {} answered, p50 {:.2?}, p90 {:.2?}, p99 {:.2?}, p99.9 {:.2?}, at most {:.2?}",
        took.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}
