//! When people ask: most on weekdays, in working hours.

use super::options::SimulatorOptions;
use super::random::{Draw, Purpose};
use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Timelike, Utc};

/// Starts in ascending order: a Poisson process whose rate changes with the hour.
#[derive(Debug, Clone)]
pub(super) struct Arrivals {
    draw: Draw,
    now: DateTime<Utc>,
    end: DateTime<Utc>,
    per_day: f64,
}

impl Arrivals {
    pub(super) fn new(options: &SimulatorOptions) -> Self {
        let start = options.start.trunc_subsecs(6);
        Self {
            draw: Draw::new(options.seed, Purpose::Arrivals, 0),
            now: start,
            end: start + TimeDelta::days(i64::from(options.days)),
            per_day: options.per_day,
        }
    }
}

impl Iterator for Arrivals {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        // An exponential amount of the rate is used up, hour by hour.
        let mut left = self.draw.exponential();
        while self.now < self.end {
            let rate = self.per_day * busy(self.now) / 86_400e6;
            let into_hour = i64::from(self.now.minute() * 60 + self.now.second()) * 1_000_000
                + i64::from(self.now.timestamp_subsec_micros());
            let hour_left = 3_600_000_000 - into_hour;
            if left < rate * hour_left as f64 {
                // One more, so that no two start at one moment.
                self.now += TimeDelta::microseconds((left / rate) as i64 + 1);
                return (self.now < self.end).then_some(self.now);
            }
            left -= rate * hour_left as f64;
            self.now += TimeDelta::microseconds(hour_left);
        }
        None
    }
}

/// How busy an hour is; its mean over a week is 1.
fn busy(at: DateTime<Utc>) -> f64 {
    let hour = if (8..18).contains(&at.hour()) { 2.06 } else { 0.242_857 };
    let day = if at.weekday().num_days_from_monday() < 5 { 1.28 } else { 0.3 };
    hour * day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_as_asked_and_work_is_done_in_working_hours() {
        let mut options = SimulatorOptions::default();
        (options.days, options.per_day) = (70, 200.0);
        let all: Vec<_> = Arrivals::new(&options).collect();
        assert!((all.len() as f64 / 14_000.0 - 1.0).abs() < 0.04, "{}", all.len());
        assert!(all.windows(2).all(|w| w[0] < w[1]));
        let working = all.iter().filter(|at| (8..18).contains(&at.hour())).count() as f64;
        assert!((working / all.len() as f64 - 0.858).abs() < 0.02);
        let weekend = all.iter().filter(|at| at.weekday().num_days_from_monday() >= 5).count() as f64;
        assert!((weekend / all.len() as f64 - 0.0857).abs() < 0.02);
        (options.days, options.per_day) = (3650, 0.001);
        assert!(Arrivals::new(&options).count() < 20);
    }
}
