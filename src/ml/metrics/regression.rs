//! Scores of predicted numbers and intervals against what happened.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How well predicted numbers fit labels; errors are in the label's unit.
///
/// ```
/// use devmatrix_ml::ml::metrics::RegressionScores;
/// let scores = RegressionScores::of(&[1.0, 2.0, 6.0], &[1.0, 3.0, 4.0])?;
/// assert_eq!((scores.mae, scores.median_ae), (1.0, 1.0));
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegressionScores {
    /// Mean absolute error.
    pub mae: f64,
    /// Root of the mean squared error.
    pub(crate) rmse: f64,
    /// Median absolute error.
    pub median_ae: f64,
    /// Share of the labels' variance that is explained, at most 1; `None` when all labels are the
    /// same.
    pub(crate) r2: Option<f64>,
    /// Mean of prediction minus label: above 0 too much is predicted.
    pub(crate) bias: f64,
    /// The intervals that should hold 80 % of the labels, if there were any.
    pub(crate) interval_80: Option<IntervalScores>,
    /// The intervals that should hold 90 % of the labels, if there were any.
    pub(crate) interval_90: Option<IntervalScores>,
    /// Rows scored.
    pub n: usize,
}

/// How well intervals hold labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub(crate) struct IntervalScores {
    /// Share of the labels that lie within their interval.
    pub(crate) coverage: f64,
    /// Mean width, in the label's unit.
    pub(crate) mean_width: f64,
    /// Mean interval score, in the label's unit, the less the better: the width and, for a label
    /// outside, 2 / (1 − level) times how far (Winkler 1972; Gneiting and Raftery 2007).
    pub(crate) winkler: f64,
}

impl RegressionScores {
    /// Scores `predictions` against `labels`.
    ///
    /// # Errors
    /// `InvalidInput` when they differ in number, are empty, or a value is not finite.
    pub fn of(predictions: &[f64], labels: &[f64]) -> Result<Self> {
        check("predictions", predictions.len(), labels)?;
        if predictions.iter().any(|p| !p.is_finite()) {
            return Err(Error::invalid("every prediction must be finite"));
        }
        let n = labels.len();
        let errors: Vec<_> = predictions.iter().zip(labels).map(|(p, y)| p - y).collect();
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / n as f64;
        let squared = mean(&mut errors.iter().map(|e| e * e));
        let middle = mean(&mut labels.iter().copied());
        let variance = mean(&mut labels.iter().map(|y| (y - middle).powi(2)));
        Ok(Self {
            mae: mean(&mut errors.iter().map(|e| e.abs())),
            rmse: squared.sqrt(),
            median_ae: median(errors.iter().map(|e| e.abs()).collect()),
            r2: labels.iter().any(|y| *y != labels[0]).then(|| 1.0 - squared / variance),
            bias: mean(&mut errors.iter().copied()),
            interval_80: None,
            interval_90: None,
            n,
        })
    }

    /// The scores by name; those that are not defined are left out.
    pub fn to_map(&self) -> BTreeMap<String, f64> {
        let named =
            [("mae", self.mae), ("rmse", self.rmse), ("median_ae", self.median_ae), ("bias", self.bias)];
        let r2 = self.r2.map(|r2| ("r2", r2));
        let mut found: BTreeMap<_, _> =
            named.into_iter().chain(r2).map(|(name, value)| (name.to_owned(), value)).collect();
        for (level, scores) in [(80, self.interval_80), (90, self.interval_90)] {
            let Some(scores) = scores else { continue };
            found.insert(format!("coverage_{level}"), scores.coverage);
            found.insert(format!("width_{level}"), scores.mean_width);
            found.insert(format!("winkler_{level}"), scores.winkler);
        }
        found
    }
}

/// Returns Pearson's correlation; `None` where one side has but one value.
pub(crate) fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len() as f64;
    let means = [a, b].map(|values| values.iter().sum::<f64>() / n);
    let sum = |x: &[f64], y: &[f64], [mx, my]: [f64; 2]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum()
    };
    let (aa, bb) = (sum(a, a, [means[0]; 2]), sum(b, b, [means[1]; 2]));
    let r = sum(a, b, means) / (aa * bb).sqrt();
    (aa > 0.0 && bb > 0.0 && r.is_finite()).then(|| r.clamp(-1.0, 1.0))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    0.5 * (values[(n - 1) / 2] + values[n / 2])
}

fn check(what: &str, given: usize, labels: &[f64]) -> Result<()> {
    if given != labels.len() || labels.is_empty() {
        return Err(Error::invalid(format!(
            "{given} {what} against {} labels: give as many, and at least one",
            labels.len()
        )));
    }
    match labels.iter().position(|y| !y.is_finite()) {
        Some(row) => Err(Error::invalid(format!("label {} of row {row} is not finite", labels[row]))),
        None => Ok(()),
    }
}

#[cfg(test)]
impl RegressionScores {
    /// Adds the scores of prediction intervals at 80 % and 90 %.
    ///
    /// # Errors
    /// `InvalidInput` when intervals and labels differ in number, or a value is not finite.
    pub(crate) fn with_intervals(
        self,
        at_80: &[crate::ml::Interval],
        at_90: &[crate::ml::Interval],
        labels: &[f64],
    ) -> Result<Self> {
        let interval_80 = Some(IntervalScores::of(at_80, labels, 0.8)?);
        let interval_90 = Some(IntervalScores::of(at_90, labels, 0.9)?);
        Ok(Self { interval_80, interval_90, ..self })
    }
}

#[cfg(test)]
impl IntervalScores {
    /// Scores `intervals` that should hold the share `level` of the `labels`.
    ///
    /// # Errors
    /// `InvalidInput` when they differ in number, are empty, a value is not finite, or the level is
    /// not within (0, 1).
    pub(crate) fn of(intervals: &[crate::ml::Interval], labels: &[f64], level: f64) -> Result<Self> {
        check("intervals", intervals.len(), labels)?;
        if !(level > 0.0 && level < 1.0) {
            return Err(Error::invalid(format!("level of intervals is {level}, expected within (0, 1)")));
        }
        let sound =
            |i: &crate::ml::Interval| i.lower.is_finite() && i.upper.is_finite() && i.lower <= i.upper;
        if !intervals.iter().all(sound) {
            return Err(Error::invalid("every interval must be finite, its lower end not above its upper"));
        }
        let mean = |f: &dyn Fn(&crate::ml::Interval, f64) -> f64| {
            intervals.iter().zip(labels).map(|(i, y)| f(i, *y)).sum::<f64>() / labels.len() as f64
        };
        let outside = |i: &crate::ml::Interval, y: f64| (i.lower - y).max(y - i.upper).max(0.0);
        Ok(Self {
            coverage: mean(&|i, y| f64::from(u8::from(i.contains(y)))),
            mean_width: mean(&|i, _| i.width()),
            winkler: mean(&|i, y| i.width() + 2.0 / (1.0 - level) * outside(i, y)),
        })
    }
}

#[cfg(test)]
/// The mean pinball loss of a predicted quantile at `level`, in the label's unit (Koenker and Bassett
/// 1978): a label above it costs level, one below 1 − level a unit.
///
/// # Errors
/// `InvalidInput` when predictions and labels differ in number, are empty, a value is not finite, or
/// the level is not within (0, 1).
pub(crate) fn pinball(predictions: &[f64], labels: &[f64], level: f64) -> Result<f64> {
    check("predictions", predictions.len(), labels)?;
    if !(level > 0.0 && level < 1.0) || predictions.iter().any(|p| !p.is_finite()) {
        return Err(Error::invalid(format!(
            "pinball loss at {level}: give a level within (0, 1) and finite predictions"
        )));
    }
    let losses = predictions.iter().zip(labels).map(|(p, y)| (level * (y - p)).max((level - 1.0) * (y - p)));
    Ok(losses.sum::<f64>() / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ml::Interval;

    const PREDICTIONS: [f64; 6] = [2.5, 0.0, 2.0, 8.0, -1.0, 4.5];
    const LABELS: [f64; 6] = [3.0, -0.5, 2.0, 7.0, 1.5, 4.0];
    const REFERENCE: [f64; 5] =
        [0.833_333_333_333, 1.154_700_538_379, 0.5, 0.752_577_319_588, -0.166_666_666_667];
    const PINBALL: [(f64, f64); 3] = [(0.1, 0.35), (0.5, 0.416_666_666_667), (0.9, 0.483_333_333_333)];

    /// `mean_absolute_error`, `root_mean_squared_error`, `median_absolute_error`, `r2_score` and
    /// `mean_pinball_loss` of scikit-learn 1.9.1.
    #[test]
    fn scores_equal_the_reference() {
        let s = RegressionScores::of(&PREDICTIONS, &LABELS).unwrap();
        let found = [s.mae, s.rmse, s.median_ae, s.r2.unwrap(), s.bias];
        for (found, wanted) in found.iter().zip(REFERENCE) {
            assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted}");
        }
        for (level, wanted) in PINBALL {
            let found = pinball(&PREDICTIONS, &LABELS, level).unwrap();
            assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted}");
        }
    }

    /// By hand: widths 2, 2, 1; a label 0.5 above its interval costs 0.5 · 2 / 0.2 = 5 more.
    #[test]
    fn intervals_are_scored_by_width_and_misses() {
        let at = |lower, upper| Interval { lower, upper };
        let (intervals, labels) = ([at(0.0, 2.0), at(1.0, 3.0), at(4.0, 5.0)], [1.0, 3.0, 5.5]);
        let s = IntervalScores::of(&intervals, &labels, 0.8).unwrap();
        assert!((s.coverage - 2.0 / 3.0).abs() < 1e-12 && (s.mean_width - 5.0 / 3.0).abs() < 1e-12);
        assert!((s.winkler - 10.0 / 3.0).abs() < 1e-12, "{s:?}");
        // An interval score is a sum of pinball losses of its ends.
        let ends = |f: &dyn Fn(&Interval) -> f64| intervals.iter().map(f).collect::<Vec<_>>();
        let sum = pinball(&ends(&|i| i.lower), &labels, 0.1).unwrap()
            + pinball(&ends(&|i| i.upper), &labels, 0.9).unwrap();
        assert!((s.winkler - 2.0 / 0.2 * sum).abs() < 1e-12);
        let all = RegressionScores::of(&[1.0, 2.0, 5.0], &labels).unwrap();
        let all = all.with_intervals(&intervals, &intervals, &labels).unwrap().to_map();
        assert_eq!(all.len(), 11);
        assert_eq!(all["coverage_80"], s.coverage);
    }

    #[test]
    fn what_cannot_be_scored_is_refused() {
        assert!(RegressionScores::of(&[], &[]).is_err());
        assert!(RegressionScores::of(&[1.0], &[f64::NAN]).is_err());
        assert!(RegressionScores::of(&[f64::INFINITY], &[1.0]).is_err());
        assert!(pinball(&[1.0], &[1.0], 1.0).is_err() && pinball(&[f64::NAN], &[1.0], 0.5).is_err());
        let turned = [Interval { lower: 1.0, upper: 0.0 }];
        assert!(IntervalScores::of(&turned, &[1.0], 0.8).is_err());
        assert!(IntervalScores::of(&[], &[1.0], 0.8).is_err());
        assert_eq!(RegressionScores::of(&[1.0, 2.0], &[3.0, 3.0]).unwrap().r2, None);
    }
}
