//! Budget pacing: spending of the day and the price of a dollar for the rest of it.

use super::policies::Arm;
use super::state::sound;
use crate::error::Result;
use crate::stats::calendar::{day_of, turns};
use crate::verify::Verify;
use chrono::{DateTime, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// Spending by day (UTC). Generations in flight count when they end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Budget {
    /// Days since 1970.
    day: i64,
    spent: f64,
    /// Dual price of the budget: a dollar counts for 1 + this, so that the budget lasts the day.
    tightness: f64,
}

/// Step of the dual price with each choice where spending is twice the pace: larger steps overshoot, smaller ones let the
/// budget run out by noon (`a_budget_is_kept_by_the_day`).
const STEP: f64 = 0.05;
/// The dual price at most.
const TIGHTEST: f64 = 50.0;
/// Days that a calendar reaches.
const DAYS: std::ops::RangeInclusive<i64> = -100_000_000..=100_000_000;
/// The range of costs and seconds in events.
pub(super) const POSSIBLE: std::ops::RangeInclusive<f64> = 0.0..=1e9;

impl Budget {
    pub(super) fn spend(&mut self, cost_usd: f64, now: DateTime<Utc>) {
        self.turn_to(now);
        self.spent += if POSSIBLE.contains(&cost_usd) { cost_usd } else { 0.0 };
    }

    /// US dollars spent on the day of `now`.
    pub(super) fn spent(&self, now: DateTime<Utc>) -> f64 {
        if day_of(now) == self.day { self.spent } else { 0.0 }
    }

    /// Updates the dual price by the pace of spending.
    pub(super) fn pace(&mut self, usd_per_day: Option<f64>, now: DateTime<Utc>) {
        let Some(limit) = usd_per_day else { return };
        self.turn_to(now);
        let passed = (f64::from(now.num_seconds_from_midnight()) / 86_400.0).max(0.02);
        let pressure = self.spent / (limit * passed).max(f64::MIN_POSITIVE);
        self.tightness = (self.tightness + STEP * (pressure.min(3.0) - 1.0)).clamp(0.0, TIGHTEST);
    }

    /// Returns an arm with its cost at the dual price.
    pub(super) fn priced(&self, arm: &Arm) -> Arm {
        Arm { cost_usd: arm.cost_usd * (1.0 + self.tightness), ..arm.clone() }
    }

    fn turn_to(&mut self, now: DateTime<Utc>) {
        if turns(self.day, day_of(now)) {
            (self.day, self.spent) = (day_of(now), 0.0);
        }
    }
}

impl Verify for Budget {
    fn verify(&self) -> Result<()> {
        sound("the day of the budget", DAYS.contains(&self.day))?;
        sound("what was spent", (0.0..=f64::MAX).contains(&self.spent))?;
        sound("the price of a dollar", (0.0..=TIGHTEST).contains(&self.tightness))
    }
}
