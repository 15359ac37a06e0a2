//! What was spent today, and how dear a dollar is for the rest of it.

use super::policies::Arm;
use crate::stats::calendar::{day_of, turns};
use chrono::{DateTime, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// Spending by day (UTC). Generations under way count when they end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Budget {
    /// Days since 1970.
    day: i64,
    spent: f64,
    /// What a dollar counts for above its own worth, so that the budget lasts until the evening.
    tightness: f64,
}

/// How much a choice turns the screw where spending is twice what the hour allows.
const STEP: f64 = 0.05;
/// A dollar counts for so many at most.
const TIGHTEST: f64 = 50.0;
/// What a generation can cost or take, as events have it.
pub(super) const POSSIBLE: std::ops::RangeInclusive<f64> = 0.0..=1e9;

impl Budget {
    pub(super) fn spend(&mut self, cost_usd: Option<f64>, now: DateTime<Utc>) {
        self.turn_to(now);
        self.spent += cost_usd.filter(|cost| POSSIBLE.contains(cost)).unwrap_or(0.0);
    }

    /// US dollars spent on the day of `now`.
    pub(super) fn spent(&self, now: DateTime<Utc>) -> f64 {
        if day_of(now) == self.day { self.spent } else { 0.0 }
    }

    /// Looks at the hour: is a dollar to count for more?
    pub(super) fn pace(&mut self, usd_per_day: Option<f64>, now: DateTime<Utc>) {
        let Some(limit) = usd_per_day else { return };
        self.turn_to(now);
        let passed = (f64::from(now.num_seconds_from_midnight()) / 86_400.0).max(0.02);
        let pressure = self.spent / (limit * passed).max(f64::MIN_POSITIVE);
        self.tightness = (self.tightness + STEP * (pressure.min(3.0) - 1.0)).clamp(0.0, TIGHTEST);
    }

    /// An arm as the policy sees it: with what its dollars count for now.
    pub(super) fn priced(&self, arm: &Arm) -> Arm {
        Arm { cost_usd: arm.cost_usd * (1.0 + self.tightness), ..arm.clone() }
    }

    fn turn_to(&mut self, now: DateTime<Utc>) {
        if turns(self.day, day_of(now)) {
            (self.day, self.spent) = (day_of(now), 0.0);
        }
    }
}
