//! When facts became known: how far the store's own time has come.

use std::collections::{BTreeMap, BTreeSet};

/// Moments that are kept one by one; of earlier ones the latest of each day.
const EXACT: usize = 4_096;

/// Days without a fact that part two eras: a clock that was years ahead begins one of its own.
const GAP_DAYS: i32 = 7;

/// The moments at which facts became known, in microseconds since 1970.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moments {
    /// The latest of each day.
    days: BTreeMap<i32, i64>,
    newest: BTreeSet<i64>,
}

impl Moments {
    pub(super) fn add(&mut self, micros: i64) {
        let latest = self.days.entry(super::generation::day(micros)).or_insert(micros);
        *latest = (*latest).max(micros);
        self.newest.insert(micros);
        if self.newest.len() > EXACT {
            self.newest.pop_first();
        }
    }

    /// Returns how many different moments there are, as far as they are kept one by one.
    pub(crate) fn count(&self) -> usize {
        self.newest.len()
    }

    /// Returns the latest moment that is not after `limit`; where that lies before the newest some thousand, the latest of
    /// an earlier day.
    pub(crate) fn latest_until(&self, limit: i64) -> Option<i64> {
        let exact = self.newest.range(..=limit).next_back().copied();
        let day = super::generation::day(limit);
        let of_day = self.days.get(&day).copied().filter(|latest| *latest <= limit);
        let before = self.days.range(..day).next_back().map(|(_, latest)| *latest);
        exact.max(of_day).max(before)
    }

    /// Returns the end of the era that a clock at `now` is in: of facts without a gap of a week. Facts stamped years ahead
    /// are an era of their own, which has not come yet; a clock before all facts is behind the first era.
    pub(crate) fn present(&self, now: i64) -> Option<i64> {
        let until = super::generation::day(now).saturating_add(GAP_DAYS);
        let mut end: Option<(i32, i64)> = None;
        for (day, latest) in &self.days {
            if end.is_some_and(|(last, _)| day - last > GAP_DAYS && *day > until) {
                break;
            }
            end = Some((*day, *latest));
        }
        end.map(|(_, latest)| latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn the_present_is_the_era_of_the_clock() {
        let mut moments = Moments::default();
        assert_eq!(moments.present(0), None);
        (100..140).for_each(|day| moments.add(day * DAY + 5));
        moments.add(3_000 * DAY);
        assert_eq!(moments.present(139 * DAY), Some(139 * DAY + 5), "what is years ahead has not come");
        assert_eq!(moments.present(120 * DAY), Some(139 * DAY + 5), "the clock stepped back");
        assert_eq!(moments.present(50 * DAY), Some(139 * DAY + 5), "the clock is before all facts");
        assert_eq!(moments.present(200 * DAY), Some(139 * DAY + 5), "nothing was recorded for weeks");
        assert_eq!(moments.present(2_999 * DAY), Some(3_000 * DAY));
    }

    #[test]
    fn the_latest_is_exact_among_the_newest() {
        let mut moments = Moments::default();
        (0..10).for_each(|at| moments.add(at * 10));
        assert_eq!((moments.latest_until(35), moments.latest_until(-1)), (Some(30), None));
        (0..10_000).for_each(|at| moments.add(DAY + at));
        assert_eq!(moments.latest_until(DAY - 1), Some(90));
        assert_eq!(moments.latest_until(DAY + 9_990), Some(DAY + 9_990));
    }
}
