//! What a number is learned from, and on which scale.

use crate::dataset::Target;
use crate::features::{FEATURES, FeatureId, FeatureRow, index_of};
use serde::{Deserialize, Serialize};

/// The specification of a regression target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub(super) target: Target,
    pub(super) scale: Scale,
    /// The range of the target.
    pub(super) range: (f64, f64),
    /// The feature with the historical mean of the target.
    pub(super) expected: FeatureId,
    /// The feature with the historical mean, excluding the task's own record.
    pub(super) expected_untried: FeatureId,
    /// The feature that counts how often the task was tried; `None` where tries make no difference.
    pub(super) tries: Option<FeatureId>,
    pub(super) features: &'static [&'static [&'static str]],
    /// Those of the task's own record.
    pub(super) of_task: &'static [&'static str],
    /// The value has few distinct values, as people give them: an ordinal regression over the text predicts it,
    /// corrected by a forest; else what the past leads one to expect, the text, and boosted trees.
    pub(super) ordinal: bool,
    /// Where tasks are tried by several, the value of a new one comes from who tries it and from similar tasks.
    pub(super) by_solver: bool,
}

/// The scale on which a number is learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// As it is.
    Plain,
    /// ln(1 + number).
    Log,
    /// ln(number), for amounts of which ratios count; those below the floor count as the floor.
    Relative(f64),
}

impl Scale {
    pub(super) fn to(self, value: f64) -> f64 {
        match self {
            Self::Plain => value,
            Self::Log => value.max(0.0).ln_1p(),
            Self::Relative(floor) => value.max(floor).ln(),
        }
    }

    pub(super) fn from(self, raw: f64) -> f64 {
        match self {
            Self::Plain => raw,
            Self::Log => raw.min(50.0).exp_m1(),
            Self::Relative(floor) if raw <= floor.ln() => 0.0,
            Self::Relative(_) => raw.min(50.0).exp(),
        }
    }

    /// Returns how far a number is off: on the scale where ratios count, else in the number's unit.
    pub(super) fn error(self, value: f64, label: f64) -> f64 {
        match self {
            Self::Relative(_) => (self.to(value) - self.to(label)).abs(),
            Self::Plain | Self::Log => (value - label).abs(),
        }
    }
}

impl Spec {
    /// Wide intervals around a value of which only the past's mean is known: of 80 % and of 90 %.
    pub(super) fn around(&self, value: f64) -> [(f64, f64); 2] {
        let spread = match self.scale {
            Scale::Log | Scale::Relative(_) => 1.0,
            Scale::Plain => 0.25 * (self.range.1 - self.range.0),
        };
        let raw = self.scale.to(value);
        let number = |raw: f64| self.scale.from(raw).clamp(self.range.0, self.range.1);
        [1.282, 1.645].map(|z| (number(raw - z * spread), number(raw + z * spread)))
    }

    /// The number itself or the end of its range; the range's middle for what is no number.
    pub(super) fn within(&self, value: f64) -> f64 {
        let value = if value.is_nan() { 0.5 * (self.range.0 + self.range.1) } else { value };
        value.clamp(self.range.0, self.range.1)
    }

    /// A feature of the past as the number itself.
    pub(super) fn read_feature(&self, row: &FeatureRow, name: &str) -> Option<f64> {
        self.raw_feature(row, name).map(|raw| self.scale.from(raw))
    }

    /// Returns a feature of the past on the scale of the target.
    pub(super) fn read_feature_at(&self, row: &FeatureRow, id: FeatureId) -> Option<f64> {
        self.raw_feature_at(row, id as usize).map(|raw| self.scale.from(raw))
    }

    /// Returns a feature's value on the scale of learning.
    pub(super) fn raw_feature(&self, row: &FeatureRow, name: &str) -> Option<f64> {
        self.raw_feature_at(row, index_of(name)?)
    }

    pub(super) fn raw_feature_at(&self, row: &FeatureRow, place: usize) -> Option<f64> {
        let value = f64::from(*row.values.get(place)?);
        Some(if Self::is_logged(place) { value } else { self.scale.to(value) }).filter(|v| v.is_finite())
    }

    /// Returns true if the feature is already a logarithm.
    pub(super) fn is_logged(place: usize) -> bool {
        FEATURES[place].unit.starts_with("ln(")
    }

    /// Returns true if the task was tried before.
    pub(super) fn is_tried(&self, row: &FeatureRow) -> bool {
        self.tries.and_then(|id| row.values.get(id as usize)).is_some_and(|n| *n > 0.0)
    }

    /// Features that many hosts never give: used where a row in training has them.
    pub(super) fn given_places(&self) -> impl Iterator<Item = usize> {
        let given: &[FeatureId] = match self.target {
            Target::Quality => &[FeatureId::EffortLevel, FeatureId::ReviewerSuccessRate],
            Target::Time | Target::Cost | Target::Tokens => &[FeatureId::EffortLevel],
            _ => &[],
        };
        given.iter().map(|id| *id as usize)
    }

    pub(super) fn places(&self, regime: Regime) -> Vec<usize> {
        let own = if regime == Regime::Tried { self.of_task } else { &[] };
        self.features.iter().copied().flatten().chain(own).filter_map(|name| index_of(name)).collect()
    }

    pub(super) fn expected_place(&self, regime: Regime) -> usize {
        let id = match regime {
            Regime::Tried => self.expected,
            Regime::Untried => self.expected_untried,
        };
        id as usize
    }
}

/// Cold start or warm start: without or with the task's own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Regime {
    Untried,
    Tried,
}
