//! Who answers when: approvals and rejections take different times, so the outcomes known so far
//! are a biased sample. How long a generation has been open tells how it will end.

use super::aggregates::{WINDOW_DAYS, at_key};
use super::memo::Memo;
use chrono::{DateTime, Utc};

/// Hours after which nearly every answer has come.
pub(super) const MATURE_HOURS: i32 = 14 * 24;

/// Outcomes are counted by how many hours they took: from 0, 1, 6, ... on.
const BINS: [i32; 8] = [0, 1, 6, 24, 48, 96, 168, MATURE_HOURS];

/// Outcomes of one day's generations, by how long they took: (any, successes).
type Taken = [(i64, i64); BINS.len()];

/// Outcomes by the day of the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Delays {
    days: Vec<(i32, Taken)>,
    /// The sum over the days that have had time to be answered.
    memo: Memo<Taken>,
}

/// How likely a generation succeeds that has been open for some time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delay([f64; BINS.len()]);

impl Delays {
    pub(super) fn add(&mut self, start_day: i32, hours: i32, success: bool, sign: i64) {
        at_key(&mut self.days, start_day, |taken| {
            let slot = &mut taken[bin(hours)];
            slot.0 += sign;
            slot.1 += sign * i64::from(success);
        });
        self.memo.changed(start_day, true);
    }

    /// Returns the delay as known at `hour`: only days older than the attribution window count,
    /// else quick answers would count too much.
    pub(super) fn at(&self, hour: i32) -> Delay {
        let mature = (hour.saturating_sub(MATURE_HOURS)).div_euclid(24);
        let sums = self.memo.get(mature, || self.before(mature));
        let (mut any, mut successes) = (0, 0);
        let mut rates = [0.0; BINS.len()];
        for (rate, sum) in rates.iter_mut().zip(sums).rev() {
            any += sum.0;
            successes += sum.1;
            *rate = (1.0 + successes as f64) / (3.0 + any as f64);
        }
        Delay(rates)
    }

    /// The sum over the days before `mature`.
    fn before(&self, mature: i32) -> Taken {
        let from = self.days.partition_point(|(day, _)| *day <= mature.saturating_sub(WINDOW_DAYS));
        let to = self.days.partition_point(|(day, _)| *day < mature).max(from);
        let mut sums = Taken::default();
        for (_, taken) in &self.days[from..to] {
            for (sum, one) in sums.iter_mut().zip(taken) {
                sum.0 += one.0;
                sum.1 += one.1;
            }
        }
        sums
    }
}

impl Default for Delay {
    fn default() -> Self {
        Delays::default().at(0)
    }
}

impl Delay {
    /// The chance of success of a generation open for `hours`.
    pub(super) fn success_after(&self, hours: i32) -> f64 {
        self.0[bin(hours)]
    }

    /// Returns the chances of success with the age from which each holds, the oldest first.
    pub(super) fn ages_descending(&self) -> impl Iterator<Item = (i32, f64)> {
        BINS.into_iter().zip(self.0).rev()
    }

    /// Returns the probability for one started at `started` and open at `now`; `None` when it has been open
    /// for so
    /// long that no answer is expected any more.
    pub(crate) fn success_of_open(&self, started: DateTime<Utc>, now: DateTime<Utc>) -> Option<f64> {
        let hours = (now - started).num_hours();
        (hours < i64::from(MATURE_HOURS)).then(|| self.success_after(hours.max(0) as i32))
    }
}

#[cfg(feature = "export")]
impl Delay {
    /// Chances of success by how long a generation has been open.
    pub(crate) fn rates(&self) -> [f64; BINS.len()] {
        self.0
    }

    /// What [`rates`](Self::rates) gave.
    pub(crate) fn from_rates(rates: &[f64]) -> Option<Self> {
        let rates = rates.try_into().ok()?;
        let all = |rates: &[f64; BINS.len()]| rates.iter().all(|rate| (0.0..=1.0).contains(rate));
        Some(rates).filter(all).map(Self)
    }
}

fn bin(hours: i32) -> usize {
    BINS.iter().rposition(|from| *from <= hours).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_long_open_is_likelier_to_fail_where_approvals_are_quick() {
        let mut delays = Delays::default();
        for day in 0..50 {
            delays.add(day, 0, true, 1);
            delays.add(day, 100, false, 1);
        }
        let delay = delays.at(100 * 24);
        assert!(delay.success_after(0) > 0.45 && delay.success_after(72) < 0.05);
        let young = delays.at(10 * 24);
        assert_eq!(young, Delay::default());
    }
}
