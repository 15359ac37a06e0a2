//! By what tasks are compared with others whose difficulty is known.

use super::columns::{Scaler, value_at};
use crate::features::{ColumnKind, FEATURES, FeatureId, FeatureRow};
use crate::ml::{GpRow, Tfidf};
use crate::models::column_encoder::ColumnEncoder;
use serde::{Deserialize, Serialize};

/// Measures of the text's shape, shared groups and the host's own columns; its words are weighed elsewhere.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::models) struct Likeness {
    pub(in crate::models) shape: Scaler,
    /// Features whose codes are groups that tasks share.
    pub(in crate::models) groups: Vec<usize>,
    /// The host's own columns, in the order of the encoder that it was fitted beside.
    pub(in crate::models) own: OwnScaler,
}

/// Brings the host's own columns to a common scale.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::models) struct OwnScaler {
    pub(in crate::models) columns: Vec<OwnColumn>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::models) struct OwnColumn {
    pub(in crate::models) name: String,
    pub(in crate::models) kind: ColumnKind,
    pub(in crate::models) mean: f64,
    pub(in crate::models) scale: f64,
}

/// Measures of a text's shape.
pub(super) const SHAPE: &[FeatureId] = &[
    FeatureId::TaskDescriptionLength,
    FeatureId::NumWords,
    FeatureId::NumLines,
    FeatureId::TitleLength,
    FeatureId::NumHeadings,
    FeatureId::NumBackticks,
    FeatureId::NumLinks,
    FeatureId::NumNumbers,
    FeatureId::NumRequirements,
    FeatureId::NumTechnicalTerms,
    FeatureId::NumEntities,
];

/// Groups that tasks share.
pub(super) const GROUPS: &[FeatureId] = &[FeatureId::ProjectEncoded, FeatureId::LanguageEncoded];

/// Standardized values are kept within this many deviations.
const CLIP: f64 = 4.0;

impl Likeness {
    /// Returns the kernel's inputs for the task of `row`.
    pub(in crate::models) fn of(&self, tfidf: &Tfidf, row: &FeatureRow) -> GpRow {
        let mut like = GpRow::default();
        tfidf.transform(&row.text, &mut like.text.0, &mut like.text.1);
        self.shape.transform(|place| value_at(&row.values, place), &mut like.shape);
        like.groups = self.groups.iter().map(|place| code(value_at(&row.values, *place))).collect();
        for (near, column) in self.own.columns.iter().enumerate() {
            let value = row.own.value(&column.name, column.kind, near);
            match column.kind {
                ColumnKind::Category => like.categories.push(code(value)),
                ColumnKind::Number | ColumnKind::Flag => like.columns.push(column.scaled(value)),
            }
        }
        like
    }

    /// Numbers of groups, columns, categories and measures of shape.
    pub(in crate::models) fn lengths(&self) -> [usize; 4] {
        let own = &self.own.columns;
        let categories = own.iter().filter(|column| column.kind == ColumnKind::Category).count();
        [self.groups.len(), own.len() - categories, categories, self.shape.places().len()]
    }

    pub(in crate::models) fn is_sound(&self) -> bool {
        let own = self.own.columns.iter().all(|column| column.mean.is_finite() && column.scale.is_finite());
        own && self.shape.is_sound(&ColumnEncoder::default())
            && self.groups.iter().all(|place| *place < FEATURES.len())
    }
}

impl OwnScaler {
    /// Learns means and deviations of the columns of `encoder` in `rows`.
    pub(in crate::models) fn fit(encoder: &ColumnEncoder, rows: &[&FeatureRow]) -> Self {
        let column = |(near, (name, kind)): (usize, (&str, ColumnKind))| {
            let values = rows.iter().map(|row| f64::from(row.own.value(name, kind, near)));
            let values: Vec<_> = values.filter(|v| !v.is_nan()).collect();
            let n = values.len().max(1) as f64;
            let mean = values.iter().sum::<f64>() / n;
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            let scale = if deviation > 1e-9 * (1.0 + mean.abs()) { 1.0 / deviation } else { 0.0 };
            OwnColumn { name: name.to_owned(), kind, mean, scale }
        };
        Self { columns: encoder.names().enumerate().map(column).collect() }
    }

    /// Puts `parts`, of the numbers and then of the categories, in the order of the columns.
    pub(super) fn by_column(&self, parts: &[f64]) -> Vec<f64> {
        let is_category = |column: &OwnColumn| column.kind == ColumnKind::Category;
        let numbers = self.columns.iter().filter(|column| !is_category(column)).count();
        let (mut number, mut category) = (0, numbers);
        let place = |column: &OwnColumn| {
            let next = if is_category(column) { &mut category } else { &mut number };
            *next += 1;
            parts.get(*next - 1).copied().unwrap_or(0.0)
        };
        self.columns.iter().map(place).collect()
    }
}

impl OwnColumn {
    fn scaled(&self, value: f32) -> f32 {
        let scaled = (f64::from(value) - self.mean) * self.scale;
        if scaled.is_nan() { 0.0 } else { scaled.clamp(-CLIP, CLIP) as f32 }
    }
}

/// The places of these features in a row.
pub(super) fn places_of(features: &[FeatureId]) -> Vec<usize> {
    features.iter().map(|id| *id as usize).collect()
}

fn code(value: f32) -> Option<u32> {
    (!value.is_nan()).then_some(value as u32)
}
