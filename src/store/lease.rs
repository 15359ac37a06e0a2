//! Who holds a lease, where the clocks of those who ask differ.
//!
//! A lease is taken by the asker's clock or the store's, whichever shows less: a clock that is ahead neither outlives nor
//! cuts short what others hold. Where even so a lease lasts longer than any can (its holder's clock is ahead of the asker's),
//! it is watched: one that is not renewed for as long as it was asked for is free.

use chrono::{DateTime, TimeDelta, Utc};

/// A lease that is held, in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) holder: String,
    pub(super) until: i64,
    /// When an asker first saw that it lasts too long, by that asker's clock.
    pub(super) watched: Option<i64>,
}

/// A request for a lease.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    holder: String,
    now: i64,
    until: i64,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is given: this is held from now on.
    Given(Held),
    /// It is given back: nobody holds it.
    Free,
    /// Another holds it; this is written in its place where it differs.
    Refused(Option<Held>),
}

/// A lease that lasts longer than the asker's own would by more than this was taken by a clock that is ahead.
const LONGER: i64 = 3_600_000_000;

impl Ask {
    /// Creates a request by the asker's clock, which shows `now`, and the store's, where that is another.
    pub(super) fn new(
        holder: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        store: Option<DateTime<Utc>>,
    ) -> Self {
        let ahead = store.map_or(TimeDelta::zero(), |store| (now - store).max(TimeDelta::zero()));
        let micros = |at: DateTime<Utc>| at.checked_sub_signed(ahead).unwrap_or(at).timestamp_micros();
        Self { holder: holder.to_owned(), now: micros(now), until: micros(until) }
    }

    /// Answers the request where `held` says who holds the lease.
    pub(super) fn answer(&self, held: Option<&Held>) -> Answer {
        let given = Held { holder: self.holder.clone(), until: self.until, watched: None };
        let gives_back = self.until <= self.now;
        let Some(held) = held.filter(|held| held.holder != self.holder && held.until > self.now) else {
            return if gives_back { Answer::Free } else { Answer::Given(given) };
        };
        let length = self.until.saturating_sub(self.now);
        if gives_back || held.until.saturating_sub(self.now) <= length.saturating_add(LONGER) {
            return Answer::Refused(None);
        }
        match held.watched.map(|since| self.now.saturating_sub(since)) {
            // Where the watch was begun by a clock behind, this may be too soon: a holder that lives then finds that it has
            // lost its lease, and registers nothing.
            Some(passed) if passed >= length => Answer::Given(given),
            Some(passed) if passed >= 0 => Answer::Refused(None),
            _ => Answer::Refused(Some(Held { watched: Some(self.now), ..held.clone() })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: TimeDelta = TimeDelta::days(3_653);

    struct Store(Option<Held>, Option<DateTime<Utc>>);

    impl Store {
        fn ask(&mut self, holder: &str, now: DateTime<Utc>, minutes: i64) -> bool {
            let ask = Ask::new(holder, now, now + TimeDelta::minutes(minutes), self.1);
            match ask.answer(self.0.as_ref()) {
                Answer::Given(held) => self.0 = Some(held),
                Answer::Free => self.0 = None,
                Answer::Refused(watched) => {
                    self.0 = watched.or(self.0.take());
                    return false;
                }
            }
            true
        }
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        "2026-11-30T10:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minutes)
    }

    #[test]
    fn a_lease_given_back_is_free_whatever_the_clock() {
        let mut store = Store(None, None);
        for ahead in [TimeDelta::hours(3), YEARS] {
            assert!(store.ask("ahead", at(0) + ahead, 10));
            assert!(!store.ask("right", at(0), 10));
            assert!(store.ask("ahead", at(1) + ahead, 0));
            assert!(store.ask("right", at(1), 10) && store.ask("right", at(1), 0));
        }
    }

    #[test]
    fn a_dead_holder_years_ahead_is_waited_for_as_long_as_any() {
        let mut store = Store(None, None);
        assert!(store.ask("ahead", at(0) + YEARS, 10));
        assert!(!store.ask("right", at(0), 10) && !store.ask("right", at(9), 10));
        assert!(store.ask("right", at(10), 10));
        // One that lives renews it.
        let mut store = Store(None, None);
        for minute in 0..60 {
            assert!(store.ask("ahead", at(minute) + YEARS, 10));
            assert!(!store.ask("right", at(minute), 10), "{minute}");
        }
    }

    #[test]
    fn by_the_stores_clock_one_ahead_takes_nothing_away() {
        for minute in 0..60 {
            let mut store = Store(None, Some(at(minute)));
            assert!(store.ask("right", at(minute), 10));
            assert!(!store.ask("ahead", at(minute) + YEARS, 10));
            assert!(store.ask("right", at(minute), 0));
            // Nor does it hold it for longer.
            assert!(store.ask("ahead", at(minute) + YEARS, 10) && !store.ask("right", at(minute), 10));
            store.1 = Some(at(minute + 10));
            assert!(store.ask("right", at(minute + 10), 10));
        }
    }
}
