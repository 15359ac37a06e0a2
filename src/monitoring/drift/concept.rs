//! Whether predictions are as good as they say of themselves.

use serde::{Deserialize, Serialize};

/// Probabilities count as at least this far from 0 and 1: one surprise must not give an alarm.
const EDGE: f64 = 0.02;
/// The rise that is looked for, in standard deviations of the excess.
const RISE: f64 = 0.25;
/// A single excess counts as at most this many deviations.
const MOST: f64 = 4.0;
/// Predictions before anything is said.
const LEAST: f64 = 500.0;
/// Older predictions than about this many fade.
const MEMORY: f64 = 5_000.0;

/// Page's test of the excess of the log loss over what the predictions themselves let expect: with
/// calibrated predictions its mean is zero whatever they are. A model that never was calibrated has an
/// excess that is usual for it; what is watched is its rise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::monitoring) struct Concept {
    n: f64,
    sum: f64,
    squares: f64,
    evidence: f64,
    since: Excess,
}

/// Excesses since the sum was zero.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Excess {
    n: f64,
    sum: f64,
    squares: f64,
}

/// A rise of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LossRise {
    pub(super) before: f64,
    pub(super) after: f64,
    pub(super) outcomes: u64,
    pub(super) evidence: f64,
}

/// The excess of one prediction's log loss.
pub(super) fn excess(predicted: f64, success: bool) -> f64 {
    let p = predicted.clamp(EDGE, 1.0 - EDGE);
    let loss = if success { -p.ln() } else { -(1.0 - p).ln() };
    loss + p * p.ln() + (1.0 - p) * (1.0 - p).ln()
}

impl Concept {
    /// Takes in a prediction and its outcome; a rise, once it is certain enough. `run` are the outcomes
    /// between two false alarms that are to be expected while nothing changes.
    pub(super) fn observe(&mut self, predicted: f64, success: bool, run: f64) -> Option<LossRise> {
        let x = excess(predicted, success);
        if self.n < LEAST {
            self.learn(1.0, x, x * x);
            return None;
        }
        let mean = self.sum / self.n;
        let deviation = (self.squares / self.n - mean * mean).max(1e-6).sqrt();
        let z = ((x - mean) / deviation).clamp(-MOST, MOST);
        self.evidence = (self.evidence + RISE * z - RISE * RISE / 2.0).max(0.0);
        let since = &mut self.since;
        (since.n, since.sum, since.squares) = (since.n + 1.0, since.sum + x, since.squares + x * x);
        if self.evidence > limit(run) {
            let rise = LossRise {
                before: mean,
                after: since.sum / since.n,
                outcomes: since.n as u64,
                evidence: self.evidence,
            };
            *self = Self::default();
            return Some(rise);
        }
        if self.evidence == 0.0 {
            let Excess { n, sum, squares } = std::mem::take(&mut self.since);
            self.learn(n, sum, squares);
        }
        None
    }

    fn learn(&mut self, n: f64, sum: f64, squares: f64) {
        (self.n, self.sum, self.squares) = (self.n + n, self.sum + sum, self.squares + squares);
        if self.n > MEMORY {
            let fade = MEMORY / self.n;
            (self.n, self.sum, self.squares) = (MEMORY, self.sum * fade, self.squares * fade);
        }
    }
}

/// The evidence that is reached once in `run` outcomes while nothing changes (Siegmund 1985).
fn limit(run: f64) -> f64 {
    let wanted = run * RISE * RISE / 2.0;
    let solved = (0..12).fold(wanted.ln_1p(), |x, _| (wanted + 1.0 + x).ln());
    solved - 1.166 * RISE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_calibrated_has_no_excess_on_average() {
        for p in [0.1, 0.5, 0.83] {
            let mean = p * excess(p, true) + (1.0 - p) * excess(p, false);
            assert!(mean.abs() < 1e-12, "{p}: {mean}");
            let worse = (p - 0.1) * excess(p, true) + (1.1 - p) * excess(p, false);
            assert!(if p > 0.5 { worse > 0.0 } else { worse <= 1e-12 }, "{p}: {worse}");
        }
    }
}
