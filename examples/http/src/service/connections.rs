//! Which connections are open, and who must leave when there are too many: a client that does not read its answers
//! costs only itself.

use std::collections::HashMap;
use std::io::{IoSlice, Result};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Requests of one connection in a second that are served at once; more wait for a turn, of which there is one over all
/// connections. A client that waits for its answers hardly notices; one that sends thousands without reading cannot crowd
/// out the others.
const AT_ONCE: u32 = 8;

/// A client that has connected, or was answered, has this long for a request before another may take its place.
const LEAST_IDLE: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(1) };

/// Open connections, by number.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    per_peer: usize,
    open: Mutex<(u64, HashMap<u64, Arc<Connection>>)>,
    turn: Arc<Semaphore>,
}

/// State of one connection, shared by its socket, its requests and whoever may end it.
#[derive(Debug)]
pub(crate) struct Connection {
    peer: IpAddr,
    state: Mutex<State>,
    /// Tells it to leave.
    leave: Notify,
    turn: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    /// Requests that are being answered.
    in_flight: usize,
    /// Since when there is none.
    idle: Instant,
    /// Since when a request waits for the turn of those that are many.
    queued: Option<Instant>,
    /// Since when an answer waits to be read, and since when not a byte of it was taken.
    writing: Option<(Instant, Instant)>,
    /// The second that is counted, and its requests.
    second: (Instant, u32),
}

/// Why a connection may leave, the first reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dispensable {
    /// Its client does not read the answer.
    Unread,
    /// Its client has sent more requests than are served at once.
    Many,
    /// It has no request.
    Idle,
}

/// An open connection; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    number: u64,
    pub(crate) connection: Arc<Connection>,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.connections.open).1.remove(&self.number);
    }
}

impl Connections {
    pub(crate) fn new(most: usize, per_peer: usize) -> Arc<Self> {
        let turn = Arc::new(Semaphore::new(1));
        Arc::new(Self { most: most.max(1), per_peer: per_peer.max(1), open: Mutex::default(), turn })
    }

    /// Gives a connection from `peer` a place. Where there is none, the connection that has not read its answer for the
    /// longest time leaves, or else the one that has been idle for the longest; `None` where all are at work.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut open = lock(&self.open);
        let of_peer = open.1.values().filter(|other| other.peer == peer).count();
        if of_peer >= self.per_peer || open.1.len() >= self.most {
            let anyone = of_peer < self.per_peer;
            let others = open.1.iter().filter(|(_, other)| anyone || other.peer == peer);
            let (_, number) = others.filter_map(|(n, other)| Some((other.dispensable()?, *n))).min()?;
            if let Some(leaving) = open.1.remove(&number) {
                leaving.leave.notify_one();
            }
        }
        open.0 += 1;
        let number = open.0;
        let connection = Arc::new(Connection::new(peer, self.turn.clone()));
        open.1.insert(number, connection.clone());
        Some(Place { connections: self.clone(), number, connection })
    }
}

impl Connection {
    fn new(peer: IpAddr, turn: Arc<Semaphore>) -> Self {
        let now = Instant::now();
        let state = State { in_flight: 0, idle: now, queued: None, writing: None, second: (now, 0) };
        Self { peer, state: Mutex::new(state), leave: Notify::new(), turn }
    }

    /// Returns how readily it can be done without, the least first; `None` while it is at work.
    fn dispensable(&self) -> Option<(Dispensable, Instant)> {
        let state = lock(&self.state);
        let unread = state.writing.map(|(_, moved)| (Dispensable::Unread, moved));
        let many = || state.queued.map(|since| (Dispensable::Many, since));
        let idle = state.in_flight == 0 && state.idle.elapsed() >= LEAST_IDLE;
        let idle = || idle.then_some((Dispensable::Idle, state.idle));
        unread.or_else(many).or_else(idle)
    }

    /// Returns once the connection must end: it makes room for another, or its client has not taken a byte for `stuck`, or
    /// not a whole answer for `whole`.
    pub(crate) async fn ended(&self, stuck: Duration, whole: Duration) {
        let pause = stuck.min(whole).clamp(Duration::from_millis(10), Duration::from_secs(1));
        loop {
            tokio::select! {
                () = self.leave.notified() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let writing = lock(&self.state).writing;
            if writing.is_some_and(|(since, moved)| since.elapsed() > whole || moved.elapsed() > stuck) {
                return;
            }
        }
    }

    /// Notes a request, and waits for its turn where the connection has sent many.
    pub(crate) async fn begin(self: Arc<Self>) -> Begun {
        let many = {
            let mut state = lock(&self.state);
            state.in_flight += 1;
            if state.second.0.elapsed() > Duration::from_secs(1) {
                state.second = (Instant::now(), 0);
            }
            state.second.1 = state.second.1.saturating_add(1);
            state.second.1 > AT_ONCE
        };
        let mut begun = Begun { connection: self, turn: None };
        if many {
            lock(&begun.connection.state).queued = Some(Instant::now());
            // It is never closed.
            begun.turn = begun.connection.turn.clone().acquire_owned().await.ok();
            lock(&begun.connection.state).queued = None;
        }
        begun
    }
}

/// A request in flight.
pub(crate) struct Begun {
    connection: Arc<Connection>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut state = lock(&self.connection.state);
        state.in_flight -= 1;
        state.idle = Instant::now();
        self.turn = None;
    }
}

/// A socket that notes how its answers are taken.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    pub(crate) socket: S,
    pub(crate) connection: Arc<Connection>,
}

impl<S> Watched<S> {
    /// Notes what became of writing some bytes.
    fn note<T>(&self, written: &Poll<Result<T>>) {
        let mut state = lock(&self.connection.state);
        match (written, &mut state.writing) {
            (Poll::Pending, None) => state.writing = Some((Instant::now(), Instant::now())),
            (Poll::Ready(Ok(_)), Some((_, moved))) => *moved = Instant::now(),
            _ => {}
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let own = self.get_mut();
        let written = Pin::new(&mut own.socket).poll_write(cx, bytes);
        own.note(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let own = self.get_mut();
        let written = Pin::new(&mut own.socket).poll_write_vectored(cx, pieces);
        own.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// It is asked for once all bytes of an answer were taken.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let own = self.get_mut();
        lock(&own.connection.state).writing = None;
        Pin::new(&mut own.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    async fn has_left(place: &Place) -> bool {
        let far = Duration::from_mins(1);
        tokio::time::timeout(Duration::from_millis(5), place.connection.ended(far, far)).await.is_ok()
    }

    #[tokio::test]
    async fn who_does_not_read_leaves_first_then_who_is_idle_and_nobody_at_work() {
        let connections = Connections::new(3, 3);
        let places: Vec<_> = (1..4).map(|last| connections.admit(at(last)).unwrap()).collect();
        let _at_work = places[0].connection.clone().begin().await;
        let socket = Watched { socket: (), connection: places[2].connection.clone() };
        let _answering = places[2].connection.clone().begin().await;
        socket.note::<usize>(&Poll::Pending);
        let fourth = connections.admit(at(4)).unwrap();
        assert!(has_left(&places[2]).await && !has_left(&places[1]).await);
        let _fourth_at_work = fourth.connection.clone().begin().await;
        let fifth = connections.admit(at(5)).unwrap();
        assert!(has_left(&places[1]).await && !has_left(&places[0]).await);
        let _fifth_at_work = fifth.connection.clone().begin().await;
        assert!(connections.admit(at(6)).is_none());
        drop(fifth);
        assert!(connections.admit(at(6)).is_some());
    }

    #[tokio::test]
    async fn a_peer_with_all_its_connections_costs_only_itself() {
        let connections = Connections::new(10, 2);
        let (first, second) = (connections.admit(at(1)).unwrap(), connections.admit(at(1)).unwrap());
        let other = connections.admit(at(2)).unwrap();
        let third = connections.admit(at(1)).unwrap();
        assert!(has_left(&first).await && !has_left(&second).await && !has_left(&other).await);
        let _working = (second.connection.clone().begin().await, third.connection.clone().begin().await);
        assert!(connections.admit(at(1)).is_none());
        assert!(connections.admit(at(3)).is_some());
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_ends_the_connection() {
        let connections = Connections::new(2, 2);
        let place = connections.admit(at(1)).unwrap();
        let socket = Watched { socket: (), connection: place.connection.clone() };
        socket.note::<usize>(&Poll::Pending);
        place.connection.ended(Duration::from_millis(20), Duration::from_mins(1)).await;
        // A byte now and then is no answer taken.
        let trickle = async {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                socket.note(&Poll::Ready(Ok(1)));
            }
        };
        tokio::select! {
            () = trickle => {}
            () = place.connection.ended(Duration::from_secs(5), Duration::from_millis(100)) => {}
        }
    }
}
