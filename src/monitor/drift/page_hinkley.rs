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

/// Page's test of a success rate, in both directions (Page 1954; Hinkley 1971): the log-likelihood ratio
/// of "it has changed by `shift`" against "it is as usual" is summed up and never falls below zero. What
/// is usual is learnt from all outcomes up to the last zero of the sum; that zero is also the estimate
/// of when the change began.
///
/// ```
/// use devmatrix_ml::monitor::PageHinkley;
/// let mut watched = PageHinkley::default();
/// let usual = |i: u32| i % 5 != 0; // 80 %
/// assert!((0..3_000).all(|i| watched.observe(usual(i), 300, 0.1, [30_000.0; 2]).is_none()));
/// let change = (0..500).find_map(|i| watched.observe(i % 5 > 1, 300, 0.1, [30_000.0; 2])).unwrap();
/// assert!((change.before - 0.8).abs() < 0.01 && (change.after - 0.6).abs() < 0.05);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PageHinkley {
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
}

/// A change of a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RateChange {
    /// The rate before.
    pub before: f64,
    /// The rate since.
    pub after: f64,
    /// Outcomes since the change began.
    pub outcomes: u64,
    /// The sum of evidence, in nats.
    pub evidence: f64,
}

impl PageHinkley {
    /// Takes in an outcome; a change, once it is certain enough. Then all begins anew.
    ///
    /// Nothing is said before `least` outcomes. `runs` are the outcomes between two false alarms that are
    /// to be expected while nothing changes: for a fall, and for a rise.
    pub fn observe(&mut self, success: bool, least: u32, shift: f64, runs: [f64; 2]) -> Option<RateChange> {
        let y = f64::from(u8::from(success));
        if self.usual.0 < f64::from(least) {
            self.usual = (self.usual.0 + 1.0, self.usual.1 + y);
            return None;
        }
        let rate = (self.usual.1 + 0.5) / (self.usual.0 + 1.0);
        let error = (rate * (1.0 - rate) / self.usual.0).sqrt();
        for (i, side) in self.sides.iter_mut().enumerate() {
            let rare = 1.0 + (runs[i] / RARE).max(1.0).ln();
            let caution = CAUTION * (1.0 + MANY / self.usual.0) * rare * error;
            let (usual, changed) = if i == 0 {
                let usual = (rate - caution).clamp(0.02, 0.98);
                (usual, (usual - shift).max(0.4 * usual))
            } else {
                let usual = (rate + caution).clamp(0.02, 0.98);
                (usual, (usual + shift).min(1.0 - 0.4 * (1.0 - usual)))
            };
            let step = if success { (changed / usual).ln() } else { ((1.0 - changed) / (1.0 - usual)).ln() };
            side.sum = (side.sum + step).max(0.0);
            side.since = (side.since.0 + 1.0, side.since.1 + y);
            if side.sum > 2.0 && side.sum > limit(usual, changed, runs[i]) {
                let change = RateChange {
                    before: rate,
                    after: side.since.1 / side.since.0,
                    outcomes: side.since.0 as u64,
                    evidence: side.sum,
                };
                *self = Self { usual: side.since, ..Self::default() };
                return Some(change);
            }
        }
        self.learn();
        None
    }

    /// Forgets what is usual.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// What came before the last zero of the fall's sum is usual.
    fn learn(&mut self) {
        if self.sides[1].sum == 0.0 {
            self.sides[1].since = (0.0, 0.0);
        }
        if self.sides[0].sum == 0.0 {
            let (n, successes) = std::mem::take(&mut self.sides[0].since);
            self.usual = (self.usual.0 + n, self.usual.1 + successes);
            if self.usual.0 > MEMORY {
                let fade = MEMORY / self.usual.0;
                self.usual = (MEMORY, self.usual.1 * fade);
            }
        }
    }
}

/// The sum that is reached once in `run` outcomes while nothing changes (Siegmund 1985, for the normal
/// distribution with the overshoot's correction).
fn limit(usual: f64, changed: f64, run: f64) -> f64 {
    let divergence = usual * (usual / changed).ln() + (1.0 - usual) * ((1.0 - usual) / (1.0 - changed)).ln();
    let overshoot = 1.166 * (usual - changed).abs() / (usual * (1.0 - usual)).sqrt();
    let wanted = run * divergence;
    // wanted = e^x - 1 - x
    let solved = (0..12).fold(wanted.ln_1p(), |x, _| (wanted + 1.0 + x).ln());
    (solved - overshoot).max(1.0)
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
        let mut watched = PageHinkley::default();
        let alarms = (0..400_000)
            .filter(|_| watched.observe(random.random_bool(0.8), 300, 0.1, RUNS).is_some())
            .count();
        assert!((4..=40).contains(&alarms), "{alarms} alarms, about 22 were asked for");
    }

    #[test]
    fn a_fall_is_found_and_dated() {
        let found = (0..50).filter(|seed| {
            let mut random = Pcg64::seed_from_u64(*seed);
            let mut watched = PageHinkley::default();
            (0..3_000).for_each(|_| drop(watched.observe(random.random_bool(0.8), 300, 0.1, RUNS)));
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
