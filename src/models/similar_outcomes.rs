//! The past tasks most like a new one, as evidence.

use super::attributions::Locale;
use crate::history::NearestTask;
use serde::{Deserialize, Serialize};

/// Similar past tasks and their outcomes.
///
/// ```
/// use devmatrix_ml::history::Count;
/// use devmatrix_ml::models::SimilarOutcomes;
/// /// The success rate of what is alike.
/// fn success_rate(found: &SimilarOutcomes) -> Option<f64> {
///     let add = |(n, good): (f64, f64), Count { n: more, successes, .. }: &Count| (n + more, good + successes);
///     let (n, good) = found.tasks.iter().map(|task| &task.outcomes).fold((0.0, 0.0), add);
///     (n > 0.0).then(|| good / n)
/// }
/// ```
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
