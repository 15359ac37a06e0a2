//! The time of a collector: its host's clock, as far as that can be believed.
//!
//! A clock is set by hand, by a virtual machine, by a battery that ran empty. One fact stamped years ahead is known years
//! ahead: no model learns from it, and what follows has to wait for it. So a reading is compared with what is known
//! otherwise: the time that has passed by a clock that nobody sets, and the facts in the store.

use super::telemetry;
use crate::clock::Clock;
use crate::event::is_recordable;
use crate::history::SharedHistory;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const DAY: i64 = 86_400_000_000;

/// A pause between two facts that is believed although no steady clock measured it: hosts rest over holidays, and a
/// process may start on a store of last season.
const LONGEST_PAUSE: i64 = 180 * DAY;

/// Facts after which the first reading on an empty store counts for more than a later one that contradicts it.
const FIRST_FACTS: usize = 8;

/// The time that this process stamps facts with.
#[derive(Debug)]
pub(super) struct Timeline {
    clock: Arc<dyn Clock>,
    history: Arc<SharedHistory>,
    tolerance: i64,
    state: Mutex<State>,
}

/// A moment with the clock's reading, where that is not believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    pub(super) at: DateTime<Utc>,
    pub(super) doubted: Option<DateTime<Utc>>,
}

/// All in microseconds: moments since 1970, `elapsed` of the steady clock.
#[derive(Debug, Default)]
struct State {
    /// The last stamp given out.
    last: Option<i64>,
    /// The last moment, with the steady clock's time at it.
    read: Option<(i64, i64)>,
    doubt: Option<Doubt>,
    leap: Option<Leap>,
}

/// A clock that is not believed.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// The moment at which it began, and the readings then and last.
    base: i64,
    reading: i64,
    latest: i64,
    /// The steady clock's time at its beginning.
    elapsed: Option<i64>,
    /// Whether `base` is but the store's newest fact: the pause since then is not known.
    paused: bool,
    /// The time that has passed since, and for how long at most it passes at full speed.
    run: i64,
    probation: i64,
    /// The newest fact of the store when the probation began, and the time that had passed.
    seen: Option<i64>,
    since: i64,
}

/// A step forward that was believed without being measured; from nothing where the store was empty.
#[derive(Debug, Clone, Copy)]
struct Leap {
    before: Option<i64>,
    after: i64,
}

impl Timeline {
    pub(super) fn new(clock: Arc<dyn Clock>, history: Arc<SharedHistory>, tolerance: TimeDelta) -> Self {
        let tolerance = tolerance.num_microseconds().unwrap_or(i64::MAX / 4).clamp(0, i64::MAX / 4);
        Self { clock, history, tolerance, state: Mutex::default() }
    }

    /// Returns the moment to stamp a fact with: later than any before, and than what other hosts have recorded.
    pub(super) fn stamp(&self) -> Moment {
        let mut state = self.state();
        let reading = self.clock.now();
        if !is_recordable(reading) {
            return Moment { at: reading, doubted: None };
        }
        let moment = self.estimate(&mut state, reading.timestamp_micros());
        let others = self.newest_until(moment.saturating_add(self.tolerance));
        let floor = state.last.max(others).map_or(i64::MIN, |last| last.saturating_add(1));
        let at = DateTime::from_timestamp_micros(moment.max(floor)).filter(|at| is_recordable(*at));
        let at = at.unwrap_or(reading);
        state.last = Some(at.timestamp_micros());
        let doubted = state.doubt.map(|_| reading);
        doubted.iter().for_each(|_| telemetry::clock_doubted());
        Moment { at, doubted }
    }

    /// Returns the moment that the clock shows, or is taken to show where it is not believed.
    fn estimate(&self, state: &mut State, reading: i64) -> i64 {
        let elapsed = self.clock.elapsed().and_then(|passed| passed.num_microseconds());
        let moment = match state.doubt.take() {
            Some(doubt) => self.in_doubt(state, doubt, reading, elapsed),
            None => self.compare(state, reading, elapsed),
        };
        state.read = elapsed.map(|elapsed| (moment, elapsed));
        moment
    }

    /// Compares a reading with the moment that it should show.
    fn compare(&self, state: &mut State, reading: i64, elapsed: Option<i64>) -> i64 {
        let measured = state.read.zip(elapsed).map(|((at, then), now)| at.saturating_add(now - then));
        let known = measured.or(state.last).or_else(|| self.history.with(|h| h.moments().present(reading)));
        let Some(expected) = known else {
            state.leap(None, reading);
            return reading;
        };
        let longest = if measured.is_some() { self.tolerance } else { LONGEST_PAUSE.max(self.tolerance) };
        let step = reading.saturating_sub(expected);
        if step > longest {
            return self.begin_doubt(state, expected, reading, elapsed);
        }
        if step >= -self.tolerance {
            if measured.is_none() && step > self.tolerance {
                state.leap(Some(expected), reading);
            }
            return reading;
        }
        // Back to before a step that was believed: it was that one which was wrong.
        let undone = state.leap.is_some_and(|leap| match leap.before {
            Some(before) => (before.saturating_sub(self.tolerance)..leap.after).contains(&reading),
            None => self.begins() && step < -LONGEST_PAUSE,
        });
        if undone && step < -DAY {
            self.go_back(state, reading);
            return reading;
        }
        self.begin_doubt(state, expected, reading, elapsed)
    }

    fn begin_doubt(&self, state: &mut State, base: i64, reading: i64, elapsed: Option<i64>) -> i64 {
        let paused = state.read.is_none();
        let (base, step) = (base.max(state.last.unwrap_or(base)), reading.saturating_sub(base));
        let show = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap_or_default();
        tracing::warn!(
            clock = %show(reading), expected = %show(base),
            "the clock jumped and is not believed: facts are stamped by the time that has passed and marked; set the clock, \
             or raise `CollectorOptions::clock_tolerance`"
        );
        let probation = self.probation(step);
        let seen = self.newest_until(base.saturating_add(self.tolerance));
        state.doubt = Some(Doubt {
            base,
            reading,
            latest: reading,
            elapsed,
            paused,
            run: 0,
            probation,
            seen,
            since: 0,
        });
        base
    }

    /// Returns for how long a clock that jumped by `step` has to go on before it is believed: a tenth of that, a day at most.
    fn probation(&self, step: i64) -> i64 {
        (step.saturating_abs() / 10).clamp(self.tolerance.min(DAY), DAY)
    }

    /// Returns the moment by the time that has passed, until the clock agrees with it again.
    fn in_doubt(&self, state: &mut State, doubt: Doubt, reading: i64, elapsed: Option<i64>) -> i64 {
        let mut doubt = doubt;
        let (ahead, step) = (doubt.reading > doubt.base, reading.saturating_sub(doubt.latest));
        let measured = doubt.elapsed.zip(elapsed).map(|(then, now)| (now - then).max(0));
        // A wrong clock goes on, too: without another it measures the time.
        let went_on = (0..=LONGEST_PAUSE).contains(&step);
        let before = doubt.run;
        doubt.run = measured.unwrap_or_else(|| doubt.run.saturating_add(if went_on { step } else { 0 }));
        let mut full = doubt.base.saturating_add(doubt.run);
        if doubt.paused {
            let limit = full.saturating_add(LONGEST_PAUSE);
            let others = self.newest_until(if ahead { limit.min(reading - self.tolerance) } else { limit });
            let pause = others.map_or(0, |others| (others - full).max(0));
            (doubt.base, full) = (doubt.base + pause, full + pause);
        }
        // A clock that stays some hours behind is waited for at half the speed: it may have been ahead before.
        let waits = (0..=DAY).contains(&(doubt.base - doubt.reading));
        let slowed = if waits { (doubt.run - doubt.probation).max(0) / 2 } else { 0 };
        let moment = full - slowed;
        let agrees = if measured.is_some() {
            let near = |at: i64| reading.saturating_sub(at).abs() <= self.tolerance;
            near(full) || near(moment) || (moment..=full).contains(&reading)
        } else if ahead {
            reading < doubt.reading - self.tolerance
                && (doubt.base - self.tolerance..=full.saturating_add(LONGEST_PAUSE)).contains(&reading)
        } else {
            (moment - self.tolerance..=full.saturating_add(LONGEST_PAUSE)).contains(&reading)
        };
        if agrees {
            tracing::info!("the clock is right again");
            return reading;
        }
        // Another jump: not the one that was being waited for.
        let steady = step.saturating_sub(doubt.run - before).abs() <= self.tolerance.max(DAY / 24);
        doubt.latest = reading;
        if !steady {
            (doubt.base, doubt.reading, doubt.elapsed) = (moment, reading, elapsed);
            (doubt.run, doubt.since) = (0, 0);
            doubt.probation = self.probation(reading.saturating_sub(moment));
        }
        let limit = if ahead { reading - self.tolerance } else { moment.saturating_add(self.tolerance) };
        let newest = self.newest_until(limit);
        if newest > doubt.seen.max(state.last) {
            // Others go on recording at the time that this clock does not show.
            (doubt.seen, doubt.since) = (newest, doubt.run);
        }
        let first = matches!(state.leap, Some(Leap { before: None, .. })) && self.begins();
        if doubt.run - doubt.since >= doubt.probation && doubt.probation > 0 && (ahead || first) {
            tracing::warn!("the clock went on as it was and nothing speaks against it: it is believed");
            if ahead {
                state.leap(Some(moment), reading);
            } else {
                self.go_back(state, reading);
            }
            return reading;
        }
        state.doubt = Some(doubt);
        moment
    }

    /// Goes back to the clock's time: what was stamped later keeps its stamp.
    fn go_back(&self, state: &mut State, reading: i64) {
        tracing::warn!(
            "the clock went back behind what it had shown before, which was wrong: facts stamped meanwhile stay ahead"
        );
        (state.last, state.leap) = (self.newest_until(reading), None);
    }

    /// Returns whether the store has but a few facts, whose stamps say little.
    fn begins(&self) -> bool {
        self.history.with(|history| history.moments().count() <= FIRST_FACTS)
    }

    fn newest_until(&self, limit: i64) -> Option<i64> {
        self.history.with(|history| history.moments().latest_until(limit))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leap(&mut self, before: Option<i64>, after: i64) {
        self.leap = Some(Leap { before, after });
    }
}

/// The time as the collector has it, for what runs beside it.
impl Clock for Timeline {
    fn now(&self) -> DateTime<Utc> {
        let mut state = self.state();
        let reading = self.clock.now();
        if !is_recordable(reading) {
            return reading;
        }
        let moment = self.estimate(&mut state, reading.timestamp_micros());
        if state.doubt.is_none() {
            reading
        } else {
            DateTime::from_timestamp_micros(moment).unwrap_or(reading)
        }
    }

    fn elapsed(&self) -> Option<TimeDelta> {
        self.clock.elapsed()
    }
}
