//! Costs and seconds that are far from what an LLM usually takes: an error of who recorded them, more often than a dear run.

use crate::event::EventId;
use crate::monitoring::Finding;
use crate::routing::Outlier;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::VecDeque;

/// The newest outliers.
#[derive(Debug, Default)]
pub(super) struct Outliers(VecDeque<Finding>);

/// Outliers that are named at most.
const MOST: usize = 50;

impl Outliers {
    /// Notes that the end of `event` told an amount which counts for less.
    pub(super) fn note(&mut self, event: &EventId, llm: Option<&str>, outlier: &Outlier, at: DateTime<Utc>) {
        let Outlier { what, value, usual, counts } = *outlier;
        let (llm, times) = (llm.unwrap_or("an unknown LLM"), value / usual);
        let text = format!(
            "{event}: the {what} of {llm} is {value}, {times:.0} times the usual {usual:.4}: the router counts it as {counts:.4}."
        );
        self.0.push_back(Finding::outlier(format!("{what} of {event}"), at, (usual, value), text));
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// Returns those of the last three days.
    pub(super) fn findings(&mut self, now: DateTime<Utc>) -> Vec<Finding> {
        self.0.retain(|finding| now - finding.since <= TimeDelta::days(3));
        self.0.iter().cloned().collect()
    }
}
