//! A factor for each side of one half, and a shift.

use super::{check, newton, smoothed_targets};
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Beta calibration (Kull, Silva Filho and Flach 2017): the calibrated log-odds of a probability p
/// are a · ln p − b · ln(1 − p) + c with a and b from 0; a = b = 1 and c = 0 changes nothing.
///
/// Fitted to Platt's smoothed targets, so that rows that can be told apart do not ask for certainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beta {
    a: f64,
    b: f64,
    c: f64,
}

impl Beta {
    /// Fits to held-out log-odds and what came true. Rows that rise and fall together should share
    /// the weight of one.
    ///
    /// # Errors
    /// `InvalidInput` when the numbers of rows differ or a value is out of range.
    pub(crate) fn fit(margins: &[f64], labels: &[bool], weights: &[f64]) -> Result<Self> {
        check(margins, labels, weights)?;
        Ok(Self::to_targets(margins, &smoothed_targets(labels, weights), weights))
    }

    /// The calibrated log-odds of a margin.
    pub(crate) fn apply(&self, margin: f64) -> f64 {
        let [yes, no] = sides(margin);
        self.a * yes + self.b * no + self.c
    }

    /// Derivatives of the log-odds by the factors and the shift; a factor of 0 was left out.
    pub(super) fn basis(&self, margin: f64) -> [f64; 3] {
        let [yes, no] = sides(margin);
        [if self.a > 0.0 { yes } else { 0.0 }, if self.b > 0.0 { no } else { 0.0 }, 1.0]
    }

    /// Whether what was read back can be used.
    pub(crate) fn is_sound(&self) -> bool {
        (0.0..=1e9).contains(&self.a) && (0.0..=1e9).contains(&self.b) && self.c.abs() <= 1e9
    }

    /// A factor that came out below 0 is left out, and the rest fitted again (as the authors do).
    fn to_targets(margins: &[f64], targets: &[f64], weights: &[f64]) -> Self {
        let rows: Vec<_> = margins.iter().map(|m| sides(*m)).collect();
        let all: Vec<_> = rows.iter().map(|[yes, no]| [*yes, *no, 1.0]).collect();
        let [a, b, c] = newton::fit(&all, targets, weights, [1.0, 1.0, 0.0]);
        if a >= 0.0 && b >= 0.0 {
            return Self { a, b, c };
        }
        let kept = usize::from(a < 0.0);
        let one: Vec<_> = rows.iter().map(|row| [row[kept], 1.0]).collect();
        let [factor, c] = newton::fit(&one, targets, weights, [1.0, 0.0]);
        if factor < 0.0 {
            // Order turned round: only the base rate is left to say.
            let [c] = newton::fit(&vec![[1.0]; rows.len()], targets, weights, [0.0]);
            return Self { a: 0.0, b: 0.0, c };
        }
        if kept == 1 { Self { a: 0.0, b: factor, c } } else { Self { a: factor, b: 0.0, c } }
    }
}

/// ln p and −ln(1 − p) of a margin's probability p.
fn sides(margin: f64) -> [f64; 2] {
    let tail = (-margin.abs()).exp().ln_1p();
    [margin.min(0.0) - tail, margin.max(0.0) + tail]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ml::calibration::golden::{LABELS, MARGINS, WEIGHTS};

    const HARD: [f64; 3] = [0.794_727_294_175, 0.0, 0.512_080_725_803];
    const HARD_WEIGHTED: [f64; 3] = [0.884_571_226_307, 0.0, 0.868_055_338_467];
    const SMOOTHED: [f64; 3] = [0.599_390_643_209, 0.0, 0.348_635_850_201];
    const BOTH_SIDES: [f64; 3] = [0.0, 1.741_064_143_251, -1.514_904_488_798];
    const BOTH_SIDES_SMOOTHED: [f64; 3] = [0.074_370_947_574, 1.061_832_040_059, -0.910_242_642_878];

    fn assert_near(found: Beta, [a, b, c]: [f64; 3]) {
        let off = (found.a - a).abs().max((found.b - b).abs()).max((found.c - c).abs());
        assert!(off < 2e-3, "{found:?} instead of {a} {b} {c}");
    }

    /// `BetaCalibration("abm")` of betacal 1.1.0 on hard targets; `minimize` of scipy 1.17.1 on
    /// smoothed ones.
    #[test]
    fn coefficients_equal_the_reference() {
        let hard = LABELS.map(|y| f64::from(u8::from(y)));
        assert_near(Beta::to_targets(&MARGINS, &hard, &[1.0; 16]), HARD);
        assert_near(Beta::to_targets(&MARGINS, &hard, &WEIGHTS), HARD_WEIGHTED);
        assert_near(Beta::fit(&MARGINS, &LABELS, &[1.0; 16]).unwrap(), SMOOTHED);
        // With the last label turned, neither factor falls below 0.
        let (mut labels, mut hard) = (LABELS, hard);
        (labels[15], hard[15]) = (true, 1.0);
        assert_near(Beta::to_targets(&MARGINS, &hard, &[1.0; 16]), BOTH_SIDES);
        assert_near(Beta::fit(&MARGINS, &labels, &[1.0; 16]).unwrap(), BOTH_SIDES_SMOOTHED);
    }

    #[test]
    fn sides_add_up_to_the_margin() {
        for margin in [-40.0, -1.0, 0.0, 0.3, 40.0] {
            let [yes, no] = sides(margin);
            assert!((yes + no - margin).abs() < 1e-12);
        }
    }

    #[test]
    fn order_is_never_turned_round() {
        let labels: Vec<_> = MARGINS.iter().map(|m| *m < 0.0).collect();
        let fitted = Beta::fit(&MARGINS, &labels, &WEIGHTS).unwrap();
        assert!(fitted.is_sound() && fitted.apply(3.0) >= fitted.apply(-3.0));
        let one_sided = Beta::fit(&MARGINS, &[true; 16], &WEIGHTS).unwrap();
        assert!(one_sided.is_sound() && one_sided.apply(0.0) < 10.0, "{one_sided:?}");
    }
}
