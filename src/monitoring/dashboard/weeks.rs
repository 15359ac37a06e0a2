//! Days summed up by week: single days are too noisy to be shown.

use crate::monitoring::{Period, Rate};
use chrono::{Datelike, NaiveDate, TimeDelta};
use std::collections::BTreeMap;

/// The Monday of a day's week.
pub(super) fn monday(day: NaiveDate) -> NaiveDate {
    let since = TimeDelta::days(i64::from(day.weekday().num_days_from_monday()));
    day.checked_sub_signed(since).unwrap_or(day)
}

/// The mean of each week, weighted by `of`'s counts: (value, weight) of a day.
pub(super) fn means(periods: &[Period], of: impl Fn(&Period) -> Option<(f64, f64)>) -> Vec<(NaiveDate, f64)> {
    let mut weeks = BTreeMap::<NaiveDate, (f64, f64)>::new();
    for period in periods {
        let Some((value, weight)) = of(period).filter(|(v, w)| v.is_finite() && *w > 0.0) else { continue };
        let week = weeks.entry(monday(period.day)).or_default();
        week.0 += value * weight;
        week.1 += weight;
    }
    weeks.into_iter().map(|(week, (sum, weight))| (week, sum / weight)).collect()
}

/// The share of successes of each week in which there was an outcome.
pub(super) fn success(periods: &[Period]) -> Vec<(NaiveDate, Rate)> {
    let mut weeks = BTreeMap::<NaiveDate, (u64, u64)>::new();
    for period in periods.iter().filter(|period| period.figures.success.n > 0) {
        let week = weeks.entry(monday(period.day)).or_default();
        week.0 += period.figures.success.hits;
        week.1 += period.figures.success.n;
    }
    weeks.into_iter().map(|(week, (hits, n))| (week, Rate::of(hits, n))).collect()
}

/// The first and the last of so many weeks in a plot, with room at both sides.
pub(super) fn ends(weeks: usize) -> (f64, f64) {
    (-0.25, weeks as f64 - 0.75)
}
