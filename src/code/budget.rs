//! How long an analysis may take.

use std::time::{Duration, Instant};

/// A moment by which an analysis must have ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    until: Option<Instant>,
}

impl Budget {
    /// A budget that begins now; one too long for the clock has no end.
    pub(super) fn of(time: Duration) -> Self {
        Self { until: Instant::now().checked_add(time) }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}
