//! A proxy to a server that can cut, close or stop connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Mode of the proxy.
#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    /// Forwards bytes.
    Pass = 0,
    /// Closes every connection.
    Refuse = 1,
    /// Keeps connections open and forwards nothing.
    Stall = 2,
}

/// A proxy to one server.
pub struct Proxy {
    /// Port that it listens on.
    pub port: u16,
    state: Arc<State>,
}

struct State {
    mode: AtomicU8,
    /// Bytes that may still be sent in each direction before everything is cut, once.
    budgets: [AtomicI64; 2],
    open: Mutex<Vec<TcpStream>>,
    /// First bytes sent in either direction.
    carried: Mutex<Vec<u8>>,
    refuse_tls: AtomicBool,
}

impl Proxy {
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, budgets) = (AtomicU8::new(0), [0; 2].map(|_| AtomicI64::new(i64::MAX)));
        let (open, carried, refuse_tls) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let state = Arc::new(State { mode, budgets, open, carried, refuse_tls });
        let own = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if own.mode() == Mode::Refuse as u8 {
                    continue;
                }
                let Ok(server) = TcpStream::connect(server) else { continue };
                // Or every round trip waits for the other side's delayed acknowledgement.
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let pair = || (client.try_clone().unwrap(), server.try_clone().unwrap());
                own.open.lock().unwrap().extend([pair().0, pair().1]);
                let (there, back) = (own.clone(), own.clone());
                let ((from, to), (to_client, from_server)) = (pair(), pair());
                thread::spawn(move || there.carry(from, to, 0));
                thread::spawn(move || back.carry(from_server, to_client, 1));
            }
        });
        Self { port, state }
    }

    pub fn set(&self, mode: Mode) {
        self.state.mode.store(mode as u8, Ordering::SeqCst);
        if mode == Mode::Refuse {
            self.state.cut();
        }
    }

    /// Cuts every connection once so many bytes more have been sent to the server.
    pub fn cut_after(&self, bytes: i64) {
        self.state.budgets[0].store(bytes, Ordering::SeqCst);
    }

    /// Cuts every connection once so many bytes more have come back from the server.
    pub fn cut_after_answers(&self, bytes: i64) {
        self.state.budgets[1].store(bytes, Ordering::SeqCst);
    }

    /// Returns the first bytes sent in either direction.
    pub fn carried(&self) -> Vec<u8> {
        self.state.carried.lock().unwrap().clone()
    }

    /// Declines PostgreSQL's TLS request in place of the server.
    pub fn refuse_tls(&self) {
        self.state.refuse_tls.store(true, Ordering::SeqCst);
    }

    /// Restores normal forwarding.
    pub fn mend(&self) {
        self.state.budgets.iter().for_each(|budget| budget.store(i64::MAX, Ordering::SeqCst));
    }
}

impl State {
    fn mode(&self) -> u8 {
        self.mode.load(Ordering::SeqCst)
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn keep(&self, bytes: &[u8]) {
        let mut carried = self.carried.lock().unwrap();
        if carried.len() < 1 << 20 {
            carried.extend(bytes);
        }
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, direction: usize) {
        let (mut bytes, budget) = ([0; 4096], &self.budgets[direction]);
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            while self.mode() == Mode::Stall as u8 {
                thread::sleep(Duration::from_millis(5));
            }
            let asks_for_tls = direction == 0 && bytes[..count] == [0, 0, 0, 8, 4, 210, 22, 47];
            if asks_for_tls && self.refuse_tls.load(Ordering::SeqCst) {
                if from.write_all(b"N").is_err() {
                    break;
                }
                continue;
            }
            self.keep(&bytes[..count]);
            let left = budget.fetch_sub(count as i64, Ordering::SeqCst);
            let passed = count.min(usize::try_from(left).unwrap_or(0));
            if to.write_all(&bytes[..passed]).is_err() {
                break;
            }
            if passed < count {
                budget.store(i64::MAX, Ordering::SeqCst);
                self.cut();
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}
