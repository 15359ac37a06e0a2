//! Connections with timeouts and graceful shutdown.

use super::host::Host;
use super::problem::Problem;
use super::{Token, router};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time;

/// Limits per client.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// Timeout of a request, reading its body included; a client that takes longer to send its headers is
    /// disconnected.
    pub request: Duration,
    /// Largest number of concurrent connections; more wait.
    pub connections: usize,
    /// Time that requests in flight may take when the service stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let request = Duration::from_secs(10);
        Self { body_bytes: 1 << 20, request, connections: 1_000, drain: Duration::from_secs(15) }
    }
}

/// A service bound to its address.
#[derive(Debug)]
pub struct Server {
    host: Arc<Host>,
    listener: TcpListener,
    routes: axum::Router,
    limits: Limits,
}

impl Server {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// Errors of the system where the address cannot be bound.
    pub async fn bind(
        host: Arc<Host>,
        at: SocketAddr,
        token: Token,
        limits: Limits,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let routes = router(host.clone(), token, limits);
        Ok(Self { host, listener, routes, limits })
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    /// Those of the system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`; then takes no more connections, answers requests in flight, and stores checkpoints.
    ///
    /// # Errors
    /// Those of writing the store at the end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> devmatrix_ml::Result<()> {
        let Self { host, listener, routes, limits } = self;
        let (open, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(limits.connections)));
        let mut tick = time::interval(Duration::from_mins(1));
        tokio::pin!(stop);
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await;
                (place, listener.accept().await)
            };
            tokio::select! {
                () = &mut stop => break,
                _ = tick.tick() => host.tidy().await,
                (place, stream) = accepted => match stream {
                    Ok((stream, _)) => {
                        let connection = open.watch(connection(stream, &routes, limits));
                        tokio::spawn(async move {
                            // A client may disconnect at any time.
                            let _ = connection.await;
                            drop(place);
                        });
                    }
                    // Out of file handles: wait until some are closed.
                    Err(_) => time::sleep(Duration::from_millis(50)).await,
                },
            }
        }
        drop(listener);
        host.stop();
        if time::timeout(limits.drain, open.shutdown()).await.is_err() {
            eprintln!("some clients were disconnected after {:?}", limits.drain);
        }
        host.close().await
    }
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<axum::Router>>;

fn connection(stream: TcpStream, routes: &axum::Router, limits: Limits) -> Connection {
    // Small responses are sent at once; where that cannot be set they are sent a little later.
    let _ = stream.set_nodelay(true);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes.clone()))
}

/// Answers 408 where a request exceeds its timeout, a client that sends its body slowly included.
pub(crate) async fn in_time(
    axum::Extension(limits): axum::Extension<Limits>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    match time::timeout(limits.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::new(408, "the request timed out", path, "send the body faster, or retry").into_response()
        }
    }
}
