//! A rate watched for a change: cumulative sums that learn what is usual while they watch.

use serde::{Deserialize, Serialize};

/// Older outcomes than about this many fade.
const MEMORY: f64 = 5_000.0;
/// The usual rate is taken this many standard errors towards the change, so that a rate that was
/// over-estimated gives no alarm; more where it comes from few outcomes, and where alarms are to be rare.
const CAUTION: f64 = 0.3;
/// Outcomes from which on a rate does not come from few.
const MANY: f64 = 800.0;
/// Outcomes between alarms from which on they are rare.
const RARE: f64 = 30_000.0;

/// The test weighs a change of this share of the one that is looked for: where that comes, it is found
/// within a few hundred outcomes more surely than by weighing it itself, if seldom as soon.
const SURELY: f64 = 0.8;
/// A rise of the evidence that begins within so many outcomes of an alarm is of the same change.
const AT_ONCE: f64 = 100.0;
/// Less evidence than this is no alarm, however many were asked for.
const LEAST: f64 = 3.5;

/// Page's test of a success rate, in both directions (Page 1954; Hinkley 1971): the log-likelihood ratio
/// of "it has changed by `shift`" against "it is as usual" is summed up and never falls below zero. What
/// is usual is learned from all outcomes up to the last zero of the sum; that zero is also the estimate
/// of when the change began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct BernoulliCusum {
    /// Outcomes that tell what is usual, and successes among them.
    usual: (f64, f64),
    /// A fall and a rise.
    sides: [Side; 2],
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Side {
    /// The sum of evidence, in nats.
    sum: f64,
    /// Outcomes since it was zero, and successes among them.
    since: (f64, f64),
    steps: Steps,
    /// The last alarm, until it has been borne out or has passed.
    alarm: Option<Alarm>,
}

/// The increments that an outcome adds to the sum, cached as long as the hypotheses that they depend on stay
/// the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Steps {
    of: Hypotheses,
    usual: f64,
    changed: f64,
    success: f64,
    failure: f64,
}

/// The hypotheses from which the increments are computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Hypotheses {
    usual: (f64, f64),
    shift: f64,
    run: f64,
}

/// An alarm that was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Alarm {
    /// Outcomes since it.
    age: f64,
    /// Outcomes that gave it, and successes among them.
    since: (f64, f64),
}

/// A change of a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RateChange {
    /// The rate before.
    pub(crate) before: f64,
    /// The rate since.
    pub(crate) after: f64,
    /// Outcomes since the change began.
    pub(crate) outcomes: u64,
    /// The sum of evidence, in nats.
    pub(crate) evidence: f64,
}

impl BernoulliCusum {
    /// Takes in an outcome; a change, once it is certain enough.
    ///
    /// Nothing is said before `least` outcomes. `runs` are the outcomes between two false alarms that are
    /// to be expected while nothing changes: for a fall, and for a rise. What was usual before an alarm is
    /// held on to, since the alarm may be false: only where the evidence rises as high a second time at
    /// once is the new rate the usual one from then on, of which nothing more is said.
    pub(super) fn observe(
        &mut self,
        success: bool,
        least: u32,
        shift: f64,
        runs: [f64; 2],
    ) -> Option<RateChange> {
        let y = f64::from(u8::from(success));
        if self.usual.0 < f64::from(least) {
            self.usual = (self.usual.0 + 1.0, self.usual.1 + y);
            return None;
        }
        let usual = self.usual;
        for (i, run) in runs.into_iter().enumerate() {
            let side = &mut self.sides[i];
            if !side.add(success, Hypotheses { usual, shift, run }, i == 0) {
                continue;
            }
            let since = side.since;
            if side.borne_out() {
                *self = Self { usual: since, ..Self::default() };
                return None;
            }
            let change = RateChange {
                before: rate(usual),
                after: since.1 / since.0,
                outcomes: since.0 as u64,
                evidence: side.sum,
            };
            self.hold(i == 0);
            return Some(change);
        }
        self.learn();
        None
    }

    /// Begins anew with what is usual, as after an alarm: a change was told of that explains the evidence.
    pub(super) fn hold(&mut self, fall: bool) {
        let side = &mut self.sides[usize::from(!fall)];
        side.alarm = Some(Alarm { age: 0.0, since: side.since });
        (side.sum, side.since) = (0.0, (0.0, 0.0));
    }

    /// Adds the outcomes before the last zero of the fall's sum to the baseline.
    fn learn(&mut self) {
        let mut learned = (0.0, 0.0);
        for (i, side) in self.sides.iter_mut().enumerate() {
            if side.sum > 0.0 {
                continue;
            }
            let since = std::mem::take(&mut side.since);
            let passed = side.alarm.take_if(|alarm| alarm.age > AT_ONCE);
            if i == 0 {
                let passed = passed.map_or((0.0, 0.0), |alarm| alarm.since);
                learned = (since.0 + passed.0, since.1 + passed.1);
            }
        }
        self.usual = (self.usual.0 + learned.0, self.usual.1 + learned.1);
        if self.usual.0 > MEMORY {
            let fade = MEMORY / self.usual.0;
            self.usual = (MEMORY, self.usual.1 * fade);
        }
    }
}

impl Side {
    /// Adds what an outcome says; whether that is enough for an alarm.
    fn add(&mut self, success: bool, of: Hypotheses, fall: bool) -> bool {
        if self.steps.of != of {
            self.steps = Steps::new(of, fall);
        }
        let steps = &self.steps;
        self.sum = (self.sum + if success { steps.success } else { steps.failure }).max(0.0);
        self.since = (self.since.0 + 1.0, self.since.1 + f64::from(u8::from(success)));
        self.alarm.iter_mut().for_each(|alarm| alarm.age += 1.0);
        self.sum > LEAST && self.sum > limit(steps.usual, steps.changed, of.run)
    }

    /// Whether what has given an alarm began at once after the last one.
    fn borne_out(&self) -> bool {
        self.alarm.as_ref().is_some_and(|alarm| alarm.age - self.since.0 <= AT_ONCE)
    }
}

impl Steps {
    fn new(of: Hypotheses, fall: bool) -> Self {
        let (n, rate) = (of.usual.0, rate(of.usual));
        let error = (rate * (1.0 - rate) / n).sqrt();
        let rare = 1.0 + (of.run / RARE).max(1.0).ln();
        let caution = CAUTION * (1.0 + MANY / n) * rare * error;
        let shift = SURELY * of.shift;
        let (usual, changed) = if fall {
            let usual = (rate - caution).clamp(0.02, 0.98);
            (usual, (usual - shift).max(0.4 * usual))
        } else {
            let usual = (rate + caution).clamp(0.02, 0.98);
            (usual, (usual + shift).min(1.0 - 0.4 * (1.0 - usual)))
        };
        let (success, failure) = ((changed / usual).ln(), ((1.0 - changed) / (1.0 - usual)).ln());
        Self { of, usual, changed, success, failure }
    }
}

/// The share of successes, drawn a little towards one half.
fn rate((n, successes): (f64, f64)) -> f64 {
    (successes + 0.5) / (n + 1.0)
}

/// The sum that is reached once in `run` outcomes while nothing changes (Siegmund 1985, for the normal
/// distribution with the overshoot's correction).
fn limit(usual: f64, changed: f64, run: f64) -> f64 {
    let divergence = usual * (usual / changed).ln() + (1.0 - usual) * ((1.0 - usual) / (1.0 - changed)).ln();
    let overshoot = 1.166 * (usual - changed).abs() / (usual * (1.0 - usual)).sqrt();
    let wanted = run * divergence;
    // wanted = e^x - 1 - x
    let solved = (0..12).fold(wanted.ln_1p(), |x, _| (wanted + 1.0 + x).ln());
    (solved - overshoot).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    const RUNS: [f64; 2] = [20_000.0, 200_000.0];

    #[test]
    fn alarms_come_about_as_seldom_as_asked() {
        let mut random = Pcg64::seed_from_u64(7);
        let mut watched = BernoulliCusum::default();
        let alarms = (0..400_000)
            .filter(|_| watched.observe(random.random_bool(0.8), 300, 0.1, RUNS).is_some())
            .count();
        assert!((4..=40).contains(&alarms), "{alarms} alarms, about 22 were asked for");
    }

    #[test]
    fn a_change_says_the_rate_before_and_after() {
        let mut watched = BernoulliCusum::default();
        let usual = |i: u32| !i.is_multiple_of(5); // 80 %
        assert!((0..3_000).all(|i| watched.observe(usual(i), 300, 0.1, [30_000.0; 2]).is_none()));
        let change = (0..500).find_map(|i| watched.observe(i % 5 > 1, 300, 0.1, [30_000.0; 2])).unwrap();
        assert!((change.before - 0.8).abs() < 0.01 && (change.after - 0.6).abs() < 0.05);
    }

    #[test]
    fn a_fall_is_found_and_dated() {
        let found = (0..50).filter(|seed| {
            let mut random = Pcg64::seed_from_u64(*seed);
            let mut watched = BernoulliCusum::default();
            (0..3_000).for_each(|_| {
                watched.observe(random.random_bool(0.8), 300, 0.1, RUNS);
            });
            let change = (0..500).find_map(|i| {
                watched.observe(random.random_bool(0.7), 300, 0.1, RUNS).map(|change| (i, change))
            });
            change
                .is_some_and(|(i, change)| change.after < change.before && change.outcomes.abs_diff(i) < 300)
        });
        let found = found.count();
        assert!(found >= 45, "{found} of 50");
    }
}
