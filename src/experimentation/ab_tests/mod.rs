//! Experiments: who gets which arm, and what may be concluded however often one looks.
//!
//! A unit (user, project, session, task) is assigned by a hash of its name, so it stays in its arm
//! without anything being stored ([`Experiment::assign`]). The arms are compared unit by unit on
//! outcomes that have had the same time to become known, by intervals that hold at all looks at once
//! ([`ExperimentData::analyse`]).

mod analyse;
mod data;
mod ratio;
mod report;
mod spec;

pub(in crate::experimentation) use analyse::radius;
pub use analyse::{AnalysisOptions, GuardrailMetric, Metric};
pub use data::{ExperimentData, Observation};
pub use ratio::SampleRatio;
pub use report::{ArmReport, ExperimentReport, ExperimentVerdict, MetricComparison};
pub use spec::{Arm, Experiment, ExperimentSpec, Experiments, Layer, RampStep};
