//! Connections with timeouts and graceful shutdown.

use super::connections::{Connections, Place, Watched};
use super::host::Host;
use super::problem::Problem;
use super::{Token, router};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time;

/// Limits per client.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// Timeout of a request, reading its body included; a client that takes longer to send its headers is
    /// disconnected.
    pub request: Duration,
    /// Largest number of concurrent connections. Of more, one that does not read its answer leaves, or an idle one; while
    /// all are at work more wait.
    pub connections: usize,
    /// Largest number of concurrent connections of one address.
    pub per_peer: usize,
    /// A client that has not taken a byte of its answer for so long is disconnected, and one that has not taken all of
    /// it for ten times as long.
    pub answer: Duration,
    /// Bytes of an answer that the system queues for a client that does not read.
    pub queued_bytes: u32,
    /// Time that requests in flight may take when the service stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            request: Duration::from_secs(10),
            connections: 1_000,
            per_peer: 250,
            answer: Duration::from_secs(5),
            queued_bytes: 64 << 10,
            drain: Duration::from_secs(15),
        }
    }
}

/// Clients that the system lets wait until they are accepted.
const WAITING: u32 = 1_024;

/// A service bound to its address.
#[derive(Debug)]
pub struct Server {
    host: Arc<Host>,
    listener: TcpListener,
    routes: axum::Router,
    limits: Limits,
}

impl Server {
    /// Binds an address; port 0 takes a free one. To be called within the runtime.
    ///
    /// # Errors
    /// Errors of the system where the address cannot be bound.
    pub fn bind(host: Arc<Host>, at: SocketAddr, token: Token, limits: Limits) -> std::io::Result<Self> {
        let listener = listen(at, limits.queued_bytes)?;
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
        let open = GracefulShutdown::new();
        let connections = Connections::new(limits.connections, limits.per_peer);
        let mut tick = time::interval(Duration::from_mins(1));
        tokio::pin!(stop);
        // It goes on while the host is tidied: a client that waits for a place is not forgotten.
        let mut accepting = Box::pin(accept(&listener, &connections));
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = tick.tick() => host.tidy().await,
                accepted = &mut accepting => {
                    match accepted {
                        Ok(Some((stream, place))) => serve(stream, place, &routes, limits, &open),
                        Ok(None) => {}
                        // Out of file handles: wait until some are closed.
                        Err(_) => time::sleep(Duration::from_millis(50)).await,
                    }
                    accepting = Box::pin(accept(&listener, &connections));
                }
            }
        }
        drop(accepting);
        drop(listener);
        host.stop();
        if time::timeout(limits.drain, open.shutdown()).await.is_err() {
            eprintln!("some clients were disconnected after {:?}", limits.drain);
        }
        host.close().await
    }
}

/// Binds an address; its connections inherit the bound of what the system queues.
fn listen(at: SocketAddr, queued_bytes: u32) -> std::io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart need not wait until the system has forgotten the old connections.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(queued_bytes)?;
    socket.bind(at)?;
    socket.listen(WAITING)
}

/// Accepts a client and gives it a place; `None` where none became free, and the client is disconnected.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Connections>,
) -> std::io::Result<Option<(TcpStream, Place)>> {
    let (stream, peer) = listener.accept().await?;
    let asked = time::Instant::now();
    loop {
        match connections.admit(peer.ip()) {
            Some(place) => return Ok(Some((stream, place))),
            None if asked.elapsed() > MOST_WAIT => return Ok(None),
            None => time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// How long a client waits for a place while all connections are at work; others wait behind it.
const MOST_WAIT: Duration = Duration::from_secs(5);

fn serve(stream: TcpStream, place: Place, routes: &axum::Router, limits: Limits, open: &GracefulShutdown) {
    // Small responses are sent at once; where that cannot be set they are sent a little later.
    let _ = stream.set_nodelay(true);
    let routes = TowerToHyperService::new(routes.clone());
    let state = place.connection.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (begun, answer) = (state.clone().begin(), routes.call(request));
        async move {
            let _begun = begun.await;
            answer.await
        }
    });
    let socket = Watched { socket: stream, connection: place.connection.clone() };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_buf_size(MOST_BUFFERED)
        .serve_connection(TokioIo::new(socket), service);
    let connection = open.watch(connection);
    tokio::spawn(async move {
        tokio::select! {
            // A client may disconnect at any time.
            _ = connection => {}
            () = place.connection.ended(limits.answer, limits.answer * 10) => {}
        }
        drop(place);
    });
}

/// Bytes of requests and answers that are buffered for a connection; headers must fit.
const MOST_BUFFERED: usize = 64 << 10;

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
