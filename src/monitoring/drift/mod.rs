//! Drift: success rates, log loss, features and new values.

mod bernoulli_cusum;
mod cbpe;
mod columns;
mod concept;
mod detector;
mod distance;
mod features;
mod finding;
mod rates;
mod slice_attribution;
mod slice_sums;
mod unseen;

pub(super) use cbpe::estimate;
pub(super) use columns::{ColumnWatch, Recent as RecentColumn};
pub(super) use detector::Context;
pub(super) use features::{END_NUMBERS, FeatureWatch, START_NUMBERS, at_end, at_start};
pub(crate) use finding::CbpeEstimate;
pub use finding::{DriftKind, Finding, Severity};
pub(crate) use unseen::UnseenCounts;

use super::recent::Evaluated;
use chrono::{DateTime, Utc};
use concept::LossDetector;
use detector::DriftDetector;
use rates::RateDetector;
use serde::{Deserialize, Serialize};

/// Findings that are kept.
const KEPT: usize = 100;

/// The drift detectors on outcomes, and all findings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Drift {
    rates: RateDetector,
    loss: LossDetector,
    /// The newest last.
    findings: Vec<Finding>,
}

impl Drift {
    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Adds findings; the oldest are dropped.
    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
        let surplus = self.findings.len().saturating_sub(KEPT);
        self.findings.drain(..surplus);
    }

    /// Passes the newest outcome to every detector.
    pub(super) fn update(&mut self, outcome: &Evaluated, context: &Context<'_>) {
        let found: Vec<_> =
            self.detectors().flat_map(|(_, detector)| detector.update(outcome, context)).collect();
        self.add(found);
    }

    /// Returns the names of the detectors in their order: a monitor's bytes say which of them wrote it.
    pub(super) fn names() -> Vec<&'static str> {
        Self::default().detectors().map(|(name, _)| name).collect()
    }

    /// Returns the detectors with their names; a new one comes last.
    fn detectors(&mut self) -> impl Iterator<Item = (&'static str, &mut dyn DriftDetector)> {
        let all: [(_, &mut dyn DriftDetector); _] = [("rates", &mut self.rates), ("loss", &mut self.loss)];
        all.into_iter()
    }
}

/// Returns a day in words.
pub(super) fn since_words(moment: DateTime<Utc>) -> String {
    moment.format("%A %-d %B %Y").to_string()
}
