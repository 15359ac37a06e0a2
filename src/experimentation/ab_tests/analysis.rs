//! Comparison of the arms by unit.

use super::data::{ExperimentData, Sum, UnitSums};
use super::ratio::SampleRatio;
use super::report::{ArmReport, ExperimentReport, ExperimentVerdict, MetricComparison};
use crate::error::{Result, in_range};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A metric of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Share of generations approved without modification: more is better.
    Success,
    /// Mean cost in US dollars: less is better.
    Cost,
    /// Mean seconds: less is better.
    Seconds,
}

/// A guardrail metric: an arm that is significantly worse by more than `tolerance` stops.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardrailMetric {
    /// The metric.
    pub metric: Metric,
    /// The tolerated change, in the metric's unit, from 1e-9.
    pub tolerance: f64,
}

/// Options of the analysis. They must be set before the first analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AnalysisOptions {
    /// The probability of no wrong winner and no wrong alarm at any analysis, 0.5 to 0.999; by default 0.95.
    pub confidence: f64,
    /// Minimum detectable effect on the success rate, 0.001 to 0.5; the intervals are tightest for it. By default 0.05.
    pub effect: f64,
    /// Units an arm before a conclusion, from 10, by default 30: the intervals are asymptotic.
    pub min_units: usize,
    /// Metrics that must not get worse.
    #[serde(alias = "guards")]
    pub guardrails: Vec<GuardrailMetric>,
    /// Significance level of the sample ratio mismatch (SRM) check over all analyses, 1e-9 to 0.1; by default 0.001.
    pub ratio_alpha: f64,
}

/// Significance level at which a covariate that differs between arms is taken to depend on the arm.
const UNBALANCED: f64 = 0.01;

impl Default for AnalysisOptions {
    fn default() -> Self {
        Self { confidence: 0.95, effect: 0.05, min_units: 30, guardrails: Vec::new(), ratio_alpha: 0.001 }
    }
}

impl AnalysisOptions {
    /// Checks every range.
    pub(crate) fn validate(&self) -> Result<()> {
        in_range("confidence", self.confidence, 0.5, 0.999)?;
        in_range("effect", self.effect, 0.001, 0.5)?;
        in_range("min_units", self.min_units as f64, 10.0, 1e9)?;
        in_range("ratio_alpha", self.ratio_alpha, 1e-9, 0.1)?;
        self.guardrails.iter().try_for_each(|g| in_range("tolerance", g.tolerance, 1e-9, 1e9))
    }
}

impl ExperimentData {
    /// Compares every arm with the control. It is anytime-valid: the probability that any analysis ever names a winner or
    /// an alarm where arms are equal stays below 1 - `confidence`.
    ///
    /// Means are over generations, their variance is by unit. The intervals are asymptotic confidence sequences
    /// (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024), with a Bonferroni correction for arms and guardrails.
    /// Predictions made before the arms took effect reduce the variance (CUPED: Deng, Xu, Kohavi and Walker 2013), unless
    /// they differ significantly between arms.
    ///
    /// # Errors
    /// `InvalidInput` when an option is out of range.
    pub fn analyze(&self, options: &AnalysisOptions) -> Result<ExperimentReport> {
        options.validate()?;
        let spec = self.experiment.spec();
        let planned: Vec<_> = spec.arms.iter().map(|arm| arm.share).collect();
        let mut counts = vec![0; spec.arms.len()];
        self.units.iter().for_each(|unit| counts[unit.arm] += 1);
        let ratio = SampleRatio::of(&counts, &planned);
        let contrasts = (spec.arms.len() - 1) * (1 + options.guardrails.len());
        let alpha = (1.0 - options.confidence) / contrasts as f64;
        let covariate = Covariate::of(&self.units, spec.arms.len(), options);
        let compare = |metric: Metric, arm: usize, matters: f64| {
            self.compare(metric, arm, &covariate, alpha, matters, options.min_units)
        };
        let arms: Vec<_> = (0..spec.arms.len())
            .map(|arm| {
                let mut against_control = Vec::new();
                if arm > 0 {
                    against_control.extend(compare(Metric::Success, arm, options.effect));
                    let guardrails = options.guardrails.iter();
                    against_control.extend(guardrails.filter_map(|g| compare(g.metric, arm, g.tolerance)));
                }
                self.arm_report(arm, counts[arm], against_control)
            })
            .collect();
        let (verdict, reasons) = self.conclude(&arms, &ratio, &covariate, options);
        Ok(ExperimentReport {
            experiment: spec.name.clone(),
            verdict,
            reasons,
            arms,
            ratio,
            young: self.young,
        })
    }

    fn arm_report(&self, arm: usize, units: u64, against_control: Vec<MetricComparison>) -> ArmReport {
        let sum = |of: fn(&UnitSums) -> Sum| {
            let sums = self.units.iter().filter(|unit| unit.arm == arm).map(of);
            let (total, weight) = sums.fold((0.0, 0.0), |(t, w), sum| (t + sum.total, w + sum.weight));
            (weight > 0.0).then_some((total / weight, weight))
        };
        let (old, labelled) = self.labelled[arm];
        ArmReport {
            arm: self.experiment.spec().arms[arm].name.clone(),
            units,
            generations: sum(|unit| unit.success).map_or(0.0, |(_, weight)| weight),
            success: sum(|unit| unit.success).map(|(mean, _)| mean),
            cost: sum(|unit| unit.cost).map(|(mean, _)| mean),
            seconds: sum(|unit| unit.seconds).map(|(mean, _)| mean),
            labelled: (old > 0).then(|| labelled as f64 / old as f64),
            against_control,
        }
    }

    /// Compares an arm with the control; `None` where either has too few units.
    fn compare(
        &self,
        metric: Metric,
        arm: usize,
        covariate: &Covariate,
        alpha: f64,
        matters: f64,
        min_units: usize,
    ) -> Option<MetricComparison> {
        let sum = |unit: &UnitSums| match metric {
            Metric::Success => unit.success,
            Metric::Cost => unit.cost,
            Metric::Seconds => unit.seconds,
        };
        let used = if metric == Metric::Success { covariate.mean() } else { None };
        let side = |of: usize| {
            let units = self.units.iter().filter(|unit| unit.arm == of);
            Side::of(units.map(|unit| (sum(unit), used.map_or(0.0, |mean| unit.centered(mean)))), min_units)
        };
        let (control, treated) = (side(0)?, side(arm)?);
        let theta = if used.is_some() { Side::slope(&[&control, &treated]) } else { 0.0 };
        let difference = treated.mean(theta) - control.mean(theta);
        let plain = treated.variance(0.0) + control.variance(0.0);
        let variance = treated.variance(theta) + control.variance(theta);
        let variance = beyond_rounding(variance, treated.mean(0.0).abs().max(control.mean(0.0).abs()));
        let radius = radius(variance, matters, alpha);
        Some(MetricComparison {
            metric,
            difference,
            lower: difference - radius,
            upper: difference + radius,
            variance_saved: if plain > 0.0 { 1.0 - variance / plain } else { 0.0 },
        })
    }

    fn conclude(
        &self,
        arms: &[ArmReport],
        ratio: &SampleRatio,
        covariate: &Covariate,
        options: &AnalysisOptions,
    ) -> (ExperimentVerdict, Vec<String>) {
        let mut reasons = Vec::new();
        if let Covariate::Unbalanced(difference) = covariate {
            reasons.push(format!(
                "the predictions differ significantly between arms ({difference:+.3}), so they depend on the arm: not used"
            ));
        }
        if self.moved > 0 {
            reasons.insert(
                0,
                format!("{} units were assigned to two arms: the assignment is broken", self.moved),
            );
            return (ExperimentVerdict::Broken, reasons);
        }
        if ratio.is_faulty(options.ratio_alpha) {
            let (units, planned) = (&ratio.units, &ratio.planned);
            let why = format!(
                "sample ratio mismatch: units by arm {units:?} do not fit the shares {planned:?}, so units are lost"
            );
            reasons.insert(0, why);
            return (ExperimentVerdict::Broken, reasons);
        }
        for arm in arms {
            for found in &arm.against_control {
                if let Some(why) = found.harm(options) {
                    reasons.insert(0, format!("{}: {why}", arm.arm));
                    return (ExperimentVerdict::Harm { arm: arm.arm.clone() }, reasons);
                }
            }
        }
        let success = |arm: &ArmReport| arm.against_control.first().copied();
        let better = arms.iter().filter_map(|arm| Some((arm, success(arm).filter(|c| c.lower > 0.0)?)));
        if let Some((arm, found)) = better.max_by(|a, b| a.1.difference.total_cmp(&b.1.difference)) {
            reasons.insert(0, format!("{}: significantly better than {}: {found}", arm.arm, arms[0].arm));
            return (ExperimentVerdict::Winner { arm: arm.arm.clone() }, reasons);
        }
        let near = |c: MetricComparison| c.lower > -options.effect && c.upper < options.effect;
        if arms[1..].iter().all(|arm| success(arm).is_some_and(near)) {
            let why = format!("no arm differs by as much as {:.1} points", options.effect * 100.0);
            reasons.insert(0, why);
            return (ExperimentVerdict::NoDifference, reasons);
        }
        let few = arms.iter().filter(|arm| arm.units < options.min_units as u64).count();
        let constant = arms.iter().any(|arm| success(arm).is_some_and(|found| found.upper == f64::INFINITY));
        reasons.insert(
            0,
            match few {
                0 if constant => {
                    "inconclusive: the units of an arm do not vary at all, so no interval can be told"
                        .to_owned()
                }
                0 => "inconclusive: the intervals contain both 0 and a difference that matters".to_owned(),
                _ => format!("{few} arms have fewer than {} units", options.min_units),
            },
        );
        (ExperimentVerdict::Continue, reasons)
    }
}

impl MetricComparison {
    /// Returns the reason why the arm must stop, if it must.
    fn harm(&self, options: &AnalysisOptions) -> Option<String> {
        let guard = options.guardrails.iter().find(|guard| guard.metric == self.metric);
        let tolerance = guard.map(|guard| guard.tolerance);
        let worse = match self.metric {
            Metric::Success => self.upper < -tolerance.unwrap_or(0.0),
            Metric::Cost | Metric::Seconds => tolerance.is_some_and(|most| self.lower > most),
        };
        worse.then(|| format!("significantly worse than the control: {self}"))
    }
}

/// The covariate of the success rate.
enum Covariate {
    None,
    /// The mean prediction.
    Used(f64),
    /// The difference between an arm and the control.
    Unbalanced(f64),
}

impl Covariate {
    fn of(units: &[UnitSums], arms: usize, options: &AnalysisOptions) -> Self {
        let (total, weight) =
            units.iter().fold((0.0, 0.0), |(t, w), u| (t + u.predicted.total, w + u.predicted.weight));
        if weight == 0.0 {
            return Self::None;
        }
        let side = |arm: usize| {
            let units = units.iter().filter(|unit| unit.arm == arm);
            Side::of(units.map(|unit| (unit.predicted, 0.0)), options.min_units)
        };
        for arm in 1..arms {
            let (Some(control), Some(treated)) = (side(0), side(arm)) else { return Self::None };
            let difference = treated.mean(0.0) - control.mean(0.0);
            let variance = treated.variance(0.0) + control.variance(0.0);
            let variance = beyond_rounding(variance, treated.mean(0.0).abs().max(control.mean(0.0).abs()));
            if difference.abs() > radius(variance, options.effect, UNBALANCED / (arms - 1) as f64) {
                return Self::Unbalanced(difference);
            }
        }
        Self::Used(total / weight)
    }

    fn mean(&self) -> Option<f64> {
        match self {
            Self::Used(mean) => Some(*mean),
            Self::None | Self::Unbalanced(_) => None,
        }
    }
}

impl UnitSums {
    /// Returns the sum of the predictions minus `mean`; generations without one add nothing.
    fn centered(&self, mean: f64) -> f64 {
        self.predicted.total - mean * self.predicted.weight
    }
}

/// One arm's units: (sum of values, sum of weights, sum of centered predictions).
struct Side {
    units: Vec<[f64; 3]>,
    sums: [f64; 3],
}

impl Side {
    /// Collects the units with a weight; `None` where they are fewer than `least`.
    fn of(units: impl Iterator<Item = (Sum, f64)>, least: usize) -> Option<Self> {
        let known = units.filter(|(sum, _)| sum.weight > 0.0);
        let units: Vec<_> = known.map(|(sum, prediction)| [sum.total, sum.weight, prediction]).collect();
        let mut sums = [0.0; 3];
        units.iter().for_each(|unit| sums.iter_mut().zip(unit).for_each(|(sum, part)| *sum += part));
        (units.len() >= least.max(2)).then_some(Self { units, sums })
    }

    /// Returns the mean over generations, less `theta` times that of the centered predictions.
    fn mean(&self, theta: f64) -> f64 {
        (self.sums[0] - theta * self.sums[2]) / self.sums[1]
    }

    /// Returns the variance of that mean, over units (linearization of the ratio).
    fn variance(&self, theta: f64) -> f64 {
        let n = self.units.len() as f64;
        let squares: f64 =
            self.residuals().map(|[value, prediction]| (value - theta * prediction).powi(2)).sum();
        squares * n / (n - 1.0) / self.sums[1].powi(2)
    }

    /// Returns each unit's residuals of values and of centered predictions.
    fn residuals(&self) -> impl Iterator<Item = [f64; 2]> {
        let means = [self.sums[0] / self.sums[1], self.sums[2] / self.sums[1]];
        self.units.iter().map(move |[value, weight, prediction]| {
            [value - means[0] * weight, prediction - means[1] * weight]
        })
    }

    /// Returns the slope of values on centered predictions, common to the sides.
    fn slope(sides: &[&Self]) -> f64 {
        let (mut both, mut square) = (0.0, 0.0);
        for [value, prediction] in sides.iter().flat_map(|side| side.residuals()) {
            both += value * prediction;
            square += prediction * prediction;
        }
        if square > 0.0 { both / square } else { 0.0 }
    }
}

/// Returns the variance of a mean of numbers as large as `scale`; 0 where it is no more than their rounding: numbers that
/// do not vary are not told apart from sums of them that differ in the last digit.
pub(in crate::experimentation) fn beyond_rounding(variance: f64, scale: f64) -> f64 {
    if variance <= (1e-9 * scale).powi(2) { 0.0 } else { variance }
}

/// Returns the radius of a confidence sequence for an estimate of that variance, with error probability `alpha` over all
/// analyses: Robbins' normal mixture, in the scale of information (one over the variance). It is tightest when it equals
/// about `matters`.
pub(in crate::experimentation) fn radius(variance: f64, matters: f64, alpha: f64) -> f64 {
    if variance <= 0.0 {
        return if variance == 0.0 { f64::INFINITY } else { f64::NAN };
    }
    let log = -2.0 * alpha.ln();
    // The ratio of information to the mixture's own at which the bound is tightest.
    let tightest = log + log.ln_1p();
    let planned = (1.0 + 1.0 / tightest) * (log + tightest.ln_1p()) / matters.powi(2);
    let x = tightest / (planned * variance);
    (variance * (1.0 + 1.0 / x) * (log + x.ln_1p())).sqrt()
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::Cost => "cost",
            Self::Seconds => "seconds",
        })
    }
}
