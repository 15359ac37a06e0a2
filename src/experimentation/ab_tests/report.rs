//! The report of an experiment, for a person to read.

use super::analysis::Metric;
use super::ratio::SampleRatio;
use crate::experimentation::unbounded;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The analysis of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExperimentReport {
    /// The experiment.
    pub(crate) experiment: String,
    /// The conclusion.
    pub verdict: ExperimentVerdict,
    /// The reasons, the deciding one first.
    pub reasons: Vec<String>,
    /// The arms, the control first.
    pub arms: Vec<ArmReport>,
    /// The sample ratio check.
    pub(crate) ratio: SampleRatio,
    /// Generations younger than the attribution window: they count later.
    pub(crate) young: usize,
}

/// The conclusion from an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExperimentVerdict {
    /// Inconclusive: let it run.
    Continue,
    /// An arm is significantly better than the control.
    Winner {
        /// The best of those.
        arm: String,
    },
    /// An arm is significantly worse than the control, or than a guardrail allows: stop it.
    Harm {
        /// The arm.
        arm: String,
    },
    /// No arm differs from the control by as much as matters.
    NoDifference,
    /// Units are lost or moved: mend the assignment, and conclude nothing.
    Broken,
}

/// One arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArmReport {
    /// Its name.
    pub arm: String,
    /// Units assigned.
    pub(crate) units: u64,
    /// Generations with an outcome; where outcomes are weighted, the sum of the weights.
    pub generations: f64,
    /// Share of them approved without modification.
    pub success: Option<f64>,
    /// Mean cost in US dollars.
    pub cost: Option<f64>,
    /// Mean seconds.
    pub seconds: Option<f64>,
    /// Share of the generations older than the attribution window that are labelled; `None` where none is older.
    #[serde(alias = "answered")]
    pub(crate) labelled: Option<f64>,
    /// Comparison with the control: success first, then the guardrails; empty where units are too few.
    pub against_control: Vec<MetricComparison>,
}

/// An arm's mean minus the control's, with an anytime-valid interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetricComparison {
    /// The metric.
    pub metric: Metric,
    /// The arm's mean minus the control's.
    pub difference: f64,
    /// Lower end; minus infinity, in JSON `null`, where the spread cannot be told yet.
    #[serde(deserialize_with = "unbounded::below")]
    pub lower: f64,
    /// Upper end; infinity, in JSON `null`, where the spread cannot be told yet.
    #[serde(deserialize_with = "unbounded::above")]
    pub upper: f64,
    /// Variance reduction by the covariate, as a share.
    pub(crate) variance_saved: f64,
}

impl fmt::Display for MetricComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metric, difference, lower, upper, .. } = self;
        match metric {
            Metric::Success => write!(
                f,
                "{metric} {:+.1} points ({:+.1} to {:+.1})",
                difference * 100.0,
                lower * 100.0,
                upper * 100.0
            ),
            Metric::Cost => write!(f, "{metric} {difference:+.4} $ ({lower:+.4} to {upper:+.4})"),
            Metric::Seconds => write!(f, "{metric} {difference:+.1} s ({lower:+.1} to {upper:+.1})"),
        }
    }
}

impl fmt::Display for ExperimentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "experiment {}: {}", self.experiment, self.verdict)?;
        for arm in &self.arms {
            write!(f, "  {}: {} units, {:.0} generations", arm.arm, arm.units, arm.generations)?;
            if let Some(success) = arm.success {
                write!(f, ", success {:.1} %", success * 100.0)?;
            }
            if let Some(labelled) = arm.labelled {
                write!(f, ", {:.0} % labelled", labelled * 100.0)?;
            }
            arm.against_control.iter().try_for_each(|found| write!(f, "; {found}"))?;
            if let Some(saved) = arm.against_control.first().map(|c| c.variance_saved).filter(|s| *s > 0.0) {
                write!(f, ", variance reduced by {:.0} %", saved * 100.0)?;
            }
            writeln!(f)?;
        }
        self.reasons.iter().try_for_each(|reason| writeln!(f, "  because {reason}"))?;
        if self.young > 0 {
            writeln!(f, "  {} generations are younger than the attribution window", self.young)?;
        }
        Ok(())
    }
}

impl fmt::Display for ExperimentVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue => f.write_str("continue"),
            Self::Winner { arm } => write!(f, "winner: {arm}"),
            Self::Harm { arm } => write!(f, "stop {arm}: harm"),
            Self::NoDifference => f.write_str("no difference that matters"),
            Self::Broken => f.write_str("broken"),
        }
    }
}
