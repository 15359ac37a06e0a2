//! The past tasks most like a new one, as evidence.

use super::attributions::Locale;
use crate::history::NearestTask;
use serde::{Deserialize, Serialize};

/// Similar past tasks and their outcomes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SimilarOutcomes {
    /// The nearest first.
    pub tasks: Vec<NearestTask>,
    /// A sentence that counts their outcomes.
    pub text: String,
}

impl SimilarOutcomes {
    /// The evidence in the words of `locale`.
    pub(crate) fn new(tasks: Vec<NearestTask>, locale: &dyn Locale) -> Self {
        Self { text: locale.similar(&tasks), tasks }
    }
}
