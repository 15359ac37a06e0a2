//! Decides when to train from the clock, the registry and the store; the host's scheduler asks and trains.

use super::Training;
use super::lease::Lease;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::store::EventStore;
use crate::zones::Zone;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// Schedule of a model's training cycles: daily at a time of the host's zone, and earlier after many new
/// outcomes or on drift.
///
/// Where the clocks go forward over that time, training is due at the first moment after; where they go
/// back over it, at its first passing only. Cycles that were missed are made up by one training.
///
/// ```
/// use devmatrix_ml::training::TrainingSchedule;
/// let mut schedule = TrainingSchedule::default();
/// schedule.zone = chrono_tz::Europe::Madrid;
/// // 30 March had no 02:00 in Madrid: due at 03:00 summer time.
/// let after = "2025-03-29T01:00:05Z".parse()?;
/// assert_eq!(schedule.next(after).to_string(), "2025-03-30 01:00:00 UTC");
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[doc(alias = "TrainingScheduler")]
pub struct TrainingSchedule {
    /// The time of day; 02:00 by default.
    pub at: NaiveTime,
    /// The host's zone; UTC by default.
    pub zone: Tz,
    /// New outcomes since the last training after which it is due before its time; `None` for never.
    pub after_outcomes: Option<u64>,
    /// Whether drift makes it due before its time.
    pub on_drift: bool,
    /// Least minutes between trainings that outcomes or drift ask for.
    pub pause_minutes: u32,
    /// Minutes after which a training whose process died is due again, from 1; 10 by default. A process
    /// that lives renews its lease while it trains, however long that takes.
    pub lease_minutes: u32,
}

/// Signals besides the time that make training due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrainingSignals {
    /// Outcomes known so far.
    pub outcomes: u64,
    /// Whether drift was found since the last training.
    pub drift: bool,
}

/// Reason for which training is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// The scheduled time has passed.
    Since(DateTime<Utc>),
    /// So many outcomes became known since the last training.
    Outcomes(u64),
    /// Drift was found.
    Drift,
}

/// Claim on a training cycle: while one holds it, no other host and no other thread trains.
///
/// It is held by a lease in the store. [`Training::with_claim`] renews the lease while it trains; a process
/// that dies loses it after [`TrainingSchedule::lease_minutes`], and the cycle is due again.
#[derive(Debug)]
#[must_use = "conclude it with the result of the training, or nobody trains until its lease ends"]
pub struct TrainingClaim<'a> {
    /// Why training is due.
    pub due: Due,
    pub(super) lease: Lease<'a>,
    /// Whether drift or outcomes ask for training, and not the time alone.
    pub(super) urgent: bool,
    store: &'a dyn EventStore,
    clock: &'a dyn Clock,
    model: String,
    outcomes: u64,
}

/// Record of the last training, whether or not it registered a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LastRun {
    at: DateTime<Utc>,
    outcomes: u64,
    /// The ends of those before, the newest first: of hosts whose clocks differ, each finds its own.
    #[serde(default)]
    before: Vec<DateTime<Utc>>,
}

/// Trainings that are noted besides the last.
const NOTED: usize = 15;

impl Default for TrainingSchedule {
    fn default() -> Self {
        Self {
            at: NaiveTime::from_hms_opt(2, 0, 0).unwrap_or_default(),
            zone: Tz::UTC,
            after_outcomes: None,
            on_drift: true,
            pause_minutes: 60,
            lease_minutes: 10,
        }
    }
}

/// A last training further in the future than this was stamped by a clock that was wrong.
const CLOCK_STEP: TimeDelta = TimeDelta::days(1);

impl TrainingSchedule {
    /// Returns the first time after `now` at which training is due; `now` itself at the end of the calendar.
    pub fn next(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.around(now).filter(|time| *time > now).min().unwrap_or(now)
    }

    /// Returns why training is due at `now`, where the last one was at `last` with `outcomes` known; `None`
    /// where it is not due.
    fn is_due(
        &self,
        now: DateTime<Utc>,
        last: Option<DateTime<Utc>>,
        outcomes: u64,
        signals: TrainingSignals,
    ) -> Option<Due> {
        let previous = self.around(now).filter(|time| *time <= now).max().unwrap_or(now);
        let Some(last) = last.filter(|last| *last - now < CLOCK_STEP) else {
            return Some(Due::Since(previous));
        };
        if last < previous {
            return Some(Due::Since(previous));
        }
        if now - last < TimeDelta::minutes(i64::from(self.pause_minutes)) {
            return None;
        }
        let new = signals.outcomes.saturating_sub(outcomes);
        if self.after_outcomes.is_some_and(|enough| new >= enough.max(1)) {
            return Some(Due::Outcomes(new));
        }
        (self.on_drift && signals.drift).then_some(Due::Drift)
    }

    /// Claims the training of `model` (or of all models, under a name for them together) if it is due and
    /// nobody else is at it. Train by [`Training::with_claim`], then [`conclude`](TrainingClaim::conclude).
    ///
    /// # Errors
    /// `InvalidInput` for a schedule out of range; those of the store and the registry.
    pub async fn claim<'a>(
        &self,
        training: &Training<'a>,
        model: &str,
        signals: TrainingSignals,
    ) -> Result<Option<TrainingClaim<'a>>> {
        if self.lease_minutes == 0 {
            return Err(Error::invalid("lease_minutes is 0, expected at least 1"));
        }
        if self.due(training, model, signals).await?.is_none() {
            return Ok(None);
        }
        let (store, clock) = (training.store, training.clock);
        let lease = Lease::new(store, clock, model, self.lease_minutes);
        if !lease.take().await? {
            return Ok(None);
        }
        // Another may have finished since the first check.
        let Some(due) = self.due(training, model, signals).await? else {
            lease.give_back().await?;
            return Ok(None);
        };
        let (model, outcomes) = (model.to_owned(), signals.outcomes);
        let urgent = signals.drift || !matches!(due, Due::Since(_));
        Ok(Some(TrainingClaim { due, lease, urgent, store, clock, model, outcomes }))
    }

    async fn due(
        &self,
        training: &Training<'_>,
        model: &str,
        signals: TrainingSignals,
    ) -> Result<Option<Due>> {
        let noted = LastRun::of(training.store, model).await?;
        let versions = training.registry.versions(model).await?;
        let registered = versions.last().map(|version| version.created_at);
        let now = training.clock.now();
        let runs = noted.iter().flat_map(|run| run.before.iter().copied().chain([run.at])).chain(registered);
        let last = runs.filter(|at| *at - now < CLOCK_STEP).max();
        Ok(self.is_due(now, last, noted.map_or(0, |run| run.outcomes), signals))
    }

    /// Returns the scheduled times of the days around `now`.
    fn around(&self, now: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        // Zones are some hours off: at the ends of the calendar there is no room for them.
        let (first, last) =
            (DateTime::<Utc>::MIN_UTC + TimeDelta::days(9), DateTime::<Utc>::MAX_UTC - TimeDelta::days(9));
        let zone = Zone::of(self.zone);
        let today = zone.local(now.clamp(first, last)).date();
        let first = today.checked_sub_days(Days::new(2)).unwrap_or(today);
        first.iter_days().take(5).filter_map(move |date| self.on(date, &zone))
    }

    /// Returns the scheduled time of a day; `None` for a day that the zone left out.
    fn on(&self, date: NaiveDate, zone: &Zone) -> Option<DateTime<Utc>> {
        const LONGEST_GAP_MINUTES: i64 = 180;
        let wanted = date.and_time(self.at);
        let mut times =
            (0..=LONGEST_GAP_MINUTES).filter_map(|m| wanted.checked_add_signed(TimeDelta::minutes(m)));
        times.find_map(|local| zone.first(local))
    }
}

impl TrainingClaim<'_> {
    /// Ends the claim by the result of its training. A training that was cancelled, or that the store or the
    /// registry could not serve, is released and due again at once; any other is finished until the next
    /// cycle, also one with too little data, which would fail again.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn conclude<T>(self, result: &Result<T>) -> Result<()> {
        match result {
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::Cancelled | ErrorKind::Unavailable | ErrorKind::Conflict
                ) =>
            {
                self.release().await
            }
            _ => self.finish().await,
        }
    }

    /// Records that training was done, also where there was too little to learn from, and gives the claim
    /// back.
    async fn finish(self) -> Result<()> {
        let mut before = Vec::new();
        if let Some(noted) = LastRun::of(self.store, &self.model).await? {
            before = std::iter::once(noted.at).chain(noted.before).take(NOTED).collect();
        }
        let run = LastRun { at: self.clock.now(), outcomes: self.outcomes, before };
        let note = serde_json::to_vec(&run).map_err(|e| {
            Error::internal("the record of the last training cannot be written").with_source(e)
        })?;
        self.store.put_checkpoint(&run_name(&self.model), Some(note)).await?;
        self.release().await
    }

    /// Gives the claim back without having trained: training is due again at once, here or elsewhere.
    async fn release(self) -> Result<()> {
        self.lease.give_back().await
    }
}

impl LastRun {
    /// Reads the record; one that cannot be read is none: training once more does no harm.
    async fn of(store: &dyn EventStore, model: &str) -> Result<Option<Self>> {
        let noted = store.checkpoint(&run_name(model)).await?;
        Ok(noted.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}

pub(super) fn lease_name(model: &str) -> String {
    format!("training-{model}")
}

fn run_name(model: &str) -> String {
    format!("last-training-{model}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn cycles(zone: Tz, from: &str, count: usize) -> Vec<String> {
        let schedule = TrainingSchedule { zone, ..TrainingSchedule::default() };
        let mut now = time(from);
        let mut step = || {
            now = schedule.next(now);
            now.to_rfc3339()
        };
        (0..count).map(|_| step()[..16].to_owned()).collect()
    }

    #[test]
    fn clock_changes_skip_and_double_no_cycle() {
        let madrid = chrono_tz::Europe::Madrid;
        // Forward on 30 March: there is no 02:00, so at 03:00 summer time, which is 01:00 UTC.
        assert_eq!(
            cycles(madrid, "2025-03-28T12:00:00Z", 3),
            ["2025-03-29T01:00", "2025-03-30T01:00", "2025-03-31T00:00"]
        );
        // Back on 26 October: 02:00 passes twice, and the first counts.
        assert_eq!(cycles(madrid, "2025-10-25T12:00:00Z", 2), ["2025-10-26T00:00", "2025-10-27T01:00"]);
        // Samoa had no 30 December 2011.
        let apia = cycles(chrono_tz::Pacific::Apia, "2011-12-29T00:00:00Z", 3);
        assert_eq!(apia, ["2011-12-29T12:00", "2011-12-30T12:00", "2011-12-31T12:00"]);
    }

    /// By the rules of 2026: those of 2025 are an hour off.
    #[test]
    fn the_hour_is_that_of_the_rules_in_force() {
        let zones = [
            ("America/Vancouver", "2026-11-30T09:00"),
            ("America/Edmonton", "2026-11-30T08:00"),
            ("America/Winnipeg", "2026-11-30T07:00"),
            ("Africa/Casablanca", "2026-11-30T02:00"),
            ("America/Havana", "2026-11-30T06:00"),
            ("Europe/Madrid", "2026-11-30T01:00"),
        ];
        for (zone, expected) in zones {
            assert_eq!(cycles(zone.parse().unwrap(), "2026-11-29T12:00:00Z", 1), [expected], "{zone}");
        }
    }

    #[test]
    fn missed_cycles_are_made_up_once_and_a_wrong_clock_is_corrected() {
        let schedule = TrainingSchedule::default();
        let due = |now: &str, last: Option<&str>| {
            schedule.is_due(time(now), last.map(time), 0, TrainingSignals::default())
        };
        let since = |t: &str| Some(Due::Since(time(t)));
        assert_eq!(due("2025-05-09T01:00:00Z", None), since("2025-05-08T02:00:00Z"));
        assert_eq!(due("2025-05-09T10:00:00Z", Some("2025-05-05T02:00:00Z")), since("2025-05-09T02:00:00Z"));
        assert_eq!(due("2025-05-09T10:00:00Z", Some("2025-05-09T02:00:01Z")), None);
        // The clock stepped back over 02:00 after training: not again.
        assert_eq!(due("2025-05-09T01:59:00Z", Some("2025-05-09T02:00:01Z")), None);
        // Trained by a clock that was years ahead: not never again.
        assert_eq!(due("2025-05-09T10:00:00Z", Some("2031-01-01T00:00:00Z")), since("2025-05-09T02:00:00Z"));
    }

    #[test]
    fn outcomes_and_drift_make_it_due_earlier() {
        let schedule = TrainingSchedule { after_outcomes: Some(100), ..TrainingSchedule::default() };
        let (now, last) = (time("2025-05-09T10:00:00Z"), Some(time("2025-05-09T02:10:00Z")));
        let due =
            |now, outcomes, drift| schedule.is_due(now, last, 1000, TrainingSignals { outcomes, drift });
        assert_eq!(due(now, 1099, false), None);
        assert_eq!(due(now, 1100, false), Some(Due::Outcomes(100)));
        assert_eq!(due(now, 0, true), Some(Due::Drift));
        assert_eq!(due(time("2025-05-09T02:30:00Z"), 9999, true), None, "within the pause");
    }

    #[test]
    fn the_ends_of_the_calendar_are_times_too() {
        let moments = [DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC];
        for zone in [Tz::UTC, chrono_tz::Europe::Madrid, chrono_tz::Pacific::Apia, chrono_tz::Asia::Kathmandu]
        {
            for at in [NaiveTime::MIN, NaiveTime::from_hms_opt(23, 59, 59).unwrap()] {
                let schedule = TrainingSchedule { at, zone, ..TrainingSchedule::default() };
                for now in moments {
                    assert!(schedule.next(now) >= now);
                    assert!(
                        schedule
                            .is_due(now, None, u64::MAX, TrainingSignals { outcomes: 0, drift: true })
                            .is_some()
                    );
                    for last in moments {
                        let _ = schedule.is_due(
                            now,
                            Some(last),
                            u64::MAX,
                            TrainingSignals { outcomes: 0, drift: true },
                        );
                    }
                }
            }
        }
    }

    proptest! {
        /// In any zone the next time is after now, at most two days away, and due from then on.
        #[test]
        fn there_is_always_a_next_time(zone in 0..chrono_tz::TZ_VARIANTS.len(), minutes in 0..40_000_000_i64, hour in 0..24_u32) {
            let schedule = TrainingSchedule {
                zone: chrono_tz::TZ_VARIANTS[zone],
                at: NaiveTime::from_hms_opt(hour, 30, 0).unwrap(),
                ..TrainingSchedule::default()
            };
            let now = DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
            let next = schedule.next(now);
            prop_assert!(next > now && next - now <= TimeDelta::hours(50), "{now} {next}");
            let none = TrainingSignals::default();
            prop_assert_eq!(schedule.is_due(next, Some(now), 0, none), Some(Due::Since(next)));
            prop_assert_eq!(schedule.is_due(next, Some(next), 0, none), None);
        }
    }
}
