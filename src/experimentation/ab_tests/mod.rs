//! A/B tests: deterministic assignment and anytime-valid analysis.
//!
//! A unit (user, project, session, task) is assigned by a hash of its name, so that it stays in its arm without anything
//! being stored ([`Experiments::assign`]). The arms are compared by unit on outcomes of the same age, by confidence
//! sequences: the analysis may be repeated at any time ([`ExperimentData::analyze`]).

mod analysis;
mod data;
mod ratio;
mod report;
mod spec;

pub use analysis::{AnalysisOptions, GuardrailMetric, Metric};
pub(in crate::experimentation) use analysis::{beyond_rounding, radius};
pub use data::ExperimentData;
pub use report::{ArmReport, ExperimentReport, ExperimentVerdict, MetricComparison};
pub use spec::{Arm, ExperimentSpec, Experiments, Layer, RampStep};

#[cfg(test)]
mod tests;
