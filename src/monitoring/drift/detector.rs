//! The interface of drift detectors on outcomes.

use super::finding::Finding;
use crate::monitoring::dimension::Names;
use crate::monitoring::options::MonitorOptions;
use crate::monitoring::recent::{Evaluated, Recent};
use chrono::{DateTime, Utc};

/// A sequential drift detector on outcomes.
///
/// A further one is a file with its state and its implementation, and a field of [`Drift`](super::Drift) that
/// `Drift::detectors` returns under its name. It learns what is usual from past outcomes, so that it needs no option.
pub(super) trait DriftDetector {
    /// Takes in the newest outcome and returns findings, once the evidence exceeds the threshold.
    fn update(&mut self, outcome: &Evaluated, context: &Context<'_>) -> Vec<Finding>;
}

/// What detectors may read beside their own state.
#[derive(Debug, Clone, Copy)]
pub(in crate::monitoring) struct Context<'a> {
    /// The newest outcomes; the last one is the one taken in.
    pub(in crate::monitoring) recent: &'a Recent,
    pub(in crate::monitoring) names: &'a Names,
    pub(in crate::monitoring) options: &'a MonitorOptions,
}

/// When a change began and when it was found.
pub(super) struct Times {
    pub(super) since: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
}

impl Times {
    /// Returns the times of two outcomes by their numbers.
    pub(super) fn between(recent: &Recent, began: u64, found: u64) -> Self {
        let time_of = |number| {
            let row = recent.since(number).next();
            row.and_then(|row| DateTime::from_timestamp_micros(row.known_at)).unwrap_or_default()
        };
        Self { since: time_of(began), now: time_of(found) }
    }
}
