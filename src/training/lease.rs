//! The lease on a training: one host holds it, and renews it while it trains.

use super::schedule::lease_name;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::execution::block_on;
use crate::store::EventStore;
use chrono::TimeDelta;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// A lease in the store, which ends by itself where nobody renews it.
#[derive(Debug, Clone)]
pub(super) struct Lease<'a> {
    store: &'a dyn EventStore,
    clock: &'a dyn Clock,
    name: String,
    holder: String,
    minutes: u32,
    /// When it was last taken or renewed, in microseconds; of all clones.
    renewed: Arc<AtomicI64>,
}

/// The longest pause between two renewals.
const RENEWAL: Duration = Duration::from_mins(1);

impl<'a> Lease<'a> {
    /// Creates a lease that nobody holds yet.
    pub(super) fn new(store: &'a dyn EventStore, clock: &'a dyn Clock, model: &str, minutes: u32) -> Self {
        let (name, holder, renewed) = (lease_name(model), unique_holder(clock), Arc::default());
        Self { store, clock, name, holder, minutes, renewed }
    }

    /// Takes or renews the lease; `false` where another holds it.
    pub(super) async fn take(&self) -> Result<bool> {
        let now = self.clock.now();
        let until = now.checked_add_signed(TimeDelta::minutes(i64::from(self.minutes))).unwrap_or(now);
        let taken = self.store.lease(&self.name, &self.holder, now, until).await?;
        if taken {
            self.renewed.store(now.timestamp_micros(), Ordering::Relaxed);
        }
        Ok(taken)
    }

    /// Renews the lease before a step that must not happen twice.
    ///
    /// # Errors
    /// `Conflict` where another host has taken it meanwhile.
    pub(super) async fn renew(&self) -> Result<()> {
        if self.take().await? {
            return Ok(());
        }
        let text = "the lease on this training ran out and another host trains now: nothing was registered \
                    by this run; raise `lease_minutes` if this host was not suspended";
        Err(Error::new(ErrorKind::Conflict, text))
    }

    /// Renews the lease where it was not renewed for a while, between two parts of a computation that waits.
    ///
    /// # Errors
    /// Those of [`renew`](Self::renew).
    pub(super) async fn renew_in_time(&self) -> Result<()> {
        let renewed = self.renewed.load(Ordering::Relaxed);
        let age = self.clock.now().timestamp_micros().saturating_sub(renewed);
        if u128::try_from(age).is_ok_and(|age| age < self.pause().as_micros()) {
            Ok(())
        } else {
            self.renew().await
        }
    }

    /// Gives the lease back: anybody may take it at once.
    pub(super) async fn give_back(&self) -> Result<()> {
        let now = self.clock.now();
        self.store.lease(&self.name, &self.holder, now, now).await.map(drop)
    }

    /// Runs a computation that blocks this thread while another renews the lease.
    pub(super) fn during<T>(&self, computation: impl FnOnce() -> T) -> T {
        self.during_with(self.pause(), computation)
    }

    /// Returns the pause between two renewals.
    fn pause(&self) -> Duration {
        RENEWAL.min(Duration::from_secs(u64::from(self.minutes) * 20))
    }

    fn during_with<T>(&self, pause: Duration, computation: impl FnOnce() -> T) -> T {
        let (done, ended) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let renewing = move || {
                while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    if let Err(error) = block_on(self.renew()) {
                        tracing::warn!(lease = self.name, %error, "the lease on a training was not renewed");
                    }
                }
            };
            let name = "devmatrix-lease".to_owned();
            let renewer = thread::Builder::new().name(name).spawn_scoped(scope, renewing);
            let result = computation();
            drop(done);
            // A store that cannot be called from a plain thread leaves renewal to the steps in between.
            if renewer.is_ok_and(|renewer| renewer.join().is_err()) {
                tracing::warn!(lease = self.name, "the store cannot renew a lease from this crate's thread");
            }
            result
        })
    }
}

/// Returns a name that no other claim has: two cycles of one process exclude each other too.
fn unique_holder(clock: &dyn Clock) -> String {
    static CLAIMS: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    let number = CLAIMS.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}-{nanos}-{}", std::process::id(), clock.now().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::store::MemoryStore;

    /// Counts how often it is read: a renewal reads it once.
    #[derive(Debug)]
    struct CountingClock(ManualClock, AtomicU64);

    impl Clock for CountingClock {
        fn now(&self) -> chrono::DateTime<chrono::Utc> {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.now()
        }
    }

    #[test]
    fn a_long_fit_keeps_its_lease() {
        let store = MemoryStore::new();
        let clock = ManualClock::at("2025-05-05T02:00:00Z".parse().unwrap());
        let counting = CountingClock(clock.clone(), AtomicU64::new(0));
        let own = Lease::new(&store, &counting, "success", 10);
        let other = Lease::new(&store, &clock, "success", 10);
        assert!(block_on(own.take()).unwrap());
        own.during_with(Duration::from_millis(1), || {
            // Without renewals the other host gets it at the second advance.
            for _ in 0..5 {
                clock.advance(TimeDelta::minutes(6));
                let seen = counting.1.load(Ordering::SeqCst);
                while counting.1.load(Ordering::SeqCst) < seen + 2 {
                    thread::yield_now();
                }
                assert!(!block_on(other.take()).unwrap());
            }
        });
        clock.advance(TimeDelta::minutes(10));
        assert!(block_on(other.take()).unwrap(), "a holder that is gone loses its lease");
        assert_eq!(block_on(own.renew()).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn a_panic_of_the_computation_ends_the_renewal() {
        let (store, clock) = (MemoryStore::new(), ManualClock::at(chrono::DateTime::UNIX_EPOCH));
        let lease = Lease::new(&store, &clock, "success", 10);
        let panics = std::panic::AssertUnwindSafe(|| lease.during(|| panic!("in the fit")));
        assert!(std::panic::catch_unwind(panics).is_err());
    }
}
