//! Combinations that do better or worse than their parts let expect.

mod pattern;

pub use pattern::{Condition, Pattern};

use super::dimension::Names;
use super::options::MonitorOptions;
use super::recent::Recent;
use super::words::Words;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Patterns {
    confirmed: Vec<Pattern>,
}

impl Patterns {
    pub(super) fn confirmed(&self) -> &[Pattern] {
        &self.confirmed
    }

    pub(super) fn review(
        &mut self,
        _recent: &Recent,
        _names: &Names,
        _words: &Words,
        _options: &MonitorOptions,
        _now: DateTime<Utc>,
    ) {
    }
}
