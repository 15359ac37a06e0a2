//! A client that sends well-formed or malformed requests, with a timeout.

use serde_json::Value;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Timeout of every request.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<&'static str>,
}

/// A response.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Headers in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let broken = || Error::new(ErrorKind::UnexpectedEof, "the connection ended without an answer");
        let text = String::from_utf8_lossy(bytes);
        let (head, rest) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
        let head = head.to_lowercase();
        let body =
            if head.contains("transfer-encoding: chunked") { unchunked(rest) } else { rest.to_owned() };
        Ok(Self { status, head, body })
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, token: Option<&'static str>) -> Self {
        Self { address, token }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.try_post(path, body).await.unwrap()
    }

    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Result<Response> {
        self.raw(&self.request("POST", path, "application/json", body.to_string().as_bytes())).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.raw(&self.request(method, path, "application/json", body.as_bytes())).await.unwrap()
    }

    /// Returns the bytes of a request.
    pub(crate) fn request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
        let token = self.token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: here\r\n{token}content-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    /// Sends bytes and reads until the other side closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Result<Response> {
        self.in_pieces(&[bytes], Duration::ZERO, false).await
    }

    /// Sends a request whose body comes in halves, with a pause of so many milliseconds.
    pub(crate) async fn slowly(&self, path: &str, body: &Value, pause: u64) -> Result<Response> {
        let request = self.request("POST", path, "application/json", body.to_string().as_bytes());
        let (first, second) = request.split_at(request.len() - 5);
        self.in_pieces(&[first, second], Duration::from_millis(pause), false).await
    }

    /// Sends bytes and closes its own direction, or all, before it reads.
    pub(crate) async fn half_closed(&self, bytes: &[u8]) -> Result<Response> {
        self.in_pieces(&[bytes], Duration::ZERO, true).await
    }

    /// Sends bytes and disconnects.
    pub(crate) async fn gone(&self, bytes: &[u8]) -> Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(bytes).await
    }

    async fn in_pieces(&self, pieces: &[&[u8]], pause: Duration, close: bool) -> Result<Response> {
        let talk = async {
            let mut stream = TcpStream::connect(self.address).await?;
            let (mut reader, mut writer) = stream.split();
            let write = async {
                for (i, piece) in pieces.iter().enumerate() {
                    if i > 0 {
                        tokio::time::sleep(pause).await;
                    }
                    // A client that is rejected early cannot send the rest.
                    if writer.write_all(piece).await.is_err() {
                        return;
                    }
                }
                if close {
                    let _ = writer.shutdown().await;
                }
            };
            let read = async {
                let mut bytes = Vec::new();
                // A reset after the response does not invalidate it.
                let _ = reader.read_to_end(&mut bytes).await;
                bytes
            };
            let ((), bytes) = tokio::join!(write, read);
            Response::read(&bytes)
        };
        timeout(PATIENCE, talk).await.unwrap_or_else(|_| panic!("no response within {PATIENCE:?}"))
    }
}

fn unchunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size @ 1..) = usize::from_str_radix(size, 16) else { break };
        whole.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    whole
}
