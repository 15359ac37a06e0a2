//! How far time has come, by the bulk of the records: never by one stamp of a clock that was wrong.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Newest arrivals that are looked at; half of them have to agree before the horizon moves over a gap.
const ARRIVALS: usize = 64;
/// Arrivals from which their usual distance is known.
const LEAST: usize = 8;
const DAY: i64 = super::MICROS_A_DAY;
/// A gap between stamps is one from this many usual distances on, and from a day on.
const DISTANCES: i64 = 8;
/// A reader's clock may be this much behind a host's.
pub(super) const TOLERANCE: i64 = 5 * 60 * 1_000_000;

/// The end of what the newest arrivals have in common, in microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Horizon {
    arrivals: VecDeque<i64>,
    end: Option<i64>,
    since_sorted: u8,
}

impl Horizon {
    /// Takes in the stamp of a record that has arrived.
    pub(super) fn add(&mut self, micros: i64) {
        self.arrivals.push_back(micros);
        if self.arrivals.len() > ARRIVALS {
            self.arrivals.pop_front();
        }
        self.since_sorted += 1;
        if self.since_sorted >= 16 || self.end.is_none_or(|end| micros > end || micros < end - DAY) {
            (self.end, self.since_sorted) = (self.measure(), 0);
        }
    }

    /// Returns the end; that of the calendar's beginning while nothing has arrived.
    pub(super) fn end(&self) -> i64 {
        self.end.unwrap_or(0)
    }

    /// Returns the first of so many days up to the end; all days while too little has arrived to tell the end.
    pub(super) fn first_day(&self, days: u32) -> i32 {
        let settled = self.arrivals.len() >= ARRIVALS;
        if settled { super::day_of(self.end()).saturating_sub(days as i32 - 1) } else { i32::MIN }
    }

    /// Returns the moment up to which stamps count as past, for a reader whose clock shows `now`.
    pub(super) fn past(&self, now: DateTime<Utc>) -> i64 {
        now.timestamp_micros().max(self.end()).saturating_add(TOLERANCE)
    }

    /// Returns the stamp of a record, or the nearest that the bulk of the records allows.
    pub(super) fn credible(&self, micros: i64, days_back: u32) -> i64 {
        micros.clamp(self.end() - i64::from(days_back) * DAY, self.end())
    }

    /// Goes from the median of the arrivals up to the first gap.
    fn measure(&self) -> Option<i64> {
        let mut sorted: Vec<i64> = self.arrivals.iter().copied().collect();
        sorted.sort_unstable();
        let middle = sorted.len().checked_sub(1)? / 2;
        let mut distances: Vec<i64> = sorted.windows(2).map(|pair| pair[1] - pair[0]).collect();
        distances.sort_unstable();
        let usual = distances.get(distances.len() / 2).filter(|_| sorted.len() >= LEAST);
        let gap = usual.map_or(DAY, |usual| usual.saturating_mul(DISTANCES).max(DAY));
        let later = sorted[middle..].windows(2).take_while(|pair| pair[1] - pair[0] <= gap);
        Some(later.last().map_or(sorted[middle], |pair| pair[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(stamps: impl IntoIterator<Item = i64>) -> i64 {
        let mut horizon = Horizon::default();
        stamps.into_iter().for_each(|stamp| horizon.add(stamp));
        horizon.end()
    }

    #[test]
    fn a_third_of_wrong_stamps_moves_nothing_and_a_pause_is_crossed() {
        let hourly = |from: i64, n: i64| (0..n).map(move |at| from + at * DAY / 24);
        let end = hourly(0, 500).next_back().unwrap();
        assert_eq!(after(hourly(0, 500)), end);
        for wrong in [20 * DAY, 365 * DAY, 36_500 * DAY, -365 * DAY] {
            let third = |(place, at)| if place % 3 == 0 { vec![at + wrong] } else { vec![at] };
            let end = hourly(0, 500).enumerate().filter(|(place, _)| place % 3 > 0).last().unwrap().1;
            let mixed = hourly(0, 500).enumerate().flat_map(third);
            assert_eq!(after(mixed), end, "{wrong}");
        }
        assert_eq!(after([365 * DAY].into_iter().chain(hourly(0, 3))), 2 * DAY / 24, "wrong from the first");
        // Nobody worked for some months.
        let resumed = hourly(0, 500).chain(hourly(200 * DAY, 40));
        assert_eq!(after(resumed), 200 * DAY + 39 * DAY / 24);
        let weekly: Vec<i64> = (0..50).map(|week| week * 7 * DAY).collect();
        assert_eq!(after(weekly), 49 * 7 * DAY, "few records are far apart");
    }

    #[test]
    fn a_horizon_that_was_led_astray_comes_back() {
        let right = (0..200).map(|at| at * 1_000);
        let wrong = (0..100).map(|at| 3_650 * DAY + at);
        assert_eq!(after(right.clone().chain(wrong).chain(right)), 199_000);
    }
}
