//! Which features the success model looks at, and how a row becomes a linear one.

use crate::features::{FEATURES, Kind, SHAPE, index_of};
use crate::models::column_encoder::ColumnEncoder;
use crate::stats::logit;
use serde::{Deserialize, Serialize};

/// Success rates of what the task shares with the past (its own earlier tries not among them).
pub(super) const RATES: &[&str] = &[
    "overall_success_rate",
    "similar_tasks_success_rate",
    "task_type_success_rate",
    "language_success_rate",
    "agent_past_performance",
    "agent_type_success_rate",
    "agent_language_success_rate",
    "model_past_performance",
    "agent_model_success_rate",
    "project_success_rate",
    "project_agent_success_rate",
    "project_type_success_rate",
    "user_success_rate",
    "user_project_success_rate",
    "template_success_rate",
    "nearest_tasks_success_rate",
];

/// Features of the generation's settings and current context.
pub(super) const SETTING: &[&str] = &[
    "rag_examples_count",
    "rag_avg_quality",
    "rag_avg_similarity",
    "temperature",
    "max_tokens",
    "attempt",
    "current_queue_size",
    "system_load",
    "project_open",
    "project_open_a_day",
    "project_agent_open",
    "project_agent_open_a_day",
    "user_open",
];

/// What only trees can use.
pub(super) const FOR_TREES: &[&str] = &[
    "hour_of_day",
    "day_of_week",
    "project_maturity_days",
    "agent_outcomes",
    "agent_recent_outcomes",
    "project_outcomes",
    "project_recent_outcomes",
    "project_agent_outcomes",
    "project_agent_recent_outcomes",
    "user_outcomes",
    "user_recent_outcomes",
    "agent_avg_quality",
    "similar_tasks_avg_quality",
    "nearest_tasks_outcomes",
    "nearest_task_similarity",
];

/// Features that many hosts never give: used where a row in training has them.
pub(super) const GIVEN: &[&str] = &["effort_level", "reviewer_success_rate"];

/// Features of a task that was tried before.
pub(super) const SEEN: &[&str] = &[
    "overall_success_rate",
    "agent_past_performance",
    "model_past_performance",
    "agent_model_success_rate",
    "task_success_rate",
    "task_agent_success_rate",
    "task_model_success_rate",
    "task_outcomes",
    "task_agent_outcomes",
    "task_model_outcomes",
    "task_avg_time",
    "attempt",
];

/// Feature sets that a hyperparameter search may leave out as a whole.
pub(crate) const SUCCESS_FEATURE_SETS: &[&[&str]] = &[&[super::WORDING], SHAPE, SETTING, FOR_TREES];

/// Returns the indices of these features in a row.
pub(super) fn places(names: &[&[&str]]) -> Vec<usize> {
    names.iter().copied().flatten().filter_map(|name| index_of(name)).collect()
}

/// Brings features to a common scale: rates as log-odds, counts as logarithms, then standardised.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::models) struct Scaler {
    places: Vec<usize>,
    means: Vec<f64>,
    scales: Vec<f64>,
}

/// Standardised values are kept within this many deviations.
const CLIP: f64 = 3.0;

impl Scaler {
    /// Learns means and deviations; a deviation counts as `weight`.
    ///
    /// `value` says what is in one of the `rows` at a place.
    pub(in crate::models) fn fit(
        places: Vec<usize>,
        rows: usize,
        value: impl Fn(usize, usize) -> f32,
        weight: f64,
    ) -> Self {
        let moments = |place: usize| {
            let values = (0..rows).map(|row| straight(value(row, place), place)).filter(|v| !v.is_nan());
            let (n, sum, square) = values.fold((0.0, 0.0, 0.0), |(n, s, q), v| (n + 1.0, s + v, q + v * v));
            let mean = if n > 0.0 { sum / n } else { 0.0 };
            let deviation = if n > 0.0 { (square / n - mean * mean).max(0.0).sqrt() } else { 0.0 };
            (mean, weight / (deviation + 1e-3))
        };
        let (means, scales) = places.iter().map(|p| moments(*p)).unzip();
        Self { places, means, scales }
    }

    /// The scaled values of a row that has `value` at a place; what is missing is at the mean.
    pub(in crate::models) fn transform(&self, value: impl Fn(usize) -> f32, out: &mut Vec<f32>) {
        out.clear();
        let parts = self.places.iter().zip(&self.means).zip(&self.scales);
        out.extend(parts.map(|((place, mean), scale)| {
            let value = straight(value(*place), *place);
            let weight = if *scale > 0.0 { scale } else { &1.0 };
            if value.is_nan() { 0.0 } else { ((value - mean) * weight).clamp(-CLIP, CLIP) as f32 }
        }));
    }

    pub(in crate::models) fn places(&self) -> &[usize] {
        &self.places
    }

    /// The kinds of the features, in their order.
    #[cfg(feature = "mlflow")]
    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.places.iter().map(|place| kind(*place)).collect()
    }

    /// Returns whether it can be used with the columns of `encoder`.
    pub(in crate::models) fn is_sound(&self, encoder: &ColumnEncoder) -> bool {
        let n = self.places.len();
        self.means.len() == n
            && self.scales.len() == n
            && self.places.iter().all(|place| encoder.has(*place))
            && self.means.iter().chain(&self.scales).all(|v| v.is_finite())
    }
}

/// The value at `place`; NaN, which is missing, past the end of a row.
pub(super) fn value_at(row: &[f32], place: usize) -> f32 {
    row.get(place).copied().unwrap_or(f32::NAN)
}

/// The value on a scale on which differences mean the same everywhere.
fn straight(value: f32, place: usize) -> f64 {
    let value = f64::from(value);
    match kind(place) {
        Kind::Rate => logit(value),
        Kind::Count => value.max(0.0).ln_1p(),
        Kind::Category | Kind::Number => value,
    }
}

/// The kind at a place; columns of the host's own follow the features.
fn kind(place: usize) -> Kind {
    FEATURES.get(place).map_or(Kind::Number, |feature| feature.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_the_table() {
        for set in [RATES, SHAPE, SETTING, FOR_TREES, GIVEN, SEEN] {
            assert_eq!(places(&[set]).len(), set.len());
        }
    }
}
