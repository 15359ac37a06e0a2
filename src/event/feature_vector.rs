//! The stored form of a generation's features.

use crate::event::EventId;
use serde::{Deserialize, Serialize};

/// The features of one generation as they were when it started, with its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FeatureVector {
    /// The generation.
    pub event_id: EventId,
    /// Fingerprint of the table of features that made it.
    pub schema: u64,
    /// One value a feature, in the table's order; missing is `None`.
    pub values: Vec<Option<f32>>,
    /// Approved without modification.
    pub target_success: Option<bool>,
    /// Final quality, 0 to 10.
    pub(crate) target_quality_score: Option<f64>,
    /// Seconds.
    pub target_time_seconds: Option<f64>,
}

impl FeatureVector {
    /// Creates a vector without targets; what is not finite becomes `None`.
    pub fn new(event_id: EventId, schema: u64, values: &[f32]) -> Self {
        let values = values.iter().map(|v| v.is_finite().then_some(*v)).collect();
        Self {
            event_id,
            schema,
            values,
            target_success: None,
            target_quality_score: None,
            target_time_seconds: None,
        }
    }
}
