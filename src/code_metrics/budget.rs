//! How long an analysis may take.

use std::time::{Duration, Instant};

/// Moments by which the parts of an analysis must have ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    parsing_until: Option<Instant>,
    walking_until: Option<Instant>,
}

/// Share of the time for parsing: to let go of a half-built tree takes up to as long again.
const PARSING: f64 = 0.6;

/// Share of the time by which the walk must have ended, for the same reason.
const WALKING: f64 = 0.85;

impl Budget {
    /// A budget that begins now; one too long for the clock has no end.
    pub(super) fn of(time: Duration) -> Self {
        let now = Instant::now();
        let until =
            |share: f64| now.checked_add(Duration::try_from_secs_f64(time.as_secs_f64() * share).ok()?);
        Self { parsing_until: until(PARSING), walking_until: until(WALKING) }
    }

    pub(super) fn ends_parsing(&self) -> bool {
        self.parsing_until.is_some_and(|until| Instant::now() >= until)
    }

    pub(super) fn ends_walking(&self) -> bool {
        self.walking_until.is_some_and(|until| Instant::now() >= until)
    }
}
