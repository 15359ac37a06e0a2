//! Where the time comes from: the system's clock, or one that a test moves by hand.

use chrono::{DateTime, Duration, TimeDelta, Utc};
use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

/// A source of the present moment.
pub trait Clock: Send + Sync + Debug {
    /// The present moment, in UTC.
    fn now(&self) -> DateTime<Utc>;

    /// Returns the time that has passed since any fixed moment, by a clock that nobody sets; `None` where there is none.
    ///
    /// A collector tells by it that [`now`](Self::now) was set, or jumped, while the process ran.
    fn elapsed(&self) -> Option<TimeDelta> {
        None
    }
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn elapsed(&self) -> Option<TimeDelta> {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        TimeDelta::from_std(BEGUN.elapsed()).ok()
    }
}

/// A clock that stands still until it is moved; clones share one hand.
///
/// ```
/// use devmatrix_ml::clock::{Clock, ManualClock};
/// use chrono::Duration;
/// let clock = ManualClock::at("2025-03-01T00:00:00Z".parse()?);
/// clock.advance(Duration::hours(2));
/// assert_eq!(clock.now().to_rfc3339(), "2025-03-01T02:00:00+00:00");
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<DateTime<Utc>>>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Sets the hand, backwards too.
    pub fn set(&self, now: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Moves the hand by `step`; a step past the end of the calendar leaves it.
    pub fn advance(&self, step: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.checked_add_signed(step).unwrap_or(*now);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
