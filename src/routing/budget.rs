//! The budget of a day: what was spent, what is reserved for tries in flight, and the price of a dollar for the rest of it.

use super::policies::Arm;
use super::state::sound;
use crate::error::Result;
use crate::event::{Decision, TaskContext};
use crate::stats::fnv;
use crate::verify::Verify;
use crate::zones::Zone;
use chrono::{DateTime, NaiveDate, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Spending and reservations by day of the host's zone.
///
/// Each day has a ledger of its own, so that no request resets another day, whatever its clock shows. A try counts on the day
/// on which it was chosen: first with what is reserved for it, then with what it cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Budget {
    days: BTreeMap<i64, Day>,
    /// Counts changes, so that the day that was changed longest ago is forgotten first.
    changes: u64,
    /// Dual price of the budget: a dollar counts for 1 + this, so that the budget lasts the day.
    tightness: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Day {
    spent: f64,
    /// Tries that have not ended, the oldest first.
    open: Vec<Reservation>,
    changed: u64,
}

/// A bound of what a try costs until that is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Reservation {
    /// Names the try: of its task at its start, or of its decision before.
    key: u64,
    /// Microseconds since 1970.
    at: i64,
    /// US dollars that are reserved: an upper bound of what is expected.
    usd: f64,
    /// US dollars that are expected: what counts where the try never ends, or ends without a cost.
    expected: f64,
}

/// When a choice is made, and how long its reservation holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) day: i64,
    micros: i64,
    /// The share of the day that has passed.
    passed: f64,
    lapse: i64,
}

/// Step of the dual price with each choice where spending is twice the pace: larger steps overshoot, smaller ones let the
/// budget run out by noon (`a_budget_is_kept_by_the_day`).
const STEP: f64 = 0.05;
/// The dual price at most.
const TIGHTEST: f64 = 50.0;
/// The share of the day that counts as passed at its beginning: the first tries are ahead of any pace.
const EARLY: f64 = 0.02;
/// Shares of the day's limit that may be committed at its beginning and at its end (`pacing_works_with_every_goal`).
const AT_ONCE: f64 = 0.1;
const AT_MOST: f64 = 0.98;
/// Days that a calendar reaches.
const DAYS: std::ops::RangeInclusive<i64> = -100_000_000..=100_000_000;
/// Days that are remembered: a late end of an older one counts when it comes.
const MOST_DAYS: usize = 40;
/// Tries in flight that are remembered a day; older ones count as expected.
const MOST_OPEN: usize = 10_000;
/// The range of costs and seconds in events.
pub(super) const POSSIBLE: std::ops::RangeInclusive<f64> = 0.0..=1e9;

impl Moment {
    /// Creates the moment `now` in a zone; reservations hold for `lapse`.
    pub(super) fn of(now: DateTime<Utc>, zone: &Zone, lapse: TimeDelta) -> Self {
        let local = zone.local(now);
        let day = local.date().signed_duration_since(NaiveDate::default()).num_days();
        let passed = f64::from(local.num_seconds_from_midnight()) / 86_400.0;
        Self {
            day,
            micros: now.timestamp_micros(),
            passed,
            lapse: lapse.num_microseconds().unwrap_or(i64::MAX),
        }
    }
}

impl Moment {
    /// Returns US dollars of the day's `limit` that may be committed by now: a part at once, the rest as the day passes, and a
    /// little is left at its end, so that the cheapest candidate is refused to none.
    pub(super) fn pace_usd(&self, limit: f64) -> f64 {
        limit * (AT_ONCE + (AT_MOST - AT_ONCE) * self.passed)
    }
}

impl Reservation {
    /// Creates the reservation of a stored decision; `None` where it reserved nothing.
    pub(super) fn of(decision: &Decision, key: u64, moment: &Moment) -> Option<Self> {
        let usd = decision.reserved_usd?;
        Some(Self { key, at: moment.micros, usd, expected: decision.expected_usd.unwrap_or(usd) })
    }

    /// Returns the key of a try that started as `task` says.
    pub(super) fn key_of_start(task: &TaskContext) -> u64 {
        let texts = [
            Some(task.task_id.as_str()),
            task.session_id.as_ref().map(crate::event::SessionId::as_str),
            task.model_used.as_deref(),
            task.agent_type.as_deref(),
            task.effort.as_deref(),
            task.template_id.as_ref().map(crate::event::TemplateId::as_str),
        ];
        let numbers = [u64::from(task.attempt), u64::from(task.max_tokens.unwrap_or(0))];
        let bytes = texts.into_iter().flat_map(|text| text.unwrap_or_default().bytes().chain([0]));
        bytes.chain(numbers.into_iter().flat_map(u64::to_le_bytes)).fold(fnv::SEED, fnv::step)
    }

    /// Returns the key of a choice that has not started.
    pub(super) fn key_of_choice(decision: &Decision) -> u64 {
        let texts = [decision.inputs.as_deref(), decision.unit.as_deref(), Some(decision.chosen.as_str())];
        let bytes = texts.into_iter().flat_map(|text| text.unwrap_or_default().bytes().chain([0]));
        bytes.fold(fnv::SEED, fnv::step)
    }

    /// Returns whether it holds still. One made by a clock ahead does.
    fn holds(&self, now: &Moment) -> bool {
        now.micros.saturating_sub(self.at) <= now.lapse
    }

    fn is_sound(&self) -> bool {
        (0.0..=f64::MAX).contains(&self.usd) && (0.0..=f64::MAX).contains(&self.expected)
    }
}

impl Budget {
    /// Reserves for a try that has been chosen.
    pub(super) fn reserve(&mut self, reservation: Reservation, moment: &Moment) {
        let day = self.day(moment.day);
        day.open.push(reservation);
        if day.open.len() > MOST_OPEN {
            day.spent += day.open.remove(0).expected;
        }
    }

    /// Counts what a try cost, in place of what was reserved for it, on the day on which it was chosen; one of which nothing is
    /// reserved counts on the day of `moment`. Where the cost is not known, what was expected at the choice counts, else
    /// `expected`.
    pub(super) fn settle(&mut self, key: u64, usd: Option<f64>, expected: f64, moment: &Moment) {
        let at = |day: &Day| day.open.iter().position(|open| open.key == key);
        let found = self.days.iter().rev().find_map(|(number, day)| Some((*number, at(day)?)));
        let usd = usd.filter(|usd| POSSIBLE.contains(usd));
        if let Some((number, at)) = found {
            let day = self.day(number);
            let reservation = day.open.remove(at);
            day.spent += usd.unwrap_or(reservation.expected);
        } else {
            let usd = usd.unwrap_or(expected);
            self.day(moment.day).spent += if POSSIBLE.contains(&usd) { usd } else { 0.0 };
        }
    }

    /// Returns US dollars spent and reserved on the day of `moment`. What is reserved for longer than reservations hold counts
    /// as expected.
    pub(super) fn committed(&self, moment: &Moment) -> f64 {
        let Some(day) = self.days.get(&moment.day) else { return 0.0 };
        let open = day.open.iter().map(|open| if open.holds(moment) { open.usd } else { open.expected });
        day.spent + open.sum::<f64>()
    }

    /// Returns whether no try of the day is in flight.
    pub(super) fn is_idle(&self, moment: &Moment) -> bool {
        self.days.get(&moment.day).is_none_or(|day| !day.open.iter().any(|open| open.holds(moment)))
    }

    /// Returns its price of a dollar without its ledgers, to be paced for one choice.
    pub(super) fn paced(&self) -> Self {
        Self { tightness: self.tightness, ..Self::default() }
    }

    /// Updates the dual price by the pace of spending, where so many US dollars are committed.
    pub(super) fn pace(&mut self, usd_per_day: Option<f64>, committed: f64, moment: &Moment) {
        let Some(limit) = usd_per_day else { return };
        let pressure = committed / (limit * moment.passed.max(EARLY)).max(f64::MIN_POSITIVE);
        self.tightness = (self.tightness + STEP * (pressure.min(3.0) - 1.0)).clamp(0.0, TIGHTEST);
    }

    /// Returns an arm with its cost at the dual price.
    pub(super) fn priced(&self, arm: &Arm) -> Arm {
        Arm { cost_usd: arm.cost_usd * (1.0 + self.tightness), ..arm.clone() }
    }

    fn day(&mut self, number: i64) -> &mut Day {
        self.changes += 1;
        if !self.days.contains_key(&number) && self.days.len() >= MOST_DAYS {
            let oldest = self.days.iter().min_by_key(|(_, day)| day.changed).map(|(number, _)| *number);
            oldest.map(|oldest| self.days.remove(&oldest));
        }
        let day = self.days.entry(number).or_default();
        day.changed = self.changes;
        day
    }
}

/// Reservations of choices whose start is not recorded yet. They are this process's own: one that dies has started nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Vec<(i64, Reservation)>);

impl Held {
    pub(super) fn hold(&mut self, reservation: Reservation, moment: &Moment) {
        self.0.retain(|(_, held)| held.holds(moment));
        self.0.push((moment.day, reservation));
        if self.0.len() > MOST_OPEN {
            self.0.remove(0);
        }
    }

    /// Gives a reservation back; one of several alike.
    pub(super) fn release(&mut self, key: u64) {
        if let Some(at) = self.0.iter().position(|(_, held)| held.key == key) {
            self.0.remove(at);
        }
    }

    /// Returns US dollars held on the day of `moment`; `None` where nothing is.
    pub(super) fn usd(&self, moment: &Moment) -> Option<f64> {
        let mut held =
            self.0.iter().filter(|(day, held)| *day == moment.day && held.holds(moment)).peekable();
        held.peek()?;
        Some(held.map(|(_, held)| held.usd).sum())
    }
}

impl Verify for Budget {
    fn verify(&self) -> Result<()> {
        sound("the day of the budget", self.days.keys().all(|day| DAYS.contains(day)))?;
        sound("the number of days", self.days.len() <= MOST_DAYS)?;
        sound("what was spent", self.days.values().all(|day| (0.0..=f64::MAX).contains(&day.spent)))?;
        let is_sound = |day: &Day| day.open.len() <= MOST_OPEN && day.open.iter().all(Reservation::is_sound);
        sound("what is reserved", self.days.values().all(is_sound))?;
        sound("the price of a dollar", (0.0..=TIGHTEST).contains(&self.tightness))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str, zone: &Zone) -> Moment {
        Moment::of(text.parse().unwrap(), zone, TimeDelta::hours(1))
    }

    fn reservation(key: u64, usd: f64, moment: &Moment) -> Reservation {
        Reservation { key, at: moment.micros, usd, expected: usd / 2.0 }
    }

    #[test]
    fn days_are_those_of_the_zone_also_where_clocks_change() {
        let madrid = Zone::of(chrono_tz::Europe::Madrid);
        let day = |text: &str| moment(text, &madrid).day;
        // 25 hours, then 23.
        assert_eq!(day("2025-10-25T22:00:00Z"), day("2025-10-26T22:59:59Z"));
        assert_eq!(day("2025-10-26T23:00:00Z"), day("2025-10-26T22:59:59Z") + 1);
        assert_eq!(day("2026-03-28T23:00:00Z"), day("2026-03-29T21:59:59Z"));
        assert_eq!(day("2026-03-29T22:00:00Z"), day("2026-03-29T21:59:59Z") + 1);
    }

    #[test]
    fn a_day_is_forgotten_by_no_clock() {
        let utc = Zone::of(chrono_tz::UTC);
        let mut budget = Budget::default();
        let today = moment("2025-03-03T23:59:59.99Z", &utc);
        budget.settle(1, Some(1.0), 0.0, &today);
        for other in ["2025-03-04T00:00:00Z", "2025-04-02T12:00:00Z", "1999-01-01T00:00:00Z"] {
            let other = moment(other, &utc);
            assert_eq!(budget.committed(&other), 0.0);
            budget.reserve(reservation(2, 0.25, &other), &other);
            budget.settle(2, Some(0.5), 0.0, &other);
            assert_eq!((budget.committed(&today), budget.committed(&other)), (1.0, 0.5));
        }
    }

    #[test]
    fn a_reservation_is_settled_on_its_day_or_counts_as_expected_after_its_time() {
        let utc = Zone::of(chrono_tz::UTC);
        let [evening, night, next] = ["2025-03-03T22:30:00Z", "2025-03-03T23:45:00Z", "2025-03-04T08:00:00Z"]
            .map(|at| moment(at, &utc));
        let mut budget = Budget::default();
        budget.reserve(reservation(1, 1.0, &evening), &evening);
        budget.reserve(reservation(2, 1.0, &night), &night);
        assert_eq!((budget.committed(&evening), budget.committed(&night)), (2.0, 1.5));
        budget.settle(1, Some(0.75), 0.0, &next);
        budget.settle(2, None, 9.0, &next);
        assert_eq!((budget.committed(&night), budget.committed(&next)), (1.25, 0.0));
        assert!(budget.is_idle(&night));
    }
}
