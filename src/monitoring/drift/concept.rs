//! Concept drift: the log loss of predictions beyond its expectation.

use super::detector::{Context, DriftDetector, Times};
use super::finding::{ChangeSize, DriftKind, Finding, Severity};
use super::{since_words, slice_attribution};
use crate::monitoring::recent::Evaluated;
use serde::{Deserialize, Serialize};

/// Probabilities are clipped to this distance from 0 and 1: one outcome must not give an alarm.
const EDGE: f64 = 0.02;
/// The rise that the CUSUM is tuned to, in standard deviations of the excess.
const RISE: f64 = 0.25;
/// A single excess is clipped to this many deviations.
const MOST: f64 = 4.0;
/// Predictions before the test starts.
const LEAST: f64 = 500.0;
/// Predictions that estimate mean and deviation; older ones decay.
const MEMORY: f64 = 5_000.0;

/// Page's CUSUM on the excess of the log loss over its expectation under the predictions: with calibrated predictions its
/// mean is zero. A miscalibrated model has a constant excess; the test detects its rise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LossDetector {
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
struct LossRise {
    before: f64,
    after: f64,
    outcomes: u64,
    evidence: f64,
}

/// Returns the excess of one prediction's log loss.
pub(super) fn excess(predicted: f64, success: bool) -> f64 {
    let p = predicted.clamp(EDGE, 1.0 - EDGE);
    let loss = if success { -p.ln() } else { -(1.0 - p).ln() };
    loss + p * p.ln() + (1.0 - p) * (1.0 - p).ln()
}

/// Losses are skewed: alarms come so many times as often as the theory for the normal distribution predicts (measured by
/// `where_nothing_changes_little_is_said`).
const SKEW: f64 = 4.0;
impl DriftDetector for LossDetector {
    fn update(&mut self, outcome: &Evaluated, context: &Context<'_>) -> Vec<Finding> {
        if outcome.predicted.is_nan() {
            return Vec::new();
        }
        let run = SKEW * 10_000.0 / context.options.false_alarms;
        let rise = self.observe(f64::from(outcome.predicted), outcome.success, run);
        rise.iter().map(|rise| finding(rise, context)).collect()
    }
}

impl LossDetector {
    /// Takes in a prediction and its outcome and returns a rise, once the evidence exceeds the threshold. `run` is the
    /// average run length between false alarms.
    fn observe(&mut self, predicted: f64, success: bool, run: f64) -> Option<LossRise> {
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

/// Returns the threshold with average run length `run` (Siegmund 1985).
fn limit(run: f64) -> f64 {
    let wanted = run * RISE * RISE / 2.0;
    let solved = (0..12).fold(wanted.ln_1p(), |x, _| (wanted + 1.0 + x).ln());
    solved - 1.166 * RISE
}

fn finding(rise: &LossRise, context: &Context<'_>) -> Finding {
    let Context { recent, names, .. } = *context;
    let taken = recent.taken();
    let began = taken.saturating_sub(rise.outcomes);
    let place = slice_attribution::most_excess(recent, began);
    let slice = place.and_then(|(dimension, value)| names.key(dimension, value));
    let times = Times::between(recent, began, taken - 1);
    let most = slice.as_ref().map(|slice| format!(", most of it with {slice}")).unwrap_or_default();
    Finding {
        kind: DriftKind::Concept,
        subject: "log loss".into(),
        within: None,
        since: times.since,
        found_at: times.now,
        events: rise.outcomes,
        before: rise.before,
        after: rise.after,
        size: ChangeSize { evidence: Some(rise.evidence), ..ChangeSize::default() },
        severity: Severity::Warning,
        text: format!(
            "The log loss of success predictions is {:+.3} above its expectation since {}{most}, {:+.3} before ({} \
             outcomes).",
            rise.after,
            since_words(times.since),
            rise.before,
            rise.outcomes
        ),
        advice: "Retrain on the newest outcomes; until then use predictions with care.".into(),
        slice,
    }
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
