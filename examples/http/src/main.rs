//! The program: reads the command line, listens, and stops in order.
//!
//! ```sh
//! cargo run --release -- --simulate                 # http://127.0.0.1:8080/, at once
//! DEVMATRIX_ML_TOKEN=... cargo run --release -- --folder DATA --address 0.0.0.0:8080
//! ```

use anyhow::{Context, bail};
use clap::Parser;
use devmatrix_ml::clock::SystemClock;
use devmatrix_ml::config;
use devmatrix_ml::features::{FeatureOptions, HostColumns};
use devmatrix_ml::registry::DiskRegistry;
use devmatrix_ml::store::SqliteStore;
use devmatrix_ml_http::service::{Host, Limits, Server, Token};
use devmatrix_ml_http::simulated;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[path = "../../common/out.rs"]
#[macro_use]
mod out;

/// Serves the library over HTTP.
#[derive(Parser)]
struct Args {
    /// Address to listen on; other than loopback only with a token in `DEVMATRIX_ML_TOKEN`
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// Folder of events.db and the models
    #[arg(long, default_value = "devmatrix-ml-data")]
    folder: PathBuf,
    /// Columns of your own: a JSON file such as `[{"name": "test_coverage", "kind": "number", "unit": "%"}]`
    #[arg(long)]
    columns: Option<PathBuf>,
    /// Learn from six simulated weeks in a temporary folder, while the service already answers
    #[arg(long)]
    simulate: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn columns(path: &Path) -> anyhow::Result<HostColumns> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    config::from_json(&text).with_context(|| format!("{}: no declaration of columns", path.display()))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let token = Token::new(std::env::var("DEVMATRIX_ML_TOKEN").ok().as_deref());
    if !token.is_set() {
        if !args.address.ip().is_loopback() {
            bail!("{} can be reached from other machines: set DEVMATRIX_ML_TOKEN", args.address);
        }
        println!("DEVMATRIX_ML_TOKEN is not set: every process on this machine has access");
    }
    let temporary = std::env::temp_dir().join(format!("devmatrix-ml-http-{}", std::process::id()));
    let folder = if args.simulate { &temporary } else { &args.folder };
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    let store = Arc::new(SqliteStore::open(folder.join("events.db"))?);
    let registry = Arc::new(DiskRegistry::open(folder.join("models"))?);
    let columns = args.columns.as_deref().map(columns).transpose()?.unwrap_or_default();
    let features = FeatureOptions::default().with_columns(columns);
    let host = Host::open(store, registry, Arc::new(SystemClock), features).await?;
    let server = Server::bind(host.clone(), args.address, token, Limits::default())
        .with_context(|| format!("{}: cannot be listened on", args.address))?;
    println!("dashboard: http://{}/ (API: /openapi.json)", server.address()?);
    if args.simulate {
        println!("learning from six simulated weeks: until then every prediction is a cold start");
        simulated::learn_beside(&host, 42, 30.0);
    }
    server.run(stopped()).await?;
    println!("stopped: everything is stored");
    if args.simulate {
        std::fs::remove_dir_all(&temporary)?;
    }
    Ok(())
}

/// Returns when the process is asked to stop.
async fn stopped() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! { _ = interrupted => {}, _ = terminated.recv() => {} }
            return;
        }
    }
    // Without a handler the service runs until it is killed, which loses nothing acknowledged.
    if interrupted.await.is_err() {
        std::future::pending::<()>().await;
    }
}
